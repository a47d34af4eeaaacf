"""The part of an answer that is explained: all of it, a token, a word, a span or a field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from qwenvl_kit.errors import InputError, UnsupportedFeatureError
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.partial_json import PartialJson


class ExplainedPart(NamedTuple):
    """A part of an answer.

    Attributes:
        text: its text.
        indices: the indices of its tokens in `reply.tokens`.
    """

    text: str
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Choice:
    """The choice of a part; at most one is given, and without any it is the whole answer.

    Attributes:
        token: the index of a token in `reply.tokens`; negative ones count from the end.
        word: a word of the answer; the first place where it stands is taken.
        span: the indices in `reply.text` of the first character and of the one after the last.
        field: the name of a field of an answer in JSON, such as "items[0].price".
    """

    token: int | None = None
    word: str | None = None
    span: tuple[int, int] | None = None
    field: str | None = None

    def of(self, reply: Reply) -> ExplainedPart:
        """The part of an answer.

        Raises:
            InputError: several choices were made, or the answer has no such part.
            UnsupportedFeatureError: the reply has no tokens.
        """
        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} were given", expected="one of them, or none")
        if not reply.tokens:
            raise UnsupportedFeatureError(
                "the reply has no tokens, of which an explanation is made",
                expected="an answer of at least one token, with its scores",
                hint="a local model, or a server that gives logprobs",
            )
        if self.token is not None:
            return _token(reply, self.token)
        return _between(reply, *self._bounds(reply.text))

    def _bounds(self, text: str) -> tuple[int, int]:
        if self.word is not None:
            return _word(text, self.word)
        if self.field is not None:
            return _field(text, self.field)
        return _checked(text, (0, len(text)) if self.span is None else self.span)


def _token(reply: Reply, token: int) -> ExplainedPart:
    tokens = reply.tokens or ()
    if type(token) is not int or not -len(tokens) <= token < len(tokens):
        raise InputError(
            f"token={token!r} was given",
            expected=f"the index of one of the {len(tokens)} tokens of the reply",
            hint="word=... for a word of the answer",
        )
    return ExplainedPart(tokens[token].text, (token % len(tokens),))


def _between(reply: Reply, start: int, stop: int) -> ExplainedPart:
    shift = 0 if (reply.raw_text or reply.text).endswith(reply.text) else reply.text_offset
    indices = reply.token_indices_between(start + shift, stop + shift)
    if not indices:
        raise InputError(
            f"no token of the answer stands between {start} and {stop}",
            expected="a part of the answer's text",
        )
    return ExplainedPart(reply.text[start:stop], tuple(indices))


def _word(text: str, word: object) -> tuple[int, int]:
    if not isinstance(word, str) or not word:
        raise InputError(f"word={word!r} was given", expected="a word of the answer")
    edges = (r"\b" if word[0].isalnum() else "", r"\b" if word[-1].isalnum() else "")
    for pattern in (f"{edges[0]}{re.escape(word)}{edges[1]}", re.escape(word)):
        found = re.search(pattern, text) or re.search(pattern, text, re.IGNORECASE)
        if found is not None:
            return found.span()
    raise InputError(
        f"word={word!r} was given, and it does not stand in the answer",
        expected=f"a word of {text[:80]!r}",
    )


def _field(text: str, field: str) -> tuple[int, int]:
    known = dict(_fields(text, PartialJson(text)))
    if field in known:
        return known[field]
    raise InputError(
        f"field={field!r} was given, and the answer has no such value",
        expected=f"one of {', '.join(known)}" if known else "an answer in JSON",
    )


def _fields(text: str, written: PartialJson) -> Iterator[tuple[str, tuple[int, int]]]:
    for leaf in written.leaves:
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in leaf.path)
        value = text[leaf.start : leaf.stop].rstrip(",]} \t\r\n")  # what ended it
        yield "".join(steps).removeprefix("."), (leaf.start, leaf.start + len(value))


def _checked(text: str, span: tuple[int, int]) -> tuple[int, int]:
    is_pair = isinstance(span, (tuple, list)) and len(span) == 2
    if not is_pair or not all(type(at) is int for at in span) or not 0 <= span[0] < span[1]:
        raise InputError(
            f"span={span!r} was given",
            expected="the indices of a first character and of the one after the last",
        )
    if span[1] > len(text):
        raise InputError(f"span={span!r} was given, and the answer has {len(text)} characters")
    return span[0], span[1]
