"""From messages and decoded pictures to the tensors that a model takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy
import PIL.Image
import torch
from tokenizers import Tokenizer
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.budget.frames import frame_rate
from qwenvl_kit.budget.memory import FRAMES_AT_A_TIME
from qwenvl_kit.errors import CheckpointError, MessageError
from qwenvl_kit.families import Family
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.requests import DecodedMedia
from qwenvl_kit.messages import Message
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.rendering import TokenShield, render_turns, render_videos

_STRIP_ROWS = 64


class PromptEncoder:
    """Renders conversations by the checkpoint's own template and counts what they take.

    Args:
        processor: the checkpoint's processor, as `AutoProcessor` loads it.
        family: the checkpoint's family.
    """

    def __init__(self, processor: Any, family: Family) -> None:
        self._processor = processor
        self._family = family
        self._tokenizer = _private_copy(processor.tokenizer.backend_tokenizer)
        self._plain_tokenizer = _private_copy(self._tokenizer, added_tokens=False)
        self._pad_id = processor.tokenizer.pad_token_id
        self._image_id = self._placeholder_id(family.image_token)
        self._video_id = self._placeholder_id(family.video_token)
        self._special_tokens = tuple(
            token.content for token in processor.tokenizer.added_tokens_decoder.values()
        )

    def encode_prompt(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> list[int]:
        """Token ids of the prompt, each placeholder repeated as often as its plan says."""
        shield = TokenShield(self._special_tokens, messages)
        prompt = self._render(render_turns(messages, shield))
        videos = [plan for plan in media if isinstance(plan, VideoPlan)]
        prompt = render_videos(prompt, videos, self._family)
        ids: list[int] = []
        for piece in shield.pieces(prompt):
            tokenizer = self._plain_tokenizer if piece.is_plain else self._tokenizer
            ids += tokenizer.encode(piece.text, add_special_tokens=False).ids
        return list(self._expand(ids, media))

    def encode_batch(self, requests: Sequence[BackendRequest]) -> tuple[dict[str, Any], list[int]]:
        """Left-padded tensors of a batch, and the prompt length of each row.

        Shapes: `input_ids`, `attention_mask` and `mm_token_type_ids` (batch, length);
        `pixel_values` (patches, channels x frames x side x side) over all pictures of the batch;
        `image_grid_thw` (pictures, 3); the same for videos, and for families that are told the
        seconds between groups of frames `second_per_grid_ts` (videos,).
        """
        prompts = [
            self.encode_prompt(r.messages, (*r.plan.images, *r.plan.videos)) for r in requests
        ]
        batch = self._pad(prompts)
        images: list[Any] = []
        videos: list[Any] = []
        for item in (item for request in requests for item in request.media):
            (videos if isinstance(item, numpy.ndarray) else images).append(item)
        batch.update(self.encode_images(images))
        batch.update(self.encode_videos(videos))
        batch.update(self._seconds_per_group([v for r in requests for v in r.plan.videos]))
        return batch, [len(ids) for ids in prompts]

    def encode_images(self, images: Sequence[DecodedMedia]) -> dict[str, torch.Tensor]:
        """Patches and grids of pictures that already have their planned size."""
        if not images:
            return {}
        features = self._processor.image_processor(
            images=list(images), do_resize=False, return_tensors="pt"
        )
        return {name: features[name] for name in ("pixel_values", "image_grid_thw")}

    def encode_videos(self, videos: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Patches and grids of videos whose frames already have their planned size.

        Args:
            videos: uint8 (frames, height, width, 3) each.
        """
        if not videos:
            return {}
        encoded = [self._encode_video(frames) for frames in videos]
        pixels = [pixels for pixels, _ in encoded]
        return {
            "pixel_values_videos": pixels[0] if len(pixels) == 1 else torch.cat(pixels),
            "video_grid_thw": torch.cat([grid for _, grid in encoded]),
        }

    def _encode_video(self, frames: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Patches (patches, values) and grid (1, 3) of one video.

        A few frames at a time: the processor makes several copies of what it is given as floats,
        each of four times the size of the frames.
        """
        first, grid = self._encode_frames(frames[:FRAMES_AT_A_TIME])
        if len(frames) <= FRAMES_AT_A_TIME:
            return first, grid
        num_groups = math.ceil(len(frames) / self._family.temporal_patch_frames)
        rows_per_group = len(first) // int(grid[0, 0])
        pixels = first.new_empty((num_groups * rows_per_group, *first.shape[1:]))
        pixels[: len(first)] = first
        row = len(first)
        for start in range(FRAMES_AT_A_TIME, len(frames), FRAMES_AT_A_TIME):
            part, _ = self._encode_frames(frames[start : start + FRAMES_AT_A_TIME])
            pixels[row : row + len(part)] = part
            row += len(part)
        grid[0, 0] = num_groups
        return pixels, grid

    def _encode_frames(self, frames: Any) -> tuple[torch.Tensor, torch.Tensor]:
        # Frames are chosen and resized already. The cap is turned off by name because the
        # processor warns where it is left open.
        features = self._processor.video_processor(
            videos=[frames],
            do_resize=False,
            do_sample_frames=False,
            cap_pixels_per_frame=False,
            return_tensors="pt",
        )
        return features["pixel_values_videos"], features["video_grid_thw"]

    def _seconds_per_group(self, videos: Sequence[VideoPlan]) -> dict[str, torch.Tensor]:
        """How long the frames that share their patches last, for positions that are in seconds."""
        if not videos or not self._family.positions_in_seconds:
            return {}
        frames = self._family.temporal_patch_frames
        seconds = [frames / frame_rate(video.timestamps_seconds) for video in videos]
        return {"second_per_grid_ts": torch.tensor(seconds)}

    def _render(self, turns: Sequence[Mapping[str, Any]]) -> str:
        try:
            prompt: str = self._processor.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # templates refuse conversations by errors of their own
            raise MessageError(
                f"the checkpoint's chat template refuses the conversation ({error})",
                hint="roles and an order of turns that the model was trained with",
            ) from error
        return prompt

    def _expand(self, ids: Sequence[int], media: Sequence[ImagePlan | VideoPlan]) -> Iterator[int]:
        """Repeat each placeholder as often as what it stands for has tokens."""
        tokens: dict[int, list[int]] = {self._image_id: [], self._video_id: []}
        for plan in media:
            if isinstance(plan, ImagePlan):
                tokens[self._image_id].append(plan.tokens)
            else:
                tokens[self._video_id] += self._tokens_of_placeholders(plan)
        for placeholder, counts in tokens.items():
            if ids.count(placeholder) != len(counts):
                raise CheckpointError(
                    f"the chat template renders {ids.count(placeholder)} of {len(counts)} pictures "
                    "or videos",
                    expected="the template of a vision-language checkpoint",
                )
        for token_id in ids:
            yield from [token_id] * (tokens[token_id].pop(0) if token_id in tokens else 1)

    def _tokens_of_placeholders(self, video: VideoPlan) -> list[int]:
        """A video has one placeholder, or one for each group of frames."""
        if self._family.video_layout == "one span":
            return [video.tokens]
        num_groups = math.ceil(len(video.frame_indices) / self._family.temporal_patch_frames)
        return [video.tokens // num_groups] * num_groups

    def _pad(self, prompts: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Padding stands on the left: on the right it would part a prompt from its answer."""
        length = max(map(len, prompts))
        input_ids = torch.tensor(
            [[self._pad_id] * (length - len(ids)) + list(ids) for ids in prompts]
        )
        mask = torch.tensor([[0] * (length - len(ids)) + [1] * len(ids) for ids in prompts])
        kinds = torch.zeros_like(input_ids)
        kinds[input_ids == self._image_id] = 1
        kinds[input_ids == self._video_id] = 2
        return {"input_ids": input_ids, "attention_mask": mask, "mm_token_type_ids": kinds}

    def _placeholder_id(self, token: str) -> int:
        token_id = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise CheckpointError(
                f"the tokenizer has no token {token}",
                expected="the complete tokenizer files of the checkpoint (tokenizer.json, or "
                "vocab.json with merges.txt)",
            )
        return token_id


def resize_image(image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
    """The picture at another size by the arithmetic of transformers' processors.

    They resize uint8 tensors with torchvision; Pillow rounds differently, by up to two steps.
    """
    if image.size == (size.width_px, size.height_px):
        return image
    resized = resize(
        torch.from_numpy(_to_array(image)).permute(2, 0, 1),
        [size.height_px, size.width_px],
        interpolation=InterpolationMode.BICUBIC,
        antialias=True,
    )
    return PIL.Image.fromarray(resized.permute(1, 2, 0).numpy())


def _to_array(image: PIL.Image.Image) -> numpy.ndarray[Any, Any]:
    """The pixels of a picture, uint8 (height, width, 3).

    In strips, which stay in a core's cache: of a large picture Pillow's own way makes two copies,
    in more than twice the time.
    """
    array = numpy.empty((image.height, image.width, 3), numpy.uint8)
    for top in range(0, image.height, _STRIP_ROWS):
        bottom = min(image.height, top + _STRIP_ROWS)
        array[top:bottom] = numpy.asarray(image.crop((0, top, image.width, bottom)))
    return array


def _private_copy(tokenizer: Tokenizer, *, added_tokens: bool = True) -> Tokenizer:
    """The same tokenizer, or one for which added tokens are ordinary characters.

    Copies rather than `split_special_tokens`: that is a switch inside the shared tokenizer, which
    another thread would trip over, and it spares tokens such as `<think>` that steer a model
    without being marked special. The vocabulary itself is shared; copying it takes a second.
    """
    copy = Tokenizer(tokenizer.model)
    if tokenizer.normalizer is not None:
        copy.normalizer = tokenizer.normalizer
    if tokenizer.pre_tokenizer is not None:
        copy.pre_tokenizer = tokenizer.pre_tokenizer
    if added_tokens:
        added = tokenizer.get_added_tokens_decoder()
        copy.add_tokens([token for _, token in sorted(added.items())])
        if copy.get_added_tokens_decoder() != added:
            raise CheckpointError(
                "the tokenizer's added tokens do not follow its vocabulary",
                expected="tokenizer.json as it was published",
            )
    return copy
