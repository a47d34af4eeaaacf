"""The vision encoder: the features of pictures and videos, computed once for each and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy
import torch

from qwenvl_kit.backends.base import KnownMedia
from qwenvl_kit.backends.local.cache.store import CacheEntry, CacheStore
from qwenvl_kit.backends.local.devices import on_cpu, upload
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
"""Bytes of a cache entry that maps the key of a source to a digest."""


@dataclass(frozen=True)
class Features(KnownMedia):
    """The features of one picture or video, as the language model takes them.

    Attributes:
        digest: the digest of its pixels, size and kind: 128 bits.
        output_class: the class of transformers in which the model takes features.
        pooled: one vector for each visual token, (visual tokens, width).
        deepstack: vectors that deeper layers are given as well (Qwen3-VL), (visual tokens, width)
            for each of these layers.
    """

    digest: bytes
    output_class: type
    pooled: torch.Tensor
    deepstack: tuple[torch.Tensor, ...] = ()

    @property
    def num_bytes(self) -> int:
        """The size of its tensors in bytes."""
        return sum(t.numel() * t.element_size() for t in (self.pooled, *self.deepstack))

    def part(self, first: int, last: int) -> Features:
        """The features of the visual tokens from `first` to `last`, as views."""
        if (first, last) == (0, len(self.pooled)):
            return self
        deepstack = tuple(level[first:last] for level in self.deepstack)
        return replace(self, pooled=self.pooled[first:last], deepstack=deepstack)


def digest_of(media: DecodedMedia) -> bytes:
    """A digest of decoded pixels, their size and their kind: 128 bits."""
    if isinstance(media, numpy.ndarray):
        form, pixels = f"video {media.shape}", numpy.ascontiguousarray(media)
    else:
        form, pixels = f"image {media.mode} {media.size}", numpy.asarray(media)
    digest = hashlib.blake2b(form.encode(), digest_size=16)
    digest.update(numpy.ascontiguousarray(pixels).data)
    return digest.digest()


class VisionEncoder:
    """Runs the model's vision encoder on the media whose features are not kept.

    Args:
        model: the model of transformers.
        patches: encodes pixels as patches, the input of the vision encoder.
        store: keeps features between requests.
    """

    def __init__(self, model: Any, patches: PatchEncoder, store: CacheStore) -> None:
        self._model = model
        self._patches = patches
        self._store = store

    def recall(self, digest: bytes) -> Features | None:
        """The features of a digest; None if they are not kept."""
        found: Features | None = self._store.get((FEATURES, digest))
        return found

    def recall_source(self, key: str) -> Features | None:
        """The features of a source by its key; None if they are not kept."""
        digest: bytes | None = self._store.get((SOURCES, key))
        return None if digest is None else self.recall(digest)

    def note_source(self, key: str, digest: bytes) -> None:
        """Remember the digest of the pixels of a source."""
        self._store.put((SOURCES, key), CacheEntry(SOURCES, digest, _SOURCE_BYTES))

    def encode(self, media: Mapping[bytes, DecodedMedia | Features]) -> dict[bytes, Features]:
        """Return the features of media by their digests; those that are kept are not computed.

        Args:
            media: pixels, or features that are known already, by their digests.

        Raises:
            GenerationError: the features of one are not numbers; these are not kept.
        """
        known: dict[bytes, Features] = {}
        unknown: dict[bytes, DecodedMedia] = {}
        for digest, item in media.items():
            kept = item if isinstance(item, Features) else self.recall(digest)
            self._store.note(found=kept is not None)
            if kept is not None:
                known[digest] = kept
            elif not isinstance(item, Features):
                unknown[digest] = item
        computed = self._compute(unknown)
        sound = [made for made, is_sound in zip(computed, _are_sound(computed)) if is_sound]
        for made in sound:
            known[made.digest] = made
            self._store.put((FEATURES, made.digest), CacheEntry(FEATURES, made, made.num_bytes))
        if len(sound) < len(computed):
            raise not_numbers(VISION_ENCODER, self._model.dtype)
        return known

    def look(self, media: Mapping[bytes, DecodedMedia | Features]) -> dict[bytes, Features]:
        """Return the features of media by their digests, and leave what is kept as it is.

        Args:
            media: as for `encode`.

        Raises:
            GenerationError: the features of one are not numbers.
        """
        known = {
            digest: item if isinstance(item, Features) else self._store.peek((FEATURES, digest))
            for digest, item in media.items()
        }
        unknown: dict[bytes, Any] = {d: item for d, item in media.items() if known[d] is None}
        computed = self._compute(unknown)
        if not all(_are_sound(computed)):
            raise not_numbers(VISION_ENCODER, self._model.dtype)
        return {**known, **{made.digest: made for made in computed}}

    def _compute(self, media: dict[bytes, DecodedMedia]) -> list[Features]:
        images = {d: m for d, m in media.items() if not isinstance(m, numpy.ndarray)}
        videos = {d: m for d, m in media.items() if isinstance(m, numpy.ndarray)}
        encode_images, encode_videos = self._patches.encode_images, self._patches.encode_videos
        made = self._run(self._model.get_image_features, encode_images, images)
        return made + self._run(self._model.get_video_features, encode_videos, videos)

    def _run(
        self,
        run: Callable[..., Any],
        encode: Callable[..., dict[str, torch.Tensor]],
        media: dict[bytes, Any],
    ) -> list[Features]:
        if not media:
            return []
        with on_cpu():
            pixels, grids = encode(list(media.values())).values()
        device = self._model.device
        output = run(upload(pixels, device), upload(grids, device), return_dict=True)
        deep = zip(*(getattr(output, "deepstack_features", None) or ()))
        levels = list(deep) or [()] * len(media)
        # The layers of an encoder may lie on several devices, and each leaves its vectors where it
        # is; transformers wants them where it looks up the embeddings of tokens.
        home = self._model.get_input_embeddings().weight.device
        return [
            Features(
                digest,
                type(output),
                pooled.to(home),
                tuple(vectors.to(home) for vectors in level),
            )
            for digest, pooled, level in zip(media, output.pooler_output, levels)
        ]


def _are_sound(features: Sequence[Features]) -> list[bool]:
    """For each of some features, True if they are numbers; it waits for the device once."""
    if not features:
        return []
    found = [are_all_finite((item.pooled, *item.deepstack)) for item in features]
    sound: list[bool] = torch.stack(found).tolist()
    return sound


class EncoderOutputs:
    """The features of media by their kind, as models of transformers take them.

    It is no mapping: for a model on several devices accelerate copies the tensors of all mappings
    to the first device, away from the embeddings of tokens.

    Args:
        outputs: the features, by "image" and "video".
    """

    def __init__(self, outputs: Mapping[str, Any]) -> None:
        self._outputs = outputs

    def __getitem__(self, kind: str) -> Any:
        return self._outputs[kind]

    def __contains__(self, kind: object) -> bool:
        return kind in self._outputs

    def get(self, kind: str, default: Any = None) -> Any:
        """The features of a kind."""
        return self._outputs.get(kind, default)


def as_encoder_output(features: Sequence[Features]) -> Any:
    """Features in the class in which a model takes them; a new object, since it changes them."""
    fields: dict[str, Any] = {"pooler_output": tuple(item.pooled for item in features)}
    if hasattr(
        features[0].output_class, "deepstack_features"
    ):  # without any, an empty list is expected
        fields["deepstack_features"] = [
            list(level) for level in zip(*(f.deepstack for f in features))
        ]
    return features[0].output_class(**fields)
