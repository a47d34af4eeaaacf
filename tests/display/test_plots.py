from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from qwenvl_kit.errors import MissingPackageError, UnsupportedFeatureError
from tests.display.samples import SURE, reply_of, said, token

needs_matplotlib = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="matplotlib is not installed"
)


@needs_matplotlib
def test_each_token_has_a_bar_as_high_as_its_probability() -> None:
    (axes,) = SURE.plot().axes
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([0.99, 0.6, 0.98])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A", "␣red", "␣circle."]


@needs_matplotlib
def test_a_long_answer_has_a_point_for_each_token() -> None:
    reply = reply_of(*(token(f" {at}", 0.2 + at / 2500) for at in range(2000)))
    (axes,) = reply.plot().axes
    assert sum(len(line.get_xdata()) for line in axes.lines[:5]) == 2000


@needs_matplotlib
@pytest.mark.parametrize("text", ["$x$", "$\\frac{", "_^{}", "日本", "\u202e", "\n", "x" * 500])
def test_any_token_can_be_named(text: str, tmp_path: Path) -> None:
    reply_of(token(text, 0.5), token("b", 0.5)).plot().savefig(tmp_path / "plot.png")


@needs_matplotlib
def test_a_plot_goes_on_axes_that_are_given() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    assert SURE.plot(ax=figure.subplots()) is figure


@needs_matplotlib
def test_a_reply_without_scores_has_no_plot() -> None:
    with pytest.raises(UnsupportedFeatureError, match="no scores"):
        said("x").plot()


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match="pip install matplotlib"):
        SURE.plot()
