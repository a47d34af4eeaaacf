"""The choice between fp32 and bf16 on a processor, by a short measurement before weights are read.

Some processors have instructions for bf16. Whether it pays depends on the processor, the build of
torch, and the shapes of the model: batches may lose what single calls gain. So the products and the
attention of the model's own shapes are timed in both dtypes, and bf16 must win each comparison.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from qwenvl_kit.backends.local.cache.cascade_attention import attend_with_shared
from qwenvl_kit.backends.local.loading.dtype import Precision
from qwenvl_kit.backends.local.loading.onednn import LARGE_VALUES, is_faster_here, multiply
from qwenvl_kit.backends.local.loading.timing import shortest_ms
from qwenvl_kit.checkpoints.memory import is_quantizable, predict_weight_bytes
from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.checkpoints.weights import TensorInfo

SMALL_BYTES = 256 * 2**20
"""Size of fp32 weights up to which a model stays in fp32 unmeasured: little memory is saved, and
its answers are the same on all processors."""

MOST_OF_FP32 = 0.95
"""Largest share of the time of fp32 that bf16 may take in each comparison."""

BF16_INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Names in /proc/cpuinfo of instructions that multiply bf16: of x86, and of Arm."""

_MEASURED = (
    *(f".self_attn.{name}_proj" for name in "qkvo"),
    *(f".mlp.{name}_proj" for name in ("gate", "up", "down")),
)
_TABLES = ("lm_head.weight", "embed_tokens.weight")

_EXACT = "batches then equal single calls"
_MOST_VALUES = 2**21
"""Most values of a matrix that is timed, so that all take some tens of milliseconds."""
_NUM_POSITIONS = 1024


@dataclass(frozen=True)
class Shapes:
    """The shapes of a language model that decide the time of its steps.

    Attributes:
        matrices: (rows, columns) of the matrices of its layers and output layer, each once.
        num_heads: heads of the queries.
        num_key_heads: heads of the keys.
        head_size: the size of a head.
    """

    matrices: tuple[tuple[int, int], ...]
    num_heads: int
    num_key_heads: int
    head_size: int


@dataclass(frozen=True)
class Timing:
    """Times of the same computation in both dtypes.

    Attributes:
        what: the computation, such as "products of 32 rows".
        fp32_ms: its time in fp32, in milliseconds.
        bf16_ms: its time in bf16.
    """

    what: str
    fp32_ms: float
    bf16_ms: float

    def __str__(self) -> str:
        return f"{self.what} {self.bf16_ms:.2f} ms in bf16, {self.fp32_ms:.2f} in fp32"


def choose_on_processor(
    tensors: Sequence[TensorInfo],
    settings: Settings,
    *,
    abilities: Collection[str],
    measure: Callable[[Shapes], Sequence[Timing]] | None = None,
) -> Precision:
    """Choose bf16 where it was measured to be faster in each comparison, and fp32 elsewhere.

    Args:
        tensors: the names and shapes of the weights.
        settings: config.json of the checkpoint.
        abilities: features of the processor that /proc/cpuinfo names.
        measure: a function that times the shapes; None times them here, once a process.
    """
    if predict_weight_bytes(tensors, settings, "float32") <= SMALL_BYTES:
        return _fp32(f"on a processor, where {_EXACT}")
    if not BF16_INSTRUCTIONS & set(abilities):
        return _fp32(f"on a processor without instructions for bf16, where {_EXACT}")
    shapes = shapes_of(tensors, settings)
    if shapes is None:
        return _fp32(f"on a processor, where bf16 is not measured for such layers, and {_EXACT}")
    return judge((measure or measure_here)(shapes))


def judge(timings: Sequence[Timing]) -> Precision:
    """Choose a dtype by times: bf16 if it is faster, by a margin, in each of them."""
    slowest = max(timings, key=lambda each: each.bf16_ms / each.fp32_ms)
    if slowest.bf16_ms > MOST_OF_FP32 * slowest.fp32_ms:
        return _fp32(f"on a processor where bf16 does not pay ({slowest}), and {_EXACT}")
    figures = "; ".join(map(str, timings))
    return Precision(
        torch.bfloat16,
        f"measured on this processor ({figures}); batches may differ from single calls in near "
        "ties, and dtype='float32' keeps them equal",
    )


def shapes_of(tensors: Sequence[TensorInfo], settings: Settings) -> Shapes | None:
    """Return the shapes to measure; None for a model with other layers than those measured.

    Mixtures of experts and linear attention compute in other ways than by products and attention
    alone, and are not measured.
    """
    layers = [each for each in tensors if is_quantizable(each, settings.family)]
    known = all(each.name.removesuffix(".weight").endswith(_MEASURED) for each in layers)
    if settings.family.is_mixture_of_experts or not known:
        return None
    heads, key_heads, hidden, head_size = (
        settings.text.get(key)
        for key in ("num_attention_heads", "num_key_value_heads", "hidden_size", "head_dim")
    )
    if not (_is_size(heads) and _is_size(key_heads) and _is_size(hidden)) or heads % key_heads:
        return None
    head_size = hidden // heads if head_size is None else head_size
    tables = [each for each in tensors if each.name.endswith(_TABLES) and len(each.shape) == 2]
    matrices = sorted({(each.shape[0], each.shape[1]) for each in (*layers, *tables)})
    if not _is_size(head_size) or not matrices:
        return None
    return Shapes(tuple(matrices), heads, key_heads, head_size)


def _is_size(value: object) -> TypeGuard[int]:
    return type(value) is int and value > 0


@functools.lru_cache(maxsize=16)
def measure_here(shapes: Shapes) -> tuple[Timing, ...]:
    """Time products and attention of one row, of 32 rows and of a prompt, in both dtypes.

    The dtypes take turns, and the shortest of some times counts: another program can only make one
    longer. Times are kept for the process, in which a model so gets one dtype.
    """
    with torch.inference_mode(), torch.random.fork_rng(devices=()):
        kept = [
            (min(rows, max(1, _MOST_VALUES // columns)), columns)
            for rows, columns in shapes.matrices
        ]
        inputs = [_Case(dtype, kept, shapes) for dtype in (torch.float32, torch.bfloat16)]
        return tuple(
            Timing(what, *shortest_ms([functools.partial(compute, case) for case in inputs]))
            for what, compute in _COMPUTATIONS.items()
        )


class _Case:
    """Matrices, keys and values of one dtype."""

    def __init__(
        self, dtype: torch.dtype, matrices: Sequence[tuple[int, int]], shapes: Shapes
    ) -> None:
        def some(*shape: int) -> torch.Tensor:
            return torch.rand(shape, device="cpu", dtype=torch.float32).to(dtype)

        self.matrices = [some(*shape) for shape in matrices]
        self.rows = {columns: some(256, columns) for _, columns in matrices}
        self.keys = some(1, shapes.num_key_heads, _NUM_POSITIONS, shapes.head_size)
        self.queries = some(32, shapes.num_heads, 1, shapes.head_size)
        self.prompt = some(1, shapes.num_heads, 256, shapes.head_size)

    def multiply(self, num_rows: int) -> None:
        """Multiply some rows by each matrix."""
        for matrix in self.matrices:
            _multiply(self.rows[matrix.shape[1]][:num_rows], matrix)

    def multiply_prompt(self) -> None:
        """Multiply the rows of a prompt by the largest matrix."""
        largest = max(self.matrices, key=torch.Tensor.numel)
        _multiply(self.rows[largest.shape[1]], largest)

    def attend(self) -> None:
        """Attend with one token to what is before it."""
        scaled_dot_product_attention(self.queries[:1], self.keys, self.keys, enable_gqa=True)

    def attend_with_shared(self) -> None:
        """Attend with a token of each of 32 rows to a prefix of all, and to some of its own."""
        own = self.keys[:, :, :32].expand(len(self.queries), -1, -1, -1)
        attend_with_shared(self.queries, (self.keys, self.keys), (own, own), None, None)

    def attend_prompt(self) -> None:
        """Attend with a prompt to itself."""
        keys = self.keys[:, :, : self.prompt.shape[2]]
        scaled_dot_product_attention(self.prompt, keys, keys, is_causal=True, enable_gqa=True)


_COMPUTATIONS: dict[str, Callable[[_Case], None]] = {
    "products of one row": lambda case: case.multiply(1),
    "of 32 rows": lambda case: case.multiply(32),
    "of 256 tokens": _Case.multiply_prompt,
    "attention of one row": _Case.attend,
    "of 32 rows to a prefix": _Case.attend_with_shared,
    "of 256 tokens to each other": _Case.attend_prompt,
}


def _multiply(inputs: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Multiply as the layers of a loaded model do."""
    is_large_fp32 = matrix.dtype == torch.float32 and matrix.numel() >= LARGE_VALUES
    if is_large_fp32 and is_faster_here():
        return multiply(inputs, matrix, None)
    return linear(inputs, matrix)


def _fp32(reason: str) -> Precision:
    return Precision(torch.float32, reason)
