"""The base class of all backends, and the values that a chat exchanges with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from qwenvl_kit.errors import ModelLoadError, UnsupportedFeatureError
from qwenvl_kit.options import Sampling

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    import numpy
    import PIL.Image

    from qwenvl_kit.budget.measures import PlanningRules
    from qwenvl_kit.geometry import Size
    from qwenvl_kit.media.types import DecodedMedia, Link
    from qwenvl_kit.messages.message import Message
    from qwenvl_kit.plans import ImagePlan, Plan, VideoPlan
    from qwenvl_kit.results import Delta, FinishReason, TokenScore
    from qwenvl_kit.structured_output.constraints import Constraint


Pass: TypeAlias = Literal["attention", "gradient", "scores"]
"""The kind of a pass over a prompt and its answer: attention is followed through the layers,
attention is weighted by its gradient, or tokens are scored alone."""


class KnownMedia:
    """A picture or video that a backend has seen before; each backend has its own subclass."""


@dataclass(frozen=True)
class BackendRequest:
    """A request that is ready to run.

    Attributes:
        messages: the conversation.
        plan: the sizes and token counts that were planned; the backend runs exactly these.
        media: the decoded pictures and frames, in the order of the messages. A picture that the
            backend recalled is a `KnownMedia`; one that the server fetches itself is a `Link`.
        sampling: the settings for generation.
        media_keys: for each picture or video, a key that identifies its source; None for one that
            only its pixels identify.
        constraint: the form that the answer must have; None leaves it free.
    """

    messages: tuple[Message, ...]
    plan: Plan
    media: tuple[DecodedMedia | KnownMedia | Link, ...]
    sampling: Sampling
    media_keys: tuple[str | None, ...] = ()
    constraint: Constraint | None = None


@dataclass(frozen=True)
class Completion:
    """The answer that a backend generated for one request.

    Attributes:
        text: the answer, without special tokens unless they are to be kept.
        finish_reason: the reason for its end.
        tokens: its tokens with raw log-probabilities; None if the backend gives none.
        end_token: the token that ended it, if one did.
        completion_tokens: the number of generated tokens, the end token included.
        reused_tokens: the number of prompt tokens that had been computed before.
        prompt_tokens: length of the prompt as the backend counted it; None keeps the plan's count.
        vision_seconds, prefill_seconds, decode_seconds: time spent in each stage.
        degradations: features given up to make the request run, in words; empty if none.
        begins_in_thought: True if the text begins within the model's thoughts, because the prompt
            had opened them.
        raw_text: the answer with its special tokens; None if that is `text` itself.
        warnings: parts of the answer that could not be used, in words; empty if none.
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


@dataclass(frozen=True)
class AttributionRequest:
    """A pass over a prompt and an answer that is known.

    Attributes:
        request: the request, its pictures decoded.
        token_ids: the tokens of the answer.
        explained: indices of the tokens to explain, rising.
        kind: the kind of the pass.
        layers: numbers of the layers whose attention counts, from 0; None for all.
        heads: numbers of the heads that count, from 0; None for all.
    """

    request: BackendRequest
    token_ids: tuple[int, ...]
    explained: tuple[int, ...]
    kind: Pass
    layers: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Attribution:
    """The result of a pass.

    Attributes:
        relevance: for each picture and video a number for each of its visual tokens, fp32 (visual
            tokens,), in their order: by time, then by row, then by column. Empty for "scores".
        logprobs: natural log-probability of each explained token.
        layers: the layers whose attention was counted.
    """

    relevance: tuple[numpy.ndarray[Any, Any], ...]
    logprobs: tuple[float, ...]
    layers: tuple[int, ...] = ()


class Observer(Protocol):
    """The observer of a request while it runs. The backend calls it in the backend's own thread."""

    def on_delta(self, delta: Delta) -> None:
        """Receive a new token."""

    def is_read(self) -> bool:
        """True if somebody sees the tokens as they come, so that none may be taken back."""

    def is_cancelled(self) -> bool:
        """True if the request is to end with the tokens that it has.

        The backend calls this between tokens, and while the request waits.
        """


@dataclass(frozen=True)
class CacheInfo:
    """The contents of a backend's cache: what it keeps between requests.

    Attributes:
        max_bytes: most bytes that it may take.
        used_bytes: bytes that it takes now.
        num_media: pictures and videos whose features are kept.
        media_bytes: bytes of those features.
        num_prompts: computed prompts that are kept.
        prompt_bytes: bytes of those prompts.
        hits: lookups of pictures, videos and prompts that found one.
        misses: lookups that found none.
    """

    max_bytes: int
    used_bytes: int
    num_media: int
    media_bytes: int
    num_prompts: int
    prompt_bytes: int
    hits: int
    misses: int


@dataclass
class Work:
    """The work that a backend has done so far, for all requests together.

    Attributes:
        vision_seconds, prefill_seconds, decode_seconds: time spent in each stage.
        num_steps: decode steps, each for all sequences of the batch.
        num_row_steps: sequences in all of those steps, those that had ended included.
    """

    vision_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    num_steps: int = 0
    num_row_steps: int = 0


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """The memory that a backend takes. What is not known is None.

    Attributes:
        device: the model's device.
        weight_bytes: the weights; tied ones count once.
        prompt_bytes: computed prompts that are kept between requests.
        feature_bytes: features of pictures and films that are kept.
        running_bytes: KV caches of the requests that run, at their longest.
        buffer_bytes: buffers of CUDA graphs.
        taken_bytes: memory that torch's allocator has given out on GPUs; on a processor the memory
            of the process.
        reserved_bytes: memory that torch's allocator holds on GPUs; None on a processor.
        peak_bytes: the most that was taken at a time.
        summary: torch's memory summary of each GPU; empty on a processor.
    """

    device: str
    taken_bytes: int
    weight_bytes: int | None = None
    prompt_bytes: int | None = None
    feature_bytes: int | None = None
    running_bytes: int | None = None
    buffer_bytes: int | None = None
    reserved_bytes: int | None = None
    peak_bytes: int | None = None
    summary: str = ""


@dataclass(frozen=True)
class Load:
    """The load of a backend at the moment.

    Attributes:
        num_waiting: requests that wait.
        num_running: requests that are being answered.
    """

    num_waiting: int
    num_running: int


class AdapterSet(Protocol):
    """The LoRA adapters of a loaded model. At most one is active."""

    @property
    def names(self) -> tuple[str, ...]:
        """The loaded adapters, in the order in which they were loaded."""

    @property
    def active(self) -> str | None:
        """The adapter that answers; None for the base model."""

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

    def export(self, folder: Path) -> None:
        """Write the model with the active adapter merged in as a checkpoint; it stays as it is.

        `qwenvl_kit.training.export_merged` checks the folder before, and cleans it up if this
        fails.

        Args:
            folder: an empty folder.

        Raises:
            AdapterError: no adapter is active, or it cannot be merged into these weights.
            UnsupportedFeatureError: the backend does not have the weights.
        """


class Backend(ABC):
    """The base class of all backends: it runs requests, from any thread and several at a time.

    A backend must have `rules`, `count_prompt_tokens` and `submit`. All else has a default: an
    answer that fits a backend without that ability, or an UnsupportedFeatureError.

    Example:
        class EchoBackend(Backend):
            rules = PlanningRules(...)

            def count_prompt_tokens(self, messages, media):
                return sum(len(message.text.split()) for message in messages)

            def submit(self, request, observer=None):
                future = Future()
                future.set_result(Completion(request.messages[-1].text, "stop", None, None, 1))
                return future
    """

    @property
    @abstractmethod
    def rules(self) -> PlanningRules:
        """The rules by which pictures, videos and prompts are planned for the model."""

    @abstractmethod
    def count_prompt_tokens(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> int:
        """The length of the rendered prompt in tokens, its visual tokens as planned."""

    @abstractmethod
    def submit(
        self, request: BackendRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Queue a request. It is answered along with others, as if it ran alone.

        Its future cannot be cancelled; an observer can end it.

        Raises:
            OverloadError: too many requests wait.
            QwenVLKitError: it cannot be run.
        """

    @property
    def has_scoring(self) -> bool:
        """True if it has `can_score` and `score`."""
        return type(self).score is not Backend.score

    def can_score(self, request: BackendRequest) -> bool:
        """True if `score` takes this request; by default it takes none."""
        return False

    def score(
        self, request: BackendRequest, answers: Sequence[str], observer: Observer | None = None
    ) -> Future[tuple[Completion, ...]]:
        """Queue a request whose answers are given: nothing is generated, and each is scored.

        Args:
            request: the request, without a constraint.
            answers: the answers. Those that have no room end by "length", and have no tokens.
            observer: may cancel the request; it is told of no tokens.

        Returns:
            The future of a completion for each answer, with the tokens in which the model would
            write it and the likeliest token that ends it.

        Raises:
            OverloadError: too many requests wait.
            UnsupportedFeatureError: `can_score` does not hold.
        """
        raise UnsupportedFeatureError(
            f"{type(self).__name__} scores no given answers",
            hint="a Constraint that allows one answer",
        )

    @property
    def has_attribution(self) -> bool:
        """True if it has `attribute`."""
        return type(self).attribute is not Backend.attribute

    def attribute(self, asked: AttributionRequest) -> Attribution:
        """Run a pass over a prompt and its answer that tells what the answer came from.

        It waits until no request runs, and changes nothing of what is kept between requests.

        Raises:
            UnsupportedFeatureError: the model cannot show that.
            InputError: there is no such layer, head or token.
            OutOfMemoryError: memory ran out.
        """
        raise UnsupportedFeatureError(
            f"{type(self).__name__} does not show the attention of its model",
            hint="method='occlusion', or VisionChat.from_pretrained",
        )

    @property
    def default_sampling(self) -> Sampling:
        """The settings that the checkpoint was published with; greedy decoding by default."""
        return Sampling()

    def resize_image(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """Return a decoded picture at the planned size, as the model's processor resizes it."""
        from qwenvl_kit.media.images import resize_image  # not needed by most backends

        return resize_image(image, size)

    def resize_frame(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """Return a decoded frame of a video at the planned size; by default like a picture."""
        return self.resize_image(image, size)

    def free_bytes(self) -> int | None:
        """The memory that the device could still give; None if that is not known."""
        return None

    @property
    def takes_links(self) -> bool:
        """True if it wants links in place of pixels, and fetches linked pictures itself."""
        return False

    def gather(self) -> AbstractContextManager[object]:
        """Return a context in which an idle backend begins nothing.

        What is submitted within it is then begun together. By default nothing is held back.
        """
        return nullcontext()

    def load(self) -> Load:
        """The requests that wait and run at the moment; by default none are counted."""
        return Load(0, 0)

    def memory(self) -> MemoryUse:
        """The memory that is taken; by default that of this process alone."""
        from qwenvl_kit.backends.process_memory import process_memory

        taken, peak = process_memory()
        return MemoryUse(device="not in this process", taken_bytes=taken, peak_bytes=peak)

    def reset_peak_memory(self) -> None:  # noqa: B027  # a default, which most backends keep
        """Set the peak of the device back to what is taken now, where that can be done."""

    def check_model(self) -> Mapping[str, str]:
        """Return the trouble that each check of the model's own state found; empty for none.

        By default nothing is checked. It waits until no request runs.
        """
        return {}

    def work(self) -> Work | None:
        """The work that was done so far; None if that is not known."""
        return None

    @property
    def has_cache(self) -> bool:
        """True if it keeps pictures, videos and prompts that it has computed for later requests.

        Such a backend has `recall`, `cache_info` and `clear_cache`.
        """
        return type(self).recall is not Backend.recall

    def recall(self, key: str) -> KnownMedia | None:
        """Return a picture or video by the key of its source; None if it is not in the cache."""
        return None

    def cache_info(self) -> CacheInfo:
        """The contents of the cache, and how often it was of use."""
        raise _no_cache_error()

    def clear_cache(self) -> int:
        """Empty the cache, and return the number of bytes that it took."""
        raise _no_cache_error()

    @property
    def adapters(self) -> AdapterSet:
        """The LoRA adapters of the model."""
        raise UnsupportedFeatureError(
            f"{type(self).__name__} takes no adapters",
            hint="VisionChat.from_pretrained, which runs the model in this process",
        )

    def report(self) -> Mapping[str, str]:
        """Facts about the loaded model, in words."""
        return {"backend": type(self).__name__}

    def close(self) -> None:  # noqa: B027  # a default, which most overrides replace
        """Release the model and its memory; by default there is nothing to release."""


def closed_error() -> ModelLoadError:
    """The error of a request to a model that was closed."""
    return ModelLoadError(
        "the model was closed", hint="load it again, or close it after its last request"
    )


def _no_cache_error() -> UnsupportedFeatureError:
    return UnsupportedFeatureError("this backend keeps nothing between requests")
