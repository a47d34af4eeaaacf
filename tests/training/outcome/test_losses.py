"""Losses are read from a log as they were logged, and shown in a few rows and one picture."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from qwenvl_kit.errors import MissingPackageError, TrainingError
from qwenvl_kit.training import Losses, StepLoss, ValidationLoss
from qwenvl_kit.training.outcome.plotting import smoothed, thinned


def falling(number: int, **more: object) -> list[dict[str, Any]]:
    return [{"step": at, "loss": 3 / at, **more} for at in range(1, number + 1)]


def test_a_log_of_transformers_is_read_with_its_validation_and_without_its_summary() -> None:
    losses = Losses.from_log(
        [
            {"loss": 2.0, "grad_norm": 1.5, "learning_rate": 1e-4, "epoch": 0.5, "step": 1},
            {"eval_loss": 1.75, "eval_runtime": 3.5, "epoch": 0.5, "step": 1},
            {"train_runtime": 12.0, "train_loss": 2.0, "total_flos": 0.0, "epoch": 1.0, "step": 2},
        ]
    )
    assert list(losses) == [StepLoss(1, 0.5, 2.0, learning_rate=1e-4, grad_norm=1.5)]
    assert losses.validation == (ValidationLoss(1, 0.5, 1.75),)


def test_a_number_that_was_not_logged_is_none_and_its_column_is_not_shown() -> None:
    losses = Losses.from_log([{"step": 1, "loss": 2.0}])
    assert losses[0] == StepLoss(1, None, 2.0)
    assert str(losses).splitlines()[0].split() == ["steps", "loss"]


def test_a_validation_without_a_loss_is_no_validation() -> None:
    losses = Losses.from_log([{"eval_runtime": 226.6, "epoch": 1.0, "step": 9}])
    assert losses == Losses()
    assert losses.best is None


@pytest.mark.parametrize("of", [numpy.float32, numpy.array, torch.tensor])
def test_numbers_of_numpy_and_torch_are_read_as_numbers(of: Callable[[float], Any]) -> None:
    (step,) = Losses.from_log([{"step": 1, "loss": of(2.5), "grad_norm": of(0.5)}])
    assert (step.loss, step.grad_norm) == (2.5, 0.5)
    assert type(step.loss) is float


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        ({"step": 1, "loss": "low"}, r"log\[1\]\.loss"),
        ({"step": 1, "loss": True}, r"log\[1\]\.loss"),
        ({"step": 1, "loss": 10**400}, r"log\[1\]\.loss"),
        ({"step": 1, "loss": [1.0, 2.0]}, r"log\[1\]\.loss"),
        ({"step": 1, "loss": torch.tensor([1.0, 2.0])}, r"log\[1\]\.loss"),
        ({"step": 1.5, "loss": 2.0}, r"log\[1\]\.step"),
        ({"step": math.nan, "loss": 2.0}, r"log\[1\]\.step"),
        ({"step": -1, "loss": 2.0}, r"log\[1\]\.step"),
        ({"loss": 2.0}, r"log\[1\]: a loss was logged without its step"),
    ],
)
def test_an_entry_that_is_no_number_is_refused_with_its_place(entry: Any, where: str) -> None:
    with pytest.raises(TrainingError, match=where):
        Losses.from_log([{"step": 1, "loss": 1.0}, entry])


def test_a_step_that_was_logged_again_after_a_kill_counts_once() -> None:
    losses = Losses.from_log([*falling(3), {"step": 2, "loss": 7.0}])
    assert [(each.step, each.loss) for each in losses] == [(1, 3.0), (2, 7.0), (3, 1.0)]


def test_a_loss_that_is_no_number_is_kept_and_told() -> None:
    entries = [*falling(30), {"step": 31, "loss": math.nan}, {"step": 32, "loss": math.inf}]
    losses = Losses.from_log(entries)
    assert losses.first_unusable_step == 31
    assert math.isnan(losses[30].loss)
    assert "no number from step 31 on" in str(losses)
    assert "nan" in str(losses)


def test_a_gradient_that_is_no_number_is_told_even_if_the_loss_is_one() -> None:
    losses = Losses.from_log([{"step": 1, "loss": 1.7, "grad_norm": math.nan}])
    assert losses.first_unusable_step == 1


def test_the_best_validation_is_the_first_of_the_lowest_and_never_nan() -> None:
    logged = zip((10, 20, 30, 40), (math.nan, 1.0, 0.5, 0.5))
    losses = Losses.from_log([{"step": step, "eval_loss": loss} for step, loss in logged])
    assert losses.best == ValidationLoss(30, None, 0.5)


def test_the_table_of_a_long_training_has_ten_rows_from_its_beginning_to_its_end() -> None:
    losses = Losses.from_log([*falling(100_000), {"step": 100_000, "eval_loss": 0.25}])
    heading, _, *rows = str(losses).splitlines()[:12]
    assert heading.split() == ["steps", "loss", "validation"]
    assert [rows[0].split()[0], rows[-1].split()[0]] == ["1-10,000", "90,001-100,000"]
    assert rows[-1].split()[-1] == "0.2500"
    assert len(str(losses)) < 1000


def test_a_row_is_the_mean_of_tokens_not_of_steps() -> None:
    steps = [StepLoss(at, None, 1.0, trained_tokens=1) for at in range(1, 20)]
    losses = Losses((*steps, StepLoss(20, None, 4.0, trained_tokens=3)))
    assert str(losses).splitlines()[-2].split() == ["19-20", "3.2500"]


def test_a_row_tells_the_highest_gradient_and_the_speed() -> None:
    entries = falling(20, grad_norm=1.0, tokens=100, seconds=0.5)
    entries[12]["grad_norm"] = 50.0
    rows = str(Losses.from_log(entries)).splitlines()[2:12]
    assert [row.split()[-2] for row in rows] == [*["1"] * 6, "50", *["1"] * 3]
    assert rows[0].split()[-1] == "200"


def test_losses_are_a_sequence() -> None:
    losses = Losses.from_log(falling(5))
    assert len(losses) == 5
    assert losses[-1].step == 5
    assert [each.step for each in losses[1:3]] == [2, 3]
    assert losses[0] in losses


def test_rows_have_each_step_with_the_validation_after_it() -> None:
    entries = [{"step": 1, "loss": 2.0}, {"step": 1, "eval_loss": 1.5}, {"step": 3, "eval_loss": 1}]
    first, last = Losses.from_log(entries).to_rows()
    assert (first["step"], first["loss"], first["validation_loss"]) == (1, 2.0, 1.5)
    assert (last["step"], last["loss"], last["validation_loss"]) == (3, None, 1.0)
    assert [*first] == [
        *("step", "epoch", "loss", "learning_rate", "grad_norm", "trained_tokens", "tokens"),
        *("seconds", "validation_loss"),
    ]


def test_losses_are_the_same_after_a_way_through_their_log() -> None:
    losses = Losses.from_log([*falling(3, epoch=0.5, seconds=1.0), {"step": 2, "eval_loss": 1.0}])
    assert Losses.from_log(losses.to_log()) == losses
    assert [entry["step"] for entry in losses.to_log()] == [1, 2, 2, 3]


def test_the_losses_until_a_step_have_it_and_its_validation() -> None:
    losses = Losses.from_log([*falling(3), *({"step": at, "eval_loss": 1.0} for at in (2, 3))])
    kept = losses.until(2)
    assert [each.step for each in kept] == [1, 2]
    assert [each.step for each in kept.validation] == [2]


def test_a_training_without_a_step_says_so() -> None:
    assert "no step was logged" in str(Losses())
    assert "no step was logged" in Losses()._repr_html_()
    assert Losses().to_rows() == []


def axes_of(losses: Losses) -> Any:
    (axes,) = losses.plot().axes
    return axes


def labels_of(losses: Losses) -> list[str]:
    return [text.get_text() for text in axes_of(losses).get_legend().get_texts()]


def test_a_plot_has_each_step_a_smoothed_line_the_validation_and_its_best() -> None:
    losses = Losses.from_log(
        [
            *falling(200),
            *({"step": at, "eval_loss": abs(at - 110) / 50 + 0.5} for at in range(20, 220, 20)),
        ]
    )
    labels = ["each step", "training, smoothed", "validation", "best: 0.7 after step 100"]
    assert labels_of(losses) == labels


def test_a_plot_of_one_step_and_one_validation_shows_both_as_points() -> None:
    losses = Losses.from_log([{"step": 1, "loss": 2.0}, {"step": 1, "eval_loss": 1.0}])
    lines = axes_of(losses).get_lines()
    assert [line.get_marker() for line in lines] == [".", "o"]
    assert [len(line.get_xdata()) for line in lines] == [1, 1]


def test_a_plot_leaves_out_what_is_no_number_and_marks_where_it_began() -> None:
    entries = [*falling(50), *({"step": at, "loss": math.nan} for at in range(51, 60))]
    losses = Losses.from_log(entries)
    assert "no number from step 51" in labels_of(losses)
    assert all(numpy.isfinite(line.get_ydata()).all() for line in axes_of(losses).get_lines())


@pytest.mark.parametrize(("lowest", "scale"), [(0.9, "linear"), (0.01, "log"), (0.0, "linear")])
def test_the_axis_is_logarithmic_where_the_loss_falls_far(lowest: float, scale: str) -> None:
    losses = Losses.from_log([{"step": 1, "loss": 1.0}, {"step": 2, "loss": lowest}])
    assert axes_of(losses).get_yscale() == scale


def test_a_plot_of_a_long_training_draws_a_few_thousand_points_and_keeps_its_spikes() -> None:
    entries = falling(100_000)
    entries[70_000]["loss"] = 9.0
    raw, smooth = axes_of(Losses.from_log(entries)).get_lines()[:2]
    assert max(len(raw.get_xdata()), len(smooth.get_xdata())) <= 2000
    assert max(raw.get_ydata()) == 9.0


def test_a_plot_without_a_step_says_so() -> None:
    assert [text.get_text() for text in axes_of(Losses()).texts] == ["no step was logged"]


def test_a_plot_goes_on_given_axes_and_into_a_file(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    left, right = figure.subplots(1, 2)
    path = tmp_path / "losses.png"
    assert Losses.from_log(falling(5)).plot(right, path=path) is figure
    assert (len(left.get_lines()), len(right.get_lines())) == (0, 1)
    with Image.open(path) as image:
        assert image.size > (100, 100)


def test_a_plot_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=r"qwenvl-kit\[training\]"):
        Losses.from_log(falling(5)).plot()


def test_a_plot_does_not_change_the_figures_of_pyplot() -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    Losses.from_log(falling(5)).plot()
    assert pyplot.get_fignums() == before


def test_a_smoothed_value_is_the_mean_of_those_around_it() -> None:
    values = numpy.array([1.0, 2.0, 6.0, 4.0])
    assert smoothed(values, 3).tolist() == [1.5, 3.0, 4.0, 5.0]
    assert smoothed(values, 1) is values


def test_thinning_keeps_the_extremes_of_each_bucket_in_their_order() -> None:
    steps, values = numpy.arange(8.0), numpy.array([3.0, 1.0, 2.0, 2.0, 5.0, 4.0, 9.0, 0.0])
    kept_steps, kept = thinned(steps, values, 4)
    assert kept_steps.tolist() == [0.0, 1.0, 6.0, 7.0]
    assert kept.tolist() == [3.0, 1.0, 9.0, 0.0]
