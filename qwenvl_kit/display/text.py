"""Text that a model or a stranger wrote, as it may stand in a repr or in HTML."""

from __future__ import annotations

from html import escape

from qwenvl_kit.safe_text import escaped, plain

MOST_CHARACTERS = 60
"""The most characters of an answer in a repr."""


def visible(text: str) -> str:
    """Return a text with control and direction characters escaped; its lines and tabs are kept."""
    if text.isascii() and text.isprintable():
        return text
    return "\n".join("\t".join(map(escaped, line.split("\t"))) for line in text.split("\n"))


def html(text: object) -> str:
    """Return a text as HTML that shows it: visible characters, of which none is markup."""
    return escape(visible(str(text)))


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return the beginning of a text in one line, with three dots if it goes on."""
    line = " ".join(text[: 8 * most].split())
    return text if line == text and len(text) <= most else _cut(line, text, most)


def _cut(line: str, text: str, most: int) -> str:
    goes_on = len(line) > most or len(text) > 8 * most
    return f"{line[: most - 3].rstrip()}..." if goes_on else line


def percent(share: float | None) -> str:
    """Return a share of 1 in percent; empty if it is not known."""
    return "" if share is None else f"{share:.0%}"


def seconds(duration: float) -> str:
    """Return a duration in seconds with two or three digits that count."""
    return f"{duration:.2f} s" if duration < 10 else f"{duration:,.1f} s"


def clock(at_seconds: float) -> str:
    """Return a time in a film, such as `1:05.50` or `1:02:03.00`."""
    hundredths = round(at_seconds * 100)
    minutes, rest = divmod(abs(hundredths), 6000)
    sign = "-" if hundredths < 0 else ""
    whole = f"{minutes // 60}:{minutes % 60:02}" if minutes >= 60 else f"{minutes}"
    return f"{sign}{whole}:{rest // 100:02}.{rest % 100:02}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 token` or `2 tokens`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rounded(number: float, digits: int = 1) -> str:
    """Return a number with at most so many digits after the point."""
    text = f"{number:.{digits}f}"
    short = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if short == "-0" else short


def short_repr(name: str, *values: object, **facts: object) -> str:
    """Return a repr in one line: the name of a class, values, and facts that are known.

    Args:
        name: the name of the class.
        values: each a text, of which the beginning is shown, or another value.
        facts: numbers and words by name; None is left out, and a float is rounded.
    """
    shown = [_short_value(value) for value in values]
    shown += [f"{key}={_short_value(fact)}" for key, fact in facts.items() if fact is not None]
    return f"{name}({', '.join(shown)})"


def _short_value(value: object) -> str:
    if type(value) is str:  # a subclass may show itself in its own way
        return repr(shortened(value))
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"
    return shortened(plain(repr(value)), 4 * MOST_CHARACTERS)
