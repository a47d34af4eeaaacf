"""Quantised weights: quantised by bitsandbytes while they are loaded, or published quantised."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import torch

from qwenvl_kit.backends.local.devices import computes_in_fp8
from qwenvl_kit.backends.local.packed.packing import packed_bytes
from qwenvl_kit.checkpoints.memory import quantized_tensors
from qwenvl_kit.checkpoints.packages import install_command
from qwenvl_kit.checkpoints.packages import lacking as lacking_packages
from qwenvl_kit.checkpoints.packed_memory import Packing
from qwenvl_kit.checkpoints.quantization import (
    CURES,
    PACKAGES,
    StoredQuantization,
    missing_packages,
    stored_quantization,
)
from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.checkpoints.weights import TensorInfo
from qwenvl_kit.errors import MissingPackageError, QuantizationError
from qwenvl_kit.families import Family

Quantization: TypeAlias = Literal["4bit", "8bit"]

VISION_TOWER = "model.visual"
"""The vision encoder, which is not quantised: it is small, and details that it loses are lost."""

_TENSOR_SUFFIXES = MappingProxyType(
    {
        "bitsandbytes 4-bit": ".absmax",
        "bitsandbytes 8-bit": ".SCB",
        "gptq": ".qweight",
        "awq": ".qweight",
    }
)
"""A suffix of tensor names that each method of quantisation gives some tensor of each layer."""

_ROW_MULTIPLE = 32
_COLUMN_MULTIPLE = 64
"""The shapes that the 4-bit kernels for processors take: see bitsandbytes' function
`_convert_weight_packed_for_cpu`, torch's `_convert_weight_to_int4pack_for_cpu`, and their blocks of
64 values."""


def check_quantization(quantization: object, settings: Settings) -> StoredQuantization | None:
    """Check the argument `quantization`; return the quantisation that the checkpoint has.

    Raises:
        QuantizationError: the argument is not known, or the weights are quantised already.
    """
    if quantization not in (None, "4bit", "8bit"):
        raise QuantizationError(
            f"quantization={quantization!r} was given", expected="None, '4bit' or '8bit'"
        )
    stored = stored_quantization(settings)
    if stored is not None and quantization is not None:
        raise QuantizationError(
            f"quantization={quantization!r} was given for a checkpoint that is quantised already, "
            f"with {stored}",
            hint="leave quantization out, or take the checkpoint that is not quantised",
        )
    if stored is not None:
        _check_method(stored)
    return stored


def check_packages(
    quantization: str | None, stored: StoredQuantization | None, packing: Packing | None
) -> None:
    """Check that the packages are installed that hold the quantised weights.

    Raises:
        MissingPackageError: a package is missing; the message has the command that installs it.
    """
    lacking = missing_packages(stored) if stored else ()
    if quantization and (packing is None or packing.layers is None):
        lacking = lacking_packages(PACKAGES["bitsandbytes"])
    if lacking:
        raise MissingPackageError(
            f"{stored or quantization} weights need {' and '.join(lacking)}",
            hint=install_command(lacking),
        )


def _check_method(stored: StoredQuantization) -> None:
    """Check that transformers knows the method: otherwise it warns, and reads weights as plain.

    Raises:
        QuantizationError: it does not know the method.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    if stored.method == "bitsandbytes" and stored.bits is None:
        raise QuantizationError(
            "config.json says that the checkpoint is quantised by bitsandbytes, and neither "
            "load_in_4bit nor load_in_8bit",
            hint="the entry that its weights were saved with, in quantization_config",
        )
    if not stored.is_known and stored.method not in AUTO_QUANTIZATION_CONFIG_MAPPING:
        raise QuantizationError(
            f"config.json says that the checkpoint is quantised by {stored.method}, which "
            "transformers does not know",
            hint=CURES.get(
                stored.method, "pip install --upgrade transformers, or another form of the model"
            ),
        )


def check_stored_weights(stored: StoredQuantization | None, tensors: Iterable[TensorInfo]) -> None:
    """Check that weights are quantised as config.json says: plain ones load, and cannot run.

    Raises:
        QuantizationError: no tensor has the suffix that the method gives.
    """
    suffix = "" if stored is None else _TENSOR_SUFFIXES.get(str(stored), "")
    if suffix and not any(tensor.name.endswith(suffix) for tensor in tensors):
        raise QuantizationError(
            f"config.json says that the weights are {stored}, and they are plain: no tensor is "
            f"called *{suffix}",
            hint="delete quantization_config from config.json, and give quantization=... to have "
            "them quantised as they are loaded; or download the checkpoint again",
        )


def check_fp8(stored: StoredQuantization | None, device: torch.device) -> None:
    """Check that FP8 weights that can be loaded can run, too.

    Raises:
        MissingPackageError: the package that computes in FP8 is not installed.
        QuantizationError: the weights would stay in FP8 for a GPU, but go to the processor.
    """
    if stored is None or not stored.can_be_dequantized or not computes_in_fp8():
        return
    if device.type == "cpu":
        raise QuantizationError(
            f"{stored} weights stay as they are on a machine whose GPU computes in FP8, and a "
            "processor does not",
            hint="the GPU, or CUDA_VISIBLE_DEVICES='' to have them turned into bf16",
        )
    if lacking_packages(["kernels"]):
        raise MissingPackageError(f"{stored} weights need kernels", hint="pip install kernels")


def check_shapes(
    quantization: object, tensors: Iterable[TensorInfo], family: Family, device: torch.device
) -> None:
    """Check the shapes of matrices: kernels would fail only within the first answer.

    Raises:
        QuantizationError: a matrix has a shape that it does not take.
    """
    if quantization != "4bit" or device.type != "cpu":
        return
    for tensor in quantized_tensors(tensors, family):
        rows, columns = tensor.shape
        if rows % _ROW_MULTIPLE or columns % _COLUMN_MULTIPLE:
            raise QuantizationError(
                f"{tensor.name} has {rows} x {columns} values",
                expected=f"for 4-bit on a processor rows in multiples of {_ROW_MULTIPLE} and "
                f"columns in multiples of {_COLUMN_MULTIPLE}",
                hint="quantization='8bit'",
            )


def quantization_options(
    quantization: str | None, packing: Packing | None, family: Family, dtype: torch.dtype
) -> dict[str, Any]:
    """The arguments of `from_pretrained` that have bitsandbytes quantise weights; may be none."""
    if quantization is None or (packing is not None and packing.layers is not None):
        return {}
    from transformers import BitsAndBytesConfig

    _quieten()
    skipped = [VISION_TOWER, "lm_head", *family.unquantizable]
    if quantization == "8bit":
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=skipped,
        )
    return {"quantization_config": config}


def measure_weight_bytes(model: Any) -> int:
    """The size of a model's weights in bytes: with packed ones, and bitsandbytes' scales."""
    sides = (side for parameter in model.parameters() for side in _sides(parameter))
    footprint = int(model.get_memory_footprint()) + packed_bytes(model)
    return footprint + sum(side.nbytes for side in sides)


def _sides(parameter: Any) -> Iterator[torch.Tensor]:
    """The scales and tables of a parameter: attributes of it that belong to no module."""
    state = getattr(parameter, "quant_state", None)
    held = [getattr(parameter, "SCB", None)]
    for each in (state, getattr(state, "state2", None)):
        held += [getattr(each, name, None) for name in ("absmax", "code", "offset")]
    return (side for side in held if isinstance(side, torch.Tensor))


def _quieten() -> None:
    """Silence a warning that bitsandbytes gives for each layer of each token (8-bit, fp16)."""
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
