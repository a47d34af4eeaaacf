"""What the section "Reuse" measures with: models, pictures, and transformers called by hand."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import torch
from PIL import Image, ImageDraw, ImageFont
from qwen_vl_utils import process_vision_info

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import picture

Messages: TypeAlias = list[dict[str, Any]]
"""A conversation as Qwen's guides write it, which both sides take."""

Answers: TypeAlias = Sequence[Sequence[int]]
"""Token ids of each answer, the end token included."""

_T = TypeVar("_T")

DEFAULT_MODELS = "qwen3_vl:50M,qwen3_5:50M"
FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe")
SIZES = {"50M": (640, 12, 8), "200M": (1024, 20, 12)}
"""Width of the language model, its layers, and its layers where they are of experts."""

CONTEXT_TOKENS = 8192


@dataclass(frozen=True)
class Run:
    """What one side did in one round.

    Attributes:
        seconds: how long that took which is compared.
        answers: what it answered.
        note: what else is worth telling.
    """

    seconds: float
    answers: Answers
    note: str = ""


@dataclass(frozen=True)
class Subject:
    """A loaded model, and a folder for pictures.

    Attributes:
        name: what it is called in the table.
        backend: the model.
        chat: the kit's side of it.
        folder: where pictures and journals are written.
    """

    name: str
    backend: LocalBackend
    chat: VisionChat
    folder: Path

    @property
    def token_side_px(self) -> int:
        """The side of the square that a visual token covers."""
        return self.backend.rules.family.token_side_px

    @property
    def max_image_tokens(self) -> int:
        """The most visual tokens of a picture that is not made smaller."""
        longest = int(self.backend.processor.image_processor.size["longest_edge"])
        return longest // self.token_side_px**2

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


def chosen_models() -> list[str]:
    """The models that are named by QWENVL_KIT_BENCH_MODELS: `qwen2_vl:200M,embedded`, or `all`."""
    named = os.environ.get("QWENVL_KIT_BENCH_MODELS", DEFAULT_MODELS)
    if named == "all":
        return [*(f"{family}:{size}" for size in SIZES for family in FAMILIES), "embedded"]
    return [name.strip() for name in named.split(",")]


@contextmanager
def opened(name: str) -> Iterator[Subject]:
    """A model by its name, ready to answer."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = MODEL_FOLDER if name == "embedded" else _build(name, Path(folder) / "model")
        backend = alone(lambda: load_backend(checkpoint, dtype="float32", device="cpu"))
        backend.processor.tokenizer.padding_side = "left"
        millions = sum(weight.numel() for weight in backend.model.parameters()) / 1e6
        title = f"{name.partition(':')[0]}, {millions:.0f}M"
        with VisionChat(backend) as chat:
            yield Subject(title, backend, chat, Path(folder))


def _build(name: str, folder: Path) -> Path:
    family, _, size = name.partition(":")
    width, layers, expert_layers = SIZES[size]
    return alone(
        lambda: build_tiny_model(
            folder,
            family,
            context_tokens=CONTEXT_TOKENS,
            hidden_size=width,
            num_layers=expert_layers if family.endswith("_moe") else layers,
        )
    )


def alone(act: Callable[[], _T]) -> _T:
    """Do it in a thread of its own, when no other thread that has computed is left.

    Each thread that computes has a team of helpers. Where there are more of them than cores,
    OpenMP lets them wait in another way, which makes every step of a model slower or, on a busy
    machine, much faster: a side must not find the other side's team.
    """
    while any(thread.name.startswith("qwenvl_kit") for thread in threading.enumerate()):
        time.sleep(0.02)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(act).result()


def timed(act: Callable[[], Answers]) -> Run:
    """Do it, and say how long it took."""
    started = time.perf_counter()
    answers = act()
    return Run(time.perf_counter() - started, answers)


def question_about(image: object, text: str, system: str | None = None) -> Messages:
    """One question, after a picture if there is one."""
    content = [{"type": "text", "text": text}]
    shown = [] if image is None else [{"type": "image", "image": image}]
    before = [] if system is None else [{"role": "system", "content": system}]
    return [*before, {"role": "user", "content": [*shown, *content]}]


def snippet(subject: Subject, conversations: Sequence[Messages], max_new_tokens: int) -> Answers:
    """The model cards' own way: pictures, processor, one greedy `generate`, text."""
    backend, processor = subject.backend, subject.backend.processor
    texts = [
        processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        for messages in conversations
    ]
    images, videos = process_vision_info(
        list(conversations), image_patch_size=backend.rules.family.patch_side_px
    )
    inputs = processor(
        text=texts,
        images=images,
        videos=videos,
        do_resize=False,
        padding=True,
        return_tensors="pt",
    ).to(backend.model.device)
    return _generated(backend, inputs, max_new_tokens)


@contextmanager
def dictated(subject: Subject, ids: Sequence[int]) -> Iterator[None]:
    """Within it the model is made to answer one request with these tokens.

    It computes all that it would; its logits are replaced before a token is chosen.
    """
    num_prompt = 0

    def replace(_: object, __: object, given: dict[str, Any], output: Any) -> None:
        nonlocal num_prompt
        num_known, num_new = given["past_key_values"].get_seq_length(), output.logits.shape[1]
        num_prompt = num_prompt or num_known
        output.logits.zero_()
        for at in range(num_new):
            next_token = num_known - num_new + at + 1 - num_prompt
            if next_token < len(ids):
                output.logits[:, at, ids[next_token]] = 1

    handle = subject.backend.model.register_forward_hook(replace, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def without_utilities(subject: Subject, image: Image.Image, text: str, length: int) -> Answers:
    """One question by processor and `generate` alone, about a picture in memory."""
    processor, messages = subject.backend.processor, question_about(image, text)
    prompt = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[prompt], images=[image], return_tensors="pt")
    return _generated(subject.backend, inputs, length)


def _generated(backend: LocalBackend, inputs: Any, max_new_tokens: int) -> Answers:
    """Greedy answers, each up to its own end."""
    ends = backend._loaded.end_ids
    with torch.inference_mode():
        ids = backend.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            repetition_penalty=None,
            eos_token_id=sorted(ends),
            pad_token_id=backend.processor.tokenizer.pad_token_id,
        )
    new = ids[:, inputs["input_ids"].shape[1] :]
    backend.processor.batch_decode(new, skip_special_tokens=True)
    return [_up_to_end(row, ends) for row in new.tolist()]


def _up_to_end(ids: list[int], ends: frozenset[int]) -> list[int]:
    at = next((index for index, token_id in enumerate(ids) if token_id in ends), len(ids))
    return ids[: at + 1]
