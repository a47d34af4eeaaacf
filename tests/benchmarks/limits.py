"""The limits of a machine: how fast memory lets answers be written, and arithmetic prompts be read.

Nothing here measures; `sections/expectations.py` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.backends.local.packed.base import PackedLinear
from qwenvl_kit.backends.local.packed.packing import packed_bytes


def bytes_per_step(weight_bytes: int, rows: int, context_tokens: int, token_bytes: int) -> int:
    """The bytes that one step of decoding must read: weights once, and each row's keys and values.

    Args:
        weight_bytes: the weights of language model and output layer.
        rows: answers that are written together.
        context_tokens: tokens of each row so far.
        token_bytes: keys and values of a token in all layers.
    """
    return weight_bytes + rows * context_tokens * token_bytes


def most_tokens_per_second(bandwidth: float, step_bytes: float, rows: int = 1) -> float:
    """The most tokens that can be written each second: rows * bandwidth / bytes of a step."""
    return rows * bandwidth / step_bytes


def share_of_bandwidth(step_bytes: float, seconds: float, bandwidth: float) -> float:
    """The part of the bandwidth that a step used: bytes of a step / its seconds / bandwidth."""
    return step_bytes / seconds / bandwidth


def cache_bytes_per_token(layers: int, key_heads: int, head_dim: int, value_bytes: int) -> int:
    """Keys and values of a token: 2 * layers of attention * key heads * head dim * bytes."""
    return 2 * layers * key_heads * head_dim * value_bytes


def reading_flops(parameters: float, tokens: int, layers: int, width: int) -> float:
    """The operations of reading tokens: 2 * parameters * tokens + 2 * layers * width * tokens^2.

    The first term is the layers' products, two operations a parameter and token. The second is
    causal attention: scores and sums, 2 * tokens * width each, over half of all pairs.
    """
    return 2 * parameters * tokens + 2 * layers * width * tokens**2


def seeing_flops(parameters: float, patches: int, layers: int, width: int) -> float:
    """The operations of the vision encoder, whose patches all see one another.

    2 * parameters * patches + 4 * layers * width * patches^2.
    """
    return 2 * parameters * patches + 4 * layers * width * patches**2


def memory_bandwidth(channels: int, bytes_per_transfer: int, transfers_per_second: float) -> float:
    """Bytes a second by the standard: channels * bytes of a transfer * transfers a second."""
    return channels * bytes_per_transfer * transfers_per_second


def peak_flops(cores: int, cycles_per_second: float, flops_per_cycle: int) -> float:
    """Operations a second of a processor: cores * clock * operations of a core each cycle."""
    return cores * cycles_per_second * flops_per_cycle


@dataclass(frozen=True)
class Machine:
    """A kind of machine, as far as speed depends on it.

    Attributes:
        name: its name in the tables.
        source: where its two figures come from.
        memory_bytes: what weights must fit into.
        bandwidth: bytes a second between memory and processor.
        flops: operations a second.
    """

    name: str
    source: str
    memory_bytes: float
    bandwidth: float
    flops: float


MACHINES = (
    Machine(
        "laptop of 32 GB, no GPU",
        "2 channels of DDR5-5600, 8 bytes each; 8 cores at 3 GHz, AVX2: 32 operations in fp32",
        32e9,
        memory_bandwidth(2, 8, 5.6e9),
        peak_flops(8, 3e9, 32),
    ),
    Machine(
        "workstation, GPU of 24 GB",
        "GDDR6X, 384 bits at 21 Gbit/s; 165 TFLOP/s in bf16 (NVIDIA on RTX 4090)",
        24e9,
        memory_bandwidth(1, 384 // 8, 21e9),
        165e12,
    ),
    Machine(
        "server of 256 GB, no GPU",
        "12 channels of DDR5-4800, 8 bytes each; 32 cores at 2.5 GHz, AVX-512: 64 in fp32",
        256e9,
        memory_bandwidth(12, 8, 4.8e9),
        peak_flops(32, 2.5e9, 64),
    ),
    Machine(
        "server, GPU of 80 GB",
        "HBM3 of 3.35 TB/s; 989 TFLOP/s in bf16 (NVIDIA on H100 SXM)",
        80e9,
        3.35e12,
        989e12,
    ),
)


def weight_bytes_read(model: Any) -> int:
    """The bytes of weights that a step of a loaded model reads, whatever they are packed in.

    Each tensor of language model and output layer counts once, scales of a quantiser included. The
    embedding counts only where it is the output layer too: else a step reads a row of it.
    """
    inner, head = model.model.language_model, model.get_output_embeddings()
    output = {_key(tensor) for tensor in _tensors(head)}
    embedding = {_key(tensor) for tensor in _tensors(inner.get_input_embeddings())} - output
    found = {_key(tensor): tensor for part in (inner, head) for tensor in _tensors(part)}
    plain = sum(
        tensor.numel() * tensor.element_size()
        for key, tensor in found.items()
        if key not in embedding
    )
    return plain + sum(packed_bytes(part) for part in (inner, head))


def _tensors(module: Any) -> Iterable[Any]:
    """All tensors that a module holds; bitsandbytes keeps its scales beside a parameter."""
    import torch

    for part in module.modules():
        if isinstance(part, PackedLinear):  # counted by itself: its tensors may be out of sight
            continue
        for own in (*part._parameters.values(), *part._buffers.values(), *vars(part).values()):
            if isinstance(own, torch.Tensor):
                yield own
                for beside in (getattr(own, "quant_state", None), getattr(own, "SCB", None)):
                    if isinstance(beside, torch.Tensor):
                        yield beside
                    elif beside is not None:
                        yield from _scales(beside)
        state = getattr(part, "state", None)  # of bitsandbytes' 8-bit layers, after their first use
        for name in ("CB", "SCB"):
            held = getattr(state, name, None)
            if isinstance(held, torch.Tensor):
                yield held


def _scales(quant_state: Any) -> Iterable[Any]:
    """The scales of 4-bit weights, which may be quantised once more."""
    yield quant_state.absmax
    nested = getattr(quant_state, "state2", None)
    if nested is not None:
        yield nested.absmax


def _key(tensor: Any) -> tuple[int, int]:
    return tensor.data_ptr(), tensor.numel() * tensor.element_size()
