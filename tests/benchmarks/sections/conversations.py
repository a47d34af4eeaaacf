"""Turn after turn about a picture, and after a long text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from qwenvl_kit import Message
from qwenvl_kit.formats.dicts import to_qwen
from tests.benchmarks.by_kit import cold
from tests.benchmarks.by_transformers import Answers, Conversation, snippet
from tests.benchmarks.measuring import Case, Run, case_table, timed, with_note
from tests.benchmarks.models import (
    THINGS,
    Messages,
    Subject,
    greedy,
    opened,
    question,
)
from tests.by_hand import ids_of

NUM_TURNS, NUM_TOKENS, SIDE_TOKENS = 8, 16, 32
TEXT_TOKENS = 4000


def section() -> list[str]:
    """Conversations beside a cache that is kept by hand, and beside none."""
    return [
        f"A conversation of {NUM_TURNS} turns about a picture of {SIDE_TOKENS**2:,} visual tokens, "
        f"each answered with {NUM_TOKENS} tokens: the time of all turns but the first. The best "
        "that one writes by hand keeps a `DynamicCache` and all token ids, and appends the ids of "
        "each question. The naive way gives `generate` the whole history in each turn. For "
        "Qwen3.5, which has a recurrent state, the second question after a text of "
        f"{TEXT_TOKENS:,} tokens. Random models, fp32, greedy.",
        "",
        *case_table(_all_cases()),
    ]


def _all_cases() -> Iterator[Case]:
    with opened("qwen3_vl:140M") as subject:
        yield turns(subject)
    with opened("qwen3_5:140M") as subject:
        yield long_text(subject)


def turns(subject: Subject) -> Case:
    """All turns but the first."""
    image = subject.draw_file(SIDE_TOKENS, SIDE_TOKENS, seed=1)
    sampling, histories = greedy(NUM_TOKENS), list[Messages]()

    def kit() -> Run:
        talk, reused = subject.chat.start(), list[int]()
        talk.ask(question(0), image, sampling=sampling)
        histories.clear()

        def act() -> Answers:
            answers = []
            for turn in range(1, NUM_TURNS):
                histories.append(to_qwen([*talk.messages, Message.user(question(turn))]))
                reply = talk.ask(question(turn), sampling=sampling)
                reused.append(reply.usage.reused_tokens)
                answers.append(ids_of(reply))
            return answers

        return with_note(timed(act), f"{reused[-1]} prompt tokens reused in the last turn")

    def by_hand() -> Run:
        talk = Conversation(subject)
        talk.ask(question(0), NUM_TOKENS, image)
        return timed(lambda: [talk.ask(question(turn), NUM_TOKENS) for turn in range(1, NUM_TURNS)])

    whole = "whole history in each turn"
    return Case(
        f"{subject.name}: turns 2 to {NUM_TURNS} about a picture, `chat.start()`",
        lambda: cold(subject, kit),
        {
            "`DynamicCache` kept by hand": by_hand,
            whole: lambda: timed(lambda: [snippet(subject, [h], NUM_TOKENS)[0] for h in histories]),
        },
        slow={whole: 2},
    )


def long_text(subject: Subject) -> Case:
    """The second question after a long text."""
    text, histories = _long_text(subject), list[Messages]()
    sampling = greedy(NUM_TOKENS)

    def kit() -> Run:
        talk = subject.chat.start(text)
        talk.ask(question(0), sampling=sampling)
        histories[:] = [to_qwen([*talk.messages, Message.user(question(1))])]
        return timed(lambda: [ids_of(talk.ask(question(1), sampling=sampling))])

    def by_hand() -> Run:
        talk = Conversation(subject, system=text)
        talk.ask(question(0), NUM_TOKENS)
        return timed(lambda: [talk.ask(question(1), NUM_TOKENS)])

    whole = "whole history in each turn"
    return Case(
        f"{subject.name}: turn 2 after a long text, `chat.start()`",
        lambda: cold(subject, kit),
        {
            "`DynamicCache` kept by hand": by_hand,
            whole: lambda: timed(lambda: snippet(subject, histories, NUM_TOKENS)),
        },
        slow={whole: 2},
    )


def _long_text(subject: Subject) -> str:
    words = itertools.cycle(THINGS)
    tokenize, lines = subject.processor.tokenizer.tokenize, list[str]()
    num_tokens = 0
    while num_tokens < TEXT_TOKENS:
        lines.append(f"There are {len(lines)} {next(words)} in the park.")
        num_tokens += len(tokenize(lines[-1] + "\n"))
    return "\n".join(lines)
