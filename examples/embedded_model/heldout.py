"""Held-out questions: new seeds, and apart from them what training never drew."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import Image

from .drawing.canvas import CELL, FRAME_CELLS, IMAGE_CELLS, Canvas, smart_resize
from .questions.answers import Question
from .questions.system import system_message
from .samples import KINDS, PRINTED, Options, Sample, Turn, make_sample

FPS = 2.0
DRAWN = ("scene", "relations", "compare", "video")


@dataclass(frozen=True)
class Example:
    """One question as a user would put it.

    `frames` is a video; `earlier` are former turns; a `script` is a conversation with tools.
    """

    images: tuple[Image.Image, ...]
    frames: tuple[Image.Image, ...]
    fps: float
    question: str
    answer: str
    task: str
    split: str
    system: str = ""
    earlier: tuple[tuple[str, str], ...] = ()
    script: tuple[Turn, ...] = ()

    @property
    def is_english(self) -> bool:
        """Whether it is asked in English."""
        asked = self.question or "".join(
            str(part) for turn in self.script if turn.role == "user" for part in turn.parts
        )
        return not any("\u4e00" <= character <= "\u9fff" for character in asked)


@dataclass(frozen=True)
class Split:
    """A held-out set: which kinds, drawn how."""

    name: str
    kinds: tuple[str, ...]
    options: Options
    rough: bool = False


PLAIN = Options(outliers=0.0)
WORDED = ("scene", "relations", "compare", "video", "document", "menu", "sign", "page")
SPLITS = (
    Split("new seeds", KINDS, PLAIN),
    Split("held-out pairs", DRAWN, replace(PLAIN, held_out_pairs=True)),
    Split("held-out fonts", PRINTED, replace(PLAIN, held_out_fonts=True)),
    Split("held-out layouts", ("document", "menu", "page"), replace(PLAIN, held_out_layouts=True)),
    Split("held-out wordings", WORDED, replace(PLAIN, held_out_wordings=True)),
    Split("robustness", KINDS, replace(PLAIN, damage=2.0), rough=True),
    Split("unknown", ("scene", "document", "menu", "page"), replace(PLAIN, outliers=1.0)),
)


def _canvas(rng: random.Random, kind: str, rough: bool) -> Canvas:
    """A source of any size, and the grid that the processor makes of it."""
    cells = FRAME_CELLS if kind == "video" else IMAGE_CELLS
    wide = 0.35 if kind in PRINTED else 0.1
    spread = 0.6 if rough else 0.35
    aspect = math.exp(min(max(rng.gauss(wide, spread), -1.6), 1.6))
    scale = rng.uniform(-1.2, 3.2) if rough else rng.uniform(-0.6, 1.8)
    area = cells[1] * CELL * CELL * math.exp(scale)
    height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
    return Canvas(width, height, smart_resize(height, width, cells))


def _samples(split: Split, kind: str, seed: str) -> Iterator[tuple[random.Random, Sample]]:
    index = 0
    while True:
        rng = random.Random(f"{seed}/{split.name}/{kind}/{index}")
        frames = rng.randint(2, 16) if kind == "video" else 1
        canvas = _canvas(rng, kind, split.rough)
        options = replace(split.options, frames=frames)
        yield rng, make_sample(rng, kind, canvas.grid, options, canvas)
        index += 1


def _example(split: Split, rng: random.Random, sample: Sample, question: Question) -> Example:
    pictures = tuple(sample.pictures)
    system = sample.system
    earlier: tuple[tuple[str, str], ...] = ()
    others = [q for q in sample.questions if q.task != question.task]
    if split.rough and not system and rng.random() < 0.3:
        system = system_message(rng)
    if split.rough and others and rng.random() < 0.3:
        other = rng.choice(others)
        earlier = ((other.text, other.answer),)
    return Example(
        images=() if sample.is_video else pictures,
        frames=pictures if sample.is_video else (),
        fps=FPS,
        question=question.text,
        answer=question.answer,
        task=question.task,
        split=split.name,
        system=system,
        earlier=earlier,
    )


def examples(split: Split, per_task: int, seed: str = "held out") -> list[Example]:
    """Up to `per_task` examples of each task; rare tasks may get fewer."""
    found: list[Example] = []
    for kind in split.kinds:
        counts: Counter[str] = Counter()
        samples = _samples(split, kind, seed)
        for _ in range(per_task * 5):
            rng, sample = next(samples)
            if sample.script:
                found += _learnt(split, sample, counts, per_task)
                continue
            open_tasks = [q for q in sample.questions if counts[q.task] < per_task]
            # A few questions a picture keep the pictures many and the set small.
            for question in rng.sample(open_tasks, min(2, len(open_tasks))):
                counts[question.task] += 1
                found.append(_example(split, rng, sample, question))
    return found


def _learnt(split: Split, sample: Sample, counts: Counter[str], most: int) -> Iterator[Example]:
    """What the model has to write in a conversation with tools, each after what came before."""
    for at, turn in enumerate(sample.script):
        if turn.task and counts[turn.task] < most:
            counts[turn.task] += 1
            (answer,) = turn.parts
            yield Example(
                images=tuple(sample.pictures),
                frames=(),
                fps=FPS,
                question="",
                answer=str(answer),
                task=turn.task,
                split=split.name,
                script=sample.script[:at],
            )
