r"""Marks that begin a block in Markdown, line by line.

The writer of Markdown puts a backslash before a text that would begin another block, and the reader
takes it off.
"""

from __future__ import annotations

import re

HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([^`\n]*)$")
BULLETS = "-*+\u2022\u25cf\u25aa\u00b7"
LIST_ITEM = re.compile(
    rf"([ \t]*)([{re.escape(BULLETS)}]|\d{{1,9}}[.)\u3001]|\(\d{{1,3}}\)|[a-z]\))[ \t]+(?=\S)"
)
RULE = re.compile(r" {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
IMAGE = re.compile(r"!\[([^\[\]]{0,2000})\]\(([^()\n]{0,2000})\)[ \t]*$")
FORMULA = re.compile(
    r" {0,3}(\$\$|\\\[|\\begin\{(?:equation|align|gather|multline|eqnarray|displaymath)\*?\})"
)
HTML = re.compile(
    r" {0,3}<(table|div|p|h[1-6]|img|ul|ol|figure|pre|center|section|header|footer)\b", re.I
)
CAPTION = re.compile(r"[ \t]*\\caption\*?\{(.*)\}[ \t]*$")
TABLE_NOISE = re.compile(
    r"[ \t]*(?:\\(?:begin|end)\{(?:table|figure|center|threeparttable)\*?\}(?:\[[^\[\]]{0,9}\])?"
    r"|\\centering|\\(?:small|footnotesize|scriptsize|label\{[^{}]{0,99}\}))[ \t]*$"
)
QUOTE = re.compile(r"^ {0,3}>[ \t]?")
_MARKS = frozenset("#>+|~`<$=_!\\" + BULLETS)
_NUMBER = re.compile(r"([ \t]*(?:\d{1,9}|\(\d{1,3}|[a-z]))(\\*)[.)\u3001]")
COMMENT = re.compile(r"(?<!\\)<!--")
_COMMENT = re.compile(r"\\*<!--")
_ESCAPED_COMMENT = re.compile(r"\\(\\*<!--)")


def begins_block(line: str) -> bool:
    """True if a line begins another block than the paragraph before it."""
    return any(
        mark.match(line)
        for mark in (HEADING, FENCE, FORMULA, HTML, IMAGE, RULE, TABLE_NOISE, CAPTION)
    ) or line.lstrip().startswith("\\begin{tabular")


def unescaped(line: str) -> str:
    """Return a line of text without the backslash that keeps it from beginning a block."""
    at = len(line) - len(line.lstrip(" \t"))
    number = _NUMBER.match(line)
    if number is not None and number[2]:
        line = line[: number.end(1)] + line[number.end(1) + 1 :]
    elif line[at : at + 1] == "\\" and line[at + 1 : at + 2] in _MARKS:
        line = line[:at] + line[at + 1 :]
    return _ESCAPED_COMMENT.sub(r"\1", line)


def escaped(line: str) -> str:
    """Return a line of text that begins no block, with a backslash if it would."""
    line = _COMMENT.sub(r"\\\g<0>", line)
    at = len(line) - len(line.lstrip(" \t"))
    number = _NUMBER.match(line)
    if number is not None and (number[2] or LIST_ITEM.match(line)):
        return f"{line[: number.end(1)]}\\{line[number.end(1) :]}"
    return f"{line[:at]}\\{line[at:]}" if line[at : at + 1] in _MARKS else line
