"""The pointing game: does the peak of an explanation lie on the shape that the question names?

    python -m examples.embedded_model.pointing_game --scenes 200 --seed test

Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016 (arXiv:1608.00507), section
4.1: a hit is a peak on the object, or within 15 px of it, in the pixels that the model sees. Beside
it stands the share without that margin, and chance: the share of visual tokens whose middle hits.
Every question counts, rightly answered or not.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from qwenvl_kit import Request, Sampling, VisionChat
from qwenvl_kit.explain import Explanation, Method, explain
from qwenvl_kit.geometry import Point

from .drawing.boxes import Box
from .drawing.canvas import CELL, IMAGE_CELLS, Canvas, smart_resize
from .drawing.scenes import make_scene, make_style, render
from .drawing.shapes import extent

MARGIN_PX = 15
METHODS: tuple[Method, ...] = ("attention", "gradient", "occlusion")


@dataclass(frozen=True)
class Round:
    """A question about one of several shapes, and the box of that shape in the picture's pixels."""

    task: str
    picture: Image.Image
    question: str
    word: str | None
    box: Box


@dataclass(frozen=True)
class Score:
    """Hits with and without the margin, and their chances."""

    near: float
    on: float
    chance_near: float
    chance_on: float


def rounds(seed: str, num_scenes: int) -> Iterator[Round]:
    """Draw scenes of two to four different shapes, and ask up to three questions about each."""
    for number in range(num_scenes):
        rng = random.Random(f"{seed}/{number}")
        canvas = _canvas(rng)
        scene = make_scene(rng, canvas, rng.choice([2, 3, 3, 4]), distinct=True)
        shapes = scene.shapes
        if len(shapes) < 2:
            continue
        picture = render(scene, make_style(rng, [shape.ink for shape in shapes], canvas))
        kinds, colours = [s.kind for s in shapes], [s.colour for s in shapes]
        if single := [shape for shape in shapes if kinds.count(shape.kind) == 1]:
            shape = rng.choice(single)
            question = f"What colour is the {shape.kind}?"
            yield Round("colour", picture, question, shape.colour, extent(shape))
        if single := [shape for shape in shapes if colours.count(shape.colour) == 1]:
            shape = rng.choice(single)
            question = f"What shape is {shape.colour}?"
            yield Round("shape", picture, question, shape.kind, extent(shape))
        shape = rng.choice(shapes)
        yield Round("locate", picture, f"Find the {shape.name}.", None, extent(shape))


def _canvas(rng: random.Random) -> Canvas:
    """A canvas of a size that users have."""
    aspect = math.exp(min(max(rng.gauss(0.1, 0.35), -1.6), 1.6))
    area = IMAGE_CELLS[1] * CELL * CELL * math.exp(rng.uniform(-0.6, 1.8))
    height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
    return Canvas(width, height, smart_resize(height, width, IMAGE_CELLS))


def play(chat: VisionChat, each: Round, methods: Sequence[Method]) -> dict[str, Score]:
    """Ask a question, explain its answer by each method, and look where the peaks are."""
    request = Request.about(each.question, each.picture, sampling=Sampling(max_new_tokens=40))
    reply = chat.ask(request)
    is_right = each.word is not None and each.word in reply.text.lower()
    word = each.word if is_right else None
    found = {method: explain(chat, reply, request, word=word, method=method) for method in methods}
    return {method: _score(seen, each.box) for method, seen in found.items()}


def _score(seen: Explanation, box: Box) -> Score:
    (heat_map,) = seen.maps
    plan, (rows, columns) = heat_map.plan, heat_map.relevance.shape
    width, height = plan.original.width_px, plan.original.height_px
    margins = (
        MARGIN_PX * width / plan.resized.width_px,
        MARGIN_PX * height / plan.resized.height_px,
    )
    middles = [
        Point(x_px=(column + 0.5) * width / columns, y_px=(row + 0.5) * height / rows)
        for row in range(rows)
        for column in range(columns)
    ]
    return Score(
        near=float(_is_hit(seen.peak_px, box, margins)),
        on=float(_is_hit(seen.peak_px, box, (0, 0))),
        chance_near=sum(_is_hit(at, box, margins) for at in middles) / len(middles),
        chance_on=sum(_is_hit(at, box, (0, 0)) for at in middles) / len(middles),
    )


def _is_hit(at: Point, box: Box, margins: tuple[float, float]) -> bool:
    across, down = margins
    return (
        box.left - across <= at.x_px <= box.right + across
        and box.top - down <= at.y_px <= box.bottom + down
    )


def measure(
    chat: VisionChat, seed: str, num_scenes: int, methods: Sequence[Method] = METHODS
) -> dict[tuple[str, str], list[Score]]:
    """The scores of each method and kind of question."""
    scores = defaultdict(list)
    for each in rounds(seed, num_scenes):
        for method, score in play(chat, each, methods).items():
            scores[method, each.task].append(score)
            scores[method, "all"].append(score)
    return scores


def curves(chat: VisionChat, seed: str, num_scenes: int, methods: Sequence[Method]) -> None:
    """Print the mean areas under the curves of deletion and insertion, beside a random order."""
    found = defaultdict(list)
    for each in rounds(seed, num_scenes):
        if each.word is None:
            continue
        request = Request.about(each.question, each.picture, sampling=Sampling(max_new_tokens=12))
        reply = chat.ask(request)
        word = each.word if each.word in reply.text.lower() else None
        for method in methods:
            seen = explain(chat, reply, request, word=word, method=method)
            found[method].append(seen.faithfulness(chat, num_steps=5))
    print("| method | number | deletion | chance | insertion | chance |")
    print("|---|---|---|---|---|---|")
    for method, all_found in found.items():
        names = ("deletion", "chance_deletion", "insertion", "chance_insertion")
        areas = [sum(getattr(each, f"{name}_area") for each in all_found) for name in names]
        cells = " | ".join(f"{area / len(all_found):.2f}" for area in areas)
        print(f"| {method} | {len(all_found)} | {cells} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure where explanations point.")
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--seed", default="test")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--curves", action="store_true", help="deletion and insertion instead")
    arguments = parser.parse_args()
    chat = VisionChat.from_pretrained()
    if arguments.curves:
        curves(chat, arguments.seed, arguments.scenes, arguments.methods)
        return
    print("| method | questions | number | near | chance | on it | chance |")
    print("|---|---|---|---|---|---|---|")
    scores = measure(chat, arguments.seed, arguments.scenes, arguments.methods)
    for (method, task), found in sorted(scores.items()):
        columns = ("near", "chance_near", "on", "chance_on")
        shares = (sum(getattr(each, name) for each in found) / len(found) for name in columns)
        cells = " | ".join(f"{share:.2f}" for share in shares)
        print(f"| {method} | {task} | {len(found)} | {cells} |")


if __name__ == "__main__":
    main()
