"""Documents as parts of a message: a PDF or a TIFF; the model sees its pages as pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field, fields
from itertools import islice
from typing import TypeAlias, Union

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import InputError, MediaSizeError, MessageError, located
from qwenvl_kit.messages.video_timing import is_count
from qwenvl_kit.options import BudgetChoice, as_budget
from qwenvl_kit.safe_text import shown_source

DocumentSource: TypeAlias = Union[str, "os.PathLike[str]", bytes]
"""A path, `file://`, http(s) or data URL, or bytes."""

_MAX_PAGES = 10_000
"""The most page numbers that are read: an iterable may have no end."""


@explains_wrong_arguments
@dataclass(frozen=True, repr=False)
class DocumentPart:
    """A document, shown to the model as one picture per page.

    If there are several pages, a line such as "Page 3:" stands before each of them.

    Attributes:
        source: a path, URL or bytes of a PDF or TIFF; see `DocumentSource`.
        pages: numbers of the pages to show, from 1, in the order to show them; None for all.
        password: the password of a locked PDF; None if it has none.
        dpi: resolution at which a PDF is drawn, in pixels per inch, from 1 to 1200. None means
            144, at which 8-point print is 16 pixels high. The budget may reduce the picture
            further. A TIFF has its own pixels and ignores this.
        page_name: text before each page; `{}` is replaced by the page number.
        budget: visual tokens that each page may cost, a `PixelBudget` or the name of a preset;
            None takes the budget of the request.

    Raises:
        MediaSizeError: a page number is no whole number above 0, is given twice, or there are
            none or more than 10,000 of them.
        MessageError: `page_name` has no `{}`, the password is no string, or `pages` is no
            sequence.
        InputError: `dpi` is not between 1 and 1200.
        BudgetError: the budget is unknown.
    """

    source: DocumentSource
    _: KW_ONLY
    pages: tuple[int, ...] | None = None
    password: str | None = field(default=None, repr=False)
    dpi: float | None = None
    page_name: str = "Page {}:"
    budget: BudgetChoice | None = None

    def __post_init__(self) -> None:
        if self.pages is not None:
            object.__setattr__(self, "pages", _as_numbers(self.pages))
        if self.password is not None and not isinstance(self.password, str):
            raise MessageError("a password that is not a string was given", expected="a string")
        if not isinstance(self.page_name, str) or "{}" not in self.page_name:
            raise MessageError(f"page_name={self.page_name!r} was given", expected="'Page {}:'")
        if self.dpi is not None:
            check_dpi(self.dpi)
        if self.budget is not None:
            with located("budget"):
                object.__setattr__(self, "budget", as_budget(self.budget))

    def __repr__(self) -> str:
        shown = [
            f"{item.name}={shown_source(getattr(self, item.name))}"
            for item in fields(self)
            if item.repr and getattr(self, item.name) not in (None, item.default)
        ]
        return f"DocumentPart({', '.join(shown)})"


def check_dpi(dpi: object) -> None:
    """Raise an error if a resolution, in pixels per inch, is not a number from 1 to 1200.

    Raises:
        InputError: it is something else.
    """
    is_number = isinstance(dpi, (int, float)) and not isinstance(dpi, bool)
    if not is_number or not 1 <= dpi <= 1200:  # type: ignore[operator]
        raise InputError(f"dpi={dpi!r} was given", expected="from 1 to 1200")


def _as_numbers(pages: Iterable[int]) -> tuple[int, ...]:
    if not isinstance(pages, Iterable) or isinstance(pages, (str, bytes)):
        raise MessageError(f"pages={pages!r} were given", expected="numbers, such as [1, 3]")
    numbers: dict[int, None] = {}
    for number in islice(pages, _MAX_PAGES + 1):
        if not is_count(number):
            raise _no_page(number, "was asked for", "a number from 1 on")
        if number in numbers:
            raise _no_page(number, "was asked for twice", "each page once")
        numbers[int(number)] = None
    if not 0 < len(numbers) <= _MAX_PAGES:
        count = "no" if not numbers else f"more than {_MAX_PAGES}"
        raise MediaSizeError(f"{count} pages were asked for", expected=f"1 to {_MAX_PAGES} pages")
    return tuple(numbers)


def _no_page(number: object, problem: str, expected: str) -> MediaSizeError:
    return MediaSizeError(f"page {number!r} {problem}", expected=expected, where="pages")
