"""Rows in memory: lists of dicts, tables of pandas and pyarrow, and data sets."""

from __future__ import annotations

from typing import Any

import numpy
import PIL.Image
import pytest

from qwenvl_kit.errors import EvaluationError, MediaDecodeError
from qwenvl_kit.evaluation.data.opening import open_rows
from qwenvl_kit.evaluation.data.values import digest_rows
from tests.evaluation.data.files import in_base64, png

ROWS = [
    {"index": 0, "question": "a", "split": "test"},
    {"index": 1, "question": "b", "split": "val"},
]


class Image:
    """A feature of pictures, as `datasets.Image`."""

    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


class Images:
    """A feature of lists, as `datasets.List`."""

    def __init__(self, feature: Image) -> None:
        self.feature = feature

    @property
    def decode(self) -> bool:
        return self.feature.decode


class Dataset:
    """What the kit uses of `datasets.Dataset`, which is not installed here."""

    def __init__(self, rows: list[dict[str, Any]], features: dict[str, Any] | None = None) -> None:
        self.rows = rows
        self.features = features or {}
        self.split = "test"

    @property
    def column_names(self) -> list[str]:
        return list(self.rows[0])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> dict[str, Any]:
        found = dict(self.rows[at])
        for name, feature in self.features.items():
            if name in found and getattr(feature, "decode", False):
                raise OSError("cannot identify image file")
        return found

    def select_columns(self, names: list[str]) -> Dataset:
        rows = [{name: row[name] for name in names} for row in self.rows]
        return Dataset(rows, {name: self.features[name] for name in names if name in self.features})

    def cast_column(self, name: str, feature: Any) -> Dataset:
        return Dataset(self.rows, {**self.features, name: feature})


def test_a_list_of_dicts_is_rows() -> None:
    rows = open_rows(ROWS)
    assert [dict(row)["question"] for row in rows] == ["a", "b"]
    assert [row.where for row in rows] == ["rows[0]", "rows[1]"]
    assert list(rows.columns) == ["index", "question", "split"]


def test_a_table_of_pandas_is_rows() -> None:
    pandas = pytest.importorskip("pandas")
    rows = open_rows(pandas.DataFrame(ROWS))
    assert [row["question"] for row in rows] == ["a", "b"]
    assert rows.name == "DataFrame of 2 rows"


def test_a_table_of_pyarrow_is_rows() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    assert [row["question"] for row in open_rows(pyarrow.Table.from_pylist(ROWS))] == ["a", "b"]


def test_rows_in_memory_share_pictures_by_their_index() -> None:
    pandas = pytest.importorskip("pandas")
    picture = in_base64(png())
    frame = pandas.DataFrame({"index": [3, 4, 5], "image": [picture, 3, "3"]})
    assert [row["image"] for row in open_rows(frame)] == [picture] * 3


def test_the_rows_of_a_split_are_those_with_its_name() -> None:
    rows = open_rows(ROWS, split="val")
    assert [row["question"] for row in rows] == ["b"]
    assert rows.name.endswith(":val")
    with pytest.raises(EvaluationError, match="no rows of the split 'dev'") as caught:
        open_rows(ROWS, split="dev")
    assert caught.value.expected == "one of 'test', 'val'"
    with pytest.raises(EvaluationError, match="no column 'split'"):
        open_rows([{"index": 0}], split="val")


def test_a_data_set_gives_pictures_as_bytes_when_they_are_asked_for() -> None:
    picture = {"bytes": png(), "path": None}
    rows = open_rows(Dataset([{"question": "a", "image": picture}], {"image": Image()}))
    row = next(iter(rows))
    assert row.where == "test[0]"
    assert not row.is_in_memory("image")
    assert row["image"] == picture
    assert row["question"] == "a"


def test_lists_of_pictures_of_a_data_set_are_bytes_too() -> None:
    pictures = [{"bytes": png(), "path": None}] * 2
    features = {"images": Images(Image()), "frames": [Image()]}
    (row,) = open_rows(Dataset([{"a": 1, "images": pictures, "frames": pictures}], features))
    assert not row.is_in_memory("images")
    assert row["images"] == pictures
    assert row["a"] == 1


def test_a_picture_that_a_data_set_cannot_read_is_an_error_of_its_row() -> None:
    class Video(Image):
        pass

    Video.__name__ = "Audio"
    data = Dataset([{"question": "a", "image": b""}], {"image": Video()})
    row = next(iter(open_rows(data, heavy=("image",))))
    assert row["question"] == "a"
    with pytest.raises(MediaDecodeError, match="cannot identify image file"):
        row["image"]


def test_a_dict_of_data_sets_needs_a_split() -> None:
    splits = {"val": Dataset([{"a": 1}]), "test": Dataset([{"a": 2}])}
    assert [row["a"] for row in open_rows(splits, split="test")] == [2]
    with pytest.raises(EvaluationError, match="no split was given") as caught:
        open_rows(splits)
    assert caught.value.expected == "split= with one of 'val', 'test'"
    with pytest.raises(EvaluationError, match="no split 'dev'"):
        open_rows(splits, split="dev")
    assert len(open_rows({"val": splits["val"]})) == 1


@pytest.mark.parametrize("data", [None, 7, {"a": 1}, {}, {1}, (row for row in ROWS), b"a.tsv"])
def test_data_of_another_kind_are_refused(data: Any) -> None:
    with pytest.raises(EvaluationError, match="data of type"):
        open_rows(data)


def test_a_row_that_is_no_dict_is_refused_with_its_place() -> None:
    with pytest.raises(EvaluationError, match="a row is a str") as caught:
        open_rows([{"a": 1}, "b"])
    assert caught.value.where == "rows[1]"


def test_the_digest_is_of_content_and_order() -> None:
    image = PIL.Image.new("RGB", (4, 4), "red")
    rows: list[dict[str, Any]] = [{"a": 1, "b": ["x"], "image": image}, {"a": 2, "image": b"y"}]
    digest = open_rows(rows).digest
    same = [{"image": image.copy(), "b": ["x"], "a": 1}, dict(rows[1])]
    assert open_rows(same).digest == digest
    for other in (
        rows[::-1],
        rows[:1],
        [{**rows[0], "a": "1"}, rows[1]],
        [{**rows[0], "b": "x"}, rows[1]],
        [{**rows[0], "image": PIL.Image.new("RGB", (4, 4), "blue")}, rows[1]],
        [rows[0], {"a": 2, "image": b"z"}],
    ):
        assert open_rows(other).digest != digest
    assert digest == digest_rows(list(open_rows(rows)))


def test_two_columns_of_one_name_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([["q", "a", "b"]], columns=["question", "answer", "answer"])
    with pytest.raises(EvaluationError, match="two columns of DataFrame have the name 'answer'"):
        open_rows(frame)


def test_short_floats_of_a_frame_are_the_numbers_that_they_show() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"answer": numpy.array([0.1, numpy.nan, 2.0], dtype="float32")})
    first, second, third = (row["answer"] for row in open_rows(frame))
    assert (first, third) == (0.1, 2.0)
    assert numpy.isnan(second)
