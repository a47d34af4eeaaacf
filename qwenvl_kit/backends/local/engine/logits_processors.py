"""Logits processors: penalties, temperature, top-k, top-p, and the rules of generation_config.json.

They are transformers' own classes, in the order of `generate`
(`GenerationMixin._get_logits_processor`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch
from transformers import LogitsProcessorList
from transformers.generation import logits_process

from qwenvl_kit.errors import CheckpointError
from qwenvl_kit.options import Sampling


@dataclass(frozen=True)
class ProcessorContext:
    """The facts about one answer that its logits processors need.

    Attributes:
        prompt_ids: the prompt.
        max_new_tokens: the most tokens of the answer.
        end_ids: the tokens that end it.
        num_ids: the size of the vocabulary.
        device: the device of its logits, as torch names it.
    """

    prompt_ids: Sequence[int]
    max_new_tokens: int
    end_ids: Set[int]
    num_ids: int
    device: str

    @property
    def num_prompt(self) -> int:
        """The number of tokens of the prompt."""
        return len(self.prompt_ids)

    @cached_property
    def ends(self) -> torch.Tensor:
        """The ids of the tokens that end an answer, (number,)."""
        return torch.tensor(sorted(self.end_ids), device=self.device)

    @cached_property
    def prompt(self) -> Any:
        """The ids of the prompt, (1, length)."""
        return torch.tensor([list(self.prompt_ids)], device=self.device)


class PresencePenalty(logits_process.LogitsProcessor):
    """Lowers the logits of tokens that the answer has already, however often (OpenAI's API).

    Args:
        penalty: the amount by which they are lowered.
        num_prompt: the length of the prompt, after which the answer begins.
    """

    def __init__(self, penalty: float, num_prompt: int) -> None:
        self._penalty = penalty
        self._num_prompt = num_prompt

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores, (1, vocabulary), less the penalty."""
        answer_ids = input_ids[:, self._num_prompt :]
        present = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, answer_ids, True)
        return scores - self._penalty * present


_RESHAPING: Mapping[str, Callable[[Any, ProcessorContext], Any]] = MappingProxyType(
    {
        "sequence_bias": lambda value, _: logits_process.SequenceBiasLogitsProcessor(value),
        "encoder_repetition_penalty": lambda value, at: (
            logits_process.EncoderRepetitionPenaltyLogitsProcessor(value, at.prompt)
        ),
        "repetition_penalty": lambda value, _: logits_process.RepetitionPenaltyLogitsProcessor(
            value
        ),
        "presence_penalty": lambda value, at: PresencePenalty(value, at.num_prompt),
        "no_repeat_ngram_size": lambda value, _: logits_process.NoRepeatNGramLogitsProcessor(value),
        "encoder_no_repeat_ngram_size": lambda value, at: (
            logits_process.EncoderNoRepeatNGramLogitsProcessor(value, at.prompt)
        ),
        "bad_words_ids": lambda value, at: logits_process.NoBadWordsLogitsProcessor(value, at.ends),
        "min_length": lambda value, at: logits_process.MinLengthLogitsProcessor(
            value, at.ends, device=at.device
        ),
        "min_new_tokens": lambda value, at: logits_process.MinNewTokensLengthLogitsProcessor(
            at.num_prompt, value, at.ends, device=at.device
        ),
        "forced_bos_token_id": lambda value, _: logits_process.ForcedBOSTokenLogitsProcessor(value),
        "forced_eos_token_id": lambda value, at: logits_process.ForcedEOSTokenLogitsProcessor(
            at.num_prompt + at.max_new_tokens, value, device=at.device
        ),
        "remove_invalid_values": lambda _, __: logits_process.InfNanRemoveLogitsProcessor(),
        "exponential_decay_length_penalty": lambda value, at: (
            logits_process.ExponentialDecayLengthPenalty(value, at.ends, at.num_prompt)
        ),
        "suppress_tokens": lambda value, at: logits_process.SuppressTokensLogitsProcessor(
            value, device=at.device
        ),
        "begin_suppress_tokens": lambda value, at: (
            logits_process.SuppressTokensAtBeginLogitsProcessor(
                value, at.num_prompt, device=at.device
            )
        ),
    }
)
"""Processors that change greedy answers too."""

_NARROWING: Mapping[str, Callable[[Any, ProcessorContext], Any]] = MappingProxyType(
    {
        "temperature": lambda value, _: logits_process.TemperatureLogitsWarper(float(value)),
        "top_h": lambda value, _: logits_process.TopHLogitsWarper(value),
        "top_k": lambda value, _: logits_process.TopKLogitsWarper(value),
        "top_p": lambda value, _: logits_process.TopPLogitsWarper(value),
        "min_p": lambda value, _: logits_process.MinPLogitsWarper(value),
        "typical_p": lambda value, _: logits_process.TypicalLogitsWarper(value),
        "epsilon_cutoff": lambda value, _: logits_process.EpsilonLogitsWarper(value),
        "eta_cutoff": lambda value, at: logits_process.EtaLogitsWarper(value, device=at.device),
    }
)
"""Processors that only narrow the choice of a sample."""

_LAST: Mapping[str, Callable[[Any, ProcessorContext], Any]] = MappingProxyType(
    {
        "watermarking_config": lambda value, at: value.construct_processor(at.num_ids, at.device),
        "renormalize_logits": lambda _, __: logits_process.LogitNormalization(),
    }
)

_OF_SAMPLING = (
    *("repetition_penalty", "presence_penalty"),
    *("temperature", "top_k", "top_p", "min_p"),
)
_NO_CHANGE: Mapping[str, float] = MappingProxyType(
    {"repetition_penalty": 1.0, "presence_penalty": 0.0, "top_p": 1.0}
)


_PLAIN_NARROWING = frozenset({"temperature", "top_k", "top_p", "min_p"})


def has_other_narrowing(rules: Mapping[str, Any]) -> bool:
    """True if rules narrow a sample by more than temperature, top-k, top-p and min-p."""
    return not rules.keys().isdisjoint({*_NARROWING, *_LAST} - _PLAIN_NARROWING)


def make_processors(
    sampling: Sampling,
    rules: Mapping[str, Any],
    context: ProcessorContext,
    *,
    narrows: bool = True,
) -> LogitsProcessorList:
    """The logits processors of an answer, in their order.

    Args:
        sampling: the settings of the request.
        rules: the rules of the checkpoint, by their names in generation_config.json.
        context: the facts about the answer.
        narrows: False to leave out those that narrow a sample.
    """
    given = {name: value for name, value in rules.items() if value is not None}
    for name in _OF_SAMPLING:
        value = getattr(sampling, name)
        if value is not None and value != _NO_CHANGE.get(name):
            given[name] = value
    if "min_new_tokens" in given:
        given.pop("min_length", None)
    kinds = (_RESHAPING, {} if sampling.is_greedy or not narrows else _NARROWING, _LAST)
    made = [
        make(given[name], context) for kind in kinds for name, make in kind.items() if name in given
    ]
    return LogitsProcessorList(made)


def check_rules(where: str, rules: Mapping[str, Any], num_ids: int, end_ids: Set[int]) -> None:
    """Try each rule on equal logits, so that it fails when a checkpoint is loaded, not later.

    Args:
        where: the name of the checkpoint, for messages.
        rules: its rules.
        num_ids: the size of the vocabulary.
        end_ids: the tokens that end an answer.

    Raises:
        CheckpointError: a rule cannot be used; the message names it.
    """
    context = ProcessorContext([0, 1], 2, end_ids, num_ids, "cpu")
    for name, value in rules.items():
        try:
            made = make_processors(Sampling(temperature=1.0), {name: value}, context)
            made(context.prompt, torch.zeros((1, num_ids), device=context.device))
        except Exception as error:  # a value may be wrong in any way
            raise CheckpointError(
                f"generation_config.json of {where} says {name}={str(value)[:80]}, which cannot be "
                f"used ({type(error).__name__}: {error})",
                expected="the file as it was published",
            ) from error
