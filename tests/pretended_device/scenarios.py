"""The uses of the local backend, each as a function from a chat to what it answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from qwenvl_kit import Failure, ImagePart, Message, Reply, Request, Sampling, VideoPart, VisionChat
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.tasks import classify
from tests.by_hand import picture

Found: TypeAlias = Any
"""Texts, tokens and scores, as JSON has them."""

_LONG = " ".join(f"word{number}" for number in range(60))
_PICTURE = picture(250, 250, 7)
_SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def _sampling(max_new_tokens: int = 5, **settings: Any) -> Sampling:
    return Sampling(max_new_tokens=max_new_tokens, **settings)


def _tokens(reply: Reply | Failure) -> Found:
    """The tokens of a reply with their scores, and those of the alternatives."""
    if isinstance(reply, Failure):
        raise reply.error
    return [
        [
            (token.token_id, token.logprob),
            *((other.token_id, other.logprob) for other in token.alternatives),
        ]
        for token in reply.tokens
    ]


def _all_tokens(replies: Iterable[Reply | Failure]) -> Found:
    return [_tokens(reply) for reply in replies]


def a_picture(chat: VisionChat) -> Found:
    """A question about a picture."""
    return _tokens(chat.ask("What is it?", _PICTURE, sampling=_sampling()))


def a_video(chat: VisionChat) -> Found:
    """A video and a picture."""
    frames = [picture(84, 84, number) for number in range(4)]
    message = Message.user(VideoPart(frames, fps=1), ImagePart(_PICTURE), "Is it there?")
    return _tokens(chat.ask([message], sampling=_sampling()))


def prompts_of_different_lengths(chat: VisionChat) -> Found:
    """A batch with padding."""
    frames = [picture(112, 84, number) for number in range(5)]
    messages = [
        Message.user("How many?"),
        Message.user(ImagePart(picture(160, 100)), "Describe it."),
        Message.user(ImagePart(picture(90, 90, 1)), ImagePart(picture(200, 60, 2)), "Compare."),
        Message.user(VideoPart(frames, fps=2), "What happens?"),
    ]
    requests = [Request([message], sampling=_sampling()) for message in messages]
    return _all_tokens(chat.ask_many(requests))


def questions_about_one_picture(chat: VisionChat) -> Found:
    """A batch whose beginning is held once."""
    messages = [Message.user(ImagePart(_PICTURE), _LONG, f"Q{at}" * (at + 1)) for at in range(9)]
    requests = [Request([message], sampling=_sampling(3)) for message in messages]
    return _all_tokens(chat.ask_many(requests))


def answers_that_end_at_different_times(chat: VisionChat) -> Found:
    """A batch from which rows are dropped while the others go on."""
    requests = [
        Request(f"Say {number} " + "x " * number, sampling=_sampling(2 + 3 * number))
        for number in range(4)
    ]
    return _all_tokens(chat.ask_many(requests))


def a_conversation(chat: VisionChat) -> Found:
    """A second turn, which goes on from the cache of the first."""
    messages = [Message.user(ImagePart(_PICTURE), "What is it? " + _LONG)]
    first = chat.ask(messages, sampling=_sampling())
    messages += [Message.assistant(first.text), Message.user("And now?")]
    second = chat.ask(messages, sampling=_sampling())
    assert second.usage.reused_tokens
    return _all_tokens((first, second))


def a_stream(chat: VisionChat) -> Found:
    """An answer token by token."""
    return [delta.text for delta in chat.stream("Tell.", picture(60, 60), sampling=_sampling())]


def samples(chat: VisionChat) -> Found:
    """A batch with published settings, every penalty, a min-p, and the whole vocabulary."""
    published = {"temperature": 0.7, "top_k": 20, "top_p": 0.8}
    settings = (
        *(published, {**published, "presence_penalty": 1.5, "repetition_penalty": 1.1}),
        {"temperature": 1.0, "min_p": 0.02, "repetition_penalty": 1.2},
        *({"temperature": 0.9, "top_p": 0.9}, {"temperature": 1.3}),
        {"temperature": 1.1, "top_p": 0.7, "min_p": 0.001, "presence_penalty": 0.5},
    )
    requests = [
        Request("Hello", sampling=_sampling(4, seed=seed, num_alternatives=2, **each))
        for seed, each in enumerate(settings)
    ]
    return _all_tokens(chat.ask_many(requests))


def bound_answers(chat: VisionChat) -> Found:
    """A batch of choices, JSON, an expression and a free answer, sampled and greedy."""
    constraints = (
        *(Constraint.from_choices(["cat", "dog"]), Constraint.from_schema(_SCHEMA)),
        *(Constraint.from_regex("[0-9]{3}"), None),
    )
    requests = [
        Request("Which?", constraint=constraint, sampling=sampling)
        for constraint in constraints
        for sampling in (_sampling(12), _sampling(12, temperature=0.8, top_k=20, seed=3))
    ]
    return _all_tokens(chat.ask_many(requests))


def drafts(chat: VisionChat) -> Found:
    """Prompt lookup decoding, for the families that can go back after a draft."""
    if not chat.family.model_type.startswith(("qwen2", "qwen3_vl")):
        return None
    sampling = _sampling(12, prompt_lookup_tokens=6)
    return _tokens(chat.ask("a b c a b c a b c a b c", sampling=sampling))


def a_stop_string(chat: VisionChat) -> Found:
    """An answer that a text ends."""
    text = chat.ask("Hello", sampling=_sampling(8)).text
    reply = chat.ask("Hello", sampling=_sampling(8, stop=(text[2:4] or text,)))
    return [reply.text, reply.finish_reason]


def scores_of_labels(chat: VisionChat) -> Found:
    """The probabilities of labels."""
    return list(classify(chat, _PICTURE, ["cat", "dog", "a red rabbit"]).probabilities.values())


SCENARIOS: Mapping[str, Callable[[VisionChat], Found]] = MappingProxyType(
    {
        scenario.__name__: scenario
        for scenario in (
            *(a_picture, a_video, prompts_of_different_lengths, questions_about_one_picture),
            *(answers_that_end_at_different_times, a_conversation, a_stream, samples),
            *(bound_answers, drafts, a_stop_string, scores_of_labels),
        )
    }
)
