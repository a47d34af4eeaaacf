"""Prompts that were computed are found by what they begin with, however many there are."""

from __future__ import annotations

import gc

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.backends.local.cache import prefix_tree
from qwenvl_kit.backends.local.cache.cache_key import (
    CacheKey,
    MediaSpan,
    common_length,
    common_stop,
)
from qwenvl_kit.backends.local.cache.kv_cache import CacheState, LayerState
from qwenvl_kit.backends.local.cache.prefix_cache import PrefixCache
from qwenvl_kit.backends.local.cache.prefix_tree import PrefixNode
from qwenvl_kit.backends.local.cache.store import CacheStore
from qwenvl_kit.processing.prompt_encoder import Span

BLOCK = 16


def _sequence(ids: list[int], picture: tuple[int, bytes] | None = None) -> CacheKey:
    """Tokens, and perhaps a picture of four of them, which are all alike."""
    media: tuple[MediaSpan, ...] = ()
    if picture is not None:
        at, key = min(picture[0], len(ids) - 1), picture[1]  # text always ends a prompt
        ids = [*ids[:at], 9, 9, 9, 9, *ids[at:]]
        media = (MediaSpan(Span(at, at + 4), key),)
    return CacheKey(numpy.array(ids, numpy.int64), media)


def _state(length: int, *, is_croppable: bool = True) -> CacheState:
    keys = torch.zeros(1, 1, length, 1)
    states = {} if is_croppable else {0: torch.zeros(1)}
    return CacheState((LayerState(keys, keys, {}, states, {}),), length)


def _computed(sequence: CacheKey, *, is_croppable: bool) -> CacheState:
    """What a model would leave: at each position a number that tells all that came before."""
    shown = {item.span.start: item.key for item in sequence.media}
    numbers, number = list[float](), 0
    for at, token in enumerate(sequence.ids.tolist()):
        number = hash((number, token, shown.get(at))) % 2**20
        numbers.append(float(number))
    keys = torch.tensor(numbers)[None, None, :, None]
    states = {} if is_croppable else {0: keys[:, :, -1].clone()}
    return CacheState((LayerState(keys, -keys, {}, states, {}),), len(numbers))


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
    kept: list[CacheKey], wanted: CacheKey, is_croppable: bool
) -> None:
    prefixes = PrefixCache(CacheStore(10**9))
    for sequence in kept:
        prefixes.keep(sequence, _state(len(sequence.ids), is_croppable=is_croppable))
    found = prefixes.find(wanted)
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


long_pieces = st.lists(
    st.sampled_from([[1] * 100, [2] * 70, [1, 2, 3], [3] * 33, [4] * 16]), min_size=1, max_size=6
)
long_sequences = st.builds(
    lambda parts, shown: _sequence([5, *(token for part in parts for token in part)], shown),
    long_pieces,
    st.one_of(st.none(), st.tuples(st.integers(0, 150), st.sampled_from([b"a", b"b"]))),
)


@settings(deadline=None)
@given(
    st.lists(long_sequences, max_size=15),
    long_sequences,
    st.booleans(),
    st.sampled_from([600, 3000, 10**9]),
)
def test_what_is_found_is_what_was_computed_whatever_was_kept_and_went_in_between(
    kept: list[CacheKey], wanted: CacheKey, is_croppable: bool, max_bytes: int
) -> None:
    store = CacheStore(max_bytes)
    prefixes = PrefixCache(store)
    for sequence in kept:
        prefixes.keep(sequence, _computed(sequence, is_croppable=is_croppable))
        assert store.used_bytes <= max_bytes
    for sequence in (*kept, wanted):
        found = prefixes.find(sequence)
        if found is None:
            continue
        state, first = found.state(), sequence.first(found.length)
        (layer,) = state.layers
        (expected,) = _computed(first, is_croppable=is_croppable).layers
        assert layer.keys is not None
        assert expected.keys is not None
        assert torch.equal(layer.keys, expected.keys)
        assert layer.values is not None
        assert torch.equal(layer.values, -expected.keys)
        assert layer.recurrences.keys() == expected.recurrences.keys()
        assert all(
            torch.equal(layer.recurrences[at], expected.recurrences[at]) for at in layer.recurrences
        )


@pytest.mark.parametrize("is_croppable", [True, False])
def test_what_many_prompts_begin_with_is_held_once(is_croppable: bool) -> None:
    store = CacheStore(10**9)
    prefixes = PrefixCache(store)
    common = numpy.random.default_rng(0).integers(0, 100, 3000).tolist()
    for seed in range(1, 51):
        own = numpy.random.default_rng(seed).integers(100, 200, 400).tolist()
        sequence = _sequence([*common, *own])
        prefixes.keep(sequence, _state(3400, is_croppable=is_croppable))
    one = _state(1).num_bytes
    assert store.used_bytes < one * (3000 + 50 * 410)


@pytest.mark.parametrize("is_croppable", [True, False])
def test_a_conversation_is_kept_once_and_not_once_a_turn(is_croppable: bool) -> None:
    store = CacheStore(10**9)
    prefixes = PrefixCache(store)
    said = list[int]()
    for turn in range(100):
        tokens = numpy.random.default_rng(turn).integers(0, 100, 130).tolist()
        written = _sequence([*said, *tokens[:128], 100 + turn])  # comes back in other tokens
        prefixes.keep(written, _state(len(written.ids), is_croppable=is_croppable))
        said += tokens
    one = _state(1).num_bytes
    assert store.used_bytes < one * 100 * 140


def test_what_is_not_kept_any_more_is_held_by_nobody() -> None:
    others = set(map(id, _alive()))
    store = CacheStore(_state(2000).num_bytes)
    prefixes = PrefixCache(store)
    for seed in range(40):
        common = numpy.random.default_rng(seed // 10).integers(0, 100, 300).tolist()
        own = numpy.random.default_rng(seed).integers(100, 200, 200).tolist()
        prefixes.keep(_sequence([*common, *own]), _state(500))
    own = [node for node in _alive() if id(node) not in others]
    assert sum(node.num_bytes for node in own) == store.used_bytes > 0
    store.clear()
    own.clear()
    assert set(map(id, _alive())) <= others


def _alive() -> list[PrefixNode]:
    return [each for each in gc.get_objects() if type(each) is PrefixNode]


def _filled(number: int) -> PrefixCache:
    prefixes = PrefixCache(CacheStore(10**9))
    for seed in range(number):
        ids = numpy.random.default_rng(seed).integers(0, 100, 400).tolist()
        prefixes.keep(_sequence([*range(20), *ids]), _state(420))
    return prefixes


def test_of_a_thousand_kept_prompts_a_few_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[CacheKey] = []

    def noting(part: CacheKey, whole: CacheKey, start: int) -> int:
        compared.append(part)
        return common_stop(part, whole, start)

    prefixes = _filled(1000)
    monkeypatch.setattr(prefix_tree, "common_stop", noting)
    found = prefixes.find(_sequence([*range(20), *([1] * 400)]))
    assert found is not None
    assert found.length == 20
    assert len(compared) < 10


def test_names_of_what_is_not_kept_any_more_are_forgotten() -> None:
    one = _state(420).num_bytes
    prefixes = PrefixCache(CacheStore(5 * one))
    for seed in range(500):
        ids = numpy.random.default_rng(seed).integers(0, 100, 420).tolist()
        prefixes.keep(_sequence(ids), _state(420))
    assert len(prefixes._index) < 100
