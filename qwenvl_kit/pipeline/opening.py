"""The opening of a chat whose model is loaded here: its settings are checked before the model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, TypeVar

from qwenvl_kit.calibration.files import CalibratorChoice, load_calibrator
from qwenvl_kit.media.policy import as_policy
from qwenvl_kit.pipeline.trained_budget import BudgetOfTraining
from qwenvl_kit.pipeline.warm_up import check_warm_up, warm_up_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from qwenvl_kit.backends.base import Backend
    from qwenvl_kit.media.policy import MediaPolicy
    from qwenvl_kit.options import BudgetChoice, PixelBudget
    from qwenvl_kit.pipeline.core import Pipeline


class OpenedChat(Protocol):
    """A chat, as far as its opening needs to know it."""

    @property
    def _pipeline(self) -> Pipeline: ...


_Chat = TypeVar("_Chat", bound=OpenedChat)


class Opening:
    """The settings of a chat. A misspelt one should not cost a minute of loading.

    Args:
        model: the model that is opened.
        budget: the budget that the user gave; None for none.
        media: the media policy that the user gave; None for none.
        calibrator: the calibrator, its file, "auto" or None.
        adapter: the folder of the adapter that is loaded with it; None for none.
        warm_up: True to run the shapes of the budget once.

    Raises:
        QwenVLKitError: a setting cannot be used.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        budget: BudgetChoice | None,
        media: MediaPolicy | None,
        calibrator: CalibratorChoice,
        *,
        adapter: str | os.PathLike[str] | None = None,
        warm_up: bool = False,
    ) -> None:
        self._chosen = BudgetOfTraining(budget, model, adapter)
        self._media = as_policy(media)
        check_warm_up(warm_up)
        self._warm_up = warm_up
        self._calibrator = load_calibrator(calibrator, model)

    @property
    def budget(self) -> PixelBudget | None:
        """The budget of the user or of a training; None if neither says one."""
        return self._chosen.budget

    def open(self, make: Callable[..., _Chat], backend: Backend) -> _Chat:
        """Open a chat with a backend that is loaded.

        Args:
            make: the class of the chat.
            backend: the backend.
        """
        given, media, calibrator = self._chosen.given, self._media, self._calibrator
        chat = make(backend, budget=given, media=media, calibrator=calibrator)
        self._chosen.hold(chat._pipeline)
        if self._warm_up:
            warm_up_pipeline(chat._pipeline)
        return chat
