"""What changes logits before a token is chosen: transformers' own classes.

In the order of `generate` (`GenerationMixin._get_logits_processor`).
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
class Setting:
    """What processors must know of the answer that they work on.

    Attributes:
        prompt_ids: the prompt.
        max_new_tokens: how long the answer may become.
        end_ids: the tokens that end it.
        num_ids: size of the vocabulary.
        device: where its logits are, as torch names it.
    """

    prompt_ids: Sequence[int]
    max_new_tokens: int
    end_ids: Set[int]
    num_ids: int
    device: str

    @property
    def num_prompt(self) -> int:
        """Tokens of the prompt."""
        return len(self.prompt_ids)

    @cached_property
    def ends(self) -> torch.Tensor:
        """The tokens that end an answer, (number,)."""
        return torch.tensor(sorted(self.end_ids), device=self.device)

    @cached_property
    def prompt(self) -> Any:
        """The prompt, (1, length)."""
        return torch.tensor([list(self.prompt_ids)], device=self.device)


class PresencePenalty(logits_process.LogitsProcessor):
    """Takes something from what the answer holds already, once for each token (OpenAI's API).

    Args:
        penalty: what is taken.
        num_prompt: where the answer begins.
    """

    def __init__(self, penalty: float, num_prompt: int) -> None:
        self._penalty = penalty
        self._num_prompt = num_prompt

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores, (1, vocabulary), less the penalty."""
        answer_ids = input_ids[:, self._num_prompt :]
        present = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, answer_ids, True)
        return scores - self._penalty * present


_RESHAPING: Mapping[str, Callable[[Any, Setting], Any]] = MappingProxyType(
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
"""What works on greedy answers too."""

_NARROWING: Mapping[str, Callable[[Any, Setting], Any]] = MappingProxyType(
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
"""What leaves a sample fewer tokens."""

_LAST: Mapping[str, Callable[[Any, Setting], Any]] = MappingProxyType(
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


def make_processors(
    sampling: Sampling, rules: Mapping[str, Any], setting: Setting
) -> LogitsProcessorList:
    """All that changes raw logits before a token is taken of them.

    Args:
        sampling: what the request asks for.
        rules: what the checkpoint says, by the names of generation_config.json.
        setting: of the answer.
    """
    given = {name: value for name, value in rules.items() if value is not None}
    for name in _OF_SAMPLING:
        value = getattr(sampling, name)
        if value is not None and value != _NO_CHANGE.get(name):
            given[name] = value
    if "min_new_tokens" in given:
        given.pop("min_length", None)
    kinds = (_RESHAPING, {} if sampling.is_greedy else _NARROWING, _LAST)
    made = [
        make(given[name], setting) for kind in kinds for name, make in kind.items() if name in given
    ]
    return LogitsProcessorList(made)


def check_rules(where: str, rules: Mapping[str, Any], num_ids: int, end_ids: Set[int]) -> None:
    """Try each rule on logits that are all alike, rather than fail within an answer.

    Args:
        where: the checkpoint, for messages.
        rules: what it says.
        num_ids: size of the vocabulary.
        end_ids: the tokens that end an answer.

    Raises:
        CheckpointError: a rule cannot be kept; it says which.
    """
    setting = Setting([0, 1], 2, end_ids, num_ids, "cpu")
    for name, value in rules.items():
        try:
            made = make_processors(Sampling(temperature=1.0), {name: value}, setting)
            made(setting.prompt, torch.zeros((1, num_ids), device=setting.device))
        except Exception as error:  # a value may be wrong in any way
            raise CheckpointError(
                f"generation_config.json of {where} says {name}={str(value)[:80]}, which cannot be "
                f"used ({type(error).__name__}: {error})",
                expected="it as it was published",
            ) from error
