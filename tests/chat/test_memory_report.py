"""The memory report tells what a model takes, and what a block of work takes at its peak."""

from __future__ import annotations

from pathlib import Path

import numpy
import PIL.Image
import pytest

from qwenvl_kit import Sampling, VisionChat
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
        array = numpy.ones(2**26, numpy.uint8)
        chat.ask("What is this?", RED, sampling=SHORT)
        del array
    assert report.after is not None
    assert report.peak_bytes is not None
    assert report.peak_bytes > report.before.taken_bytes + 2**25
    assert report.activation_bytes is not None


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
