"""The reader of a server's stream, which makes a completion of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qwenvl_kit.backends.answer_builder import AnswerBuilder
from qwenvl_kit.backends.base import Completion
from qwenvl_kit.backends.server.json_objects import as_object
from qwenvl_kit.backends.server.logprobs import UNUSABLE, UnusableLogprobError, as_logprob
from qwenvl_kit.backends.server.response_limits import HELD_PER_PIECE, most_held_characters
from qwenvl_kit.backends.server.tool_calls import ToolCallBuilder
from qwenvl_kit.errors import ServerAnswerError, ServerConnectionError
from qwenvl_kit.messages.thinking import CLOSE, OPEN
from qwenvl_kit.options import Sampling
from qwenvl_kit.processing.detokenizer import Vocabulary
from qwenvl_kit.results import Delta, FinishReason, TokenAlternative, TokenScore

_END_TOKENS = ("<|im_end|>", "<|endoftext|>")
"""The tokens that end an answer of Qwen's models, for servers that give no token ids."""

_REASONS: dict[str, FinishReason] = {"length": "length", "repetition": "repetition"}
_FAILED = ("error", "abort", "content_filter")
_NUMBERED = "token_id:"


class AnswerReader:
    """A reader of one answer, piece by piece.

    If the server gives token ids, the text is decoded from them, as the model wrote it. Otherwise
    it is the server's text, with thoughts and tool calls put back where a model writes them.

    Args:
        sampling: the settings of the request.
        vocabulary: decodes token ids; None if they are not known.
        begins_in_thought: True if the prompt had opened the model's thoughts; None if that is not
            known.

    Attributes:
        completed_at: time at which the server said that the answer is complete, on
            `time.monotonic`'s clock; None before. Only its usage statistics follow.
    """

    def __init__(
        self,
        sampling: Sampling,
        vocabulary: Vocabulary | None,
        *,
        begins_in_thought: bool | None = False,
    ) -> None:
        self._answer = AnswerBuilder(sampling, begins_in_thought=begins_in_thought is True)
        self._vocabulary = vocabulary
        keeps = sampling.keep_special_tokens
        self._stream = None if vocabulary is None else vocabulary.stream(keep_special_tokens=keeps)
        self._begins_in_thought = begins_in_thought
        self._is_thinking = False
        self._calls = ToolCallBuilder()
        self._usage: Any = None
        self._reason: FinishReason | None = None
        self.completed_at: float | None = None
        self._most_held = most_held_characters(sampling.max_new_tokens, sampling.num_alternatives)
        self._num_held = 0
        self._num_tokens = 0
        self._is_unscored = False
        self._started = time.perf_counter()
        self._first: float | None = None

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._answer.text

    @property
    def has_ended(self) -> bool:
        """True if nothing more of the answer is needed."""
        return self._answer.reason is not None

    def feed(self, chunk: Mapping[str, Any]) -> Iterator[Delta]:
        """Add a chunk of the stream; yield the new parts of the answer.

        Raises:
            ServerAnswerError: the server failed, or does not stop writing.
        """
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            self._first = self._first or time.perf_counter()
            num_held = self._num_held
            yield from self._feed_choice(choice)
            if self._num_held > num_held:  # some servers send a finish reason with every chunk
                self._reason = self.completed_at = None
            if choice.get("finish_reason"):
                self._note_finish_reason(choice["finish_reason"])

    def finish(self) -> Iterator[Delta]:
        """End the answer; yield the text that had been held back.

        Raises:
            ServerConnectionError: the stream ended before the answer was complete.
        """
        if self._reason is None and not self.has_ended:
            raise ServerConnectionError(
                "the server ended its stream within an answer", text=self.text
            )
        rest = self._stream.flush() if self._stream is not None else ""
        shown = self._answer.complete(rest, self._calls.written())
        if shown:
            yield Delta(shown)

    def completion_of(self, text: str) -> Completion:
        """Return the completion of an answer that was known beforehand, as if it were generated."""
        self._answer.add(text, 0)
        self._answer.complete()
        return self.completion("stop")

    def completion(self, reason: FinishReason | None = None) -> Completion:
        """Return the completion of the answer so far.

        Args:
            reason: the reason for its end; None takes the server's reason.
        """
        ended = time.perf_counter()
        first, usage = self._first or ended, self._usage
        details = as_object(usage).get("prompt_tokens_details")
        is_scored = not self._is_unscored
        return Completion(
            text=self.text,
            finish_reason=reason or self._answer.reason or self._reason or "stop",
            tokens=self._answer.tokens if is_scored else None,
            end_token=self._answer.end_token if is_scored else None,
            completion_tokens=_count(usage, "completion_tokens") or self._num_tokens,
            reused_tokens=_count(details, "cached_tokens") or 0,
            prompt_tokens=_count(usage, "prompt_tokens"),
            prefill_seconds=first - self._started,
            decode_seconds=ended - first,
            begins_in_thought=self._began_in_thought(),
            raw_text=self._answer.raw_text,
            warnings=() if is_scored else (UNUSABLE,),
        )

    def _began_in_thought(self) -> bool:
        """True if the text begins with thoughts, without the tag that opens them.

        Most servers send thoughts separately, and the reader writes the tag. A server that does not
        sends only the text behind the prompt's tag: then the closing tag shows that there were
        thoughts.
        """
        if self._stream is not None:
            return self._begins_in_thought is True
        return self._begins_in_thought is not False and CLOSE in self.text

    def _feed_choice(self, choice: Mapping[str, Any]) -> Iterator[Delta]:
        scores = as_object(choice.get("logprobs")).get("content") or ()
        ids = choice.get("token_ids") or [_number(entry["token"]) for entry in scores]
        self._num_tokens += len(ids)
        if self._stream is not None and ids and None not in ids:
            yield from self._feed_ids(ids, scores)
        else:
            yield from self._feed_text(choice, scores)

    def _count_held(self, num_characters: int, num_pieces: int = 1) -> None:
        """Count the characters that are kept.

        Raises:
            ServerAnswerError: they are more than the request can have asked for.
        """
        self._num_held += num_characters + num_pieces * HELD_PER_PIECE
        if self._num_held > self._most_held:
            raise ServerAnswerError(
                "the server does not stop writing after max_new_tokens",
                expected="an end after max_new_tokens",
            )

    def _feed_ids(self, ids: Sequence[int], scores: Sequence[Any]) -> Iterator[Delta]:
        """Add tokens, each with its score if it has one."""
        vocabulary, stream = self._vocabulary, self._stream
        if vocabulary is None or stream is None:
            return
        for at, token_id in enumerate(ids):
            is_end = token_id in vocabulary.end_ids
            piece = "" if is_end else stream.feed(token_id)
            hidden = "" if is_end or piece else vocabulary.special_text(token_id)
            self._count_held(len(piece + hidden))
            token = None
            if at < len(scores):
                token = self._score(piece + hidden, token_id, scores[at], is_hidden=bool(hidden))
            yield self._answer.add(piece, token_id, token, is_end=is_end, hidden=hidden)

    def _feed_text(self, choice: Mapping[str, Any], scores: Sequence[Any]) -> Iterator[Delta]:
        """Add the server's text. Its tokens come separately and may be split at other positions."""
        delta = choice.get("delta") or choice.get("message") or {}
        calls = delta.get("tool_calls") or ()
        if calls:
            self._count_held(self._calls.add(calls), len(calls))
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        piece = self._with_opening_tag(thought or "") + self._with_closing_tag(
            delta.get("content") or ""
        )
        if piece:
            self._count_held(len(piece), 0 if scores else 1)
        shown = [self._answer.add(piece, hash(piece))] if piece and not scores else []
        for at, entry in enumerate(scores):
            is_end = entry["token"] in _END_TOKENS
            text = "" if is_end else entry["token"]
            token = self._score(text, _number(entry["token"]), entry)
            shown.append(self._answer.add("" if at else piece, hash(text), token, is_end=is_end))
        yield from shown

    def _with_opening_tag(self, piece: str) -> str:
        if not piece:
            return ""
        opened = "" if self._is_thinking else f"{OPEN}\n"
        self._is_thinking = True
        return opened + piece

    def _with_closing_tag(self, piece: str) -> str:
        if not piece or not self._is_thinking:
            return piece
        self._is_thinking = False
        return f"\n{CLOSE}\n\n{piece}"

    def _note_finish_reason(self, reason: str) -> None:
        if reason in _FAILED:
            raise ServerAnswerError(f"the server ended the answer with {reason!r}", text=self.text)
        self._reason = _REASONS.get(reason, "stop")
        self.completed_at = self.completed_at or time.monotonic()

    def _score(
        self,
        text: str,
        token_id: int | None,
        entry: Mapping[str, Any],
        *,
        is_hidden: bool = False,
    ) -> TokenScore | None:
        """Read a token with its score. An unusable score discards the scores of all tokens."""
        others = entry.get("top_logprobs") or ()
        self._count_held(len(text), 1 + len(others))
        possible = (other for other in others if other.get("logprob") != -math.inf)
        try:
            alternatives = tuple(map(self._alternative, possible))
            logprob = as_logprob(entry.get("logprob"))
        except UnusableLogprobError:
            self._is_unscored = True
            return None
        return TokenScore(text, token_id, logprob, alternatives, is_hidden)

    def _alternative(self, entry: Mapping[str, Any]) -> TokenAlternative:
        token, number = entry["token"], _number(entry["token"])
        known = None if number is None or self._vocabulary is None else self._vocabulary
        text = str(token) if known is None or number is None else known.text(number)
        return TokenAlternative(text, number, as_logprob(entry.get("logprob")))


def _count(usage: object, name: str) -> int | None:
    """A number of tokens in the usage statistics; None if it is missing or no number."""
    value = as_object(usage).get(name)
    return value if type(value) is int and value >= 0 else None


def _number(token: str) -> int | None:
    """The id of a token that vLLM writes as `token_id:...`; None for other tokens."""
    number = token.removeprefix(_NUMBERED)
    return int(number) if number != token and number.isdecimal() else None
