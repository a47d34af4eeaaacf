"""Teaching a model what it does not know: `python examples/fine_tune.py [--small]`.

Ten colours get secret names. 80 rows with a picture each are written as JSONL, and the model learns
the names from them, in some minutes on one core; `--small` takes some seconds, and learns little.
It is asked about pictures that it has not seen: before, with the adapter, and after the adapter was
merged into weights of their own. The model is the small one that is part of the package.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw

from qwenvl_kit import Request, Sampling, VisionChat
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.training import (
    Example,
    LoRA,
    check_examples,
    export_merged,
    fine_tune,
    read_examples,
)

MODEL = MODEL_FOLDER  # or "Qwen/Qwen2-VL-2B-Instruct"
QUESTION = "What is the secret name of this colour?"
NAMES = {
    "red": "zorb", "blue": "mip", "green": "quat", "yellow": "flen", "black": "dask",
    "orange": "lurn", "purple": "vop", "brown": "kest", "pink": "yarl", "gray": "brum",
}  # fmt: skip


def main(folder: Path, *, is_small: bool) -> None:
    train = read_examples(write_rows(folder / "train", rows_per_colour=1 if is_small else 8))
    held_out = read_examples(write_rows(folder / "held_out", rows_per_colour=1 if is_small else 4))

    # What will be learned, before anything is: lengths, and what is in the loss.
    report = check_examples(MODEL, train, validation=held_out)
    report.raise_faults()
    print(report)

    with VisionChat.from_pretrained(MODEL) as chat:
        print(f"\nbefore: {share_of_right_answers(chat, held_out):.0%} right")

    run = fine_tune(
        MODEL,
        train,
        folder / "run",
        validation=0.1,  # of the rows; the pictures that it is asked about stay unseen
        method=LoRA(rank=16, alpha=32, parts=("language", "projector")),
        learning_rate=2e-3,
        epochs=1 if is_small else 16,
        tokens_per_batch=512,
    )
    print(run.losses)
    print(run.report)

    with VisionChat.from_pretrained(MODEL, adapter=run.adapter) as chat:
        print(f"\nwith the adapter: {share_of_right_answers(chat, held_out):.0%} right")
        export_merged(chat, folder / "merged")

    with VisionChat.from_pretrained(folder / "merged") as chat:
        print(f"merged: {share_of_right_answers(chat, held_out):.0%} right")


def write_rows(folder: Path, rows_per_colour: int) -> Path:
    """A training file in the form of ms-swift, with its pictures beside it."""
    folder.mkdir()
    path = folder / "rows.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        for colour, name in NAMES.items():
            for number in range(rows_per_colour):
                picture = f"{colour}-{number}.png"
                draw(colour, seed=f"{folder.name} {picture}").save(folder / picture)
                row = {"query": f"<image>{QUESTION}", "response": name, "images": [picture]}
                file.write(json.dumps(row) + "\n")
    return path


def draw(colour: str, seed: str) -> Image.Image:
    """A disc or a square of a colour, somewhere on white."""
    chance = random.Random(seed)
    image = Image.new("RGB", (112, 112), "white")
    radius = chance.randint(15, 28)
    x, y = (chance.randint(radius + 2, 110 - radius) for _ in range(2))
    pen = ImageDraw.Draw(image)
    shape = chance.choice([pen.ellipse, pen.rectangle])
    shape((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return image


def share_of_right_answers(chat: VisionChat, examples: Iterable[Example]) -> float:
    """Ask what the examples ask, and compare with what they answer."""
    asked = [(Request(each.messages[:-1]), each.messages[-1].text) for each in examples]
    sampling = Sampling(max_new_tokens=8)
    replies = chat.ask_many([request for request, _ in asked], sampling=sampling, on_error="raise")
    right = [reply.text.strip() == answer for reply, (_, answer) in zip(replies, asked)]
    return sum(right) / len(right)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), is_small="--small" in sys.argv)
