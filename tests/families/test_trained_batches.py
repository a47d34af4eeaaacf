"""What a batch teaches is what its sequences teach one by one, and what is served, by family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from qwenvl_kit import ImagePart, MediaPolicy, Message, Request, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.training import Example
from qwenvl_kit.training.loop.batches import BatchMaker, Passed, logits_of
from qwenvl_kit.training.loop.data import TrainingData, gather
from qwenvl_kit.training.loop.features import FeatureEncoder, FeatureStore, MediaReader
from qwenvl_kit.training.loop.schedule import in_batches
from qwenvl_kit.training.sequences.encoder import SequenceEncoder
from tests.by_hand import picture
from tests.training.served import encoder_of

CLOSE = 1e-5
"""Nats a token; sums of fp32 in another order differ by less."""

RECURRENT = ("qwen3_5", "qwen3_5_moe", "qwen4_exp")
"""Families with layers that carry a state from one token to the next."""

CLOSE_AFTER_STATES = 1e-4
"""The same where a state was kept with the prompt: the chunks of its sums are others."""


def example(*parts: Any, answer: str) -> Example:
    return Example([Message.user(*parts), Message.assistant(answer)])


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    """Pictures of several sizes, a film, a row of text alone, and answers of unlike lengths."""
    film = VideoPart([picture(60, 60, at) for at in range(4)], fps=2)
    return [
        example(ImagePart(picture(120, 90)), "What is this?", answer="A red circle."),
        example("How many people are there?", answer="Two of them, and a dog beside a tree."),
        example(film, "What happens?", answer="It moves."),
        example(
            ImagePart(picture(70, 150, 1)), ImagePart(picture(64, 64, 2)), "Compare.", answer="No."
        ),
    ]


@dataclass(frozen=True)
class Taught:
    """Sequences, the model that they teach, and the losses of each sequence alone."""

    model: Any
    encoder: SequenceEncoder
    data: TrainingData
    singles: Sequence[torch.Tensor]

    def maker(self, media: MediaReader | None = None, *, packing: bool = False) -> BatchMaker:
        return BatchMaker(self.data, self.encoder, media, packing=packing)

    def assert_taught_alike(self, passed: Passed, numbers: Sequence[int], **options: Any) -> None:
        found = losses_of(self.model, passed, **options)
        alone = torch.cat([self.singles[number] for number in numbers])
        torch.testing.assert_close(found, alone, rtol=0, atol=CLOSE)


@torch.no_grad()
def losses_of(model: Any, passed: Passed, features: FeatureEncoder | None = None) -> torch.Tensor:
    """The loss of each trained token of a batch."""
    inputs: dict[str, Any] = dict(passed.inputs)
    outputs = features.encode(passed.media) if features else None
    if outputs is not None:
        inputs["mm_encoder_outputs"] = outputs
    logits = logits_of(model, inputs)
    return torch.nn.functional.cross_entropy(logits, passed.targets, reduction="none")


@pytest.fixture(scope="module")
def taught(folder: Path, backend: LocalBackend, examples: Sequence[Example]) -> Taught:
    encoder, policy = encoder_of(folder), MediaPolicy()
    data = gather(
        examples, None, encoder, policy=policy, max_tokens=None, too_long="error", progress=False
    ).training
    maker = BatchMaker(data, encoder, None)
    singles = [losses_of(backend.model, maker.make([at], 1.0)) for at in range(len(data))]
    return Taught(backend.model, encoder, data, singles)


ALL = range(4)


def test_a_padded_batch_teaches_what_its_sequences_teach_alone(taught: Taught) -> None:
    taught.assert_taught_alike(taught.maker().make(ALL, 1.0), ALL)


def test_sequences_that_are_grouped_by_length_teach_what_they_teach_alone(taught: Taught) -> None:
    batches = in_batches(taught.data.lengths, 2 * max(taught.data.lengths))
    assert len(batches) > 1
    for numbers in batches:
        taught.assert_taught_alike(taught.maker().make(numbers, 1.0), numbers)


def test_a_step_in_several_batches_teaches_what_one_batch_teaches(taught: Taught) -> None:
    maker, total = taught.maker(), sum(taught.data.weights)
    losses = [
        (losses_of(taught.model, passed) * passed.weights).sum()
        for passed in (maker.make(ALL, total), maker.make((0, 1), total), maker.make((2, 3), total))
    ]
    assert float(losses[0]) == pytest.approx(float(losses[1] + losses[2]), abs=CLOSE)
    assert float(losses[0]) == pytest.approx(float(torch.cat([*taught.singles]).mean()), abs=CLOSE)


def test_features_that_are_kept_teach_what_pixels_teach(taught: Taught, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 2**30, "")
    maker = taught.maker(MediaReader(taught.encoder, MediaPolicy(), store))
    features = FeatureEncoder(taught.model, store)
    for is_known in (False, True):
        passed = maker.make(ALL, 1.0)
        assert all((medium.patches is None) == is_known for medium in passed.media)
        taught.assert_taught_alike(passed, ALL, features=features)


def test_sequences_that_are_packed_teach_what_they_teach_alone(family: str, taught: Taught) -> None:
    if family not in RECURRENT:  # which refuse it: test_packing_is_exact_or_refused
        row = taught.maker(packing=True).make(ALL, 1.0)
        assert len(row.inputs["input_ids"]) == 1
        taught.assert_taught_alike(row, ALL)


def test_answers_are_taught_at_the_log_probabilities_at_which_they_are_served(
    family: str, chat: VisionChat, examples: Sequence[Example], taught: Taught
) -> None:
    close = CLOSE_AFTER_STATES if family in RECURRENT else CLOSE
    for number, each in enumerate(examples):
        ((reply,),) = chat.score([Request(each.messages[:-1])], [each.messages[-1].text])
        targets = taught.maker().make([number], 1.0).targets.tolist()
        served = [score.token_id for score in reply.scores]
        assert served[:-1] == targets[:-1]
        # the last is the likeliest of the tokens that end an answer, which may be another one
        length = len(targets) - (served[-1] != targets[-1])
        losses = torch.tensor([-score.logprob for score in reply.scores[:length]])
        taught_losses = taught.singles[number][:length]
        torch.testing.assert_close(taught_losses, losses, rtol=0, atol=close)
