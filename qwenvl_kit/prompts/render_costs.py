"""The costs of Jinja's filters and of methods of texts, beyond the size of their arguments.

Each cost is a number of characters, and is known before the filter runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2.exceptions import SecurityError

from qwenvl_kit.prompts.render_meter import ITEM_CHARACTERS, weight

MAX_INDENT = 100
"""The largest indent of JSON, and the limit of other sizes that a template needs small."""

_WIDE_BY_PERCENT = re.compile(r"%(\([^)]*\))?[-#0 +_^E]*(\d{4}|\*|\d*\.(\d{4}|\*))")
_WIDE_BY_BRACES = re.compile(r"\{[^{}]*:[^{}]*(\d{4}|\{)")
"""Widths of four digits, and widths that are known only when the format runs."""

_MAX_DIGITS = 4_000
"""Most digits of a text that is converted to a number."""


def cost_of_pattern(pattern: Any, *args: Any, **kwargs: Any) -> int:
    """The cost of `%`: a short pattern, also one of `strftime`, can ask for very many blanks."""
    return _cost_of_fields(str(pattern), _WIDE_BY_PERCENT, "%", [*args, kwargs])


def _cost_of_braces(pattern: Any, *args: Any, **kwargs: Any) -> int:
    """The cost of the method `format` of a text, likewise."""
    fields = str(pattern).replace("{{", "").replace("}}", "")
    return _cost_of_fields(fields, _WIDE_BY_BRACES, "{", [*args, kwargs])


def _cost_of_fields(fields: str, too_wide: re.Pattern[str], sign: str, values: Any) -> int:
    if too_wide.search(fields):
        raise SecurityError("a format with a width that is long or not known")
    return fields.count(sign) * (1000 + weight(values))


def _cost_of_replace(text: Any, old: Any, new: Any, *_: Any) -> int:
    return str(text).count(str(old)) * len(str(new))


def _cost_of_join(items: Any, between: Any = "", *_: Any, **__: Any) -> int:
    return len(items) * len(str(between)) if hasattr(items, "__len__") else 0


def _cost_of_list(items: Any, *_: Any, **__: Any) -> int:
    return ITEM_CHARACTERS * (len(items) if hasattr(items, "__len__") else 0)


def _cost_of_split(text: str, between: str | None = None, *_: Any, **__: Any) -> int:
    return ITEM_CHARACTERS * (text.count(between) if between else len(text) // 2)


def _cost_of_width(_: Any, width: int = 80, *__: Any, **___: Any) -> int:
    return abs(int(width))


def _cost_of_parts(items: Any, parts: int, *_: Any, **__: Any) -> int:
    return _cost_of_list(items) + ITEM_CHARACTERS * abs(int(parts))


def _cost_of_indent(text: Any, width: Any = 4, *_: Any, **__: Any) -> int:
    length = len(width) if isinstance(width, str) else abs(int(width))
    return length * (1 + len(str(text).splitlines()))


def _cost_of_wordwrap(text: Any, *args: Any, wrapstring: Any = None, **_: Any) -> int:
    between = args[2] if len(args) > 2 else wrapstring
    return len(str(text)) * (1 + len(str(between)))


def _cost_of_number(value: Any, *_: Any, **__: Any) -> int:
    if isinstance(value, str) and len(value) > _MAX_DIGITS:
        raise SecurityError(f"a number of {len(value)} digits")
    return 0


def _cost_of_round(_: Any, precision: int = 0, *__: Any, **___: Any) -> int:
    if abs(int(precision)) > MAX_INDENT:
        raise SecurityError(f"rounding to {precision} places")
    return 0


FILTER_COSTS: Mapping[str, Callable[..., int]] = {
    **dict.fromkeys(("batch", "slice"), _cost_of_parts),
    **dict.fromkeys(("dictsort", "groupby", "list", "sort"), _cost_of_list),
    **dict.fromkeys(("map", "reject", "rejectattr", "select", "selectattr"), _cost_of_list),
    **dict.fromkeys(("int", "float"), _cost_of_number),
    "center": _cost_of_width,
    "format": cost_of_pattern,
    "indent": _cost_of_indent,
    "join": _cost_of_join,
    "replace": _cost_of_replace,
    "round": _cost_of_round,
    "wordwrap": _cost_of_wordwrap,
}
"""The costs of filters beyond the size of their arguments, in characters."""

METHOD_COSTS: Mapping[str, Callable[..., int]] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill"), _cost_of_width),
    **dict.fromkeys(("format", "format_map"), _cost_of_braces),
    **dict.fromkeys(("split", "rsplit"), _cost_of_split),
    "expandtabs": lambda text, size=8: text.count("\t") * abs(size),
    "join": lambda between, items: _cost_of_join(items, between),
    "replace": _cost_of_replace,
    "splitlines": lambda text, _=False: ITEM_CHARACTERS * (len(text) // 2),
}
"""The costs of methods beyond the size of their arguments, in characters."""
