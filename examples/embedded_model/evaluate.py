"""Measures an exported model on the held-out sets and writes the table into its card.

python -m examples.embedded_model.evaluate --card qwenvl_kit/embedded/CARD.md
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from qwenvl_kit import ImagePart, Message, Request, VideoPart, VisionChat
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.place_parser import parse_places

from .heldout import SPLITS, Example, examples

BEGIN, END = "<!-- table:begin -->", "<!-- table:end -->"
Answer = Callable[[Sequence[Example]], list[tuple[str, float]]]
# Rows of the table: name, tasks that it joins, exact match to reach.
ROWS: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("describe one shape", ("describe_1",), 0.99),
    ("describe two shapes and their relation", ("describe_2",), 0.95),
    ("describe three or four shapes", ("describe_3", "describe_4"), 0.80),
    ("colour of a shape", ("colour",), 0.95),
    ("shape of a colour", ("shape",), 0.95),
    ("count", ("count",), 0.95),
    ("count by colour", ("count_colour",), 0.95),
    ("count by shape", ("count_shape",), None),
    ("relation", ("relation",), None),
    ("relation, yes or no", ("relation_yes_no",), 0.90),
    ("what changed between two pictures", ("compare",), 0.85),
    ("whether two pictures are the same", ("same",), None),
    ("what happens in a video", ("video",), None),
    ("direction of motion in a video", ("direction",), 0.95),
    ("kind of document", ("kind",), 0.99),
    ("what a print is", ("describe_print",), None),
    ("date", ("date",), 0.95),
    ("quantity", ("quantity",), 0.95),
    ("total", ("total",), 0.90),
    ("tax", ("tax",), 0.90),
    ("number", ("number",), 0.90),
    ("name", ("name",), None),
    ("menu words into English", ("translate",), 0.95),
    ("price on a menu", ("price",), None),
    ("reading print", ("read",), 0.85),
    ("find one shape", ("locate",), 0.90),
    ("find several shapes", ("locate_all",), 0.90),
    ("find what is not there", ("locate_absent",), 0.90),
    ("find a printed word", ("locate_word",), 0.90),
    ("find a field", ("locate_field",), 0.90),
    ("fields as JSON", ("extract",), None),
    ("menu items as JSON", ("extract_items",), None),
    ("menu words with their English as JSON", ("translate_pairs",), None),
    ("one label of several", ("choose",), None),
    ("whether a statement holds", ("claim",), None),
)
MIN_OVERLAP = 0.5
"""Of a box with the right one, as intersection over union, to count as found."""


class Result(NamedTuple):
    """One answered example."""

    split: str
    task: str
    right: bool
    confidence: float
    wanted: str
    got: str


def answer_all(questions: Sequence[Example], answer: Answer) -> list[Result]:
    """Asks every example."""
    results = []
    for example, (text, sure) in zip(questions, answer(questions), strict=True):
        right = is_right(example.task, example.answer, text)
        results.append(Result(example.split, example.task, right, sure, example.answer, text))
    return results


def is_right(task: str, wanted: str, got: str) -> bool:
    """Whether an answer is the right one: for boxes if each lies where it should."""
    if not task.startswith("locate"):
        return got.strip() == wanted
    right, found = (boxes_of(text) for text in (wanted, got))
    return len(right) == len(found) and all(
        box.overlap(other) >= MIN_OVERLAP for box, other in zip(right, found)
    )


def boxes_of(text: str) -> list[Box]:
    """The boxes of an answer, in thousandths of the picture's sides."""
    places = (place.numbers for place in parse_places(text).places)
    return [Box("", *numbers) for numbers in places if len(numbers) == 4]


def auroc(results: list[Result]) -> float:
    """Probability that a right answer is more confident than a wrong one; ties count half."""
    right = sorted(r.confidence for r in results if r.right)
    wrong = sorted(r.confidence for r in results if not r.right)
    if not right or not wrong:
        return math.nan
    below = sum((a > b) + 0.5 * (a == b) for a in right for b in wrong)
    return below / (len(right) * len(wrong))


def messages_of(example: Example) -> tuple[Message, ...]:
    """The conversation of an example, pictures first."""
    media: list[ImagePart | VideoPart] = [ImagePart(image) for image in example.images]
    if example.frames:
        media.append(VideoPart(example.frames, fps=example.fps))
    messages = [Message.system(example.system)] if example.system else []
    for question, answer in example.earlier:
        messages += [Message.user(*media, question), Message.assistant(answer)]
        media = []
    return (*messages, Message.user(*media, example.question))


def kit_answers(folder: Path) -> Answer:
    """Answers by the package itself, as its users get them, in batches."""
    chat = VisionChat.from_pretrained(folder, device="cpu", dtype="float32")
    sampling = replace(chat.default_sampling, max_new_tokens=96)

    def answer(questions: Sequence[Example]) -> list[tuple[str, float]]:
        requests = [Request(messages_of(example)) for example in questions]
        replies = chat.ask_many(requests, sampling=sampling, on_error="raise", max_batch_size=16)
        return [(reply.text, reply.confidence or 0.0) for reply in replies]

    return answer


def _cell(results: list[Result], tasks: tuple[str, ...], goal: float | None) -> str:
    chosen = [result.right for result in results if result.task in tasks]
    if not chosen:
        return "-"
    share = sum(chosen) / len(chosen)
    missed = goal is not None and share < goal
    return f"{share:.2f}" + (" *" if missed else "")


def table(results: list[Result]) -> str:
    """The card's table: a row a question, a column a held-out set; * marks a goal missed."""
    shown = [split.name for split in SPLITS if split.name != "unknown"]
    by_split: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_split[result.split].append(result)
    lines = [
        "| question | goal | " + " | ".join(shown) + " |",
        "| --- " * (len(shown) + 2) + "|",
    ]
    for name, tasks, goal in ROWS:
        cells = [_cell(by_split[split], tasks, goal) for split in shown]
        lines.append(f"| {name} | {goal or '-'} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_confidence_lines(results, by_split)])


def _confidence_lines(results: list[Result], by_split: dict[str, list[Result]]) -> list[str]:
    drawn = [result for result in results if result.split != "unknown"]

    def mean(of: list[Result]) -> float:
        return sum(result.confidence for result in of) / max(len(of), 1)

    return [
        f"Exact match over {len(drawn)} held-out questions; `*` marks a goal that was missed.",
        "",
        "Confidence, AUROC of right against wrong answers: "
        f"{auroc(drawn):.3f} on drawn pictures, {auroc(results):.3f} with "
        f"{len(by_split['unknown'])} questions about photo-like pictures. Mean confidence: "
        f"{mean(drawn):.2f} on drawn pictures, {mean(by_split['unknown']):.2f} on photo-like ones.",
    ]


def write_card(card: Path, text: str) -> None:
    """Replaces what stands between the markers."""
    old = card.read_text(encoding="utf-8")
    head, rest = old.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    card.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


def main() -> None:
    """Measures, prints, and writes the card if told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=MODEL_FOLDER)
    parser.add_argument("--card", type=Path, help="write the table into this card")
    parser.add_argument("--per-task", type=int, default=100)
    parser.add_argument("--results", type=Path, help="every answer, as JSON lines")
    arguments = parser.parse_args()
    answer = kit_answers(arguments.folder)
    results: list[Result] = []
    for split in SPLITS:
        results += answer_all(examples(split, arguments.per_task), answer)
        print(f"{split.name}: {len(results)} answers so far", flush=True)
    if arguments.results:
        rows = [json.dumps(result._asdict(), ensure_ascii=False) for result in results]
        arguments.results.write_text("\n".join(rows), encoding="utf-8")
    print(table(results))
    if arguments.card:
        write_card(arguments.card, table(results))


if __name__ == "__main__":
    main()
