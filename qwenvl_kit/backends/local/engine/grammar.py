"""Grammars: the tokens that may come next in an answer that follows a constraint.

A constraint (JSON schema, regular expression, choices) is compiled once into a `Grammar`; each
answer then has a `GrammarState` of its own. Masks of tokens are those of llguidance.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from qwenvl_kit.errors import MissingPackageError, SchemaError
from qwenvl_kit.structured_output.constraints import Constraint

_WHITESPACE = r"[ \t\n\r]{0,24}"
"""Whitespace between the marks of JSON, as a model has learnt to lay it out; it is bounded."""

_CLOSING = ('"', "}", "]", ",", ":", "0", "n", "f", "[", "{")
"""The marks that end JSON the fastest, in this order: a string ends before the object around it,
because the closing marks of the object are text within the string. A number that must go on does
so with a zero; where a value must begin, the shortest one does."""

_SPARE_TOKENS = 12
"""Tokens beyond those of the shortest answer: a value that has begun must end, too."""

_MAX_KEPT = 64


@dataclass(frozen=True)
class Grammar:
    """A constraint that is compiled for one tokenizer.

    Attributes:
        matcher: the matcher of llguidance, or of choices, at the beginning of an answer.
        end_ids: the tokens that end an answer.
        closing_ids: the tokens that bring an answer to its end, the best first.
        closing_tokens: an answer with this many tokens left, or fewer, is brought to its end.
    """

    matcher: Any
    end_ids: Sequence[int]
    closing_ids: Sequence[int]
    closing_tokens: int

    def start(self) -> GrammarState:
        """The state of a new answer."""
        return GrammarState(self)


class GrammarCompiler:
    """Compiles constraints for one tokenizer, and keeps the compiled grammars.

    Args:
        tokenizer: the checkpoint's tokenizer.
        end_ids: the tokens that end an answer.
    """

    def __init__(self, tokenizer: Any, end_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._end_ids = sorted(end_ids)
        self._lock = threading.Lock()
        self._words: Any = None
        self._closing_ids: tuple[int, ...] = ()
        self._kept: dict[Constraint, Grammar] = {}

    def compile(self, constraint: Constraint) -> Grammar:
        """Compile a constraint; one that was compiled before is not compiled again.

        Raises:
            SchemaError: no answer can follow it.
            MissingPackageError: llguidance is not installed.
        """
        with self._lock:
            if constraint not in self._kept:
                if len(self._kept) >= _MAX_KEPT:
                    self._kept.clear()
                matcher = self._matcher(constraint)
                closing_tokens = self._num_closing(constraint)
                self._kept[constraint] = Grammar(
                    matcher, self._end_ids, self._closing_ids, closing_tokens
                )
            return self._kept[constraint]

    def _num_closing(self, constraint: Constraint) -> int:
        """The number of tokens that bringing an answer to its end may take."""
        if not constraint.least:
            return 0
        encoded = self._tokenizer.backend_tokenizer.encode(constraint.least)
        return len(encoded.ids) * 5 // 4 + _SPARE_TOKENS

    def spelled(
        self, texts: Sequence[str], name: str, *, marks: Sequence[str] = ()
    ) -> list[tuple[int, ...]]:
        """The tokens of each of some texts that may be answers.

        Args:
            texts: the texts.
            name: the name of the argument that holds them, for messages.
            marks: special tokens that may be in them.

        Raises:
            SchemaError: one holds another special token, which could end the answer or forge a
                mark.
        """
        added = self._tokenizer.added_tokens_decoder.items()
        special = {i for i, token in added if token.special and token.content not in marks}
        encode = self._tokenizer.backend_tokenizer.encode
        found = [tuple(encode(text, add_special_tokens=False).ids) for text in texts]
        for index, tokens in enumerate(found):
            if special.intersection(tokens):
                raise SchemaError(
                    f"{texts[index]!r} holds a special token",
                    expected="plain text",
                    where=f"{name}[{index}]",
                )
        return found

    def _matcher(self, constraint: Constraint) -> Any:
        if constraint.kind == "choice":
            return _ChoiceMatcher(
                self.spelled(json.loads(constraint.text), "choices"), self._end_ids[0]
            )
        try:
            from llguidance import LLMatcher
            from llguidance.hf import from_tokenizer
        except ImportError as error:
            raise MissingPackageError(
                "llguidance, which constrains answers to a form, is not installed",
                hint="pip install --upgrade qwenvl-kit",
            ) from error
        if self._words is None:
            self._words = from_tokenizer(self._tokenizer, eos_token=self._end_ids[0])
            encode = self._tokenizer.backend_tokenizer.token_to_id
            self._closing_ids = tuple(
                token_id for mark in _CLOSING if (token_id := encode(mark)) is not None
            )
        matcher = LLMatcher(self._words, _lark_grammar(constraint), log_level=0)
        if matcher.is_error():
            reason = " ".join(matcher.get_error().split())[:300]
            raise SchemaError(
                f"no answer can be constrained to this {constraint.kind} ({reason})",
                expected=f"a {constraint.kind} without the part that is named",
            )
        return matcher


class _ChoiceMatcher:
    """A matcher for one of several texts, each in the tokens that the tokenizer gives it.

    Other tokens could spell the same text, but a model has learnt this spelling, and the
    probability of a text depends on it. The methods are those of llguidance's matcher.

    Args:
        spelled: the tokens of each text.
        end_id: the token that ends an answer.
        at: the number of tokens that the answer has.
    """

    def __init__(self, spelled: Sequence[tuple[int, ...]], end_id: int, at: int = 0) -> None:
        self._left = list(spelled)
        self._end_id = end_id
        self._at = at

    def deep_copy(self) -> _ChoiceMatcher:
        """A copy that goes on independently."""
        return _ChoiceMatcher(self._left, self._end_id, self._at)

    def compute_bitmask(self) -> bytes:
        """One bit for each token: 1 if it may come next."""
        at = self._at
        ids = [tokens[at] if at < len(tokens) else self._end_id for tokens in self._left]
        mask = numpy.zeros(max(ids, default=0) + 1, bool)
        mask[ids] = True
        return numpy.packbits(mask, bitorder="little").tobytes()

    def compute_ff_tokens(self) -> list[int]:
        """No forced tokens: a choice cannot grow too long."""
        return []

    def consume_token(self, token_id: int) -> None:
        """Advance by a token."""
        self._left = [
            tokens for tokens in self._left if tokens[self._at : self._at + 1] == (token_id,)
        ]
        self._at += 1


class GrammarState:
    """The state of one answer within its grammar.

    Args:
        grammar: the compiled constraint.
    """

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._matcher = grammar.matcher.deep_copy()

    def allowed(self, num_ids: int, num_left: int) -> Any:
        """The tokens that may come next, as an array, bool (vocabulary,).

        Args:
            num_ids: the size of the vocabulary.
            num_left: the most tokens that the answer may still have, this one included.
        """
        allowed = self._allowed(num_ids)
        return self._closing(allowed) if num_left <= self._grammar.closing_tokens else allowed

    def accept(self, token_id: int) -> None:
        """Advance by a token."""
        self._matcher.consume_token(token_id)

    def _closing(self, allowed: Any) -> Any:
        """The one allowed token that brings the answer to its end; all of them if none does."""
        forced = self._matcher.compute_ff_tokens()[:1]
        for token_id in (*forced, *self._grammar.end_ids, *self._grammar.closing_ids):
            if token_id < len(allowed) and allowed[token_id]:
                alone = numpy.zeros_like(allowed)
                alone[token_id] = True
                return alone
        return allowed

    def _allowed(self, num_ids: int) -> Any:
        """The tokens that may come next, bool (vocabulary,); the end if no other may."""
        bits = numpy.frombuffer(self._matcher.compute_bitmask(), numpy.uint8)
        found = numpy.unpackbits(bits, bitorder="little")[:num_ids].astype(bool)
        allowed = numpy.zeros(num_ids, bool)
        allowed[: len(found)] = found
        end_ids = self._grammar.end_ids
        if allowed[end_ids[0]] or not allowed.any():
            allowed[list(end_ids)] = True
        return allowed


def _lark_grammar(constraint: Constraint) -> str:
    """The constraint as a grammar of llguidance that does not force tokens.

    Where only one text can come next, llguidance would otherwise demand the tokens that it makes
    of this text. The model's own tokens differ if its tokenizer joins a word to the one before.
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
