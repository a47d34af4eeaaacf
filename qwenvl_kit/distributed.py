"""Questions about a data set, answered by a pool of actors: `pip install 'qwenvl-kit[ray]'`.

    import ray
    from qwenvl_kit import VisionChat
    from qwenvl_kit.distributed import ask_dataset

    rows = ray.data.read_parquet("photos/")  # columns id and image
    ask_dataset(
        rows,
        lambda: VisionChat.from_pretrained("Qwen/Qwen3-VL-8B-Instruct"),
        question="What is this?",
        output="answers/",
        num_actors=8,
        num_gpus=1,
    )

Each actor holds one chat, of any backend, and gives it a batch of rows at a time, which it shares
out by the memory that they take. A row that fails has its error in its columns.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit import errors
from qwenvl_kit.batch import Result
from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import (
    GenerationError,
    InputError,
    JournalError,
    MissingPackageError,
    OutOfMemoryError,
    QwenVLKitError,
)
from qwenvl_kit.options import BudgetChoice, Fit, Sampling, as_budget, check_fit
from qwenvl_kit.requests import Request, RequestLike
from qwenvl_kit.results import Failure, Reply

if TYPE_CHECKING:
    import pyarrow
    import ray.data

ToRequest = Callable[[Mapping[str, Any]], RequestLike]

REPLY_COLUMNS: Mapping[str, Callable[[Reply], Any]] = {
    "reply_text": lambda reply: reply.text,
    "reply_confidence": lambda reply: reply.confidence,
    "reply_finish_reason": lambda reply: reply.finish_reason,
    "reply_prompt_tokens": lambda reply: reply.usage.prompt_tokens,
    "reply_completion_tokens": lambda reply: reply.usage.completion_tokens,
}
"""What of a reply becomes a column; None in the row of a request that failed."""

ERROR_COLUMNS = ("error", "error_message")
"""The class of what a row failed with, and what it says; None in a row that has a reply."""

_TOLD = re.compile(r"qwenvl_kit\.errors\.(\w+): (.+?)\)?(?:\n|$)")
"""An error of the kit as Ray writes it, with what it was raised from in front of it."""

_SETTINGS_FILE = "_settings.json"


def ask_dataset(
    dataset: ray.data.Dataset,
    chat_factory: Callable[[], VisionChat],
    to_request: ToRequest | None = None,
    *,
    question: str | None = None,
    image_column: str = "image",
    id_column: str = "id",
    output: str | os.PathLike[str] | None = None,
    num_actors: int = 1,
    batch_size: int = 32,
    num_cpus: float = 1.0,
    num_gpus: float = 0.0,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
    fit: Fit = "refuse",
) -> ray.data.Dataset:
    """Ask about each row of a data set.

    With an output folder, each batch becomes a Parquet file of it as soon as it is answered, all at
    once or not at all. A run that was ended goes on from there when it is called again: rows that
    the folder has are not asked for once more. Batches of an actor that died go to another.

    Args:
        dataset: of Ray Data, with any columns.
        chat_factory: makes the chat of an actor, in its process.
        to_request: what is asked of a row; None asks the question about `image_column`.
        question: what is asked of all rows, where there is no `to_request`.
        image_column: a path, URL, data URL or bytes, or a list of them, or None for no picture.
        id_column: tells rows apart; needed with an output.
        output: a folder that all machines see; None gives the answers as a data set alone, which
            is worked out when it is read.
        num_actors: how many chats there are at a time.
        batch_size: rows that an actor is given at a time.
        num_cpus: of each actor.
        num_gpus: of each actor.
        sampling: how to generate; None follows the checkpoint's published settings.
        budget: what each picture may cost.
        fit: see `VisionChat.ask`.

    Returns:
        The rows with the columns of `REPLY_COLUMNS` and `ERROR_COLUMNS`, and without the pictures;
        with an output, all that the folder holds.

    Raises:
        MissingPackageError: Ray Data is not installed.
        InputError: an argument cannot be used.
        JournalError: the folder has answers to something else.
        QwenVLKitError: no actor could be started, by the error of `chat_factory`.
        OutOfMemoryError: Ray's object store or disk is full.
    """
    _check_ray()
    if (to_request is None) == (question is None):
        raise InputError("to_request and question", expected="one of them")
    _check_counts(num_actors=num_actors, batch_size=batch_size)
    _check_dataset(dataset, output, id_column)
    check_fit(fit)
    if budget is not None:
        as_budget(budget)
    asked = _Asked(
        to_request, question, image_column, id_column, sampling, budget, fit,
        None if output is None else os.fspath(Path(output).absolute()),
    )  # fmt: skip
    if output is not None:
        asked.open_output()
        dataset = _without_done(dataset, Path(output), id_column)
    import ray.data

    answered = dataset.map_batches(
        _Asker,
        fn_constructor_args=(chat_factory, asked),
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=num_actors),
        num_cpus=num_cpus,
        num_gpus=num_gpus,
    )
    if output is None:
        return answered
    with _translated_errors():
        for _ in answered.iter_batches(batch_size=None, batch_format="pyarrow"):
            pass  # each is in the folder by now
    return ray.data.read_parquet(os.fspath(output))


@dataclass(frozen=True)
class _Asked:
    """What is asked of each row, and where the answers go."""

    to_request: ToRequest | None
    question: str | None
    image_column: str
    id_column: str
    sampling: Sampling | None
    budget: BudgetChoice | None
    fit: Fit
    output: str | None

    def request(self, row: Mapping[str, Any]) -> RequestLike | QwenVLKitError:
        """The request of a row; an error where none can be made of it."""
        try:
            if self.to_request is not None:
                return self.to_request(row)
            shown = row.get(self.image_column)
            media = shown if isinstance(shown, (list, tuple)) else [shown]
            given = [item for item in media if item is not None]
            return Request.about(self.question or "", *given)
        except QwenVLKitError as error:
            return error
        except Exception as error:  # a row may hold anything
            return InputError(
                f"no request can be made of the row ({type(error).__name__}: {error})"
            )

    def open_output(self) -> None:
        """Make the folder, or refuse one that has answers to something else."""
        folder = Path(self.output or "")
        name = getattr(self.to_request, "__qualname__", None)
        settings = json.dumps(
            {
                "question": self.question,
                "to_request": name,
                "sampling": repr(self.sampling),
                "budget": repr(self.budget),
                "fit": self.fit,
            },
            indent=1,
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / _SETTINGS_FILE
            before = path.read_text(encoding="utf-8") if path.is_file() else None
            if before is None:
                path.write_text(settings, encoding="utf-8")
        except OSError as error:
            raise JournalError(f"the output {folder} cannot be used ({error})") from error
        if before is not None and before != settings:
            raise JournalError(
                f"{folder} has answers to other questions, or by other settings",
                hint="another output folder, or the same arguments as before",
            )


class _Asker:
    """An actor: one chat, and batches of rows, one after another."""

    def __init__(self, chat_factory: Callable[[], VisionChat], asked: _Asked) -> None:
        self._chat = chat_factory()
        self._asked = asked

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        asked = self._asked
        kept = [name for name in table.column_names if name != asked.image_column]
        if asked.output is None:
            return self._answered(table, kept)
        path = Path(asked.output) / f"{_name_of(table, asked.id_column)}.parquet"
        if not path.is_file():  # a batch that is given out once more was answered already
            _write(self._answered(table, kept), path)
        return table.select([asked.id_column])

    def _answered(self, table: pyarrow.Table, kept: Sequence[str]) -> pyarrow.Table:
        import pyarrow

        asked = self._asked
        requests = [asked.request(row) for row in table.to_pylist()]
        sent = [request for request in requests if not isinstance(request, QwenVLKitError)]
        settings: Any = {"sampling": asked.sampling, "budget": asked.budget, "fit": asked.fit}
        results = iter(self._chat.ask_many(sent, **settings))
        outcomes = [
            request if isinstance(request, QwenVLKitError) else _outcome(next(results))
            for request in requests
        ]
        answered = table.select(kept)
        for name, values in _columns(outcomes).items():
            kind = _ARROW_TYPES[name]
            answered = answered.append_column(name, pyarrow.array(values, getattr(pyarrow, kind)()))
        return answered


_ARROW_TYPES = {
    "reply_text": "string",
    "reply_confidence": "float64",
    "reply_finish_reason": "string",
    "reply_prompt_tokens": "int64",
    "reply_completion_tokens": "int64",
    "error": "string",
    "error_message": "string",
}


def _outcome(result: Result) -> Reply | QwenVLKitError:
    return result.error if isinstance(result, Failure) else result


def _columns(outcomes: Sequence[Reply | QwenVLKitError]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        name: [take(one) if isinstance(one, Reply) else None for one in outcomes]
        for name, take in REPLY_COLUMNS.items()
    }
    failed = [None if isinstance(one, Reply) else one for one in outcomes]
    columns["error"] = [None if error is None else type(error).__name__ for error in failed]
    columns["error_message"] = [None if error is None else str(error) for error in failed]
    return columns


def _name_of(table: pyarrow.Table, id_column: str) -> str:
    """A batch by its rows: the same batch has the same name, whoever answers it."""
    ids = json.dumps(table.column(id_column).to_pylist(), default=str)
    return hashlib.sha256(ids.encode()).hexdigest()[:32]


def _write(table: pyarrow.Table, path: Path) -> None:
    """All of it or nothing, whenever the process ends."""
    import pyarrow.parquet

    partial = path.with_name(f".{path.name}.{os.getpid()}")  # which Ray and Arrow pass over
    try:
        pyarrow.parquet.write_table(table, partial)
        os.replace(partial, path)
    except OSError as error:
        raise JournalError(f"{path} cannot be written ({error})") from error


def _without_done(dataset: ray.data.Dataset, folder: Path, id_column: str) -> ray.data.Dataset:
    """The rows that the folder does not have."""
    import pyarrow
    import pyarrow.parquet
    import ray

    columns = [
        pyarrow.parquet.read_table(path, columns=[id_column]).column(0)
        for path in sorted(folder.glob("[!.]*.parquet"))
    ]
    if not columns:
        return dataset
    done = pyarrow.chunked_array([chunk for column in columns for chunk in column.chunks])
    shared = ray.put(done)

    def not_done(table: pyarrow.Table) -> pyarrow.Table:
        import pyarrow.compute

        ids = table.column(id_column)
        known = pyarrow.compute.is_in(ids, value_set=ray.get(shared).cast(ids.type))
        return table.filter(pyarrow.compute.invert(known))

    return dataset.map_batches(not_done, batch_format="pyarrow")


@contextmanager
def _translated_errors() -> Iterator[None]:
    """What Ray raises, in the kit's own errors; those of an actor as they were raised there."""
    try:
        yield
    except QwenVLKitError:
        raise
    except Exception as error:  # Ray wraps what it carries, as text
        told = _TOLD.findall(str(error))
        kind = getattr(errors, told[-1][0], None) if told else None
        if isinstance(kind, type) and issubclass(kind, QwenVLKitError):
            raise kind(told[-1][1]) from error
        said = " ".join(str(error).split())[:400]
        if any(sign in type(error).__name__ + said for sign in ("ObjectStoreFull", "OutOfDisk")):
            raise OutOfMemoryError(
                f"Ray's object store is full ({said})",
                hint="a smaller batch_size, or ray.init(object_store_memory=...)",
            ) from error
        raise GenerationError(f"Ray could not go on ({type(error).__name__}: {said})") from error


def _check_ray() -> None:
    try:
        import pyarrow
        import ray.data
    except ImportError as error:
        raise MissingPackageError(
            f"Ray Data is not installed ({error})", hint="pip install 'qwenvl-kit[ray]'"
        ) from error
    del pyarrow, ray


def _check_dataset(dataset: Any, output: object, id_column: str) -> None:
    import ray.data

    if not isinstance(dataset, ray.data.Dataset):
        raise InputError(
            f"a data set of type {type(dataset).__name__} was given",
            expected="a ray.data.Dataset",
            hint="ray.data.from_items, read_parquet, read_images",
        )
    if output is not None and id_column not in (dataset.columns() or ()):
        raise InputError(
            f"the data set has no column {id_column!r}",
            expected="id_column=..., one that tells rows apart",
        )


def _check_counts(**given: Any) -> None:
    for name, value in given.items():
        if type(value) is not int or value < 1:
            raise InputError(f"{name}={value!r} was given", expected="a whole number above 0")
