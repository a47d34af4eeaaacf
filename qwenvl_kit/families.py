"""What differs between model families, as data. Code elsewhere asks here and never by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.errors import UnknownFamilyError


@dataclass(frozen=True)
class Family:
    """One family of Qwen vision-language models.

    Attributes:
        model_type: the name in a checkpoint's config.json.
        model_class: the class of transformers that runs it.
        patch_side_px: side of the square that the vision encoder takes as one patch.
        merge_size: patches per side that are merged into one visual token.
        temporal_patch_frames: frames of a video that share their patches.
        max_aspect_ratio: longest side over shortest that its processor accepts.
        image_token, video_token: the placeholder in a rendered prompt that a picture's or a
            video's visual tokens replace.

    Source of the numbers: the published checkpoints' preprocessor_config.json, and
    `smart_resize` in transformers' processor of the family.
    """

    model_type: str
    model_class: str
    patch_side_px: int
    merge_size: int = 2
    temporal_patch_frames: int = 2
    max_aspect_ratio: float = 200.0
    image_token: str = "<|image_pad|>"
    video_token: str = "<|video_pad|>"

    @property
    def token_side_px(self) -> int:
        """Side of the square of pixels that one visual token covers."""
        return self.patch_side_px * self.merge_size


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.model_type: family
        for family in (
            Family(
                model_type="qwen2_vl",
                model_class="Qwen2VLForConditionalGeneration",
                patch_side_px=14,
            ),
        )
    }
)


def family_of(model_type: str) -> Family:
    """The family of a checkpoint.

    Args:
        model_type: the `model_type` of its config.json.

    Raises:
        UnknownFamilyError: the kit does not know it.
    """
    if model_type not in FAMILIES:
        raise UnknownFamilyError(
            f"the checkpoint says model_type={model_type!r}",
            expected=f"one of {', '.join(FAMILIES)}",
        )
    return FAMILIES[model_type]
