"""A data set of Ray, asked about row by row."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.distributed.actors import Asked, Asker, ToRequest
from qwenvl_kit.distributed.error_mapping import translated_errors
from qwenvl_kit.distributed.parquet_output import Output
from qwenvl_kit.distributed.validation import (
    check_asked,
    check_counts,
    check_dataset,
    check_output,
    check_ray,
    check_shares,
)
from qwenvl_kit.options import BudgetChoice, Fit, Sampling, as_budget, check_fit
from qwenvl_kit.requests import check_sampling

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
    the folder has answers to are not asked for once more, and those that failed are. Batches of an
    actor that died go to another.

    Args:
        dataset: of Ray Data, with any columns.
        chat_factory: makes the chat of an actor, in its process.
        to_request: what is asked of a row; None asks the question about `image_column`.
        question: what is asked of all rows, where there is no `to_request`.
        image_column: whatever `ImageSource` may be, rows {"bytes", "path"} as data sets write them
            included; or a list of them, or None for no picture.
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
        BudgetError: the budget or `fit` cannot.
        SamplingError: the sampling cannot.
        JournalError: the folder has answers to something else, or cannot be read or written.
        QwenVLKitError: no actor could be started, by the error of `chat_factory`.
        OutOfMemoryError: Ray's object store or disk is full.

    Without an output the last two come when the answers are read, as Ray raises them.
    """
    check_ray()
    check_asked(chat_factory, to_request, question)
    check_counts({"num_actors": num_actors, "batch_size": batch_size})
    check_shares({"num_cpus": 0 if num_cpus is None else num_cpus, "num_gpus": num_gpus})
    check_output(output)
    check_sampling(sampling)
    check_fit(fit)
    if budget is not None:
        as_budget(budget)
    shown = image_column if to_request is None else None
    check_dataset(dataset, shown, None if output is None else id_column)
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


def _cpus_of_actor(num_actors: int) -> float:
    """What of the cluster's processors an actor may have if one is to be left."""
    import ray

    there: Any = ray.cluster_resources  # which has no types
    left = max(0.0, float(there().get("CPU", 1.0)) - 1.0)
    return min(1.0, math.floor(left / num_actors * 10_000) / 10_000)  # Ray counts no finer
