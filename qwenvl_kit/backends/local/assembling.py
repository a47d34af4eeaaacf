"""From a model and a processor of transformers to what the engine runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qwenvl_kit.backends.local.backend import LoadedModel
from qwenvl_kit.backends.local.quantizing import measure_weight_bytes
from qwenvl_kit.backends.local.shapes import shape_of
from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.budget.measures import PlanningRules
from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.checkpoints.sources import Checkpoint
from qwenvl_kit.errors import CheckpointError, ModelLoadError
from qwenvl_kit.families import Family
from qwenvl_kit.options import MIN_TEMPERATURE, Sampling
from qwenvl_kit.thinking import opens_thought


def assemble(
    checkpoint: Checkpoint,
    settings: Settings,
    network: Any,
    processor: Any,
    facts: Mapping[str, str],
) -> LoadedModel:
    """What the engine needs to know of a loaded checkpoint.

    Args:
        checkpoint: where its files are.
        settings: its config.json.
        network: the model of transformers.
        processor: its processor.
        facts: how it was loaded, in words.

    Raises:
        CheckpointError: its files do not fit together, or a setting cannot be used.
    """
    with _damage_of(checkpoint.name):
        _check_vocabulary(checkpoint.name, settings, processor)
        _check_patches(checkpoint.name, settings.family, processor)
        sampling = _default_sampling(checkpoint.folder, settings.family, network, processor)
        return LoadedModel(
            model=network,
            processor=processor,
            rules=_rules(settings.family, network, processor),
            sampling=sampling,
            end_ids=_end_ids(network, processor),
            facts={**facts, "sampling": describe_sampling(sampling)},
        )


def describe_sampling(sampling: Sampling) -> str:
    """The settings that differ from greedy ones, in words."""
    plain = Sampling()
    changed = {
        name: value
        for name, value in vars(sampling).items()
        if value != getattr(plain, name) or name == "max_new_tokens"
    }
    choice = "greedy, " if sampling.is_greedy else ""
    return choice + ", ".join(f"{name}={value}" for name, value in changed.items())


@contextmanager
def _damage_of(where: str) -> Iterator[None]:
    """Blame the checkpoint, not the caller, for settings in its files that cannot be used."""
    try:
        yield
    except ModelLoadError:
        raise
    except Exception as error:  # a setting may be missing or wrong in any way
        raise CheckpointError(
            f"the settings of {where} cannot be used ({type(error).__name__}: {error})",
            expected="the configuration files as they were published",
        ) from error


def _check_vocabulary(where: str, settings: Settings, processor: Any) -> None:
    """The tokenizer and the weights must be of one checkpoint: both number the placeholders."""
    family, tokenizer = settings.family, processor.tokenizer
    for name, token in (
        ("image_token_id", family.image_token),
        ("video_token_id", family.video_token),
    ):
        expected, found = settings.config.get(name), tokenizer.convert_tokens_to_ids(token)
        if expected is not None and found != expected:
            raise CheckpointError(
                f"the tokenizer of {where} gives {token} the id {found}, config.json {expected}",
                expected="the tokenizer files that were published with these weights",
            )
    if tokenizer.pad_token_id is None:
        raise CheckpointError(
            f"the tokenizer of {where} names no token for padding",
            expected="the tokenizer files that were published with these weights",
        )


def _check_patches(where: str, family: Family, processor: Any) -> None:
    """The pictures that a processor makes must be those that the vision encoder takes."""
    expected = (family.patch_side_px, family.merge_size, family.temporal_patch_frames)
    for part in (processor.image_processor, processor.video_processor):
        names = ("patch_size", "merge_size", "temporal_patch_size")
        found = tuple(getattr(part, name, None) for name in names)
        if found != expected:
            raise CheckpointError(
                f"the {type(part).__name__} of {where} has {', '.join(names)} = {found}, and the "
                f"model takes {expected}",
                expected="the settings for pictures that were published with these weights",
            )


def _rules(family: Family, network: Any, processor: Any) -> PlanningRules:
    context_tokens = network.config.get_text_config().max_position_embeddings
    if context_tokens < 1:
        raise CheckpointError(
            f"config.json says max_position_embeddings={context_tokens}",
            expected="the length of the context in tokens",
        )
    return PlanningRules(
        family=family,
        image_limits=_limits(processor.image_processor),
        video_limits=_limits(processor.video_processor),
        context_tokens=int(context_tokens),
        weight_bytes=measure_weight_bytes(network),
        shape=shape_of(network, processor),
    )


def _limits(processor: Any) -> PixelLimits:
    """The area limits that transformers writes as `shortest_edge` and `longest_edge`."""
    limits = PixelLimits(int(processor.size["shortest_edge"]), int(processor.size["longest_edge"]))
    if not 0 < limits.min_pixels <= limits.max_pixels:
        raise CheckpointError(
            f"the least and largest areas of a picture are {limits.min_pixels} and "
            f"{limits.max_pixels} pixels",
            expected="the settings for pictures as they were published",
        )
    return limits


def _default_sampling(folder: Path, family: Family, network: Any, processor: Any) -> Sampling:
    """The checkpoint's own settings; where it has none, those of its family's model cards."""
    fallback = family.thinking_sampling if _opens_with_thinking(processor) else family.sampling
    if not (folder / "generation_config.json").is_file():
        return fallback
    published = network.generation_config
    length = published.max_new_tokens or fallback.max_new_tokens
    penalty = published.repetition_penalty
    temperature = published.temperature if published.temperature is not None else 1.0
    if not published.do_sample or temperature < MIN_TEMPERATURE:  # Qwen2.5-VL says 0.000001
        return Sampling(max_new_tokens=length, repetition_penalty=penalty)
    return Sampling(
        max_new_tokens=length,
        temperature=temperature,
        top_k=published.top_k or None,
        top_p=published.top_p,
        min_p=published.min_p,
        repetition_penalty=penalty,
    )


def _opens_with_thinking(processor: Any) -> bool:
    """Whether the checkpoint's template leaves a block of thoughts open for the answer."""
    question = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    prompt = processor.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    return opens_thought(str(prompt))


def _end_ids(network: Any, processor: Any) -> frozenset[int]:
    """All that may end an answer: some checkpoints name only one of the two, some none."""
    given = [network.generation_config.eos_token_id, network.config.get_text_config().eos_token_id]
    given.append(processor.tokenizer.eos_token_id)
    ids: set[int] = set()
    for entry in given:
        if entry is not None:
            ids.update(entry if isinstance(entry, (list, tuple)) else [entry])
    if not ids:
        raise CheckpointError("the checkpoint names no token that ends an answer")
    return frozenset(ids)
