"""A report has exact lengths, all faults with their lines, and what is in the loss; no weights."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwenvl_kit import ImagePart, MediaPolicy, Message, VisionChat
from qwenvl_kit.errors import QwenVLKitError, TrainingDataError
from qwenvl_kit.training import (
    Example,
    ExamplesReport,
    Quantiles,
    check_examples,
    read_examples,
    show_example,
)

ROW = {"query": "<image>What?", "response": "A red thing.", "images": ["a.png"]}


@pytest.fixture(scope="session")
def small_files(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint's small files, without its weights."""
    folder = tmp_path_factory.mktemp("small")
    for path in tiny_folder.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    Image.new("RGB", (112, 112), "red").save(tmp_path / "a.png")
    Image.new("RGB", (112, 112), "red").save(tmp_path / "same.png")
    Image.new("RGB", (112, 112), "blue").save(tmp_path / "b.png")
    (tmp_path / "text.png").write_bytes(b"no picture")
    return tmp_path


def write(folder: Path, rows: Sequence[Any]) -> Path:
    path = folder / "train.jsonl"
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def check(model: Path, path: Path, **options: Any) -> ExamplesReport:
    return check_examples(model, read_examples(path), **options)


def test_lengths_are_those_of_the_plan_and_the_answer(
    tiny_folder: Path, small_files: Path, data: Path
) -> None:
    report = check(small_files, write(data, [ROW]))
    chat = VisionChat.from_pretrained(tiny_folder)
    plan = chat.plan("What?", str(data / "a.png"))
    (end,) = (report.trained_tokens.most,)
    assert report.tokens.most == plan.prompt_tokens + end
    assert report.visual_tokens.most == plan.visual_tokens
    assert (report.num_examples, report.num_sequences, report.num_answers) == (1, 1, 1)
    assert report.forms == {"swift": 1}
    assert report.is_ok


def test_a_budget_decides_the_visual_tokens(small_files: Path, tmp_path: Path) -> None:
    example = Example(
        [Message.user(ImagePart(Image.new("RGB", (2000, 2000))), "?"), Message.assistant("a")]
    )
    small, large = (check_examples(small_files, [example], budget=b) for b in ("quick", "standard"))
    assert small.visual_tokens.most <= 512 < large.visual_tokens.most <= 1024


def test_all_faults_are_told_with_their_lines_and_the_rest_is_counted(
    small_files: Path, data: Path
) -> None:
    rows = [
        ROW,
        {**ROW, "images": ["text.png"]},
        {**ROW, "images": ["missing.png"]},
        {**ROW, "images": []},
        "{oops",
        {"query": "q", "response": "x" * 20_000},
        {**ROW, "images": ["b.png"]},
    ]
    report = check(small_files, write(data, rows))
    lines = [int(re.findall(r"train\.jsonl:(\d+)", fault.where)[0]) for fault in report.faults]
    assert lines == [2, 3, 4, 5, 6]
    assert [fault.kind for fault in report.faults[:2]] == ["MediaDecodeError", "MediaNotFoundError"]
    assert report.num_examples == 2
    assert not report.is_ok
    with pytest.raises(TrainingDataError, match="5 examples cannot be trained"):
        report.raise_faults()


def test_a_place_outside_of_its_picture_is_a_fault_with_the_size(
    small_files: Path, data: Path
) -> None:
    row = {**ROW, "response": "<bbox>", "objects": {"ref": [], "bbox": [[0, 0, 200, 100]]}}
    (fault,) = check(small_files, write(data, [row])).faults
    assert "112 x 112 px" in fault.problem
    inside = {**row, "objects": {"ref": [], "bbox": [[0, 0, 112.4, 100]]}}
    assert check(small_files, write(data, [inside])).is_ok
    alone = {**inside, "query": "Is it in <bbox>?", "response": "No.", "images": []}
    (fault,) = check(small_files, write(data, [alone])).faults
    assert "0 pictures stand before it" in fault.problem


def test_an_example_that_is_too_long_is_never_cut(small_files: Path, data: Path) -> None:
    path = write(data, [ROW, {"query": "q", "response": "x" * 200}])
    (fault,) = check(small_files, path, max_tokens=100).faults
    assert fault.where == f"{path}:2"
    assert "at most 100" in fault.problem
    report = check(small_files, path, max_tokens=100, too_long="skip")
    assert report.is_ok
    assert report.skipped == (f"{path}:2",)
    assert report.num_examples == 1


def test_damaged_pixels_are_found_when_they_are_decoded(small_files: Path, data: Path) -> None:
    whole = (data / "a.png").read_bytes()
    (data / "a.png").write_bytes(whole[: len(whole) // 2])
    path = write(data, [ROW])
    assert check(small_files, path).is_ok
    (fault,) = check(small_files, path, decode=True).faults
    assert fault.where == f"{path}:1.messages[0].parts[0]"


def test_pictures_are_opened_under_the_policy(small_files: Path, data: Path) -> None:
    report = check(small_files, write(data, [ROW]), media=MediaPolicy(allow_folders=[]))
    assert [fault.kind for fault in report.faults] == ["MediaForbiddenError"]


def test_repeats_are_found_by_the_bytes_of_pictures(small_files: Path, data: Path) -> None:
    others = [
        {**ROW, "images": ["same.png"]},
        {**ROW, "images": ["b.png"]},
        {**ROW, "response": "Red."},
    ]
    path = write(data, [ROW, *others])
    report = check(small_files, path)
    assert [(r.where, r.first) for r in report.duplicates] == [(f"{path}:2", f"{path}:1")]


def test_a_question_of_the_validation_that_is_trained_on_is_told(
    small_files: Path, data: Path
) -> None:
    path = write(data, [ROW])
    picture = ImagePart(data / "same.png")
    leaked = Example([Message.user(picture, "What?"), Message.assistant("Something else.")])
    other = Example([Message.user(picture, "Which?"), Message.assistant("A red thing.")])
    report = check(small_files, path, validation=[other, leaked])
    assert [(r.where, r.first) for r in report.overlap] == [("validation[1]", f"{path}:1")]


def test_ends_of_turns_in_answers_are_noted(small_files: Path) -> None:
    example = Example([Message.user("q"), Message.assistant("a<|im_end|>")])
    (note,) = check_examples(small_files, [example]).notes
    assert "<|im_end|>" in note
    assert "the token that ends an answer is added" in note


def test_what_is_in_the_loss_is_marked_in_text_and_html(small_files: Path, data: Path) -> None:
    turns = [
        Message.user(ImagePart(data / "a.png"), "<b>What?</b>\x1b[2J"),
        Message.assistant("A <i>red</i> thing."),
    ]
    (shown,) = show_example(small_files, Example(turns))
    text, html = str(shown), shown._repr_html_()
    assert "⟦A <i>red</i> thing.<|im_end|>⟧" in text
    assert f"<|image_pad|> x {shown.visual_tokens}" in text
    assert "\x1b" not in text + html
    reader = Tags()
    reader.feed(html)
    assert reader.names == ["p", "pre", "mark"]
    assert reader.marked == "A <i>red</i> thing.<|im_end|>"


class Tags(HTMLParser):
    """The elements of a page, and the text that is marked in it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.marked = ""
        self._is_marked = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.append(tag)
        self._is_marked = tag == "mark"

    def handle_endtag(self, tag: str) -> None:
        self._is_marked = False

    def handle_data(self, data: str) -> None:
        self.marked += data if self._is_marked else ""


def test_a_report_is_shown_as_a_table_with_its_faults(small_files: Path, data: Path) -> None:
    report = check(small_files, write(data, [ROW, "{oops"]))
    assert "tokens in the loss" in str(report)
    assert "1 cannot be trained:" in str(report)
    assert "⟦A red thing.<|im_end|>⟧" in str(report)
    assert report._repr_html_().startswith("<table>")


def test_quantiles_are_values_that_occur() -> None:
    values = list(range(1, 101))
    assert Quantiles.of(values[::-1]) == Quantiles(1, 50, 90, 99, 100, 5050)
    assert Quantiles.of([7]) == Quantiles(7, 7, 7, 7, 7, 7)
    assert Quantiles.of([]) == Quantiles()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"too_long": "cut"}, "too_long='cut'"),
        ({"budget": "huge"}, "huge"),
        ({"examples": "train.jsonl"}, "read_examples"),
        ({"examples": [{"query": "q", "response": "a"}]}, "read_examples"),
    ],
)
def test_a_wrong_argument_is_refused(
    small_files: Path, options: Mapping[str, Any], words: str
) -> None:
    given = {"examples": [], **options}
    with pytest.raises(QwenVLKitError) as caught:
        check_examples(small_files, **given)
    assert words in str(caught.value)


def test_reading_loads_no_torch() -> None:
    code = (
        "import sys\n"
        "from qwenvl_kit.training import check_examples, read_examples\n"
        "list(read_examples([{'query': 'q', 'response': 'a'}]))\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False False"
