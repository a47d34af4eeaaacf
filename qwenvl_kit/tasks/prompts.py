"""The prompt of a task: a built-in one in the language asked for, or the caller's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from qwenvl_kit.errors import MessageError

Language: TypeAlias = Literal["en", "zh"]
"""The language of a task's prompt, and so of its answer: English or Chinese."""


def chosen_prompt(
    prompts: Mapping[str, str],
    language: str,
    own: str | None = None,
    where: str = "prompt",
    **names: str,
) -> str:
    """The prompt to send, with its placeholders filled.

    Args:
        prompts: a built-in prompt for each language.
        language: the language to choose.
        own: the caller's own prompt, if any.
        where: the argument that holds it, for errors.
        names: the values of placeholders such as `{name}`; other braces are left unchanged.

    Raises:
        MessageError: there is no prompt in that language, or the prompt or a value is no text.
    """
    check_choice(language, prompts, "language", hint="prompt=... in the language that you want")
    text = prompts[language] if own is None else own
    for name, value in {where: text, **names}.items():
        if not isinstance(value, str):
            raise MessageError(f"{name}={value!r} was given", expected="a text")
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def check_choice(value: object, choices: Iterable[str], where: str, *, hint: str = "") -> None:
    """Raise an error if an argument is none of several words.

    Raises:
        MessageError: it is none of them.
    """
    words = tuple(choices)
    if value not in words:
        expected = f"one of {', '.join(map(repr, words))}"
        raise MessageError(f"{where}={value!r} was given", expected=expected, hint=hint)


def checked_words(words: object, expected: str, where: str) -> str:
    """Return the words of a caller without white space around them.

    Raises:
        MessageError: they are no text, or an empty one.
    """
    if not isinstance(words, str) or not words.strip():
        raise MessageError(f"{words!r} was given", expected=expected, where=where)
    return words.strip()
