"""The text of an answer that rules read: without thoughts, marks of layout and wide characters."""

from __future__ import annotations

import re

_CLOSE = "</think>"
_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3}|__|`{1,3})(?=\S)([^\n]{1,400}?)(?<=\S)\1(?![\w*])")
_MARKS = re.compile(
    r"^[ \t]*(?:#{1,6} +|`{3}\w*[ \t]*$)|</?(?:answer|b|strong|em)>|<\|[a-z_]+\|>|\\[()\[\]]",
    re.M | re.I,
)
_LATEX_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\{([^{}]*)\}")
_BOXED = re.compile(r"\\(?:boxed|fbox)\{([^{}]*)\}")
_SPACES = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r" ?\n[ \n]*")
_WIDE: dict[int, int | str] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **{ord(wide): mark for wide, mark in zip("\u3000。、‘’“”「」『』【】", ' .,\'\'""""""()')},
    **dict.fromkeys((0x200B, 0x200E, 0x200F, 0xFEFF), ""),
}
"""Full-width forms of ASCII, and marks of Chinese and Japanese, with those of English. Marks that
nobody sees go."""


def without_thoughts(answer: str) -> str:
    """Return an answer without the thoughts before it; empty if the thoughts have no end.

    Templates of models that always think open the tag in the prompt, so that only its end is in
    the text: all up to the last `</think>` goes, as in Qwen's own evaluation (QwenLM/Qwen3-VL,
    evaluation/VideoMME/run_videomme.py).
    """
    _, mark, after = answer.rpartition(_CLOSE)
    if mark:
        return after.strip()
    return "" if answer.lstrip().startswith("<think>") else answer.strip()


def plain(text: str) -> str:
    """Return a text in ASCII's forms of marks, without layout and repeated white space."""
    text = _LATEX_TEXT.sub(r"\1", text.translate(_WIDE))
    text = _EMPHASIS.sub(r"\2", _MARKS.sub("", text))
    return _BREAKS.sub("\n", _SPACES.sub(" ", text)).strip()


def boxed(text: str) -> list[str]:
    r"""Return the contents of each `\boxed{...}` of a text, as prompts for mathematics ask for."""
    return [content.strip() for content in _BOXED.findall(_LATEX_TEXT.sub(r"\1", text))]


def same_text(first: str, second: str) -> bool:
    """True if two texts differ at most in case, white space, quotes and the mark at the end."""
    return _bare(first) == _bare(second)


def _bare(text: str) -> str:
    text = " ".join(text.casefold().split())
    return text.lstrip(" \"'").rstrip(" .,;:!?\"'") or text
