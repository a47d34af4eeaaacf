"""Prompts of many pictures, and of many tokens, known and unknown."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.by_kit import ask, cold
from tests.benchmarks.by_transformers import snippet
from tests.benchmarks.measuring import ROUNDS, Case, Run, case_table, timed
from tests.benchmarks.models import Messages, Subject, greedy, opened, question_about

MODEL = "qwen3_vl:40M"
NUM_PICTURES = 50
NUM_TOKENS, KNOWN_TOKENS = 16_000, 2_000


def section() -> list[str]:
    """First tokens of prompts that are long."""
    with opened(MODEL) as subject:
        return [
            f"The first token of a prompt with {NUM_PICTURES} pictures of 224 x 224, and of a text "
            f"of {NUM_TOKENS:,} tokens: from scratch beside transformers, and with its first "
            f"{KNOWN_TOKENS:,} tokens known, as a system message is, beside from scratch. Random "
            "model, fp32.",
            "",
            *case_table(cases(subject), rounds=min(5, ROUNDS)),
        ]


def cases(subject: Subject) -> Iterator[Case]:
    """Pictures, a text, and a text that is known in part."""
    shown = [subject.draw(7, 7, seed) for seed in range(NUM_PICTURES)]
    pictures = [{"type": "image", "image": image} for image in shown]
    asked = [{"role": "user", "content": [*pictures, {"type": "text", "text": "Compare them."}]}]
    yield Case(
        f"{subject.name}: first token after {NUM_PICTURES} pictures by `ask`",
        lambda: cold(subject, lambda: ask(subject.chat, asked, greedy(1))),
        {"snippet of the model card": lambda: timed(lambda: snippet(subject, [asked], 1))},
    )
    text = text_of(subject, NUM_TOKENS)
    start = text[: len(text) * KNOWN_TOKENS // NUM_TOKENS]
    known, whole = question_about(None, start), question_about(None, text)
    yield Case(
        f"{subject.name}: first token after {NUM_TOKENS:,} tokens by `ask`",
        lambda: cold(subject, lambda: ask(subject.chat, whole, greedy(1))),
        {"snippet of the model card": lambda: timed(lambda: snippet(subject, [whole], 1))},
    )
    yield Case(
        f"{subject.name}: the same, {KNOWN_TOKENS:,} tokens known",
        lambda: _after(subject, known, whole),
        {"nothing known": lambda: cold(subject, lambda: ask(subject.chat, whole, greedy(1)))},
    )


def text_of(subject: Subject, num_tokens: int) -> str:
    """A text of about so many tokens that nowhere repeats itself for long."""
    tokenize, lines, count = subject.processor.tokenizer.tokenize, list[str](), 0
    while count < num_tokens:
        lines.append(f"There are {len(lines) * 7919 % 1000} people in park {len(lines)}.")
        count += len(tokenize(lines[-1] + " "))
    return " ".join(lines)


def _after(subject: Subject, known: Messages, whole: Messages) -> Run:
    subject.chat.clear_cache()
    subject.chat.ask(known, sampling=greedy(1))
    return ask(subject.chat, whole, greedy(1))
