"""The front door: a loaded model that answers questions about pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from qwenvl_kit.asking import Asking
from qwenvl_kit.backends import load_local
from qwenvl_kit.backends.base import (
    MAX_QUEUED_REQUESTS,
    Adaptable,
    AdapterSet,
    Backend,
    CacheInfo,
    Remembering,
)
from qwenvl_kit.checkpoints.sources import Source
from qwenvl_kit.conversation import Conversation, Media
from qwenvl_kit.diagnosis.findings import Diagnosis
from qwenvl_kit.dialects import Prompt, as_messages
from qwenvl_kit.embedded import GOLDEN_FILE, MODEL_FOLDER
from qwenvl_kit.errors import InputError, UnsupportedFeatureError
from qwenvl_kit.families import Family
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages import Message
from qwenvl_kit.options import BudgetChoice, Fit, Sampling, as_budget
from qwenvl_kit.results import Reply
from qwenvl_kit.tool_runs import ToolRun, run_tools
from qwenvl_kit.tools.functions import as_tools

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self

    from qwenvl_kit.calibration import Calibrator
    from qwenvl_kit.watching import FrameSource, Watch

    CalibratorChoice = Calibrator | str | os.PathLike[str] | None
    WatchSource = str | os.PathLike[str] | int | FrameSource | Iterable[Any]


class VisionChat(Asking):
    """Answers questions about pictures and videos.

    Args:
        backend: what runs the requests.
        budget: what pictures may cost where a request does not say: a `PixelBudget`, "native"
            (the checkpoint's own limits), "quick", "standard" or "fine".
        media: what may be opened.
        calibrator: what makes confidences of how sure the model was; None leaves them as they are.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        budget: BudgetChoice = "native",
        media: MediaPolicy | None = None,
        calibrator: Calibrator | None = None,
    ) -> None:
        super().__init__(backend, as_budget(budget), _checked_policy(media), calibrator)

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        source: Source = "huggingface",
        revision: str | None = None,
        offline: bool = False,
        dtype: str | torch.dtype = "auto",
        device: str | torch.device = "auto",
        quantization: Literal["4bit", "8bit"] | None = None,
        attention: str = "auto",
        compile: bool | Literal["auto"] = "auto",  # noqa: A002  # torch's own word
        adapter: str | os.PathLike[str] | None = None,
        budget: BudgetChoice = "native",
        media: MediaPolicy | None = None,
        calibrator: CalibratorChoice = "auto",
        max_cache_bytes: int | None = None,
        max_queued_requests: int = MAX_QUEUED_REQUESTS,
    ) -> Self:
        """Load a model into this process.

        What was decided, and why, stands in `report()`. Weights come from safetensors files
        alone, and no code of a checkpoint is ever run.

        Args:
            model: a checkpoint's folder or its id on a hub; None loads the small model that is
                part of this package, offline.
            source: the hub that an id is of: "huggingface" or "modelscope".
            revision: branch, tag or commit on the hub; all files are of one commit.
            offline: take only what has been fetched before.
            dtype: "auto" (bf16 on a device that has it, else fp32; fp16 only where a checkpoint
                was published quantised in it), or a torch type or its name.
            device: "auto" (one GPU if it holds the weights, several if it takes them, the
                processor only where there is no GPU), or a torch device.
            quantization: "4bit" (NF4) or "8bit" by bitsandbytes, the vision encoder left whole.
                Checkpoints that are published quantised are recognised without it.
            attention: "auto" (FlashAttention 2 where it works, else torch's own), or an attention
                implementation of transformers.
            compile: have torch compile parts of the model when it first runs; "auto" does where
                that was measured to pay.
            adapter: a folder with a LoRA adapter; `adapters` loads more of them.
            budget: what pictures may cost where a request does not say.
            media: what may be opened.
            calibrator: what makes confidences of how sure the model was: a `Calibrator` or a file
                that one was saved to; "auto" takes `calibration.json` in the model's folder, if
                there is one; None leaves them as they are.
            max_cache_bytes: what pictures, videos and prompts that were computed may take in the
                device's memory, to be used again; None takes an eighth of what is free once the
                model is loaded, 2 GiB at most; 0 keeps nothing.
            max_queued_requests: most requests that wait while others run; more are refused.

        Raises:
            ModelLoadError: of a kind that says what is missing or does not fit, and what to try.
        """
        # A misspelt setting should not cost a minute of loading.
        budget, media = as_budget(budget), _checked_policy(media)
        model = MODEL_FOLDER if model is None else model
        calibrator = _loaded_calibrator(calibrator, model)
        backend = load_local(
            model,
            source=source,
            revision=revision,
            offline=offline,
            dtype=dtype,
            device=device,
            quantization=quantization,
            attention=attention,
            compile=compile,
            adapter=adapter,
            max_cache_bytes=max_cache_bytes,
            max_queued_requests=max_queued_requests,
        )
        return cls(backend, budget=budget, media=media, calibrator=calibrator)

    def reload(
        self, model: str | os.PathLike[str] | VisionChat | None = None, **options: Any
    ) -> None:
        """Put another model in the place of this one, while requests are in flight.

        Requests that have begun end with the model that they began with, those of one `ask_many`
        among them; later ones take the new one. The old one is closed when the last request lets go
        of it. Until then both are in memory. If the new one cannot be loaded, all stays as it is.
        Totals, listeners and conversations go on.

        Args:
            model: as `from_pretrained`, or a chat whose model is taken over; that chat must not be
                used or closed afterwards.
            options: those of `from_pretrained`; budget and policy are this chat's unless given.

        Raises:
            ModelLoadError: as `from_pretrained`.
        """
        if not isinstance(model, VisionChat):
            options = {"budget": self._pipeline.budget, "media": self.policy, **options}
            model = type(self).from_pretrained(model, **options)
        self._take_over(model._pipeline)

    def start(self, system: str | None = None) -> Conversation:
        """A conversation that remembers its turns.

        Args:
            system: instructions for all of it.
        """
        said = () if system is None else (Message.system(system),)
        return Conversation(self, said, self.policy)

    def run_tools(
        self,
        prompt: Prompt,
        *media: Media,
        tools: Sequence[Callable[..., Any]],
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
        max_rounds: int = 8,
    ) -> ToolRun:
        """Answer with the help of functions: make the calls that the model wants, until it answers.

        Arguments are checked before a function is called. What it raises is told to the model, as
        is a call of a function that there is not. Results may hold pictures.

        Args:
            prompt: a question, or messages.
            media: pictures and videos that the question is about.
            tools: functions with annotations and docstrings; they run in this thread.
            sampling: how to generate.
            budget: what pictures may cost.
            fit: see `ask`.
            max_rounds: how often to ask at most.

        Raises:
            ToolError: a function that cannot be a tool.
            ToolLimitError: the model still calls tools after so many rounds; it has the `run`.
            InputError: the request cannot be used.
        """
        if type(max_rounds) is not int or max_rounds < 1:
            raise InputError(
                f"max_rounds={max_rounds!r} was given", expected="a whole number above 0"
            )
        offered = as_tools(tools)

        def ask(messages: Sequence[Message]) -> Reply:
            return self.ask(messages, sampling=sampling, budget=budget, fit=fit, tools=offered)

        return run_tools(ask, as_messages(prompt, media), offered, max_rounds)

    def watch(
        self,
        source: WatchSource,
        question: str,
        *,
        every_seconds: float = 5.0,
        window_seconds: float | None = None,
        max_frames: int = 16,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
        timeout_seconds: float = 30.0,
    ) -> Watch:
        """Ask the same question again and again about what a source shows.

        Args:
            source: a video file, which is played at its own speed, the number of a camera, a
                `FrameSource`, or an iterator of frames.
            question: what is asked each time.
            every_seconds: how often; while the model is busy, questions are passed over.
            window_seconds: how far back the model sees; None takes `every_seconds`.
            max_frames: most frames that it sees at a time.
            sampling: how to generate.
            budget: what each group of frames may cost.
            fit: see `ask`.
            timeout_seconds: a source that gives no frame for so long is given up.

        Returns:
            An iterator of `WatchEvent`, and a context manager that stops it.

        Raises:
            InputError: an argument cannot be used.
        """
        from qwenvl_kit.watching import Watch

        return Watch(
            self,
            source,
            question,
            every_seconds=every_seconds,
            window_seconds=window_seconds,
            max_frames=max_frames,
            sampling=sampling,
            budget=budget,
            fit=fit,
            timeout_seconds=timeout_seconds,
        )

    def cache_info(self) -> CacheInfo:
        """What is kept between requests, so that it need not be computed again."""
        return self._remembering.cache_info()

    def clear_cache(self) -> int:
        """Let go of all that is kept between requests; the bytes that it took."""
        return self._remembering.clear_cache()

    @property
    def _remembering(self) -> Remembering:
        if not isinstance(self._backend, Remembering):
            raise UnsupportedFeatureError("this backend keeps nothing between requests")
        return self._backend

    @property
    def family(self) -> Family:
        """What is particular to the model's family."""
        return self._backend.rules.family

    @property
    def policy(self) -> MediaPolicy:
        """What may be opened."""
        return self._pipeline.policy

    @property
    def calibrator(self) -> Calibrator | None:
        """What makes confidences of how sure the model was; may be set to another."""
        return self._pipeline.calibrator

    @calibrator.setter
    def calibrator(self, calibrator: Calibrator | None) -> None:
        self._pipeline.calibrator = calibrator

    @property
    def default_sampling(self) -> Sampling:
        """The settings that the checkpoint was published with, used where none are given.

        `dataclasses.replace(chat.default_sampling, max_new_tokens=64)` changes one of them.
        """
        return self._backend.default_sampling

    @property
    def adapters(self) -> AdapterSet:
        """LoRA adapters of the loaded model: load, switch, detach, merge.

        Raises:
            UnsupportedFeatureError: the backend has none.
        """
        if not isinstance(self._backend, Adaptable):
            raise UnsupportedFeatureError(
                f"{type(self._backend).__name__} takes no adapters",
                hint="VisionChat.from_pretrained, which runs the model in this process",
            )
        return self._backend.adapters

    def report(self) -> Mapping[str, str]:
        """What is loaded and how, in words."""
        return self._backend.report()

    def self_test(self) -> Diagnosis:
        """Ask the model questions whose answers can be checked.

        For any checkpoint: a batch gives the tokens of single calls, a stream those of `ask`, and
        a question asked again those of the first time (in bf16 and fp16 rounding may decide a near
        tie either way). For the embedded model also answers that are known in advance.

        Returns:
            A finding for each check; `is_healthy` if all are passed.
        """
        from qwenvl_kit.selftest import run_self_test

        report = self.report()
        is_embedded = report.get("model") == os.fspath(MODEL_FOLDER)
        has_adapter = report.get("adapter", "none") != "none"
        return run_self_test(self, GOLDEN_FILE if is_embedded and not has_adapter else None)

    def close(self, grace_seconds: float = 0.0) -> bool:
        """Take no more requests, and release the model and its memory.

        New requests get a ModelLoadError at once, and `health()` is not ready any more. Those that
        the model has been given end all the same, whenever that is.

        Args:
            grace_seconds: how long to wait for all that were begun, in whatever thread and with
                pictures that are still being read; streams and batches go on meanwhile.

        Returns:
            Whether nothing was being answered any more.

        Raises:
            InputError: that is no number of seconds.
        """
        if not isinstance(grace_seconds, (int, float)) or not 0 <= grace_seconds < math.inf:
            raise InputError(
                f"grace_seconds={grace_seconds!r} was given", expected="0 or more seconds"
            )
        return self._retire(grace_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _checked_policy(policy: object) -> MediaPolicy:
    if policy is None:
        return MediaPolicy()
    if not isinstance(policy, MediaPolicy):
        raise InputError(f"media={policy!r} was given", expected="a MediaPolicy")
    return policy


def _loaded_calibrator(
    choice: CalibratorChoice, model: str | os.PathLike[str]
) -> Calibrator | None:
    """The calibrator that was chosen, or that lies beside the model."""
    if choice is None:
        return None
    from qwenvl_kit.calibration.files import load_calibrator

    return load_calibrator(choice, model)
