"""Weight files of a checkpoint, and the tensors in their headers; no weights are read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from qwenvl_kit.checkpoints.foreign_formats import Fault, fault_of, names_in
from qwenvl_kit.checkpoints.settings import read_json
from qwenvl_kit.errors import CheckpointError, UnsafeWeightsError, WeightsError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

_PICKLED = ("pytorch_model*.bin", "model*.bin", "model*.pt", "*.pth", "*.ckpt")
_STATES = (
    *("rng_state", "optim", "scheduler", "scaler", "training_args", "random_states"),
    *("mp_rank_", "model_world_size_", "extra_state"),
)
"""The beginnings of the names of pickles that hold the state of a training run, and no weights."""

# An index may name it although it is tied to the embeddings; transformers does not need it.
_TIED = "lm_head.weight"

_AGAIN = "download it again"

_MAX_PATH = 1000
"""The most characters of a path in a folder; file systems refuse a part of more than 255 bytes."""

# The data types that the safetensors format names (its `Dtype`).
_BITS: Mapping[str, int] = {
    "F4": 4,
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}


@dataclass(frozen=True)
class TensorInfo:
    """One tensor in the header of a file.

    Attributes:
        name: name in the checkpoint, which may differ from the name in the model.
        dtype: dtype in safetensors' words, such as BF16, F8_E4M3 or I32.
        shape: length of each dimension.

    Raises:
        WeightsError: safetensors has no such dtype.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.dtype not in _BITS:
            raise WeightsError(
                f"the tensor {self.name!r} is of type {self.dtype!r}",
                expected=f"one of {', '.join(_BITS)}",
            )

    @property
    def num_values(self) -> int:
        """The number of values; packed values count as the integer that holds them."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """The size in its file."""
        return -(-self.num_values * _BITS[self.dtype] // 8)

    @property
    def is_floating(self) -> bool:
        """True if the loader converts it to the dtype of the model."""
        return self.dtype in ("F16", "BF16", "F32", "F64")


def read_tensors(folder: Path) -> tuple[TensorInfo, ...]:
    """Read the tensors of the checkpoint in a folder, file by file.

    It reads the header of `model.safetensors`, or of the shards that
    `model.safetensors.index.json` names. If both exist it takes the single file, as transformers
    does (`_get_resolved_checkpoint_files`).

    Raises:
        WeightsError: there are no weights, a shard is missing or outside of the folder, or a file
            is damaged.
        UnsafeWeightsError: there are only pickled weights, which are not opened.
    """
    shards = _shards(folder)
    _check_present(folder, shards)
    tensors: dict[str, TensorInfo] = {}
    for name, promised in shards.items():
        found = {tensor.name: tensor for tensor in _read(folder / name)}
        _check_promises(folder / name, promised, found)
        _check_new(folder / name, found, tensors)
        tensors.update(found)
    if not tensors:
        raise WeightsError(
            f"{folder} has weight files without a tensor",
            expected="the weights of a model",
            hint="save the model again; with FSDP or DeepSpeed, gather the weights in one process "
            "first",
        )
    return tuple(tensors.values())


def absent_weights(folder: Path) -> tuple[str, ...]:
    """Return the names of the weight files that are missing in the folder.

    Raises:
        WeightsError: the index cannot be used, or config.json names another weight file.
        UnsafeWeightsError: the index names pickled files.
    """
    return _absent(folder, _shards(folder))


def weight_files(folder: Path) -> tuple[str, ...]:
    """Return the names of the weight files, missing ones included.

    Raises:
        WeightsError, UnsafeWeightsError: as `absent_weights`.
    """
    return tuple(_shards(folder))


def pickled_weights(folder: Path) -> tuple[str, ...]:
    """Return the names of pickled weights in a folder: to open one could run any code in it."""
    names = {path.name for pattern in _PICKLED for path in folder.glob(pattern)}
    return tuple(sorted(name for name in names if not is_training_state(name)))


def is_training_state(name: str) -> bool:
    """True if a pickle holds the state of a training run, by its name or path."""
    return name.rpartition("/")[2].startswith(_STATES) or name.startswith("global_step")


def _shards(folder: Path) -> Mapping[str, frozenset[str]]:
    """The weight files, each with the tensors that the index says it holds."""
    _check_no_other_file(folder)
    if (folder / SINGLE_FILE).is_file() or not (folder / INDEX_FILE).is_file():
        return {SINGLE_FILE: frozenset()}
    files = _read_index(folder / INDEX_FILE)
    shards: dict[str, set[str]] = {name: set() for name in sorted(set(files.values()))}
    for name in shards:
        _check_shard_name(folder / INDEX_FILE, name)
    for tensor, name in files.items():
        shards[name].add(tensor)
    return {name: frozenset(promised) for name, promised in shards.items()}


def _check_no_other_file(folder: Path) -> None:
    """Raise an error if `transformers_weights` names files: transformers would unpickle some."""
    path = folder / "config.json"
    other = read_json(path).get("transformers_weights") if path.is_file() else None
    if other is not None:
        raise WeightsError(
            f"{path} says transformers_weights={other!r}",
            expected=f"weights in {SINGLE_FILE} or in the shards of {INDEX_FILE}",
            hint="remove that entry",
        )


def _read_index(path: Path) -> Mapping[str, str]:
    """The names of the tensors, each with the shard that holds it."""
    try:
        index = read_json(path)
    except CheckpointError as error:
        raise WeightsError(error.problem, expected=error.expected, hint=_AGAIN) from error
    files = index.get("weight_map")
    # transformers needs `metadata` too (`get_checkpoint_shard_files`).
    if not isinstance(files, dict) or not files or "metadata" not in index:
        raise WeightsError(f"{path} has no weight_map or no metadata", hint=_AGAIN)
    return {tensor: str(name) for tensor, name in files.items()}


def _check_shard_name(index: Path, name: str) -> None:
    path = PureWindowsPath(name)  # it knows both kinds of separators, and drives
    is_name = "\0" not in name and all(
        len(part.encode(errors="surrogatepass")) <= 255 for part in path.parts
    )
    if path.drive or path.root or ".." in path.parts or not is_name or len(name) > _MAX_PATH:
        raise WeightsError(f"{index} names {name!r}", expected="files inside its folder")
    if path.suffix != ".safetensors":  # transformers would unpickle it
        raise UnsafeWeightsError(f"{index} names {name!r}", expected="safetensors files")


def _check_present(folder: Path, shards: Mapping[str, frozenset[str]]) -> None:
    absent = _absent(folder, shards)
    if not absent:
        return
    if (folder / INDEX_FILE).is_file():
        raise WeightsError(
            f"{folder} lacks {len(absent)} of the {len(shards)} weight files that its index "
            f"names, {absent[0]!r} first",
            hint="download the checkpoint again",
        )
    pickled = pickled_weights(folder)
    if pickled:
        raise UnsafeWeightsError(
            f"{folder} has pickled weights only ({pickled[0]}), which could run code when opened",
            expected=SINGLE_FILE,
            hint="take a revision of the checkpoint with safetensors files; weights that you trust "
            "can be converted by from_pretrained and save_pretrained of transformers",
        )
    raise no_weights_error(str(folder), fault_of(names_in(folder), folder))


def no_weights_error(where: str, fault: Fault | None) -> WeightsError:
    """Return the error to raise if there are no weights that the kit opens.

    Args:
        where: the folder or repository.
        fault: its contents; None if they are not known.
    """
    expected = f"{SINGLE_FILE}, or {INDEX_FILE} and its shards"
    if fault is None:
        return WeightsError(f"{where} has no weights", expected=expected)
    problem = f"{where} has no weights that the kit opens; it holds {fault.what}"
    return WeightsError(problem, expected=expected, hint=fault.cure)


def _absent(folder: Path, shards: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in shards if not (folder / name).is_file())


def _read(path: Path) -> Iterator[TensorInfo]:
    from safetensors import SafetensorError, safe_open

    try:
        _check_no_placeholder(path)
        # numpy, because torch takes seconds to import; no tensor is made.
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - it is no dict
                part = file.get_slice(name)
                yield TensorInfo(name, str(part.get_dtype()), tuple(part.get_shape()))
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path} cannot be read ({error})", expected="a whole safetensors file", hint=_AGAIN
        ) from error


def _check_no_placeholder(path: Path) -> None:
    """Raise an error for the placeholder that `git clone` leaves if Git LFS is not installed."""
    with path.open("rb") as file:
        start = file.read(23)
    if not start:
        raise WeightsError(f"{path} is empty", expected="a safetensors file", hint=_AGAIN)
    if start == b"version https://git-lfs":
        raise WeightsError(
            f"{path} is a placeholder of Git LFS", expected="weights", hint="git lfs pull"
        )


def _check_promises(path: Path, promised: frozenset[str], found: Mapping[str, TensorInfo]) -> None:
    lacking = sorted(promised - found.keys() - {_TIED})
    if lacking:
        raise WeightsError(
            f"{path} lacks {len(lacking)} tensors that the index says it holds, "
            f"{lacking[0]!r} first",
            hint="download the checkpoint again",
        )


def _check_new(
    path: Path, found: Mapping[str, TensorInfo], known: Mapping[str, TensorInfo]
) -> None:
    twice = sorted(found.keys() & known.keys())
    if twice:
        raise WeightsError(
            f"{path} holds {twice[0]!r}, which another file holds too",
            hint="download the checkpoint again",
        )
