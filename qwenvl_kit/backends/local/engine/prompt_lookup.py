"""Prompt lookup decoding: guesses at what comes next, looked up in what was said before.

Answers repeat their prompts and themselves. Where the last tokens stood before, what followed them
then may follow again; one pass of the model over such a guess tells how far it is right, and costs
little more than a pass over a single token. (Saxena, 2023,
https://github.com/apoorvumang/prompt-lookup-decoding; `prompt_lookup_num_tokens` of transformers.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

import numpy
import torch

from qwenvl_kit.backends.local.cache.token_sequences import Ids
from qwenvl_kit.errors import UnsupportedFeatureError
from qwenvl_kit.families import Family
from qwenvl_kit.options import Sampling

_LONGEST_MATCH = 3
_SHORTEST_MATCH = 2
"""A single token stood nearly everywhere before, and says nothing of what follows."""

_NEVER = -1
"""Stands where no guess may reach."""

_PROOFS = 2
"""How many guesses in a row must have been right before they cost anything again."""


def guess_after(ids: Ids, max_tokens: int) -> list[int]:
    """What followed when the last tokens of a sequence stood in it before.

    The last three are looked for and then the last two; of several places the latest counts. Where
    what followed runs into the end of the sequence, the guess goes on from itself, so that a short
    circle is guessed as far as a long one.

    Args:
        ids: the sequence, int64 (length,). Negative ids are like no other and end a guess.
        max_tokens: most tokens to guess.
    """
    places = numpy.flatnonzero(ids[:-1] == ids[-1:])
    for size in range(_LONGEST_MATCH, _SHORTEST_MATCH - 1, -1):
        if len(ids) <= size or (ids[-size:] < 0).any():
            continue
        found = places[places >= size - 1]
        for back in range(1, size):
            found = found[ids[found - back] == ids[-1 - back]]
        if len(found) and (guess := _continued(ids[found[-1] + 1 :], max_tokens)):
            return guess
    return []


def _continued(following: Ids, max_tokens: int) -> list[int]:
    """The first of these tokens, over and over if they are too few, up to one that is negative."""
    guess = numpy.resize(following[:max_tokens], max_tokens)
    barred = numpy.flatnonzero(guess < 0)
    kept: list[int] = guess[: barred[0] if len(barred) else None].tolist()
    return kept


class Guesser:
    """Guesses for one answer, fewer where they fail.

    A pass over a guess costs more than one over a token, the more the longer it is, on a CPU above
    all. So a guess is at most twice as long as the one before was right, and half as long where
    nothing of it was. When that leaves none, guesses are only compared with what comes, which
    costs next to nothing, until some were right.

    Args:
        prompt_ids: the prompt.
        max_new_tokens: how long the answer may become.
        max_tokens: most tokens of a guess.
        barred_ids: tokens that are never guessed.
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
        self._watched: list[int] = []
        self._proofs = 0
        self._take_in(prompt_ids)

    def guess(self, answer_ids: Sequence[int]) -> list[int]:
        """What may follow; nothing where that is not worth a try.

        Args:
            answer_ids: the answer so far.
        """
        came = answer_ids[self._length - self._num_prompt :]
        self._take_in(came)
        if not self._size:
            self._compare(came)
        room = self._max_answer - len(answer_ids) - 1  # the next token itself is no guess
        guess = guess_after(self._ids[: self._length], min(self._size or 1, max(0, room)))
        if self._size:
            return guess
        self._watched = guess
        return []

    def note(self, num_guessed: int, num_right: int) -> None:
        """Learn how far a guess was right."""
        if num_right == num_guessed:
            self._size = max(self._size, min(2 * num_right, self._max_tokens))
        elif num_right:
            self._size = min(2 * num_right, self._max_tokens)
        else:
            self._size //= 2
        self._watched, self._proofs = [], 0

    def _compare(self, came: Sequence[int]) -> None:
        """Count how often in a row what came was what would have been guessed."""
        is_right = bool(self._watched) and list(came[:1]) == self._watched
        self._proofs = self._proofs + 1 if is_right else 0
        if self._proofs >= _PROOFS:
            self._size = min(_PROOFS, self._max_tokens)

    def _take_in(self, came: Sequence[int]) -> None:
        ids = [_NEVER if token_id in self._barred_ids else token_id for token_id in came]
        self._ids[self._length : self._length + len(ids)] = ids
        self._length += len(ids)


class Ahead:
    """What one pass computed for a guess: logits that hold as far as the guess comes true.

    Args:
        guesser: whose guess it is.
        guess: its tokens.
        logits: after the last token and after each that was guessed, (1 + guessed, vocabulary).
    """

    def __init__(self, guesser: Guesser, guess: Sequence[int], logits: torch.Tensor) -> None:
        self._guesser = guesser
        self._guess = guess
        self._logits = logits
        self._num_right = 0

    def logits_after(self, token_id: int) -> torch.Tensor | None:
        """The logits after the token that came, (1, vocabulary); None if it was not guessed.

        After None the rest of the guess is worth nothing.
        """
        if self._guess[self._num_right : self._num_right + 1] != [token_id]:
            self._guesser.note(len(self._guess), self._num_right)
            return None
        self._num_right += 1
        return self._logits[self._num_right][None]


class LookupRules:
    """Whether and what may be guessed for the answers of a model.

    Never guessed are placeholders of pictures, which stand for nothing in an answer, and what ends
    an answer, as nothing is wanted after it.

    Args:
        tokenizer: the model's tokenizer.
        family: its family.
        end_ids: the tokens that end an answer.
        is_croppable: whether its cache can be cut back to where a guess was right.
    """

    def __init__(
        self, tokenizer: Any, family: Family, end_ids: Iterable[int], *, is_croppable: bool
    ) -> None:
        around = (family.vision_start_token, family.vision_end_token)
        visual = tokenizer.convert_tokens_to_ids([family.image_token, family.video_token, *around])
        self._barred_ids = frozenset(visual) | frozenset(end_ids)
        self._model_type = family.model_type
        self._is_croppable = is_croppable

    def guesser(
        self, sampling: Sampling, prompt_ids: Sequence[int], max_new_tokens: int
    ) -> Guesser | None:
        """Who guesses for an answer; None if that is not wanted.

        Raises:
            UnsupportedFeatureError: it is wanted, and the model cannot go back after a guess.
        """
        most = sampling.prompt_lookup_tokens
        if most is None:
            return None
        if not self._is_croppable:
            raise UnsupportedFeatureError(
                f"prompt_lookup_tokens={most} was given, and a model of {self._model_type} cannot "
                "take a guess back: what its layers remember cannot be cut",
                hint="prompt_lookup_tokens=None",
            )
        return Guesser(prompt_ids, max_new_tokens, most, self._barred_ids)
