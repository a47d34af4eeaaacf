"""Transformers where Python has dropped all docstrings (`python -OO`)."""

from __future__ import annotations

import sys
from typing import Any


def spare_docstrings() -> None:
    """Let transformers define its models under `python -OO`, before their modules are imported.

    Its decorator `auto_docstring` composes a docstring of others and raises ValueError where there
    are none (huggingface/transformers#40659, seen in 5.24). Nobody can read what it composes then,
    so here it leaves what it is given as it is. Without `-OO` nothing is changed.
    """
    if sys.flags.optimize < 2:
        return
    import transformers.utils

    utils: Any = transformers.utils
    utils.auto_docstring = _as_it_is


def _as_it_is(documented: Any = None, **_: Any) -> Any:
    """The decorator, with arguments of its own or without."""
    return _same if documented is None else documented


def _same(documented: Any) -> Any:
    return documented
