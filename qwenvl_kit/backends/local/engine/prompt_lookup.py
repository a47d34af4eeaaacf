"""Prompt lookup decoding: drafts of the next tokens, looked up in the prompt and the answer.

Answers repeat their prompts and themselves. If the last tokens occurred before, the tokens that
followed them then may follow again. One forward pass over such a draft shows how much of it is
right, and costs little more than a pass over a single token. (Saxena, 2023,
https://github.com/apoorvumang/prompt-lookup-decoding; `prompt_lookup_num_tokens` of transformers.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

import numpy
import torch

from qwenvl_kit.backends.local.cache.cache_key import Ids
from qwenvl_kit.errors import UnsupportedFeatureError
from qwenvl_kit.families import Family
from qwenvl_kit.options import Sampling

_LONGEST_MATCH = 3
_SHORTEST_MATCH = 2
"""A single token occurs nearly everywhere, and does not tell what follows it."""

_NEVER = -1
"""Stands for a token that no draft may contain."""

_PROOFS = 2
"""The number of tokens in a row that must have been predicted before drafts cost anything again."""


def draft_after(ids: Ids, max_tokens: int) -> list[int]:
    """The tokens that followed an earlier occurrence of a sequence's last tokens.

    It looks for the last three tokens and then for the last two, and takes the latest occurrence.
    If the tokens that followed reach the end of the sequence, the draft goes on with its own
    tokens, so that a short cycle is predicted as far as a long one.

    Args:
        ids: the sequence, int64 (length,). Negative ids match nothing and end a draft.
        max_tokens: the most tokens of the draft.
    """
    places = numpy.flatnonzero(ids[:-1] == ids[-1:])
    for size in range(_LONGEST_MATCH, _SHORTEST_MATCH - 1, -1):
        if len(ids) <= size or (ids[-size:] < 0).any():
            continue
        found = places[places >= size - 1]
        for back in range(1, size):
            found = found[ids[found - back] == ids[-1 - back]]
        if len(found) and (draft := _continued(ids[found[-1] + 1 :], max_tokens)):
            return draft
    return []


def _continued(following: Ids, max_tokens: int) -> list[int]:
    """The first tokens of a sequence, repeated if they are too few, up to a negative one."""
    draft = numpy.resize(following[:max_tokens], max_tokens)
    barred = numpy.flatnonzero(draft < 0)
    kept: list[int] = draft[: barred[0] if len(barred) else None].tolist()
    return kept


class PromptLookup:
    """Drafts the next tokens of one answer, fewer of them when drafts fail.

    A pass over a draft costs more than one over a token, and more the longer the draft is, most of
    all on a CPU. So a draft has at most twice as many tokens as were right in the one before, and
    half as many if none was. When that leaves no tokens, drafts are only compared with the tokens
    that come, which costs next to nothing, until some would have been right.

    Args:
        prompt_ids: the prompt.
        max_new_tokens: the most tokens of the answer.
        max_tokens: the most tokens of a draft.
        barred_ids: tokens that no draft may contain.
    """

    def __init__(
        self,
        prompt_ids: Sequence[int],
        max_new_tokens: int,
        max_tokens: int,
        barred_ids: Set[int],
    ) -> None:
        self._ids = numpy.empty(len(prompt_ids) + max_new_tokens, numpy.int64)
        self._num_prompt, self._length = len(prompt_ids), 0
        self._barred_ids = barred_ids
        self._max_answer, self._max_tokens = max_new_tokens, max_tokens
        self._size = max_tokens
        self._unused_draft: list[int] = []
        self._proofs = 0
        self._take_in(prompt_ids)

    def propose(self, answer_ids: Sequence[int]) -> list[int]:
        """Return a draft of the next tokens; it is empty if a draft is not worth a try.

        Args:
            answer_ids: the answer so far.
        """
        came = answer_ids[self._length - self._num_prompt :]
        self._take_in(came)
        if not self._size:
            self._compare(came)
        room = self._max_answer - len(answer_ids) - 1  # the pass itself gives one more token
        draft = draft_after(self._ids[: self._length], min(self._size or 1, max(0, room)))
        if self._size:
            return draft
        self._unused_draft = draft
        return []

    def note(self, num_drafted: int, num_right: int) -> None:
        """Adapt the size of drafts to the last one.

        Args:
            num_drafted: the number of its tokens.
            num_right: the number of them that came.
        """
        if num_right == num_drafted:
            self._size = max(self._size, min(2 * num_right, self._max_tokens))
        elif num_right:
            self._size = min(2 * num_right, self._max_tokens)
        else:
            self._size //= 2
        self._unused_draft, self._proofs = [], 0

    def _compare(self, came: Sequence[int]) -> None:
        """Count how many tokens in a row were those of unused drafts."""
        is_right = bool(self._unused_draft) and list(came[:1]) == self._unused_draft
        self._proofs = self._proofs + 1 if is_right else 0
        if self._proofs >= _PROOFS:
            self._size = min(_PROOFS, self._max_tokens)

    def _take_in(self, came: Sequence[int]) -> None:
        ids = [_NEVER if token_id in self._barred_ids else token_id for token_id in came]
        self._ids[self._length : self._length + len(ids)] = ids
        self._length += len(ids)


class Draft:
    """The logits that one forward pass computed for a draft; they hold as far as it comes true.

    Args:
        lookup: made the draft.
        tokens: the tokens of the draft.
        logits: after the last token of the answer and after each of the draft, (1 + drafted,
            vocabulary).
    """

    def __init__(self, lookup: PromptLookup, tokens: Sequence[int], logits: torch.Tensor) -> None:
        self._lookup = lookup
        self._tokens = tokens
        self._logits = logits
        self._num_right = 0

    def logits_after(self, token_id: int) -> torch.Tensor | None:
        """The logits after the token that came, (1, vocabulary); None if it was not drafted.

        After None the rest of the draft is of no use.
        """
        if self._tokens[self._num_right : self._num_right + 1] != [token_id]:
            self._lookup.note(len(self._tokens), self._num_right)
            return None
        self._num_right += 1
        return self._logits[self._num_right][None]


class LookupRules:
    """The rules of prompt lookup for one model: the tokens that no draft contains, and its limits.

    No draft contains placeholders of pictures, which stand for nothing in an answer, or tokens
    that end an answer, as no token after them is needed.

    Args:
        tokenizer: the model's tokenizer.
        family: its family.
        end_ids: the tokens that end an answer.
        is_croppable: True if its KV cache can be cut back to where a draft was right.
    """

    def __init__(
        self, tokenizer: Any, family: Family, end_ids: Iterable[int], *, is_croppable: bool
    ) -> None:
        around = (family.vision_start_token, family.vision_end_token)
        visual = tokenizer.convert_tokens_to_ids([family.image_token, family.video_token, *around])
        self._barred_ids = frozenset(visual) | frozenset(end_ids)
        self._model_type = family.model_type
        self._is_croppable = is_croppable

    def lookup_for(
        self, sampling: Sampling, prompt_ids: Sequence[int], max_new_tokens: int
    ) -> PromptLookup | None:
        """The prompt lookup for an answer; None if the request does not ask for it.

        Raises:
            UnsupportedFeatureError: it is asked for, and the model cannot go back after a draft.
        """
        most = sampling.prompt_lookup_tokens
        if most is None:
            return None
        if not self._is_croppable:
            raise UnsupportedFeatureError(
                f"prompt_lookup_tokens={most} was given, and a model of {self._model_type} cannot "
                "go back after a wrong draft: the states of its layers cannot be cut",
                hint="prompt_lookup_tokens=None",
            )
        return PromptLookup(prompt_ids, max_new_tokens, most, self._barred_ids)
