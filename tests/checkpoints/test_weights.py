"""Headers are read without their tensors, and every damage is named."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.checkpoints.weights import (
    TensorInfo,
    absent_weights,
    pickled_weights,
    read_tensors,
)
from qwenvl_kit.errors import UnsafeWeightsError, WeightsError

EIGHT_BYTES = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write(path: Path, header: Mapping[str, Any] | bytes, data: bytes = bytes(8)) -> Path:
    """A file in the format of safetensors, by hand so that it may also be wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def write_shards(folder: Path, names: Sequence[str]) -> Path:
    """A checkpoint with a tensor in each shard, named after it."""
    for name in names:
        write(folder / name, {f"in.{name}": EIGHT_BYTES})
    write_index(folder, {f"in.{name}": name for name in names})
    return folder


def write_index(folder: Path, weight_map: object) -> None:
    index = {"metadata": {"total_size": 8}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_a_single_file_is_read(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
        "b": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [12, 16]},
    }
    write(tmp_path / "model.safetensors", header, bytes(16))
    assert set(read_tensors(tmp_path)) == {
        TensorInfo("a", "BF16", (2, 3)),
        TensorInfo("b", "F8_E4M3", (4,)),
    }


@pytest.mark.parametrize(
    ("dtype", "num_bytes"),
    [("F32", 40), ("BF16", 20), ("F8_E8M0", 10), ("I64", 80), ("F4", 5), ("BOOL", 10)],
)
def test_bytes_follow_from_type_and_shape(dtype: str, num_bytes: int) -> None:
    tensor = TensorInfo("a", dtype, (2, 5))
    assert (tensor.num_values, tensor.num_bytes) == (10, num_bytes)


def test_a_scalar_has_one_value() -> None:
    assert TensorInfo("a", "F32", ()).num_bytes == 4


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(WeightsError, match="'F128'"):
        TensorInfo("a", "F128", (1,))


def test_shards_are_read_together(tmp_path: Path) -> None:
    names = ["model-1.safetensors", "model-2.safetensors"]
    tensors = read_tensors(write_shards(tmp_path, names))
    assert [tensor.name for tensor in tensors] == [f"in.{name}" for name in names]
    assert absent_weights(tmp_path) == ()


def test_tensors_that_the_index_forgot_are_there_all_the_same(tmp_path: Path) -> None:
    """transformers loads all that the shards hold."""
    write(
        tmp_path / "a.safetensors",
        {"a": EIGHT_BYTES, "b": {**EIGHT_BYTES, "shape": [0], "data_offsets": [8, 8]}},
    )
    write_index(tmp_path, {"a": "a.safetensors"})
    assert {tensor.name for tensor in read_tensors(tmp_path)} == {"a", "b"}


def test_a_single_file_is_preferred_to_shards(tmp_path: Path) -> None:
    write_shards(tmp_path, ["model-1.safetensors"])
    write(tmp_path / "model.safetensors", {"whole": EIGHT_BYTES})
    assert [tensor.name for tensor in read_tensors(tmp_path)] == ["whole"]


def test_links_may_leave_the_folder_as_those_of_a_cache_do(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    blob = write(tmp_path / "blob", {"a": EIGHT_BYTES})
    (tmp_path / "folder" / "model.safetensors").symlink_to(blob)
    assert len(read_tensors(tmp_path / "folder")) == 1


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="has no weights") as caught:
        read_tensors(tmp_path)
    assert type(caught.value) is WeightsError
    assert absent_weights(tmp_path) == ("model.safetensors",)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "consolidated.00.pth"]
)
def test_pickled_weights_are_never_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(UnsafeWeightsError, match="pickled weights only") as caught:
        read_tensors(tmp_path)
    assert caught.value.expected == "model.safetensors"
    assert pickled_weights(tmp_path) == (name,)


def test_pickled_files_beside_safetensors_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", {"a": EIGHT_BYTES})
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert len(read_tensors(tmp_path)) == 1


def test_an_absent_shard_is_named_and_counted(tmp_path: Path) -> None:
    write_shards(tmp_path, ["a.safetensors", "b.safetensors", "c.safetensors"])
    (tmp_path / "b.safetensors").unlink()
    (tmp_path / "c.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"lacks 2 of the 3 .* 'b\.safetensors' first"):
        read_tensors(tmp_path)
    assert absent_weights(tmp_path) == ("b.safetensors", "c.safetensors")


def test_a_link_to_nothing_is_an_absent_file(tmp_path: Path) -> None:
    write_index(tmp_path, {"a": "a.safetensors"})
    (tmp_path / "a.safetensors").symlink_to(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="lacks 1 of the 1"):
        read_tensors(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["../a.safetensors", "/a.safetensors", "b/../../a.safetensors", "..\\a.safetensors",
     "C:\\a.safetensors", "C:a.safetensors", "\\\\host\\share\\a.safetensors"],
)  # fmt: skip
def test_a_shard_outside_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write(tmp_path / "a.safetensors", {"a": EIGHT_BYTES})
    write_index(folder, {"a": name})
    with pytest.raises(WeightsError, match="names") as caught:
        read_tensors(folder)
    assert caught.value.expected == "files inside its folder"


def test_a_shard_in_a_folder_below_is_read(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    write_shards(tmp_path, ["below/a.safetensors"])
    assert len(read_tensors(tmp_path)) == 1


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights", "a.safetensors.pkl", ""])
def test_an_index_of_files_that_are_no_safetensors_is_refused(tmp_path: Path, name: str) -> None:
    """transformers would unpickle them, `use_safetensors=True` or not."""
    write_index(tmp_path, {"a": name})
    with pytest.raises(UnsafeWeightsError, match="names"):
        read_tensors(tmp_path)


def test_weights_of_another_name_in_config_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"transformers_weights": "adapter_model.bin"}')
    write(tmp_path / "model.safetensors", {"a": EIGHT_BYTES})
    with pytest.raises(WeightsError, match=r"transformers_weights='adapter_model\.bin'"):
        read_tensors(tmp_path)


TEXT = json.dumps({"a": EIGHT_BYTES}).encode()
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"

DAMAGED = {
    "empty": (b"", "is empty"),
    "three bytes": (b"abc", "cannot be read"),
    "a header that is no JSON": (struct.pack("<Q", 8) + b"garbage!", "cannot be read"),
    "a header that is no object": (struct.pack("<Q", 2) + b"[]", "cannot be read"),
    "bytes at random": (bytes(range(256)) * 9, "cannot be read"),
    "a header longer than the file": (struct.pack("<Q", 1000) + TEXT + bytes(8), "cannot be read"),
    "a header of exabytes": (struct.pack("<Q", 2**62) + TEXT + bytes(8), "cannot be read"),
    "data cut off": (struct.pack("<Q", len(TEXT)) + TEXT + bytes(7), "cannot be read"),
    "data too long": (struct.pack("<Q", len(TEXT)) + TEXT + bytes(9), "cannot be read"),
    "a page of a web server": (b"<!DOCTYPE html><html>Not found</html>", "cannot be read"),
    "a placeholder of Git LFS": (POINTER, "placeholder of Git LFS"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_tensors(tmp_path)
    assert str(tmp_path / "model.safetensors") in str(caught.value)
    assert caught.value.hint


def test_the_cure_of_a_placeholder_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(POINTER)
    with pytest.raises(WeightsError, match="git lfs pull"):
        read_tensors(tmp_path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
        {"dtype": "F33", "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F32"},
    ],
    ids=str,
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, entry: Any) -> None:
    write(tmp_path / "model.safetensors", {"a": entry})
    with pytest.raises(WeightsError, match="cannot be read"):
        read_tensors(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"weight_map": {"a": "a.safetensors"}}', '{"metadata": {}}',
     '{"metadata": {}, "weight_map": {}}', '{"metadata": {}, "weight_map": ["a.safetensors"]}'],
)  # fmt: skip
def test_an_index_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    write(tmp_path / "a.safetensors", {"a": EIGHT_BYTES})
    with pytest.raises(WeightsError, match=r"index\.json"):
        read_tensors(tmp_path)


def test_a_tensor_that_its_shard_lacks_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path, ["a.safetensors", "b.safetensors"])
    promised = {"in.a.safetensors": "b.safetensors", "in.b.safetensors": "b.safetensors"}
    write_index(tmp_path, promised)
    with pytest.raises(WeightsError, match=r"b\.safetensors lacks 1 .*'in\.a\.safetensors' first"):
        read_tensors(tmp_path)


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", {"a": EIGHT_BYTES})
    write(tmp_path / "b.safetensors", {"a": EIGHT_BYTES})
    write_index(tmp_path, {"a": "a.safetensors", "b": "b.safetensors"})
    with pytest.raises(WeightsError):
        read_tensors(tmp_path)
    second = {"a": EIGHT_BYTES, "b": {"dtype": "U8", "shape": [0], "data_offsets": [8, 8]}}
    write(tmp_path / "b.safetensors", second)
    with pytest.raises(WeightsError, match=r"b\.safetensors holds 'a', which another file holds"):
        read_tensors(tmp_path)


def test_a_name_twice_in_one_header_is_refused(tmp_path: Path) -> None:
    header = (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    )
    write(tmp_path / "model.safetensors", header)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_tensors(tmp_path)


def test_no_tensor_is_read_and_torch_is_not_imported(tmp_path: Path) -> None:
    """A file of a terabyte, all of it a hole."""
    size = 2**40
    header = {"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    path = write(tmp_path / "model.safetensors", header, b"")
    try:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size + size)
    except OSError:
        pytest.skip("the file system takes no file of a terabyte")
    program = (
        "import sys; from pathlib import Path; "
        "from qwenvl_kit.checkpoints.weights import read_tensors; "
        "print(read_tensors(Path(sys.argv[1]))[0].num_bytes, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(size), "False"]
