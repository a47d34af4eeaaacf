"""The models that sections measure with: random ones at the real vocabulary, and the embedded one.

QWENVL_KIT_BENCH_MODELS names others than a section's own: `qwen2_vl:140M,embedded`.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.backends.local.engine import scheduler
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.testing import build_tiny_model
from tests.benchmarks.measuring import alone
from tests.by_hand import picture

Messages: TypeAlias = list[dict[str, Any]]
"""A conversation as Qwen's guides write it, which both sides take."""

VOCABULARY_SIZE = 151_936
"""Rows of the published embeddings of Qwen2-VL, Qwen2.5-VL and Qwen3-VL."""

SIZES = {"40M": (256, 4, 4), "140M": (640, 12, 8), "340M": (1024, 20, 12)}
"""Width of the language model, its layers, and its layers where they are of experts."""

CONTEXT_TOKENS = 20_000

scheduler._IDLE_SECONDS = 0.1
"""A side waits until the other side's threads have ended: here they do not linger for a second."""

_WORD = re.compile("Ġ[A-Za-z]+")
_FAINT = 0.01
"""The factor of rows whose tokens are not to be written."""


@dataclass(frozen=True)
class Subject:
    """A checkpoint, loaded by the kit and by transformers: neither touches the other's model.

    Attributes:
        name: its name in the tables.
        checkpoint: its folder.
        backend: the model of the kit.
        chat: the kit's side of it.
        model: the same weights, loaded by transformers alone.
        processor: its processor, loaded by transformers alone.
        folder: a folder for pictures and journals.
    """

    name: str
    checkpoint: Path
    backend: LocalBackend
    chat: VisionChat
    model: Any
    processor: Any
    folder: Path

    @property
    def token_side_px(self) -> int:
        """The side of the square that a visual token covers."""
        return self.backend.rules.family.token_side_px

    @property
    def end_ids(self) -> frozenset[int]:
        """The ids of the tokens that end an answer."""
        return self.backend._loaded.end_ids

    def draw(self, columns: int, rows: int, seed: int) -> Image.Image:
        """A picture of so many visual tokens, which neither side needs to resize."""
        return picture(columns * self.token_side_px, rows * self.token_side_px, seed)

    def draw_file(self, columns: int, rows: int, seed: int) -> str:
        """The same as a JPEG file."""
        path = self.folder / f"{columns}x{rows}-{seed}.jpg"
        if not path.exists():
            self.draw(columns, rows, seed).save(path, quality=90)
        return str(path)

    def draw_print(self) -> Image.Image:
        """A picture of a few words, for questions whose answers can be copied."""
        image = Image.new("RGB", (10 * self.token_side_px, 7 * self.token_side_px), "white")
        draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=24)
        for line, text in enumerate(("Invoice 4711", "Date 12.03.2024", "Total 59.90")):
            draw.text((20, 30 + 45 * line), text, fill="black", font=font)
        return image


def chosen(*models: str) -> list[str]:
    """The models of a section, or those that the environment names."""
    named = os.environ.get("QWENVL_KIT_BENCH_MODELS", ",".join(models))
    return [name.strip() for name in named.split(",")]


@contextmanager
def opened(name: str, max_cache_bytes: int = 2**30) -> Iterator[Subject]:
    """A model by its name, `qwen3_vl:140M` or `embedded`, ready to answer in fp32."""
    with checkpoint_of(name) as checkpoint, tempfile.TemporaryDirectory() as folder:
        backend = alone(
            lambda: load_backend(
                checkpoint, dtype="float32", device="cpu", max_cache_bytes=max_cache_bytes
            )
        )
        model, processor = alone(lambda: load_by_transformers(checkpoint))
        title = f"{name.partition(':')[0]}, {millions(model):.0f}M"
        with VisionChat(backend) as chat:
            yield Subject(title, checkpoint, backend, chat, model, processor, Path(folder))


def subjects(*models: str) -> Iterator[Subject]:
    """The models of a section, or those that the environment names, opened one after another."""
    for model in chosen(*models):
        with opened(model) as subject:
            yield subject


@contextmanager
def checkpoint_of(name: str, dtype: torch.dtype = torch.float32) -> Iterator[Path]:
    """The folder of a model by its name."""
    if name == "embedded":
        yield MODEL_FOLDER
        return
    with tempfile.TemporaryDirectory() as folder:
        family, _, size = name.partition(":")
        yield alone(lambda: build(Path(folder) / "model", family, size, dtype))


def build(folder: Path, family: str, size: str, dtype: torch.dtype = torch.float32) -> Path:
    """Write a random model at the real vocabulary that answers in words and comes to no end.

    The tokenizer has some hundreds of tokens; the other rows of the embedding have no text. Rows
    whose tokens are no whole words are made faint, those of end tokens included: then an answer has
    as many tokens as were allowed, and its text is split into the same tokens when it is read
    again, as that of a real model mostly is. Nothing is computed less.
    """
    width, layers, expert_layers = SIZES[size]
    build_tiny_model(
        folder,
        family,
        context_tokens=CONTEXT_TOKENS,
        hidden_size=width,
        num_layers=expert_layers if family.endswith("_moe") else layers,
        vocabulary_size=VOCABULARY_SIZE,
    )
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    words = [token_id for token, token_id in vocabulary.items() if _WORD.fullmatch(token)]
    path = folder / "model.safetensors"
    tensors = {name: values.to(dtype) for name, values in load_file(path).items()}
    (embedding,) = (v for name, v in tensors.items() if name.endswith("embed_tokens.weight"))
    kept = embedding[words]
    embedding.mul_(_FAINT)
    embedding[words] = kept
    save_file(tensors, path, metadata={"format": "pt"})
    return folder


def load_by_transformers(folder: Path) -> tuple[Any, Any]:
    """Model and processor as one loads them without the kit."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(folder)
    processor.tokenizer.padding_side = "left"
    return model.eval(), processor


def millions(model: Any) -> float:
    """Its parameters in millions."""
    return float(sum(weight.numel() for weight in model.parameters()) / 1e6)


def greedy(max_new_tokens: int) -> Sampling:
    """Greedy answers of so many tokens, of which none is taken for a loop."""
    return Sampling(max_new_tokens=max_new_tokens, max_cycle_tokens=None)


def question_about(image: object, text: str, system: str | None = None) -> Messages:
    """One question, after a picture if there is one."""
    content = [{"type": "text", "text": text}]
    shown = [] if image is None else [{"type": "image", "image": image}]
    before = [] if system is None else [{"role": "system", "content": system}]
    return [*before, {"role": "user", "content": [*shown, *content]}]


THINGS: Sequence[str] = (
    "cars", "trees", "people", "birds", "doors", "windows", "lamps", "signs", "dogs", "clouds",
    "boats", "chairs", "bottles", "flowers", "bicycles", "books", "plates", "hats", "bags", "kites",
)  # fmt: skip
"""Things that pictures are asked about."""


def question(index: int) -> str:
    """One question of many."""
    return f"How many {THINGS[index % len(THINGS)]} are there in the picture, and of what colour?"
