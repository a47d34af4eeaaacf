"""The opening page: what it says follows from what was measured and from the formulas."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.benchmarks import limits
from tests.benchmarks.measuring import Samples
from tests.benchmarks.sections import expectations, weights


def precision(step_bytes: int, seconds: float) -> weights.Precision:
    """A model that was measured in two rounds."""
    chat: Any = None
    steps = {rows: Samples([seconds * rows, 1.2 * seconds * rows]) for rows in weights.ROWS}
    return weights.Precision(
        chat, "float32", step_bytes, 1e9, steps, Samples([1.0]), Samples([2.0]), "16/16"
    )


@pytest.fixture(scope="module")
def measured() -> weights.Measured:
    found = {"fp32": precision(1_000_000_000, 0.1), "4-bit": precision(200_000_000, 0.05)}
    return weights.Measured(
        "a processor", 20e9, {"float32": 2e9, "bfloat16": 4e9}, 340, 1000, 1024, 2, found
    )


def test_a_share_is_bytes_by_time_by_bandwidth(measured: weights.Measured) -> None:
    # the median step takes 0.11 s
    assert measured.shares["fp32"] == pytest.approx(1e9 / 0.11 / 20e9)


def test_fewer_bits_are_compared_with_fp32_of_the_same_round(measured: weights.Measured) -> None:
    assert measured.against_fp32("4-bit", 8) == "2.00x (2.00x - 2.00x)"


def test_a_step_that_is_not_always_faster_makes_no_difference(
    measured: weights.Measured,
) -> None:
    unsure = precision(10**9, 0.1)
    unsure.steps[1] = Samples([0.09, 0.13])
    one = weights.Measured(**{**vars(measured), "precisions": {**measured.precisions, "x": unsure}})
    assert one.against_fp32("x", 1).endswith("no difference")


def test_the_page_tells_what_was_measured_apart_from_what_was_computed(
    measured: weights.Measured,
) -> None:
    text = "\n".join(expectations.page(measured))
    headings = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert headings[0] == "Measured here"
    assert all(heading.startswith("Computed: ") for heading in headings[1:])
    assert "| fp32 (float32) | 1000 MB |" in text
    assert "**20.0 GB/s**" in text


def test_what_does_not_fit_is_promised_no_speed(measured: weights.Measured) -> None:
    rows = {
        (name, precision.split(",")[0]): cells
        for name, precision, *cells in (
            [cell.strip() for cell in line.strip("| ").split("|")]
            for line in expectations._limit_rows()
        )
    }
    sizes = [machine.memory_bytes for machine in limits.MACHINES]
    for (name, word), cells in rows.items():
        precision_name = {"bf16": "bfloat16", "4-bit": "4bit"}[word]
        size = expectations._weight_bytes(name, precision_name)
        assert [cell == "-" for cell in cells] == [size >= room for room in sizes]


def test_a_picture_of_a_quarter_takes_less_than_half_of_the_work() -> None:
    whole, quarter = (
        expectations.first_token_flops("Qwen3-VL-8B-Instruct", tokens) for tokens in (1024, 256)
    )
    assert quarter < whole / 2
