"""A trained model is compared with its base, and each example can fail by itself."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from PIL import Image, ImageDraw
from transformers import AutoModelForImageTextToText

from qwenvl_kit import ImagePart, Message, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.errors import AdapterError, InputError, UnsupportedFeatureError
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.training import (
    ComparedExample,
    Example,
    LabelPart,
    PlacePart,
    TrainingReport,
    compare_before_and_after,
)
from qwenvl_kit.training.outcome.report import read_report, write_report

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random adapter of the embedded model, strong enough to change what it says."""
    model = AutoModelForImageTextToText.from_pretrained(MODEL_FOLDER, dtype=torch.float32)
    config = peft.LoraConfig(r=4, target_modules=r".*language_model.*\.(v_proj|up_proj)")
    torch.manual_seed(0)
    wrapped = peft.get_peft_model(model, config)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=2.0)
    folder = tmp_path_factory.mktemp("adapters") / "words"
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def chat(adapter: Path) -> Iterator[VisionChat]:
    with VisionChat.from_pretrained(adapter=adapter) as chat:
        yield chat


@pytest.fixture(scope="module")
def base() -> Iterator[VisionChat]:
    with VisionChat.from_pretrained() as chat:
        yield chat


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = Image.new("RGB", (280, 200), "white")
    ImageDraw.Draw(image).ellipse((40, 40, 160, 160), fill="red")
    path = tmp_path_factory.mktemp("pictures") / "circle.png"
    image.save(path)
    return path


def asked(picture: object, answer: str = "A red circle.", where: str = "val.jsonl:1") -> Example:
    question = Message.user(ImagePart(picture), "What is this?")  # type: ignore[arg-type]
    return Example([question, Message.assistant(answer)], where=where)


def compared(chat: VisionChat, examples: list[Example], **settings: Any) -> TrainingReport:
    return compare_before_and_after(chat, examples, **{"max_new_tokens": 12, **settings})


def said(chat: VisionChat, messages: list[Message]) -> str:
    """The answer of a chat as the report has it."""
    reply = chat.ask(messages, sampling=Sampling(max_new_tokens=12, keep_special_tokens=True))
    return reply.text.strip() + (" ..." if reply.finish_reason == "length" else "")


def test_both_models_answer_as_chats_of_their_own_would(
    chat: VisionChat, base: VisionChat, picture: Path
) -> None:
    example = asked(picture)
    (shown,) = compared(chat, [example]).examples
    question = example.messages[0]
    assert (shown.before, shown.after) == (said(base, [question]), said(chat, [question]))
    assert shown.before != shown.after
    for nll, one in ((shown.nll_before, base), (shown.nll_after, chat)):
        ((reply,),) = one.score([[question]], ["A red circle."])
        assert reply.logprob is not None
        assert nll == pytest.approx(-reply.logprob / len(reply.scores), abs=1e-6)


def test_the_report_counts_exact_answers_of_all_and_shows_a_few_spread_over_them(
    chat: VisionChat, picture: Path
) -> None:
    examples = [asked(picture, "A red circle." if at % 2 else "No.", f"v:{at}") for at in range(6)]
    report = compared(chat, examples, num_shown=3)
    assert [each.where for each in report.examples] == ["v:0", "v:2", "v:4"]
    assert (report.num_examples, report.num_compared, report.num_scored) == (6, 6, 6)
    assert (report.num_exact_before, report.num_exact_after) == (3, 0)


def test_a_failure_costs_its_own_example_alone(chat: VisionChat, picture: Path) -> None:
    report = compared(
        chat, [asked(picture), asked("missing.png", where="val.jsonl:2"), asked(picture)]
    )
    assert (report.num_examples, report.num_compared) == (3, 2)
    (problem,) = report.problems
    assert problem.startswith("val.jsonl:2: messages[0].parts[0]: no file")
    assert "problem   messages[0].parts[0]: no file" in str(report)


def test_the_adapter_is_in_use_again_also_if_the_comparison_fails(
    chat: VisionChat, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    active = chat.adapters.active
    compared(chat, [asked(picture)])
    assert chat.adapters.active == active == "words"

    ask_many = chat.ask_many

    def interrupted(*args: object, **settings: object) -> object:
        if chat.adapters.active is None:
            raise KeyboardInterrupt
        return ask_many(*args, **settings)  # type: ignore[call-overload]

    monkeypatch.setattr(chat, "ask_many", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compared(chat, [asked(picture)])
    assert chat.adapters.active == active


def test_two_chats_are_compared_where_all_weights_were_trained(
    chat: VisionChat, base: VisionChat, picture: Path
) -> None:
    one = compared(chat, [asked(picture)])
    two = compared(chat, [asked(picture)], before=base)
    assert two.examples[0].before == one.examples[0].before
    assert two.examples[0].nll_before == pytest.approx(one.examples[0].nll_before, abs=1e-6)


def test_a_training_that_changed_nothing_is_told(base: VisionChat, picture: Path) -> None:
    report = compared(base, [asked(picture)], before=base)
    assert "the training changed no probability" in str(report)


def test_places_are_asked_and_scored_as_the_family_writes_them(
    chat: VisionChat, picture: Path
) -> None:
    question = Message.user(ImagePart(picture), "Where is the ", LabelPart("red circle"), "?")
    example = Example([question, Message.assistant(PlacePart((40, 40, 160, 160)))])
    (shown,) = compared(chat, [example]).examples
    assert shown.where == "examples[0]"
    assert "<|object_ref_start|>red circle<|object_ref_end|>" in shown.question
    assert shown.expected == "<|box_start|>(143,200),(571,800)<|box_end|>"
    assert shown.nll_before is not None
    assert shown.problem == ""


def test_an_answer_of_tool_calls_is_shown_and_has_no_score(chat: VisionChat, picture: Path) -> None:
    def find(name: str) -> str:
        """Find a thing."""
        return name

    call = Message.assistant(ToolCall("find", {"name": "circle"}))
    example = Example([Message.user(ImagePart(picture), "Find it."), call], tools=[find])
    report = compared(chat, [example])
    assert report.examples[0].expected == 'find({"name": "circle"})'
    assert (report.num_compared, report.num_scored) == (1, 0)
    assert report.nll_before is None


def test_an_answer_that_was_cut_off_ends_with_a_mark_and_is_not_exact(
    chat: VisionChat, picture: Path
) -> None:
    (shown,) = compared(chat, [asked(picture)], max_new_tokens=2).examples
    assert shown.before is not None
    assert shown.before.endswith(" ...")
    assert not shown.is_exact_before


def test_the_last_answer_of_a_conversation_is_asked_after_those_before(
    chat: VisionChat, base: VisionChat, picture: Path
) -> None:
    turns = [
        Message.user(ImagePart(picture), "What is this?"),
        Message.assistant("A blue square."),
        Message.user("Which colour?"),
        Message.assistant("Blue."),
    ]
    (shown,) = compared(chat, [Example(turns)]).examples
    assert shown.question == "Which colour?"
    assert shown.before == said(base, turns[:3])


def test_pictures_and_films_are_shown_small(chat: VisionChat, picture: Path) -> None:
    frames = [Image.new("RGB", (112, 112), colour) for colour in ("red", "red", "blue", "blue")]
    parts = (ImagePart(picture), VideoPart(frames, fps=2), "What is this?")
    example = Example([Message.user(*parts), Message.assistant("Things.")])
    (shown,) = compared(chat, [example]).examples
    assert shown.num_pictures == 2
    assert "(2 pictures)" in str(shown)
    for thumbnail in shown.thumbnails:
        assert thumbnail.startswith(b"\xff\xd8")
        assert len(thumbnail) < 20_000
    assert shown._repr_html_().count("<img") == 2


def test_texts_of_strangers_steer_neither_a_terminal_nor_a_notebook(
    chat: VisionChat, picture: Path
) -> None:
    question = Message.user(ImagePart(picture), HOSTILE)
    example = Example([question, Message.assistant(HOSTILE)], where=f"{HOSTILE}:1")
    report = compared(chat, [example])
    assert not {"\x1b", "\u202e"} & {*str(report), *report._repr_html_()}
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            assert all(not name.startswith("on") for name, _ in attrs)

    Reader().feed(report._repr_html_())
    assert "script" not in tags
    assert "img" in tags


def test_a_report_is_the_same_after_a_way_through_its_file(
    chat: VisionChat, picture: Path, tmp_path: Path
) -> None:
    report = compared(chat, [asked(picture)])
    write_report(tmp_path, report)
    assert read_report(tmp_path) == report
    assert read_report(tmp_path)._repr_html_() == report._repr_html_()


def test_a_long_text_is_shortened_in_the_report_and_more_so_in_print() -> None:
    shown = ComparedExample(where="v:1", question="q" * 2000, expected="a", before="b")
    assert len(str(shown)) < 500
    assert TrainingReport.of([shown], shown=[shown]).num_compared == 0


def test_a_report_of_nothing_says_so(chat: VisionChat) -> None:
    assert str(compared(chat, [])) == "no examples were compared"
    assert str(TrainingReport()) == "no examples were compared"


def test_a_chat_without_an_adapter_has_nothing_to_compare(base: VisionChat) -> None:
    with pytest.raises(AdapterError, match="no adapter is in use"):
        compared(base, [])
    with pytest.raises(UnsupportedFeatureError):
        compared(VisionChat(ScriptedBackend(["yes"])), [])


@pytest.mark.parametrize("number", [-1, True, 1.5])
def test_a_number_of_examples_that_cannot_be_shown_is_refused(
    chat: VisionChat, number: int
) -> None:
    with pytest.raises(InputError, match="num_shown"):
        compared(chat, [], num_shown=number)
