"""The local backend on devices that are not there: what it may not do, and what a step costs.

Each test reads what a child found, since torch is patched for a whole process. The short tests
share one child; the first of them waits for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from qwenvl_kit.families import FAMILIES

SHORT = "qwen3_vl"
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

TRIED = [name for name in FAMILIES if name not in ("qwen3_5_moe", "qwen4_exp")]
"""Families that give the processor's answers. Qwen4-Exp gives logits that are no numbers here, for
a reason that is not known; whether it does so on a GPU is not known either."""

FULL = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
"""Families whose layers all have full attention, which decode with fixed shapes."""

Found = dict[str, dict[str, Any]]


def found_by_child(family: str, *checks: str) -> Found:
    """What a child finds, by check."""
    program = [sys.executable, "-m", "tests.pretended_device", family, *checks]
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        program, check=False, cwd=root, env=ONE_THREAD, capture_output=True, text=True
    )
    assert not ended.returncode, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What the child of the short tests finds; one for all processes of pytest."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    kept = shared / "pretended_device.json"
    with FileLock(str(kept) + ".lock"):
        if not kept.exists():
            kept.write_text(json.dumps(found_by_child(SHORT, "everything")["everything"]))
        return json.loads(kept.read_text())  # type: ignore[no-any-return]


def test_two_devices_without_fp64_give_the_answers_of_the_processor(found: Found) -> None:
    assert found["answers"]
    assert {name: wrong for name, wrong in found["answers"].items() if wrong} == {}


@pytest.mark.parametrize("num_rows", [1, 8])
def test_a_greedy_step_waits_once_and_uploads_once_whatever_its_rows(
    found: Found, num_rows: int
) -> None:
    assert found["steps"][f"greedy {num_rows}"] == [1, 1, 0]


@pytest.mark.parametrize("num_rows", [1, 8])
def test_a_greedy_step_with_fixed_shapes_waits_once_and_uploads_nothing(
    found: Found, num_rows: int
) -> None:
    assert found["fixed"]["before"].startswith("on (")
    assert found["fixed"]["steps"][f"fixed greedy {num_rows}"] == [1, 0, 0]


@pytest.mark.parametrize("num_rows", [1, 8])
def test_a_sampled_step_with_fixed_shapes_uploads_the_drawn_tokens_at_once(
    found: Found, num_rows: int
) -> None:
    assert found["fixed"]["steps"][f"fixed sampled {num_rows}"] == [1, 1, 0]


def test_fixed_shapes_give_the_answers_of_the_processor(found: Found) -> None:
    assert {name: wrong for name, wrong in found["fixed"]["answers"].items() if wrong} == {}


def test_a_step_that_waits_is_not_captured(found: Found) -> None:
    assert found["fixed"]["after"].startswith("off (a decode step could not be captured")
    assert "_local_scalar_dense" in found["fixed"]["after"]


@pytest.mark.parametrize("num_rows", [4, 8])
def test_grammars_penalties_and_draws_cost_two_uploads_more_for_all_rows_together(
    found: Found, num_rows: int
) -> None:
    assert found["steps"][f"of_all_kinds {num_rows}"] == [1, 3, 0]


def test_the_time_of_a_prefill_is_that_of_the_device(found: Found) -> None:
    left = found["steps"]["left"]
    assert left
    assert not any(left)


def test_a_beginning_that_is_held_once_is_not_copied_between_devices(found: Found) -> None:
    waits, uploads, copies = found["copies"]["alike"]
    assert [waits, uploads] == [1, 1]
    assert copies == found["copies"]["apart"][2]
    assert copies < found["copies"]["mapping"][2]  # what accelerate makes of a mapping


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("inputs that stay on the processor", "on the same device"),
        ("pixels that stay on the processor", "on the same device"),
        ("masks of grammars that stay on the processor", "on the same device"),
        ("logits as an array", "to numpy"),
        ("sums in fp64", "does not support float64"),
    ],
)
def test_a_fault_that_is_put_in_is_seen(found: Found, fault: str, words: str) -> None:
    assert words in found["faults"][fault]


@pytest.mark.parametrize(
    "waste",
    [
        *("a mask of padding that stays on the processor", "a wait for each row"),
        *("an upload for each row", "uploads that are waited for"),
    ],
)
def test_waste_that_is_put_in_is_counted(found: Found, waste: str) -> None:
    assert sum(found["faults"][waste]) > sum(found["steps"]["greedy 8"])


@pytest.mark.long
@pytest.mark.parametrize("place", ["one", "two", "early"])
@pytest.mark.parametrize("family", TRIED)
def test_each_family_gives_the_answers_of_the_processor_wherever_its_layers_lie(
    family: str, place: str
) -> None:
    outcomes = found_by_child(family, place)[place]
    assert {name: outcome for name, outcome in outcomes.items() if outcome} == {}


@pytest.mark.long
def test_an_adapter_that_is_loaded_on_two_devices_gives_the_answers_of_the_processor() -> None:
    pytest.importorskip("peft", reason="adapters need the optional package peft")
    assert found_by_child(SHORT, "adapter")["adapter"] == {"adapter": ""}


@pytest.mark.long
@pytest.mark.parametrize("family", [name for name in TRIED if name != SHORT])
def test_each_family_waits_once_a_step(family: str) -> None:
    counts = found_by_child(family, "steps")["steps"]
    assert counts["greedy 1"] == counts["greedy 8"] == [1, 1, 0]
    fixed = {name: each for name, each in counts.items() if name.startswith("fixed greedy")}
    assert list(fixed.values()) == ([[1, 0, 0]] * 2 if family in FULL else [])
    assert counts["of_all_kinds 4"] == counts["of_all_kinds 8"] == [1, 3, 0]
