"""Vision features of a training whose vision encoder does not learn: computed once, kept on disk.

A picture's features are computed alone, never together with those of others: what is read from
the disk is then bit for bit what would be computed again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers.utils.generic import ModelOutput

from qwenvl_kit.backends.local.engine.vision_encoder import (
    EncoderOutputs,
    Features,
    as_encoder_output,
    digest_of,
)
from qwenvl_kit.errors import QwenVLKitWarning, TrainingError
from qwenvl_kit.media.fingerprints import identify_part
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.plans import VideoPlan
from qwenvl_kit.training.sequences.encoder import SequenceEncoder, TrainingSequence

DEFAULT_BYTES = 10 * 2**30
"""The bytes of features that are kept on the disk, if the user does not say."""


@dataclass(frozen=True)
class Medium:
    """A picture or film of a sequence: its features if they are kept, else its patches.

    Attributes:
        kind: "image" or "video".
        key: the key of its features.
        patches: its patches, (patches, values of a patch), and their numbers in time, height and
            width, int64 (1, 3); None if its features are kept.
        kept: its features by their names on the disk.
        output_class: the name of the class of transformers in which a model takes them.
    """

    kind: str
    key: str
    patches: tuple[torch.Tensor, torch.Tensor] | None = None
    kept: Mapping[str, torch.Tensor] = field(default_factory=dict)
    output_class: str = ""


class FeatureStore:
    """Features in files, up to a number of bytes; what has no room is computed each time.

    Args:
        folder: the folder of the files.
        most_bytes: the most bytes of all files.
        fingerprint: a digest of the weights and their dtype.
    """

    def __init__(self, folder: Path, most_bytes: int, fingerprint: str) -> None:
        self._folder = folder
        self._left = most_bytes - sum(file.stat().st_size for file in folder.glob("*/*"))
        self._fingerprint = fingerprint

    def key_of(self, identity: object) -> str:
        """The key of the features of a picture or film."""
        return hashlib.sha256(f"{self._fingerprint} {identity}".encode()).hexdigest()

    def get(self, key: str, kind: str) -> Medium | None:
        """The features of a key; None if they are not kept, or their file is damaged."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                output_class = (file.metadata() or {}).get("class", "")
        except (OSError, SafetensorError):
            return None
        return Medium(kind, key, kept=kept, output_class=output_class)

    def put(self, key: str, features: Features) -> None:
        """Keep features, if there is room; a full disk ends the keeping with a warning."""
        if features.num_bytes > self._left:
            return
        path = self._path(key)
        unfinished = path.with_suffix(f".{os.getpid()}")
        tensors = {f"deepstack.{n}": level for n, level in enumerate(features.deepstack)}
        tensors["pooled"] = features.pooled
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
            save_file(held, unfinished, metadata={"class": features.output_class.__name__})
            os.replace(unfinished, path)
        except (OSError, SafetensorError) as error:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            self._left = 0
            full = getattr(error, "errno", None) == errno.ENOSPC or "space" in str(error)
            warnings.warn(
                f"vision features are not kept any more: {'the disk is full' if full else error}",
                QwenVLKitWarning,
                stacklevel=2,
            )
            return
        self._left -= features.num_bytes

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key[2:]}.safetensors"


class MediaReader:
    """Reads the pictures and films of sequences, and skips pixels whose features are kept.

    Args:
        encoder: decodes pixels and encodes patches.
        policy: the media policy.
        store: the features that are kept.
    """

    def __init__(self, encoder: SequenceEncoder, policy: MediaPolicy, store: FeatureStore) -> None:
        self._encoder = encoder
        self._policy = policy
        self._store = store

    def read(self, sequence: TrainingSequence) -> list[Medium]:
        """The pictures and films of a sequence, in their order.

        Raises:
            MediaError: one cannot be decoded.
        """
        return [self._read(sequence, at) for at in range(len(sequence.media))]

    def _read(self, sequence: TrainingSequence, at: int) -> Medium:
        item = sequence.media[at]
        kind = "video" if isinstance(item.plan, VideoPlan) else "image"
        identity: object = identify_part(item.source, item.plan, self._policy)
        if identity is not None:
            found = self._store.get(self._store.key_of(identity), kind)
            if found is not None:
                return found
        alone = replace(sequence, media=(item,))
        (content,) = self._encoder.decode(alone)
        identity = digest_of(content).hex() if identity is None else identity
        key = self._store.key_of(identity)
        found = self._store.get(key, kind)
        if found is not None:
            return found
        pixels, grid = self._encoder.patches([content]).values()
        return Medium(kind, key, (pixels, grid))


class FeatureEncoder:
    """Computes the features of pictures and films that are not kept, and keeps them.

    Args:
        model: the model of transformers, whose vision encoder does not learn.
        store: keeps features.
    """

    def __init__(self, model: Any, store: FeatureStore) -> None:
        self._model = model
        self._store = store

    def encode(self, media: Iterable[Medium]) -> EncoderOutputs | None:
        """The features of all media, as the model takes them; None if there are none."""
        outputs: dict[str, list[Features]] = {}
        for medium in media:
            outputs.setdefault(medium.kind, []).append(self._features(medium))
        if not outputs:
            return None
        return EncoderOutputs({kind: as_encoder_output(made) for kind, made in outputs.items()})

    def _features(self, medium: Medium) -> Features:
        if medium.patches is None:
            return self._as_features(medium)
        features = self._compute(medium.kind, *medium.patches)
        self._store.put(medium.key, features)
        return features

    def _as_features(self, medium: Medium) -> Features:
        kept = {n: t.to(self._model.device) for n, t in medium.kept.items()}
        deepstack = [kept[f"deepstack.{n}"] for n in range(len(kept) - 1)]
        return Features(b"", self._class_of(medium), kept["pooled"], tuple(deepstack))

    def _class_of(self, medium: Medium) -> type:
        """The class in which the model takes features: one of its own module, by its name."""
        found = getattr(sys.modules[type(self._model).__module__], medium.output_class, None)
        if isinstance(found, type) and issubclass(found, ModelOutput):
            return found
        raise TrainingError(
            f"kept vision features are of the class {medium.output_class!r}",
            expected="those of the installed transformers",
            hint="remove the folder 'features' of the run",
        )

    @torch.no_grad()
    def _compute(self, kind: str, pixels: torch.Tensor, grid: torch.Tensor) -> Features:
        model = self._model
        run = model.get_video_features if kind == "video" else model.get_image_features
        output = run(pixels.to(model.device), grid.to(model.device), return_dict=True)
        levels: Sequence[Sequence[torch.Tensor]] = getattr(output, "deepstack_features", None) or ()
        return Features(
            b"", type(output), output.pooler_output[0], tuple(level[0] for level in levels)
        )
