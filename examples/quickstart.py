"""The main job, offline: `python examples/quickstart.py [PICTURE]`.

Describes a picture, yours or a drawn one, and says where things are; compares two; questions a
receipt and takes its fields; translates a menu; streams an answer. Beside each answer stands how
sure the model was. The model is the small one that is part of the package: it knows drawn shapes,
print and motion, and no photographs.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

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


def show_plan(chat: VisionChat, picture: Path) -> None:
    (image,) = chat.plan("Describe this image.", picture).images
    print(f"\n{picture.name}: {image.original}, seen at {image.resized}, {image.tokens} tokens")


def main(picture: Path) -> None:
    started = time.perf_counter()
    chat = VisionChat.from_pretrained()
    print(f"Loaded in {time.perf_counter() - started:.1f} s:", dict(chat.report()))

    show_plan(chat, picture)
    show("Describe this image.", describe(chat, picture).reply)
    for box in locate(chat, picture, "all shapes"):
        low, high = (box.x1_px, box.y1_px), (box.x2_px, box.y2_px)
        print("    {}: from {:.0f}, {:.0f} to {:.0f}, {:.0f} px".format(box.label, *low, *high))

    print("\nbefore.png, after.png: what is different?")
    show("compare", compare(chat, PICTURES / "before.png", PICTURES / "after.png").reply)

    show_plan(chat, PICTURES / "receipt.png")
    questions = ["What is the total?", "What is the date?", "What is the tax?"]
    answers = document_qa(chat, PICTURES / "receipt.png", questions)
    for question in questions:
        show(question, answers[question].reply)
    print(f"    as a dataclass: {extract(chat, PICTURES / 'receipt.png', Receipt).value}")

    show_plan(chat, PICTURES / "menu.png")
    for pair in translate_text_in_image(chat, PICTURES / "menu.png").pairs:
        print(f"  {pair.source} -> {pair.target}  (confidence {pair.target_confidence:.2f})")

    print("\nStreamed as it is written: ", end="", flush=True)
    with chat.stream("Read all the text in this image.", PICTURES / "menu.png") as stream:
        for delta in stream:
            print(delta.text.replace("\n", " / "), end="", flush=True)
    print()
    show("Read all the text in this image.", stream.reply)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES / "shapes.png")
    except QwenVLKitError as error:
        sys.exit(f"{type(error).__name__}: {error}")
