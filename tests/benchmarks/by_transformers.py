"""Transformers called by hand: the snippet of the model cards, and the best that one writes."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from PIL import Image
from qwen_vl_utils import process_vision_info
from transformers import DynamicCache, LogitsProcessor, LogitsProcessorList

from qwenvl_kit import Sampling
from tests.benchmarks.models import Messages, Subject, question_about

Answers: TypeAlias = Sequence[Sequence[int]]
"""Token ids of each answer, the end token included."""


def inputs_of(subject: Subject, conversations: Sequence[Messages]) -> Any:
    """Conversations as the model cards prepare them, padded on the left."""
    processor = subject.processor
    texts = [
        processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        for messages in conversations
    ]
    images, videos = process_vision_info(
        list(conversations), image_patch_size=subject.backend.rules.family.patch_side_px
    )
    return processor(
        text=texts,
        images=images,
        videos=videos,
        do_resize=False,
        padding=True,
        return_tensors="pt",
    ).to(subject.model.device)


def snippet(
    subject: Subject,
    conversations: Sequence[Messages],
    max_new_tokens: int,
    sampling: Sampling | None = None,
    **settings: Any,
) -> Answers:
    """The model cards' own way: pictures, processor, one `generate`, text."""
    inputs = inputs_of(subject, conversations)
    return generated(subject, inputs, max_new_tokens, sampling, **settings)


def one_by_one(
    subject: Subject, conversations: Sequence[Messages], lengths: Sequence[int]
) -> Answers:
    """The snippet in a loop."""
    return [
        snippet(subject, [messages], length)[0]
        for messages, length in zip(conversations, lengths, strict=True)
    ]


def without_utilities(subject: Subject, image: Image.Image, text: str, length: int) -> Answers:
    """One question by processor and `generate` alone, about a picture in memory."""
    processor, messages = subject.processor, question_about(image, text)
    prompt = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[prompt], images=[image], return_tensors="pt")
    return generated(subject, inputs, length)


def in_sorted_batches(
    subject: Subject, conversations: Sequence[Messages], lengths: Sequence[int], batch_size: int
) -> Answers:
    """Static batches of requests whose answers may be alike long, and then their prompts."""
    prompts = [len(str(messages)) for messages in conversations]
    order = sorted(range(len(lengths)), key=lambda at: (lengths[at], prompts[at]))
    answers: dict[int, Sequence[int]] = {}
    for start in range(0, len(order), batch_size):
        chunk = order[start : start + batch_size]
        longest = max(lengths[at] for at in chunk)
        found = snippet(subject, [conversations[at] for at in chunk], longest)
        answers.update((at, answer[: lengths[at]]) for at, answer in zip(chunk, found))
    return [answers[at] for at in range(len(lengths))]


def from_one_prefix(
    subject: Subject, conversations: Sequence[Messages], max_new_tokens: int
) -> Answers:
    """Questions about one picture, whose common beginning is computed once and fanned out.

    Where all layers are attention, `generate` takes the questions as one padded batch. A recurrent
    state must see no padding: there each question is read by itself, and the states are joined for
    one `generate`.
    """
    encoded = [inputs_of(subject, conversations[:1])]
    shown = encoded[0]
    tails, num_known = _tails(subject, conversations, shown["input_ids"][0].tolist())
    known = shown["input_ids"][:, :num_known]
    cache, step = _read(subject, known, shown)
    if hasattr(subject.model.config.get_text_config(), "linear_num_key_heads"):
        return _from_joined_states(subject, known, tails, (cache, step), max_new_tokens)
    cache.batch_repeat_interleave(len(tails))
    longest = max(map(len, tails))
    pad = subject.processor.tokenizer.pad_token_id
    padded = torch.tensor([[pad] * (longest - len(tail)) + tail for tail in tails])
    ids = torch.cat([known.expand(len(tails), -1), padded], dim=1)
    mask = torch.ones_like(ids)
    for at, tail in enumerate(tails):
        mask[at, num_known : num_known + longest - len(tail)] = 0
    return generated(
        subject,
        {"input_ids": ids, "attention_mask": mask},
        max_new_tokens,
        past_key_values=cache,
        position_ids=_positions(mask, step),
    )


class Conversation:
    """A conversation about a picture whose cache and ids are kept by hand from turn to turn."""

    def __init__(self, subject: Subject, system: str | None = None) -> None:
        self._subject, self._system = subject, system
        self._cache = DynamicCache(config=subject.model.config)
        self._ids: torch.Tensor | None = None
        self._positions: torch.Tensor | None = None

    def ask(self, text: str, max_new_tokens: int, image: object = None) -> Sequence[int]:
        """The answer to the next question; a picture comes with the first."""
        if self._ids is None:
            shown = inputs_of(self._subject, [question_about(image, text, self._system)])
            ids = shown["input_ids"]
            self._positions = _three_positions(self._subject, ids, shown)
            pixels = {key: shown[key] for key in ("pixel_values", "image_grid_thw") if key in shown}
        else:
            pixels = {}
            turn = f"<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
            more = self._subject.processor.tokenizer(
                turn, return_tensors="pt", add_special_tokens=False
            )["input_ids"]
            ids = torch.cat([self._ids, more], dim=1)
            self._go_on(ids.shape[1])
        answer = generated(
            self._subject,
            {"input_ids": ids, "attention_mask": torch.ones_like(ids), **pixels},
            max_new_tokens,
            past_key_values=self._cache,
            position_ids=self._positions,
        )[0]
        self._ids = torch.cat([ids, torch.tensor([list(answer)])], dim=1)
        return answer

    def _go_on(self, length: int) -> None:
        """Positions of text count on from the last one."""
        assert self._positions is not None
        missing = length - self._positions.shape[-1]
        text = torch.arange(self._positions.shape[-1], length)
        others = self._positions[1:].max() + 1 + torch.arange(missing)
        more = torch.stack([text, others, others, others])[:, None]
        self._positions = torch.cat([self._positions, more], dim=2)


def generated(
    subject: Subject,
    inputs: Any,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    **settings: Any,
) -> Answers:
    """The answers of one `generate`, each up to its own end."""
    num_prompt = inputs["input_ids"].shape[1]
    with torch.inference_mode():
        ids = subject.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            eos_token_id=sorted(subject.end_ids),
            pad_token_id=subject.processor.tokenizer.pad_token_id,
            **_chosen_by(sampling, num_prompt),
            **settings,
        )
    new = ids[:, num_prompt:]
    subject.processor.batch_decode(new, skip_special_tokens=True)
    return [_up_to_end(answer, subject.end_ids) for answer in new.tolist()]


class Watch:
    """A streamer of transformers that notes the time at which each step's tokens come."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.times: list[float] = []
        self._clock, self._has_prompt = clock, False

    def put(self, value: object) -> None:
        """Tokens of a step, after the prompt."""
        if self._has_prompt:
            self.times.append(self._clock())
        self._has_prompt = True

    def end(self) -> None:
        """All answers have ended."""


class PresencePenalty(LogitsProcessor):
    """A presence penalty, which transformers has not: tokens of the answer lose once."""

    def __init__(self, penalty: float, num_prompt: int) -> None:
        self._penalty, self._num_prompt = penalty, num_prompt

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores of a step, after the penalty."""
        answer = input_ids[:, self._num_prompt :]
        return scores.scatter(1, answer, scores.gather(1, answer) - self._penalty)


@contextmanager
def dictated(model: Any, ids: Sequence[int]) -> Iterator[None]:
    """Within it a model is made to answer one request with these tokens.

    It computes all that it would; its logits are replaced before a token is chosen.
    """
    num_prompt = 0

    def replace(_: object, __: object, given: dict[str, Any], output: Any) -> None:
        nonlocal num_prompt
        cache = (
            given["cache"] if "cache" in given else given["past_key_values"]
        )  # its name before transformers 5.40
        num_known, num_new = cache.get_seq_length(), output.logits.shape[1]
        num_prompt = num_prompt or num_known
        output.logits.zero_()
        for at in range(num_new):
            next_token = num_known - num_new + at + 1 - num_prompt
            if next_token < len(ids):
                output.logits[:, at, ids[next_token]] = 1

    handle = model.register_forward_hook(replace, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _chosen_by(sampling: Sampling | None, num_prompt: int) -> dict[str, Any]:
    """The arguments of `generate` for the same choice of tokens."""
    if sampling is None:
        return {"do_sample": False, "repetition_penalty": None}
    drawn = sampling.temperature is not None
    settings: dict[str, Any] = {"do_sample": drawn, "repetition_penalty": None}
    if drawn:
        settings |= {name: getattr(sampling, name) for name in ("temperature", "top_k", "top_p")}
    if sampling.presence_penalty:
        penalty = PresencePenalty(sampling.presence_penalty, num_prompt)
        settings["logits_processor"] = LogitsProcessorList([penalty])
    return settings


def _tails(
    subject: Subject, conversations: Sequence[Messages], first: list[int]
) -> tuple[list[list[int]], int]:
    """The ids of each prompt after the beginning that all share, and its length.

    The picture is processed once: its placeholders are in the beginning.
    """
    processor = subject.processor
    texts = [
        processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        for messages in conversations
    ]
    short = [processor.tokenizer(text)["input_ids"] for text in texts]
    shared = 0
    while len({ids[shared] for ids in short}) == 1:
        shared += 1
    num_known = len(first) - (len(short[0]) - shared)
    return [ids[shared:] for ids in short], num_known


def _read(subject: Subject, known: torch.Tensor, shown: Any) -> tuple[Any, int]:
    """The cache of a beginning with a picture, and how far positions lag behind its length."""
    cache = DynamicCache(config=subject.model.config)
    positions = _three_positions(subject, known, shown)
    with torch.inference_mode():
        subject.model(
            input_ids=known,
            position_ids=positions,
            pixel_values=shown["pixel_values"],
            image_grid_thw=shown["image_grid_thw"],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    return cache, int(positions[1:].max()) + 1 - known.shape[1]


def _three_positions(subject: Subject, ids: torch.Tensor, shown: Any) -> torch.Tensor:
    """Positions of a prompt with pictures: a row of text, and time, height and width."""
    inner = subject.model.model
    kinds = (ids == subject.model.config.image_token_id).long()
    grid = shown.get("image_grid_thw")
    three, _ = inner.get_rope_index(
        ids, mm_token_type_ids=kinds, image_grid_thw=grid, attention_mask=torch.ones_like(ids)
    )
    return torch.cat([torch.arange(ids.shape[1])[None, None], three])


def _positions(mask: torch.Tensor, step: int) -> torch.Tensor:
    """Positions of padded rows after a beginning with pictures."""
    text = (mask.cumsum(-1) - 1).clamp(min=0)
    return torch.cat([text[None], (text + step)[None].expand(3, -1, -1)])


def _from_joined_states(
    subject: Subject,
    known: torch.Tensor,
    tails: Sequence[Sequence[int]],
    states: tuple[Any, int],
    max_new_tokens: int,
) -> Answers:
    (cache, step), num_known, caches = states, known.shape[1], []
    for tail in tails:
        own, text = copy.deepcopy(cache), torch.arange(num_known, num_known + len(tail) - 1)[None]
        with torch.inference_mode():
            subject.model(
                input_ids=torch.tensor([tail[:-1]]),
                position_ids=torch.cat([text[None], (text + step)[None].expand(3, -1, -1)]),
                past_key_values=own,
                use_cache=True,
                logits_to_keep=1,
            )
        caches.append(own)
    longest = max(map(len, tails))
    pad = subject.processor.tokenizer.pad_token_id
    ids = torch.tensor(
        [[pad] * (longest - len(tail)) + known[0].tolist() + list(tail) for tail in tails]
    )
    mask = torch.ones_like(ids)
    for at, tail in enumerate(tails):
        mask[at, : longest - len(tail)] = 0
    return generated(
        subject,
        {"input_ids": ids, "attention_mask": mask},
        max_new_tokens,
        past_key_values=_joined(subject, caches),
        position_ids=_positions(mask, step),
    )


def _joined(subject: Subject, caches: Sequence[Any]) -> Any:
    """One cache of several: keys and values are padded on the left, states put together."""
    joined = DynamicCache(config=subject.model.config)
    longest = max(cache.get_seq_length() for cache in caches)
    for at, layer in enumerate(joined.layers):
        parts = [cache.layers[at] for cache in caches]
        if hasattr(layer, "conv_states"):
            kernel = parts[0].conv_kernel_size[0]
            states = torch.cat([part.conv_states[0] for part in parts])
            layer.update_conv_state(states, conv_kernel_size=kernel)
            layer.update_recurrent_state(torch.cat([part.recurrent_states[0] for part in parts]))
        else:
            keys, values = (
                torch.cat([_padded(getattr(part, name), longest) for part in parts])
                for name in ("keys", "values")
            )
            layer.update(keys, values)
    return joined


def _padded(states: torch.Tensor, length: int) -> torch.Tensor:
    return torch.nn.functional.pad(states, (0, 0, length - states.shape[2], 0))


def _up_to_end(ids: list[int], ends: frozenset[int]) -> list[int]:
    at = next((index for index, token_id in enumerate(ids) if token_id in ends), len(ids))
    return ids[: at + 1]
