"""Teaching a model what it does not know: `python examples/fine_tune.py [--small]`.

Ten colours get secret names. 80 rows with a picture each are written as JSONL, and the model learns
the names from them, in some minutes on one core. It is asked about 40 pictures that it has not
seen: before, with the adapter, and after the adapter was merged into weights of their own.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.training import (
    Example,
    LoRA,
    check_examples,
    export_merged,
    fine_tune,
    read_examples,
)

QUESTION = "What is the secret name of this colour?"
NAMES = {
    "red": "zorb", "blue": "mip", "green": "quat", "yellow": "flen", "black": "dask",
    "orange": "lurn", "purple": "vop", "brown": "kest", "pink": "yarl", "gray": "brum",
}  # fmt: skip


def main(folder: Path, *, small: bool) -> None:
    train = write_rows(folder / "train", rows_per_colour=1 if small else 8)
    held_out = write_rows(folder / "held_out", rows_per_colour=1 if small else 4)

    # What would be trained, before anything is: lengths, what is in the loss, and faults by line.
    report = check_examples(None, train)
    report.raise_faults()
    print(report)

    with VisionChat.from_pretrained() as chat:
        print(f"before: {right_answers(chat, held_out):.0%} right")

    run = fine_tune(
        None,  # the model that is part of the package; else an id or a folder
        train,
        folder / "run",
        validation=held_out,
        method=LoRA(rank=16, alpha=32),
        learning_rate=2e-3,
        epochs=1 if small else 12,
        tokens_per_batch=1024,
    )
    print(run.report)

    with VisionChat.from_pretrained(adapter=run.adapter) as chat:
        print(f"with the adapter: {right_answers(chat, held_out):.0%} right")
        export_merged(chat, folder / "merged")
    with VisionChat.from_pretrained(folder / "merged") as chat:
        print(f"merged: {right_answers(chat, held_out):.0%} right")


def write_rows(folder: Path, rows_per_colour: int) -> Sequence[Example]:
    """A file of questions about drawn pictures, in the form of ms-swift, and what it holds."""
    folder.mkdir()
    with open(folder / "rows.jsonl", "w", encoding="utf-8") as file:
        for colour, name in NAMES.items():
            for number in range(rows_per_colour):
                picture = f"{colour}-{number}.png"
                draw(colour, seed=f"{folder.name} {picture}").save(folder / picture)
                row = {"query": f"<image>{QUESTION}", "response": name, "images": [picture]}
                file.write(json.dumps(row) + "\n")
    return read_examples(folder / "rows.jsonl")


def draw(colour: str, seed: str) -> Image.Image:
    """A disc or a square of a colour, somewhere."""
    chance = random.Random(seed)
    image = Image.new("RGB", (112, 112), "white")
    x, y, radius = chance.randint(30, 80), chance.randint(30, 80), chance.randint(15, 28)
    shape = chance.choice(["ellipse", "rectangle"])
    box = (x - radius, y - radius, x + radius, y + radius)
    getattr(ImageDraw.Draw(image), shape)(box, fill=colour)
    return image


def right_answers(chat: VisionChat, examples: Sequence[Example]) -> float:
    """The share of questions whose answer is the row's."""
    conversations = [example.conversation() for example in examples]
    replies = chat.ask_many(
        [messages[:-1] for messages in conversations], sampling=Sampling(max_new_tokens=8)
    )
    right = [
        reply.text.strip() == messages[-1].text for reply, messages in zip(replies, conversations)
    ]
    return sum(right) / len(right)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), small="--small" in sys.argv)
