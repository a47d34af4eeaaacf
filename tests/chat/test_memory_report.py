"""The memory report tells what a model takes, and what a block of work takes at its peak."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.base import MemoryUse
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import ModelLoadError

RED = PIL.Image.new("RGB", (112, 112), "red")
SHORT = Sampling(max_new_tokens=2)


@pytest.fixture(scope="module")
def chat(tiny_folder: Path) -> VisionChat:
    return VisionChat.from_pretrained(tiny_folder)


def test_weights_are_those_of_the_model(chat: VisionChat) -> None:
    model = chat._backend.model  # type: ignore[attr-defined]
    once = {p.data_ptr(): p.numel() * p.element_size() for p in model.parameters()}
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    assert chat.memory_report().weight_bytes == pytest.approx(sum(once.values()) + buffers, abs=64)


def test_caches_are_those_of_cache_info(chat: VisionChat) -> None:
    chat.clear_cache()
    report = chat.memory_report()
    assert (report.cache_bytes, report.feature_bytes) == (0, 0)
    chat.ask("What is this?", RED, sampling=SHORT)
    report, kept = chat.memory_report(), chat.cache_info()
    assert report.cache_bytes == kept.prompt_bytes > 0
    assert report.feature_bytes == kept.media_bytes > 0


def test_a_block_tells_its_peak(chat: VisionChat) -> None:
    with chat.memory_report() as report:
        chat.ask("What is this?", RED, sampling=SHORT)
    assert report.after is not None
    assert report.peak_bytes is not None
    assert report.peak_bytes >= max(report.before.taken_bytes, report.after.taken_bytes)
    assert report.activation_bytes is not None


class OnGpu(ScriptedBackend):
    """A backend whose allocator says before and after a block what is written here."""

    def __init__(self) -> None:
        super().__init__([])
        self.told = iter([(100, 160, 500), (100, 160, 100), (120, 200, 330)])
        self.num_resets = 0

    def memory(self) -> MemoryUse:
        taken, reserved, peak = next(self.told)
        return MemoryUse(
            device="cuda:0", taken_bytes=taken, reserved_bytes=reserved, peak_bytes=peak
        )

    def reset_peak_memory(self) -> None:
        self.num_resets += 1


def test_on_a_gpu_the_figures_are_those_of_torchs_allocator() -> None:
    backend = OnGpu()
    report = VisionChat(backend).memory_report()
    assert (report.peak_bytes, report.fragmentation_bytes) == (500, 60)
    with report:
        assert backend.num_resets == 1
    assert (report.peak_bytes, report.fragmentation_bytes) == (330, 80)
    assert report.activation_bytes == 330 - 120
    assert "on the GPU" in str(report)


def test_what_is_not_known_is_said_to_be(chat: VisionChat) -> None:
    report = chat.memory_report()
    assert report.activation_bytes is None
    assert report.fragmentation_bytes is None  # on a processor
    assert "not known" in str(report)
    assert "weights" in report._repr_html_()


def test_a_block_may_end_by_an_error(chat: VisionChat) -> None:
    with pytest.raises(ZeroDivisionError), chat.memory_report() as report:
        _ = 1 / 0
    assert report.block_peak_bytes is not None


def test_a_report_serves_several_blocks(chat: VisionChat) -> None:
    report = chat.memory_report()
    for _ in range(2):
        with report as same:
            chat.ask("What is this?", RED, sampling=SHORT)
        assert same is report
        assert report.block_peak_bytes is not None


def test_a_backend_without_a_model_tells_of_the_process() -> None:
    report = VisionChat(ScriptedBackend([])).memory_report()
    assert report.weight_bytes is None
    assert report.now.taken_bytes > 0


def test_a_closed_chat_has_no_report(tiny_folder: Path) -> None:
    with VisionChat.from_pretrained(tiny_folder) as chat:
        pass
    with pytest.raises(ModelLoadError, match="closed"):
        chat.memory_report()


@pytest.mark.gpu
def test_a_gpu_tells_fragmentation_and_a_summary(tiny_folder: Path) -> None:
    with VisionChat.from_pretrained(tiny_folder, device="cuda") as chat:
        with chat.memory_report() as report:
            chat.ask("What is this?", RED, sampling=SHORT)
        assert report.fragmentation_bytes is not None
        assert report.activation_bytes is not None
        assert "CUDA" in report.summary
