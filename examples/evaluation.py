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

from qwenvl_kit import PixelBudget, VisionChat
from qwenvl_kit.evaluation import Benchmark, compare_runs, evaluate, items_needed, sweep

COLOURS = ("red", "blue", "green", "yellow", "black", "orange", "purple", "pink")
SHAPES = ("circle", "square", "triangle", "diamond")
NUM_PICTURES = 30


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

        # Nothing is asked again: the journal has the answers.
        again = evaluate(chat, benchmark, journal=folder / "run.jsonl", progress=False)
        print(f"\nonce more, from the journal: {again.score:.3f}\n")

        # The colour as one of four options: by the probability of their letters.
        options = Benchmark(folder / "options.jsonl", scorer="option", name="options")
        print(evaluate(chat, options, method="probability", progress=False))

        # The price of fewer visual tokens: a picture has 80, if nothing limits it.
        budgets = [PixelBudget(max_tokens=12), PixelBudget(max_tokens=30), PixelBudget()]
        found = sweep(chat, benchmark, budgets=budgets, progress=False)
        print(f"\n{found}\n")
        cheapest = found.runs[0].result
        print(compare_runs(cheapest, result))
        for item in cheapest.hardest(3):
            print(f"{item.question} {item.answer!r}, but right is {item.targets[0]!r}")
    print(f"\nA difference of 5 points needs {items_needed(0.05):,} questions to be seen.")
    cheapest.write_html(folder / "report.html")
    print(f"The report is {folder / 'report.html'}")


def write_questions(path: Path) -> Path:
    """Questions about drawn pictures, three a picture; beside them questions with options."""
    rows, options = [], []
    for number in range(NUM_PICTURES):
        draw_lots = random.Random(number)
        kinds = draw_lots.sample(SHAPES, draw_lots.randint(1, 4))
        colours = draw_lots.sample(COLOURS, len(kinds) + 1)
        name = f"shapes-{number}.png"
        draw(list(zip(kinds, colours)), draw_lots).save(path.parent / name)
        kind, colour, other = kinds[0], colours[0], colours[-1]
        asked = {
            "colour": (f"What colour is the {kind}?", colour),
            "shape": (f"What shape is {colour}?", kind),
            "count": ("How many shapes are there?", str(len(kinds))),
        }
        for group, (question, answer) in asked.items():
            rows.append({"question": question, "image": name, "answer": answer, "kind": group})
        letters = draw_lots.sample([colour, other], 2)
        options.append(
            {
                "question": f"What colour is the {kind}?",
                "image": name,
                "choices": letters,
                "answer": "AB"[letters.index(colour)],
            }
        )
    write(path, rows)
    write(path.with_name("options.jsonl"), options)
    return path


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def draw(shapes: list[tuple[str, str]], draw_lots: random.Random) -> Image.Image:
    """Shapes of some size on white, in places of their own."""
    picture = Image.new("RGB", (280, 224), "white")
    pen = ImageDraw.Draw(picture)
    places = draw_lots.sample([(x, y) for x in (50, 140, 230) for y in (56, 168)], len(shapes))
    for (kind, colour), (x, y) in zip(shapes, places):
        size = draw_lots.randint(14, 38)
        box = (x - size, y - size, x + size, y + size)
        if kind == "circle":
            pen.ellipse(box, fill=colour)
        elif kind == "square":
            pen.rectangle(box, fill=colour)
        elif kind == "diamond":
            pen.polygon([(x, y - size), (x + size, y), (x, y + size), (x - size, y)], fill=colour)
        else:
            pen.polygon([(x, y - size), (x + size, y + size), (x - size, y + size)], fill=colour)
    return picture


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
