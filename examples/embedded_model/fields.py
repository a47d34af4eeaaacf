"""How right the fields are that `extract` reads from drawn receipts, by how sure they are.

    python -m examples.embedded_model.fields

Each held-out document is asked for as its question says. Fields are put in order by their
confidence; the precision at a coverage is the share that is right among the surest so many.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from qwenvl_kit import VisionChat
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.errors import AnswerError
from qwenvl_kit.tasks import Extraction, extract

from .heldout import PLAIN, Example, Split, examples

DOCUMENTS = Split("documents", ("document",), PLAIN)
KINDS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "whole number": {"type": "integer"},
    "null": {"type": "null"},
}


class Field(NamedTuple):
    """One field of one document."""

    name: str
    right: bool
    confidence: float


def schema_of(question: str) -> dict[str, Any]:
    """The JSON schema that a question asks for, as `extract` would word it."""
    fields = {}
    for line in question.splitlines()[1:]:
        name, _, kind = line.removeprefix("- ").partition(": ")
        several = [_schema_of_kind(part) for part in kind.split(" or ")]
        fields[name] = several[0] if len(several) == 1 else {"anyOf": several}
    return {"type": "object", "properties": fields, "required": list(fields)}


def _schema_of_kind(kind: str) -> dict[str, Any]:
    if kind.startswith("one of "):
        return {"enum": kind.removeprefix("one of ").split(", ")}
    return KINDS[kind]


def fields_of(chat: VisionChat, example: Example) -> list[Field]:
    """Each field of a document, compared with what it holds."""
    wanted = json.loads(example.answer)
    try:
        found: Extraction[Any] = extract(chat, example.images[0], schema_of(example.question))
    except AnswerError:
        return [Field(name, False, 0.0) for name in wanted]
    return [
        Field(name, found.value.get(name) == value, found.confidences.get(name) or 0.0)
        for name, value in wanted.items()
    ]


def precision(fields: Sequence[Field], coverage: float) -> float:
    """The share of right ones among the surest."""
    surest = sorted(fields, key=lambda field: -field.confidence)
    kept = surest[: max(1, round(coverage * len(surest)))]
    return sum(field.right for field in kept) / len(kept)


def main() -> None:
    """Ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=MODEL_FOLDER, help="the exported model")
    parser.add_argument("--documents", type=int, default=300)
    arguments = parser.parse_args()
    chat = VisionChat.from_pretrained(arguments.folder, device="cpu", dtype="float32")
    asked = [
        example for example in examples(DOCUMENTS, arguments.documents) if example.task == "extract"
    ]
    fields = [field for example in asked for field in fields_of(chat, example)]
    print(f"{len(fields)} fields of {len(asked)} documents\n\n| coverage | precision |\n|---|---|")
    for coverage in (1.0, 0.9, 0.75, 0.5, 0.25):
        print(f"| {coverage:.0%} | {precision(fields, coverage):.3f} |")


if __name__ == "__main__":
    main()
