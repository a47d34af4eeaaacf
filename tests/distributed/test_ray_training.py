"""A training over workers of Ray is the training of one process, and its errors come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import training
from qwenvl_kit.errors import ArgumentError, InputError, TrainingError
from qwenvl_kit.training import Example

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytest.importorskip("ray.train.torch", reason="Ray Train is not installed")

from qwenvl_kit.distributed import fine_tune_on_ray  # noqa: E402

from .clusters import running_cluster  # noqa: E402

EXAMPLES = [Example([{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}])]
SHARE = {"num_cpus": 0.5}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with running_cluster():
        yield


def pretend(monkeypatch: pytest.MonkeyPatch, run: Callable[[int, Path], Any]) -> None:
    """Puts a function of rank and output in the place of the loop."""

    def fine_tune(model: Any, examples: Any, output: Any, *, epochs: float = 1) -> Any:
        import torch.distributed

        return run(torch.distributed.get_rank(), output)

    monkeypatch.setattr(training, "fine_tune", fine_tune, raising=False)


@pytest.mark.long
def test_workers_are_the_processes_of_one_training(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(rank: int, output: Path) -> dict[str, Any]:
        import torch.distributed

        ranks = torch.tensor([float(rank + 1)])
        torch.distributed.all_reduce(ranks)
        backend = torch.distributed.get_backend()
        return {"rank": rank, "sum": ranks.item(), "backend": backend, "output": output}

    pretend(monkeypatch, run)
    done: Any = fine_tune_on_ray(None, EXAMPLES, tmp_path, num_workers=2, epochs=2, **SHARE)
    assert done == {"rank": 0, "sum": 3.0, "backend": "gloo", "output": tmp_path}


@pytest.mark.long
def test_an_error_of_a_worker_comes_back_as_it_was(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(rank: int, output: Path) -> None:
        if rank == 1:
            raise TrainingError("no number", hint="a smaller step", where="train.jsonl:3")

    pretend(monkeypatch, run)
    with pytest.raises(TrainingError) as caught:
        fine_tune_on_ray(None, EXAMPLES, tmp_path, num_workers=2, **SHARE)
    assert str(caught.value) == "train.jsonl:3: no number. Try: a smaller step"


@pytest.mark.long
def test_a_training_begins_again_where_a_worker_was_lost(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(rank: int, output: Path) -> str:
        try:
            (output / "began").touch(exist_ok=False)
        except FileExistsError:
            return "went on"
        raise TrainingError("lost")

    pretend(monkeypatch, run)
    done: Any = fine_tune_on_ray(None, EXAMPLES, tmp_path, max_failures=1, **SHARE)
    assert done == "went on"


@pytest.mark.long
def test_two_workers_learn_what_one_process_learns(cluster: None, tmp_path: Path) -> None:
    texts = [("What is 1?", "one"), ("And 2?", "two"), ("And 3?", "three"), ("And 4?", "four")]
    examples = [
        Example([{"role": "user", "content": asked}, {"role": "assistant", "content": said}])
        for asked, said in texts
    ]
    settings: dict[str, Any] = {"tokens_per_batch": 30, "epochs": 2, "learning_rate": 1e-3}
    settings |= {"warmup": 0.0, "progress": False}
    alone = training.fine_tune(None, examples, tmp_path / "one", accumulation=2, **settings)
    run = fine_tune_on_ray(None, examples, tmp_path / "ray", num_workers=2, **SHARE, **settings)
    losses, expected = ([step.loss for step in each.losses.steps] for each in (run, alone))
    assert len(losses) > 1
    assert losses == pytest.approx(expected, abs=1e-4)
    assert run.adapter == tmp_path / "ray" / "adapter"


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ({"num_workers": 0}, InputError, "num_workers=0"),
        ({"num_cpus": -1}, InputError, "num_cpus=-1"),
        ({"max_failures": 0.5}, InputError, "max_failures=0.5"),
        ({"examples": iter(EXAMPLES)}, InputError, "list"),
        ({"examples": 5}, InputError, "read_examples"),
        ({"output": 5}, InputError, "the path of a folder"),
        ({"epoch": 2}, ArgumentError, "epochs for epoch"),
    ],
)
def test_wrong_arguments_are_told_before_ray_starts(
    wrong: dict[str, Any],
    error: type[Exception],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, lambda rank, output: None)
    arguments = {"model": None, "examples": EXAMPLES, "output": tmp_path, **wrong}
    with pytest.raises(error, match=told):
        fine_tune_on_ray(**arguments)
