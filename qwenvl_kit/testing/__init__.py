"""For tests of code that uses the kit: tiny random models of the real architectures.

They are built in about a second, offline, and run in milliseconds. Their answers are noise, the
same noise each time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import InputError
from qwenvl_kit.families import family_of
from qwenvl_kit.processing.docstrings import spare_docstrings

__all__ = ["build_tiny_model"]


def build_tiny_model(
    folder: str | os.PathLike[str],
    family: str = "qwen2_vl",
    *,
    seed: int = 0,
    context_tokens: int = 4096,
    max_image_tokens: int = 1280,
    hidden_size: int = 64,
    num_layers: int = 4,
    vocabulary_size: int = 448,
) -> Path:
    """Write a checkpoint with random weights that loads as a published one does.

    Args:
        folder: where to write it; made if it does not exist.
        family: the model type of the architecture.
        seed: of the random weights.
        context_tokens: prompt and answer together.
        max_image_tokens: the checkpoint's own limit for one picture.
        hidden_size: width of the language model, a multiple of 32; of 64 for 4-bit quantisation.
        num_layers: its layers.
        vocabulary_size: rows of its embedding, at least 448; ids above the tokenizer's own have
            no text.

    Returns:
        The folder.

    Raises:
        UnknownFamilyError: no such family.
        InputError: a size that cannot be built.
    """
    _check_sizes(hidden_size, num_layers, vocabulary_size)
    spare_docstrings()
    import torch
    import transformers

    from qwenvl_kit.testing.architectures import Dimensions, build_config
    from qwenvl_kit.testing.processors import build_processor

    kind = family_of(family)
    path = Path(folder)
    processor = build_processor(kind, max_image_tokens)
    dimensions = Dimensions(hidden_size, num_layers, vocabulary_size, context_tokens)
    config = build_config(kind, dimensions, processor.tokenizer)
    with torch.random.fork_rng():  # the caller's own random numbers stay as they were
        torch.manual_seed(seed)
        model = getattr(transformers, kind.model_class)(config)
    model.generation_config = _generation_config(config)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


def _check_sizes(hidden_size: int, num_layers: int, vocabulary_size: int) -> None:
    if hidden_size < 32 or hidden_size % 32:
        raise InputError(f"hidden_size={hidden_size} was given", expected="a multiple of 32")
    if num_layers < 1:
        raise InputError(f"num_layers={num_layers} was given", expected="at least 1")
    if vocabulary_size < 448:
        raise InputError(f"vocabulary_size={vocabulary_size} was given", expected="at least 448")


def _generation_config(config: Any) -> Any:
    import transformers

    return transformers.GenerationConfig(
        eos_token_id=[config.text_config.eos_token_id, config.text_config.bos_token_id],
        pad_token_id=config.text_config.pad_token_id,
    )
