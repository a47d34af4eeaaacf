"""Rows of other trainers' files are read as their pages say, and each fault has its place."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwenvl_kit import ImagePart, Message, TextPart, VideoPart
from qwenvl_kit.errors import MessageError, QwenVLKitError, QwenVLKitWarning, TrainingDataError
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.messages.tool_parts import ToolCall, ToolOffer
from qwenvl_kit.training import Example, LabelPart, PlacePart, read_examples

Row = Mapping[str, Any]


def read(row: Any, **options: Any) -> list[Example]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QwenVLKitWarning)
        return list(read_examples([row], **options))


def only(row: Any, **options: Any) -> tuple[Message, ...]:
    (example,) = read(row, **options)
    return example.messages


def turns(*contents: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": said} for at, said in enumerate(contents)]


def said(*contents: str) -> list[dict[str, str]]:
    names = ("human", "gpt")
    return [{"from": names[at % 2], "value": said} for at, said in enumerate(contents)]


USER, ANSWER = Message.user, Message.assistant
A, B = ImagePart("a.jpg"), ImagePart("b.jpg")

# The page on custom data sets of ms-swift 1 (`query`), and of ms-swift 3 and 4 (`messages`).
SWIFT: list[tuple[Row, list[Message]]] = [
    (
        {"query": "<image>what", "response": "it", "images": ["a.jpg"]},
        [USER(A, "what"), ANSWER("it")],
    ),
    (
        {
            "query": "l<image>m<image>r",
            "response": "f",
            "history": [],
            "images": ["a.jpg", "b.jpg"],
        },
        [USER("l", A, "m", B, "r"), ANSWER("f")],
    ),
    (
        {"query": "q3", "response": "a3", "history": [["q1", "a1"], ["q2", "a2"]], "images": []},
        [USER("q1"), ANSWER("a1"), USER("q2"), ANSWER("a2"), USER("q3"), ANSWER("a3")],
    ),
    (
        {"messages": turns("<image><video>q", "a"), "images": ["a.jpg"], "videos": ["v.mp4"]},
        [USER(A, VideoPart("v.mp4"), "q"), ANSWER("a")],
    ),
    (
        {"system": "s", "conversation": [{"human": "q", "assistant": "a"}]},
        [Message.system("s"), USER("q"), ANSWER("a")],
    ),
    ({"instruction": "i", "input": "j", "output": "o"}, [USER("i\nj"), ANSWER("o")]),
    (
        {
            "messages": turns("<image>Find the <ref-object>", "<bbox><bbox>"),
            "images": ["a.jpg"],
            "objects": {"ref": ["sheep"], "bbox": [[90.9, 160.8, 135, 212.8], [1, 2, 3, 4]]},
        },
        [
            USER(A, "Find the ", LabelPart("sheep")),
            ANSWER(PlacePart((90.9, 160.8, 135, 212.8)), PlacePart((1, 2, 3, 4))),
        ],
    ),
    (
        {
            "messages": turns("<image>Open it", "click(start_box='<bbox>')"),
            "images": ["a.jpg"],
            "objects": {"ref": [], "bbox": [[615, 226]]},
        },
        [USER(A, "Open it"), ANSWER("click(start_box='", PlacePart((615, 226)), "')")],
    ),
]

TOOLS = [{"type": "function", "function": {"name": "click", "parameters": {}}}]
OFFER = Message.system(ToolOffer((json.dumps(TOOLS[0]),)))

OTHERS: list[tuple[Row, list[Message]]] = [
    (  # qwen-vl-finetune/README.md: its trainer drops the blanks around tags
        {"image": "a.jpg", "conversations": said("<image>\nWhat?", "An apple")},
        [USER(A, "What?"), ANSWER("An apple")],
    ),
    (
        {"images": ["a.jpg", "b.jpg"], "conversations": said("<image>\n<image>\nDiffer?", "Yes")},
        [USER(A, "\n", B, "\nDiffer?"), ANSWER("Yes")],
    ),
    (
        {"video": "v.mp4", "conversations": said("<video>\nWhy?", "(B)")},
        [USER(VideoPart("v.mp4"), "Why?"), ANSWER("(B)")],
    ),
    (  # LLaMA-Factory's mllm_demo.json
        {"messages": turns("<image>Who?", "They", "What?", "Play"), "images": ["a.jpg"]},
        [USER(A, "Who?"), ANSWER("They"), USER("What?"), ANSWER("Play")],
    ),
    (  # its tests/data/test_converter.py
        {"conversations": [{"from": "system", "value": "s"}, *said("3 + 4", "7")]},
        [Message.system("s"), USER("3 + 4"), ANSWER("7")],
    ),
    (  # its glaive_toolcall_en_demo.json
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '{"name": "click", "arguments": {"x": 1}}'},
                {"from": "observation", "value": "done"},
                {"from": "gpt", "value": "a"},
            ],
            "tools": json.dumps(TOOLS),
        },
        [OFFER, USER("q"), ANSWER(ToolCall("click", {"x": 1})), Message.tool("done"), ANSWER("a")],
    ),
    (  # ms-swift's page on agents: a thought and a call are one turn, and a result shows a picture
        {
            "messages": [
                {"role": "user", "content": "<image>Time?"},
                {"role": "assistant", "content": "<think>\nOpen it.\n</think>\n"},
                {"role": "tool_call", "content": '{"name": "click", "arguments": {}}'},
                {"role": "tool_response", "content": '{"images": "<image>"}'},
                {"role": "assistant", "content": "11"},
            ],
            "images": ["a.jpg", "b.jpg"],
            "tools": TOOLS,
        },
        [
            OFFER,
            USER(A, "Time?"),
            ANSWER(ThinkingPart("Open it."), ToolCall("click", {})),
            Message.tool('{"images": "', B, '"}'),
            ANSWER("11"),
        ],
    ),
    (  # its tests/general/test_data_preprocess.py
        {
            "messages": [
                {"role": "user", "content": "q"},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"type": "function", "function": {"name": "f", "arguments": "{}"}}
                    ],
                },
                {"role": "tool", "content": "25"},
                {"role": "assistant", "content": "sunny"},
            ]
        },
        [USER("q"), ANSWER(ToolCall("f", {})), Message.tool("25"), ANSWER("sunny")],
    ),
    (  # OpenAI's calls beside texts with tags, and results out of order
        {
            "messages": [
                {"role": "user", "content": "<image>q"},
                {
                    "role": "assistant",
                    "content": "I look.",
                    "reasoning_content": "hm",
                    "tool_calls": [
                        {"id": "1", "function": {"name": "f", "arguments": "{}"}},
                        {"id": "2", "function": {"name": "g", "arguments": "{}"}},
                    ],
                },
                {"role": "tool", "tool_call_id": "2", "content": "two <image>"},
                {"role": "tool", "tool_call_id": "1", "content": "one"},
                {"role": "assistant", "content": "a"},
            ],
            "images": ["a.jpg", "b.jpg"],
        },
        [
            USER(A, "q"),
            ANSWER(ThinkingPart("hm"), "I look.", ToolCall("f", {}, "1"), ToolCall("g", {}, "2")),
            Message.tool("one"),
            Message.tool("two ", B),
            ANSWER("a"),
        ],
    ),
    (  # its tests/general/test_serialized_messages.py: messages as text, as CSV files hold them
        {"messages": json.dumps(turns("q", "a"))},
        [USER("q"), ANSWER("a")],
    ),
    (  # TRL's rows for vision: places in the prompt, pictures beside it, None for absent columns
        {
            "prompt": [
                {
                    "role": "user",
                    "content": [{"type": "image", "text": None}, {"type": "text", "text": "q"}],
                }
            ],
            "completion": [{"role": "assistant", "content": [{"type": "text", "text": "a"}]}],
            "images": ["a.jpg"],
        },
        [USER(A, "q"), ANSWER("a")],
    ),
    (  # OpenAI's fine-tuning of vision
        {
            "messages": [
                {"role": "user", "content": "q"},
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "https://x.org/a.jpg"}}],
                },
                {"role": "assistant", "content": "a"},
            ]
        },
        [USER("q"), USER(ImagePart("https://x.org/a.jpg")), ANSWER("a")],
    ),
]


@pytest.mark.parametrize(("row", "messages"), [*SWIFT, *OTHERS])
def test_a_published_row_is_read_as_its_trainer_reads_it(row: Row, messages: list[Message]) -> None:
    assert list(only(row)) == messages


@pytest.mark.parametrize(
    ("row", "form"),
    [
        (SWIFT[0][0], "swift"),
        (SWIFT[3][0], "swift"),
        (OTHERS[0][0], "qwen"),
        (OTHERS[1][0], "sharegpt"),
        (OTHERS[10][0], "trl"),
        (OTHERS[11][0], "openai"),
        ({"instruction": "i", "output": "o"}, "alpaca"),
    ],
)
def test_the_form_that_was_found_is_told(row: Row, form: str) -> None:
    examples = read_examples([row, row])
    list(examples)
    assert examples.forms == {form: 2}


def test_a_packed_list_holds_an_example_in_each_row() -> None:
    rows = [{"image": "a.jpg", "conversations": said("<image>\nq", "a")}] * 2
    first, second = read(rows)
    assert first == second
    assert second.where == "rows[0][1]"


def test_a_row_may_be_a_list_of_messages_or_an_example() -> None:
    messages = [USER("q"), ANSWER("a")]
    assert only(turns("q", "a")) == only(messages) == only(Example(messages)) == tuple(messages)


def test_rows_of_datasets_bring_pictures_in_memory_and_bytes() -> None:
    picture = Image.new("RGB", (8, 8))
    row = {
        "messages": turns("<image><image>q", "a"),
        "images": [picture, {"bytes": b"x", "path": None}],
    }
    (first, second, _) = only(row)[0].parts
    assert isinstance(first, ImagePart)
    assert first.source is picture
    assert second == ImagePart(b"x")


# What users have asked about in issues, in their rows' own shapes.
def test_a_picture_without_a_tag_goes_first_and_is_told() -> None:  # LLaMA-Factory 6135
    row = {"messages": turns("Which attire?", '{"attire": "Active"}'), "images": ["a.jpg"]}
    examples = read_examples([row])
    with pytest.warns(QwenVLKitWarning, match="image without a tag"):
        (example,) = examples
    assert example.messages[0] == USER(A, "Which attire?")
    assert len(examples.notes) == 1


def test_a_picture_may_be_a_name_and_no_list() -> None:  # LLaMA-Factory 5883
    row = {"id": "1", "image": "test1.jpg", "conversations": said("<image>\nq", "a")}
    assert only(row)[0].parts[0] == ImagePart("test1.jpg")


def test_tags_of_markup_that_are_closed_are_text() -> None:  # answers that write HTML
    assert only({"query": "Write it.", "response": "<video></video>"})[1] == ANSWER(
        "<video></video>"
    )


def test_marks_in_questions_are_characters_unless_they_are_trusted() -> None:  # Qwen3-VL 1616
    row = {
        "messages": turns("<image>Find <|object_ref_start|>it<|object_ref_end|>", "<|box_start|>"),
        "images": ["a.jpg"],
    }
    with pytest.warns(QwenVLKitWarning, match="trust_marks=True"):
        (plain,) = read_examples([row])
    assert plain.messages[0].parts[1] == TextPart("Find <|object_ref_start|>it<|object_ref_end|>")
    (trusted,) = read_examples([row], trust_marks=True)
    assert [part.trusted for part in trusted.messages[0].parts if isinstance(part, TextPart)] == [
        *(False, True, False, True),
    ]


def test_keys_under_other_names_are_read_by_columns() -> None:  # ms-swift 4898
    row = {"image_path": "a.jpg", "question": "<image>q", "result": "a"}
    columns = {"image_path": "images", "question": "query", "result": "response"}
    assert list(only(row, columns=columns)) == [USER(A, "q"), ANSWER("a")]


def test_boxes_may_be_of_several_pictures_and_in_shares_of_their_sides() -> None:
    objects = {"ref": [], "bbox": [[0.1, 0.2, 0.3, 0.4]], "bbox_type": "norm1", "image_id": [1]}
    row = {"messages": turns("<image><image>q", "<bbox>"), "images": ["a", "b"], "objects": objects}
    (place,) = only(row)[1].parts
    assert place == PlacePart((0.1, 0.2, 0.3, 0.4), image_index=1, unit_parts=1.0)


def test_what_a_row_says_of_its_loss_is_kept() -> None:
    flagged = [dict(turn, loss=at == 3) for at, turn in enumerate(turns("q", "a", "r", "b"))]
    assert read({"messages": flagged})[0].answer_indices == (3,)
    weighted = [
        dict(turn, weight=int(at == 1)) for at, turn in enumerate(turns("q", "a", "r", "b"))
    ]
    assert read({"messages": weighted})[0].answer_indices == (1,)
    row = {"messages": turns("q", "a", "r", "b"), "loss_scale": "last_round"}
    assert read(row)[0].answer_indices == (3,)
    assert read({"query": "q", "response": "a", "weight": 0.5})[0].weight == 0.5


def test_only_the_completion_of_trl_is_learned() -> None:
    row = {"prompt": turns("q", "a", "r"), "completion": [{"role": "assistant", "content": "b"}]}
    assert read(row)[0].answer_indices == (3,)


def test_the_last_answers_alone_may_be_learned() -> None:
    assert read({"messages": turns("q", "a", "r", "b")}, answers="last")[0].answer_indices == (3,)


FAULTS: list[tuple[Any, str]] = [
    ({"query": "<image><image>q", "response": "a", "images": ["x"]}, "2 <image> tags and 1 images"),
    ({"query": "<image>q", "response": "a"}, "1 <image> tags and 0 images"),
    ({"query": "<image>q", "response": "a", "images": ["x", "y"]}, "1 <image> tags and 2 images"),
    ({"query": "<video>q", "response": "a", "images": ["x"]}, "1 <video> tags and 0 videos"),
    ({"query": "q", "response": ""}, "the answer is empty"),
    ({"query": "q", "response": "  \n"}, "the answer is empty"),
    ({"query": "q", "response": None}, "no 'response'"),
    ({"messages": turns("q")}, "no answer to learn"),
    ({"messages": turns("q", "a", "r")}, "the last message is of the role 'user'"),
    ({"messages": [{"role": "assistant", "content": "I love music"}]}, "follows no question"),
    ({"messages": [{"role": "usr", "content": "q"}]}, "the role 'usr' was given"),
    ({"messages": [*turns("q", "a"), {"role": "assistant", "content": "b"}]}, "follow each other"),
    ({"messages": turns("q", "<image>"), "images": ["x"]}, "models write no pictures"),
    ({"messages": []}, "with 0 turns"),
    ({"messages": "not a list"}, "no JSON"),
    ({"qeury": "q", "response": "a"}, "no 'query'"),
    ({"query": "q", "response": "a", "imgaes": ["x"]}, "the key 'imgaes' was given"),
    (
        {"query": "q", "response": "a", "messages": turns("q", "a")},
        "each of which is a conversation",
    ),
    ({"question": "q", "answer": "a"}, "a row with the keys"),
    ({"messages": turns("q", "a"), "rejected_response": "b"}, "preference data"),
    ({"messages": turns("q"), "label": 1}, "data to rate or classify"),
    ({"messages": turns("<audio>q", "a"), "audios": ["x"]}, "sound"),
    ({"prompt": "The sky is", "completion": " blue."}, "without a chat template"),
    ({"query": "q", "response": "a", "weight": 0}, "weight=0 was given"),
    ({"query": "q", "response": "a", "loss_scale": "react"}, "loss_scale='react'"),
    ({"query": "q", "response": "a", "tools": "{API_LIST}"}, "tools are a text that is no JSON"),
    ({"query": "q", "response": "a", "system": "s", "history": [["q"]]}, "a turn of the history"),
    ({"query": "q", "response": "<think>hm"}, "no </think> ends its thoughts"),
    ({"messages": [dict(turns("q", "a")[1], loss=0.5)]}, "1 or 0"),
    (
        {"query": "q<bbox>", "response": "a", "objects": {"ref": [], "bbox": []}},
        "1 <bbox> tags and 0 boxes",
    ),
    ({"query": "q<bbox>", "response": "a", "objects": {"bbox": [[5, 5, 1, 1]]}}, "has no area"),
    (
        {"query": "q<bbox>", "response": "a", "objects": {"bbox": [[5, 5, 1]]}},
        "the place [5, 5, 1]",
    ),
    ({"query": "q<bbox>", "response": "a", "objects": {"box": [[1, 1, 5, 5]]}}, "the key 'box'"),
    ("a text", "a row of type str"),
    (
        {"messages": [{"role": "user", "content": [{"type": "imgae", "image": "x"}]}]},
        "type='imgae'",
    ),
]


@pytest.mark.parametrize(("row", "words"), FAULTS)
def test_a_row_that_cannot_be_trained_is_an_error_with_its_line(
    tmp_path: Path, row: Any, words: str
) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(f'{{"query": "q", "response": "a"}}\n{json.dumps(row)}\n', encoding="utf-8")
    found = iter(read_examples(path))
    assert next(found).where == f"{path}:1"
    with pytest.raises((TrainingDataError, MessageError)) as caught:
        next(found)
    assert words in str(caught.value)
    assert caught.value.where.startswith(f"{path}:2")
    assert caught.value.expected


def test_a_misspelt_key_is_answered_by_the_line_to_write() -> None:
    with pytest.raises(TrainingDataError) as caught:
        read({"qeury": "q", "response": "a"})
    assert caught.value.hint == "columns={'qeury': 'query'}"


def test_any_other_key_is_told_once_with_the_number_of_its_rows() -> None:
    examples = read_examples([{"query": "q", "response": "a", "task": "vqa"}] * 3)
    with pytest.warns(QwenVLKitWarning, match="'task' is not read") as caught:
        assert len(list(examples)) == 3
    assert len(caught) == 1
    assert examples.notes == (
        "rows[0] and 2 more: the key 'task' is not read; ignore=['task'] says so",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(read_examples([{"query": "q", "response": "a", "task": "vqa"}], ignore=["task"]))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, int], Path]:
    def write(name: str, count: int) -> Path:
        path = tmp_path / name
        rows = [{"query": f"{name} {at}", "response": "a"} for at in range(count)]
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return path

    return write


def questions(examples: Any) -> list[str]:
    return [example.messages[0].text for example in examples]


def test_each_pass_gives_the_same_examples_and_files_are_read_in_turn(
    written: Callable[[str, int], Path],
) -> None:
    examples = read_examples([written("a.jsonl", 2), written("b.jsonl", 1)])
    assert questions(examples) == questions(examples) == ["a.jsonl 0", "a.jsonl 1", "b.jsonl 0"]


def test_nothing_is_read_before_it_is_asked_for(written: Callable[[str, int], Path]) -> None:
    path = written("a.jsonl", 1)
    examples = read_examples(path)
    path.write_text('{"query": "new", "response": "a"}', encoding="utf-8")
    assert questions(examples) == ["new"]


def test_files_are_mixed_by_their_shares_and_keep_their_own_order(
    written: Callable[[str, int], Path],
) -> None:
    a, b = written("a.jsonl", 400), written("b.jsonl", 400)
    examples = read_examples({a: 0.75, b: 0.25}, seed=3)
    found = questions(examples)
    assert found == questions(examples) != questions(read_examples({a: 3, b: 1}, seed=4))
    assert found == questions(read_examples({a: 3, b: 1}, seed=3))
    own = [text for text in found if text.startswith("a")]
    assert own == [f"a.jsonl {at}" for at in range(400)]  # the pass ends with its last
    assert 0.65 < len(own) / len(found) < 0.85


def test_a_mix_may_go_on_until_each_file_has_given_all(
    written: Callable[[str, int], Path],
) -> None:
    a, b = written("a.jsonl", 5), written("b.jsonl", 50)
    found = questions(read_examples({a: 1, b: 1}, until="all"))
    assert {f"b.jsonl {at}" for at in range(50)} <= set(found)
    assert found.count("a.jsonl 0") > 1


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (iter([]), {}, "can be read several times"),
        (3, {}, "data of type int"),
        ({"a.jsonl": 0}, {}, "the share 0"),
        ({"query": "q", "response": "a"}, {}, "[row], if it is a row"),
        ("a.jsonl", {"form": "swfit"}, "form='swfit'"),
        ("a.jsonl", {"answers": "first"}, "answers='first'"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(data: Any, options: Any, words: str) -> None:
    with pytest.raises(QwenVLKitError) as caught:
        read_examples(data, **options)
    assert words in str(caught.value)


def test_relative_names_lie_below_the_file_or_the_folder_that_is_given(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    images = ["a.jpg", "/data/b.jpg", "https://x.org/c.jpg", "data:image/png;base64,aGk="]
    row = {"query": "<image>" * 4 + "q", "response": "a", "images": images}
    path.write_text(json.dumps(row), encoding="utf-8")

    def sources(**options: Any) -> Iterator[object]:
        (example,) = read_examples(path, **options)
        return (part.source for part in example.messages[0].parts if isinstance(part, ImagePart))

    assert list(sources()) == [str(tmp_path / "a.jpg"), *images[1:]]
    assert next(sources(media_root="/media")) == "/media/a.jpg"
