"""The short tests leave nothing out that the rules of length do not name."""

from __future__ import annotations

from pathlib import Path

from tests import lengths

ROOT = Path(__file__).parents[2]


def test_each_rule_of_length_names_what_is_there() -> None:
    for name in lengths.REPEATED:
        assert (ROOT / name).is_file(), name
    assert lengths.REPRESENTATIVE in set(lengths.FAMILIES) - lengths.MIXTURES
    assert lengths.MIXTURES


def test_each_mark_of_length_has_a_session_that_runs_it() -> None:
    sessions = (ROOT / "noxfile.py").read_text()
    assert '"not (long or slow or alone)"' in sessions
    assert '"(long or slow) and not alone"' in sessions
    assert '"-m", "alone"' in sessions
