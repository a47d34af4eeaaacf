"""What planning and preparing pictures take: the kit beside transformers' own processors."""

from __future__ import annotations

import tempfile
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
from tests.benchmarks.measuring import Case, Run, Side, at_once, case_table, timed
from tests.by_hand import backend_request

NUM_FILES = 1000
NUM_PROCESSED = 25
"""Of the files, as many are opened and processed; the time is scaled to all."""


def section() -> list[str]:
    """What pictures cost before they reach a model."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = build_tiny_model(folder / "model")
        chat = VisionChat.from_pretrained(model)
        photo = _photo(folder / "large.jpg", 4000, 3000, seed=0)
        return [
            f"Planning reads the headers of the files, 20 JPEGs of 0.3 to 6 megapixels under "
            f"{NUM_FILES:,} names. The other side opens and processes {NUM_PROCESSED} of them, "
            f"scaled to {NUM_FILES:,}. Patches are what a model is given; each side gives the "
            "same.",
            "",
            *case_table([*_plans(chat, _photos(folder)), *_patches(chat, model, photo)], at_once),
        ]


def _plans(chat: VisionChat, files: list[Path]) -> Iterator[Case]:
    processor = chat._backend.processor.image_processor  # type: ignore[attr-defined]

    def plan_together() -> None:
        chat.plan([Message.user(*map(ImagePart, files), "What is this?")])

    def plan_one_by_one() -> None:
        for file in files:
            chat.plan("What is this?", file)

    def process() -> None:
        for file in files[:NUM_PROCESSED]:
            processor(images=[PIL.Image.open(file).convert("RGB")], return_tensors="pt")

    def scaled() -> Run:
        run, times = timed(process), NUM_FILES / NUM_PROCESSED
        return Run(run.seconds * times, (run.cpu_seconds or 0.0) * times)

    for title, plan in (
        (f"one plan of {NUM_FILES:,} files", plan_together),
        (f"{NUM_FILES:,} plans of a file each", plan_one_by_one),
    ):
        yield Case(title, _timing(plan), {"opening and processing them": scaled})


def _patches(chat: VisionChat, model: Path, photo: Path) -> Iterator[Case]:
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
        yield Case(
            f"12-megapixel JPEG to patches, at most {tokens} tokens",
            _timing(by_kit),
            {
                "Pillow processor": _timing(lambda size=size: by_pillow(stock, size)),
                "torchvision processor": _timing(lambda size=size: by_pillow(fast, size)),
                "torchvision processor and decoder": _timing(by_torchvision),
            },
        )


def _timing(act: Callable[[], object]) -> Side:
    """A side whose result is compared elsewhere."""

    def nothing() -> None:
        act()

    return lambda: timed(nothing)


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
