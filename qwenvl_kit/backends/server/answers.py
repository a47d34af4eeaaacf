"""From what a server streams to a completion."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from qwenvl_kit.backends.base import Completion
from qwenvl_kit.backends.growing import GrowingAnswer
from qwenvl_kit.errors import ServerAnswerError, ServerConnectionError
from qwenvl_kit.options import Sampling
from qwenvl_kit.processing.vocabulary import Vocabulary
from qwenvl_kit.results import Delta, FinishReason, TokenAlternative, TokenScore
from qwenvl_kit.thinking import CLOSE, OPEN

_END_TOKENS = ("<|im_end|>", "<|endoftext|>")
"""What ends an answer of Qwen's models, where ids are not known."""

_REASONS: dict[str, FinishReason] = {"length": "length", "repetition": "repetition"}
_FAILED = ("error", "abort", "content_filter")
_NUMBERED = "token_id:"


class AnswerReader:
    """Collects one answer, piece by piece.

    Where a server tells the ids of its tokens, the text is made of them, as the model wrote it;
    otherwise it is the server's, with its thoughts and calls put back where a model writes them.

    Args:
        sampling: how it was asked for.
        vocabulary: tokens to text; None where ids are not known.
        begins_in_thought: whether the prompt had opened the model's thoughts; None if that is not
            known.
    """

    def __init__(
        self,
        sampling: Sampling,
        vocabulary: Vocabulary | None,
        *,
        begins_in_thought: bool | None = False,
    ) -> None:
        self._answer = GrowingAnswer(sampling, begins_in_thought=begins_in_thought is True)
        self._vocabulary = vocabulary
        keeps = sampling.keep_special_tokens
        self._stream = None if vocabulary is None else vocabulary.stream(keep_special_tokens=keeps)
        self._begins_in_thought = begins_in_thought
        self._is_thinking = False
        self._calls: dict[int, dict[str, str]] = {}
        self._usage: Any = None
        self._reason: FinishReason | None = None
        self._started = time.perf_counter()
        self._first: float | None = None

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._answer.text

    @property
    def has_ended(self) -> bool:
        """Whether nothing more of it is wanted."""
        return self._answer.reason is not None

    def feed(self, chunk: Any) -> Iterator[Delta]:
        """What a chunk of the stream adds to the answer.

        Raises:
            ServerAnswerError: the server gave up.
        """
        self._usage = getattr(chunk, "usage", None) or self._usage
        for choice in getattr(chunk, "choices", None) or ():
            self._first = self._first or time.perf_counter()
            scores = getattr(getattr(choice, "logprobs", None), "content", None) or ()
            ids = getattr(choice, "token_ids", None) or [_number(entry.token) for entry in scores]
            if self._stream is not None and ids and None not in ids:
                yield from self._feed_ids(ids, scores)
            else:
                yield from self._feed_text(choice, scores)
            if choice.finish_reason is not None:
                self._note_end(choice.finish_reason)

    def finish(self) -> Iterator[Delta]:
        """What comes to light at its end.

        Raises:
            ServerConnectionError: the stream ended, and the answer did not.
        """
        if self._reason is None and not self.has_ended:
            raise ServerConnectionError(
                "the server ended its stream within an answer", text=self.text
            )
        rest = self._stream.flush() if self._stream is not None else ""
        shown = self._answer.complete(rest, "".join(map(_written_call, self._calls.values())))
        if shown:
            yield Delta(shown)

    def given(self, text: str) -> Completion:
        """An answer that was known beforehand, as it would be had it been generated."""
        self._answer.add(text, 0)
        self._answer.complete()
        return self.completion("stop")

    def completion(self, reason: FinishReason | None = None) -> Completion:
        """The answer as it is.

        Args:
            reason: why it ended, where that was not the server's doing.
        """
        ended = time.perf_counter()
        first, usage = self._first or ended, self._usage
        details = getattr(usage, "prompt_tokens_details", None)
        return Completion(
            text=self.text,
            finish_reason=reason or self._answer.reason or self._reason or "stop",
            tokens=self._answer.tokens,
            end_token=self._answer.end_token,
            completion_tokens=_count(usage, "completion_tokens") or self._answer.num_tokens,
            reused_tokens=_count(details, "cached_tokens") or 0,
            prompt_tokens=_count(usage, "prompt_tokens"),
            prefill_seconds=first - self._started,
            decode_seconds=ended - first,
            begins_in_thought=self._began_in_thought(),
            raw_text=self._answer.raw_text,
        )

    def _began_in_thought(self) -> bool:
        """Whether thoughts stand at the beginning of the text without the tag that opens them.

        Most servers set thoughts apart, and they are opened anew here. One that does not gives the
        text after the prompt's tag, and then only their end shows that there were some.
        """
        if self._stream is not None:
            return self._begins_in_thought is True
        return self._begins_in_thought is not False and CLOSE in self.text

    def _feed_ids(self, ids: Sequence[int], scores: Sequence[Any]) -> Iterator[Delta]:
        """Tokens, each with its score if it has one."""
        vocabulary, stream = self._vocabulary, self._stream
        if vocabulary is None or stream is None:
            return
        for at, token_id in enumerate(ids):
            is_end = token_id in vocabulary.end_ids
            piece = "" if is_end else stream.feed(token_id)
            hidden = "" if is_end or piece else vocabulary.special_text(token_id)
            token = None
            if at < len(scores):
                token = self._score(piece + hidden, token_id, scores[at])
                token = replace(token, is_hidden=bool(hidden))
            yield self._answer.add(piece, token_id, token, is_end=is_end, hidden=hidden)

    def _feed_text(self, choice: Any, scores: Sequence[Any]) -> Iterator[Delta]:
        """Text as the server has it. Its tokens come beside it and may be cut otherwise."""
        delta = choice.delta
        self._note_calls(getattr(delta, "tool_calls", None) or ())
        thought = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None)
        piece = self._thought(thought or "") + self._said(getattr(delta, "content", None) or "")
        shown = [self._answer.add(piece, hash(piece))] if piece and not scores else []
        for at, entry in enumerate(scores):
            is_end = entry.token in _END_TOKENS
            text = "" if is_end else entry.token
            token = self._score(text, _number(entry.token), entry)
            shown.append(self._answer.add("" if at else piece, hash(text), token, is_end=is_end))
        yield from shown

    def _thought(self, piece: str) -> str:
        if not piece:
            return ""
        opened = "" if self._is_thinking else f"{OPEN}\n"
        self._is_thinking = True
        return opened + piece

    def _said(self, piece: str) -> str:
        if not piece or not self._is_thinking:
            return piece
        self._is_thinking = False
        return f"\n{CLOSE}\n\n{piece}"

    def _note_calls(self, fragments: Sequence[Any]) -> None:
        """Calls that the server has told apart come in fragments."""
        for fragment in fragments:
            call = self._calls.setdefault(fragment.index, {"name": "", "arguments": ""})
            function = fragment.function
            call["name"] += getattr(function, "name", None) or ""
            call["arguments"] += getattr(function, "arguments", None) or ""

    def _note_end(self, reason: str) -> None:
        if reason in _FAILED:
            raise ServerAnswerError(f"the server ended the answer with {reason!r}", text=self.text)
        self._reason = _REASONS.get(reason, "stop")

    def _score(self, text: str, token_id: int | None, entry: Any) -> TokenScore:
        alternatives = [
            TokenAlternative(self._text_of(other), _number(other.token), float(other.logprob))
            for other in entry.top_logprobs or ()
        ]
        return TokenScore(text, token_id, min(0.0, float(entry.logprob)), tuple(alternatives))

    def _text_of(self, entry: Any) -> str:
        number = _number(entry.token)
        if number is None or self._vocabulary is None:
            return str(entry.token)
        return self._vocabulary.text(number)


def _count(usage: Any, name: str) -> int | None:
    """A number of tokens that a server tells; None if it tells none, or something else."""
    value = getattr(usage, name, None)
    return value if type(value) is int and value >= 0 else None


def _number(token: str) -> int | None:
    """The id of a token that vLLM writes by its id."""
    number = token.removeprefix(_NUMBERED)
    return int(number) if number != token and number.isdecimal() else None


def _written_call(call: dict[str, str]) -> str:
    """A call as Qwen's models write it, so that it is read like any other."""
    try:
        arguments = json.loads(call["arguments"] or "{}")
    except (ValueError, RecursionError):
        arguments = call["arguments"]
    content = {"name": call["name"], "arguments": arguments}
    return f"\n<tool_call>\n{json.dumps(content, ensure_ascii=False)}\n</tool_call>"
