"""The memory that is predicted for a request is what torch allocates when it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import PIL.Image
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from qwenvl_kit import ImagePart, Message, Sampling, TextPart, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.backends.local.memory import free_bytes, shape_of
from qwenvl_kit.budget.memory import (
    predict_activation_bytes,
    predict_cache_bytes,
)
from qwenvl_kit.checkpoints.packages import lacking
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.hardware import read_machine
from qwenvl_kit.results import Reply
from qwenvl_kit.testing import build_tiny_model

needs_torch = pytest.mark.skipif(
    bool(lacking(["torch>=2.9"])),
    reason="torch below 2.9 takes more memory",
)
TOLERANCE = 0.15
LONG = "a b c d e f g h " * 60
"""About 900 tokens of every tokenizer here."""


def picture(backend: LocalBackend, tokens: int, seed: int = 0) -> ImagePart:
    """A picture of noise that has this many visual tokens, eight high."""
    side = backend.rules.family.token_side_px
    pixels = numpy.random.default_rng(seed).integers(
        0, 255, (8 * side, tokens // 8 * side, 3), dtype=numpy.uint8
    )
    return ImagePart(PIL.Image.fromarray(pixels))


def video(backend: LocalBackend, num_frames: int) -> VideoPart:
    return VideoPart([picture(backend, 48, seed).source for seed in range(num_frames)], fps=2.0)


CASES: dict[str, Callable[[LocalBackend], list[ImagePart | VideoPart | TextPart]]] = {
    "a short question": lambda _: [TextPart("What?")],
    "a long text": lambda _: [TextPart(LONG)],
    "a small picture": lambda b: [picture(b, 64)],
    "a large picture": lambda b: [picture(b, 1280)],
    "eight pictures": lambda b: [picture(b, 64, seed) for seed in range(8)],
    "a video of 16 frames": lambda b: [video(b, 16)],
    "a video of 40 frames": lambda b: [video(b, 40)],
    "a picture and a video": lambda b: [picture(b, 128), video(b, 8)],
}


def measure_peak_bytes(call: Callable[[], Reply]) -> tuple[int, Reply]:
    """The most bytes that torch had given out at once during a call, and what it returned."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        reply = call()
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = [event for event in events if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(changes, key=lambda event: int(event.start_ns())):
        held += event.nbytes()
        peak = max(peak, held)
    return peak, reply


class Inline:
    """In place of a thread: torch's profiler sees the thread that started it alone."""

    def __init__(self, target: Callable[[], None], **_: object) -> None:
        self.start = target


def decoded_bytes(reply: Reply) -> int:
    """What Pillow and NumPy hold of the media, of which torch does not know."""
    area = [plan.resized.width_px * plan.resized.height_px for plan in reply.plan.images]
    frames = [
        3 * len(plan.frame_indices) * plan.resized.width_px * plan.resized.height_px
        for plan in reply.plan.videos
    ]
    return sum(4 * pixels for pixels in area) + sum(frames)


def check_prediction(backend: LocalBackend, parts: list[ImagePart | VideoPart | TextPart]) -> None:
    chat = VisionChat(backend)
    message = Message("user", [*parts, TextPart("?")])

    def ask() -> Reply:
        return chat.ask([message], sampling=Sampling(max_new_tokens=4))

    ask()  # the first call loads what later ones find there
    backend.clear_cache()
    scheduler = backend._engine.scheduler
    scheduler.release()
    while scheduler._thread is not None:
        time.sleep(0.001)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(threading, "Thread", Inline)
        peak, reply = measure_peak_bytes(ask)
    plan, answered = reply.plan, reply.usage.completion_tokens
    shape = shape_of(backend.model, backend.processor)
    media = [*plan.images, *plan.videos]
    beside = predict_cache_bytes(shape, plan.prompt_tokens, answered) + predict_activation_bytes(
        shape, media, backend.rules.family, plan.prompt_tokens, answered
    )
    assert plan.weight_bytes is not None
    measured = plan.weight_bytes + peak + decoded_bytes(reply)
    assert plan.weight_bytes + beside == pytest.approx(measured, rel=TOLERANCE)
    # Beside the weights too, or else a heavy model would hide everything.
    assert beside == pytest.approx(peak + decoded_bytes(reply), rel=TOLERANCE)


@pytest.fixture(scope="module")
def embedded() -> LocalBackend:
    return load_backend(MODEL_FOLDER, max_cache_bytes=0)


@pytest.fixture(scope="module", params=FAMILIES)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    folder = build_tiny_model(tmp_path_factory.mktemp("shapes") / "model", request.param)
    return load_backend(folder, max_cache_bytes=0)


@needs_torch
@pytest.mark.parametrize("case", CASES)
def test_what_the_embedded_model_takes_is_predicted(embedded: LocalBackend, case: str) -> None:
    check_prediction(embedded, CASES[case](embedded))


@needs_torch
@pytest.mark.parametrize("case", CASES)
def test_what_each_family_takes_is_predicted(tiny: LocalBackend, case: str) -> None:
    check_prediction(tiny, CASES[case](tiny))


@pytest.mark.long
@needs_torch
def test_what_a_model_of_200_million_parameters_takes_is_predicted(tmp_path: Path) -> None:
    folder = build_tiny_model(
        tmp_path / "model", hidden_size=1024, num_layers=18, vocabulary_size=16384
    )
    backend = load_backend(folder, max_cache_bytes=0)
    assert 195e6 < sum(parameter.numel() for parameter in backend.model.parameters()) < 205e6
    check_prediction(backend, [picture(backend, 320), TextPart(LONG)])


@pytest.mark.long
@needs_torch
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_type_and_attention_are_part_of_the_prediction(
    tiny_folder: Path, dtype: str, attention: str
) -> None:
    backend = load_backend(tiny_folder, dtype=dtype, attention=attention, max_cache_bytes=0)
    check_prediction(backend, [picture(backend, 640), TextPart(LONG)])


def test_what_is_free_on_a_processor_is_the_memory_of_the_machine(embedded: LocalBackend) -> None:
    free = free_bytes(embedded.model)
    assert free == pytest.approx(read_machine().available_bytes, rel=0.2)


def test_the_fullest_of_several_devices_counts(
    embedded: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = {"cuda:0": 7 * 10**9, "cuda:1": 3 * 10**9, "cpu": 10**9}
    monkeypatch.setattr(
        "qwenvl_kit.backends.local.memory.read_free_bytes", lambda device: room[str(device)]
    )

    class Spread:
        device = torch.device("cuda:0")
        hf_device_map = {"a": "cuda:0", "b": "cuda:1", "c": "cpu"}  # noqa: RUF012

    assert free_bytes(Spread()) == 3 * 10**9
    Spread.hf_device_map = {"": "disk"}
    assert free_bytes(Spread()) is None
