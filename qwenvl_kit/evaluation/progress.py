"""The progress of an evaluation: a bar with the score so far."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from qwenvl_kit.display.progress import progress_bar
from qwenvl_kit.evaluation.items import ScoredItem

if TYPE_CHECKING:
    from typing_extensions import Self


class Progress:
    """A progress bar that shows the mean score so far, and how many items failed.

    Args:
        num_items: the number of items.
        is_shown: False for no bar.
    """

    def __init__(self, num_items: int, *, is_shown: bool) -> None:
        self._num_items = num_items
        self._is_shown = is_shown and sys.stderr is not None
        self._bar: Any = None
        self._sum = 0.0
        self._num_scored = self._num_failed = 0

    def __enter__(self) -> Self:
        if self._is_shown:
            self._bar = progress_bar()(total=self._num_items, unit="item")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, found: ScoredItem) -> None:
        """Count an item."""
        if found.score is None:
            self._num_failed += 1
        else:
            self._num_scored += 1
            self._sum += found.score.value
        if self._bar is not None:
            self._bar.set_postfix_str(self.text, refresh=False)
            self._bar.update()

    @property
    def text(self) -> str:
        """The mean score so far, times 100, and the number of failures."""
        mean = f"score {100 * self._sum / self._num_scored:.1f}" if self._num_scored else "score -"
        return mean + (f", {self._num_failed:,} failed" if self._num_failed else "")
