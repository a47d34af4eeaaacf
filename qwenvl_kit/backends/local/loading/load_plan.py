"""The load plan: dtype, device, attention and quantisation of a model, each with its reason.

It is made from the small files of a checkpoint and the headers of its weights, before weights are
read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch

from qwenvl_kit.backends.local.devices import computes_in_fp8, read_hardware
from qwenvl_kit.backends.local.loading.attention import Attention, choose_attention
from qwenvl_kit.backends.local.loading.device_map import Need, Placement, choose_placement
from qwenvl_kit.backends.local.loading.dtype import Precision, choose_precision
from qwenvl_kit.backends.local.loading.processor_dtype import choose_on_processor
from qwenvl_kit.backends.local.loading.quantization import (
    check_fp8,
    check_packages,
    check_quantization,
    check_shapes,
    check_stored_weights,
)
from qwenvl_kit.backends.local.packed.packing import choose_packing
from qwenvl_kit.checkpoints.memory import predict_weight_bytes
from qwenvl_kit.checkpoints.packed_memory import Packing, predict_packed_bytes
from qwenvl_kit.checkpoints.quantization import StoredQuantization
from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.checkpoints.weights import TensorInfo
from qwenvl_kit.errors import PlacementError
from qwenvl_kit.hardware import as_gigabytes, read_machine

_FILE_DTYPES = MappingProxyType(
    {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
)

_DEVICES = "'auto', 'cpu', or an accelerator such as 'cuda' or 'cuda:1'"


@dataclass(frozen=True)
class LoadPlan:
    """The decisions about loading a checkpoint.

    Attributes:
        precision: the dtype of its weights.
        placement: the devices that they go to.
        attention: the implementation of attention.
        quantization: "4bit" or "8bit" to quantise while loading; None to leave weights as they are.
        packing: the packed layers of a quantised model on a processor; None if it has none.
        stored: the quantisation in which the checkpoint is published; None if it has none.
        file_dtype: the dtype of the embedding in the files; None if it could not be told.
        weight_bytes: the size of the weights in memory.
    """

    precision: Precision
    placement: Placement
    attention: Attention
    quantization: str | None
    packing: Packing | None
    stored: StoredQuantization | None
    file_dtype: torch.dtype | None
    weight_bytes: int

    @property
    def is_quantized(self) -> bool:
        """True if the weights are quantised, by the kit or by their publisher."""
        return self.quantization is not None or self.stored is not None

    @property
    def device_map(self) -> Any:
        """The argument `device_map` of `from_pretrained`."""
        return "auto" if self.placement.is_spread else {"": self.placement.device}

    @property
    def max_memory(self) -> Mapping[int, int] | None:
        """The argument `max_memory` of `from_pretrained`; None for a model on one device."""
        if not self.placement.is_spread:
            return None
        return {torch.device(name).index: size for name, size in self.placement.max_bytes.items()}

    def facts(self) -> dict[str, str]:
        """The decisions and reasons, for the report."""
        return {
            "device_reason": self.placement.reason,
            "dtype_reason": self.precision.reason,
            "quantization": str(self.stored or self.quantization or "none"),
            **({"quantization_reason": self.packing.reason} if self.packing else {}),
            "weights": as_gigabytes(self.weight_bytes),
        }


def choose_load_plan(
    tensors: Sequence[TensorInfo],
    settings: Settings,
    *,
    dtype: str | torch.dtype,
    device: str | torch.device,
    quantization: str | None,
    attention: str,
    may_pack: bool = True,
) -> LoadPlan:
    """Decide how to load a checkpoint.

    Args:
        tensors: the names, shapes and dtypes of its weights.
        settings: its config.json.
        dtype: the dtype that the user asked for, like all arguments that follow.
        device: the device.
        quantization: "4bit" or "8bit" by bitsandbytes, or None.
        attention: the implementation of attention.
        may_pack: False to leave all quantised weights to bitsandbytes.

    Raises:
        PlacementError: no device holds the weights, or the device cannot be used.
        QuantizationError, MissingPackageError: it cannot be quantised or run as asked.
        ModelLoadError: the dtype or the attention is not known.
    """
    stored = check_quantization(quantization, settings)
    kind = _device_kind(device)
    hardware = read_hardware(None if device == "auto" else kind)
    kind = torch.device(hardware.roomiest(str(kind)))
    abilities = read_machine().abilities
    packing = choose_packing(quantization if may_pack else None, kind, abilities=abilities)
    check_packages(quantization, stored, packing)
    check_stored_weights(stored, tensors)
    check_fp8(stored, kind)
    precision = choose_precision(
        dtype,
        kind,
        is_quantized=quantization is not None,
        published=_published_dtype(tensors, settings) if stored else None,
        on_processor=partial(choose_on_processor, tensors, settings, abilities=abilities),
    )
    chosen = choose_attention(attention, kind, precision.dtype)
    check_shapes(quantization, tensors, settings.family, kind)
    rest = "bfloat16" if dtype == "auto" else precision.name  # of weights that are not quantised
    need = _need(_Weights(tensors, settings, precision, rest, kind), quantization, stored)
    return LoadPlan(
        precision=precision,
        placement=choose_placement(_device_name(device, kind), need, hardware),
        attention=chosen,
        quantization=quantization,
        packing=packing,
        stored=stored,
        file_dtype=_file_dtype(tensors),
        weight_bytes=need.weight_bytes,
    )


def _published_dtype(tensors: Iterable[TensorInfo], settings: Settings) -> torch.dtype:
    """The dtype of the weights that a quantised checkpoint does not quantise, as embeddings."""
    in_files = _file_dtype(tensors)
    if in_files is not None:
        return in_files
    said = settings.config.get("dtype") or settings.config.get("torch_dtype")
    known = {str(dtype).removeprefix("torch."): dtype for dtype in _FILE_DTYPES.values()}
    return known.get(str(said), torch.bfloat16)


def _file_dtype(tensors: Iterable[TensorInfo]) -> torch.dtype | None:
    """The dtype of the embedding in the files; None if it is no float, or the name is unknown."""
    for tensor in tensors:
        if tensor.name.endswith("embed_tokens.weight") and tensor.dtype in _FILE_DTYPES:
            return _FILE_DTYPES[tensor.dtype]
    return None


def _device_name(device: str | torch.device, kind: torch.device) -> str:
    """The name of a device in torch; there is one processor, whatever its number."""
    if device == "auto":
        return "auto"
    return "cpu" if kind.type == "cpu" else str(kind)


def _device_kind(device: str | torch.device) -> torch.device:
    """The device of torch that the argument `device` stands for, whether or not it has a number.

    Raises:
        PlacementError: torch cannot use it.
    """
    if not isinstance(device, (str, torch.device)):
        raise PlacementError(f"device={device!r} was given", expected=_DEVICES)
    if device == "auto":
        is_there = torch.accelerator.is_available()
        return (is_there and torch.accelerator.current_accelerator()) or torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]  # some go on for pages
        raise PlacementError(
            f"device={str(device)!r} cannot be used ({reason})", expected=_DEVICES
        ) from error
    return chosen


@dataclass(frozen=True)
class _Weights:
    """The weights of a checkpoint, whose size depends on their dtype or quantisation."""

    tensors: Sequence[TensorInfo]
    settings: Settings
    precision: Precision
    rest: str
    device: torch.device

    def count(self, name: str) -> int:
        abilities = read_machine().abilities
        if name in ("8bit", "4bit"):
            packing = choose_packing(name, self.device, abilities=abilities)
            if packing is not None:
                return predict_packed_bytes(
                    self.tensors,
                    self.settings,
                    packing,
                    rest=self.rest,  # type: ignore[arg-type]
                )
        return predict_weight_bytes(self.tensors, self.settings, name, rest=self.rest)  # type: ignore[arg-type]


def _need(weights: _Weights, quantization: str | None, stored: StoredQuantization | None) -> Need:
    """The size of the weights, and their size with other dtypes and quantisations."""
    if stored is not None:
        runs_as_stored = not stored.can_be_dequantized or computes_in_fp8()
        return Need(weights.count("stored" if runs_as_stored else "bfloat16"))
    needed = weights.count(quantization or weights.precision.name)
    others = {
        "dtype='bfloat16'": "bfloat16",
        "quantization='8bit'": "8bit",
        "quantization='4bit'": "4bit",
    }
    sizes = {how: weights.count(name) for how, name in others.items()}
    return Need(needed, {how: size for how, size in sizes.items() if size < 0.95 * needed})
