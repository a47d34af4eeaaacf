"""How good is a model, and is a difference real: `python examples/evaluation.py [FOLDER]`.

Draws pictures of shapes, writes questions about them as JSONL, and evaluates the small model that
is part of the package: with an interval, by groups, from a journal; then with other budgets, and by
the probability of options. The report lies in the folder, as a page with the hardest questions.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

from qwenvl_kit import VisionChat
from qwenvl_kit.evaluation import Benchmark, compare_runs, evaluate, items_needed, sweep

COLOURS = ("red", "blue", "green", "yellow", "black", "orange", "purple", "pink")
SHAPES = ("circle", "square", "triangle")
NUM_PICTURES = 24


def main(folder: Path) -> None:
    benchmark = Benchmark(
        write_questions(folder / "questions.jsonl"),
        scorer="contains",
        groups=("kind",),
        cluster="image",  # questions about one picture are not independent
        name="shapes",
    )
    with VisionChat.from_pretrained() as chat:
        result = evaluate(chat, benchmark, journal=folder / "run.jsonl", progress=False)
        print(result)
        for item in result.hardest(2):
            print(f"\n{item.question} {item.answer!r}, and right is {item.targets[0]!r}")

        # Nothing is asked again: the journal has the answers.
        again = evaluate(chat, benchmark, journal=folder / "run.jsonl", progress=False)
        print(f"\nonce more, from the journal: {again.score:.3f}\n")

        # The colour as one of four options: by the probability of their letters.
        options = Benchmark(folder / "options.jsonl", scorer="option", name="options")
        print(evaluate(chat, options, method="probability", progress=False))

        # The price of fewer visual tokens.
        print()
        print(sweep(chat, benchmark, budgets=["quick", "standard"], progress=False))

        other = evaluate(chat, benchmark, budget="quick", progress=False)
        print()
        print(compare_runs(result, other))
    print(f"\nA difference of 5 points needs {items_needed(0.05):,} questions to be seen.")
    result.write_html(folder / "report.html")
    print(f"The report is {folder / 'report.html'}")


def write_questions(path: Path) -> Path:
    """Questions about drawn pictures, three a picture; beside them questions with options."""
    rows, options = [], []
    for number in range(NUM_PICTURES):
        draw_lots = random.Random(number)
        kind = draw_lots.choice(SHAPES)
        first, second = draw_lots.sample(COLOURS, 2)
        name = f"shape-{number}.png"
        draw(kind, first, draw_lots).save(path.parent / name)
        asked = {
            "colour": (f"What colour is the {kind}?", first),
            "shape": (f"What shape is {first}?", kind),
            "description": ("Describe this image.", f"{first} {kind}"),
        }
        for group, (question, answer) in asked.items():
            rows.append({"question": question, "image": name, "answer": answer, "kind": group})
        letters = draw_lots.sample([first, second], 2)
        options.append(
            {
                "question": f"What colour is the {kind}?",
                "image": name,
                "choices": letters,
                "answer": "AB"[letters.index(first)],
            }
        )
    write(path, rows)
    write(path.with_name("options.jsonl"), options)
    return path


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def draw(kind: str, colour: str, draw_lots: random.Random) -> Image.Image:
    """One shape on white."""
    picture = Image.new("RGB", (280, 224), "white")
    pen = ImageDraw.Draw(picture)
    size = draw_lots.randint(50, 80)
    left, top = draw_lots.randint(10, 270 - 2 * size), draw_lots.randint(5, 215 - 2 * size)
    right, bottom = left + 2 * size, top + 2 * size
    if kind == "circle":
        pen.ellipse((left, top, right, bottom), fill=colour)
    elif kind == "square":
        pen.rectangle((left, top, right, bottom), fill=colour)
    else:
        pen.polygon([(left + size, top), (right, bottom), (left, bottom)], fill=colour)
    return picture


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
