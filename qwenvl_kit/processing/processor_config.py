"""The published parts of a checkpoint apart from its weights: processor, limits and settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers

from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.budget.measures import PlanningRules
from qwenvl_kit.checkpoints.completeness import check_counts
from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.processors import (
    PROCESSORS,
    check_processor,
    unknown_class_error,
    where_class_is_said,
)
from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.checkpoints.trained_with import ModelIdentity
from qwenvl_kit.errors import CheckpointError, ModelLoadError
from qwenvl_kit.families import Family
from qwenvl_kit.messages.thinking import opens_thought
from qwenvl_kit.options import MIN_TEMPERATURE, Sampling
from qwenvl_kit.processing.docstrings import spare_docstrings
from qwenvl_kit.processing.generation_rules import GenerationRules, read_rules
from qwenvl_kit.processing.resizing import Resizer
from qwenvl_kit.prompts.chat_template import chat_template_of

spare_docstrings()

_TOP_K = 50
"""The `top_k` of `generate` for a checkpoint that samples and gives none; 0 means all tokens
(`GenerationConfig._get_default_generation_params`)."""


_LEAST_TOP_P = 1e-9
"""The value that stands for a `top_p` of 0: as in `generate`, only the likeliest token is left."""


@dataclass(frozen=True)
class Published:
    """The parts of a checkpoint apart from its weights.

    Attributes:
        processor: the processor of transformers.
        rules: the facts for planning, without those of the weights.
        sampling: its default settings for sampling.
        generation: the rules of its generation_config.json, which hold for every request.
        resizer: resizes pictures and frames to their planned sizes.
        end_ids: the tokens that end an answer.
        identity: the name, revision, family and chat template of the checkpoint.
    """

    processor: Any
    rules: PlanningRules
    sampling: Sampling
    generation: GenerationRules
    resizer: Resizer
    end_ids: frozenset[int]
    identity: ModelIdentity


def load_published(checkpoint: Checkpoint, settings: Settings) -> Published:
    """Read the published parts of a checkpoint from its small files.

    Raises:
        CheckpointError: a file is damaged, or the files do not fit together.
    """
    check_counts(checkpoint, settings)
    check_generation(checkpoint)
    processor = load_processor(checkpoint)
    with blaming_settings(checkpoint.name):
        config = transformers.AutoConfig.from_pretrained(
            checkpoint.folder, trust_remote_code=False, local_files_only=True
        )
        generation = _generation(checkpoint.folder, config)
    return published_of(checkpoint, settings, processor, config, generation)


def published_of(
    checkpoint: Checkpoint, settings: Settings, processor: Any, config: Any, generation: Any
) -> Published:
    """Collect the published parts of a checkpoint whose files are loaded.

    Args:
        checkpoint: the place of its files.
        settings: its config.json.
        processor: its processor.
        config: its configuration of transformers.
        generation: its `GenerationConfig` of transformers.

    Raises:
        CheckpointError: its files do not fit together, or a setting cannot be used.
    """
    with blaming_settings(checkpoint.name):
        _check_vocabulary(checkpoint.name, settings, config, processor)
        _check_embeddings(checkpoint.name, config, processor)
        _check_patches(checkpoint.name, settings.family, processor)
        return Published(
            processor=processor,
            rules=_rules(settings.family, config, processor),
            sampling=_default_sampling(checkpoint.folder, settings.family, generation, processor),
            generation=read_rules(checkpoint.folder, generation),
            resizer=Resizer.of(processor),
            end_ids=_end_ids(config, generation, processor),
            identity=identity_of(checkpoint, settings, processor),
        )


def identity_of(checkpoint: Checkpoint, settings: Settings, processor: Any) -> ModelIdentity:
    """The identity of a checkpoint, for comparison with what an adapter was trained with."""
    template = processor.chat_template
    text = template if isinstance(template, str) else json.dumps(template, sort_keys=True)
    return ModelIdentity(
        model=checkpoint.name,
        revision=checkpoint.revision,
        family=settings.family.model_type,
        template=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
    )


def load_processor(checkpoint: Checkpoint) -> Any:
    """Load the processor of a checkpoint.

    Raises:
        CheckpointError: its files are missing or damaged, or it brings its own code.
    """
    check_processor(checkpoint.folder)
    try:
        processor = transformers.AutoProcessor.from_pretrained(
            checkpoint.folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # transformers raises many kinds for missing or damaged files
        if "trust_remote_code" in str(error):
            raise CheckpointError(
                f"{checkpoint.name} brings code of its own (auto_map), which is never run",
                expected="a checkpoint that transformers itself can load",
                hint="the checkpoint that it was made from",
            ) from error
        raise CheckpointError(
            f"the processor of {checkpoint.name} cannot be loaded "
            f"({type(error).__name__}: {error})",
            expected="tokenizer, preprocessor_config.json and a chat template",
        ) from error
    _check_parts(checkpoint, processor)
    _adopt_template(checkpoint.name, processor)
    return processor


def _check_parts(checkpoint: Checkpoint, processor: Any) -> None:
    """Check that a processor has all parts: for an unknown class transformers loads a tokenizer."""
    parts = ("tokenizer", "image_processor", "video_processor")
    if all(getattr(processor, part, None) is not None for part in parts):
        return
    said = where_class_is_said(checkpoint.folder)
    if said is not None:
        raise unknown_class_error(*said)
    raise CheckpointError(
        f"the files of {checkpoint.name} make a {type(processor).__name__}, which sees no pictures",
        expected=f"processor_class in preprocessor_config.json, one of {', '.join(PROCESSORS)}",
        hint="the entry of the base model's file",
    )


def _adopt_template(where: str, processor: Any) -> None:
    """Give the processor the tokenizer's template if it has none of its own.

    Many programs save the template only in tokenizer_config.json, which the processors of
    transformers do not read.
    """
    if not processor.chat_template:
        processor.chat_template = processor.tokenizer.chat_template
    if not processor.chat_template:
        raise CheckpointError(
            f"{where} has no chat template",
            expected="chat_template.jinja, chat_template.json, or the entry in "
            "tokenizer_config.json, with a text in it",
            hint="the file of the base model",
        )


def check_generation(checkpoint: Checkpoint) -> None:
    """Check generation_config.json, so that a fault in it is not reported as one of the weights.

    Raises:
        CheckpointError: it cannot be used.
    """
    if not (checkpoint.folder / "generation_config.json").is_file():
        return
    try:
        transformers.GenerationConfig.from_pretrained(checkpoint.folder, local_files_only=True)
    except Exception as error:  # any of its entries may be wrong in any way
        raise CheckpointError(
            f"generation_config.json of {checkpoint.name} cannot be used "
            f"({type(error).__name__}: {error})",
            expected="the file as it was published",
        ) from error


def _generation(folder: Path, config: Any) -> Any:
    """The `GenerationConfig` of a checkpoint, as transformers gives it to its model."""
    if (folder / "generation_config.json").is_file():
        return transformers.GenerationConfig.from_pretrained(folder, local_files_only=True)
    return transformers.GenerationConfig.from_model_config(config)


@contextmanager
def blaming_settings(where: str) -> Iterator[None]:
    """Turn any error within the block into a `CheckpointError`: its settings cannot be used."""
    try:
        yield
    except ModelLoadError:
        raise
    except Exception as error:  # a setting may be missing or wrong in any way
        raise CheckpointError(
            f"the settings of {where} cannot be used ({type(error).__name__}: {error})",
            expected="the configuration files as they were published",
        ) from error


def _check_vocabulary(where: str, settings: Settings, config: Any, processor: Any) -> None:
    """Check that tokenizer and config.json give the placeholders the same ids.

    An id that config.json leaves out counts with the default of transformers, because the model
    looks for that id.
    """
    family, tokenizer = settings.family, processor.tokenizer
    for name, token in (
        ("image_token_id", family.image_token),
        ("video_token_id", family.video_token),
    ):
        expected, found = getattr(config, name, None), tokenizer.convert_tokens_to_ids(token)
        is_said = name in settings.config
        if found != expected and (is_said or expected is not None):
            said = "" if is_said else f"does not say {name}, for which transformers takes "
            raise CheckpointError(
                f"the tokenizer of {where} gives {token} the id {found}, config.json "
                f"{said}{expected}",
                expected="the tokenizer files that were published with these weights"
                if is_said
                else f"{name} in config.json, as in the config.json of the base model",
            )
    if tokenizer.pad_token_id is None:
        raise CheckpointError(
            f"the tokenizer of {where} names no token for padding",
            expected="the tokenizer files that were published with these weights",
        )


def _check_embeddings(where: str, config: Any, processor: Any) -> None:
    """Check that each token has a row in the embedding: others would break the first answer."""
    tokenizer, num_rows = processor.tokenizer, int(config.get_text_config().vocab_size)
    added = tokenizer.added_tokens_decoder
    last = max(len(tokenizer) - 1, *added)
    if last >= num_rows:
        last_token = added[last].content if last in added else tokenizer.convert_ids_to_tokens(last)
        raise CheckpointError(
            f"the tokenizer of {where} has tokens up to the id {last} ({last_token!r}), and the "
            f"model's embedding has {num_rows} rows",
            expected="a tokenizer that was made for these weights",
            hint="the tokenizer files of the base model; or resize_token_embeddings, before "
            "training with tokens that are new",
        )


def _check_patches(where: str, family: Family, processor: Any) -> None:
    """Check that the processor makes patches of the size that the vision encoder takes."""
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


def _rules(family: Family, config: Any, processor: Any) -> PlanningRules:
    context_tokens = config.get_text_config().max_position_embeddings
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
        writes_between_frames=family.video_layout == "timestamped groups",
    )


def _limits(processor: Any) -> PixelLimits:
    """The limits of a picture's area, which transformers calls `shortest_edge`, `longest_edge`."""
    areas = [processor.size[edge] for edge in ("shortest_edge", "longest_edge")]
    if None in areas:
        raise CheckpointError(
            f"the {type(processor).__name__} has size={dict(processor.size)}",
            expected='{"shortest_edge": least area, "longest_edge": largest area}, in pixels',
            hint="size in preprocessor_config.json and video_preprocessor_config.json as the base "
            "model has it",
        )
    limits = PixelLimits(*map(int, areas))
    if not 0 < limits.min_pixels <= limits.max_pixels:
        raise CheckpointError(
            f"the least and largest areas of a picture are {limits.min_pixels} and "
            f"{limits.max_pixels} pixels",
            expected="the settings for pictures as they were published",
        )
    return limits


def _default_sampling(folder: Path, family: Family, generation: Any, processor: Any) -> Sampling:
    """The checkpoint's own settings, or those of its family's model cards if it has none."""
    fallback = family.thinking_sampling if _opens_with_thinking(processor) else family.sampling
    if not (folder / "generation_config.json").is_file():
        return fallback
    temperature = 1.0 if generation.temperature is None else generation.temperature
    common = {**_lengths(generation, fallback), "repetition_penalty": generation.repetition_penalty}
    if not generation.do_sample or temperature < MIN_TEMPERATURE:  # Qwen2.5-VL says 0.000001
        return Sampling(**common)
    return Sampling(
        temperature=temperature,
        top_k=(_TOP_K if generation.top_k is None else generation.top_k) or None,
        top_p=generation.top_p or (None if generation.top_p is None else _LEAST_TOP_P),
        min_p=generation.min_p,
        **common,
    )


def _lengths(generation: Any, fallback: Sampling) -> dict[str, Any]:
    """The settings that end an answer.

    `max_new_tokens` takes precedence over `max_length`, which counts the prompt too.
    """
    total = None if generation.max_new_tokens else generation.max_length
    stop = generation.stop_strings or ()
    return {
        "max_new_tokens": generation.max_new_tokens or total or fallback.max_new_tokens,
        "max_total_tokens": total,
        "max_seconds": generation.max_time,
        "stop": (stop,) if isinstance(stop, str) else tuple(stop),
    }


def _opens_with_thinking(processor: Any) -> bool:
    """True if a prompt of the checkpoint's template ends within an open block of thoughts."""
    question = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    return opens_thought(chat_template_of(processor).render(question))


def _end_ids(config: Any, generation: Any, processor: Any) -> frozenset[int]:
    """The tokens that end an answer: some checkpoints name only one of two, some name none."""
    given = [generation.eos_token_id, config.get_text_config().eos_token_id]
    given.append(processor.tokenizer.eos_token_id)
    ids: set[int] = set()
    for entry in given:
        if entry is not None:
            ids.update(entry if isinstance(entry, (list, tuple)) else [entry])
    if not ids:
        raise CheckpointError("the checkpoint names no token that ends an answer")
    return frozenset(ids)
