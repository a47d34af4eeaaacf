"""The front door: a loaded model that answers questions about pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qwenvl_kit.arguments.checks import tells_arguments
from qwenvl_kit.backends.base import AdapterSet, CacheInfo
from qwenvl_kit.diagnostics.findings import Diagnosis
from qwenvl_kit.embedded import GOLDEN_FILE, MODEL_FOLDER
from qwenvl_kit.errors import ArgumentError, InputError
from qwenvl_kit.families import Family
from qwenvl_kit.opening import Opening
from qwenvl_kit.options import Sampling
from qwenvl_kit.pipeline.health import Health, health_of
from qwenvl_kit.pipeline.listeners import Listeners

if TYPE_CHECKING:
    from typing_extensions import Self

    from qwenvl_kit.calibration import Calibrator


@tells_arguments
class VisionChat(Opening):
    """Answers questions about pictures and videos.

    Args:
        backend: what runs the requests.
        budget: what pictures may cost where a request does not say: a `PixelBudget`, "native"
            (the checkpoint's own limits), "quick", "standard" or "fine".
        media: what may be opened.
        calibrator: what makes confidences of how sure the model was; None leaves them as they are.
    """

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
            own = {"budget": self._pipeline.budget, "media": self.policy}
            try:
                model = type(self).from_pretrained(model, **{**own, **options})
            except ArgumentError as error:
                error.rename(f"{type(self).__name__}.from_pretrained", "chat.reload")
                for name in own.keys() - options.keys():
                    error.rename(f"{name}=..., ", "")
                raise
        self._take_over(model._pipeline)

    def cache_info(self) -> CacheInfo:
        """What is kept between requests, so that it need not be computed again."""
        return self._backend.cache_info()

    def clear_cache(self) -> int:
        """Let go of all that is kept between requests; the bytes that it took."""
        return self._backend.clear_cache()

    @property
    def family(self) -> Family:
        """What is particular to the model's family."""
        return self._backend.rules.family

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
        return self._backend.adapters

    @property
    def listeners(self) -> Listeners:
        """Those who are told of each reply and failure; see `qwenvl_kit.telemetry`."""
        return self._pipeline.listeners

    def health(self) -> Health:
        """Whether requests are taken, how many wait and run, and the memory that is left."""
        return health_of(self._backend)

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
        from qwenvl_kit.pipeline.self_test import run_self_test

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
