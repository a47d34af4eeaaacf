"""The protocol between a chat and what runs its requests."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from qwenvl_kit.budget.measures import PlanningRules
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.types import DecodedMedia, Link
from qwenvl_kit.messages.message import Message
from qwenvl_kit.options import Sampling
from qwenvl_kit.plans import ImagePlan, Plan, VideoPlan
from qwenvl_kit.results import Delta, FinishReason, TokenScore
from qwenvl_kit.structured_output.constraints import Constraint

if TYPE_CHECKING:
    from concurrent.futures import Future

    import PIL.Image


class KnownMedia:
    """A picture or video that a backend has seen before; what it holds is the backend's own."""


@dataclass(frozen=True)
class BackendRequest:
    """A request that is ready to run.

    Attributes:
        messages: the conversation.
        plan: what was decided; its counts are those that run.
        media: decoded pictures and frames, in the order in which they stand in the messages; in
            place of one that the backend recalled, what it recalled, and of one that others are to
            fetch, its link.
        sampling: how to generate.
        media_keys: what the source of each is known by; None for one that is known by its pixels
            alone.
        constraint: what the answer must look like; None leaves it free.
    """

    messages: tuple[Message, ...]
    plan: Plan
    media: tuple[DecodedMedia | KnownMedia | Link, ...]
    sampling: Sampling
    media_keys: tuple[str | None, ...] = ()
    constraint: Constraint | None = None


@dataclass(frozen=True)
class Completion:
    """What a backend generated for one request.

    Attributes:
        text: the answer, without special tokens unless they are to be kept.
        finish_reason: why it ended.
        tokens: its tokens with raw log-probabilities; None where the backend gives none.
        end_token: the token that ended it, if one did.
        completion_tokens: generated tokens, the end token included.
        reused_tokens: prompt tokens that had been computed before.
        prompt_tokens: what the prompt came to, where another counted it; None leaves the plan's.
        vision_seconds, prefill_seconds, decode_seconds: where the time went.
        degradations: what was given up to make it run, in words; empty if nothing.
        begins_in_thought: whether the text begins within the model's thoughts, as its prompt had
            opened them.
        raw_text: the answer with its special tokens; None where that is the text itself.
        warnings: what of the answer could not be used, in words; empty if nothing.
    """

    text: str
    finish_reason: FinishReason
    tokens: tuple[TokenScore, ...] | None
    end_token: TokenScore | None
    completion_tokens: int
    reused_tokens: int = 0
    prompt_tokens: int | None = None
    vision_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    degradations: tuple[str, ...] = ()
    begins_in_thought: bool = False
    raw_text: str | None = None
    warnings: tuple[str, ...] = ()


class Observer(Protocol):
    """Whoever follows a request while it runs; asked and told in the backend's thread."""

    def on_delta(self, delta: Delta) -> None:
        """Called for each new token."""

    def is_read(self) -> bool:
        """Whether anybody sees the tokens as they come, so that none may be taken back."""

    def is_cancelled(self) -> bool:
        """Asked between tokens, and while the request waits; True ends it with what it has."""


class Backend(Protocol):
    """Runs requests, from any thread and several at a time."""

    @property
    def rules(self) -> PlanningRules:
        """What the model lays down for planning."""

    @property
    def default_sampling(self) -> Sampling:
        """The settings that the checkpoint was published with."""

    def free_bytes(self) -> int | None:
        """Memory that the device could still give; None where not known."""

    def count_prompt_tokens(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> int:
        """Length of the rendered prompt in tokens, its visual tokens as planned."""

    def resize_image(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """A decoded picture at the planned size, pixels as the model's processor makes them."""

    def submit(
        self, request: BackendRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Queue a request, to be answered along with others as if it ran alone.

        Its future cannot be cancelled; an observer can end it.

        Raises:
            OverloadError: too many requests wait.
            QwenVLKitError: it cannot be run.
        """

    def report(self) -> Mapping[str, str]:
        """What is loaded and how, in words."""

    def close(self) -> None:
        """Release the model and its memory."""


class AdapterSet(Protocol):
    """The LoRA adapters of a loaded model. At most one is active."""

    @property
    def names(self) -> tuple[str, ...]:
        """The loaded adapters, in the order in which they were loaded."""

    @property
    def active(self) -> str | None:
        """The one that answers; None for the base model."""

    def load(self, folder: str | os.PathLike[str], name: str | None = None) -> str:
        """Load an adapter from a folder, use it, and return its name.

        Raises:
            AdapterError: it does not fit, changes nothing, or has no new name; all is as before.
            UnsafeWeightsError: its weights are pickled.
            MissingPackageError: peft is not installed.
        """

    def use(self, name: str | None) -> None:
        """Switch to a loaded adapter, or with None back to the base model."""

    def remove(self, name: str) -> None:
        """Drop an adapter; if it was active, the base model answers."""

    def merge(self) -> None:
        """Add the active adapter to the model's weights for good, and drop the others."""


@runtime_checkable
class Adaptable(Protocol):
    """A backend whose model takes adapters."""

    @property
    def adapters(self) -> AdapterSet:
        """The adapters of the model."""


@dataclass(frozen=True)
class CacheInfo:
    """What a backend keeps between requests.

    Attributes:
        max_bytes: what it may take.
        used_bytes: what it takes now.
        num_media: pictures and videos whose features are kept.
        media_bytes: what those take.
        num_prompts: computed prompts that are kept.
        prompt_bytes: what those take.
        hits: pictures, videos and prompts that were found.
        misses: those that were not.
    """

    max_bytes: int
    used_bytes: int
    num_media: int
    media_bytes: int
    num_prompts: int
    prompt_bytes: int
    hits: int
    misses: int


@runtime_checkable
class ResizingFrames(Protocol):
    """A backend whose model takes frames of videos resized in a way of their own."""

    def resize_frame(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """A decoded frame at the planned size, pixels as the model's processor makes them."""


@runtime_checkable
class Linking(Protocol):
    """A backend behind which pictures on the network can be fetched."""

    @property
    def takes_links(self) -> bool:
        """Whether it wants a link in place of a picture's pixels."""


@runtime_checkable
class Gathering(Protocol):
    """A backend that runs together what it is given together."""

    def gather(self) -> AbstractContextManager[object]:
        """Within it an idle backend begins nothing."""


@dataclass
class Work:
    """What a backend has done for all requests together.

    Attributes:
        vision_seconds, prefill_seconds, decode_seconds: how long it was at it.
        num_steps: how often it computed a next token, for all rows that ran.
        num_row_steps: rows in all of those steps, those that had ended included.
    """

    vision_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    num_steps: int = 0
    num_row_steps: int = 0


@dataclass(frozen=True)
class Load:
    """What a backend has to do at the moment.

    Attributes:
        num_waiting: requests that wait.
        num_running: requests that are being answered.
    """

    num_waiting: int
    num_running: int


@runtime_checkable
class Queueing(Protocol):
    """A backend that knows what it has to do."""

    def load(self) -> Load:
        """What there is at the moment."""


@runtime_checkable
class Working(Protocol):
    """A backend that knows what it has done."""

    def work(self) -> Work:
        """What it has done so far."""


@runtime_checkable
class Remembering(Protocol):
    """A backend that keeps what it has computed."""

    def recall(self, key: str) -> KnownMedia | None:
        """A picture or video by what its source is known by; None if it is not kept."""

    def cache_info(self) -> CacheInfo:
        """What is kept, and what it was good for."""

    def clear_cache(self) -> int:
        """Let all of it go; the bytes that it took."""
