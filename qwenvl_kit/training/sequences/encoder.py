"""Sequences: an example as the tokens, labels, positions and pixels that a model is trained on.

An answer is trained after exactly the prompt that `chat.ask` would send for it. The answers of a
conversation share a sequence as far as the next prompt begins with the last one and its answer.
Where a chat template rewrites what was said before (Qwen3.5 drops thoughts), a new sequence begins.
So nothing is assumed of a template.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from qwenvl_kit.budget.planning import plan_media
from qwenvl_kit.budget.subtitles import place_subtitles
from qwenvl_kit.errors import located
from qwenvl_kit.media.items import MediaItem
from qwenvl_kit.media.loader import decode_media, open_media
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.message import Message
from qwenvl_kit.messages.order import check_conversation
from qwenvl_kit.options import BudgetChoice, PixelBudget, as_budget
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.training.examples.example import Example
from qwenvl_kit.training.sequences.answers import AnswerEncoder
from qwenvl_kit.training.sequences.place_writer import PlaceWriter

if TYPE_CHECKING:
    import torch

    from qwenvl_kit.checkpoints.download import Checkpoint
    from qwenvl_kit.checkpoints.settings import Settings
    from qwenvl_kit.checkpoints.sources import Source
    from qwenvl_kit.processing.processor_config import Published

IGNORED = -100
"""The label of a token that is not in the loss (`ignore_index` of torch's cross entropy)."""

_MediaPlans: TypeAlias = tuple[Union[ImagePlan, VideoPlan], ...]


@dataclass(frozen=True)
class TrainingSequence:
    """One sequence that a model is trained on; its pixels are not decoded yet.

    Attributes:
        ids: the token ids, with a placeholder for each visual token.
        labels: for each token itself if it is in the loss, else -100.
        media: the pictures and films, planned, in their order.
        num_answers: the answers that are in the loss.
        weight: the weight of its example.
        where: the place of its example.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    media: tuple[MediaItem, ...]
    num_answers: int
    weight: float = 1.0
    where: str = ""

    @property
    def visual_tokens(self) -> int:
        """The tokens that stand for pictures and films."""
        return sum(item.plan.tokens for item in self.media if item.plan is not None)

    @property
    def trained_tokens(self) -> int:
        """The tokens that are in the loss."""
        return sum(label != IGNORED for label in self.labels)


class SequenceEncoder:
    """Encodes examples for a checkpoint, by the parts that serve its requests; it needs no weights.

    Args:
        checkpoint: the place of the checkpoint's small files.
        settings: its config.json.
        budget: the visual tokens of pictures whose example has no budget of its own.
        policy: the media policy.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: Settings,
        *,
        budget: PixelBudget,
        policy: MediaPolicy,
    ) -> None:
        from qwenvl_kit.processing.processor_config import load_published
        from qwenvl_kit.processing.prompt_encoder import PromptEncoder

        self.name = checkpoint.name
        self.checkpoint, self._settings = checkpoint, settings
        self._budget, self._policy = budget, policy
        self.published: Published = load_published(checkpoint, settings)
        processor, family = self.published.processor, settings.family
        self.rules = self.published.rules
        self.tokenizer = processor.tokenizer
        self._prompts = PromptEncoder(processor, family)
        self._answers = AnswerEncoder(self._prompts, self.tokenizer, self.published.end_ids)

    @classmethod
    def of(
        cls,
        model: str | os.PathLike[str],
        *,
        policy: MediaPolicy,
        budget: BudgetChoice = "native",
        source: Source = "huggingface",
        revision: str | None = None,
        offline: bool = False,
    ) -> SequenceEncoder:
        """Build the encoder of a checkpoint by its hub id or folder; no weights are fetched.

        Raises:
            ModelLoadError: of the most specific kind, if its small files cannot be used.
            BudgetError: there is no such budget.
        """
        from qwenvl_kit.checkpoints.completeness import check_settings_files
        from qwenvl_kit.checkpoints.settings import read_settings
        from qwenvl_kit.checkpoints.sources import find_checkpoint

        with located("budget"):
            chosen = as_budget(budget)
        checkpoint = find_checkpoint(model, source=source, revision=revision, offline=offline)
        settings = read_settings(checkpoint.folder)
        check_settings_files(checkpoint.folder)
        return cls(checkpoint, settings, budget=chosen, policy=policy)

    def encode(self, example: Example) -> list[TrainingSequence]:
        """Return the sequences of an example; no pixel is decoded.

        Raises:
            TrainingDataError: an answer does not follow its prompt, or a place has no picture.
            MediaError: a picture cannot be opened.
            MessageError: the chat template refuses the conversation.
        """
        with located(example.where):
            return list(self._encode(example))

    def _encode(self, example: Example) -> Iterator[TrainingSequence]:
        conversation = example.conversation()
        shift = len(conversation) - len(example.messages)
        answers = [at + shift for at in example.answer_indices]
        opened, items = open_media(conversation[: answers[-1] + 1], self._policy)
        opened = self._with_subtitles(opened, items)
        budget = self._budget if example.budget is None else as_budget(example.budget)
        begun: _Begun | None = None
        for at in answers:
            prompt = self._prompt(opened, items, at, budget)
            if begun is not None and not begun.leads_to(prompt):
                yield begun.sequence(example)
                begun = None
            begun = _Begun() if begun is None else begun
            begun.add(prompt)
        if begun is not None:
            yield begun.sequence(example)

    def _with_subtitles(
        self, opened: tuple[Message, ...], items: Sequence[MediaItem]
    ) -> tuple[Message, ...]:
        """The messages with the subtitles of films where a request has them, too."""

        def count_tokens(text: str) -> int:
            return len(self._prompts.encode_answer(text))

        measures = [item.measure for item in items]
        return place_subtitles(opened, measures, self.rules, count_tokens).messages

    def _prompt(
        self, opened: Sequence[Message], items: Sequence[MediaItem], at: int, budget: PixelBudget
    ) -> _Answered:
        """The prompt of the answer at an index, as `ask` would send it, with the answer."""
        shown = [item for item in items if _message_of(item) < at]
        plans = plan_media([item.measure for item in shown], budget, self.rules)
        messages = PlaceWriter(plans, self.rules.family).written(opened[: at + 1])
        check_conversation(messages[:-1])
        prompt = self._prompts.encode_prompt(messages[:-1], plans)
        with located(f"messages[{at}]"):
            answer = self._answers.encode(messages[-1], prompt)
        planned = tuple(replace(item, plan=plan) for item, plan in zip(shown, plans))
        return _Answered(tuple(prompt.ids), tuple(answer), planned)

    def inputs(self, sequence: TrainingSequence) -> dict[str, torch.Tensor]:
        """Decode the pictures of a sequence, and return all that a model takes of it.

        Args:
            sequence: a result of `encode`.

        Returns:
            `input_ids` and `labels`, int64 (length,); `position_ids`, int64 (4, length): the index
            in the text, then time, height and width; and with pictures or films `pixel_values`,
            `image_grid_thw`, `pixel_values_videos` and `video_grid_thw`, as the processor makes
            them.

        Raises:
            MediaError: a picture cannot be decoded.
        """
        import numpy

        media = self.decode(sequence)
        films = [item for item in media if isinstance(item, numpy.ndarray)]
        images: list[Any] = [item for item in media if not isinstance(item, numpy.ndarray)]
        return {**self.text_inputs(sequence), **self.patches(images), **self.patches(films)}

    def text_inputs(self, sequence: TrainingSequence) -> dict[str, torch.Tensor]:
        """Return what a model takes of a sequence apart from its pixels: see `inputs`."""
        import torch

        plans = [item.plan for item in sequence.media if item.plan is not None]
        ids = list(sequence.ids)
        return {
            "input_ids": torch.tensor(ids),
            "labels": torch.tensor(sequence.labels),
            "position_ids": self._positions.compute(ids, plans),
        }

    def patches(self, media: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Return decoded pictures, or decoded films, as a model takes them: see `inputs`."""
        import numpy

        if media and isinstance(media[0], numpy.ndarray):
            return self._patches.encode_videos(media)  # type: ignore[no-any-return]
        return self._patches.encode_images(media)  # type: ignore[no-any-return]

    def decode(self, sequence: TrainingSequence) -> list[Any]:
        """Decode the pictures and films of a sequence at their planned sizes.

        Returns:
            For each a picture of Pillow, or an array uint8 (frames, height, width, 3).

        Raises:
            MediaError: one cannot be decoded; the error has its place.
        """
        resizer = self.published.resizer
        with located(sequence.where):
            decoded = decode_media(
                sequence.media, self._policy, resizer.image, resize_frame=resizer.frame
            )
        return [item.content for item in decoded]

    @cached_property
    def _patches(self) -> Any:
        from qwenvl_kit.processing.patches import PatchEncoder

        return PatchEncoder(self.published.processor, self.rules.family)

    @cached_property
    def _positions(self) -> Any:
        """The position encoder, on a model that has no weights."""
        import torch
        import transformers

        from qwenvl_kit.processing.positions import PositionEncoder

        model_class = getattr(transformers, self.rules.family.model_class)
        config = model_class.config_class.from_pretrained(
            self.checkpoint.folder, local_files_only=True
        )
        config._attn_implementation = "sdpa"  # it may name a kernel, which would be fetched
        with torch.device("meta"):
            model = model_class(config)
        return PositionEncoder(model, self.rules.family)


@dataclass(frozen=True)
class _Answered:
    """A prompt with its answer."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    media: tuple[MediaItem, ...]


class _Begun:
    """A sequence that grows by one answer after another."""

    def __init__(self) -> None:
        self._ids: tuple[int, ...] = ()
        self._labels: list[int] = []
        self._media: tuple[MediaItem, ...] = ()
        self._num_answers = 0

    def leads_to(self, following: _Answered) -> bool:
        """True if a prompt begins with all that was said, and shows the same pictures first."""
        before = [item.plan for item in self._media]
        after = [item.plan for item in following.media[: len(before)]]
        return following.prompt[: len(self._ids)] == self._ids and before == after

    def add(self, following: _Answered) -> None:
        """Add what a prompt says beyond what was said, and its answer, which is in the loss."""
        num_new = len(following.prompt) - len(self._ids)
        self._labels += [IGNORED] * num_new
        self._labels += following.answer
        self._ids = (*following.prompt, *following.answer)
        self._media = following.media
        self._num_answers += 1

    def sequence(self, example: Example) -> TrainingSequence:
        """The sequence, as far as it has grown."""
        return TrainingSequence(
            self._ids,
            tuple(self._labels),
            self._media,
            self._num_answers,
            example.weight,
            example.where,
        )


def _message_of(item: MediaItem) -> int:
    """The index of the message that shows an item, from its place `messages[1].parts[0]`."""
    return int(item.where.partition("[")[2].partition("]")[0])
