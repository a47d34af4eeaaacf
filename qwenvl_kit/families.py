"""Model families: every difference between them, as data.

Other code reads these fields and never asks for a family by its name. The exception is
`testing/architectures.py`, which has the shape of a tiny model for each family: a new family needs
an entry there too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from qwenvl_kit.errors import UnknownFamilyError
from qwenvl_kit.options import Sampling

VideoLayout: TypeAlias = Literal["one span", "timestamped groups"]
"""The layout of a video in a prompt: all its visual tokens in one run, or one run for each group of
frames that share their patches, each after its time in words."""

BoxFormat: TypeAlias = Literal["box tokens", "json"]
"""The format of bounding boxes: between special tokens, or as JSON."""

Coordinates: TypeAlias = Literal["thousandths", "resized pixels"]
"""The unit of coordinates: thousandths of the picture's sides, or pixels of the resized picture."""

PlaceKind: TypeAlias = Literal["box", "point", "attributes", "outline", "path", "box in space"]
"""A kind of place in an answer: a box in the picture, a point, either of them with further fields
such as a name in two languages, an outline of several corners, points in their order, and a box in
the space in front of the camera."""

Ability: TypeAlias = Literal[
    "html", "markdown", "attributes", "outline", "path", "box in space", "image tools"
]
"""An ability that one checkpoint may have and its family need not: a form of a document's page, a
kind of place, or calls of image tools."""

LimitScope: TypeAlias = Literal["frame", "video"]
"""The scope of a checkpoint's pixel limits for videos: one frame, or all frames together."""


LABEL_MARKS = ("<|object_ref_start|>", "<|object_ref_end|>")
BOX_MARKS = ("<|box_start|>", "<|box_end|>")
PLACE_MARKS = (*LABEL_MARKS, *BOX_MARKS, "<|quad_start|>", "<|quad_end|>")
"""The special tokens of places (model card of Qwen2-VL): those that models write themselves."""

_GREEDY = Sampling()

_THINKING_TOKENS = 8192
"""Most tokens while thinking: an answer that is cut off in its thoughts is no answer. The model
cards allow 40,960."""


@dataclass(frozen=True)
class DocumentPrompt:
    """A prompt for a page of a document.

    Attributes:
        text: the text after the picture.
        system: the system message; empty for none.
    """

    text: str
    system: str = ""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family of Qwen vision-language models.

    Attributes:
        model_type: the name in a checkpoint's config.json.
        model_class: the class of transformers that runs it.
        since_transformers: the first version of transformers that has this class.
        since_torch: the first version of torch that runs it.
        patch_side_px: side of the square that the vision encoder takes as one patch.
        merge_size: patches per side that are merged into one visual token.
        temporal_patch_frames: frames of a video that share their patches.
        max_aspect_ratio: longest side over shortest that its processor accepts.
        video_layout: layout of a video in a prompt.
        video_limit_scope: scope of the pixel limits for videos.
        positions_in_seconds: True if the temporal positions of a video follow the duration of a
            group of frames.
        image_token, video_token: placeholder in a rendered prompt that the visual tokens of a
            picture or video replace.
        vision_start_token, vision_end_token: tokens before and after the placeholder.
        box_format: format in which it writes bounding boxes.
        coordinates: unit of the coordinates of boxes and points.
        document_prompts: the prompts by which it writes a page of a document as it was trained to,
            by form: "html" or "markdown".
        places: kinds of places that it was trained to write, by its cookbooks and model cards; an
            answer with others would be noise.
        calls_image_tools: True if it was trained to zoom into pictures by calls of a tool while it
            thinks (cookbook `think_with_images.ipynb` of Qwen3-VL).
        sampling: sampling that the publisher recommends, for checkpoints that set none.
        thinking_sampling: the same for answers with thinking.
        needs_tokenizer_json: True if transformers reads the vocabulary from tokenizer.json alone.
            From vocab.json and merges.txt it would build a vocabulary of a single token.
        reads_old_layout: True if transformers reads checkpoints in the layout before 4.52: the
            settings of the language model at the top of config.json, and tensors without
            `language_model` in their names.
        is_mixture_of_experts: True if each token passes through a few of many experts.
        tensor_name_parts: parts of tensor names; no other family has all of them.
        min_pixels, max_pixels: limits of a picture's area in its published checkpoints.
        min_video_pixels, max_video_pixels: the same for videos, in the `video_limit_scope`.
        unquantizable: ends of the names of layers whose shape bitsandbytes cannot quantise.

    Source of the numbers: the published checkpoints' preprocessor_config.json, the family's
    processor in transformers (`smart_resize`, `replace_video_token`), and for `sampling` the
    model cards.
    """

    model_type: str
    model_class: str
    since_transformers: str
    patch_side_px: int
    since_torch: str = "2.6"
    merge_size: int = 2
    temporal_patch_frames: int = 2
    max_aspect_ratio: float = 200.0
    video_layout: VideoLayout = "one span"
    video_limit_scope: LimitScope = "frame"
    positions_in_seconds: bool = False
    image_token: str = "<|image_pad|>"
    video_token: str = "<|video_pad|>"
    vision_start_token: str = "<|vision_start|>"
    vision_end_token: str = "<|vision_end|>"
    box_format: BoxFormat = "json"
    coordinates: Coordinates = "thousandths"
    document_prompts: tuple[tuple[str, DocumentPrompt], ...] = ()
    places: frozenset[PlaceKind] = frozenset({"box"})
    calls_image_tools: bool = False
    sampling: Sampling = _GREEDY
    thinking_sampling: Sampling = _GREEDY
    needs_tokenizer_json: bool = False
    reads_old_layout: bool = False
    is_mixture_of_experts: bool = False
    tensor_name_parts: tuple[str, ...] = ()
    min_pixels: int = 4 * 28**2
    max_pixels: int = 16384 * 28**2
    min_video_pixels: int = 4 * 28**2
    max_video_pixels: int = 16384 * 28**2
    unquantizable: tuple[str, ...] = ()

    @property
    def has_deepstack(self) -> bool:
        """True if blocks of the vision encoder feed layers of the language model directly."""
        return any("deepstack" in part for part in self.tensor_name_parts)

    @property
    def token_side_px(self) -> int:
        """Side in pixels of the square that one visual token covers."""
        return self.patch_side_px * self.merge_size


_QWEN2_VL = Family(
    model_type="qwen2_vl",
    model_class="Qwen2VLForConditionalGeneration",
    since_transformers="4.45",
    patch_side_px=14,
    box_format="box tokens",
    reads_old_layout=True,
    tensor_name_parts=("blocks.0.mlp.fc1.",),
)
_QWEN2_5_VL = replace(
    _QWEN2_VL,
    model_type="qwen2_5_vl",
    model_class="Qwen2_5_VLForConditionalGeneration",
    since_transformers="4.49",
    tensor_name_parts=("blocks.0.mlp.gate_proj.",),
    positions_in_seconds=True,
    box_format="json",
    coordinates="resized pixels",
    # Cookbook `document_parsing.ipynb` of Qwen2.5-VL.
    document_prompts=(
        (
            "html",
            DocumentPrompt(
                "QwenVL HTML",
                "You are an AI specialized in recognizing and extracting text from images. Your "
                "mission is to analyze the image document and generate the result in QwenVL "
                "Document Parser HTML format using specified tags while maintaining user privacy "
                "and data integrity.",
            ),
        ),
    ),
    places=frozenset({"box", "point", "attributes"}),  # cookbook spatial_understanding.ipynb
)
_QWEN3_VL = Family(
    model_type="qwen3_vl",
    model_class="Qwen3VLForConditionalGeneration",
    since_transformers="4.57",
    patch_side_px=16,
    calls_image_tools=True,
    tensor_name_parts=("deepstack_merger_list.",),
    video_layout="timestamped groups",
    video_limit_scope="video",
    # Cookbooks 2d_grounding, 3d_grounding, omni_recognition and spatial_understanding.
    places=frozenset({"box", "point", "attributes", "outline", "path", "box in space"}),
    min_pixels=64 * 32**2,
    max_pixels=16384 * 32**2,
    min_video_pixels=4 * 32**2,
    max_video_pixels=24576 * 32**2,
    # Cookbook `document_parsing.ipynb` of Qwen3-VL.
    document_prompts=(
        ("html", DocumentPrompt("qwenvl html")),
        ("markdown", DocumentPrompt("qwenvl markdown")),
    ),
    # Model cards of Qwen3-VL, "Generation Hyperparameters", for pictures.
    sampling=Sampling(temperature=0.7, top_p=0.8, top_k=20, presence_penalty=1.5),
    thinking_sampling=Sampling(
        temperature=1.0, top_p=0.95, top_k=20, max_new_tokens=_THINKING_TOKENS
    ),
)
_QWEN3_5 = replace(
    _QWEN3_VL,
    model_type="qwen3_5",
    model_class="Qwen3_5ForConditionalGeneration",
    since_transformers="5.2",
    tensor_name_parts=(".linear_attn.",),
    # Model cards of Qwen3.5: "Non-thinking mode for VL tasks" as above, "Thinking mode for VL".
    thinking_sampling=Sampling(
        temperature=0.6, top_p=0.95, top_k=20, max_new_tokens=_THINKING_TOKENS
    ),
    needs_tokenizer_json=True,
    # A row for each head, and a single row: bitsandbytes wants multiples of 32.
    unquantizable=("in_proj_a", "in_proj_b", "shared_expert_gate"),
)

_EXPERTS = ".mlp.experts."

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.model_type: family
        for family in (
            _QWEN2_VL,
            _QWEN2_5_VL,
            _QWEN3_VL,
            replace(
                _QWEN3_VL,
                model_type="qwen3_vl_moe",
                model_class="Qwen3VLMoeForConditionalGeneration",
                is_mixture_of_experts=True,
                tensor_name_parts=(*_QWEN3_VL.tensor_name_parts, _EXPERTS),
            ),
            _QWEN3_5,
            replace(
                _QWEN3_5,
                model_type="qwen3_5_moe",
                model_class="Qwen3_5MoeForConditionalGeneration",
                is_mixture_of_experts=True,
                tensor_name_parts=(*_QWEN3_5.tensor_name_parts, _EXPERTS),
            ),
            replace(
                _QWEN3_5,
                model_type="qwen4_exp",
                model_class="Qwen4ExpForConditionalGeneration",
                is_mixture_of_experts=True,
                tensor_name_parts=(*_QWEN3_5.tensor_name_parts, _EXPERTS, "hyper_connection"),
                since_transformers="5.18",
                since_torch="2.8",  # whose scatter takes the indices of its indexer
                unquantizable=(
                    *_QWEN3_5.unquantizable,
                    "input_mix_weight_down",
                    "input_mix_weight_up",
                    "block_inject_weight",
                ),
            ),
        )
    }
)

_SIBLING = "its vision-language sibling, such as 'Qwen/Qwen3-VL-8B-Instruct'"
_WHOLE = "the whole checkpoint that it was taken from, or merged into"
_EMBEDS = "a model that embeds pages and answers nothing"
_SPEECH = "a model of speech"

_OTHER_QWEN: tuple[tuple[str, str, str], ...] = (
    (r"qwen\d?(_moe|_next)?", "a model of text alone, which sees no pictures", ""),
    (
        r"qwen\d.*_text",
        "the language model of a checkpoint without its vision encoder, as AutoModelForCausalLM "
        "saves it: text alone, which sees no pictures",
        f"{_WHOLE}; {_SIBLING}",
    ),
    (r"qwen\d.*_vision", "a vision encoder without its language model", _WHOLE),
    (
        r"qwen\d.*_(thinker|talker|token2wav|code2wav|code_predictor)(_\w+)?",
        "a part of a model of speech and pictures that this kit does not run",
        "",
    ),
    (r"qwen\d.*_omni.*", "a model of speech and pictures that this kit does not run", ""),
    (r"qwen\d?_(audio|asr|tts)\w*|qwen\d_forced_aligner", _SPEECH, ""),
    (r"col(qwen|pali|idefics)\w*", _EMBEDS, ""),
    (r"qwen\d.*(embedding|reranker)\w*", "a model that embeds or ranks and answers nothing", ""),
    (
        r"(?!qwen).*qwen.*",
        "a model that others have built on a language model of Qwen",
        f"the program that its publisher names; here {_SIBLING}",
    ),
)
"""Model types that no version of the kit will run: pattern, description, and the hint."""


def trained_for(family: Family, abilities: Iterable[Ability]) -> Family:
    """Return a family with what one checkpoint of it was trained for beyond it.

    Args:
        family: the family.
        abilities: the abilities; a page is then asked for in the words of Qwen3-VL.
    """
    names = set(abilities)
    known = dict(family.document_prompts)
    kinds: tuple[PlaceKind, ...] = get_args(PlaceKind)
    prompts = [
        (form, prompt)
        for form, prompt in _QWEN3_VL.document_prompts
        if form in names and form not in known
    ]
    return replace(
        family,
        document_prompts=(*family.document_prompts, *prompts),
        places=family.places.union(kind for kind in kinds if kind in names),
        calls_image_tools=family.calls_image_tools or "image tools" in names,
    )


def family_of(model_type: str) -> Family:
    """Return the family of a checkpoint.

    Args:
        model_type: the `model_type` of its config.json.

    Raises:
        UnknownFamilyError: the kit does not know it.
    """
    if model_type in FAMILIES:
        return FAMILIES[model_type]
    known = f"one of {', '.join(FAMILIES)}"
    said = f"the checkpoint says model_type={model_type!r}"
    for pattern, what, cure in _OTHER_QWEN:
        if re.fullmatch(pattern, model_type):
            raise UnknownFamilyError(f"{said}: {what}", expected=known, hint=cure or _SIBLING)
    if "qwen" in model_type:
        raise UnknownFamilyError(
            f"{said}, a Qwen family that this version of qwenvl_kit does not know",
            expected=known,
            hint="pip install --upgrade qwenvl-kit transformers",
        )
    raise UnknownFamilyError(f"{said}, which is not a Qwen vision-language model", expected=known)
