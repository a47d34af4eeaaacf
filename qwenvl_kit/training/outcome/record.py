"""The record of a training, `run.json`: all that decides its result, and how it went."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from qwenvl_kit.errors import TrainingError
from qwenvl_kit.options import PixelBudget
from qwenvl_kit.tables import Table
from qwenvl_kit.training.outcome.files import RUN_FILES
from qwenvl_kit.training.outcome.losses import Losses
from qwenvl_kit.whole_files import STRICT

if TYPE_CHECKING:
    from qwenvl_kit.training.loop.method import FullTraining, LoRA

RECORD_FILE = "run.json"
"""The name of the record in the folder of a run."""

RunState: TypeAlias = Literal["begun", "finished", "failed"]
"""The state of a training. One that was killed is "begun" for ever, unless it is resumed."""

_MOST_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings that decide what a training gives; those of `fine_tune`, with what they mean.

    Attributes:
        model: the hub id or folder of the checkpoint; None for the embedded model.
        revision: the commit of the checkpoint; None if it has none, as a folder.
        source: the hub, "huggingface" or "modelscope".
        family: the name of the model's family.
        method: the method by its name, "LoRA" or "FullTraining", with its fields.
        budget: the visual tokens of pictures.
        quantization: "4bit" or None.
        learning_rate: the highest learning rate, or one for each part of the model.
        epochs: the passes over the data.
        tokens_per_batch: the most tokens of a batch.
        batches_per_step: batches whose gradients make a step, in all processes together:
            `accumulation` times their number.
        packing: True if sequences share a row.
        max_tokens: the longest sequence; None for the model's context.
        too_long: "error" or "skip", the treatment of longer ones.
        warmup: the share of steps in which the learning rate rises.
        schedule: the name of the schedule by which it falls.
        weight_decay, max_grad_norm: those of the optimizer.
        early_stopping: the validations without progress that end a training; None for none.
        evaluate_every: the steps from a validation to the next; None for once an epoch.
        seed: the seed of all that is drawn.
        dtype: the type of the weights, such as "bfloat16".
        attention: the implementation of attention.
        trainer_options: further arguments of transformers' `TrainingArguments`.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    model: str | None
    revision: str | None = None
    source: str = "huggingface"
    family: str
    method: dict[str, Any]
    budget: PixelBudget = field(default_factory=PixelBudget)
    quantization: str | None = None
    learning_rate: float | dict[str, float]
    epochs: float
    tokens_per_batch: int
    batches_per_step: int = 1
    packing: bool = False
    max_tokens: int | None = None
    too_long: str = "error"
    warmup: float = 0.0
    schedule: str = "cosine"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    early_stopping: int | None = None
    evaluate_every: int | None = None
    seed: int = 0
    dtype: str = "auto"
    attention: str = "auto"
    trainer_options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The data of a training.

    Attributes:
        training: the digest (SHA-256) of the training examples, in their order.
        validation: the digest of the validation examples; None if there are none.
        validation_share: the share that was split off for validation; None if it was given.
        num_examples: the training examples.
        num_sequences: the sequences that they make.
        num_tokens: the tokens of those.
        num_trained_tokens: the tokens of those that are in the loss.
        num_validation_examples: the validation examples.
        num_skipped: examples that were left out, as they are too long.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    training: str
    validation: str | None = None
    validation_share: float | None = None
    num_examples: int = 0
    num_sequences: int = 0
    num_tokens: int = 0
    num_trained_tokens: int = 0
    num_validation_examples: int = 0
    num_skipped: int = 0


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The record of a training; `run.json` in its folder.

        record = read_record("out")
        fine_tune(examples=examples, output="again", **record.arguments())

    Attributes:
        version: the version of the form of the file.
        settings: the settings that decide its result.
        data: the data.
        versions: the versions of Python and of the packages that train, by their names.
        hardware: the devices and the processes, in words.
        begun: the time at which it began, in UTC, as ISO 8601 has it.
        ended: the time at which it ended; None while it runs, or if it was killed.
        state: "begun", "finished" or "failed".
        reason: the reason why it failed; empty otherwise.
        num_steps: the steps that were done.
        first_loss, last_loss: the losses at its beginning and its end, in nats per trained token;
            None if there are none, or they are no numbers.
        best_step, best_validation: the step with the lowest validation loss, and that loss; None
            without a validation.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    version: Literal[1] = 1
    settings: RunSettings
    data: RunData
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, str] = field(default_factory=dict)
    begun: str = ""
    ended: str | None = None
    state: RunState = "begun"
    reason: str = ""
    num_steps: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    best_step: int | None = None
    best_validation: float | None = None

    def __str__(self) -> str:
        return self._table().to_text()

    def _repr_html_(self) -> str:
        return self._table().to_html()

    def _table(self) -> Table:
        told = {**_deciding(self), **_flat(self.versions), **_flat(self.hardware)}
        return Table(
            ("setting", "value"),
            [(name, _shown(value)) for name, value in told.items()],
            self._notes(),
        )

    def _notes(self) -> list[str]:
        data = self.data
        reason = f": {self.reason}" if self.reason else ""
        notes = [
            f"{self.state} after {self.num_steps:,} steps{reason}; begun {self.begun or 'never'}"
            + (f", ended {self.ended}" if self.ended else ""),
            f"{data.num_examples:,} examples, {data.num_sequences:,} sequences of "
            f"{data.num_tokens:,} tokens, {data.num_trained_tokens:,} of them in the loss",
        ]
        if self.best_step is not None and self.best_validation is not None:
            notes.append(
                f"best validation: {self.best_validation:.4f} after step {self.best_step:,}"
            )
        return notes

    def differences(self, other: RunRecord) -> tuple[str, ...]:
        """The deciding settings and data that differ from those of another training.

        Args:
            other: the record of the training now.

        Returns:
            A sentence for each, such as "learning_rate: 0.0001 then, 0.0002 now".
        """
        then, now = _deciding(self), _deciding(other)
        return tuple(
            f"{name}: {_shown(then.get(name))} then, {_shown(now.get(name))} now"
            for name in {**then, **now}
            if then.get(name) != now.get(name)
        )

    def arguments(self) -> dict[str, Any]:
        """The arguments of `fine_tune` that repeat the training, but for its examples and output.

        Batches of several processes become as many that are accumulated in one. Validation
        examples that were given must be given again.

        Raises:
            TrainingError: the record names a method that this release does not have.
        """
        settings = {each.name: getattr(self.settings, each.name) for each in fields(RunSettings)}
        for name in ("family", "method", "batches_per_step"):
            del settings[name]
        share = self.data.validation_share
        return {
            **settings,
            "method": method_of(self.settings.method),
            "accumulation": self.settings.batches_per_step,
            **({} if share is None else {"validation": share}),
        }

    def finished(self, losses: Losses) -> RunRecord:
        """The record of a training that has ended well now.

        Args:
            losses: its losses.
        """
        return replace(self, state="finished", reason="", ended=now(), **_summary(losses))

    def failed(self, reason: str, losses: Losses) -> RunRecord:
        """The record of a training that has failed now.

        Args:
            reason: the reason, in words.
            losses: its losses until then.
        """
        return replace(self, state="failed", reason=reason, ended=now(), **_summary(losses))


def write_record(folder: str | os.PathLike[str], record: RunRecord) -> None:
    """Write the record of a training into its folder, in one step.

    Raises:
        TrainingError: the disk is full, or the folder cannot be written to.
    """
    RUN_FILES.write_value(Path(folder) / RECORD_FILE, record)


def read_record(folder: str | os.PathLike[str]) -> RunRecord:
    """Read the record of a training from its folder.

    Raises:
        TrainingError: there is none, or it cannot be used; the error says where.
    """
    return RUN_FILES.read_value(Path(folder) / RECORD_FILE, RunRecord, _MOST_BYTES)


def now() -> str:
    """The time now, in UTC, as ISO 8601 has it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def described_method(method: LoRA | FullTraining) -> dict[str, Any]:
    """A method as `RunSettings.method` has it: its name and its fields."""
    return {"name": type(method).__name__, **_plain(method)}


def method_of(described: Mapping[str, Any]) -> LoRA | FullTraining:
    """The method that `described_method` has described.

    Raises:
        TrainingError: this release has no such method, or it has other fields.
    """
    from qwenvl_kit.training.loop.method import FullTraining, LoRA

    known: dict[Any, type[LoRA | FullTraining]] = {"LoRA": LoRA, "FullTraining": FullTraining}
    given: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in described.items()
    }
    given.pop("_", None)  # the mark between positional fields and others
    name = given.pop("name", None)
    try:
        return known[name](**given)
    except (KeyError, TypeError) as error:
        raise TrainingError(
            f"the record has the method {dict(described)!r}"[:300],
            expected=f"one of {', '.join(known)}, with its fields",
            where=f"{RECORD_FILE}.settings.method",
        ) from error


def _summary(losses: Losses) -> dict[str, Any]:
    """The fields of a record that tell of losses."""
    best = losses.best
    return {
        "num_steps": losses[-1].step if losses else 0,
        "first_loss": _finite(losses[0].loss) if losses else None,
        "last_loss": _finite(losses[-1].loss) if losses else None,
        "best_step": best.step if best else None,
        "best_validation": _finite(best.loss) if best else None,
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _deciding(record: RunRecord) -> dict[str, Any]:
    """All that decides the result of a training, flat and in types of JSON, by dotted names."""
    data = {
        "training data": record.data.training,
        "validation data": record.data.validation,
    }
    return {**_flat(_plain(record.settings)), **data}


def _plain(value: Any) -> dict[str, Any]:
    """The fields of a dataclass in types of JSON, as they are read from a file."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(value), default=str))
    return plain


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = value
    return flat


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False).strip('"')
    return "none" if value is None else text if len(text) <= 80 else f"{text[:60]}...{text[-10:]}"
