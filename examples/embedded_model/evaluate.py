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

from .benchmark import HeldOut, characters_right
from .heldout import SPLITS, examples

BEGIN, END = "<!-- table:begin -->", "<!-- table:end -->"
UNKNOWN = "unknown"
"""The set of photo-like pictures, about which nothing is known."""

# Rows of the table: name, tasks that it joins, share of right answers to reach. A name that ends
# with "by character" counts characters.
BY_CHARACTER = "by character"
ROWS: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("describe one shape", ("describe_1",), 0.99),
    ("describe two shapes and their relation", ("describe_2",), 0.95),
    ("describe three or four shapes", ("describe_3", "describe_4"), 0.95),
    ("colour of a shape", ("colour",), 0.95),
    ("shape of a colour", ("shape",), 0.95),
    ("count", ("count",), 0.95),
    ("count by colour", ("count_colour",), 0.95),
    ("count by shape", ("count_shape",), 0.95),
    ("relation", ("relation",), 0.95),
    ("relation, yes or no", ("relation_yes_no",), 0.95),
    ("inside, yes or no", ("inside",), 0.95),
    ("larger, yes or no", ("larger",), 0.95),
    ("which is larger", ("which_larger",), 0.95),
    ("same colour, yes or no", ("same_colour",), 0.95),
    ("same shape, yes or no", ("same_shape",), 0.95),
    ("whether a statement of a relation holds", ("claim_relation",), 0.95),
    ("whether a statement holds", ("claim",), 0.95),
    ("what changed between two pictures", ("compare",), 0.85),
    ("whether two pictures are the same", ("same",), 0.95),
    ("what happens in a video", ("video",), 0.90),
    ("direction of motion in a video", ("direction",), 0.95),
    ("second of an event in a video", ("when",), 0.9),
    ("kind of document", ("kind",), 0.99),
    ("what a print is", ("describe_print",), None),
    ("date", ("date", "page_date"), 0.95),
    ("quantity", ("quantity",), 0.95),
    ("total", ("total", "page_total"), 0.95),
    ("tax", ("tax",), 0.95),
    ("number", ("number", "page_number"), 0.95),
    ("name", ("name", "page_name"), 0.95),
    ("price", ("price", "page_price"), 0.95),
    ("title of a page", ("page_title",), None),
    ("menu words into English", ("translate",), 0.95),
    ("menu words into Chinese", ("translate_zh",), 0.95),
    ("reading print", ("read",), 0.80),
    (f"reading print, {BY_CHARACTER}", ("read",), 0.90),
    ("find one shape", ("locate",), 0.95),
    ("find several shapes", ("locate_all",), 0.95),
    ("find what is not there", ("locate_absent",), 0.95),
    ("find a printed word", ("locate_word",), 0.95),
    ("find a field", ("locate_field",), 0.95),
    ("find a button", ("locate_button",), 0.95),
    ("boxes with attributes, as JSON", ("locate_json",), None),
    ("points, as JSON", ("locate_points",), None),
    ("fields as JSON", ("extract",), 0.85),
    ("menu items as JSON", ("extract_items",), 0.85),
    ("menu words with their translation as JSON", ("translate_pairs",), None),
    ("a page as Markdown", ("markdown",), None),
    (f"a page as Markdown, {BY_CHARACTER}", ("markdown",), None),
    ("a page as Markdown with its table's place", ("markdown_places",), None),
    ("a table as JSON", ("table",), None),
    ("one label of several", ("choose",), None),
    ("call of a function", ("tool_call",), None),
    ("answer from what a function gave", ("tool_result",), None),
    ("call of the zoom tool", ("zoom_call",), None),
    ("answer from an enlarged part", ("zoomed",), None),
    ("next action at a screen", ("next_action",), None),
    ("that it cannot be told", ("cannot_tell",), 0.90),
)
# Columns: title, held-out set, language of the question or both.
COLUMNS: tuple[tuple[str, str, str | None], ...] = (
    ("new seeds", "new seeds", "en"),
    ("in Chinese", "new seeds", "zh"),
    *((split.name, split.name, None) for split in SPLITS[1:] if split.name != UNKNOWN),
)


def measure(chat: VisionChat, benchmark: HeldOut, *, journal: Path | None) -> EvaluationResult:
    """The answers of a chat, as its users get them, in batches."""
    sampling = replace(chat.default_sampling, max_new_tokens=HeldOut.max_new_tokens)
    return evaluate(chat, benchmark, sampling=sampling, journal=journal, max_batch_size=16)


def table(result: EvaluationResult) -> str:
    """The card's table: a row a question, a column a held-out set; * marks a goal missed."""
    lines = [
        "| question | goal | " + " | ".join(title for title, *_ in COLUMNS) + " |",
        "| --- " * (len(COLUMNS) + 2) + "|",
    ]
    for name, tasks, goal in ROWS:
        cells = [_cell(_chosen(result.answered, column, tasks), name, goal) for column in COLUMNS]
        lines.append(f"| {name} | {goal or '-'} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_notes(result)])


def _chosen(
    items: Iterable[ScoredItem], column: tuple[str, str, str | None], tasks: Sequence[str]
) -> list[ScoredItem]:
    """The answers that a cell of the table is about."""
    _, split, language = column
    return [
        each
        for each in items
        if each.item.groups["split"] == split
        and each.item.groups["task"] in tasks
        and language in (None, each.item.groups["language"])
    ]


def _cell(items: Sequence[ScoredItem], name: str, goal: float | None) -> str:
    """The share of right answers, or of right characters."""
    if not items:
        return "-"
    if name.endswith(BY_CHARACTER):
        shares = [characters_right(each.item.targets[0], each.answer or "") for each in items]
    else:
        shares = [float(each.is_right) for each in items]
    share = sum(shares) / len(shares)
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
