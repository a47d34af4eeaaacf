"""Processors of tiny models: a small tokenizer, a plain chat template, the family's own patches."""

from __future__ import annotations

from typing import Any

from qwenvl_kit.families import Family

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


def build_processor(family: Family, max_image_tokens: int) -> Any:
    """Build a processor of the family's own classes."""
    import transformers

    patches = {
        "patch_size": family.patch_side_px,
        "merge_size": family.merge_size,
        "temporal_patch_size": family.temporal_patch_frames,
        "size": {
            "shortest_edge": 4 * family.token_side_px**2,
            "longest_edge": max_image_tokens * family.token_side_px**2,
        },
    }
    processor_class, video_class = _classes(family)
    return getattr(transformers, processor_class)(
        image_processor=transformers.Qwen2VLImageProcessor(**patches),
        video_processor=getattr(transformers, video_class)(**patches),
        tokenizer=build_tokenizer(),
        chat_template=CHAT_TEMPLATE,
    )


def _classes(family: Family) -> tuple[str, str]:
    """The class names of a family's processor and video processor in published checkpoints."""
    if family.video_layout == "timestamped groups":
        return "Qwen3VLProcessor", "Qwen3VLVideoProcessor"
    if family.positions_in_seconds:
        return "Qwen2_5_VLProcessor", "Qwen2VLVideoProcessor"
    return "Qwen2VLProcessor", "Qwen2VLVideoProcessor"


def build_tokenizer() -> Any:
    """Build a byte-level tokenizer that splits text like Qwen's, with a small vocabulary."""
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
