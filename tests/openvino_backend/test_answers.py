"""An exported model answers as transformers does when it is called by hand on the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from qwenvl_kit import ImagePart, Message, Reply, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from tests.by_hand import CONVERSATIONS, generate_by_hand, ids_of, kit_batch, picture

from .conftest import FAMILIES

INTERFACES = json.loads((Path(__file__).parent / "interfaces.json").read_text())
"""The inputs, outputs and variables of exports of the same tiny models by optimum-intel 2.2.0 with
transformers 4.57.6."""

NUM_NEW = 12


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def chats(
    family: str, export_of: Callable[[str], Path], checkpoint_of: Callable[[str], Path]
) -> Iterator[tuple[VisionChat, VisionChat]]:
    """An exported model, and the same weights in transformers."""
    with VisionChat.from_openvino(export_of(family), dtype="float32") as mine:
        with VisionChat.from_pretrained(checkpoint_of(family), dtype="float32") as its:
            yield mine, its


def by_generate(chat: VisionChat, conversation: list[Message]) -> tuple[list[int], torch.Tensor]:
    """The tokens and log-probabilities of `generate`."""
    backend: LocalBackend = chat._backend  # type: ignore[assignment]
    output, tokens = generate_by_hand(
        backend, kit_batch(chat, [conversation]), max_new_tokens=NUM_NEW
    )
    scores = backend.model.compute_transition_scores(
        output.sequences, output.logits, normalize_logits=True
    )
    return tokens[0].tolist(), scores[0]


def assert_same(reply: Reply, expected: tuple[list[int], torch.Tensor]) -> None:
    assert ids_of(reply) == expected[0]
    found = torch.tensor([score.logprob for score in reply.scores])
    torch.testing.assert_close(found, expected[1][: len(found)], atol=1e-4, rtol=0)


def interface(path: Path) -> dict[str, Any]:
    """The inputs, outputs and variables of a graph."""
    import openvino

    graph = openvino.Core().read_model(path)

    def named(ports: Any) -> list[str]:
        return [
            f"{min(port.get_names())} {port.partial_shape} {port.element_type.to_string()}"
            for port in ports
        ]

    return {
        "inputs": sorted(named(graph.inputs)),
        "outputs": named(graph.outputs),
        "variables": sorted({sink.get_variable_id() for sink in graph.get_sinks()}),
    }


def test_the_exports_of_these_tests_are_like_those_of_optimum_intel(
    family: str, export_of: Callable[[str], Path]
) -> None:
    folder = export_of(family)
    for part, expected in INTERFACES[family].items():
        assert interface(folder / f"openvino_{part}.xml") == expected, part


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_single_answer_has_the_tokens_and_scores_of_generate(
    chats: tuple[VisionChat, VisionChat], name: str
) -> None:
    mine, its = chats
    conversation = list(CONVERSATIONS[name])
    reply = mine.ask(conversation, sampling=Sampling(max_new_tokens=NUM_NEW))
    assert_same(reply, by_generate(its, conversation))


@pytest.mark.parametrize("copies", [1, 5])
def test_answers_of_a_batch_are_those_of_single_calls(
    chats: tuple[VisionChat, VisionChat], copies: int
) -> None:
    mine, its = chats
    asked = [list(each) for each in CONVERSATIONS.values()]
    mine.clear_cache()
    before = mine._backend.work()
    replies = mine.ask_many(asked * copies, sampling=Sampling(max_new_tokens=NUM_NEW))
    work = mine._backend.work()
    assert before is not None
    assert work is not None
    steps = work.num_steps - before.num_steps
    assert steps < len(asked) * copies * NUM_NEW / 3  # they really ran together
    for at, reply in enumerate(replies):
        assert isinstance(reply, Reply)
        assert_same(reply, by_generate(its, asked[at % len(asked)]))


@pytest.mark.parametrize("size", [(28, 28), (56, 700), (1000, 60), (620, 620)])
def test_pictures_of_odd_shapes_are_seen_alike(
    chats: tuple[VisionChat, VisionChat], size: tuple[int, int]
) -> None:
    settings = Sampling(max_new_tokens=6)
    replies = [chat.ask("What is it?", picture(*size, 3), sampling=settings) for chat in chats]
    assert ids_of(replies[0]) == ids_of(replies[1])
    assert replies[0].plan.visual_tokens == replies[1].plan.visual_tokens


def test_a_long_film_is_seen_alike(chats: tuple[VisionChat, VisionChat]) -> None:
    film = VideoPart([picture(120, 90, seed) for seed in range(17)], fps=4)
    asked = [
        Message.user(film, ImagePart(picture(60, 60, 3)), "What happens, and is this from it?")
    ]
    replies = [chat.ask(asked, sampling=Sampling(max_new_tokens=8)) for chat in chats]
    assert ids_of(replies[0]) == ids_of(replies[1])
    assert [s.logprob for s in replies[0].scores] == pytest.approx(
        [s.logprob for s in replies[1].scores], abs=1e-4
    )
