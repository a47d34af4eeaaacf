"""Which tokens may come next, where an answer is bound to a form. Masks are llguidance's."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import numpy
import torch

from qwenvl_kit.errors import MissingPackageError, SchemaError
from qwenvl_kit.structured_output.constraints import Constraint

_WHITESPACE = r"[ \t\n\r]{0,24}"
"""Between the marks of JSON, where a model may lay it out as it has learnt; not without end."""

_CLOSING = ('"', "}", "]", ",", ":", "0", "n", "f", "[", "{")
"""What brings JSON to its end the fastest, in this order: a string ends before what is around it,
for which its closing marks are text. A number that must go on does so with a zero; where a value
must begin, the shortest does."""

_SPARE_TOKENS = 12
"""Beyond those of the shortest answer: what was begun when closing begins must end, too."""

_MAX_KEPT = 64


class Binder:
    """Binds answers to forms.

    Args:
        tokenizer: the checkpoint's.
        end_ids: the tokens that end an answer.
    """

    def __init__(self, tokenizer: Any, end_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._end_ids = sorted(end_ids)
        self._lock = threading.Lock()
        self._words: Any = None
        self._closing: tuple[int, ...] = ()
        self._begun: dict[Constraint, tuple[Any, int]] = {}

    def bind(self, constraint: Constraint) -> Bound:
        """The form, at the beginning of an answer.

        Raises:
            SchemaError: it cannot be kept.
            MissingPackageError: llguidance is not installed.
        """
        with self._lock:
            if constraint not in self._begun:
                if len(self._begun) >= _MAX_KEPT:
                    self._begun.clear()
                self._begun[constraint] = self._matcher(constraint), self._num_least(constraint)
            matcher, num_least = self._begun[constraint]
            return Bound(matcher.deep_copy(), self._end_ids, self._closing, num_least)

    def _num_least(self, constraint: Constraint) -> int:
        """With how many tokens left an answer is to be brought to its end."""
        if not constraint.least:
            return 0
        encoded = self._tokenizer.backend_tokenizer.encode(constraint.least)
        return len(encoded.ids) * 5 // 4 + _SPARE_TOKENS

    def _spelled(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of each text; one that would end the answer, or forge a mark, is refused."""
        added = self._tokenizer.added_tokens_decoder.items()
        special = {token_id for token_id, token in added if token.special}
        encode = self._tokenizer.backend_tokenizer.encode
        found = [tuple(encode(text, add_special_tokens=False).ids) for text in texts]
        for index, tokens in enumerate(found):
            if special.intersection(tokens):
                raise SchemaError(
                    f"{texts[index]!r} holds a special token",
                    expected="plain text",
                    where=f"choices[{index}]",
                )
        return found

    def _matcher(self, constraint: Constraint) -> Any:
        if constraint.kind == "choice":
            return _Choices(self._spelled(json.loads(constraint.text)), self._end_ids[0])
        try:
            from llguidance import LLMatcher
            from llguidance.hf import from_tokenizer
        except ImportError as error:
            raise MissingPackageError(
                "llguidance, which binds answers to a form, is not installed",
                hint="pip install --upgrade qwenvl-kit",
            ) from error
        if self._words is None:
            self._words = from_tokenizer(self._tokenizer, eos_token=self._end_ids[0])
            encode = self._tokenizer.backend_tokenizer.token_to_id
            self._closing = tuple(
                token_id for mark in _CLOSING if (token_id := encode(mark)) is not None
            )
        matcher = LLMatcher(self._words, _grammar(constraint), log_level=0)
        if matcher.is_error():
            reason = " ".join(matcher.get_error().split())[:300]
            raise SchemaError(
                f"no answer can be bound to this {constraint.kind} ({reason})",
                expected="one without what is named",
            )
        return matcher


class _Choices:
    """One of several texts, each as the tokenizer spells it and in no other way.

    What a text's probability is depends on how it is spelled; a model has learnt it in this way.

    Args:
        spelled: the tokens of each.
        end_id: the token that ends an answer.
        at: how many tokens have come.
    """

    def __init__(self, spelled: Sequence[tuple[int, ...]], end_id: int, at: int = 0) -> None:
        self._left = list(spelled)
        self._end_id = end_id
        self._at = at

    def deep_copy(self) -> _Choices:
        """The same, to go on apart."""
        return _Choices(self._left, self._end_id, self._at)

    def compute_bitmask(self) -> bytes:
        """A bit for each token: whether it may come."""
        at = self._at
        ids = [tokens[at] if at < len(tokens) else self._end_id for tokens in self._left]
        mask = numpy.zeros(max(ids, default=0) + 1, bool)
        mask[ids] = True
        return numpy.packbits(mask, bitorder="little").tobytes()

    def compute_ff_tokens(self) -> list[int]:
        """None are given: there is nothing that could grow too long."""
        return []

    def consume_token(self, token_id: int) -> None:
        """Go on by a token."""
        self._left = [
            tokens for tokens in self._left if tokens[self._at : self._at + 1] == (token_id,)
        ]
        self._at += 1


class Bound:
    """How far one answer has come in its form.

    Args:
        matcher: llguidance's.
        end_ids: the tokens that end an answer.
        closing_ids: those that bring it to its end.
        closing_tokens: with so few tokens left it is brought there.
    """

    def __init__(
        self,
        matcher: Any,
        end_ids: Sequence[int],
        closing_ids: Sequence[int],
        closing_tokens: int,
    ) -> None:
        self._matcher = matcher
        self._end_ids = end_ids
        self._closing_ids = closing_ids
        self._closing_tokens = closing_tokens

    def masked(self, logits: torch.Tensor, num_left: int) -> torch.Tensor:
        """The logits with all but the tokens that may come at minus infinity.

        Args:
            logits: (vocabulary,), fp32.
            num_left: how many tokens the answer may still have, this one included.
        """
        allowed = self._allowed(logits.shape[-1])
        if num_left <= self._closing_tokens:
            allowed = self._closing(allowed)
        if logits.device.type == "cpu":  # to wake torch's threads would take longer than the work
            left = numpy.where(allowed, logits.numpy(), numpy.float32(-numpy.inf))
            return torch.from_numpy(left)
        return logits.masked_fill(~torch.from_numpy(allowed).to(logits.device), -torch.inf)

    def accept(self, token_id: int) -> None:
        """Go on by a token."""
        self._matcher.consume_token(token_id)

    def _closing(self, allowed: Any) -> Any:
        """Of the tokens that may come, the one that brings the answer to its end."""
        forced = self._matcher.compute_ff_tokens()[:1]
        for token_id in (*forced, *self._end_ids, *self._closing_ids):
            if token_id < len(allowed) and allowed[token_id]:
                alone = numpy.zeros_like(allowed)
                alone[token_id] = True
                return alone
        return allowed

    def _allowed(self, num_ids: int) -> Any:
        bits = numpy.frombuffer(self._matcher.compute_bitmask(), numpy.uint8)
        found = numpy.unpackbits(bits, bitorder="little")[:num_ids].astype(bool)
        allowed = numpy.zeros(num_ids, bool)
        allowed[: len(found)] = found
        if allowed[self._end_ids[0]] or not allowed.any():
            allowed[list(self._end_ids)] = True
        return allowed


def _grammar(constraint: Constraint) -> str:
    """The form for llguidance, which is to leave it to the model how text is cut into tokens.

    Where only one text can come, it would otherwise demand the tokens that it makes of it itself.
    Those are not the model's own where its tokenizer joins a word to what stands before it.
    """
    from llguidance import LLMatcher

    if constraint.kind == "json schema":
        schema = json.loads(constraint.text)
        schema["x-guidance"] = {"whitespace_pattern": _WHITESPACE}
        lark = f"start: %json {json.dumps(schema)}"
    else:
        written = json.loads(LLMatcher.grammar_from_regex(constraint.text))
        lark = written["grammars"][0]["lark_grammar"]
    return str(LLMatcher.grammar_from_lark(f'%llguidance {{"no_forcing": true}}\n{lark}'))
