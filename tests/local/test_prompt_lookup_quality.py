"""The tokens of drafts, and their number, without a model."""

from __future__ import annotations

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.backends.local.engine.prompt_lookup import PromptLookup, draft_after

IDS = st.lists(st.integers(-1, 4), max_size=60)


@given(IDS, st.integers(0, 12))
@settings(max_examples=300, deadline=None)
def test_a_draft_is_the_text_that_followed_the_longest_and_latest_match(
    ids: list[int], max_tokens: int
) -> None:
    assert draft_after(numpy.array(ids, numpy.int64), max_tokens) == _by_hand(ids, max_tokens)


def _by_hand(ids: list[int], max_tokens: int) -> list[int]:
    for size in (3, 2):
        tail = ids[-size:]
        for end in range(len(ids) - 1, size - 1, -1):
            if -1 not in tail and ids[end - size : end] == tail:
                draft: list[int] = []
                while len(draft) < max_tokens and (next_id := [*ids, *draft][end]) >= 0:
                    draft.append(next_id)
                    end += 1  # noqa: PLW2901
                if draft:
                    return draft
                break
    return []


@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_drafts_keep_to_their_limits_whatever_comes(ids: list[int], max_tokens: int) -> None:
    prompt, answer = ids[: len(ids) // 2], ids[len(ids) // 2 :]
    lookup = PromptLookup(prompt, len(answer), max_tokens, frozenset({3}))
    at = 1
    while at <= len(answer):
        draft = lookup.propose(answer[:at])
        assert len(draft) <= max_tokens
        assert at + 1 + len(draft) <= max(len(answer), at + 1)
        assert 3 not in draft
        right = 0
        while right < len(draft) and draft[right] == answer[at + right]:
            right += 1
        if draft:
            lookup.note(len(draft), right)
        at += right + 1


def test_drafting_begins_again_once_drafts_would_have_been_right() -> None:
    text = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    lookup = PromptLookup(text, 40, 8, frozenset())
    assert lookup.propose([1, 2]) == [3, 4, 5, 6, 7, 8, 9, 1]
    for size in (8, 4, 2, 1):
        lookup.note(size, 0)
    assert lookup.propose([1, 2, 3]) == []
    assert lookup.propose([1, 2, 3, 4]) == []
    assert lookup.propose([1, 2, 3, 4, 5]) == [6, 7]
    lookup.note(2, 2)
    assert len(lookup.propose([1, 2, 3, 4, 5, 6, 7, 8])) == 4
