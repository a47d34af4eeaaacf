"""Measures an exported model on the held-out sets and writes the table into its card.

python -m examples.embedded_model.evaluate --card qwenvl_kit/embedded/CARD.md
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from qwenvl_kit import VisionChat
from qwenvl_kit.calibration import CalibrationReport
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.evaluation import EvaluationResult, ScoredItem, evaluate

from .benchmark import HeldOut
from .heldout import SPLITS, examples

BEGIN, END = "<!-- table:begin -->", "<!-- table:end -->"
UNKNOWN = "unknown"
"""The set of photo-like pictures, about which nothing is known."""

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


def measure(chat: VisionChat, benchmark: HeldOut, *, journal: Path | None) -> EvaluationResult:
    """The answers of a chat, as its users get them, in batches."""
    sampling = replace(chat.default_sampling, max_new_tokens=HeldOut.max_new_tokens)
    return evaluate(chat, benchmark, sampling=sampling, journal=journal, max_batch_size=16)


def table(result: EvaluationResult) -> str:
    """The card's table: a row a question, a column a held-out set; * marks a goal missed."""
    shown = [split.name for split in SPLITS if split.name != UNKNOWN]
    lines = [
        "| question | goal | " + " | ".join(shown) + " |",
        "| --- " * (len(shown) + 2) + "|",
    ]
    for name, tasks, goal in ROWS:
        cells = [_cell(result.answered, split, tasks, goal) for split in shown]
        lines.append(f"| {name} | {goal or '-'} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_notes(result)])


def _cell(items: Iterable[ScoredItem], split: str, tasks: Sequence[str], goal: float | None) -> str:
    """The share of right answers to questions of some kinds in a set."""
    chosen = [
        each.is_right
        for each in items
        if each.item.groups["split"] == split and each.item.groups["task"] in tasks
    ]
    if not chosen:
        return "-"
    share = sum(chosen) / len(chosen)
    missed = goal is not None and share < goal
    return f"{share:.2f}" + (" *" if missed else "")


def _notes(result: EvaluationResult) -> list[str]:
    """The lines below the table: how many questions, and how far confidence tells right ones."""
    drawn = [each for each in result.answered if each.item.groups["split"] != UNKNOWN]
    others = [each for each in result.answered if each.item.groups["split"] == UNKNOWN]
    low, high = (
        result.by_group["split"][SPLITS[0].name].low,
        result.by_group["split"][SPLITS[0].name].high,
    )
    return [
        f"Exact match over {len(drawn)} held-out questions; `*` marks a goal that was missed. "
        f"All questions about {SPLITS[0].name}: 95% interval {low:.2f} to {high:.2f}, by pictures."
        + (f" {result.num_failed} questions failed." if result.num_failed else ""),
        "",
        "Confidence, AUROC of right against wrong answers: "
        f"{_auroc(drawn)} on drawn pictures, {_auroc(result.answered)} with "
        f"{len(others)} questions about photo-like pictures. Mean confidence: "
        f"{_mean(drawn):.2f} on drawn pictures, {_mean(others):.2f} on photo-like ones.",
    ]


def _auroc(items: Sequence[ScoredItem]) -> str:
    confidences = [each.confidence or 0.0 for each in items]
    found = CalibrationReport.of(confidences, [each.is_right for each in items]).auroc
    return "unknown" if found is None else f"{found:.3f}"


def _mean(items: Sequence[ScoredItem]) -> float:
    return sum(each.confidence or 0.0 for each in items) / max(len(items), 1)


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
    parser.add_argument("--journal", type=Path, help="keep the answers, to go on from there")
    parser.add_argument("--csv", type=Path, help="every answer, as CSV")
    arguments = parser.parse_args()
    asked = [example for split in SPLITS for example in examples(split, arguments.per_task)]
    with VisionChat.from_pretrained(arguments.folder, device="cpu", dtype="float32") as chat:
        result = measure(chat, HeldOut(asked), journal=arguments.journal)
    if arguments.csv:
        result.write_csv(arguments.csv)
    print(table(result))
    if arguments.card:
        write_card(arguments.card, table(result))


if __name__ == "__main__":
    main()
