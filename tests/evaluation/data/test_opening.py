"""Data are opened by what they are, and known by their digest."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmark import Benchmark
from qwenvl_kit.evaluation.data.opening import open_rows
from qwenvl_kit.evaluation.data.rows import Row
from tests.evaluation.data.files import in_base64, png, write_parquet, write_tsv

ROWS = [{"index": str(at), "question": f"q{at}", "image": in_base64(png())} for at in range(3)]


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "a.tsv", ROWS)
    assert open_rows(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_digest_of_shards_is_that_of_their_names_and_digests(tmp_path: Path) -> None:
    paths = [write_parquet(tmp_path / f"test-0000{at}-of-00002.parquet", ROWS) for at in (0, 1)]
    lines = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in paths]
    assert open_rows(tmp_path).digest == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_media_lie_in_the_folder_of_the_file_unless_another_is_named(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "a.tsv", ROWS)
    assert {row.folder for row in open_rows(path)} == {tmp_path}
    other = tmp_path / "pictures"
    assert {row.folder for row in open_rows(path, folder=other)} == {other}
    assert {row.folder for row in open_rows(ROWS)} == {None}
    assert {row.folder for row in open_rows(ROWS, folder=other)} == {other}


@pytest.mark.parametrize("given", [str, Path])
def test_a_path_may_be_a_text(tmp_path: Path, given: Any) -> None:
    assert len(open_rows(given(write_tsv(tmp_path / "a.tsv", ROWS)))) == 3


def test_the_ending_of_a_file_may_be_in_capitals(tmp_path: Path) -> None:
    assert len(open_rows(write_tsv(tmp_path / "A.TSV", ROWS))) == 3


def test_no_picture_is_read_before_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(Row, "__getitem__", _counted(read))
    rows = [{**row, "answer": "a"} for row in ROWS]
    parquet = [{**row, "image": {"bytes": png(), "path": None}} for row in rows]
    for data in (
        write_tsv(tmp_path / "a.tsv", rows),
        write_parquet(tmp_path / "a.parquet", parquet),
    ):
        benchmark = Benchmark(data)
        assert "image" not in read
        assert len(benchmark[0].media) == 1
        assert read.count("image") == 1
        read.clear()


def _counted(read: list[str]) -> Callable[[Row, str], Any]:
    """A way to read cells that tells which are read."""
    get = Row.__getitem__

    def counted(row: Row, column: str) -> Any:
        read.append(column)
        return get(row, column)

    return counted


def test_rows_of_a_file_can_be_pickled_and_read_on(tmp_path: Path) -> None:
    rows = open_rows(write_tsv(tmp_path / "a.tsv", ROWS), heavy=("image",))
    again = pickle.loads(pickle.dumps(rows))
    assert [{name: row[name] for name in rows.columns} for row in again] == ROWS
    assert again.digest == rows.digest


@pytest.mark.parametrize("name", ["a.xlsx", "a.pkl", "a", "a.txt", "a.tsv.gz"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"a")
    with pytest.raises(EvaluationError, match="end in") as caught:
        open_rows(tmp_path / name)
    assert ".tsv" in caught.value.expected


@pytest.mark.parametrize("name", ["a.tsv", "a.parquet", "a.jsonl", "folder"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EvaluationError, match="cannot be read"):
        open_rows(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_is_refused_because_it_cannot_be_read_again(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tsv")
    with pytest.raises(EvaluationError, match="are no file"):
        open_rows(tmp_path / "a.tsv")


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(EvaluationError, match="embedded null byte"):
        open_rows("a\0b.tsv")


def test_a_split_of_a_file_is_taken_by_its_column(tmp_path: Path) -> None:
    rows = [{**row, "split": "test" if at else "val"} for at, row in enumerate(ROWS)]
    path = write_tsv(tmp_path / "a.tsv", rows)
    assert len(open_rows(path, split="test")) == 2
    with pytest.raises(EvaluationError, match="no column 'split'"):
        open_rows(write_tsv(tmp_path / "b.tsv", ROWS), split="test")


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl", "a.json", "a.parquet"])
def test_the_digest_of_a_file_that_was_rewritten_is_refused(tmp_path: Path, name: str) -> None:
    pandas: Any = pytest.importorskip("pandas")
    path = tmp_path / name
    writers: dict[str, Callable[[Any], object]] = {
        ".tsv": lambda frame: frame.to_csv(path, sep="\t", index=False),
        ".csv": lambda frame: frame.to_csv(path, index=False),
        ".jsonl": lambda frame: frame.to_json(path, orient="records", lines=True),
        ".json": lambda frame: frame.to_json(path, orient="records"),
        ".parquet": lambda frame: frame.to_parquet(path),
    }
    write = writers[path.suffix]
    write(pandas.DataFrame({"question": ["a", "b"]}))
    early, late = open_rows(path), open_rows(path)
    digest = early.digest
    write(pandas.DataFrame({"question": ["a", "b", "c"]}))
    assert early.digest == digest
    with pytest.raises(EvaluationError, match="was changed since it was first read"):
        _ = late.digest
