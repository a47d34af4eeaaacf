"""What is measured: each case has two sides that must give the same answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image, ImageDraw
from qwen_vl_utils import process_vision_info

from qwenvl_kit import Request, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend

MAX_NEW_TOKENS = 24
QUESTION = "Describe this image."


@dataclass(frozen=True)
class Case:
    """One comparison: `kit` and `other` each return the answers to the same questions."""

    name: str
    kit: Callable[[], list[str]]
    other: Callable[[], list[str]]


def make_cases(chat: VisionChat, backend: LocalBackend) -> list[Case]:
    """All cases, on pictures whose size needs no change, so that both sides see the same pixels."""
    one, many = _pictures(1), _pictures(16)
    return [
        Case(
            "1 picture: `ask` / published snippet",
            lambda: [chat.ask(QUESTION, one[0], sampling=_sampling()).text],
            lambda: _snippet(backend, one),
        ),
        Case(
            "16 pictures: `ask_many` / published snippet in a loop",
            lambda: _ask_many(chat, many),
            lambda: _snippet(backend, many),
        ),
        Case(
            "16 pictures: `ask_many` / transformers' pipeline",
            lambda: _ask_many(chat, many),
            _Pipeline(backend, many),
        ),
    ]


def _sampling() -> Sampling:
    return Sampling(max_new_tokens=MAX_NEW_TOKENS)


def _ask_many(chat: VisionChat, pictures: Sequence[Image.Image]) -> list[str]:
    requests = [Request.about(QUESTION, picture) for picture in pictures]
    replies = chat.ask_many(requests, sampling=_sampling(), on_error="raise", max_batch_size=16)
    return [reply.text for reply in replies]


def _messages(picture: Image.Image) -> list[dict[str, Any]]:
    content = [{"type": "image", "image": picture}, {"type": "text", "text": QUESTION}]
    return [{"role": "user", "content": content}]


def _snippet(backend: LocalBackend, pictures: Sequence[Image.Image]) -> list[str]:
    """The model cards' own way: one `generate` per question."""
    return [_snippet_one(backend.model, backend.processor, picture) for picture in pictures]


def _snippet_one(model: Any, processor: Any, picture: Image.Image) -> str:
    messages = _messages(picture)
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    images, videos = process_vision_info(messages)
    inputs = processor(
        text=[text], images=images, videos=videos, padding=True, return_tensors="pt"
    ).to(model.device)
    with torch.inference_mode():
        ids = model.generate(
            **inputs,
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
            eos_token_id=processor.tokenizer.eos_token_id,
            pad_token_id=processor.tokenizer.pad_token_id,
        )
    trimmed = ids[:, inputs.input_ids.shape[1] :]
    return str(processor.batch_decode(trimmed, skip_special_tokens=True)[0])


class _Pipeline:
    """`pipeline("image-text-to-text")`, its batch size as large as the kit's."""

    def __init__(self, backend: LocalBackend, pictures: Sequence[Image.Image]) -> None:
        from transformers import pipeline

        backend.processor.tokenizer.padding_side = "left"  # which the pipeline does not set
        self._pipe = pipeline(
            "image-text-to-text", model=backend.model, processor=backend.processor
        )
        self._chats = [_messages(picture) for picture in pictures]
        self._end = backend.processor.tokenizer.eos_token_id

    def __call__(self) -> list[str]:
        results = self._pipe(
            text=self._chats,
            batch_size=len(self._chats),
            return_full_text=False,
            generate_kwargs={
                "max_new_tokens": MAX_NEW_TOKENS,
                "do_sample": False,
                "eos_token_id": self._end,
            },
        )
        return [str(result[0]["generated_text"]) for result in results]


def _pictures(count: int) -> list[Image.Image]:
    colours = ("red", "blue", "green", "orange", "purple", "black")
    pictures = []
    for index in range(count):
        image = Image.new("RGB", (224, 196), "white")
        left, top = 20 + 9 * (index % 10), 20 + 7 * (index % 9)
        box = (left, top, left + 70, top + 70)
        draw = ImageDraw.Draw(image)
        (draw.ellipse if index % 2 else draw.rectangle)(box, fill=colours[index % 6])
        pictures.append(image)
    return pictures
