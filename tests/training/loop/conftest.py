"""Pictures of colours with invented names, and short trainings of the embedded model."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from qwenvl_kit.training import LoRA, fine_tune, read_examples
from qwenvl_kit.training.outcome.run import TrainingRun

NAMES = {"red": "zorb", "blue": "mip", "green": "quat", "yellow": "flen"}
QUESTION = "What is the secret name of this colour?"


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training file of eight pictures, with two lengths of answers."""
    folder = tmp_path_factory.mktemp("colours")
    rows = []
    for number, (colour, name) in enumerate([*NAMES.items()] * 2):
        picture = f"{colour}-{number}.png"
        draw_circle(colour, number, folder / picture)
        answer = name if number % 2 else f"It is called {name}."
        rows.append({"query": f"<image>{QUESTION}", "response": answer, "images": [picture]})
    path = folder / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def draw_circle(colour: str, seed: int, path: Path) -> None:
    """Draw a circle of a colour somewhere on white."""
    draw = random.Random(f"{colour} {seed}")
    picture = Image.new("RGB", (112, 112), "white")
    x, y, r = draw.randint(30, 80), draw.randint(30, 80), draw.randint(15, 28)
    ImageDraw.Draw(picture).ellipse((x - r, y - r, x + r, y + r), fill=colour)
    picture.save(path)


@pytest.fixture
def train(colours: Path, tmp_path: Path) -> Callable[..., TrainingRun]:
    """Trains the embedded model on the colours for some steps, without words."""

    def run(output: str | Path = "out", examples: Any = None, **options: Any) -> TrainingRun:
        given = {
            "method": LoRA(rank=4),
            "learning_rate": 2e-3,
            "tokens_per_batch": 256,
            "progress": False,
            "num_shown": 0,
            **options,
        }
        rows = read_examples(colours) if examples is None else examples
        folder = tmp_path / output if output else ""
        return fine_tune(None, rows, folder, **given)  # type: ignore[arg-type]

    return run
