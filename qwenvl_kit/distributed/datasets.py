"""A data set of Ray, asked about row by row."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.distributed.actors import Asked, Asker, ToRequest
from qwenvl_kit.distributed.faults import translated_errors
from qwenvl_kit.distributed.outputs import Output
from qwenvl_kit.errors import InputError, MissingPackageError
from qwenvl_kit.options import BudgetChoice, Fit, Sampling, as_budget, check_fit

if TYPE_CHECKING:
    import ray.data


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
    num_cpus: float | None = None,
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
        num_cpus: of each actor, as Ray counts them; None takes one, or less where actors would
            leave none of the cluster's for reading the data set, which would wait for ever.
        num_gpus: of each actor.
        sampling: how to generate; None follows the checkpoint's published settings.
        budget: what each picture may cost.
        fit: see `VisionChat.ask`.

    Returns:
        The rows with those of `COLUMNS`, and without the pictures; with an output, all that the
        folder holds.

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
    _check_dataset(dataset, None if output is None else id_column)
    check_fit(fit)
    if budget is not None:
        as_budget(budget)
    kept = None if output is None else Output(Path(output).absolute(), id_column)
    asked = Asked(to_request, question, image_column, sampling, budget, fit, kept)
    if kept is not None:
        kept.open(asked.settings)
        dataset = kept.without_done(dataset)
    import ray.data

    answered = dataset.map_batches(
        Asker,
        fn_constructor_args=(chat_factory, asked),
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=num_actors),
        num_cpus=_cpus_of_actor(num_actors) if num_cpus is None else num_cpus,
        num_gpus=num_gpus,
    )
    if kept is None:
        return answered
    with translated_errors():
        for _ in answered.iter_batches(batch_size=None, batch_format="pyarrow"):
            pass  # each is in the folder by now
    return kept.read() if kept.files else answered


def _check_ray() -> None:
    try:
        import pyarrow
        import ray.data
    except ImportError as error:
        raise MissingPackageError(
            f"Ray Data is not installed ({error})", hint="pip install 'qwenvl-kit[ray]'"
        ) from error
    del pyarrow, ray


def _check_dataset(dataset: Any, id_column: str | None) -> None:
    import ray.data

    if not isinstance(dataset, ray.data.Dataset):
        raise InputError(
            f"a data set of type {type(dataset).__name__} was given",
            expected="a ray.data.Dataset",
            hint="ray.data.from_items, read_parquet, read_images",
        )
    if id_column is not None and id_column not in (dataset.columns() or ()):
        raise InputError(
            f"the data set has no column {id_column!r}",
            expected="id_column=..., one that tells rows apart",
        )


def _cpus_of_actor(num_actors: int) -> float:
    """What of the cluster's processors an actor may have if one is to be left."""
    import ray

    there: Any = ray.cluster_resources  # which has no types
    left = max(0.0, float(there().get("CPU", 1.0)) - 1.0)
    return min(1.0, math.floor(left / num_actors * 10_000) / 10_000)  # Ray counts no finer


def _check_counts(**given: Any) -> None:
    for name, value in given.items():
        if type(value) is not int or value < 1:
            raise InputError(f"{name}={value!r} was given", expected="a whole number above 0")
