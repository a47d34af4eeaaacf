"""Many questions about one picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.benchmarks.by_kit import ask, ask_many, cold
from tests.benchmarks.by_transformers import from_one_prefix, one_by_one, snippet
from tests.benchmarks.measuring import Case, Run, Side, case_table, timed
from tests.benchmarks.models import Messages, Subject, greedy, question, question_about, subjects

MODELS = ("qwen3_vl:140M", "qwen3_5:140M")
NUM_QUESTIONS = 20
NUM_TOKENS = 16
SIDE_TOKENS = 32
"""Visual tokens along each side of the picture."""


def section() -> list[str]:
    """Twenty questions at once, and one more about a picture that was seen before."""
    return [
        f"A picture of {SIDE_TOKENS**2:,} visual tokens, a JPEG file that both sides open, and "
        f"{NUM_QUESTIONS} questions about it, each answered with {NUM_TOKENS} tokens. Three ways "
        "stand beside the kit. The best that one writes by hand reads the picture once, copies its "
        "cache for every question, and answers all of them by one `generate`. One padded batch has "
        "the picture in every row. The model cards' snippet asks one question after another. The "
        "kit's cache is empty before each round unless the case says otherwise. Random models, "
        "fp32, greedy.",
        "",
        *case_table(case for subject in subjects(*MODELS) for case in cases(subject)),
    ]


def cases(subject: Subject) -> Iterator[Case]:
    """Questions at once, and a second question after a first."""
    image = subject.draw_file(SIDE_TOKENS, SIDE_TOKENS, seed=0)
    asked = [question_about(image, question(at)) for at in range(NUM_QUESTIONS)]
    lengths = [NUM_TOKENS] * NUM_QUESTIONS
    kit = _CountingVision(subject, lambda: ask_many(subject.chat, asked, greedy(NUM_TOKENS)))
    batch, loop = "one padded batch", "snippet in a loop"
    yield Case(
        f"{subject.name}: {NUM_QUESTIONS} questions by `ask_many`",
        lambda: cold(subject, kit),
        {
            "prefix computed once, fanned out": lambda: timed(
                lambda: from_one_prefix(subject, asked, NUM_TOKENS)
            ),
            batch: lambda: timed(lambda: snippet(subject, asked, NUM_TOKENS)),
            loop: lambda: timed(lambda: one_by_one(subject, asked, lengths)),
        },
        slow={batch: 1, loop: 1},
    )
    system = "You describe pictures to the blind."
    other = question_about(image, question(1), system)
    yield Case(
        f"{subject.name}: first token of a second question, in a new conversation",
        lambda: _after(subject, asked[0], asked[1]),
        {"nothing seen before": lambda: cold(subject, lambda: _first_token(subject, asked[1]))},
    )
    yield Case(
        f"{subject.name}: the same after another system message",
        lambda: _after(subject, asked[0], other),
        {"nothing seen before": lambda: cold(subject, lambda: _first_token(subject, other))},
    )


class _CountingVision:
    """A side that also counts how often the vision encoder runs."""

    def __init__(self, subject: Subject, side: Side) -> None:
        self._encoder = subject.backend.model.model.visual
        self._side = side

    def __call__(self) -> Run:
        calls: list[int] = []
        handle = self._encoder.register_forward_pre_hook(lambda *_: calls.append(1))
        try:
            return replace(self._side(), note=f"vision encoder called {len(calls)}x")
        finally:
            handle.remove()


def _after(subject: Subject, before: Messages, now: Messages) -> Run:
    """The first token of a conversation, when another has been had."""
    subject.chat.clear_cache()
    subject.chat.ask(before, sampling=greedy(NUM_TOKENS))
    return _first_token(subject, now)


def _first_token(subject: Subject, messages: Messages) -> Run:
    return ask(subject.chat, messages, greedy(1))
