"""The file `qwenvl_kit.json`: the conditions under which an adapter or a model was trained.

Answers in service equal those in training only if pictures are resized and prompts are rendered as
they were then. So a training writes this file beside its weights, and loading reads it.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from qwenvl_kit.checkpoints.settings import read_json
from qwenvl_kit.checkpoints.small_files import check_small_files
from qwenvl_kit.errors import AdapterError, CheckpointError, QwenVLKitError, QwenVLKitWarning
from qwenvl_kit.options import PixelBudget
from qwenvl_kit.safe_text import shown

TRAINED_WITH_FILE = "qwenvl_kit.json"

_FORM = 1
_LONGEST = 1000
_EXPECTED = f"{TRAINED_WITH_FILE} as the kit writes it beside the weights that it trains"
_RESTORE = (
    "copy the file again from where it was trained; without it nothing is compared, and a budget "
    "must be given"
)


@dataclass(frozen=True)
class ModelIdentity:
    """The identity of a checkpoint, as far as prompts and weights depend on it.

    Attributes:
        model: the hub id or folder by which it was opened.
        revision: the commit, or the branch of a hub that tells no commit; None for a folder.
        family: its `model_type`, such as "qwen2_vl".
        template: the SHA-256 of its chat template, in hexadecimal digits.
    """

    model: str
    revision: str | None
    family: str
    template: str

    @property
    def is_of_a_hub(self) -> bool:
        """True if `model` is the id of a repository: folders have no revision."""
        return self.revision is not None

    @property
    def name(self) -> str:
        """The name without owner and folder, in small letters: all that two copies share.

        A folder of the Hugging Face cache is named after a commit; its repository tells the name.
        """
        path = self.model.replace("\\", "/").rstrip("/")
        path = re.sub(r"/snapshots/[0-9a-f]{40}$", "", path)
        return path.rpartition("/")[2].rpartition("--")[2].lower()


@dataclass(frozen=True)
class TrainedWith:
    """The conditions under which an adapter or a model was trained.

    Attributes:
        base: the checkpoint on which the training began.
        budget: the budget of pictures whose example had none of its own.
        image_pixels: the least and largest area of a picture by the checkpoint's own settings,
            height times width in pixels, which hold where the budget leaves a limit open.
        video_pixels: the same for videos.
        thinking: the setting by which prompts were rendered; None for the template's own.
        data: the digest of the training data; empty if it is not known.
        method: the method in a few words, such as "lora" or "full".
        dtype: the dtype of the base model's weights, such as "bfloat16".
        quantization: the quantisation of the base model, such as "4bit"; None if it had none.
        kit: the version of the kit.
    """

    base: ModelIdentity
    budget: PixelBudget
    image_pixels: tuple[int, int]
    video_pixels: tuple[int, int]
    thinking: bool | None
    data: str
    method: str
    dtype: str
    quantization: str | None
    kit: str

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write `qwenvl_kit.json` into a folder, and return its path.

        Raises:
            OSError: the file cannot be written.
        """
        path = Path(folder) / TRAINED_WITH_FILE
        path.write_text(json.dumps(self._to_json(), indent=2) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> TrainedWith | None:
        """Read the file of a folder; None if the folder has none, as those of other programs.

        Raises:
            AdapterError: the file is damaged, too large, or of a form that this kit does not know.
        """
        path = Path(os.path.expanduser(folder)) / TRAINED_WITH_FILE
        if not os.path.lexists(path):
            return None
        try:
            check_small_files(path.parent)
            content = read_json(path)
        except CheckpointError as error:
            raise AdapterError(
                error.problem, expected=error.expected or _EXPECTED, hint=error.hint or _RESTORE
            ) from error
        return _Reader(path, content).read()

    def check_model(self, served: ModelIdentity) -> None:
        """Check that a model is the one that was trained on, as far as names tell.

        Raises:
            AdapterError: it is of another family or base model, or has another chat template.
        """
        trained = self.base
        if trained.family != served.family:
            raise AdapterError(
                f"the adapter was trained on a model of the family {shown(trained.family)}",
                expected=f"one of the family {served.family!r}, as {shown(served.model)} is",
                hint=f"VisionChat.from_pretrained({shown(trained.model)}, adapter=...)",
            )
        if trained.is_of_a_hub and served.is_of_a_hub and trained.name != served.name:
            raise AdapterError(
                f"the adapter was trained on {shown(trained.model)}",
                expected=f"one for {shown(served.model)}, which is loaded",
                hint=f"VisionChat.from_pretrained({shown(trained.model)}, adapter=...)",
            )
        if trained.template != served.template:
            raise AdapterError(
                f"the adapter was trained with another chat template than that of "
                f"{shown(served.model)} (SHA-256 {shown(trained.template[:12])}, and here "
                f"{served.template[:12]!r})",
                expected="the same chat template, as prompts would differ from those in training",
                hint=f"the files of {shown(trained.model)}"
                + ("" if trained.revision is None else f", revision={shown(trained.revision)}")
                + "; or train again with this template",
            )

    def warn_of_copies(self, served: ModelIdentity) -> None:
        """Warn if a model may be the one that was trained on, or have other weights.

        Names may differ in their folder or owner, and a repository has many revisions.
        """
        trained = self.base
        is_other_copy = trained.is_of_a_hub and served.is_of_a_hub and trained.model != served.model
        if is_other_copy or trained.name != served.name:
            said, found = shown(trained.model), shown(served.model)
        elif trained.is_of_a_hub and served.is_of_a_hub and trained.revision != served.revision:
            said = f"the revision {shown(str(trained.revision))} of {shown(trained.model)}"
            found = shown(str(served.revision))
        else:
            return
        warnings.warn(
            f"the adapter was trained on {said}, and {found} is loaded; if the weights differ, so "
            "do its answers",
            QwenVLKitWarning,
            stacklevel=2,
        )

    def _to_json(self) -> dict[str, Any]:
        budget = {name: limit for name, limit in vars(self.budget).items() if limit is not None}
        rest = {field.name: getattr(self, field.name) for field in fields(self)}
        del rest["base"]
        return {"form": _FORM, **vars(self.base), **rest, "budget": budget}


def check_trained_on(folder: str | os.PathLike[str], served: ModelIdentity) -> None:
    """Check that an adapter was trained on a model, before the weights of that model are read.

    Raises:
        AdapterError: it was trained on another one, or with another chat template; or its
            `qwenvl_kit.json` cannot be read.
    """
    trained = TrainedWith.read(folder)
    if trained is not None:
        trained.check_model(served)


class _Reader:
    """Reads the content of a file, entry by entry.

    Args:
        path: the file, for messages.
        content: its JSON object.
    """

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self._path, self._content = path, content

    def read(self) -> TrainedWith:
        """The content as a value."""
        self._check_form()
        value = TrainedWith(
            base=ModelIdentity(
                model=self._text("model"),
                revision=self._text_or_none("revision"),
                family=self._text("family"),
                template=self._text("template"),
            ),
            budget=self._budget(),
            image_pixels=self._areas("image_pixels"),
            video_pixels=self._areas("video_pixels"),
            thinking=self._truth_or_none("thinking"),
            data=self._text("data", may_be_empty=True),
            method=self._text("method"),
            dtype=self._text("dtype"),
            quantization=self._text_or_none("quantization"),
            kit=self._text("kit"),
        )
        unknown = self._content.keys() - value._to_json().keys()
        if unknown:
            warnings.warn(
                f"{self._path} has the entry {shown(min(unknown))}, which this version of the kit "
                "does not know and does not compare",
                QwenVLKitWarning,
                stacklevel=4,
            )
        return value

    def _check_form(self) -> None:
        form = self._content.get("form")
        if type(form) is int and form == _FORM:
            return
        is_newer = type(form) is int and form > _FORM
        raise AdapterError(
            f"{self._path} has form={form!r:.40}",
            expected=f"{_FORM}, the only form that this version of the kit knows",
            hint="pip install --upgrade qwenvl-kit" if is_newer else _RESTORE,
        )

    def _text(self, name: str, *, may_be_empty: bool = False) -> str:
        value = self._content.get(name)
        if isinstance(value, str) and len(value) <= _LONGEST and (value or may_be_empty):
            return value
        raise self._wrong(name, f"a text of at most {_LONGEST} characters")

    def _text_or_none(self, name: str) -> str | None:
        return None if self._given(name) is None else self._text(name)

    def _truth_or_none(self, name: str) -> bool | None:
        value = self._given(name)
        if value is None or isinstance(value, bool):
            return value
        raise self._wrong(name, "true, false or null")

    def _areas(self, name: str) -> tuple[int, int]:
        value = self._content.get(name)
        if isinstance(value, list) and [type(area) for area in value] == [int, int]:
            least, largest = value
            if 0 < least <= largest:
                return least, largest
        raise self._wrong(name, "the least and the largest area in pixels")

    def _budget(self) -> PixelBudget:
        value = self._content.get("budget")
        if not isinstance(value, dict):
            raise self._wrong("budget", "an object with limits, such as min_tokens")
        try:
            return PixelBudget(**value)
        except (QwenVLKitError, TypeError) as error:
            raise self._wrong("budget", "the limits of a PixelBudget") from error

    def _given(self, name: str) -> Any:
        """The value of an entry that may be null, but must be there."""
        if name not in self._content:
            raise self._wrong(name, "an entry of this name")
        return self._content[name]

    def _wrong(self, name: str, expected: str) -> AdapterError:
        said = repr(self._content[name]) if name in self._content else "no entry"
        return AdapterError(
            f"{self._path} has {name}: {said:.60}", expected=expected, hint=_RESTORE
        )
