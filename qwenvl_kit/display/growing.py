"""An answer that grows in place in a notebook, by IPython's display handle alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from qwenvl_kit.display.blocks import facts
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count
from qwenvl_kit.display.tokens import Piece, text_block

SECONDS_BETWEEN = 0.1
"""The least time between two updates: each is kept by the notebook and sent to the browser."""

_MOST_CHARACTERS = 20_000
"""The most characters of a growing answer: of a longer one the end is shown."""


class Handle(Protocol):
    """A place in a notebook whose content can be replaced, such as IPython's DisplayHandle."""

    def update(self, obj: Any, **kwargs: Any) -> None:
        """Replace the content."""


class Growing:
    """The form of an answer that is being written.

    Args:
        text: the text so far.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        shown = self._text[-_MOST_CHARACTERS:]
        before = "..." if len(shown) < len(self._text) else ""
        words = count(len(self._text), "character")
        return framed(text_block([Piece(f"{before}{shown}")]), facts(f"{words} so far ..."))


def grow(
    texts: Iterable[str],
    handle: Handle,
    *,
    so_far: str = "",
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Show each text after those before it, in place.

    Args:
        texts: the pieces of the answer, as they come.
        handle: the place in the notebook.
        so_far: the text that was read before.
        now: the clock.
    """
    written, shown_at = so_far, -SECONDS_BETWEEN
    for text in texts:
        written += text
        if text and now() - shown_at >= SECONDS_BETWEEN:
            handle.update(Growing(written))
            shown_at = now()


def new_handle(text: str) -> Handle:
    """Return a place in this notebook, with a text in it.

    Raises:
        ImportError: IPython is not installed.
    """
    from IPython.display import display

    handle: Handle = display(Growing(text), display_id=True)
    return handle
