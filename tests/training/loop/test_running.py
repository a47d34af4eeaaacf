"""A run: what it learns, where it stops, and how it goes on."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from qwenvl_kit import Message, Sampling, VisionChat
from qwenvl_kit.errors import QwenVLKitWarning, TrainingDataError, TrainingError
from qwenvl_kit.training import Example, FullTraining, LoRA, read_examples
from qwenvl_kit.training.loop import running
from qwenvl_kit.training.loop import trainer as trainers
from qwenvl_kit.training.loop.trainer import StepTrainer, whole_checkpoints
from qwenvl_kit.training.outcome.run import TrainingRun, load_run

Train = Callable[..., TrainingRun]


def weights_of(run: TrainingRun) -> dict[str, torch.Tensor]:
    assert run.adapter is not None
    return dict(load_file(run.adapter / "adapter_model.safetensors"))


def losses_of(run: TrainingRun) -> list[float]:
    return [step.loss for step in run.losses]


def assert_equal(run: TrainingRun, other: TrainingRun) -> None:
    assert losses_of(run) == losses_of(other)
    assert run.losses.validation == other.losses.validation
    weights, others = weights_of(run), weights_of(other)
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


class Killed(BaseException):
    """Stands for a process that ends."""


@pytest.fixture
def killed_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Ends a run after a step, before it is validated or saved."""

    class Killer(transformers.TrainerCallback):
        def __init__(self, step: int) -> None:
            self.step = step

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == self.step:
                raise Killed

    made = StepTrainer.__init__

    def kill(step: int) -> None:
        def init(self: StepTrainer, *args: Any, **options: Any) -> None:
            options["callbacks"] = [*options["callbacks"], Killer(step)]
            made(self, *args, **options)

        monkeypatch.setattr(StepTrainer, "__init__", init)

    return kill


def alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()


def test_a_loss_falls_and_an_adapter_answers_otherwise(train: Train, colours: Path) -> None:
    run = train(epochs=4)
    losses = losses_of(run)
    assert losses[-1] < losses[0] - 1
    chat = VisionChat.from_pretrained(adapter=run.adapter)
    picture = colours.parent / "red-0.png"
    few = Sampling(max_new_tokens=6)
    trained = chat.ask("What is the secret name of this colour?", picture, sampling=few)
    chat.adapters.use(None)
    assert (
        chat.ask("What is the secret name of this colour?", picture, sampling=few).text
        != trained.text
    )


@pytest.mark.long
def test_a_run_repeats_bit_for_bit(train: Train) -> None:
    assert_equal(train("one", epochs=1), train("two", epochs=1))


def test_a_killed_run_goes_on_to_the_same_losses_and_weights(
    train: Train, killed_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        "epochs": 2, "validation": 0.3, "save_every": 1, "evaluate_every": 3,
        "method": LoRA(rank=4, dropout=0.1), "accumulation": 2, "tokens_per_batch": 100,
    }  # fmt: skip
    straight = train("straight", **options)
    killed_after(3)
    with pytest.raises(Killed):
        train("killed", **options)
    alive(monkeypatch)
    again = train("killed", **options)
    assert_equal(again, straight)
    assert again.record.state == "finished"


@pytest.mark.long
@pytest.mark.parametrize("part", ["language", "vision"])
def test_whole_weights_go_on_from_where_they_were(
    train: Train,
    killed_after: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    part: str,
) -> None:
    options = {
        "epochs": 2, "save_every": 1, "method": FullTraining(parts=(part,)),  # type: ignore[arg-type]
        "learning_rate": 1e-3,
    }  # fmt: skip
    straight = train("straight", **options)
    killed_after(3)
    with pytest.raises(Killed):
        train("killed", **options)
    alive(monkeypatch)
    again = train("killed", **options)
    assert losses_of(again) == losses_of(straight)
    weights, others = (
        load_file(run.model_folder / "model.safetensors")  # type: ignore[operator]
        for run in (again, straight)
    )
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.long
def test_the_best_checkpoint_stays_beside_the_last_one_also_in_a_folder_that_was_moved(
    train: Train, killed_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"epochs": 3, "validation": 0.3, "evaluate_every": 1, "keep_checkpoints": 1}
    losses = StepTrainer._losses

    def worse_in_the_end(self: StepTrainer, model: Any, passed: Any) -> torch.Tensor:
        found = losses(self, model, passed)
        return found if model.training else found * (1 + max(0, self.state.global_step - 2))

    with monkeypatch.context() as patches:
        patches.setattr(StepTrainer, "_losses", worse_in_the_end)
        straight = train("straight", **options)
    assert straight.losses.best is not None
    assert straight.losses.best.step == 2
    killed_after(5)
    monkeypatch.setattr(StepTrainer, "_losses", worse_in_the_end)
    with pytest.raises(Killed):
        train("before", **options)
    alive(monkeypatch)
    monkeypatch.setattr(StepTrainer, "_losses", worse_in_the_end)
    folder = straight.folder.parent
    (folder / "before").rename(folder / "after")
    again = train("after", **options)
    assert_equal(again, straight)
    assert {path.name for path in whole_checkpoints(again.folder)} == {
        f"checkpoint-{again.losses.best.step}",  # type: ignore[union-attr]
        f"checkpoint-{len(again.losses)}",
    }


@pytest.mark.long
def test_a_run_that_had_ended_early_does_not_go_on(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        "epochs": 30, "validation": 0.3, "evaluate_every": 1, "early_stopping": 2,
        "learning_rate": 0.05,
    }  # fmt: skip
    straight = train("straight", **options)

    def fail(*_args: Any) -> None:
        raise Killed

    monkeypatch.setattr(running, "keep_result", fail)
    with pytest.raises(Killed):
        train("killed", **options)
    alive(monkeypatch)
    assert_equal(train("killed", **options), straight)


@pytest.mark.long
def test_a_checkpoint_that_was_broken_off_is_not_gone_on_from(
    train: Train, killed_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"epochs": 1, "save_every": 1, "tokens_per_batch": 100}
    straight = train("straight", **options)
    killed_after(4)
    with pytest.raises(Killed):
        train("killed", **options)
    alive(monkeypatch)
    last = whole_checkpoints(straight.folder.parent / "killed")[-1]
    (last / trainers.WHOLE).unlink()
    (last / "adapter_model.safetensors").write_bytes(b"half")
    assert_equal(train("killed", **options), straight)


@pytest.mark.long
def test_a_finished_run_is_returned_as_it_is(train: Train) -> None:
    run = train(epochs=1)
    changed = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    assert_equal(train(epochs=1), run)
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == changed


def test_a_run_with_other_settings_is_refused_and_they_are_named(train: Train) -> None:
    train(epochs=1)
    with pytest.raises(TrainingError, match=r"learning_rate: 0.002 then, 0.001 now"):
        train(epochs=1, learning_rate=1e-3)
    with pytest.raises(TrainingError, match="training data"):
        train(epochs=1, examples=[Example([Message.user("a"), Message.assistant("b")])])
    with pytest.raises(TrainingError, match="resume=False"):
        train(epochs=1, resume=False)


def test_a_folder_with_other_files_is_refused(train: Train, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years")
    with pytest.raises(TrainingError, match="files that are of no run"):
        train("full")
    with pytest.raises(TrainingError, match="is a file"):
        train("full/thesis.txt")


def test_two_processes_do_not_train_into_one_folder(train: Train, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "shared").mkdir()
    with open(tmp_path / "shared" / "run.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(TrainingError, match="another process trains into"):
            train("shared")


def test_a_loss_that_is_no_number_ends_the_run_and_names_its_examples(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = StepTrainer._losses

    def poisoned(self: StepTrainer, model: Any, passed: Any) -> torch.Tensor:
        found = losses(self, model, passed)
        return found * float("nan") if self.state.global_step == 2 else found

    monkeypatch.setattr(StepTrainer, "_losses", poisoned)
    with pytest.raises(TrainingError, match=r"train.jsonl:\d.*step 3 is no number") as caught:
        train("nan", epochs=2, tokens_per_batch=100)
    folder = Path(str(caught.value).partition("are in ")[2].partition(";")[0])
    assert folder.name == "checkpoint-2"
    weights = load_file(folder / "adapter_model.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
    run = load_run(folder.parent)
    assert run.record.state == "failed"
    assert "no number" in run.record.reason
    assert len(run.losses) == 2


@pytest.mark.long
def test_a_gradient_that_is_no_number_ends_the_run_before_it_does_harm(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    norm = transformers.Trainer._get_grad_norm

    def poisoned(self: Any, model: Any, grad_norm: Any = None) -> Any:
        found = norm(self, model, grad_norm)
        return torch.tensor(float("inf")) if self.state.global_step == 1 else found

    monkeypatch.setattr(transformers.Trainer, "_get_grad_norm", poisoned)
    with pytest.raises(TrainingError, match=r"the gradient \(inf\) of step 2 is no number"):
        train(epochs=2, tokens_per_batch=100)


@pytest.mark.long
def test_a_validation_that_is_no_number_is_told(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = StepTrainer._losses

    def poisoned(self: StepTrainer, model: Any, passed: Any) -> torch.Tensor:
        found = losses(self, model, passed)
        return found if model.training else found * float("nan")

    monkeypatch.setattr(StepTrainer, "_losses", poisoned)
    with pytest.warns(QwenVLKitWarning, match="loss of the validation after step"):
        run = train(epochs=1, validation=0.3)
    assert run.adapter is not None


def test_a_disk_that_fills_is_told_and_costs_no_checkpoint(
    train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = {"epochs": 1, "save_every": 1, "tokens_per_batch": 100}
    save = torch.save

    def full(value: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        if "checkpoint-3" in str(path):
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(value, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match="the disk is full"):
        train("disk", **options)
    assert [path.name for path in whole_checkpoints(tmp_path / "disk")] == [
        "checkpoint-1",
        "checkpoint-2",
    ]
    assert not (tmp_path / "disk" / "checkpoint-3").exists()
    monkeypatch.undo()
    assert_equal(train("disk", **options), train("straight", **options))


def test_an_adapter_that_changed_nothing_is_an_error(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_args, **_options: None)
    with pytest.raises(TrainingError, match="changes nothing"):
        train(epochs=1)


@pytest.mark.long
def test_features_that_are_kept_give_the_same_losses(train: Train, tmp_path: Path) -> None:
    kept = train("kept", epochs=2)
    files = list((tmp_path / "kept" / "features").rglob("*.safetensors"))
    assert len(files) == 8
    computed = train("computed", epochs=2, keep_features=False)
    assert losses_of(kept) == pytest.approx(losses_of(computed), abs=1e-5)
    assert not (tmp_path / "computed" / "features").exists()


@pytest.mark.long
def test_features_stay_within_their_bound(train: Train, tmp_path: Path) -> None:
    all_of_them = train("all", epochs=1)
    files = list((tmp_path / "all" / "features").rglob("*.safetensors"))
    bound = 3 * files[0].stat().st_size
    bounded = train("bounded", epochs=1, keep_features=bound)
    kept = list((tmp_path / "bounded" / "features").rglob("*.safetensors"))
    assert 1 <= len(kept) <= 3
    assert losses_of(bounded) == losses_of(all_of_them)


@pytest.mark.long
@pytest.mark.parametrize("part", ["language", "projector", "vision"])
def test_weights_of_the_chosen_part_move_and_no_others(
    train: Train, part: str, tmp_path: Path
) -> None:
    from qwenvl_kit.embedded import MODEL_FOLDER
    from qwenvl_kit.training.loop.method import part_of

    run = train(method=FullTraining(parts=(part,)), learning_rate={part: 1e-3}, epochs=1)  # type: ignore[arg-type]
    assert run.model_folder is not None
    assert run.adapter is None
    model_class = transformers.Qwen2VLForConditionalGeneration
    base = dict(model_class.from_pretrained(MODEL_FOLDER, dtype="float32").named_parameters())
    after = model_class.from_pretrained(run.model_folder, dtype="float32").named_parameters()
    moved = {part_of(name) for name, value in after if not torch.equal(value, base[name])}
    assert moved == {part}
    base_config, config = (
        json.loads((folder / "config.json").read_text())
        for folder in (MODEL_FOLDER, run.model_folder)
    )
    assert {name for name in config if config[name] != base_config[name]} <= {"dtype"}
    chat = VisionChat.from_pretrained(run.model_folder)
    assert chat.ask("Hello", sampling=Sampling(max_new_tokens=2)).scores


@pytest.mark.long
def test_lora_learns_in_the_parts_that_are_named(train: Train) -> None:
    run = train(method=LoRA(rank=2, parts=("projector", "vision")), epochs=1)
    names = weights_of(run)
    assert all("visual." in name for name in names)
    assert any(".merger." in name for name in names)
    assert any(".blocks." in name for name in names)
    assert VisionChat.from_pretrained(adapter=run.adapter).adapters.active == "adapter"


@pytest.mark.long
def test_the_best_step_is_kept_and_a_run_that_gets_no_better_ends(train: Train) -> None:
    run = train(epochs=30, validation=0.3, learning_rate=0.02, early_stopping=2, evaluate_every=2)
    assert run.losses.best is not None
    assert len(run.losses) < 30 * 2
    best = run.folder / f"checkpoint-{run.losses.best.step}"
    kept = load_file(best / "adapter_model.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights_of(run).items())


@pytest.mark.long
def test_weights_of_examples_are_shares_of_the_loss(train: Train, colours: Path) -> None:
    rows = list(read_examples(colours))[:2]
    heavy = [Example(rows[0].messages, 3.0), Example(rows[1].messages, 1.0)]
    options = {"tokens_per_batch": 1000, "epochs": 1}
    first, second = (
        losses_of(train(f"{at}", examples=[row], **options))[0] for at, row in enumerate(rows)
    )
    (both,) = losses_of(train("both", examples=heavy, **options))
    run = load_run((train("one", examples=[rows[0]], **options)).folder)
    first_tokens = run.record.data.num_trained_tokens
    second_tokens = train("two", examples=[rows[1]], **options).record.data.num_trained_tokens
    expected = (3 * first * first_tokens + second * second_tokens) / (
        3 * first_tokens + second_tokens
    )
    assert both == pytest.approx(expected, abs=1e-5)


@pytest.mark.long
def test_validation_that_is_trained_on_is_told(train: Train, colours: Path) -> None:
    with pytest.warns(QwenVLKitWarning, match="validation examples ask what is trained"):
        train(validation=list(read_examples(colours))[:1], epochs=1)


@pytest.mark.long
def test_a_share_for_validation_is_kept_out_of_training(train: Train) -> None:
    data = train(validation=0.25, epochs=1).record.data
    assert (data.num_examples, data.num_validation_examples) == (6, 2)


def test_faults_of_examples_are_told_with_their_lines_before_anything_is_loaded(
    train: Train, tmp_path: Path
) -> None:
    path = tmp_path / "bad.jsonl"
    rows = [{"query": "a", "response": "b"}, {"query": "<image>a", "response": "b"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(TrainingDataError, match=r"bad.jsonl:2"):
        train(examples=read_examples(path))
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_changed_under_a_run_is_noticed(
    train: Train, colours: Path, tmp_path: Path
) -> None:
    shutil.copytree(colours.parent, tmp_path / "data")
    path = tmp_path / "data" / "train.jsonl"
    examples = read_examples(path)
    placed = list(examples.placed())
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["{}", *lines]))
    with pytest.raises(TrainingDataError, match=r"train.jsonl:8.*changed"):
        examples.at(placed[-1][0])


@pytest.mark.long
def test_random_numbers_of_the_caller_are_given_back(train: Train) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_memory_that_runs_out_is_told_with_what_to_try(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(StepTrainer, "_losses", fail)
    with pytest.raises(TrainingError, match=r"memory ran out.*tokens_per_batch"):
        train(epochs=1)
