"""A training as a TOML file: its tables, checked against the functions that they are for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import ArgumentError, InputError, MissingPackageError
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.training.launch.conversion import converted, made
from qwenvl_kit.training.launch.keys import Place, check_keys, parameters_of
from qwenvl_kit.training.launch.shipped import DEEPSPEED_FILES
from qwenvl_kit.training.launch.toml_file import read_toml, toml_value

if TYPE_CHECKING:
    from qwenvl_kit.training import Examples, ExamplesReport
    from qwenvl_kit.training.outcome.run import TrainingRun

EMBEDDED = "embedded"
"""The name of the embedded model in a file, where TOML has no null."""

_TRAINING = "training"
_OWN_TABLES = {
    "examples": "examples",
    "validation": "validation",
    "method": "method",
    "media": "media",
    "trainer": "trainer_options",
}
"""The tables of their own, each with the argument of `fine_tune` that it gives."""

_KINDS = {"lora": "LoRA", "full": "FullTraining"}
"""The kinds of [method], each with the name of its class."""

_FILES_OF_TRAINER = ("deepspeed", "fsdp_config", "accelerator_config")
"""Arguments of `TrainingArguments` that may be the path of a file."""


@dataclass(frozen=True)
class TrainingConfig:
    """A training, as a TOML file describes it.

    Its arguments are checked and converted, and nothing is read or loaded yet.

    Attributes:
        path: the file.
        examples: the arguments of `read_examples`.
        validation: the share that is kept back, or the arguments of `read_examples` for the
            examples of the validation; None for neither.
        settings: the other arguments of `fine_tune`.
    """

    path: Path
    examples: Mapping[str, Any]
    validation: float | Mapping[str, Any] | None
    settings: Mapping[str, Any]

    def check(self) -> ExamplesReport:
        """Return the report of `check_examples`; nothing is trained.

        Raises:
            QwenVLKitError: as `check_examples`.
        """
        from qwenvl_kit.embedded import MODEL_FOLDER
        from qwenvl_kit.training import check_examples, read_examples

        shared = parameters_of(check_examples)
        settings = {name: value for name, value in self.settings.items() if name in shared}
        if settings["model"] is None:
            settings["model"] = MODEL_FOLDER
        validation = self._kept_back()
        return check_examples(
            examples=read_examples(**self.examples),
            validation=None if isinstance(validation, float) else validation,
            **settings,
        )

    def train(self) -> TrainingRun:
        """Return what `fine_tune` returns.

        Raises:
            QwenVLKitError: as `fine_tune`.
        """
        from qwenvl_kit.training import fine_tune, read_examples

        if self.settings.get("trainer_options", {}).get("deepspeed") and not _has_deepspeed():
            raise MissingPackageError("deepspeed is not installed", hint="pip install deepspeed")
        return fine_tune(
            examples=read_examples(**self.examples),
            validation=self._kept_back(),
            **self.settings,
        )

    def _kept_back(self) -> float | Examples | None:
        from qwenvl_kit.training import read_examples

        if self.validation is None or isinstance(self.validation, float):
            return self.validation
        return read_examples(**self.validation)


def _has_deepspeed() -> bool:
    return find_spec("deepspeed") is not None


def read_config(
    path: str | os.PathLike[str],
    overrides: Iterable[str] = (),
    *,
    output: str | os.PathLike[str] | None = None,
    resume: bool | None = None,
) -> TrainingConfig:
    """Read a training from a TOML file.

        config = read_config("config.toml", ["training.epochs=3"])
        config.check().raise_faults()
        run = config.train()

    Every key is checked against the function that takes it: `[examples]` against `read_examples`,
    `[method]` against `LoRA` or `FullTraining`, `[media]` against `MediaPolicy`, `[trainer]`
    against transformers' `TrainingArguments`, and all others against `fine_tune`.

    Args:
        path: the file. Relative paths in it lie in its folder.
        overrides: settings in place of those of the file, such as "method.rank=16"; the value is
            TOML, or a string.
        output: a folder in place of that of the file; a relative one lies in the working folder.
        resume: True or False in place of that of the file.

    Raises:
        InputError: the file cannot be read, or a value has another type than its key wants.
        ArgumentError: a key is not known, or one is missing.
    """
    place = Place(Path(path))
    tables = _tables(read_toml(path), place)
    for override in overrides:
        _override(tables, override)
    if output is not None:
        tables[_TRAINING]["output"] = os.fspath(Path(output).absolute())
    if resume is not None:
        tables[_TRAINING]["resume"] = resume
    _check(tables, place)
    settings = _settings(tables[_TRAINING], place.under(_TRAINING))
    for table, read in (("method", _method), ("media", _media), ("trainer", _trainer)):
        if table in tables:
            settings[_OWN_TABLES[table]] = read(tables[table], place.under(table))
    return TrainingConfig(
        path=place.file,
        examples=_reading(tables["examples"], place.under("examples")),
        validation=_validation(tables.get("validation"), place.under("validation")),
        settings=settings,
    )


def _tables(content: Mapping[str, Any], place: Place) -> dict[str, dict[str, Any]]:
    """The tables of a file, with the keys before all of them in [training]."""
    tables: dict[str, dict[str, Any]] = {_TRAINING: {}}
    for name, value in content.items():
        if name not in (_TRAINING, *_OWN_TABLES):
            tables[_TRAINING][name] = value
        elif not isinstance(value, dict):
            raise InputError(
                f"{name} = {value!r} was given", expected=f"a table, [{name}]", where=str(place)
            )
    for name in (_TRAINING, *_OWN_TABLES):
        inside = content.get(name, {})
        if twice := [key for key in inside if key in tables.get(name, ())]:
            raise ArgumentError(
                f"{twice[0]} is given in [{name}] and before it", expected="one", where=str(place)
            )
        if name in content:
            tables.setdefault(name, {}).update(inside)
    return tables


def _override(tables: dict[str, dict[str, Any]], override: str) -> None:
    """Put a setting, such as "method.rank=16", in place of that of the file."""
    name, is_given, text = override.partition("=")
    keys = [key.strip() for key in name.split(".")]
    if keys[0] not in (_TRAINING, *_OWN_TABLES):
        keys.insert(0, _TRAINING)
    if not is_given or len(keys) < 2 or not all(keys):
        raise InputError(
            f"--set {override} was given", expected="TABLE.KEY=VALUE, such as training.epochs=3"
        )
    table: dict[str, Any] = tables.setdefault(keys[0], {})
    for key in keys[1:-1]:
        inside = table.get(key)
        table[key] = table = dict(inside) if isinstance(inside, dict) else {}
    table[keys[-1]] = toml_value(text.strip())


def _check(tables: Mapping[str, Mapping[str, Any]], place: Place) -> None:
    """Raise an error if a table has a key that nothing reads, or if one is missing.

    The tables [method], [media] and [trainer] are checked where they are converted.
    """
    from qwenvl_kit import training

    reading = tuple(parameters_of(training.read_examples))
    known = {
        _TRAINING: _training_keys(),
        "examples": reading,
        "validation": ("share", *reading),
        "method": ("kind", *(key for name in _KINDS.values() for key in _keys_of(name))),
        "media": tuple(parameters_of(MediaPolicy)),
    }
    if "examples" not in tables:
        raise ArgumentError(
            "there is no table [examples]", hint='[examples] with data = "..."', where=str(place)
        )
    for name in (_TRAINING, "examples", "validation"):
        others = {table: keys for table, keys in known.items() if table != name}
        own = (*known[name], *_OWN_TABLES) if name == _TRAINING else known[name]
        check_keys(tables.get(name, ()), own, place.under(name), others)
    for name, key in ((_TRAINING, "model"), (_TRAINING, "output"), ("examples", "data")):
        if key not in tables[name]:
            raise ArgumentError(f"there is no {key}", where=str(place.under(name)))


def _training_keys() -> tuple[str, ...]:
    from qwenvl_kit import training

    own = _OWN_TABLES.values()
    return tuple(name for name in parameters_of(training.fine_tune) if name not in own)


def _keys_of(method: str) -> tuple[str, ...]:
    from qwenvl_kit import training

    return tuple(parameters_of(getattr(training, method)))


def _settings(table: Mapping[str, Any], place: Place) -> dict[str, Any]:
    from qwenvl_kit import training

    known = parameters_of(training.fine_tune)
    settings = {
        key: converted(value, known[key].annotation, place, key)
        for key, value in table.items()
        if key != "model"
    }
    return {"model": _model(table["model"], place), **settings}


def _model(model: Any, place: Place) -> str | Path | None:
    """The embedded model, a folder beside the file, or the id of a hub."""
    if not isinstance(model, str) or not model:
        raise InputError(
            f"model = {model!r} was given",
            expected=f'the id of a hub, a folder, or "{EMBEDDED}"',
            where=str(place),
        )
    folder = place.file.parent / Path(model).expanduser()
    if model == EMBEDDED:
        return None
    return folder if folder.is_dir() or model.startswith((".", "/", "~")) else model


def _reading(table: Mapping[str, Any], place: Place) -> dict[str, Any]:
    from qwenvl_kit import training

    known = parameters_of(training.read_examples)
    return {key: converted(table[key], known[key].annotation, place, key) for key in table}


def _validation(table: Mapping[str, Any] | None, place: Place) -> float | dict[str, Any] | None:
    if table is None:
        return None
    if ("share" in table) == ("data" in table):
        given = "share and data were both given" if table else "the table is empty"
        raise InputError(given, expected="share = 0.02, or data", where=str(place))
    if "data" in table:
        return _reading(table, place)
    if len(table) > 1:
        other = next(key for key in table if key != "share")
        raise InputError(f"share and {other} were both given", expected="one", where=str(place))
    return float(converted(table["share"], float, place, "share"))


def _method(table: Mapping[str, Any], place: Place) -> Any:
    from qwenvl_kit import training

    kind = table.get("kind", "lora")
    if kind not in _KINDS:
        raise InputError(
            f"kind = {kind!r} was given",
            expected=" or ".join(f'"{known}"' for known in _KINDS),
            where=str(place),
        )
    fields = {key: value for key, value in table.items() if key != "kind"}
    return made(getattr(training, _KINDS[kind]), fields, place)


def _media(table: Mapping[str, Any], place: Place) -> MediaPolicy:
    policy: MediaPolicy = made(MediaPolicy, table, place)
    return policy


def _trainer(table: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Further arguments of the Trainer; only their names are checked, by the installed version."""
    from transformers import TrainingArguments

    check_keys(table, parameters_of(TrainingArguments), place, {_TRAINING: _training_keys()})
    options = dict(table)
    for key in _FILES_OF_TRAINER:
        if isinstance(given := options.get(key), str):
            beside = place.file.parent / Path(given).expanduser()
            is_shipped = key == "deepspeed" and given in DEEPSPEED_FILES and not beside.exists()
            options[key] = str(DEEPSPEED_FILES[given] if is_shipped else beside)
    return options
