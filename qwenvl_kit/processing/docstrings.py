"""A repair for transformers under `python -OO`, by which Python drops all docstrings."""

from __future__ import annotations

import sys
from typing import Any


def spare_docstrings() -> None:
    """Let transformers define its models under `python -OO`, before their modules are imported.

    Its decorator `auto_docstring` builds a docstring from others and raises ValueError if there
    are none (huggingface/transformers#40659, seen in 5.24). Nobody could read such a docstring, so
    the decorator is replaced by one that does nothing. Without `-OO` nothing is changed.
    """
    if sys.flags.optimize < 2:
        return
    import transformers.utils

    utils: Any = transformers.utils
    utils.auto_docstring = _as_it_is


def _as_it_is(documented: Any = None, **_: Any) -> Any:
    """Return the decorated object unchanged; the decorator is used with and without arguments."""
    return _same if documented is None else documented


def _same(documented: Any) -> Any:
    return documented
