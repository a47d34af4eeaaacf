"""Tiny models with random weights in the real architectures, for tests of code that uses the kit.

They are built offline in about a second and run in milliseconds. Their answers are noise, and the
same noise for the same seed.
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
    """Write a checkpoint with random weights, which loads in the same way as a published one.

        folder = build_tiny_model(tmp_path / "model", "qwen3_vl")
        chat = VisionChat.from_pretrained(folder)

    Args:
        folder: folder to write it to; created if it does not exist.
        family: model type of the architecture, such as "qwen2_vl" or "qwen3_5".
        seed: seed of the random weights.
        context_tokens: most tokens of prompt and answer together.
        max_image_tokens: the checkpoint's own limit of visual tokens for one picture.
        hidden_size: hidden size of the language model: a multiple of 32, and of 64 for 4-bit
            quantisation.
        num_layers: layers of the language model.
        vocabulary_size: rows of the embedding, at least 448. Token ids above those of the
            tokenizer have no text.

    Returns:
        The folder.

    Raises:
        UnknownFamilyError: there is no such family.
        InputError: a size is out of its range.
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
