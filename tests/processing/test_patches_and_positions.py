"""Pixels and positions of a request, made by `processing` alone, are those of the local backend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import PIL.Image
import pytest
import torch
import transformers

from qwenvl_kit import ImagePart, ImagePlan, Message, Plan, VideoPart, VideoPlan, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.checkpoints.sources import find_checkpoint
from qwenvl_kit.options import Sampling
from qwenvl_kit.processing.patches import PatchEncoder
from qwenvl_kit.processing.positions import PositionEncoder
from qwenvl_kit.processing.processor_config import Published, load_published
from qwenvl_kit.processing.prompt_encoder import PromptEncoder
from tests.by_hand import CONVERSATIONS


@pytest.fixture(scope="module")
def backend(tiny_folder: Path) -> LocalBackend:
    return load_backend(tiny_folder)


@pytest.fixture(scope="module")
def published(tiny_folder: Path) -> Published:
    """The processor and the rules of the same checkpoint, without its weights."""
    return load_published(find_checkpoint(tiny_folder), read_settings(tiny_folder))


@pytest.fixture(scope="module")
def positions(tiny_folder: Path, published: Published) -> PositionEncoder:
    """A position encoder of a model that has no weights."""
    family = published.rules.family
    model_class = getattr(transformers, family.model_class)
    config = model_class.config_class.from_pretrained(tiny_folder)
    with torch.device("meta"):
        model = model_class(config)
    return PositionEncoder(model, family)


def resized_media(
    messages: Sequence[Message], plan: Plan, published: Published
) -> tuple[list[PIL.Image.Image], list[numpy.ndarray[Any, Any]]]:
    """The pictures and the videos of a conversation at their planned sizes."""
    images, videos = [], []
    parts = (part for message in messages for part in message.parts)
    media = [part for part in parts if isinstance(part, (ImagePart, VideoPart))]
    for part, planned in zip(media, plan.media.values()):
        source: Any = part.source
        if isinstance(planned, ImagePlan):
            images.append(published.resizer.image(source, planned.resized))
        else:
            chosen = [source[index] for index in planned.frame_indices]
            frames = [published.resizer.frame(frame, planned.resized) for frame in chosen]
            videos.append(numpy.stack([numpy.asarray(frame) for frame in frames]))
    return images, videos


class Watch:
    """The pixels and positions that a model is given."""

    def __init__(self, model: Any) -> None:
        self.pixels: list[torch.Tensor] = []
        self.grids: list[torch.Tensor] = []
        self.positions: list[torch.Tensor] = []
        self._hooks = [
            model.model.visual.register_forward_pre_hook(self._note_pixels, with_kwargs=True),
            model.model.language_model.register_forward_pre_hook(
                self._note_positions, with_kwargs=True
            ),
        ]

    def _note_pixels(self, _: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self.pixels.append(args[0])
        self.grids.append(kwargs["grid_thw"])

    def _note_positions(self, _: Any, __: Any, kwargs: dict[str, Any]) -> None:
        self.positions.append(kwargs["position_ids"])

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_pixels_and_positions_of_a_request_need_no_backend(
    backend: LocalBackend,
    published: Published,
    positions: PositionEncoder,
    messages: list[Message],
) -> None:
    chat, watch = VisionChat(backend), Watch(backend.model)
    chat.clear_cache()
    try:
        plan = chat.ask(messages, sampling=Sampling(max_new_tokens=1)).plan
    finally:
        watch.close()

    family = published.rules.family
    media: list[ImagePlan | VideoPlan] = list(plan.media.values())
    prompt = PromptEncoder(published.processor, family).encode_prompt(messages, media)
    patches = PatchEncoder(published.processor, family)
    images, videos = resized_media(messages, plan, published)
    encoded = [*patches.encode_images(images).values(), *patches.encode_videos(videos).values()]

    assert torch.equal(
        positions.encode_positions(prompt, media), torch.cat(watch.positions, dim=-1)[:, 0]
    )
    for mine, theirs in zip(encoded[0::2], watch.pixels, strict=True):
        assert torch.equal(mine, theirs)
    for mine, theirs in zip(encoded[1::2], watch.grids, strict=True):
        assert torch.equal(mine, theirs)
