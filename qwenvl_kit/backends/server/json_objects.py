"""Objects of JSON that a server sends, where anything may stand in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwenvl_kit.errors import ServerAnswerError

_MOST_CHARACTERS = 300


def as_object(value: object) -> Mapping[str, Any]:
    """An object; an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def answer_object(answer: object, needed: str) -> Mapping[str, Any]:
    """An answer of the API.

    Args:
        answer: what came.
        needed: what it is asked for.

    Raises:
        ServerAnswerError: it is no object, or an error in spite of its status.
    """
    if isinstance(answer, dict) and (needed in answer or not answer.get("error")):
        return answer
    problem = f"the server's answer is JSON of the kind {type(answer).__name__}"
    if isinstance(answer, dict):
        error = answer["error"]
        said = as_object(error).get("message", error)
        problem = f"the server's answer is an error ({str(said)[:_MOST_CHARACTERS]})"
    raise ServerAnswerError(
        problem,
        expected=f"an object with {needed!r}, as OpenAI's API has it",
        hint="check that base_url leads to the API itself: it often ends in /v1",
    )
