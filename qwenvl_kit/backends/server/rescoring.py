"""The rescoring of an answer with a constraint, by the model's own probabilities.

While a server enforces a constraint, its log-probabilities are those among the allowed tokens,
which makes every answer look certain. So the server reads the finished answer once more as part of
the prompt, and its tokens get the probabilities that the model itself gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwenvl_kit.backends.base import Completion
from qwenvl_kit.backends.server.logprobs import UNUSABLE, UnusableLogprobError, as_logprob
from qwenvl_kit.backends.server.response_limits import ResponseLimits, scores_limits
from qwenvl_kit.processing.detokenizer import Vocabulary
from qwenvl_kit.results import TokenAlternative, TokenScore

_SAMPLING = ("presence_penalty", "repetition_penalty", "temperature", "top_k", "top_p", "min_p")
_NOT_OF_SCORES = (
    *("stream", "stream_options", "response_format", "seed", "stop", "max_tokens"),
    *("tool_choice", "top_logprobs", *_SAMPLING),
)


@dataclass(frozen=True)
class AnswerScorer:
    """A scorer that has a server read an answer as part of its prompt.

    Attributes:
        payload: the request of the answer, as it is sent.
        prompt_tokens: length of its prompt in tokens.
        num_alternatives: number of the likeliest tokens to return at each position.
        vocabulary: decodes token ids.
        only_answer: the answer, if the constraint allows only one: nothing is generated then.
    """

    payload: Mapping[str, Any]
    prompt_tokens: int
    num_alternatives: int
    vocabulary: Vocabulary
    only_answer: str | None = None

    @property
    def limits(self) -> ResponseLimits:
        """Limits on the size of the server's scores."""
        return scores_limits(self.prompt_tokens, self.payload["max_tokens"], self.num_alternatives)

    def request(self, text: str) -> dict[str, Any]:
        """Write the arguments of `chat.completions.create` for scoring an answer."""
        kept = {name: part for name, part in self.payload.items() if name not in _NOT_OF_SCORES}
        extra = {
            name: part
            for name, part in self.payload["extra_body"].items()
            if name not in (*_SAMPLING, "structured_outputs")
        }
        extra |= {
            "add_generation_prompt": False,
            "continue_final_message": True,
            "prompt_logprobs": self.num_alternatives,
            "logprob_token_ids": sorted(self.vocabulary.end_ids),
        }
        said = [*self.payload["messages"]]
        if self.payload["extra_body"].get("continue_final_message"):
            text = said.pop()["content"] + text
        said.append({"role": "assistant", "content": text})
        settings = {"max_tokens": 1, "temperature": 0.0, "top_logprobs": 0}
        return {**kept, **settings, "messages": said, "extra_body": extra}

    def add_scores(self, completion: Completion, answer: Mapping[str, Any]) -> Completion:
        """Return the completion with its scores; without scores if they do not match its text."""
        unscored = replace(completion, tokens=None, end_token=None)
        ids = (answer.get("prompt_token_ids") or ())[self.prompt_tokens :]
        entries = (answer.get("prompt_logprobs") or ())[self.prompt_tokens :]
        try:
            tokens = self._tokens(ids, entries) if ids and len(ids) == len(entries) else []
            end_token = self._end(answer) if completion.finish_reason == "stop" else None
        except UnusableLogprobError:
            return replace(unscored, warnings=(*completion.warnings, UNUSABLE))
        if "".join(token.text for token in tokens) != (completion.raw_text or completion.text):
            return unscored
        return replace(completion, tokens=tuple(tokens), end_token=end_token)

    def _tokens(
        self, ids: Sequence[int], entries: Sequence[Mapping[str, Any] | None]
    ) -> list[TokenScore]:
        stream, tokens = self.vocabulary.stream(), list[TokenScore]()
        for token_id, entry in zip(ids, entries):
            known = {
                int(name): as_logprob(score["logprob"]) for name, score in (entry or {}).items()
            }
            likeliest = sorted(known.items(), key=lambda item: -item[1])[: self.num_alternatives]
            others = [
                TokenAlternative(self.vocabulary.text(name), name, logprob)
                for name, logprob in likeliest
            ]
            score = as_logprob(known.get(token_id))
            piece = stream.feed(token_id)
            hidden = "" if piece else self.vocabulary.special_text(token_id)
            tokens.append(TokenScore(piece + hidden, token_id, score, tuple(others), bool(hidden)))
        rest = stream.flush()
        if rest and tokens:
            tokens[-1] = replace(tokens[-1], text=tokens[-1].text + rest)
        return tokens

    def _end(self, answer: Mapping[str, Any]) -> TokenScore | None:
        """The likeliest of the tokens that end an answer, at the position behind it."""
        content = (answer["choices"][0].get("logprobs") or {}).get("content") or ()
        ends = {f"token_id:{end}": end for end in self.vocabulary.end_ids}
        found = [
            TokenScore("", ends[entry["token"]], as_logprob(entry.get("logprob")))
            for place in content
            for entry in (place, *(place.get("top_logprobs") or ()))
            if entry["token"] in ends
        ]
        return max(found, key=lambda token: token.logprob, default=None)
