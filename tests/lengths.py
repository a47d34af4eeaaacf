"""Which tests are long because they repeat for one more family what others prove.

The rule for all other tests is in CONTRIBUTING.md; they carry the mark `long` themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from qwenvl_kit.families import FAMILIES

MIXTURES = {name for name in FAMILIES if name.endswith("_moe")}
"""Mixtures of experts: their dense sisters read the same prompts, positions and pictures."""

REPRESENTATIVE = "qwen3_vl"
REPEATED = (
    *("tests/checkpoints/test_memory.py", "tests/families/test_tasks.py"),
    "tests/families/test_fine_tuning.py",
    *("tests/families/test_generation_config.py", "tests/families/test_plan_is_the_truth.py"),
    *("tests/families/test_unlike_lengths.py", "tests/families/test_video_files.py"),
    *("tests/local/test_lora.py", "tests/local/test_grammar.py"),
    *("tests/local/test_frozen.py", "tests/local/test_prompt_lookup.py"),
    *("tests/local/test_memory_prediction.py", "tests/local/test_quantization.py"),
    "tests/local/test_packed_layers.py",
)
"""Files whose promises depend little on the family: of each test one family is short."""


def families_of(item: pytest.Item) -> Iterator[str]:
    """The families that a test is parametrized with."""
    call = getattr(item, "callspec", None)
    for value in call.params.values() if call else ():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, str) and part in FAMILIES:
                yield part


def mark_repetitions(items: Iterable[pytest.Item]) -> None:
    """Mark as `long` what repeats a promise for one more family."""
    for item in items:
        in_full = item.nodeid.startswith(REPEATED)
        families = set(families_of(item))
        if families & MIXTURES or (in_full and families - {REPRESENTATIVE}):
            item.add_marker(pytest.mark.long)
