"""What `nox -s soak` does for long, in short: nothing leaks, no row is lost or another's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from qwenvl_kit import VisionChat
from tests.soak.leaking import MAX_GROWTH_BYTES, leak, left_behind
from tests.soak.rows import Rows, ask_in_threads, no_numbers, policy


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices are slower on several threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.long
def test_asks_of_all_kinds_leave_nothing_behind(tiny_folder: Path) -> None:
    with VisionChat.from_pretrained(tiny_folder, max_cache_bytes=1_000_000) as chat:
        leak(chat, 14, 14)
        before = left_behind()
        measured = leak(chat, 56, 28)
        assert left_behind() == before
    assert measured[-1][1] - measured[0][1] < MAX_GROWTH_BYTES


def test_many_threads_get_their_own_answers_or_errors_while_rows_and_decoders_fail(
    tiny_folder: Path,
) -> None:
    with VisionChat.from_pretrained(
        tiny_folder, dtype="float32", device="cpu", max_cache_bytes=1_000_000, media=policy()
    ) as chat:
        rows = Rows(chat)
        with no_numbers(chat):
            ask_in_threads(rows, num_threads=24, num_each=3, kill_every=0.3)
    assert rows.wrong == []
    assert rows.ends.total() == 72
    assert rows.ends["GenerationError"] > 0
