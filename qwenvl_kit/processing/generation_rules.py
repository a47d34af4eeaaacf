"""The rules of generation_config.json beyond sampling, which hold for every request.

`generate(temperature=0.7)` of transformers replaces one entry and keeps all others; so does a
request's own `Sampling` here. Entries that are not obeyed are reported, each with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import transformers
from transformers.generation.configuration_utils import GenerationMode

from qwenvl_kit.errors import UnsupportedFeatureError

_POSITIVE = frozenset(
    {
        *("no_repeat_ngram_size", "encoder_no_repeat_ngram_size"),
        *("min_length", "min_new_tokens"),
    }
)
_SHARES = frozenset({"epsilon_cutoff", "eta_cutoff", "typical_p"})
"""Entries that have an effect only between 0 and 1."""

_OBEYED = (
    _POSITIVE
    | _SHARES
    | {
        *("sequence_bias", "encoder_repetition_penalty", "bad_words_ids", "forced_bos_token_id"),
        *("forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty"),
        *("suppress_tokens", "begin_suppress_tokens", "top_h", "watermarking_config"),
        "renormalize_logits",
    }
)
"""Entries that are obeyed with every request."""

_SEARCHES = frozenset(
    {"num_beams", "num_beam_groups", "penalty_alpha", "dola_layers", "constraints"}
    | {"force_words_ids"}
)
"""Entries that choose another search than one token after another."""

_REASONS: Mapping[str, tuple[tuple[Any, ...], str]] = MappingProxyType(
    {
        "guidance_scale": ((1,), "a second pass without the prompt is not run"),
        "token_healing": ((False,), "prompts end with the template's own tokens"),
        "num_return_sequences": ((1,), "a request has one answer"),
        "prompt_lookup_num_tokens": ((), "it saves time alone: Sampling(prompt_lookup_tokens=...)"),
        "use_mtp": ((False,), "it saves time alone"),
        "assistant_early_exit": ((), "it saves time alone"),
        "cache_implementation": (("dynamic", "hybrid"), "the kit keeps a cache of its own"),
        "presence_penalty": ((0,), "generate does not know it: Sampling(presence_penalty=...)"),
        "frequency_penalty": ((0,), "generate does not know it"),
    }
)
"""Entries that are not obeyed: their values without effect, and the reason."""

_PLAIN_MODES = (
    GenerationMode.GREEDY_SEARCH,
    GenerationMode.SAMPLE,
    GenerationMode.ASSISTED_GENERATION,
)
_MOST_SHOWN = 60
"""The most characters of a value in a report."""


@dataclass(frozen=True)
class GenerationRules:
    """The entries of generation_config.json that hold for every request.

    Attributes:
        entries: the entries that are obeyed, by their names.
        ignored: the reasons for entries that are not obeyed, by name and value.
        search: the search that the file asks for, if that is not one token after another.
        stop: strings that end every answer, in addition to those of a request.
    """

    entries: Mapping[str, Any] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    search: str | None = None
    stop: tuple[str, ...] = ()

    def check_search(self) -> None:
        """Check that the published settings ask for no other search than token by token.

        Raises:
            UnsupportedFeatureError: they ask for beams, or another search.
        """
        if self.search is not None:
            raise UnsupportedFeatureError(
                f"generation_config.json of the checkpoint asks for {self.search}, and answers are "
                "written token by token here",
                expected="sampling=Sampling(...) of your own, which leaves that out",
                hint="Sampling(max_new_tokens=512), which is greedy; or generate of transformers",
            )

    def facts(self) -> dict[str, str]:
        """The obeyed and the ignored entries, for the report of a backend that obeys them."""
        shown = {
            "generation_rules": ", ".join(f"{n}={_short(v)}" for n, v in self.entries.items()),
            "generation_ignored": _listed(self.ignored),
        }
        return {name: text for name, text in shown.items() if text}

    def facts_elsewhere(self, where: str) -> dict[str, str]:
        """The ignored entries, for the report of a backend that obeys none.

        Args:
            where: the name of what runs the model, for the reasons.
        """
        unmet = {f"{n}={_short(v)}": f"not obeyed by {where}" for n, v in self.entries.items()}
        text = _listed({**unmet, **self.ignored})
        return {"generation_ignored": text} if text else {}


def read_rules(folder: Path, generation: Any) -> GenerationRules:
    """Read the rules of a checkpoint.

    Args:
        folder: the folder of its files.
        generation: its `GenerationConfig` of transformers.
    """
    given = {name: getattr(generation, name, None) for name in sorted(_OBEYED)}
    entries = {name: value for name, value in given.items() if _has_effect(name, value)}
    stop = generation.stop_strings or ()
    return GenerationRules(
        entries=entries,
        ignored=_ignored(_read_entries(folder)),
        search=_search(generation),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
    )


def _has_effect(name: str, value: Any) -> bool:
    """True if an entry has an effect in `generate`."""
    if value is None or value is False or value in ({}, []):
        return False
    if name in _POSITIVE:
        return bool(value > 0)
    if name in _SHARES:
        return bool(value < 1 and (value > 0 or name == "typical_p"))
    return not (name == "encoder_repetition_penalty" and value == 1)


def _read_entries(folder: Path) -> dict[str, Any]:
    """The entries of the file itself: transformers accepts unknown names without a warning."""
    path = folder / "generation_config.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _ignored(written: Mapping[str, Any]) -> dict[str, str]:
    known = vars(transformers.GenerationConfig()).keys()
    found: dict[str, str] = {}
    for name, value in written.items():
        neutral, reason = _REASONS.get(name, ((), ""))
        if not reason and name not in known:
            reason = f"unknown to transformers {transformers.__version__}"
        if reason and value is not None and value not in neutral and not name.startswith("_"):
            found[f"{name}={_short(value)}"] = reason
    return found


def _search(generation: Any) -> str | None:
    """The search that the entries choose, with their names and values; None for token by token."""
    mode = generation.get_generation_mode()
    top_k = 50 if generation.top_k is None else generation.top_k
    is_contrastive = bool(generation.penalty_alpha) and top_k > 1 and not generation.do_sample
    if mode in _PLAIN_MODES and not is_contrastive:
        return None
    given = ((name, getattr(generation, name, None)) for name in sorted(_SEARCHES))
    asked = [f"{name}={_short(value)}" for name, value in given if value is not None]
    return f"{mode.value.replace('_', ' ')} ({', '.join(asked)})"


def _listed(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{entry} ({reason})" for entry, reason in reasons.items())


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
