"""Where a model goes: one device, several, or none; and never elsewhere than it was told."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.local import devices
from qwenvl_kit.backends.local.loading import load_plan, network, validation
from qwenvl_kit.backends.local.loading.device_map import (
    SMALL_BYTES,
    WORKING_BYTES,
    WORKING_SHARE,
    Device,
    Hardware,
    Need,
    Placement,
    choose_placement,
)
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.checkpoints.weights import read_tensors
from qwenvl_kit.errors import PlacementError
from qwenvl_kit.hardware import Machine, NvidiaDriver

GB = 10**9


def gpus(*free_gigabytes: float) -> list[Device]:
    return [Device(f"cuda:{index}", int(free * GB)) for index, free in enumerate(free_gigabytes)]


def machine(*free_gigabytes: float, cpu: float = 64, unusable: str = "") -> Hardware:
    return Hardware(gpus(*free_gigabytes), int(cpu * GB), unusable)


def need(gigabytes: float, **alternatives: float) -> Need:
    return Need(int(gigabytes * GB), {name: int(gb * GB) for name, gb in alternatives.items()})


def takes(device: Device) -> float:
    """What a device can take of the weights, with room to work beside them."""
    return (device.free_bytes - WORKING_BYTES) / (1 + WORKING_SHARE)


def test_without_an_accelerator_a_model_goes_to_the_processor() -> None:
    placement = choose_placement("auto", need(4), machine())
    assert placement == Placement("cpu", "no accelerator was found")


def test_a_gpu_that_holds_the_weights_is_taken() -> None:
    placement = choose_placement("auto", need(4), machine(24))
    assert placement.device == "cuda:0"
    assert not placement.is_spread
    assert "fit on cuda:0" in placement.reason


def test_of_several_gpus_the_one_with_most_room_is_taken() -> None:
    placement = choose_placement("auto", need(4), machine(8, 24, 16))
    assert (placement.device, placement.is_spread) == ("cuda:1", False)


def test_a_model_that_no_gpu_holds_alone_is_shared_among_all() -> None:
    hardware = machine(24, 16)
    placement = choose_placement("auto", need(30), hardware)
    assert placement.is_spread
    assert set(placement.max_bytes) == {"cuda:0", "cuda:1"}
    assert "2 devices" in placement.reason
    for device in hardware.accelerators:
        assert placement.max_bytes[device.name] <= takes(device)
    assert sum(placement.max_bytes.values()) >= 30 * GB


def test_room_to_work_is_left_beside_the_weights() -> None:
    with pytest.raises(PlacementError):
        choose_placement("auto", need(24), machine(24))


def test_a_model_that_fits_nowhere_is_refused_with_figures_and_choices() -> None:
    alternatives = {"dtype='bfloat16'": 33.2, "quantization='4bit'": 9.6}
    with pytest.raises(PlacementError) as caught:
        choose_placement("auto", need(66.4, **alternatives), machine(24, 16, cpu=128))
    message = str(caught.value)
    for part in ("66.4 GB", "24.0 GB free on cuda:0", "16.0 GB free on cuda:1"):
        assert part in message
    for choice in (
        "dtype='bfloat16' (33.2 GB)",
        "quantization='4bit' (9.6 GB)",
        "device='cpu' (128.0 GB free, slow)",
        "a smaller checkpoint",
    ):
        assert choice in caught.value.hint


def test_a_form_that_does_not_fit_either_is_no_choice() -> None:
    alternatives = {"dtype='bfloat16'": 33.2, "quantization='4bit'": 9.6}
    with pytest.raises(PlacementError) as caught:
        choose_placement("auto", need(66.4, **alternatives), machine(16))
    assert "bfloat16" not in caught.value.hint
    assert "quantization='4bit' (9.6 GB)" in caught.value.hint


def test_the_processor_is_a_choice_only_where_the_weights_fit_there() -> None:
    with pytest.raises(PlacementError) as caught:
        choose_placement("auto", need(66), machine(24, cpu=32))
    assert "cpu" not in caught.value.hint


def test_a_gpu_that_is_too_small_never_means_the_processor_unasked() -> None:
    with pytest.raises(PlacementError, match="unasked"):
        choose_placement("auto", need(10), machine(8, cpu=512))


def test_main_memory_that_is_too_small_is_told_with_figures() -> None:
    with pytest.raises(PlacementError, match=r"10\.0 GB.*4\.0 GB free in main memory"):
        choose_placement("auto", need(10), machine(cpu=4))


def test_a_gpu_that_torch_cannot_use_is_no_reason_to_be_slow_in_silence() -> None:
    with pytest.raises(PlacementError, match="old driver") as caught:
        choose_placement("auto", need(4), machine(unusable="old driver"))
    assert "doctor" in caught.value.hint
    assert "device='cpu'" in caught.value.hint


def test_a_small_model_runs_beside_a_gpu_that_torch_cannot_use() -> None:
    placement = choose_placement("auto", Need(SMALL_BYTES), machine(unusable="old driver"))
    assert placement == Placement("cpu", "old driver")


def test_the_processor_may_be_asked_for_beside_a_gpu_that_torch_cannot_use() -> None:
    placement = choose_placement("cpu", need(4), machine(unusable="old driver"))
    assert placement == Placement("cpu", "as asked")


@pytest.mark.parametrize(("asked", "chosen"), [("cuda:0", "cuda:0"), ("cuda", "cuda:1")])
def test_a_device_that_is_asked_for_is_taken(asked: str, chosen: str) -> None:
    assert choose_placement(asked, need(4), machine(12, 24)) == Placement(chosen, "as asked")


def test_a_device_that_is_asked_for_and_too_small_is_not_replaced_by_another() -> None:
    with pytest.raises(PlacementError, match=r"free on cuda:0$|free on cuda:0;") as caught:
        choose_placement("cuda:0", need(10), machine(8, 80))
    assert "cuda:1" not in str(caught.value)


@pytest.mark.parametrize("device", ["cuda:7", "xpu", "mps", "meta", ""])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(device: str) -> None:
    with pytest.raises(PlacementError, match="cpu, cuda:0, cuda:1"):
        choose_placement(device, need(1), machine(8, 8))


def test_why_a_gpu_cannot_be_used_is_told_to_those_who_ask_for_it() -> None:
    with pytest.raises(PlacementError, match="old driver"):
        choose_placement("cuda", need(1), machine(unusable="old driver"))


SIZES = st.integers(0, 300 * GB)
HARDWARE = st.builds(
    Hardware,
    st.lists(SIZES, max_size=8).map(
        lambda sizes: [Device(f"cuda:{index}", size) for index, size in enumerate(sizes)]
    ),
    SIZES,
    st.sampled_from(["", "old driver"]),
)
NEEDS = st.builds(Need, SIZES, st.dictionaries(st.text(), SIZES, max_size=3))


@given(HARDWARE, NEEDS, st.sampled_from(["auto", "cpu", "cuda", "cuda:0", "cuda:5", "moon"]))
def test_whatever_the_machine_a_model_fits_where_it_goes_or_is_refused(
    hardware: Hardware, wanted: Need, device: str
) -> None:
    needed = wanted.weight_bytes
    try:
        placement = choose_placement(device, wanted, hardware)
    except PlacementError:
        # What one accelerator holds is never refused.
        assert device != "auto" or not any(needed <= takes(d) for d in hardware.accelerators)
        return
    room = {d.name: d for d in hardware.accelerators}
    if placement.is_spread:
        assert device == "auto"
        assert set(placement.max_bytes) <= set(room)
        assert placement.device in room
        assert all(size <= max(0, takes(room[name])) for name, size in placement.max_bytes.items())
        assert sum(placement.max_bytes.values()) >= needed
    elif placement.device == "cpu":
        assert needed <= hardware.cpu_free_bytes
        assert device == "cpu" or not hardware.accelerators
    else:
        assert needed <= max(0, takes(room[placement.device]))


# From a placement to what transformers is told.


@pytest.fixture
def many_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs that hold a tiny model only together."""
    half = int(WORKING_BYTES + 0.7e6)
    hardware = Hardware([Device("cuda:0", half), Device("cuda:1", half)], 64 * GB)
    monkeypatch.setattr(load_plan, "read_hardware", lambda _: hardware)
    monkeypatch.setattr(load_plan, "_device_kind", lambda _: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))


def plan_for(folder: Path, **changes: Any) -> load_plan.LoadPlan:
    options = {"dtype": "auto", "device": "auto", "quantization": None, "attention": "auto"}
    return load_plan.choose_load_plan(
        read_tensors(folder), read_settings(folder), **{**options, **changes}
    )


@pytest.mark.usefixtures("many_gpus")
def test_a_model_that_is_shared_out_is_given_no_processor_and_no_disk(tiny_folder: Path) -> None:
    plan = plan_for(tiny_folder)
    assert plan.device_map == "auto"
    assert plan.max_memory is not None
    assert set(plan.max_memory) == {0, 1}
    assert plan.weight_bytes is not None
    assert sum(plan.max_memory.values()) >= plan.weight_bytes


@pytest.mark.usefixtures("many_gpus")
def test_a_refusal_names_each_smaller_form_with_its_size(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = (WORKING_BYTES + 800_000) / GB
    monkeypatch.setattr(load_plan, "read_hardware", lambda _: Hardware(gpus(room), 64 * GB))
    with pytest.raises(PlacementError) as caught:
        plan_for(tiny_folder)
    for choice in ("dtype='bfloat16' (0.5 MB)", "quantization='8bit' (0.4 MB)", "device='cpu'"):
        assert choice in caught.value.hint


def test_a_model_on_one_device_is_told_that_device_alone(tiny_folder: Path) -> None:
    plan = plan_for(tiny_folder, device="cpu")
    assert (plan.device_map, plan.max_memory) == ({"": "cpu"}, None)
    assert plan.facts()["device_reason"] == "as asked"


@pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu")])
def test_a_device_may_be_given_in_any_form_of_torch(tiny_folder: Path, device: Any) -> None:
    assert plan_for(tiny_folder, device=device).placement.device == "cpu"


@pytest.mark.parametrize("device", ["moon", "meta", "CPU", "", "cuda:999", 3, None, b"cpu"])
def test_what_is_no_device_is_refused_in_one_line(tiny_folder: Path, device: Any) -> None:
    with pytest.raises(PlacementError, match="device=") as caught:
        VisionChat.from_pretrained(tiny_folder, device=device)
    assert "\n" not in str(caught.value)
    assert "cpu" in caught.value.expected


def test_too_little_memory_is_noticed_before_a_weight_is_read(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_plan, "read_hardware", lambda _: Hardware([], 1000))
    monkeypatch.setattr(load_plan, "_device_kind", lambda _: torch.device("cpu"))
    monkeypatch.setattr(network, "_load_model", None)
    with pytest.raises(PlacementError, match=r"1\.1 MB; there are 0\.0 MB free in main memory"):
        VisionChat.from_pretrained(tiny_folder)


@pytest.mark.parametrize(
    ("homes", "is_refused"),
    [
        ({"": "cpu"}, False),
        ({"a": 0, "b": 1}, False),
        ({"a": 0, "b": "cpu"}, True),
        ({"a": 0, "b": "disk"}, True),
    ],
)
def test_parts_that_found_no_room_on_the_accelerators_are_refused(
    homes: Mapping[str, Any], is_refused: bool
) -> None:
    network = SimpleNamespace(hf_device_map=homes)
    with pytest.raises(PlacementError, match="'b' first") if is_refused else nullcontext():
        validation.check_not_offloaded(network)


# What this machine is found to have.


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


def test_gpus_are_found_with_what_is_free_on_each(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {0: 3 * GB, 1: 7 * GB}
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device.index], 8 * GB))
    hardware = devices.read_hardware()
    assert list(hardware.accelerators) == gpus(3, 7)
    assert hardware.unusable_gpu == ""


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize(
    ("driver", "cuda", "reason"),
    [
        (None, "13.0", ""),
        (NvidiaDriver(version="580.82", has_device=False), "13.0", ""),
        (NvidiaDriver(version="580.82"), "13.0", "finds no device"),
        (NvidiaDriver(version="580.82"), None, "without CUDA"),
    ],
    ids=["no driver", "a container without a GPU", "torch finds no device", "torch for processors"],
)
def test_a_gpu_that_torch_cannot_use_is_known_by_its_driver(
    monkeypatch: pytest.MonkeyPatch, driver: NvidiaDriver | None, cuda: str | None, reason: str
) -> None:
    monkeypatch.setattr(devices, "find_nvidia_driver", lambda: driver)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    found = devices.read_hardware().unusable_gpu
    assert reason in found
    assert bool(found) == bool(reason)


@pytest.mark.usefixtures("no_accelerator")
def test_free_main_memory_is_what_the_machine_can_still_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = Machine(num_cores=2, available_bytes=5 * GB, total_bytes=9 * GB)
    monkeypatch.setattr(devices, "read_machine", lambda: here)
    assert devices.read_hardware().cpu_free_bytes == 5 * GB
