"""`explain`: what an answer, or a part of it, looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import GenerationError, InputError
from qwenvl_kit.explain.explanation import Explanation, token_grids
from qwenvl_kit.explain.heat_maps import HeatMap
from qwenvl_kit.explain.occlusion import TokenGrid, occlude
from qwenvl_kit.explain.spans import Choice, ExplainedPart
from qwenvl_kit.requests import Media, Request, RequestLike
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    import numpy

    from qwenvl_kit.backends.base import Attribution
    from qwenvl_kit.pipeline.replay import Replay

Method: TypeAlias = Literal["attention", "gradient", "occlusion"]
"""A method: attention rollout, gradient x attention, or occlusion."""

MOST_NATS = 0.5
"""The largest mean difference of log-probabilities between a reply and its explanation. The logits
of bf16 were measured to differ by up to 0.03 between a batch and a single call."""


@explains_wrong_arguments
def explain(
    chat: VisionChat,
    reply: Reply,
    prompt: RequestLike,
    *media: Media,
    token: int | None = None,
    word: str | None = None,
    span: tuple[int, int] | None = None,
    field: str | None = None,
    method: Method = "attention",
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    num_patches: int = 64,
) -> Explanation:
    """Explain an answer, or a part of it, by heat maps on the pixels of its original pictures.

    A reply does not keep its request, as pictures would stay in memory with it; so the question and
    its pictures are given again, as to `ask`, and held to the reply: its plan, and for a model in
    this process the probability of each token.

    Example:
        request = Request.about("What colour is the car?", "street.jpg")
        reply = chat.ask(request)
        seen = explain(chat, reply, request, word="red", method="gradient")
        seen.save("seen.png")

    Args:
        chat: the model that gave the answer.
        reply: the answer.
        prompt: the question, messages or `Request` that it answers, with all settings.
        media: the pictures and videos that the question is about.
        token: the index of a token in `reply.tokens`, to explain that alone.
        word: a word of the answer, to explain that alone; its first place counts.
        span: the indices in `reply.text` of the first character and of the one after the last.
        field: the name of a field of an answer in JSON, such as "items[0].price".
        method: "attention" follows attention through the layers (Abnar and Zuidema 2020,
            arXiv:2005.00928), in one pass. "gradient" counts attention where it raises the logits
            of what is explained (Chefer et al. 2021, arXiv:2103.15679), in a pass and one back.
            "occlusion" hides patches, and takes the drop of the log-probability (Zeiler and Fergus
            2013, arXiv:1311.2901), in a pass for each; it needs nothing but log-probabilities.
        layers: the layers whose attention counts, from 0; None for all. A model in which some
            layers have linear attention shows one layer at a time.
        heads: the heads that count, from 0; None for all.
        num_patches: about so many patches are hidden in each picture by "occlusion".

    Returns:
        The explanation, with a heat map for each picture and film.

    Raises:
        InputError: this is not the request of the reply, or there is no such part, layer or head.
        UnsupportedFeatureError: the backend or the model cannot show this by this method.
        MediaError: a picture cannot be opened any more.
    """
    _check(reply, method, num_patches)
    layers, heads = _numbers("layers", layers), _numbers("heads", heads)
    part = Choice(token, word, span, field).of(reply)
    request = Request.about(prompt, *media)
    replay = chat.replay(reply, request)
    grids = token_grids(replay)
    if not grids:
        raise InputError("the request shows no picture", expected="a picture or film to explain")
    if method == "occlusion":
        _check_has_no_layers(layers, heads)
        found = _occluded(replay, part, grids, num_patches)
        used: tuple[int, ...] = ()
    else:
        passed = replay.attribute(method, part.indices, layers, heads)
        _check_is_the_reply(reply, part, passed)
        found, used = [*passed.relevance], passed.layers
    maps = _heat_maps(replay, grids, found)
    return Explanation(part.text, method, maps, part.indices, used, reply, request)


def _occluded(
    replay: Replay, part: ExplainedPart, grids: Sequence[TokenGrid], num_patches: int
) -> list[numpy.ndarray[Any, Any]]:
    def score(media: Sequence[Any]) -> float:
        return replay.logprob(part.indices, media)

    return occlude(replay.media, grids, num_patches, score)


def _heat_maps(
    replay: Replay, grids: Sequence[TokenGrid], found: Sequence[numpy.ndarray[Any, Any]]
) -> tuple[HeatMap, ...]:
    scale = max(float(each.max()) for each in found)
    if not math.isfinite(scale):
        raise GenerationError("the relevance of the visual tokens is not a number")
    maps = []
    for plan, grid, item, relevance in zip(
        replay.request.plan.media.values(), grids, replay.media, found
    ):
        shape = grid.shape if grid.frames_per_group else grid.shape[1:]
        frames = max(1, grid.frames_per_group)
        maps.append(HeatMap(plan, relevance.reshape(shape), max(scale, 0.0), frames, item))
    return tuple(maps)


def _check(reply: object, method: object, num_patches: object) -> None:
    if not isinstance(reply, Reply):
        raise InputError(
            f"a {type(reply).__name__} was given as the reply",
            expected="a Reply",
            hint="result.reply, of the result of a task",
        )
    if method not in ("attention", "gradient", "occlusion"):
        raise InputError(
            f"method={method!r} was given", expected="'attention', 'gradient' or 'occlusion'"
        )
    if type(num_patches) is not int or num_patches < 1:
        raise InputError(
            f"num_patches={num_patches!r} was given", expected="a whole number above 0"
        )


def _numbers(name: str, given: Sequence[int] | None) -> tuple[int, ...] | None:
    """The numbers of layers or heads, rising, each once."""
    if given is None:
        return None
    is_listed = isinstance(given, Sequence) and not isinstance(given, str)
    if not is_listed or not all(type(number) is int for number in given):
        raise InputError(
            f"{name}={given!r} was given", expected="a list of whole numbers, or None for all"
        )
    return tuple(sorted(set(given)))


def _check_has_no_layers(layers: object, heads: object) -> None:
    if layers is not None or heads is not None:
        raise InputError(
            "layers or heads were given with method='occlusion', which looks into no layer",
            hint="method='attention' or 'gradient'",
        )


def _check_is_the_reply(reply: Reply, part: ExplainedPart, passed: Attribution) -> None:
    """Check that the model writes the answer to this request as probably as it did.

    Raises:
        InputError: it does not.
    """
    known = [(reply.tokens or ())[at].logprob for at in part.indices]
    apart = sum(abs(one - other) for one, other in zip(known, passed.logprobs)) / len(known)
    if not apart <= MOST_NATS:
        raise InputError(
            "the model does not give this answer to this request as it did: the log-probabilities "
            f"of its tokens differ by {apart:.2f} on average",
            expected="the question, pictures and settings of the reply, and the same adapter",
        )
