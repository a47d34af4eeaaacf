"""Which wording a task sends: that of a language, or the caller's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from qwenvl_kit.errors import MessageError

Language: TypeAlias = Literal["en", "zh"]
"""In which language a task asks, and its answer is to be expected: English or Chinese."""


def chosen_prompt(
    prompts: Mapping[str, str], language: str, own: str | None = None, **names: str
) -> str:
    """The text that is sent.

    Args:
        prompts: a wording for each language.
        language: which.
        own: the caller's wording, instead.
        names: what stands for `{name}` in it; other braces are left alone.

    Raises:
        MessageError: there is no wording in that language.
    """
    if language not in prompts:
        raise MessageError(
            f"language={language!r} was given",
            expected=f"one of {', '.join(map(repr, prompts))}",
            hint="prompt=... in the language that you want",
        )
    text = prompts[language] if own is None else own
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def checked_words(words: object, expected: str, where: str) -> str:
    """What a caller said in words, without white space around it.

    Raises:
        MessageError: it is no text, or there is nothing in it.
    """
    if not isinstance(words, str) or not words.strip():
        raise MessageError(f"{words!r} was given", expected=expected, where=where)
    return words.strip()
