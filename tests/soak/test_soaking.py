"""Under load, with faults: no request is lost, none gets another's answer. Here in small."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qwenvl_kit import VisionChat
from tests.soak.load import Load, soak


@pytest.mark.slow
@pytest.mark.parametrize("reloads", [False, True])
def test_each_request_gets_its_own_answer_or_its_own_error_while_all_kinds_of_things_fail(
    tiny_folder: Path, reloads: bool
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with VisionChat.from_pretrained(tiny_folder, max_cache_bytes=4_000_000) as chat:
        load = Load(chat)
        outcome = soak(chat, load, 1_010, reload=tiny_folder if reloads else None)
    torch.set_num_threads(before)
    assert outcome.wrong == []
    assert outcome.ends.total() == 1_010
    assert outcome.ends["MediaDecodeError"] == 20
    assert outcome.ends["OutOfMemoryError"] <= 24
    assert bool(outcome.num_reloads) is reloads
