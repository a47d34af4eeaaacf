"""What planning and preparing pictures take: the kit beside transformers' own processors."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torchvision.io import decode_jpeg, read_file
from transformers import AutoImageProcessor

from qwenvl_kit import ImagePart, Message, PixelBudget, Request, VisionChat
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import backend_request

ROUNDS = 7
NUM_FILES = 1000
NUM_PROCESSED = 25
"""Of the files, as many are opened and processed; the time is scaled to all."""


def media_rows() -> Iterator[str]:
    """A row for each comparison."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = build_tiny_model(folder / "model")
        chat = VisionChat.from_pretrained(model)
        yield from _plan_rows(chat, _photos(folder))
        yield from _jpeg_rows(chat, model, _photo(folder / "large.jpg", 4000, 3000, seed=0))


def _plan_rows(chat: VisionChat, files: list[Path]) -> Iterator[str]:
    processor = chat._backend.processor.image_processor  # type: ignore[attr-defined]

    def plan_together() -> None:
        chat.plan([Message.user(*map(ImagePart, files), "What is this?")])

    def plan_one_by_one() -> None:
        for file in files:
            chat.plan("What is this?", file)

    def process() -> float:
        started = time.perf_counter()
        for file in files[:NUM_PROCESSED]:
            processor(images=[PIL.Image.open(file).convert("RGB")], return_tensors="pt")
        return (time.perf_counter() - started) * NUM_FILES / NUM_PROCESSED

    names = ("one plan of 1,000 files", "1,000 plans of a file each")
    for name, plan in zip(names, (plan_together, plan_one_by_one)):
        yield _row(f"{name} / opening and processing them", plan, process)


def _jpeg_rows(chat: VisionChat, model: Path, photo: Path) -> Iterator[str]:
    encoder, fast = chat._backend._engine.patches, chat._backend.processor.image_processor  # type: ignore[attr-defined]
    stock = AutoImageProcessor.from_pretrained(model, backend="pil")
    for tokens in (1024, 4096):
        request = Request.about("?", photo, budget=PixelBudget(4, tokens))
        size = {"shortest_edge": 4 * 28 * 28, "longest_edge": tokens * 28 * 28}

        def by_kit(request: Request = request) -> Any:
            media = backend_request(chat, request).media
            return encoder.encode_images(list(media))["pixel_values"]

        def by_pillow(processor: Any, size: dict[str, int] = size) -> Any:
            picture = PIL.Image.open(photo).convert("RGB")
            return processor(images=[picture], return_tensors="pt", size=size)["pixel_values"]

        def by_torchvision(size: dict[str, int] = size) -> Any:
            picture = decode_jpeg(read_file(str(photo)))
            return fast(images=[picture], return_tensors="pt", size=size)["pixel_values"]

        if not torch.equal(by_kit(), by_pillow(fast)):
            raise AssertionError("the sides give different patches")
        name = f"12-megapixel JPEG to patches, at most {tokens} tokens"
        yield _row(f"{name} / Pillow processor", by_kit, lambda s=size: by_pillow(stock, s))
        yield _row(f"{name} / torchvision processor", by_kit, lambda s=size: by_pillow(fast, s))
        yield _row(f"{name} / torchvision processor and decoder", by_kit, by_torchvision)


def _row(name: str, kit: Callable[[], Any], other: Callable[[], Any]) -> str:
    """One row; a side that returns a number has taken its own time."""
    times: dict[Callable[[], Any], list[float]] = {kit: [], other: []}
    for round_index in range(ROUNDS + 1):
        for side, seconds in times.items():
            started = time.perf_counter()
            result = side()
            taken = time.perf_counter() - started
            if round_index:  # the first is not counted
                seconds.append(result if isinstance(result, float) else taken)
    ours, theirs = times.values()
    ratios = sorted(b / a for a, b in zip(ours, theirs))
    return (
        f"| {name} | {statistics.median(ours) * 1000:.0f} ms | "
        f"{statistics.median(theirs) * 1000:.0f} ms | **{statistics.median(ratios):.2f}x** | "
        f"{ratios[0]:.2f} - {ratios[-1]:.2f} |"
    )


def _photos(folder: Path) -> list[Path]:
    """1,000 names of 20 pictures, as phones and cameras write them."""
    sizes = [(1280, 853), (1920, 1080), (3000, 2000), (640, 480)]
    files = [
        _photo(folder / f"{index}.jpg", *sizes[index % len(sizes)], seed=index)
        for index in range(20)
    ]
    return [files[index % len(files)] for index in range(NUM_FILES)]


def _photo(path: Path, width: int, height: int, seed: int) -> Path:
    """Soft shapes with grain: a JPEG of about a quarter byte a pixel."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    image = PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BICUBIC)
    grain = rng.integers(-8, 9, (height, width, 1))
    PIL.Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)).save(
        path, quality=88
    )
    return path
