"""Answers after the chat templates, and in the tokens, of published checkpoints; no weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import ImagePart, Message
from qwenvl_kit.errors import TrainingDataError
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.training import Example, read_examples
from qwenvl_kit.training.sequences.encoder import IGNORED, SequenceEncoder
from tests.by_hand import picture
from tests.families.test_published_checkpoints import CHECKPOINTS, FILES, complete_vocabulary
from tests.training.served import encoder_of, trained_text

pytestmark = pytest.mark.skipif(
    not FILES.is_dir(), reason=f"needs the side files of published checkpoints in {FILES}"
)

QWEN2, QWEN2_5, QWEN3, QWEN3_5 = CHECKPOINTS
EncoderOf = Callable[[str], SequenceEncoder]


@pytest.fixture(scope="module")
def encoder_for(tmp_path_factory: pytest.TempPathFactory) -> EncoderOf:
    """The encoder of a published checkpoint, made when it is first asked for."""
    root, made = tmp_path_factory.mktemp("published"), dict[str, SequenceEncoder]()

    def encoder(name: str) -> SequenceEncoder:
        if name not in made:
            folder = Path(shutil.copytree(FILES / name, root / name))
            if not (folder / "vocab.json").exists():
                complete_vocabulary(folder)
            made[name] = encoder_of(folder)
        return made[name]

    return encoder


def ids_by_hand(
    encoder: SequenceEncoder, turns: list[dict[str, Any]], **switches: Any
) -> list[int]:
    """The prompt as transformers renders and encodes it."""
    processor = encoder.published.processor
    text = processor.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True, **switches
    )
    return list(encoder.tokenizer(text).input_ids)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_an_answer_follows_the_prompt_that_transformers_makes(
    encoder_for: EncoderOf, name: str
) -> None:
    encoder = encoder_for(name)
    image = picture(280, 280)
    messages = [Message.user(ImagePart(image), "What is it?"), Message.assistant("\nA cat.")]
    (sequence,) = encoder.encode(Example(messages))
    turns = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}
    ]
    processor = encoder.published.processor
    text = processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    prompt = processor(text=[text], images=[image]).input_ids[0]
    assert list(sequence.ids[: len(prompt)]) == list(prompt)
    answer = encoder.tokenizer("\nA cat.").input_ids
    end = encoder.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert list(sequence.ids[len(prompt) :]) == [*answer, end]
    assert list(sequence.labels) == [IGNORED] * len(prompt) + [*answer, end]


def test_a_line_end_that_begins_an_answer_is_no_part_of_the_header(encoder_for: EncoderOf) -> None:
    encoder = encoder_for(QWEN2)
    (sequence,) = encoder.encode(Example([Message.user("?"), Message.assistant("\nhello")]))
    together = encoder.tokenizer(encoder.tokenizer.decode(sequence.ids)).input_ids
    assert list(sequence.ids) != together  # where both line ends are one token
    assert len(together) == len(sequence.ids) - 1


@pytest.mark.parametrize("name", CHECKPOINTS)
@pytest.mark.parametrize(
    "mark", ["<|box_start|>", "<|object_ref_end|>", "<think>", "</tool_call>", "<|quad_start|>"]
)
def test_marks_that_models_write_are_tokens_in_answers(
    encoder_for: EncoderOf, name: str, mark: str
) -> None:
    encoder = encoder_for(name)
    (sequence,) = encoder.encode(Example([Message.user("?"), Message.assistant(f"a {mark} b")]))
    mark_id = encoder.tokenizer.convert_tokens_to_ids(mark)
    if mark in encoder.tokenizer.get_vocab():
        assert sequence.labels.count(mark_id) == 1
    assert trained_text(encoder, sequence) == f"a {mark} b<|im_end|>"


@pytest.mark.parametrize("name", CHECKPOINTS)
@pytest.mark.parametrize(
    "token", ["<|im_end|>", "<|im_start|>", "<|image_pad|>", "<|endoftext|>", "<|vision_start|>"]
)
def test_an_answer_cannot_forge_ends_of_turns_or_pictures(
    encoder_for: EncoderOf, name: str, token: str
) -> None:
    encoder = encoder_for(name)
    (sequence,) = encoder.encode(Example([Message.user("?"), Message.assistant(f"a {token} b")]))
    forged = encoder.tokenizer.convert_tokens_to_ids(token)
    assert forged not in sequence.labels[:-1]
    assert trained_text(encoder, sequence) == f"a {token} b<|im_end|>"


CALLS = [
    Message.user("Weather?"),
    Message.assistant("I look.", ToolCall("weather", {"city": "Rome", "days": 2})),
    Message.tool("sunny"),
    Message.assistant("Sun."),
]
AS_JSON = 'I look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Rome", "days": 2}}\n'
AS_TAGS = (
    "I look.\n\n<tool_call>\n<function=weather>\n<parameter=city>\nRome\n</parameter>\n"
    "<parameter=days>\n2\n</parameter>\n</function>\n"
)


@pytest.mark.parametrize(
    ("name", "written"), [(QWEN2_5, AS_JSON), (QWEN3, AS_JSON), (QWEN3_5, AS_TAGS)]
)
def test_calls_are_written_as_the_checkpoints_template_writes_them(
    encoder_for: EncoderOf, name: str, written: str
) -> None:
    encoder = encoder_for(name)
    sequences = encoder.encode(Example(CALLS))
    trained = "".join(trained_text(encoder, sequence) for sequence in sequences)
    assert trained == f"{written}</tool_call><|im_end|>Sun.<|im_end|>"
    call_id = encoder.tokenizer.convert_tokens_to_ids("<tool_call>")
    assert sum(sequence.labels.count(call_id) for sequence in sequences) == 1


def test_a_call_without_words_is_trained_alone(encoder_for: EncoderOf) -> None:
    for name in (QWEN3, QWEN3_5):
        encoder = encoder_for(name)
        example = Example([Message.user("?"), Message.assistant(ToolCall("look", {}))])
        (sequence,) = encoder.encode(example)
        assert trained_text(encoder, sequence).startswith("<tool_call>\n")


THINKING = [
    Message.user("One and one?"),
    Message.assistant(ThinkingPart("Simple."), "Two."),
    Message.user("And three?"),
    Message.assistant(ThinkingPart("2 + 3 = 5."), "Five."),
]


def test_where_the_template_drops_thoughts_each_answer_has_a_sequence(
    encoder_for: EncoderOf,
) -> None:
    encoder = encoder_for(QWEN3_5)
    first, second = encoder.encode(Example(THINKING, thinking=True))
    assert trained_text(encoder, first) == "Simple.\n</think>\n\nTwo.<|im_end|>"
    assert trained_text(encoder, second) == "2 + 3 = 5.\n</think>\n\nFive.<|im_end|>"
    turns: list[dict[str, Any]] = [{"role": "user", "content": "One and one?"}]
    prompt = ids_by_hand(encoder, turns, enable_thinking=True)
    assert list(first.ids[: len(prompt)]) == prompt
    said = {"role": "assistant", "content": "Two.", "reasoning_content": "Simple."}
    turns += [said, {"role": "user", "content": "And three?"}]
    prompt = ids_by_hand(encoder, turns, enable_thinking=True)
    assert list(second.ids[: len(prompt)]) == prompt
    assert "Simple." not in encoder.tokenizer.decode(second.ids)


def test_thoughts_after_a_prompt_that_does_not_think_are_refused(encoder_for: EncoderOf) -> None:
    example = Example(THINKING[:2], where="train.jsonl:7")
    with pytest.raises(TrainingDataError, match="tells the model not to think") as caught:
        encoder_for(QWEN3_5).encode(example)
    assert caught.value.where == "train.jsonl:7.messages[1]"
    assert "thinking=True" in caught.value.hint


def test_an_answer_without_thoughts_after_a_prompt_that_thinks_is_refused(
    encoder_for: EncoderOf,
) -> None:
    example = Example([Message.user("?"), Message.assistant("Yes.")], thinking=True)
    with pytest.raises(TrainingDataError, match="opens the model's thoughts"):
        encoder_for(QWEN3_5).encode(example)


def test_thoughts_are_learned_by_a_checkpoint_that_has_none(encoder_for: EncoderOf) -> None:
    encoder = encoder_for(QWEN2_5)
    (sequence,) = encoder.encode(Example(THINKING[:2]))
    assert trained_text(encoder, sequence) == "<think>\nSimple.\n</think>\n\nTwo.<|im_end|>"


def test_thoughts_in_the_text_of_a_row_are_those_of_a_part(encoder_for: EncoderOf) -> None:
    row = {"query": "One and one?", "response": "<think>\nSimple.\n</think>\n\nTwo."}
    (example,) = read_examples([row], thinking=True)
    (sequence,) = encoder_for(QWEN3_5).encode(example)
    (same,) = encoder_for(QWEN3_5).encode(Example(THINKING[:2], thinking=True))
    assert sequence.ids == same.ids


def test_answers_share_a_sequence_where_the_prompts_go_on(encoder_for: EncoderOf) -> None:
    turns = [
        Message.user("q1"),
        Message.assistant("a1"),
        Message.user("q2"),
        Message.assistant("a2"),
    ]
    (sequence,) = encoder_for(QWEN3).encode(Example(turns))
    assert sequence.num_answers == 2
    assert trained_text(encoder_for(QWEN3), sequence) == "a1<|im_end|>a2<|im_end|>"
    assert len(encoder_for(QWEN3_5).encode(Example(turns))) == 2  # which drops empty thoughts
