"""What a chat would run for a request, and what training makes of the same conversation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import torch

from qwenvl_kit import MediaPolicy, Message, Request, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.backends.local.engine.request import EngineRequest
from qwenvl_kit.training import Example
from qwenvl_kit.training.sequences.encoder import IGNORED, SequenceEncoder, TrainingSequence


def encoder_of(folder: Path, **options: Any) -> SequenceEncoder:
    return SequenceEncoder.of(folder, policy=MediaPolicy(), **options)


def served(chat: VisionChat, messages: Sequence[Message], **settings: Any) -> EngineRequest:
    """The request that `chat.ask` would submit to its engine; nothing runs."""
    pipeline = chat._pipeline
    resolved = pipeline.resolve(Request.about(list(messages), **settings))
    backend = pipeline.backend
    assert isinstance(backend, LocalBackend)
    return backend._engine._engine_request(pipeline.prepare(resolved).request, None)


def served_pixels(chat: VisionChat, request: EngineRequest) -> dict[str, torch.Tensor]:
    """Its pictures and films, as the vision encoder would take them."""
    backend = chat._pipeline.backend
    assert isinstance(backend, LocalBackend)
    patches = backend._engine.patches
    films = [item for item in request.media if isinstance(item, numpy.ndarray)]
    images = [item for item in request.media if not isinstance(item, numpy.ndarray)]
    return {**patches.encode_images(images), **patches.encode_videos(films)}  # type: ignore[arg-type]


def assert_served_as_trained(
    chat: VisionChat, encoder: SequenceEncoder, messages: Sequence[Message], **settings: Any
) -> TrainingSequence:
    """Hold a conversation, trained on its last answer, to what `ask` would send for it."""
    example = Example(messages, answers=(len(messages) - 1,), **settings)
    (sequence,) = encoder.encode(example)
    request = served(chat, messages[:-1], **settings)
    inputs = encoder.inputs(sequence)
    length = len(request.prompt.ids)
    assert list(sequence.ids[:length]) == request.prompt.ids
    assert set(sequence.labels[:length]) == {IGNORED}
    assert sequence.labels[length:] == sequence.ids[length:]
    assert torch.equal(inputs["position_ids"][:, :length], request.positions)
    pixels = served_pixels(chat, request)
    assert {name for name in inputs if "pixel" in name or "grid" in name} == pixels.keys()
    for name, values in pixels.items():
        assert torch.equal(inputs[name], values), name
    return sequence


def trained_text(encoder: SequenceEncoder, sequence: TrainingSequence) -> str:
    """The text of what is in the loss."""
    ids = [label for label in sequence.labels if label != IGNORED]
    return str(encoder.tokenizer.decode(ids, skip_special_tokens=False))
