"""Steps of decoding with published settings, for one row and for many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from qwenvl_kit import Sampling
from tests.benchmarks.by_kit import ask_many, cold
from tests.benchmarks.by_transformers import snippet
from tests.benchmarks.measuring import Case, case_table, timed
from tests.benchmarks.models import Subject, greedy, question, question_about, subjects

MODELS = ("qwen3_vl:140M",)
ROWS: Mapping[int, int] = {1: 32, 16: 16, 32: 16}
"""Tokens of each answer, by the number of rows."""

SETTINGS: Mapping[str, Sampling] = {
    "greedy": Sampling(),
    "Qwen3-VL's": Sampling(temperature=0.7, top_k=20, top_p=0.8),
    "Qwen3.5's": Sampling(temperature=0.7, top_k=20, top_p=0.8, presence_penalty=1.5),
}
"""Published settings: those of Qwen3-VL's generation_config.json, and of Qwen3.5's model card."""


def section() -> list[str]:
    """Answers to questions without a picture, which are nearly all decoding."""
    return [
        "Questions without a picture, so that nearly all of the time is decoding: one row of 32 "
        "tokens, 16 and 32 rows of 16 tokens, beside one `generate` with the same settings. "
        "Qwen3-VL's are temperature 0.7, top-k 20, top-p 0.8; Qwen3.5's have a presence penalty of "
        "1.5 beside, which transformers lacks: there it is a `LogitsProcessor` of a line. The "
        "vocabulary has 151,936 tokens. What is drawn cannot be compared; greedy tokens are. "
        "Random model, fp32.",
        "",
        *case_table(_all_cases()),
    ]


def _all_cases() -> Iterator[Case]:
    for subject in subjects(*MODELS):
        for rows in ROWS:
            for name in SETTINGS:
                yield case(subject, rows, name)


def case(subject: Subject, rows: int, settings: str) -> Case:
    """So many answers with such settings."""
    asked = [question_about(None, question(at)) for at in range(rows)]
    length, chosen_by = ROWS[rows], SETTINGS[settings]
    sampling = replace(
        greedy(length),
        temperature=chosen_by.temperature,
        top_k=chosen_by.top_k,
        top_p=chosen_by.top_p,
        presence_penalty=chosen_by.presence_penalty,
    )
    return Case(
        f"{subject.name}: {rows} row{'s' if rows > 1 else ''} by `ask_many`, {settings} settings",
        lambda: cold(subject, lambda: ask_many(subject.chat, asked, sampling)),
        {"one `generate`": lambda: timed(lambda: snippet(subject, asked, length, sampling))},
        are_drawn=sampling.temperature is not None,
    )
