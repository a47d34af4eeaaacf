"""Conversations of every form, and transformers called by hand on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers.video_utils import VideoMetadata

from qwenvl_kit import (
    ImagePart,
    Message,
    Reply,
    Request,
    Sampling,
    TextPart,
    VideoPart,
    VideoPlan,
    VisionChat,
)
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.backends.local.engine.candidates import narrowed
from qwenvl_kit.backends.local.engine.sampler import Sampler, SamplerSettings
from qwenvl_kit.backends.local.engine.top_logits import TopLogits


def picture(width: int, height: int, seed: int = 0) -> PIL.Image.Image:
    """Smooth noise of any size."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return PIL.Image.fromarray(small).resize((width, height), PIL.Image.Resampling.BICUBIC)


CONVERSATIONS: dict[str, list[Message]] = {
    "text alone": [Message.user("How many people are there?")],
    "one image": [Message.user(ImagePart(picture(160, 100)), "Describe the picture.")],
    "two images": [
        Message.user(ImagePart(picture(90, 90, 1)), ImagePart(picture(200, 60, 2)), "Compare.")
    ],
    "image and text interleaved": [
        Message.user(
            "Before: ",
            ImagePart(picture(70, 120, 3)),
            " after: ",
            ImagePart(picture(64, 64, 4)),
            "?",
        )
    ],
    "a video of five frames": [
        Message.user(VideoPart([picture(112, 84, s) for s in range(5)], fps=2), "What happens?")
    ],
    "an image after a video": [
        Message.user(
            VideoPart([picture(84, 84, s) for s in range(4)], fps=1),
            ImagePart(picture(140, 84, 9)),
            "Is this from the video?",
        )
    ],
    "several turns with a system message": [
        Message.system("You are a helpful assistant."),
        Message.user(ImagePart(picture(100, 100, 5)), "What is it?"),
        Message.assistant("A cat."),
        Message.user("And its colour?"),
    ],
}
"""All the forms that a conversation takes."""


def by_hand(backend: LocalBackend, conversations: Sequence[Sequence[Message]]) -> dict[str, Any]:
    """What transformers' own processor makes of the conversations, padded on the left."""
    texts = [
        backend.processor.apply_chat_template(
            [{"role": m.role, "content": [_as_dict(part) for part in m.parts]} for m in messages],
            tokenize=False,
            add_generation_prompt=True,
        )
        for messages in conversations
    ]
    parts = [part for messages in conversations for m in messages for part in m.parts]
    images = [part.source for part in parts if isinstance(part, ImagePart)]
    videos = [part for part in parts if isinstance(part, VideoPart)]
    inputs = backend.processor(
        text=texts,
        images=images or None,
        videos=[np.stack([np.asarray(f) for f in v.source]) for v in videos] or None,  # type: ignore[union-attr]
        padding=True,
        return_tensors="pt",
        videos_kwargs={
            "do_sample_frames": False,
            "cap_pixels_per_frame": False,
            "video_metadata": [_metadata(video) for video in videos],
        },
    )
    return dict(inputs)


def _metadata(video: VideoPart) -> VideoMetadata:
    num_frames = len(video.source)  # type: ignore[arg-type]
    return VideoMetadata(
        total_num_frames=num_frames, fps=video.fps, frames_indices=list(range(num_frames))
    )


def _as_dict(part: Any) -> dict[str, str]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image" if isinstance(part, ImagePart) else "video"}


def backend_request(chat: VisionChat, request: Request) -> BackendRequest:
    """What a backend is given for a request."""
    return chat._pipeline.prepare(chat._pipeline.resolve(request)).request


def kit_batch(chat: VisionChat, conversations: list[list[Message]]) -> dict[str, Any]:
    """What the kit makes of conversations, in the form in which transformers has it.

    Padded on the left, as transformers' processor gives it: the kit itself pads what it computes
    together, and hands over features and positions instead of pixels and grids.
    """
    chat.clear_cache()
    requests = [backend_request(chat, Request(messages)) for messages in conversations]
    return batch_of(chat, requests)


def batch_of(chat: VisionChat, requests: Sequence[BackendRequest]) -> dict[str, Any]:
    """The same of requests whose pixels are decoded."""
    backend: LocalBackend = chat._backend  # type: ignore[assignment]
    plans = [list(request.plan.media.values()) for request in requests]
    prompts = [
        backend._engine.encoder.encode_prompt(request.messages, media)
        for request, media in zip(requests, plans)
    ]
    ids = pad_sequence(
        [torch.tensor(prompt.ids) for prompt in prompts],
        batch_first=True,
        padding_value=backend.processor.tokenizer.pad_token_id,
        padding_side="left",
    )
    lengths = torch.tensor([len(prompt.ids) for prompt in prompts])
    mask = (torch.arange(ids.shape[1]) >= ids.shape[1] - lengths[:, None]).long()
    config = backend.model.config
    kinds = (ids == config.image_token_id).long() + 2 * (ids == config.video_token_id).long()
    batch: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "mm_token_type_ids": kinds}
    media = [item for request in requests for item in request.media]
    patches = backend._engine.patches
    batch |= patches.encode_images([item for item in media if not isinstance(item, np.ndarray)])
    batch |= patches.encode_videos([item for item in media if isinstance(item, np.ndarray)])
    videos = [plan for plans_ in plans for plan in plans_ if isinstance(plan, VideoPlan)]
    if videos and backend.rules.family.positions_in_seconds:
        seconds = [backend._engine.positions.seconds_per_group(video) for video in videos]
        batch["second_per_grid_ts"] = torch.tensor(seconds)
    return batch


def ids_of(reply: Reply) -> list[int]:
    """All generated tokens, the end token included."""
    scores = [*(reply.tokens or ()), *([reply.end_token] if reply.end_token else [])]
    return [score.token_id for score in scores]


def generate_by_hand(
    backend: LocalBackend, inputs: dict[str, Any], **settings: Any
) -> tuple[Any, torch.Tensor]:
    """Output of `generate` and the new tokens, (batch, steps)."""
    settings = {
        "do_sample": False,
        "pad_token_id": backend.processor.tokenizer.pad_token_id,
        "eos_token_id": sorted(backend._loaded.end_ids),
        **settings,
    }
    with torch.inference_mode():
        out = backend.model.generate(
            **inputs,
            **settings,
            return_dict_in_generate=True,
            output_scores=True,
            output_logits=True,
        )
    return out, out.sequences[:, inputs["input_ids"].shape[1] :]


def distribution_of(sampler: Sampler, ids: list[int], logits: torch.Tensor) -> torch.Tensor:
    """The probabilities with which the kit draws the next token, (vocabulary,).

    Args:
        sampler: of one sequence.
        ids: the prompt and the answer so far.
        logits: raw logits, (vocabulary,).
    """
    processed = processed_by(sampler, ids, logits)
    if sampler.num_candidates is None:
        found = sampler.probabilities(processed)
    else:
        values, tokens = TopLogits(processed[None]).top(len(processed))
        narrow = narrowed(values[0].tolist(), tokens[0].tolist(), sampler.settings.sampling)
        found = torch.zeros_like(logits)
        found[list(narrow.ids)] = torch.tensor(list(narrow.weights))
    return found / found.sum()


def processed_by(sampler: Sampler, ids: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
    """The logits after penalties and rules, after a prompt and an answer."""
    answer_ids = ids[len(sampler.settings.prompt_ids) :]
    if unread := sampler.unread(answer_ids):
        sampler.read(torch.tensor(unread))
    return sampler.process(logits)


def assert_drawn_like_generate(
    backend: LocalBackend, sampling: Sampling, inputs: dict[str, Any], **settings: Any
) -> None:
    """Have `generate` sample an answer, and compare the distribution of each of its steps.

    Args:
        backend: the model, with its rules.
        sampling: the settings of the kit.
        inputs: of `generate`.
        settings: the same settings, for `generate`.
    """
    torch.manual_seed(5)
    out, tokens = generate_by_hand(backend, inputs, do_sample=True, **settings)
    prompt = inputs["input_ids"][0].tolist()
    rules, end_ids = backend._loaded.generation, backend._loaded.end_ids
    num_new = settings.get("max_new_tokens", sampling.max_new_tokens)
    sampler = Sampler(SamplerSettings(sampling, rules, prompt, num_new, end_ids))
    for step, (raw, scores) in enumerate(zip(out.logits, out.scores)):
        ids = [*prompt, *tokens[0, :step].tolist()]
        found = distribution_of(sampler, ids, raw[0].float())
        expected = torch.softmax(scores[0].float(), dim=-1)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)


def tensors_of(model: Any) -> Iterator[torch.Tensor]:
    """All tensors that a model keeps, those of bitsandbytes beside its weights among them."""
    for parameter in (*model.parameters(), *model.buffers()):
        yield parameter.data
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            yield from (state.absmax, state.code, state.offset)
            yield from (state.state2.absmax, state.state2.code)
        if getattr(parameter, "SCB", None) is not None:
            yield parameter.SCB
