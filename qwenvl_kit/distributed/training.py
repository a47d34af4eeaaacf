"""`fine_tune_on_ray`: a training whose processes are workers of Ray."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.arguments.suggestions import Call, argument_error
from qwenvl_kit.distributed.error_mapping import translated_errors
from qwenvl_kit.distributed.validation import (
    check_counts,
    check_output,
    check_ray_train,
    check_shares,
)
from qwenvl_kit.errors import InputError, QwenVLKitError
from qwenvl_kit.training.examples.example import Example

if TYPE_CHECKING:
    from qwenvl_kit.training.outcome.run import TrainingRun


def fine_tune_on_ray(
    model: str | os.PathLike[str] | None,
    examples: Iterable[Example],
    output: str | os.PathLike[str],
    *,
    num_workers: int = 1,
    num_cpus: float = 1.0,
    num_gpus: float = 0.0,
    max_failures: int = 0,
    **settings: Any,
) -> TrainingRun:
    """Train as `fine_tune` does, on workers of Ray, which may run on several machines.

        run = fine_tune_on_ray(
            "Qwen/Qwen2-VL-2B-Instruct", read_examples("/shared/train.jsonl"), "/shared/out",
            num_workers=8, num_gpus=1, epochs=2, budget="standard",
        )

    Each worker is one process of the training, with its own part of each batch: gradients are
    averaged by NCCL on GPUs, by Gloo without. `output`, the files of the examples and their
    pictures must lie on a disk that every machine sees under the same path, such as NFS: the
    first worker writes adapter and checkpoints there, and all of them read checkpoints. Ray keeps
    its own notes beside it, in `<output>.ray`.

    Args:
        model: as for `fine_tune`.
        examples: as for `fine_tune`. They are sent to each worker: `read_examples(...)` sends the
            paths of its files, a list sends its pictures.
        output: folder of the run, which all machines see.
        num_workers: number of processes.
        num_cpus: CPUs of each worker, in Ray's count.
        num_gpus: GPUs of each worker, 0 or 1; more are left unused by a process.
        max_failures: times that the training begins again after a worker was lost, at its last
            checkpoint.
        settings: further arguments of `fine_tune`.

    Returns:
        The run, as `fine_tune` returns it in the first worker.

    Raises:
        MissingPackageError: Ray Train is not installed.
        InputError: an argument cannot be used.
        ArgumentError: `fine_tune` has no such argument.
        QwenVLKitError: the error of the worker that failed first.
        GenerationError: Ray failed, such as for a folder that not every machine sees.
    """
    check_ray_train()
    check_output(output)
    check_counts({"num_workers": num_workers})
    check_counts({"max_failures": max_failures}, least=0)
    check_shares({"num_cpus": num_cpus, "num_gpus": num_gpus})
    _check_examples(examples)
    run_here = _partial_run((model, examples, Path(output).absolute()), settings)
    import ray
    import ray.train
    import ray.train.torch

    outcome = ray.remote(num_cpus=0)(_Outcome).remote()
    trainer = ray.train.torch.TorchTrainer(
        _train,
        train_loop_config={"run": run_here, "folder": os.getcwd(), "outcome": outcome},
        torch_config=ray.train.torch.TorchConfig(backend=None if num_gpus else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=num_workers,
            use_gpu=num_gpus > 0,
            resources_per_worker={"CPU": num_cpus, **({"GPU": num_gpus} if num_gpus else {})},
        ),
        run_config=ray.train.RunConfig(
            storage_path=f"{Path(output).absolute()}.ray",
            failure_config=ray.train.FailureConfig(max_failures=max_failures),
        ),
    )
    with translated_errors():
        try:
            trainer.fit()
        except Exception:
            failed = ray.get(outcome.get.remote())
            if isinstance(failed, QwenVLKitError):
                raise failed from None
            raise
        run: TrainingRun = ray.get(outcome.get.remote())
        return run


def _train(work: Mapping[str, Any]) -> None:
    """Train as one process among several; this runs in a worker."""
    import ray
    import ray.train

    if os.path.isdir(work["folder"]):  # Ray works in a folder of its own
        os.chdir(work["folder"])
    outcome = work["outcome"]
    rank = ray.train.get_context().get_world_rank()
    try:
        run = work["run"]()
    except QwenVLKitError as error:
        ray.get(outcome.put.remote(error))
        raise
    if rank == 0:
        ray.get(outcome.put.remote(run))


class _Outcome:
    """An actor of Ray that keeps what the first worker returned, or the first error."""

    def __init__(self) -> None:
        self._kept: Any = None

    def put(self, value: Any) -> None:
        """Keep a value; an error is kept until a run takes its place."""
        if not (isinstance(self._kept, QwenVLKitError) and isinstance(value, QwenVLKitError)):
            self._kept = value

    def get(self) -> Any:
        """Return what is kept."""
        return self._kept


def _check_examples(examples: object) -> None:
    if isinstance(examples, Iterator) or not isinstance(examples, Iterable):
        raise InputError(
            f"examples of type {type(examples).__name__} were given",
            expected="the result of read_examples(...), or a list of examples",
            hint="list(examples)" if isinstance(examples, Iterator) else "",
        )


def _partial_run(arguments: tuple[Any, ...], settings: Mapping[str, Any]) -> partial[TrainingRun]:
    """The call of `fine_tune`, to be made in each worker; its arguments are checked here."""
    from qwenvl_kit.training import fine_tune

    call = Call(fine_tune, arguments, settings)
    if call.unknown:
        raise argument_error(call)
    return partial(fine_tune, *arguments, **settings)
