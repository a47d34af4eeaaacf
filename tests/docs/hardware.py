"""README's table of hardware, by the kit's own arithmetic: `python -m tests.docs.hardware`.

Models are built by transformers on the device "meta", which holds no values, from the sizes in
their published config.json. No weights and no network are needed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Literal, NamedTuple

from qwenvl_kit.backends.local.memory import shape_of
from qwenvl_kit.budget.memory import predict_activation_bytes, predict_cache_bytes
from qwenvl_kit.budget.shapes import ModelShape
from qwenvl_kit.checkpoints.memory import count_parameters, predict_weight_bytes
from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.checkpoints.weights import TensorInfo
from qwenvl_kit.families import family_of
from qwenvl_kit.geometry import Size
from qwenvl_kit.plans import ImagePlan
from tests.docs.blocks import ROOT

BEGIN, END = "<!-- hardware: begin -->\n", "<!-- hardware: end -->\n"
CARDS_GB = (8, 16, 24, 80)
PRECISIONS: Mapping[Literal["bfloat16", "4bit"], str] = {"bfloat16": "bf16", "4bit": "4-bit"}
IMAGE_SIDE_TOKENS = 32
"""Of a square picture: 1,024 visual tokens."""

ANSWER_TOKENS = 512

_VISION_2 = {
    **{"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16, "in_channels": 3},
    **{"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2},
}
_VISION_2_5 = {
    **{"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16},
    **{"in_channels": 3, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2},
}
_VISION_3 = {
    **{"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16},
    **{"in_channels": 3, "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2},
    **{"num_position_embeddings": 2304, "deepstack_visual_indexes": [8, 16, 24]},
}


def _text(
    width: int, mlp: int, layers: int, heads: int, key_heads: int, **others: Any
) -> Mapping[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "vocab_size": 151_936,
        "tie_word_embeddings": False,
        **others,
    }


class Published(NamedTuple):
    """A published checkpoint, as far as memory depends on it.

    Attributes:
        billions: parameters, as its publisher counts them.
        is_among_side_files: True if its config.json is among the side files of published
            checkpoints, with which the sizes are compared.
    """

    family: str
    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    context_tokens: int
    billions: float
    is_among_side_files: bool = False


_TIED = {"tie_word_embeddings": True}
_HYBRID = ["linear_attention"] * 3 + ["full_attention"]
MODELS: Mapping[str, Published] = {
    "Qwen2-VL-2B-Instruct": Published(
        "qwen2_vl",
        _text(1536, 8960, 28, 12, 2, **_TIED),
        {**_VISION_2, "hidden_size": 1536},
        32_768,
        2.2,
        is_among_side_files=True,
    ),
    "Qwen3.5-2B": Published(
        "qwen3_5",
        _text(
            *(2048, 6144, 24, 8, 2),
            **_TIED,
            head_dim=256,
            vocab_size=248_320,
            layer_types=_HYBRID * 6,
            linear_conv_kernel_dim=4,
            linear_key_head_dim=128,
            linear_num_key_heads=16,
            linear_num_value_heads=16,
            linear_value_head_dim=128,
            attn_output_gate=True,
        ),
        {
            **_VISION_3,
            **{"depth": 24, "hidden_size": 1024, "intermediate_size": 4096},
            **{"out_hidden_size": 2048, "deepstack_visual_indexes": []},
        },
        262_144,
        2.2,
        is_among_side_files=True,
    ),
    "Qwen2.5-VL-3B-Instruct": Published(
        "qwen2_5_vl",
        _text(2048, 11_008, 36, 16, 2, **_TIED),
        {**_VISION_2_5, "out_hidden_size": 2048},
        128_000,
        3.8,
        is_among_side_files=True,
    ),
    "Qwen2.5-VL-7B-Instruct": Published(
        "qwen2_5_vl",
        _text(3584, 18_944, 28, 28, 4, vocab_size=152_064),
        {**_VISION_2_5, "out_hidden_size": 3584},
        128_000,
        8.3,
    ),
    "Qwen3-VL-8B-Instruct": Published(
        "qwen3_vl",
        _text(4096, 12_288, 36, 32, 8, head_dim=128),
        {**_VISION_3, "out_hidden_size": 4096},
        262_144,
        8.8,
        is_among_side_files=True,
    ),
    "Qwen3-VL-32B-Instruct": Published(
        "qwen3_vl",
        _text(5120, 25_600, 64, 64, 8, head_dim=128),
        {**_VISION_3, "out_hidden_size": 5120},
        262_144,
        33.4,
    ),
    "Qwen2.5-VL-72B-Instruct": Published(
        "qwen2_5_vl",
        _text(8192, 29_568, 80, 64, 8, vocab_size=152_064),
        {**_VISION_2_5, "out_hidden_size": 8192},
        128_000,
        73.4,
    ),
}


class Measured(NamedTuple):
    """What the kit's arithmetic takes of a model: the settings, the tensors, the shape."""

    settings: Settings
    tensors: tuple[TensorInfo, ...]
    shape: ModelShape


@cache
def measured(name: str) -> Measured:
    """A model, built without values."""
    import torch
    import transformers

    model, family = MODELS[name], family_of(MODELS[name].family)
    config_class = getattr(transformers, family.model_class).config_class
    # A config changes the dicts that it is made of.
    text, vision = copy.deepcopy(dict(model.text)), copy.deepcopy(dict(model.vision))
    is_tied = text.pop("tie_word_embeddings")
    config = config_class(text_config=text, vision_config=vision, tie_word_embeddings=is_tied)
    with torch.device("meta"):
        network = getattr(transformers, family.model_class)(config)
    network = network.to(torch.bfloat16)
    settings = Settings(
        family,
        {
            "model_type": model.family,
            "text_config": model.text,
            "vision_config": model.vision,
            "tie_word_embeddings": is_tied,
        },
    )
    tensors = tuple(
        TensorInfo(tensor, "BF16", tuple(values.shape))
        for tensor, values in network.state_dict().items()
    )
    shape = shape_of(network, _Processor(model.vision))
    # On a GPU: nothing of the processor's memory counts.
    return Measured(settings, tensors, replace(shape, shares_host_memory=False))


class _Processor:
    """As much of a processor as `shape_of` reads."""

    def __init__(self, vision: Mapping[str, Any]) -> None:
        self.image_processor = self
        self.patch_size = vision["patch_size"]
        self.temporal_patch_size = vision["temporal_patch_size"]


def num_parameters(name: str) -> int:
    """The parameters of a model, as `inspect` counts them."""
    model = measured(name)
    return count_parameters(model.tensors, model.settings) or 0


def request_bytes(name: str, total_tokens: int) -> int:
    """Keys, values and activations of one request at its peak: a picture, text and the answer."""
    shape, family = measured(name).shape, measured(name).settings.family
    side = IMAGE_SIDE_TOKENS * family.token_side_px
    picture = ImagePlan(
        where="messages[0].parts[0]",
        original=Size(side, side),
        resized=Size(side, side),
        tokens=IMAGE_SIDE_TOKENS**2,
    )
    sizes = (total_tokens - ANSWER_TOKENS, ANSWER_TOKENS)
    activations = predict_activation_bytes(shape, [picture], family, *sizes)
    return predict_cache_bytes(shape, *sizes) + activations


def longest_request(name: str, weight_bytes: int, card_gb: int) -> int:
    """The longest prompt and answer together that fit beside the weights; 0 if none does.

    A card of 8 GB is taken for 8e9 bytes. It has 7 % more, which CUDA and its driver take.
    """
    least, most = IMAGE_SIDE_TOKENS**2 + 2 * ANSWER_TOKENS, MODELS[name].context_tokens
    free_bytes = card_gb * 10**9 - weight_bytes
    if request_bytes(name, least) > free_bytes:
        return 0
    while least < most:
        middle = (least + most + 1) // 2
        is_fitting = request_bytes(name, middle) <= free_bytes
        least, most = (middle, most) if is_fitting else (least, middle - 1)
    return least


def rows() -> Iterator[str]:
    """The lines of the table, but for those of weights that fit nowhere or gain nothing."""
    cards = " | ".join(f"{card} GB" for card in CARDS_GB)
    yield f"| checkpoint | weights | {cards} |"
    yield "|---" * (2 + len(CARDS_GB)) + "|"
    for name in MODELS:
        model, is_all = measured(name), False
        for precision, word in PRECISIONS.items():
            size = predict_weight_bytes(model.tensors, model.settings, precision)
            counts = [longest_request(name, size, card) for card in CARDS_GB]
            if any(counts) and not is_all:
                told = " | ".join(_tokens(count, name) for count in counts)
                yield f"| {name} | {word}, {size / 1e9:.1f} GB | {told} |"
            is_all = is_all or min(counts) == MODELS[name].context_tokens


def _tokens(count: int, name: str) -> str:
    if not count:
        return "no"
    return "all" if count == MODELS[name].context_tokens else f"{count // 1000}k"


def table() -> str:
    """The table as README has it."""
    return "\n".join(rows()) + "\n"


def main() -> None:
    """Write the table into README."""
    path = ROOT / "README.md"
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    path.write_text(f"{before}{BEGIN}{table()}{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
