"""Parquet files are read as hubs have them: in shards, with pictures as bytes."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from qwenvl_kit.errors import EvaluationError, MissingPackageError
from qwenvl_kit.evaluation.data.opening import open_rows
from tests.evaluation.data.files import png, write_parquet

pytest.importorskip("pyarrow")


def hub_rows(number: int, first: int = 0) -> list[dict[str, object]]:
    return [
        {
            "questionId": str(at),
            "question": f"q{at}",
            "image": {"bytes": f"picture {at}".encode() * 100, "path": f"{at}.png"},
            "answers": ["a", f"b{at}"],
            "metadata": {"skills": ["one", "two"], "grade": 7},
        }
        for at in range(first, first + number)
    ]


def test_a_file_has_the_rows_that_were_written(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", hub_rows(5))
    rows = open_rows(path)
    assert list(rows.columns) == ["questionId", "question", "image", "answers", "metadata"]
    assert [dict(row) for row in rows] == hub_rows(5)
    assert [row.where for row in rows][2] == "a.parquet:3"


def test_bytes_stay_in_the_file_though_no_column_is_named_heavy(tmp_path: Path) -> None:
    read = list(open_rows(write_parquet(tmp_path / "a.parquet", hub_rows(3))))
    assert [row.is_in_memory("image") for row in read] == [False] * 3
    assert all(row.is_in_memory("metadata") for row in read)


@pytest.mark.parametrize("row_group_size", [1, 7, 1000])
def test_cells_are_right_in_any_order_and_of_any_row_group(
    tmp_path: Path, row_group_size: int
) -> None:
    rows = hub_rows(30)
    path = write_parquet(tmp_path / "a.parquet", rows, row_group_size=row_group_size)
    read = list(open_rows(path, heavy=("image", "question")))
    for at in (0, 29, 3, 3, 2, 17, 16, 29, 0):
        assert read[at]["image"] == rows[at]["image"]
        assert read[at]["question"] == rows[at]["question"]


def test_a_column_whose_name_begins_like_another_is_read_as_itself(tmp_path: Path) -> None:
    rows = [{"image": b"a", "image.size": b"b", "image_2": b"c"}]
    read = next(iter(open_rows(write_parquet(tmp_path / "a.parquet", rows))))
    assert dict(read) == rows[0]


def test_the_shards_of_a_split_follow_each_other(tmp_path: Path) -> None:
    for at in (1, 0):
        write_parquet(tmp_path / f"data/test-0000{at}-of-00002.parquet", hub_rows(2, 2 * at))
    write_parquet(tmp_path / "data/train-00000-of-00001-8f1e.parquet", hub_rows(1, 9))
    rows = open_rows(tmp_path, split="test")
    assert [row["questionId"] for row in rows] == ["0", "1", "2", "3"]
    assert rows.name.endswith(":test")
    assert [row["questionId"] for row in open_rows(tmp_path, split="train")] == ["9"]


def test_a_folder_of_one_split_needs_no_name_of_it(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data/testmini-00000-of-00001-725687bf7a18d64b.parquet", hub_rows(1))
    assert len(open_rows(tmp_path)) == 1


def test_folders_are_splits_where_files_have_numbers_for_names(tmp_path: Path) -> None:
    write_parquet(tmp_path / "default/test/0000.parquet", hub_rows(1))
    write_parquet(tmp_path / "default/train/0000.parquet", hub_rows(2))
    assert len(open_rows(tmp_path, split="train")) == 2


def test_a_folder_is_refused_if_its_split_is_not_clear(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data/test-00000-of-00002.parquet", hub_rows(1))
    with pytest.raises(EvaluationError, match="1 of 2 shards"):
        open_rows(tmp_path)
    write_parquet(tmp_path / "data/val-00000-of-00001.parquet", hub_rows(1))
    with pytest.raises(EvaluationError, match="several splits: 'test', 'val'"):
        open_rows(tmp_path)
    with pytest.raises(EvaluationError, match="no split 'dev'"):
        open_rows(tmp_path, split="dev")
    write_parquet(tmp_path / "other/val-00000-of-00001.parquet", hub_rows(1))
    with pytest.raises(EvaluationError, match="hold the same split"):
        open_rows(tmp_path, split="val")


def test_a_folder_without_parquet_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no Parquet files"):
        open_rows(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(EvaluationError, match="cannot be read as Parquet"):
        open_rows(tmp_path / "a.parquet")


def test_a_damaged_picture_column_fails_when_it_is_asked_for(tmp_path: Path) -> None:
    rows = [{"id": 1, "image": {"bytes": png(), "path": None}}]
    path = write_parquet(tmp_path / "a.parquet", rows, compression="gzip", use_dictionary=False)
    content = bytearray(path.read_bytes())
    at = content.index(b"\x1f\x8b", len(content) // 8)
    content[at : at + 200] = bytes(200)
    path.write_bytes(content)
    row = next(iter(open_rows(path)))
    with pytest.raises(EvaluationError, match="cannot be read as Parquet"):
        row["image"]


def test_rows_can_be_pickled_while_they_are_read(tmp_path: Path) -> None:
    rows = open_rows(write_parquet(tmp_path / "a.parquet", hub_rows(20)))
    read = list(rows)
    read[3]["image"]
    again = list(pickle.loads(pickle.dumps(rows)))
    assert again[4]["image"] == read[4]["image"]
    assert len(pickle.dumps(rows)) < 20_000


def test_the_error_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path / "a.parquet", hub_rows(1))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match=r"qwenvl-kit\[evaluation\]"):
        open_rows(path)


def test_flipped_bytes_are_refused_by_a_typed_error(tmp_path: Path) -> None:
    rows = [{"question": "a b c " * 50, "answer": str(at)} for at in range(100)]
    path = write_parquet(tmp_path / "a.parquet", rows, compression="snappy", use_dictionary=False)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 200 + content[204:])
    with pytest.raises(EvaluationError, match=r"a\.parquet cannot be read as Parquet"):
        list(open_rows(path))


def not_in_utf8(path: Path) -> Path:
    rows = [{"question": "zzzz1", "image": "wwww1"}, {"question": "zzzz2", "image": "wwww2"}]
    return write_parquet(path, rows, compression="none", use_dictionary=False)


def test_a_text_that_is_not_in_utf8_is_refused_by_a_typed_error(tmp_path: Path) -> None:
    path = not_in_utf8(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes().replace(b"zzzz2", b"zz\xff\xfe2"))
    with pytest.raises(EvaluationError, match="cannot be read as Parquet"):
        list(open_rows(path))


def test_a_picture_that_is_not_in_utf8_costs_its_own_cell(tmp_path: Path) -> None:
    path = not_in_utf8(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes().replace(b"wwww2", b"ww\xff\xfe2"))
    first, second = open_rows(path, heavy=("image",))
    assert first["image"] == "wwww1"
    with pytest.raises(EvaluationError, match="cannot be read as Parquet"):
        _ = second["image"]
    assert first["image"] == "wwww1"


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table([["q"], ["a"], ["b"]], names=["question", "answer", "answer"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    for data in (tmp_path / "a.parquet", table):
        with pytest.raises(EvaluationError, match=r"two columns of .* have the name 'answer'"):
            open_rows(data)


def test_short_floats_are_the_numbers_that_they_show(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"answer": pyarrow.array([0.1, None, 2.5], pyarrow.float32())})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert [row["answer"] for row in open_rows(tmp_path / "a.parquet")] == [0.1, None, 2.5]
