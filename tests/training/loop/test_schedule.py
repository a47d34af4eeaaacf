"""The schedule: batches by tokens, the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.training.loop.schedule import Step, in_batches, plan_steps

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=80)


def plan(lengths: Sequence[int], **options: object) -> tuple[Step, ...]:
    given_options = {
        "epochs": 1, "tokens_per_batch": 100, "batches_per_step": 2, "seed": 0, **options,
    }  # fmt: skip
    return plan_steps(lengths, [1.0] * len(lengths), **given_options)  # type: ignore[arg-type]


@settings(deadline=None)
@given(lengths=LENGTHS, packing=st.booleans(), epochs=st.integers(1, 3))
def test_each_epoch_has_every_sequence_once_in_batches_that_fit(
    lengths: list[int], packing: bool, epochs: int
) -> None:
    steps = plan(lengths, packing=packing, epochs=epochs)
    seen = sorted(n for step in steps for batch in step.batches for n in batch)
    assert seen == sorted([*range(len(lengths))] * epochs)
    assert sum(step.ends_epoch for step in steps) == epochs
    assert steps[-1].epoch == epochs
    for step in steps:
        assert len(step.batches) == 2
        assert step.batches[0]
        for batch in filter(None, step.batches):
            held = [lengths[number] for number in batch]
            tokens = sum(held) if packing else len(held) * max(held)
            assert tokens <= 100


def test_a_sequence_that_is_longer_than_a_batch_passes_alone() -> None:
    steps = plan([500, 10, 20], batches_per_step=1)
    assert (0,) in [batch for step in steps for batch in step.batches]


def test_the_order_follows_from_the_seed_and_differs_between_epochs() -> None:
    lengths = [10] * 64
    assert plan(lengths, epochs=2) == plan(lengths, epochs=2)
    assert plan(lengths) != plan(lengths, seed=1)
    steps = plan(lengths, epochs=2)
    half = len(steps) // 2
    assert [s.batches for s in steps[:half]] != [s.batches for s in steps[half:]]


def test_a_part_of_an_epoch_sees_a_part_of_the_sequences() -> None:
    lengths = [10] * 100
    whole, half = plan(lengths), plan(lengths, epochs=0.5)
    assert len(half) == pytest.approx(len(whole) / 2, abs=1)
    assert half == tuple(whole[: len(half) - 1]) + half[-1:]


def test_two_processes_share_the_steps_of_one_that_accumulates_twice() -> None:
    lengths = [7, 9, 30, 31, 60, 8, 9, 10]
    assert plan(lengths, batches_per_step=2) == plan(lengths, batches_per_step=2)


def test_little_is_padded() -> None:
    lengths = [10 + (37 * n) % 90 for n in range(400)]
    steps = plan(lengths, tokens_per_batch=1000, batches_per_step=1)
    padded = sum(len(b) * max(lengths[n] for n in b) for s in steps for b in s.batches if b)
    assert sum(lengths) / padded > 0.9


def test_validation_has_every_sequence_once() -> None:
    batches = in_batches([5, 90, 30, 20, 70], 100)
    assert sorted(n for batch in batches for n in batch) == [0, 1, 2, 3, 4]
