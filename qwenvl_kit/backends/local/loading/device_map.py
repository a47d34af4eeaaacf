"""The choice of a device for a model: one that holds it, several that hold it together, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qwenvl_kit.errors import PlacementError
from qwenvl_kit.hardware import as_gigabytes

SMALL_BYTES = 256 * 10**6
"""A model up to this size answers in good time on any processor."""

WORKING_SHARE = 0.1
WORKING_BYTES = 512 * 2**20
"""Memory that an accelerator must have free beside the weights, for the KV cache and activations: a
share of the weights, and at least this many bytes. The plan of a request checks its own need."""


@dataclass(frozen=True)
class Device:
    """A device of this machine.

    Attributes:
        name: its name in torch, such as "cuda:0".
        free_bytes: its free memory.
    """

    name: str
    free_bytes: int


@dataclass(frozen=True)
class Placement:
    """The devices that a model goes to.

    Attributes:
        device: the device, or the first of several.
        reason: the reason for the choice.
        max_bytes: for a model on several devices, the most bytes of weights on each.
    """

    device: str
    reason: str
    max_bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_spread(self) -> bool:
        """True if the model is spread over several devices."""
        return bool(self.max_bytes)


@dataclass(frozen=True)
class Need:
    """The memory that a model needs.

    Attributes:
        weight_bytes: the size of its weights, as they will be loaded.
        alternatives: arguments that would need less, such as "quantization='4bit'", with their
            size in bytes.
    """

    weight_bytes: int
    alternatives: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Hardware:
    """The devices that a model could go to.

    Attributes:
        accelerators: the accelerators that torch can use.
        cpu_free_bytes: the free main memory.
        unusable_gpu: the reason why a GPU of this machine cannot be used; empty if there is none.
    """

    accelerators: Sequence[Device]
    cpu_free_bytes: int
    unusable_gpu: str = ""

    def roomiest(self, kind: str) -> str:
        """The name of the accelerator of a kind, such as "cuda", with the most free memory."""
        chosen = [d for d in self.accelerators if kind in (d.name, d.name.partition(":")[0])]
        return max(chosen, key=lambda d: d.free_bytes).name if chosen else kind


def choose_placement(device: str, need: Need, hardware: Hardware) -> Placement:
    """Choose the devices for a model; never the main memory if there is an accelerator.

    Args:
        device: "auto", "cpu", or an accelerator's name with or without its number.
        need: the memory that the model needs.
        hardware: the devices of this machine.

    Raises:
        PlacementError: the model fits on no device, or the device does not exist. The message
            has figures and choices.
    """
    if device == "auto":
        return _choose(need, hardware)
    if device == "cpu":
        return _on_cpu(need, hardware, "as asked")
    chosen = [d for d in hardware.accelerators if device in (d.name, d.name.partition(":")[0])]
    if not chosen:
        have = ", ".join(["cpu", *(d.name for d in hardware.accelerators)])
        raise PlacementError(
            f"device={device!r} cannot be used{_because(hardware)}", expected=f"'auto', or {have}"
        )
    best = max(chosen, key=lambda d: d.free_bytes)
    if _capacity(best.free_bytes) < need.weight_bytes:
        raise _too_large(need, hardware, [best])
    return Placement(best.name, "as asked")


def _choose(need: Need, hardware: Hardware) -> Placement:
    if not hardware.accelerators:
        return _without_accelerator(need, hardware)
    needed = need.weight_bytes
    best = max(hardware.accelerators, key=lambda d: d.free_bytes)
    if needed <= _capacity(best.free_bytes):
        return Placement(best.name, f"the weights fit on {best.name}")
    shares = {d.name: _capacity(d.free_bytes) for d in hardware.accelerators}
    if len(shares) > 1 and needed <= sum(shares.values()):
        reason = f"the weights need {len(shares)} devices, no single one holds them"
        return Placement(hardware.accelerators[0].name, reason, shares)
    raise _too_large(need, hardware, hardware.accelerators)


def _without_accelerator(need: Need, hardware: Hardware) -> Placement:
    is_small = need.weight_bytes <= SMALL_BYTES
    if hardware.unusable_gpu and not is_small:
        raise PlacementError(
            f"this machine has a GPU that cannot be used: {hardware.unusable_gpu}",
            hint="python -m qwenvl_kit doctor, which says how to mend it; or device='cpu' if the "
            "processor is meant",
        )
    return _on_cpu(need, hardware, hardware.unusable_gpu or "no accelerator was found")


def _on_cpu(need: Need, hardware: Hardware, reason: str) -> Placement:
    if need.weight_bytes > hardware.cpu_free_bytes:
        raise _too_large(need, hardware, [])
    return Placement("cpu", reason)


def _capacity(free_bytes: int) -> int:
    """The most bytes of weights for a device with this much free memory."""
    return max(0, int((free_bytes - WORKING_BYTES) / (1 + WORKING_SHARE)))


def _because(hardware: Hardware) -> str:
    return f": {hardware.unusable_gpu}" if hardware.unusable_gpu else ""


def _too_large(need: Need, hardware: Hardware, tried: Sequence[Device]) -> PlacementError:
    have = [f"{as_gigabytes(d.free_bytes)} free on {d.name}" for d in tried] or [
        f"{as_gigabytes(hardware.cpu_free_bytes)} free in main memory"
    ]
    beside = ", and room to work beside them" if tried else ""
    return PlacementError(
        f"the weights take {as_gigabytes(need.weight_bytes)}{beside}; there are " + ", ".join(have),
        expected="memory for all of them; nothing is left on the disk or the processor unasked",
        hint=_choices(need, hardware, tried),
    )


def _choices(need: Need, hardware: Hardware, tried: Sequence[Device]) -> str:
    needed = need.weight_bytes
    room = sum(_capacity(d.free_bytes) for d in tried) if tried else hardware.cpu_free_bytes
    choices = [
        f"{name} ({as_gigabytes(size)})" for name, size in need.alternatives.items() if size <= room
    ]
    if tried and needed <= hardware.cpu_free_bytes:
        choices.append(f"device='cpu' ({as_gigabytes(hardware.cpu_free_bytes)} free, slow)")
    return ", or ".join([*choices, "a smaller checkpoint"])
