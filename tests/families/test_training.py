"""What is trained is what is served: ids, positions and pixels are those of `ask`, by family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwenvl_kit import ImagePart, Message, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.training import Example, LabelPart, PlacePart
from qwenvl_kit.training.sequences.encoder import IGNORED, SequenceEncoder
from tests.by_hand import picture
from tests.training.served import assert_served_as_trained, encoder_of, served, trained_text


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SequenceEncoder:
    return encoder_of(folder)


def test_training_sees_the_tokens_positions_and_pixels_that_are_served(
    chat: VisionChat, encoder: SequenceEncoder, conversation: list[Message]
) -> None:
    messages = [*conversation, Message.assistant("\n a red circle")]
    sequence = assert_served_as_trained(chat, encoder, messages)
    assert trained_text(encoder, sequence) == "\n a red circle<|im_end|>"


def test_positions_of_an_answer_go_on_as_a_model_counts_them(
    chat: VisionChat, encoder: SequenceEncoder
) -> None:
    question = Message.user(ImagePart(picture(300, 90)), "What is it?")
    sequence = assert_served_as_trained(chat, encoder, [question, Message.assistant("A cat.")])
    positions = encoder.inputs(sequence)["position_ids"][:, -3:]
    steps = positions[:, 1:] - positions[:, :-1]
    assert torch.equal(steps, torch.ones_like(steps))


def test_a_budget_holds_for_training_as_for_asking(chat: VisionChat, folder: Path) -> None:
    messages = [Message.user(ImagePart(picture(900, 700)), "What?"), Message.assistant("A cat.")]
    assert_served_as_trained(chat, encoder_of(folder), messages, budget="quick")


TOKENS = st.sampled_from(
    ["<|im_end|>", "<|image_pad|>", "<|box_start|>", "<think>", "<tool_call>", "<|endoftext|>"]
)
TEXTS = st.lists(st.one_of(st.text(max_size=8), TOKENS), min_size=1, max_size=3).map("".join)
SAID = TEXTS.filter(lambda text: text.strip() and not text.lstrip().startswith("<think>"))
IMAGES = st.builds(
    lambda width, height: ImagePart(picture(width, height)),
    st.integers(20, 200),
    st.integers(20, 200),
)
FILMS = st.integers(2, 4).map(lambda n: VideoPart([picture(60, 60, at) for at in range(n)], fps=2))
ASKED = st.lists(st.one_of(IMAGES, FILMS, SAID), min_size=1, max_size=3)
CONVERSATIONS = st.lists(st.tuples(ASKED, SAID), min_size=1, max_size=3)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(turns=CONVERSATIONS)
def test_the_loss_is_on_answers_and_their_ends_and_on_nothing_else(
    chat: VisionChat, encoder: SequenceEncoder, turns: Sequence[tuple[list[object], str]]
) -> None:
    messages: list[Message] = []
    for asked, said in turns:
        messages += [Message.user(*asked), Message.assistant(said)]  # type: ignore[arg-type]
    sequences = encoder.encode(Example(messages))
    family = FAMILIES[encoder.rules.family.model_type]
    placeholders = {
        encoder.tokenizer.convert_tokens_to_ids(t) for t in (family.image_token, family.video_token)
    }
    trained = ""
    for sequence in sequences:
        pairs = list(zip(sequence.ids, sequence.labels))
        assert all(label in (IGNORED, token) for token, label in pairs)
        assert not placeholders & set(sequence.labels)
        trained += trained_text(encoder, sequence)
    assert trained == "".join(f"{said}<|im_end|>" for _, said in turns)
    for at in range(1, len(messages), 2):  # each answer stands after the prompt that `ask` sends
        prompt = served(chat, messages[:at]).prompt.ids
        length = len(prompt)
        (own,) = [
            s
            for s in sequences
            if list(s.ids[:length]) == prompt
            and len(s.ids) > length
            and s.labels[length] != IGNORED
        ]
        assert own.labels[length - 1] == IGNORED


def test_places_are_written_as_the_family_writes_them(
    chat: VisionChat, encoder: SequenceEncoder
) -> None:
    example = Example(
        [
            Message.user(ImagePart(picture(280, 140)), "Where is ", LabelPart("the dot"), "?"),
            Message.assistant("At ", PlacePart((28, 14, 140, 70))),
        ]
    )
    (sequence,) = encoder.encode(example)
    family = encoder.rules.family
    corners = [100, 100, 500, 500]
    if family.coordinates == "resized pixels":
        (plan,) = chat.plan(list(example.messages[:0]) or "?", ImagePart(picture(280, 140))).images
        across, down = plan.resized.width_px / 280, plan.resized.height_px / 140
        corners = [round(28 * across), round(14 * down), round(140 * across), round(70 * down)]
    written = str(corners)
    if family.box_format == "box tokens":
        x1, y1, x2, y2 = corners
        written = f"<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
        assert encoder.tokenizer.convert_tokens_to_ids("<|box_start|>") in sequence.labels
        assert encoder.tokenizer.convert_tokens_to_ids("<|object_ref_start|>") in sequence.ids
    assert trained_text(encoder, sequence) == f"At {written}<|im_end|>"


def test_a_model_is_trained_on_the_log_probabilities_that_it_serves(
    chat: VisionChat, backend: LocalBackend, encoder: SequenceEncoder
) -> None:
    film = VideoPart([picture(60, 60, at) for at in range(4)], fps=2)
    question = [Message.user(ImagePart(picture(120, 90)), film, "What is different?")]
    reply = chat.ask(question, sampling=Sampling(max_new_tokens=6))
    answer = tuple(score.token_id for score in reply.scores)
    (sequence,) = encoder.encode(Example([*question, Message.assistant("any")]))
    prompt = sequence.ids[: sequence.labels.count(IGNORED)]
    labels = (*[IGNORED] * len(prompt), *answer)
    inputs = encoder.inputs(replace(sequence, ids=(*prompt, *answer), labels=labels))  # type: ignore[arg-type]
    inputs["position_ids"] = inputs["position_ids"][:, None]
    for name in ("input_ids", "labels"):
        inputs[name] = inputs[name][None]
    with torch.no_grad():
        loss = backend.model(**inputs, use_cache=False).loss
    served_loss = -sum(score.logprob for score in reply.scores) / len(answer)
    assert loss.item() == pytest.approx(served_loss, abs=1e-5)
