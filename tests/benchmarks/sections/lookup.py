"""Prompt lookup where an answer copies what it has said before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from qwenvl_kit import Sampling
from tests.benchmarks.by_kit import ask, cold
from tests.benchmarks.by_transformers import dictated
from tests.benchmarks.measuring import Case, Run, case_table
from tests.benchmarks.models import THINGS, Subject, greedy, question_about, subjects

MODELS = ("embedded", "qwen3_vl:40M")
ROOT = Path(__file__).parents[3]


def section() -> list[str]:
    """Dictated answers with prompt lookup, and without."""
    return [
        "Texts as they are read off pictures. The model is made to write them: it computes all "
        "that it would, and its logits are replaced before a token is chosen. fp32.",
        "",
        *case_table(case for subject in subjects(*MODELS) for case in cases(subject)),
    ]


def cases(subject: Subject) -> Iterator[Case]:
    """A table and a page of prose."""
    asked = question_about(subject.draw_print(), "Read all the text in this image.")
    cells = [
        {"row": row, "item": thing, "price": f"{row * 7 % 50}.{row * 13 % 90 + 10}"}
        for row, thing in enumerate(THINGS[:10], 1)
    ]
    texts = {
        "a table as JSON": json.dumps(cells),
        "a page of prose": (ROOT / "LICENSE").read_text()[:800],
    }

    def reading(ids: Sequence[int], sampling: Sampling) -> Run:
        with dictated(subject.backend.model, [*ids]):
            return replace(ask(subject.chat, asked, sampling), note="")

    for name, text in texts.items():
        ids = subject.processor.tokenizer(text)["input_ids"]
        plain = greedy(len(ids))
        ahead = replace(plain, prompt_lookup_tokens=10)
        yield Case(
            f"{subject.name}: {name}, {len(ids)} tokens, `prompt_lookup_tokens=10`",
            lambda ids=ids, ahead=ahead: cold(  # type: ignore[misc]
                subject, lambda: reading(ids, ahead)
            ),
            {
                "without": lambda ids=ids, plain=plain: cold(  # type: ignore[dict-item,misc]
                    subject, lambda: reading(ids, plain)
                )
            },
        )
