"""The front door: a loaded model that answers questions about pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from qwenvl_kit.backends import connect_to_server, load_local
from qwenvl_kit.backends.base import (
    MAX_QUEUED_REQUESTS,
    Adaptable,
    AdapterSet,
    Backend,
    CacheInfo,
    Remembering,
)
from qwenvl_kit.checkpoints.sources import Source
from qwenvl_kit.diagnosis.findings import Diagnosis
from qwenvl_kit.embedded import GOLDEN_FILE, MODEL_FOLDER
from qwenvl_kit.errors import InputError, UnsupportedFeatureError
from qwenvl_kit.families import Family
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.options import BudgetChoice, Sampling, as_budget
from qwenvl_kit.talking import Talking

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self

    from qwenvl_kit.calibration import Calibrator

    CalibratorChoice = Calibrator | str | os.PathLike[str] | None
    ImageEncoding = Literal["auto", "png", "jpeg"]


class VisionChat(Talking):
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

    @classmethod
    def connect(
        cls,
        base_url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        checkpoint: str | os.PathLike[str] | None = "auto",
        family: str | None = None,
        dialect: str | None = None,
        context_tokens: int | None = None,
        image_encoding: ImageEncoding = "auto",
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 600.0,
        max_retries: int = 4,
        max_concurrent_requests: int = 32,
        max_queued_requests: int = MAX_QUEUED_REQUESTS,
        budget: BudgetChoice = "native",
        media: MediaPolicy | None = None,
        calibrator: Calibrator | None = None,
    ) -> Self:
        """Have requests answered by an OpenAI-compatible server: vLLM, SGLang, DashScope, others.

        Pictures are opened, judged and resized here, so that budgets hold and the server never
        sees more than the model does. What the server can and cannot do is found out once, and
        stands in `report()`; two short questions are asked for it.

        Args:
            base_url: of the API, such as "http://127.0.0.1:8000/v1".
            model: the name under which it serves the model; None takes the only one.
            api_key: what the server wants to see. It is never taken from the environment, which
                may hold that of another server.
            checkpoint: where the model's small files are, a folder or hub id: with them prompts
                are counted, without them estimated; "auto" looks where the server says that its
                model comes from; None does without.
            family: the model's family, such as "qwen2_5_vl", where neither checkpoint nor name
                tells it.
            dialect: what the server speaks beside OpenAI's API: "vllm", "sglang", "dashscope",
                "transformers" or "openai"; None finds out, which of `transformers serve` cannot be.
            context_tokens: prompt and answer together; None takes what the server says, or the
                checkpoint, or else 32,768.
            image_encoding: "png" (without loss), "jpeg" (of quality 95), or "auto": the smaller.
            headers: what every request carries beside.
            timeout_seconds: how long the server may say nothing.
            max_retries: how often a request that came to nothing is repeated, after pauses that
                grow, or as long as the server says.
            max_concurrent_requests: most that the server has at a time.
            max_queued_requests: most that wait for that; more are refused.
            budget: what pictures may cost where a request does not say. The server's own limits
                hold whatever is asked for.
            media: what may be opened.
            calibrator: what makes confidences of how sure the model was.

        Raises:
            ServerError: of a kind that says why the server gives no answer.
            ModelNotFoundError: it serves no such model, or several to choose from.
            UnknownFamilyError: nothing tells the model's family.
            MissingPackageError: the package openai is not installed.
            InputError: an argument cannot be used.
        """
        budget, media = as_budget(budget), _checked_policy(media)
        backend = connect_to_server(
            base_url,
            model=model,
            api_key=api_key,
            checkpoint=checkpoint,
            family=family,
            dialect=dialect,
            context_tokens=context_tokens,
            image_encoding=image_encoding,
            headers=headers,
            timeout_seconds=timeout_seconds,
            max_retries=max_retries,
            max_concurrent_requests=max_concurrent_requests,
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
