"""The budget that an adapter or a model was trained with, which is that of the chat that serves it.

A model that was trained on pictures of one size answers worse on those of another, and nothing
would show it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qwenvl_kit.budget.limits import PixelLimits, apply_budget, total_tokens
from qwenvl_kit.checkpoints.trained_with import TrainedWith
from qwenvl_kit.errors import AdapterError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.options import BudgetChoice, PixelBudget, as_budget

if TYPE_CHECKING:
    from pathlib import Path

    from qwenvl_kit.backends.base import AdapterSet
    from qwenvl_kit.pipeline.core import Pipeline


class BudgetOfTraining:
    """The budget of a chat that is about to be opened: that of its user, or of the training.

    Args:
        given: the budget that the user gave; None for none.
        model: the model that is opened, which may itself be the result of a training.
        adapter: the folder of the adapter that is loaded with it; None for none.

    Raises:
        AdapterError: the user gave another budget than that of the training.
        BudgetError: there is no such budget.
    """

    def __init__(
        self,
        given: BudgetChoice | None,
        model: str | os.PathLike[str],
        adapter: str | os.PathLike[str] | None,
    ) -> None:
        self.given = None if given is None else as_budget(given)
        trained = None if adapter is None else _read(adapter)
        self._folder = model if adapter is None or trained is None else adapter
        self._trained = _read(model) if trained is None else trained
        if self._trained is not None and self.given is not None:
            areas = self._trained.image_pixels, self._trained.video_pixels
            _check(self._trained, self.given, *(PixelLimits(*area) for area in areas))

    @property
    def budget(self) -> PixelBudget | None:
        """The budget; None if neither the user nor a training says one."""
        if self.given is None and self._trained is not None:
            return self._trained.budget
        return self.given

    def hold(self, pipeline: Pipeline) -> None:
        """Have a pipeline that was opened keep the budget of the training, and say so in its facts.

        Raises:
            AdapterError: the checkpoint's own limits are not those of the training, and the budget
                leaves them open. The backend is closed.
        """
        if self._trained is None:
            return
        budget = self.budget or PixelBudget()
        try:
            _check_served(self._trained, budget, pipeline)
        except AdapterError:
            pipeline.backend.close()
            raise
        pipeline.budget = budget
        name = os.path.basename(os.path.abspath(os.path.expanduser(self._folder)))
        pipeline.facts["budget"] = f"{describe_budget(budget)}, with which {name} was trained"


class CheckedAdapters:
    """The adapters of a chat: each that is loaded must have been trained with the chat's budget.

    Args:
        adapters: the adapters of its backend.
        pipeline: its pipeline.
    """

    def __init__(self, adapters: AdapterSet, pipeline: Pipeline) -> None:
        self._adapters, self._pipeline = adapters, pipeline

    @property
    def names(self) -> tuple[str, ...]:
        """The loaded adapters, in the order in which they were loaded."""
        return self._adapters.names

    @property
    def active(self) -> str | None:
        """The adapter that answers; None for the base model."""
        return self._adapters.active

    def load(self, folder: str | os.PathLike[str], name: str | None = None) -> str:
        """Load an adapter from a folder, use it, and return its name.

        Raises:
            AdapterError: it was trained with another budget, or cannot be loaded.
        """
        trained = _read(folder)
        if trained is not None:
            _check_served(trained, self._pipeline.budget, self._pipeline)
        return self._adapters.load(folder, name)

    def use(self, name: str | None) -> None:
        """Switch to a loaded adapter, or with None back to the base model."""
        self._adapters.use(name)

    def remove(self, name: str) -> None:
        """Drop an adapter; if it was active, the base model answers."""
        self._adapters.remove(name)

    def merge(self) -> None:
        """Add the active adapter to the model's weights for good, and drop the others."""
        self._adapters.merge()

    def export(self, folder: Path) -> None:
        """Write the model with the active adapter merged in as a checkpoint; it stays as it is."""
        self._adapters.export(folder)


def describe_budget(budget: PixelBudget) -> str:
    """A budget as one writes it; "native" for the checkpoint's own limits."""
    given = {name: limit for name, limit in vars(budget).items() if limit is not None}
    if not given:
        return "native"
    return f"PixelBudget({', '.join(f'{name}={limit}' for name, limit in given.items())})"


def _read(folder: object) -> TrainedWith | None:
    """The conditions under which the contents of a folder were trained; None for other folders."""
    if not isinstance(folder, (str, os.PathLike)) or not os.path.isdir(os.path.expanduser(folder)):
        return None  # the loader says what is wrong with it
    return TrainedWith.read(os.fsdecode(folder))


def _check_served(trained: TrainedWith, budget: PixelBudget, pipeline: Pipeline) -> None:
    rules = pipeline.backend.rules
    _check(trained, budget, rules.image_limits, rules.video_limits)


def _check(
    trained: TrainedWith, budget: PixelBudget, images: PixelLimits, videos: PixelLimits
) -> None:
    """Check that a budget sets the limits of the training, in whatever way it is written.

    Args:
        trained: the record of the training.
        budget: the budget of the chat.
        images: the limits of pictures by the checkpoint that serves.
        videos: the same of videos.

    Raises:
        AdapterError: it sets others.
    """
    own = PixelLimits(*trained.image_pixels), PixelLimits(*trained.video_pixels)
    family = trained.base.family
    if _limits(budget, images, videos, family) == _limits(trained.budget, *own, family):
        return
    said, chosen = describe_budget(trained.budget), describe_budget(budget)
    if said == chosen:  # native limits of a checkpoint whose settings have changed
        said = f"{said}, {_in_words(own)}"
        chosen = f"{chosen}, {_in_words((images, videos))}"
    raise AdapterError(
        f"the training had budget={said}, and this chat has budget={chosen}",
        expected="the budget of the training, as pictures would have other sizes than the model "
        "has learned",
        hint="leave budget out of from_pretrained(..., adapter=...), which takes that of the "
        "adapter; requests may have a budget of their own: ask(..., budget=...)",
    )


def _limits(
    budget: PixelBudget, images: PixelLimits, videos: PixelLimits, family: str
) -> Mapping[str, object]:
    side = FAMILIES[family].token_side_px if family in FAMILIES else 1
    return {
        "images": apply_budget(budget, images, side),
        "videos": apply_budget(budget, videos, side),
        "total": total_tokens(budget, side),
    }


def _in_words(limits: tuple[PixelLimits, PixelLimits]) -> str:
    images, videos = (f"{area.min_pixels} to {area.max_pixels} pixels" for area in limits)
    return f"{images} for pictures and {videos} for videos"
