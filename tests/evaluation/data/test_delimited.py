"""TSV and CSV files are read as they were written, and their pictures stay in the file."""

from __future__ import annotations

import csv
import io
import tracemalloc
from pathlib import Path

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.data.delimited import split_cells
from qwenvl_kit.evaluation.data.opening import open_rows
from tests.evaluation.data.files import in_base64, png, write_tsv

PICTURE = in_base64(png())


def rows_of(path: Path) -> list[dict[str, object]]:
    return [dict(row) for row in open_rows(path, heavy=("image",))]


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("a\tb\tc", ["a", "b", "c"]),
        ("\t\t", ["", "", ""]),
        ('"a\tb"\tc', ["a\tb", "c"]),
        ('"say ""yes"""\tc', ['say "yes"', "c"]),
        ('""\t""', ["", ""]),
        ('a "b" c\td', ['a "b" c', "d"]),
        ('5" disk\t6"', ['5" disk', '6"']),
        ('"a\nb"\tc', ["a\nb", "c"]),
        ('"a"b\tc', ["ab", "c"]),
        ('"""a"""\tc', ['"a"', "c"]),
    ],
)
def test_a_record_has_the_cells_that_pythons_csv_reads(line: str, cells: list[str]) -> None:
    expected = next(csv.reader(io.StringIO(line, newline=""), delimiter="\t"))
    assert expected == cells
    assert split_cells(line, "\t") == cells


@pytest.mark.parametrize(
    "options", [{}, {"quoting": csv.QUOTE_MINIMAL}, {"lineterminator": "\r\n"}]
)
def test_cells_with_tabs_quotes_and_lines_come_back(
    tmp_path: Path, options: dict[str, object]
) -> None:
    rows = [
        {"index": "0", "question": 'two\nlines, a\ttab and a "quote"', "image": PICTURE},
        {"index": "1", "question": "", "image": PICTURE},
        {"index": "2", "question": "Größe 大きさ", "image": ""},
    ]
    path = write_tsv(tmp_path / "a.tsv", rows, **options)
    read = [{name: row[name] for name in rows[0]} for row in rows_of(path)]
    assert read == rows


def test_rows_have_the_lines_on_which_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('index\tquestion\n0\t"two\nlines"\n\n1\tone\n', encoding="utf-8")
    assert [row.where for row in open_rows(path)] == ["a.tsv:2", "a.tsv:5"]


def test_a_mark_of_byte_order_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbf"index",question\r\n0,q\r\n')
    rows = open_rows(path)
    assert list(rows.columns) == ["index", "question"]
    assert [dict(row) for row in rows] == [{"index": "0", "question": "q"}]


def test_a_last_line_without_its_end_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("index,question\n0,q", encoding="utf-8")
    assert [dict(row) for row in open_rows(path)] == [{"index": "0", "question": "q"}]


@pytest.mark.parametrize("text", ["None", "NA", "nan", "null", "N/A", "1.0", "007", "TRUE"])
def test_a_cell_is_the_text_that_was_written(tmp_path: Path, text: str) -> None:
    """VLMEvalKit hides the option "None": pandas reads it as NaN (its issue 1559)."""
    path = write_tsv(tmp_path / "a.tsv", [{"index": 0, "A": text}])
    assert next(iter(open_rows(path)))["A"] == text


def test_a_picture_is_read_from_the_file_each_time_that_it_is_asked_for(tmp_path: Path) -> None:
    rows = [{"index": at, "image": in_base64(png())} for at in range(3)]
    path = write_tsv(tmp_path / "a.tsv", rows)
    read = list(open_rows(path, heavy=("image",)))
    assert not any(row.is_in_memory("image") for row in read)
    assert [row["image"] for row in reversed(read)] == [row["image"] for row in reversed(rows)]


def test_a_short_cell_of_a_heavy_column_is_kept(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "a.tsv", [{"index": 0, "video": "film.mp4"}])
    assert next(iter(open_rows(path, heavy=("video",)))).is_in_memory("video")


def test_a_row_shows_the_picture_of_the_row_whose_index_it_has(tmp_path: Path) -> None:
    """VLMEvalKit writes a picture that questions share once (dataset/image_base.py)."""
    other = in_base64(png())
    rows = [
        {"index": "7", "image": PICTURE},
        {"index": "8", "image": "7"},
        {"index": "9", "image": other},
        {"index": "10", "image": "9"},
        {"index": "11", "image": "8"},
        {"index": "12", "image": "99"},
    ]
    read = rows_of(write_tsv(tmp_path / "a.tsv", rows))
    shown = [row["image"] for row in read]
    assert shown == [PICTURE, PICTURE, other, other, "8", "99"]


def test_a_file_of_many_pictures_needs_the_memory_of_a_few(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    cell = PICTURE * 400
    with open(path, "w", encoding="utf-8") as file:
        file.write("index\tquestion\timage\n")
        for at in range(40):
            file.write(f"{at}\tq{at}\t{cell}\n")
    tracemalloc.start()
    rows = open_rows(path, heavy=("image",))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == 40
    assert peak < path.stat().st_size / 4


def test_cells_may_be_longer_than_pythons_csv_takes(tmp_path: Path) -> None:
    text = "x" * (csv.field_size_limit() + 1)
    path = write_tsv(tmp_path / "a.tsv", [{"index": 0, "question": text}])
    assert next(iter(open_rows(path)))["question"] == text


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "a.tsv", [{"index": 0, "image": PICTURE}])
    row = next(iter(open_rows(path, heavy=("image",))))
    path.write_text("index\timage\n", encoding="utf-8")
    with pytest.raises(EvaluationError, match="was changed") as caught:
        row["image"]
    assert caught.value.where == "a.tsv:2"


@pytest.mark.parametrize(
    ("content", "problem", "where"),
    [
        (b"", "is empty", ""),
        (b"a\tb\n1\t2\n3\n", "has 1 cells", "a.tsv:3"),
        (b"a\tb\n1\t2\t3\n", "has 3 cells", "a.tsv:2"),
        (b'a\tb\n1\t"2\n3\t4\n', "quote is opened and not closed", "a.tsv:2"),
        (b"a\tb\n1\t\xff\n", "no text in UTF-8", "a.tsv:2"),
        (b"a\ta\n1\t2\n", "the name 'a'", ""),
        (b"a\tb\r1\t2\r", "carriage return alone", ""),
        ("a\tb\n1\t2\n".encode("utf-16"), "no text in UTF-8", "a.tsv:1"),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(
    tmp_path: Path, content: bytes, problem: str, where: str
) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match=problem) as caught:
        open_rows(path)
    assert caught.value.where == where
