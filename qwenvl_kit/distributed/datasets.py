"""`ask_dataset`: a question about each row of a Ray data set."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.distributed.actors import AskActor, AskOptions, ToRequest
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
    """Ask a question about each row of a data set, with a pool of actors.

    With an output folder, the answers to each batch are written to one Parquet file as soon as they
    are complete. A run that was stopped resumes when it is called again with the same arguments:
    rows with answers in the folder are left out, rows that failed are asked again. If an actor
    dies, another one takes over its batches.

    Args:
        dataset: a data set of Ray Data, with any columns.
        chat_factory: function that makes the chat of an actor, in the process of the actor.
        to_request: function that makes the request of a row; None asks `question` about the
            pictures in `image_column`.
        question: question about all rows, in place of `to_request`.
        image_column: column of the pictures. A value is an `ImageSource`, such as a path or a dict
            {"bytes", "path"}, a list of them, or None for no picture.
        id_column: column with a different value for each row; needed with an output.
        output: folder that all machines can see. None returns the answers as a data set, computed
            when it is read.
        num_actors: number of actors, each with its own chat.
        batch_size: rows that an actor gets at a time.
        num_cpus: CPUs of each actor, in Ray's count. None takes 1, or less if the actors would
            leave no CPU of the cluster for reading the data set, which would then wait for ever.
        num_gpus: GPUs of each actor; 0 by default.
        sampling: settings of generation; None takes the checkpoint's published settings.
        budget: visual tokens that each picture may cost; None takes the chat's.
        fit: "refuse" or "shrink" for requests that are too long; see `VisionChat.ask`.

    Returns:
        The rows with the columns of `COLUMNS`, and without the pictures. With an output, all rows
        in the folder.

    Raises:
        MissingPackageError: Ray Data is not installed.
        InputError: an argument cannot be used.
        BudgetError: the budget or `fit` cannot be used.
        SamplingError: the sampling cannot be used.
        JournalError: the folder has answers to other questions, or cannot be read or written.
        QwenVLKitError: no actor could be started; it is the error of `chat_factory`.
        OutOfMemoryError: Ray's object store or disk is full.

    Without an output, the last two are raised by Ray when the answers are read.
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
    options = AskOptions(to_request, question, image_column, sampling, budget, fit, kept)
    if kept is not None:
        kept.open(options.settings)
        dataset = kept.without_done(dataset)
    import ray.data

    answered = dataset.map_batches(
        AskActor,
        fn_constructor_args=(chat_factory, options),
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
            pass  # the actor has written each batch to the folder
    return kept.read() if kept.files else answered


def _cpus_of_actor(num_actors: int) -> float:
    """The CPUs of an actor that leave at least one CPU of the cluster free."""
    import ray

    there: Any = ray.cluster_resources  # which has no types
    left = max(0.0, float(there().get("CPU", 1.0)) - 1.0)
    return min(1.0, math.floor(left / num_actors * 10_000) / 10_000)  # Ray counts no finer
