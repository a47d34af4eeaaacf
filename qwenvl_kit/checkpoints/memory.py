"""Memory of the weights after transformers has loaded them, and the number of parameters.

The rules are those in the source of transformers 5.18 to 5.23 and bitsandbytes 0.50. The tests load
models of all families and compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from qwenvl_kit.checkpoints.quantization import StoredQuantization, stored_quantization
from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.checkpoints.weights import TensorInfo
from qwenvl_kit.errors import QuantizationError
from qwenvl_kit.families import Family

FloatName: TypeAlias = Literal["float32", "bfloat16", "float16"]
Precision: TypeAlias = Literal["float32", "bfloat16", "float16", "8bit", "4bit", "stored"]
"""The form of the weights in memory: a dtype, quantised by bitsandbytes, or as in the files."""

_FLOAT_BYTES: Mapping[str, int] = MappingProxyType({"float32": 4, "bfloat16": 2, "float16": 2})

# Embeddings and the experts' router are not nn.Linear in transformers; the output layer is, and
# transformers leaves it out by name.
_NO_LINEAR = frozenset({"embed_tokens", "ngram_embedding", "lm_head", "gate"})

_NO_WEIGHTS = frozenset(
    (
        # GPTQ and AWQ: scales, packed zero points, the order of the columns
        "scales", "qzeros", "g_idx",
        # FP8 and compressed-tensors
        "weight_scale", "weight_scale_inv", "weight_global_scale", "weight_zero_point",
        "weight_shape", "weight_g_idx", "input_scale", "input_global_scale", "input_zero_point",
        "activation_scale",
        # bitsandbytes (`serialized_names` of its quantizers in transformers)
        "absmax", "nested_absmax", "quant_map", "nested_quant_map", "SCB", "weight_format",
        "bitsandbytes__nf4", "bitsandbytes__fp4",
    )
)  # fmt: skip
"""The ends of the names of tensors in quantised checkpoints that are no weights, such as scales."""


def predict_weight_bytes(
    tensors: Iterable[TensorInfo],
    settings: Settings,
    precision: Precision,
    *,
    rest: FloatName = "bfloat16",
) -> int:
    """Return the bytes of the weights in memory: parameters, and scales of a quantiser.

    "8bit" and "4bit" mean `load_in_8bit`, and `load_in_4bit` with NF4 and double quantisation, of
    transformers' `BitsAndBytesConfig`. The vision encoder, the output layer and
    `Family.unquantizable` are not quantised. A tied output layer is counted once. Caches,
    activations and the memory of torch itself are not counted.

    Args:
        tensors: tensors of the checkpoint.
        settings: its config.json.
        precision: precision in which it will be loaded.
        rest: dtype of the tensors that are not quantised, if `precision` quantises.

    Raises:
        QuantizationError: the checkpoint is published quantised and cannot be loaded in this
            precision.
    """
    check_precision(settings, precision)
    held = tuple(tensors_in_model(tensors, settings))
    if precision == "stored":
        return sum(tensor.num_bytes for tensor in held)
    if precision in _FLOAT_BYTES:
        weights = (tensor for tensor in held if not _is_side(tensor))
        return sum(float_bytes(tensor, precision) for tensor in weights)
    quantized = _bytes_in_8bit if precision == "8bit" else bytes_in_4bit
    return sum(
        quantized(tensor) if is_quantizable(tensor, settings.family) else float_bytes(tensor, rest)
        for tensor in held
    )


def possible_precisions(settings: Settings) -> tuple[Precision, ...]:
    """Return the precisions in which a checkpoint can be loaded, "stored" last.

    Quantised checkpoints can be loaded as they are stored, and FP8 in bfloat16 too. In other dtypes
    transformers 5.23 does not convert weights without scales, and mixed dtypes cannot run
    (`get_new_dtype`).
    """
    stored = stored_quantization(settings)
    if stored is None:
        return get_args(Precision)
    return ("bfloat16", "stored") if stored.can_be_dequantized else ("stored",)


def check_precision(settings: Settings, precision: Precision) -> None:
    """Raise an error if transformers cannot load the checkpoint in this precision.

    Raises:
        QuantizationError: the checkpoint is published quantised and cannot be loaded in this
            precision.
    """
    possible = possible_precisions(settings)
    if precision not in possible:
        raise QuantizationError(
            f"precision={precision!r} was given for a checkpoint that is published as "
            f"{stored_quantization(settings)}",
            expected=f"one of {', '.join(possible)}",
            hint="take the checkpoint from which it was made",
        )


def count_parameters(tensors: Iterable[TensorInfo], settings: Settings) -> int | None:
    """Count the parameters of the model; a tied output layer is counted once.

    Packed weights are counted as the values that they hold. compressed-tensors may pad rows before
    it packs them; the padding is counted.

    Returns:
        None if a quantised checkpoint does not tell how it is packed.
    """
    stored = stored_quantization(settings)
    if stored is not None and not _is_unpackable(stored):
        return None
    weights = (t for t in tensors_in_model(tensors, settings) if not _is_side(t))
    bits = stored.bits if stored else None
    return sum(_count_values(tensor, bits) for tensor in weights)


def tensors_in_model(tensors: Iterable[TensorInfo], settings: Settings) -> Iterator[TensorInfo]:
    """Yield the tensors of a checkpoint that the loaded model holds, each once.

    Layers for multi-token prediction (`mtp`) are left out, as in transformers
    (`_keys_to_ignore_on_load_unexpected`). A tied output layer is left out too: if a file holds it
    and it equals the embeddings, transformers ties it (`tie_weights`). One that differs stays;
    `output_heads` finds out.
    """
    for tensor in tensors:
        is_tied_head = settings.ties_embeddings and tensor.name.endswith("lm_head.weight")
        if not is_tied_head and not _is_ignored(tensor):
            yield tensor


def quantized_tensors(tensors: Iterable[TensorInfo], family: Family) -> Iterator[TensorInfo]:
    """Return the tensors that bitsandbytes can quantise."""
    return (tensor for tensor in tensors if is_quantizable(tensor, family))


def is_quantizable(tensor: TensorInfo, family: Family) -> bool:
    """True if bitsandbytes quantises the tensor: `replace_with_bnb_linear` takes nn.Linear alone.

    Experts are no nn.Linear: transformers fuses them into parameters of three dimensions, even if a
    checkpoint stores them one by one (`mlp.experts.*.gate_proj.weight` in conversion_mapping.py).
    """
    module, _, kind = tensor.name.rpartition(".")
    path = module.split(".")
    if kind != "weight" or len(tensor.shape) != 2 or not tensor.is_floating or _is_ignored(tensor):
        return False
    if _NO_LINEAR.intersection(path[-2:]) or not {"visual", "experts"}.isdisjoint(path):
        return False
    return not module.endswith(family.unquantizable)


def float_bytes(tensor: TensorInfo, dtype: str) -> int:
    """The bytes of a tensor whose values are of a float dtype in memory."""
    # FP8 weights become floats when they are dequantised; integers stay as they are.
    if tensor.is_floating or tensor.dtype.startswith("F8"):
        return tensor.num_values * _FLOAT_BYTES[dtype]
    return tensor.num_bytes


def _bytes_in_8bit(tensor: TensorInfo) -> int:
    """The bytes in 8 bits: int8 values and, for each row, a scale in float32 (`Int8Params.SCB`)."""
    return tensor.num_values + 4 * tensor.shape[0]


def bytes_in_4bit(tensor: TensorInfo) -> int:
    """The bytes in 4 bits: two values per byte, and the `QuantState` of `quantize_4bit`.

    Each block of 64 values has a scale of one byte, and each 256 of these scales have a scale in
    float32. Each layer has an offset and two tables, the 16 values of NF4 and the 256 values of a
    scale, all in float32.
    """
    blocks = -(-tensor.num_values // 64)
    return -(-tensor.num_values // 2) + blocks + 4 * -(-blocks // 256) + 4 * (1 + 16 + 256)


def _is_ignored(tensor: TensorInfo) -> bool:
    return tensor.name.startswith("mtp.")


def _is_side(tensor: TensorInfo) -> bool:
    return tensor.name.rpartition(".")[2] in _NO_WEIGHTS


def _is_unpackable(stored: StoredQuantization) -> bool:
    known = ("gptq", "awq", "fp8", "bitsandbytes", "compressed-tensors")
    return stored.method in known and stored.bits is not None and stored.bits > 0


def _count_values(tensor: TensorInfo, bits: int | None) -> int:
    """The values of a tensor: a packed integer holds several, a float is one."""
    is_packed = tensor.dtype in ("U8", "I8", "I32", "U32", "I64")
    return tensor.num_bytes * 8 // bits if bits and is_packed else tensor.num_values
