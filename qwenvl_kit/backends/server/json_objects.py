"""JSON objects from a server, which may send any other value in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwenvl_kit.errors import ServerAnswerError

_MOST_CHARACTERS = 300


def as_object(value: object) -> Mapping[str, Any]:
    """Return the value if it is an object; otherwise an empty object."""
    return value if isinstance(value, dict) else {}


def answer_object(answer: object, needed: str) -> Mapping[str, Any]:
    """Check an answer of the API, and return it.

    Args:
        answer: the JSON that was received.
        needed: the key that it must have.

    Raises:
        ServerAnswerError: it is no object, or an error although its status is that of success.
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
        expected=f"an object with {needed!r}, as in OpenAI's API",
        hint="check that base_url leads to the API itself: it often ends in /v1",
    )
