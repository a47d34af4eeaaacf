"""The main job, offline: `python examples/quickstart.py [--chinese] [PICTURE]`.

Describes a picture, yours or a drawn one, and says where things are; compares two; questions a
receipt and takes its fields; translates a menu; streams an answer: in English, or all of it in
Chinese. Beside each answer stands how sure the model was. The model is the small one that is part
of the package: it knows drawn shapes, print and motion, and no photographs.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qwenvl_kit import Reply, VisionChat
from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.tasks import (
    compare,
    describe,
    document_qa,
    extract,
    locate,
    translate_text_in_image,
)

PICTURES = Path(__file__).parent / "pictures"


@dataclass(frozen=True)
class Words:
    """What is asked, in one language."""

    language: Literal["en", "zh"]
    describe: str
    shapes: str
    questions: tuple[str, ...]
    translate_into: str
    read: str


ENGLISH = Words(
    "en",
    "Describe this image.",
    "all shapes",
    ("What is the total?", "What is the date?", "What is the tax?"),
    "English",
    "Read all the text in this image.",
)
CHINESE = Words(
    "zh",
    "描述这张图片。",
    "所有图形",
    ("总金额是多少？", "日期是哪天？", "税额是多少？"),
    "中文",
    "读出图中的所有文字。",
)


@dataclass
class Receipt:
    """What is wanted of a receipt."""

    total: float
    tax: float
    date: str | None


def show(question: str, reply: Reply) -> None:
    usage, timing = reply.usage, reply.timing
    confidence = "unknown" if reply.confidence is None else f"{reply.confidence:.2f}"
    print(f"  {question}\n    {reply.text.strip()!r}")
    print(
        f"    confidence {confidence} | {usage.visual_tokens} visual + "
        f"{usage.prompt_tokens - usage.visual_tokens} text tokens in, "
        f"{usage.completion_tokens} out | {timing.total:.2f} s"
    )


def show_plan(chat: VisionChat, picture: Path, question: str) -> None:
    (image,) = chat.plan(question, picture).images
    print(f"\n{picture.name}: {image.original}, seen at {image.resized}, {image.tokens} tokens")


def main(picture: Path, words: Words) -> None:
    started = time.perf_counter()
    chat = VisionChat.from_pretrained()
    print(f"Loaded in {time.perf_counter() - started:.1f} s:", dict(chat.report()))
    before, after, receipt, menu = (
        PICTURES / f"{name}.png" for name in ("before", "after", "receipt", "menu")
    )
    language = words.language

    show_plan(chat, picture, words.describe)
    show(words.describe, describe(chat, picture, language=language).reply)
    for box in locate(chat, picture, words.shapes, language=language):
        low, high = (box.x1_px, box.y1_px), (box.x2_px, box.y2_px)
        print("    {}: from {:.0f}, {:.0f} to {:.0f}, {:.0f} px".format(box.label, *low, *high))

    print("\nbefore.png, after.png: what is different?")
    show("compare", compare(chat, before, after, language=language).reply)

    show_plan(chat, receipt, words.questions[0])
    answers = document_qa(chat, receipt, words.questions, language=language)
    for question in words.questions:
        show(question, answers[question].reply)
    value = extract(chat, receipt, Receipt, language=language).value
    print(f"    as a dataclass: {value}")

    show_plan(chat, menu, words.read)
    translated = translate_text_in_image(chat, menu, words.translate_into, language=language)
    for pair in translated.pairs:
        print(f"  {pair.source} -> {pair.target}  (confidence {pair.target_confidence:.2f})")

    print("\nStreamed as it is written: ", end="", flush=True)
    with chat.stream(words.read, menu) as stream:
        for delta in stream:
            print(delta.text.replace("\n", " / "), end="", flush=True)
    print()
    show(words.read, stream.reply)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Asks the small model about pictures.")
    parser.add_argument("picture", type=Path, nargs="?", default=PICTURES / "shapes.png")
    parser.add_argument("--chinese", action="store_true", help="ask in Chinese")
    arguments = parser.parse_args()
    try:
        main(arguments.picture, CHINESE if arguments.chinese else ENGLISH)
    except QwenVLKitError as error:
        sys.exit(f"{type(error).__name__}: {error}")
