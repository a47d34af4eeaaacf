"""For tests of code that uses the kit: tiny random models of the real architectures.

They are built in about a second, offline, and run in milliseconds. Their answers are noise, the
same noise each time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qwenvl_kit.families import family_of

SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
"""The special tokens of every Qwen vision-language tokenizer (tokenizer_config.json)."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}"
    "{% if part.type in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML with Qwen's vision tokens, without a default system message."""

_CORPUS = (
    "What is in this image? Describe the picture in detail. How many people are there?",
    "Answer yes or no. The colour of the car is red, the sky is blue. user assistant system",
)


def build_tiny_model(
    folder: str | os.PathLike[str],
    family: str = "qwen2_vl",
    *,
    seed: int = 0,
    context_tokens: int = 4096,
    max_image_tokens: int = 1280,
) -> Path:
    """Write a checkpoint with random weights that loads as a published one does.

    Args:
        folder: where to write it; made if it does not exist.
        family: the model type of the architecture.
        seed: of the random weights.
        context_tokens: prompt and answer together.
        max_image_tokens: the checkpoint's own limit for one picture.

    Returns:
        The folder.

    Raises:
        UnknownFamilyError: no such family.
    """
    import torch
    import transformers

    kind = family_of(family)
    path = Path(folder)
    processor = _build_processor(max_image_tokens)
    config = _build_config(processor.tokenizer, context_tokens)
    with torch.random.fork_rng():  # the caller's own random numbers stay as they were
        torch.manual_seed(seed)
        model = getattr(transformers, kind.model_class)(config)
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=[config.text_config.eos_token_id, config.text_config.bos_token_id],
        pad_token_id=config.text_config.pad_token_id,
    )
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


def _build_processor(max_image_tokens: int) -> Any:
    import transformers

    size = {"shortest_edge": 4 * 28 * 28, "longest_edge": max_image_tokens * 28 * 28}
    return transformers.Qwen2VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(size=dict(size)),
        video_processor=transformers.Qwen2VLVideoProcessor(size=dict(size)),
        tokenizer=_build_tokenizer(),
        chat_template=CHAT_TEMPLATE,
    )


def _build_tokenizer() -> Any:
    """A byte-level tokenizer that splits text as Qwen's does, with a small vocabulary."""
    import transformers
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_CORPUS * 4, trainer)
    bpe.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL_TOKENS])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", padding_side="left"
    )


def _build_config(tokenizer: Any, context_tokens: int) -> Any:
    import transformers

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    text = {
        "vocab_size": (len(tokenizer) + 63) // 64 * 64,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": context_tokens,
        "initializer_range": 0.15,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [2, 3, 3],
        },
    }
    vision = {
        "depth": 2,
        "embed_dim": 32,
        "hidden_size": 64,
        "num_heads": 2,
        "mlp_ratio": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    return transformers.Qwen2VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
