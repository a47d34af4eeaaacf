"""Prompts of benchmarks: named, chosen, or of one's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, TypeAlias, Union

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.items import EvaluationItem

Prompt: TypeAlias = Union[str, Callable[[EvaluationItem], str]]
"""A text with fields in braces, or a function of the item."""

_FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")


def lettered(item: EvaluationItem, form: str = "{letter}. {choice}") -> str:
    """Return the options of an item, a line each, with their letters.

    Args:
        item: the item.
        form: the form of a line.
    """
    return "\n".join(
        form.format(letter=letter, choice=choice)
        for letter, choice in zip(ascii_uppercase, item.choices)
    )


def chosen_prompt(
    prompts: Mapping[str, Prompt], given: Any
) -> tuple[str, Callable[[EvaluationItem], str]]:
    """Return a prompt with its name.

    Args:
        prompts: the prompts of a benchmark, by their names.
        given: a name, a text with `{question}` in it, a function, or None for the first prompt.

    Raises:
        EvaluationError: it is none of these.
    """
    if given is None:
        given = next(iter(prompts))
    if callable(given):
        return "own", given
    if isinstance(given, str) and given in prompts:
        named = prompts[given]
        return given, named if callable(named) else Template(named)
    if isinstance(given, str) and "{question}" in given:
        return "own", Template(given)
    raise EvaluationError(
        f"prompt={given!r} was given",
        expected=f"one of {', '.join(map(repr, prompts))}, a text with {{question}} in it, or a "
        "function of the item",
    )


@dataclass(frozen=True)
class Template:
    """A prompt from a text with fields in braces; it can be pickled.

    Attributes:
        text: the text.
    """

    text: str

    def __call__(self, item: EvaluationItem) -> str:
        """Return the text that asks an item."""
        options = lettered(item)
        fields: dict[str, Any] = {
            **item.facts,
            **item.groups,
            "question": item.question,
            "choices": f"\n{options}" if options else "",
        }
        return fill(self.text, fields)


def fill(template: str, fields: Mapping[str, Any]) -> str:
    """Return a template with its fields; braces that name no field stay, also those of values.

    Args:
        template: a text with fields such as `{question}`.
        fields: the values by the names of the fields.
    """
    return _FIELD.sub(lambda found: str(fields.get(found[1], found[0])), template)
