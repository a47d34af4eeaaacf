"""The choice of packed layers for a processor, and their place in a model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

import torch

from qwenvl_kit.backends.local.packed.base import PackedLinear
from qwenvl_kit.backends.local.packed.int4_linear import Int4Linear
from qwenvl_kit.backends.local.packed.int8_linear import Int8Linear, LastInput
from qwenvl_kit.checkpoints.packed_memory import Packing
from qwenvl_kit.families import Family


def choose_packing(
    quantization: str | None,
    device: torch.device,
    *,
    abilities: Collection[str],
    runs: Callable[[type[PackedLinear]], bool] | None = None,
) -> Packing | None:
    """Choose the form of quantised weights on a processor; None leaves all to bitsandbytes.

    Measured on one core with AVX2, a matrix of 4096 x 1024, in ms for 1, 8 and 32 rows: fp32 .80,
    2.8 and 5.6; bf16 .89, 6.7 and 26; bitsandbytes in 8 bits 2.7, 5.5 and 7.9, in 4 bits 8.0, 15
    and 36; int4 .61, 1.7 and 7.0; int8 in two digits .4, 1.2 and 4.5. bitsandbytes has a kernel of
    its own for processors with avx512_bf16, where int4 was slower than bf16 from eight rows on.

    Args:
        quantization: "4bit", "8bit" or None.
        device: the device of the model.
        abilities: the features of the processor that /proc/cpuinfo names.
        runs: a function that says if a packed layer runs with this torch; None tries it.
    """
    can_run = runs_here if runs is None else runs
    if quantization is None or device.type != "cpu" or not can_run(Int8Linear):
        return None
    head = "the output layer in int8 by FBGEMM"
    if quantization == "8bit":
        return Packing("int8", "layers and output layer in int8 by FBGEMM, two digits an input")
    if "avx512_bf16" in abilities or not can_run(Int4Linear):
        return Packing(None, f"layers in NF4 by bitsandbytes, {head}")
    return Packing("int4", f"layers in int4 by torch's kernel for processors, {head}")


@functools.cache
def runs_here(layer: type[PackedLinear]) -> bool:
    """True if a packed layer computes what it should with the installed torch on this processor.

    Torch has no FBGEMM on Arm, and warns that its quantised dtypes will go one day.
    """
    with torch.random.fork_rng(devices=()), torch.inference_mode():
        linear = torch.nn.Linear(64, 32, bias=False, device="cpu", dtype=torch.float32)
        inputs = torch.rand(2, 64, device="cpu", dtype=torch.float32)
        try:
            outputs = layer(linear)(inputs)
        except (AttributeError, NotImplementedError, RuntimeError):
            return False
        return bool((outputs - linear(inputs)).square().mean() < 0.02 * linear(inputs).var())


def pack_model(model: Any, packing: Packing, family: Family, vision_tower: str) -> None:
    """Put packed layers in place of linear ones: in the language model, and its output layer.

    A tied embedding stays as it is, for its rows are read one by one. The output layer comes
    first, while least is held: while it is packed there are two copies of it.

    Args:
        model: the model of transformers.
        packing: the form of its layers.
        family: its family, which names layers that stay whole.
        vision_tower: the name of the vision encoder, which stays whole.
    """
    shared = LastInput()
    model.set_output_embeddings(Int8Linear(model.get_output_embeddings(), shared))
    if packing.layers is None:
        return
    for name, module in list(model.named_modules()):
        is_layer = type(module) is torch.nn.Linear and not name.startswith(vision_tower)
        if is_layer and not name.endswith(family.unquantizable):
            parent, _, own_name = name.rpartition(".")
            packed = Int8Linear(module, shared) if packing.layers == "int8" else Int4Linear(module)
            setattr(model.get_submodule(parent), own_name, packed)


def packed_bytes(model: Any) -> int:
    """The bytes that packed layers hold, which are in no parameter."""
    return sum(each.packed_bytes for each in model.modules() if isinstance(each, PackedLinear))


def convert_rest(model: Any, before: torch.dtype, dtype: torch.dtype) -> None:
    """Convert the parameters of one dtype to another, one by one.

    Weights are packed from the pages of their file. Had transformers converted them first, all of
    them would be in memory at once.
    """
    for parameter in model.parameters():
        if parameter.dtype == before != dtype:
            parameter.data = parameter.data.to(dtype)
