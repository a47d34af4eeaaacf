"""What the vision encoder makes of pictures and videos, computed once for each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from qwenvl_kit.backends.base import KnownMedia
from qwenvl_kit.backends.local.cache.store import Kept, Storage
from qwenvl_kit.backends.local.devices import on_cpu
from qwenvl_kit.backends.local.engine.finite_values import (
    VISION_ENCODER,
    are_all_finite,
    not_numbers,
)
from qwenvl_kit.media.types import DecodedMedia
from qwenvl_kit.processing.patches import PatchEncoder

FEATURES = "vision features"
SOURCES = "sources"

_SOURCE_BYTES = 300
"""What an entry takes that says what a source gives."""


@dataclass(frozen=True)
class Features(KnownMedia):
    """A picture or video as the language model sees it.

    Attributes:
        digest: of its pixels, size and kind: 128 bits.
        pooled: (visual tokens, width).
        deep: what deeper layers are given as well (Qwen3-VL), (visual tokens, width) each.
        form: the class of transformers in which the model takes them.
    """

    digest: bytes
    form: type
    pooled: torch.Tensor
    deep: tuple[torch.Tensor, ...] = ()

    @property
    def num_bytes(self) -> int:
        """What its tensors take."""
        return sum(t.numel() * t.element_size() for t in (self.pooled, *self.deep))


def digest_of(media: DecodedMedia) -> bytes:
    """128 bits of decoded pixels, their size and their kind."""
    if isinstance(media, numpy.ndarray):
        form, pixels = f"video {media.shape}", numpy.ascontiguousarray(media)
    else:
        form, pixels = f"image {media.mode} {media.size}", numpy.asarray(media)
    digest = hashlib.blake2b(form.encode(), digest_size=16)
    digest.update(numpy.ascontiguousarray(pixels).data)
    return digest.digest()


class VisionEncoder:
    """Runs the vision encoder on what it has not seen before.

    Args:
        model: the model of transformers.
        patches: makes its input.
        storage: where features are kept.
    """

    def __init__(self, model: Any, patches: PatchEncoder, storage: Storage) -> None:
        self._model = model
        self._patches = patches
        self._storage = storage

    def recall(self, digest: bytes) -> Features | None:
        """Features that are kept."""
        found: Features | None = self._storage.get((FEATURES, digest))
        return found

    def recall_source(self, key: str) -> Features | None:
        """The same by what a source is known by."""
        digest: bytes | None = self._storage.get((SOURCES, key))
        return None if digest is None else self.recall(digest)

    def note_source(self, key: str, digest: bytes) -> None:
        """Remember what a source gives."""
        self._storage.put((SOURCES, key), Kept(SOURCES, digest, _SOURCE_BYTES))

    def encode(self, media: Mapping[bytes, DecodedMedia | Features]) -> dict[bytes, Features]:
        """The features of each by its digest; what was seen before is not encoded again.

        Raises:
            GenerationError: those of one are not numbers; they are not kept.
        """
        known: dict[bytes, Features] = {}
        unknown: dict[bytes, DecodedMedia] = {}
        for digest, item in media.items():
            kept = item if isinstance(item, Features) else self.recall(digest)
            self._storage.note(found=kept is not None)
            if kept is not None:
                known[digest] = kept
            elif not isinstance(item, Features):
                unknown[digest] = item
        computed = self._computed(unknown)
        sound = [made for made, is_sound in zip(computed, _are_sound(computed)) if is_sound]
        for made in sound:
            known[made.digest] = made
            self._storage.put((FEATURES, made.digest), Kept(FEATURES, made, made.num_bytes))
        if len(sound) < len(computed):
            raise not_numbers(VISION_ENCODER, self._model.dtype)
        return known

    def _computed(self, media: dict[bytes, DecodedMedia]) -> list[Features]:
        images = {d: m for d, m in media.items() if not isinstance(m, numpy.ndarray)}
        videos = {d: m for d, m in media.items() if isinstance(m, numpy.ndarray)}
        encode_images, encode_videos = self._patches.encode_images, self._patches.encode_videos
        made = _run(self._model.get_image_features, encode_images, images, self._model.device)
        return made + _run(
            self._model.get_video_features, encode_videos, videos, self._model.device
        )


def _are_sound(features: Sequence[Features]) -> list[bool]:
    """Which of them are numbers; the device is waited for once."""
    if not features:
        return []
    found = [are_all_finite((item.pooled, *item.deep)) for item in features]
    sound: list[bool] = torch.stack(found).tolist()
    return sound


def as_encoder_output(features: Sequence[Features]) -> Any:
    """Features in the form in which a model takes them; made anew, since it changes them."""
    fields: dict[str, Any] = {"pooler_output": tuple(item.pooled for item in features)}
    if hasattr(features[0].form, "deepstack_features"):  # without any, an empty list is expected
        fields["deepstack_features"] = [list(level) for level in zip(*(f.deep for f in features))]
    return features[0].form(**fields)


def _run(
    run: Callable[..., Any],
    encode: Callable[..., dict[str, torch.Tensor]],
    media: dict[bytes, Any],
    device: torch.device,
) -> list[Features]:
    if not media:
        return []
    with on_cpu():
        pixels, grids = encode(list(media.values())).values()
    output = run(pixels.to(device), grids.to(device), return_dict=True)
    deep = zip(*(getattr(output, "deepstack_features", None) or ()))
    levels = list(deep) or [()] * len(media)
    return [
        Features(digest, type(output), pooled, tuple(level))
        for digest, pooled, level in zip(media, output.pooler_output, levels)
    ]
