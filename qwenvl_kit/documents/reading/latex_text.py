"""The text of LaTeX as tables have it: fonts taken off, escaped characters plain, formulas kept."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\\(?:[A-Za-z]+\*?|.)|[{}$~]|[^\\{}$~]+", re.DOTALL)

_FONTS = frozenset(
    [
        r"\textbf",
        r"\textit",
        r"\textrm",
        r"\textsf",
        r"\texttt",
        r"\textsc",
        r"\textsl",
        r"\textup",
        r"\textmd",
        r"\textnormal",
        r"\emph",
        r"\underline",
        r"\uline",
        r"\text",
        r"\mbox",
        r"\hbox",
        r"\bf",
        r"\it",
        r"\rm",
        r"\tt",
        r"\sc",
        r"\bfseries",
        r"\itshape",
        r"\ttfamily",
        r"\small",
        r"\footnotesize",
        r"\scriptsize",
        r"\tiny",
        r"\normalsize",
        r"\large",
        r"\Large",
        r"\centering",
        r"\raggedright",
        r"\thead",
        r"\raggedleft",
        r"\makecell",
        r"\shortstack",
        r"\noindent",
        r"\displaystyle",
    ]
)
_ESCAPED = frozenset("%$#_{}& ")
_CHARACTERS = {
    r"\textbackslash": "\\",
    r"\textasciitilde": "~",
    r"\textasciicircum": "^",
    r"\textbar": "|",
    r"\textless": "<",
    r"\textgreater": ">",
    r"\quad": " ",
    r"\qquad": " ",
    r"\,": " ",
    r"\;": " ",
    r"\newline": "\n",
    r"\tabularnewline": "\n",
    "\\\\": "\n",
}


def plain_text(latex: str) -> str:
    """Return LaTeX as text: what stands between dollar signs, and unknown commands, stay LaTeX."""
    out: list[str] = []
    drops: list[bool] = []
    is_math = drops_next = False
    for token in _TOKEN.findall(latex):
        if token == "$":
            is_math = not is_math
        if is_math or token == "$":
            out.append(token)
        elif token == "{":
            is_argument = bool(out) and (_is_command(out[-1]) or out[-1] == "}")
            drops.append(drops_next or not is_argument)
            out += [] if drops[-1] else ["{"]
        elif token == "}":
            is_dropped = drops.pop() if drops else True
            out += [] if is_dropped else ["}"]
        else:
            out.append(_plain(token))
        drops_next = token in _FONTS or (drops_next and token.isspace())
    lines = (" ".join(line.split()) for line in "".join(out).split("\n"))
    return "\n".join(filter(None, lines))


def _is_command(written: str) -> bool:
    return written.startswith("\\") and written[1:].rstrip("*").isalpha()


def _plain(token: str) -> str:
    if token in _FONTS:
        return ""
    if token == "~":
        return " "
    if token in _CHARACTERS:
        return _CHARACTERS[token]
    if token[0] == "\\" and token[1:] in _ESCAPED:
        return token[1:]
    return token


def argument_at(
    text: str, at: int, opening: str = "{", closing: str = "}"
) -> tuple[str, int] | None:
    """Return the argument that begins at a position, and where it ends; None if there is none.

    White space before it is passed over.
    """
    while at < len(text) and text[at].isspace():
        at += 1
    if not text.startswith(opening, at):
        return None
    depth = 0
    for found in re.compile(r"\\.|[{}\[\]]", re.DOTALL).finditer(text, at):
        if found[0] == opening:
            depth += 1
        elif found[0] == closing:
            depth -= 1
            if not depth:
                return text[at + 1 : found.start()], found.end()
    return None
