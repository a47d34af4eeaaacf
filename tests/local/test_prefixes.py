"""Prompts that were computed are found by what they begin with, however many there are."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.backends.local import prefixes
from qwenvl_kit.backends.local.caches import CacheState, LayerState
from qwenvl_kit.backends.local.prefixes import (
    MediaSpan,
    PrefixStore,
    TokenSequence,
    common_length,
)
from qwenvl_kit.backends.local.storage import Storage
from qwenvl_kit.processing.prompts import Span

BLOCK = 16


def _sequence(ids: list[int], picture: tuple[int, bytes] | None = None) -> TokenSequence:
    """Tokens, and perhaps a picture of four of them, which are all alike."""
    media: tuple[MediaSpan, ...] = ()
    if picture is not None:
        at, key = picture
        ids = [*ids[:at], 9, 9, 9, 9, *ids[at:]]
        media = (MediaSpan(Span(at, at + 4), key),)
    return TokenSequence(numpy.array(ids, numpy.int64), media)


def _state(length: int, *, is_croppable: bool = True) -> CacheState:
    keys = torch.zeros(1, 1, length, 1)
    states = {} if is_croppable else {0: torch.zeros(1)}
    return CacheState((LayerState(keys, keys, {}, states, {}),), length)


pieces = st.lists(st.sampled_from([[1] * 7, [2] * 16, [1, 2, 3], [3] * 30]), max_size=5)
pictures = st.one_of(st.none(), st.tuples(st.integers(0, 20), st.sampled_from([b"a", b"b"])))
sequences = st.builds(
    lambda parts, shown: _sequence([5, *(token for part in parts for token in part)], shown),
    pieces,
    pictures,
)


@settings(deadline=None)
@given(st.lists(sequences, max_size=12), sequences, st.booleans())
def test_what_is_found_is_the_longest_beginning_to_a_block(
    kept: list[TokenSequence], wanted: TokenSequence, is_croppable: bool
) -> None:
    store = PrefixStore(Storage(10**9))
    for sequence in kept:
        store.keep(sequence, _state(len(sequence.ids), is_croppable=is_croppable))
    found = store.find(wanted)
    lengths = [
        min(common_length(sequence, wanted), len(wanted.ids) - 1)
        for sequence in kept
        if is_croppable or common_length(sequence, wanted) == len(sequence.ids) < len(wanted.ids)
    ]
    longest = max(lengths, default=0)
    length = 0 if found is None else found.length
    assert length <= longest
    assert length > longest - BLOCK
    if not is_croppable and length:
        assert length in {len(sequence.ids) for sequence in kept}


def _filled(number: int) -> PrefixStore:
    store = PrefixStore(Storage(10**9))
    for seed in range(number):
        ids = numpy.random.default_rng(seed).integers(0, 100, 400).tolist()
        store.keep(_sequence([*range(20), *ids]), _state(420))
    return store


def test_of_a_thousand_kept_prompts_a_few_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[TokenSequence] = []

    def noting(first: TokenSequence, second: TokenSequence) -> int:
        compared.append(first)
        return common_length(first, second)

    store = _filled(1000)
    monkeypatch.setattr(prefixes, "common_length", noting)
    found = store.find(_sequence([*range(20), *([1] * 400)]))
    assert found is not None
    assert found.length == 20
    assert len(compared) < 10


def test_names_of_what_is_not_kept_any_more_are_forgotten() -> None:
    one = _state(420).num_bytes
    store = PrefixStore(Storage(5 * one))
    for seed in range(500):
        ids = numpy.random.default_rng(seed).integers(0, 100, 420).tolist()
        store.keep(_sequence(ids), _state(420))
    assert len(store._index) < 100
