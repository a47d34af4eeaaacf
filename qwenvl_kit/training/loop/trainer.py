"""The Trainer of transformers, with the kit's batches, loss, validation and checkpoints."""

from __future__ import annotations

import contextlib
import errno
import math
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from qwenvl_kit.errors import QwenVLKitWarning, TrainingError
from qwenvl_kit.training.loop.batches import BatchMaker, Passed, StepBatches, logits_of
from qwenvl_kit.training.loop.features import FeatureEncoder
from qwenvl_kit.training.loop.method import Part
from qwenvl_kit.training.loop.network import TrainedNetwork
from qwenvl_kit.training.loop.schedule import Batch, Step

STATE_FILE = "trainer_state.json"
"""The name that the Trainer gives its state in a checkpoint."""

WHOLE = "whole"
"""The name of the file that is written last into a checkpoint: one without it was broken off."""


class StepTrainer(transformers.Trainer):
    """Trains a network step by step, as a schedule says.

    Args:
        network: the network.
        arguments: the arguments of transformers.
        steps: the schedule.
        maker: makes the batches to learn.
        validation: makes the batches of the validation.
        validation_batches: the sequences of each; none if there is no validation.
        features: computes vision features that are kept; None if the model takes pixels.
        learning_rates: the learning rate of each part.
        workers: the processes that prepare batches; 0 for none beside this one.
        keep_checkpoints: the last checkpoints that are kept, beside the best one.
        callbacks: callbacks of transformers.
    """

    def __init__(
        self,
        network: TrainedNetwork,
        arguments: transformers.TrainingArguments,
        *,
        steps: Sequence[Step],
        maker: BatchMaker,
        validation: BatchMaker,
        validation_batches: Sequence[Batch],
        features: FeatureEncoder | None,
        learning_rates: Mapping[Part, float],
        workers: int,
        keep_checkpoints: int,
        callbacks: Sequence[transformers.TrainerCallback],
    ) -> None:
        self._network = network
        self._steps = steps
        self._maker = maker
        self._validation = validation
        self._validation_batches = validation_batches
        self._features = features
        self._learning_rates = learning_rates
        self._workers = workers
        self._not_finite: list[str] = []
        self._keep_checkpoints = keep_checkpoints
        super().__init__(
            model=network.model,
            args=arguments,
            data_collator=_the_only_one,
            train_dataset=list(range(len(steps))),
            callbacks=list(callbacks),
        )
        self.loss_is_scaled_for_ga = True  # the weights of a step add up to 1 over its batches
        self.model_accepts_loss_kwargs = True  # older versions ask for this in its place

    # What is learned

    def get_train_dataloader(self) -> Any:
        """The batches of this process, for the whole run."""
        batches = StepBatches(
            self._steps, self._maker, self.accelerator.process_index, self.accelerator.num_processes
        )
        return torch.utils.data.DataLoader(
            batches, batch_size=1, collate_fn=_the_only_one, num_workers=self._workers
        )

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW with a learning rate for each part; lengths and biases do not decay."""
        if self.optimizer is None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args)
            options.pop("lr", None)
            self.optimizer = kind(list(self._groups()), **options)
        return self.optimizer

    def _groups(self) -> Iterator[dict[str, Any]]:
        for part, parameters in self._network.parts.items():
            rate = self._learning_rates[part]
            for decays in (True, False):
                held = [p for p in parameters if (p.ndim > 1) == decays]
                decay = self.args.weight_decay if decays else 0.0
                if held:
                    yield {"params": held, "lr": rate, "weight_decay": decay}

    def _prepare_inputs(self, inputs: Any) -> Any:
        """Move the tensors of a batch to the device."""
        device = self.args.device
        inputs.inputs = {name: tensor.to(device) for name, tensor in inputs.inputs.items()}
        inputs.targets = inputs.targets.to(device)
        inputs.weights = inputs.weights.to(device)
        return inputs

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The share of a batch in the weighted mean of the step's losses, in nats a token."""
        del return_outputs, num_items_in_batch
        loss = (self._losses(model, inputs) * inputs.weights).sum()
        if not math.isfinite(loss.item()):
            self._not_finite += inputs.where
        return loss * self.accelerator.num_processes  # gradients are averaged over processes

    def _losses(self, model: Any, passed: Passed) -> torch.Tensor:
        """The loss of each trained token, fp32."""
        inputs: dict[str, Any] = dict(passed.inputs)
        outputs = self._features.encode(passed.media) if self._features else None
        if outputs is not None:
            inputs["mm_encoder_outputs"] = outputs
        logits = logits_of(model, inputs)
        return torch.nn.functional.cross_entropy(logits.float(), passed.targets, reduction="none")

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: Any
    ) -> tuple[list[Passed], int]:
        """The batches of the next step, and their trained tokens.

        The loss does not need that number. Older versions divide the loss by the number of batches
        where there is none.
        """
        del device
        batches = [next(epoch_iterator) for _ in range(num_batches)]
        return batches, sum(len(batch.targets) for batch in batches)

    def floating_point_ops(self, inputs: Any) -> int:
        """Nothing: the estimate of transformers counts all weights in each step."""
        del inputs
        return 0

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The length of the gradient; one that is no number ends the training before it does harm.

        Raises:
            TrainingError: it is infinite or NaN. The weights of before are saved.
        """
        norm: Any = super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[no-untyped-call]
        if norm is not None and not math.isfinite(float(norm)):
            model.zero_grad()
            self._fail_at(self._gathered(self._not_finite), float(norm))
        return norm

    def _fail_at(self, places: Sequence[str], norm: float) -> None:
        saved = ""
        if self.state.global_step:
            folder = self._folder_of(self.state.global_step)
            if not (folder / WHOLE).exists():
                self._save_checkpoint(self.model_wrapped, None)
            saved = f"; the weights before it are in {folder}"
        what = "the loss" if places else f"the gradient ({norm})"
        raise TrainingError(
            f"{what} of step {self.state.global_step + 1} is no number{saved}",
            expected="a loss that is finite",
            hint="a smaller learning rate, or dtype='float32'; and a look at these examples",
            where=", ".join(places[:8]),
        )

    def _gathered(self, places: list[str]) -> list[str]:
        """The places that all processes have noted."""
        if self.accelerator.num_processes == 1:
            return places
        from accelerate.utils import gather_object

        gathered: list[str] = gather_object(places)
        return gathered

    # What is told

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log numbers, with the tokens of the step and its share of the examples."""
        step = self.state.global_step
        if step:
            self.state.epoch = self._steps[step - 1].epoch
        if "loss" in logs:
            logs["trained_tokens"] = self._steps[step - 1].weight
            logs["tokens"] = self._steps[step - 1].num_tokens
        super().log(logs, start_time)

    # What is kept back

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """The mean loss of all tokens of the validation, in nats."""
        model: Any = self.model_wrapped if self.is_in_train else self.model
        process, every = self.accelerator.process_index, self.accelerator.num_processes
        total = torch.zeros(2, dtype=torch.float64)
        model.eval()
        started = time.perf_counter()
        rounds = math.ceil(len(self._validation_batches) / every)
        with torch.no_grad():
            for at in range(rounds):
                number = at * every + process
                is_there = number < len(self._validation_batches)
                batch = self._validation_batches[number if is_there else -1]
                passed = self._prepare_inputs(self._validation.make(batch, 1.0))
                losses = self._losses(model, passed).double().cpu()
                weights = passed.weights.double().cpu()
                if is_there:
                    total += torch.stack([(losses * weights).sum(), weights.sum()])
        model.train()
        if every > 1:
            device = self.args.device if self.args.device.type != "mps" else "cpu"
            total = self.accelerator.reduce(total.to(device), "sum").cpu()
        metrics = {
            "eval_loss": (total[0] / total[1]).item(),
            "eval_runtime": time.perf_counter() - started,
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Note the step with the smallest loss of the validation, whose checkpoint is kept."""
        del trial
        loss = metrics["eval_loss"]
        if not math.isfinite(loss):
            warnings.warn(
                f"the loss of the validation after step {self.state.global_step} is no number",
                QwenVLKitWarning,
                stacklevel=2,
            )
        is_best = self.state.best_metric is None or loss < self.state.best_metric
        if is_best and math.isfinite(loss):
            self.state.best_metric = loss
            self.state.best_global_step = self.state.global_step
        return is_best

    def _folder_of(self, step: int) -> Path:
        return Path(str(self.args.output_dir), f"{PREFIX_CHECKPOINT_DIR}-{step}")

    # What is saved

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save a checkpoint; its last file says that it is whole.

        Raises:
            TrainingError: the disk is full, or cannot be written to. What was saved before stays.
        """
        folder = self._folder_of(self.state.global_step)
        with saving(folder):
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # each process has files of its own in it
            if self.args.should_save:
                (folder / WHOLE).touch()
        if self.args.should_save:
            self._remove_old()
        self.accelerator.wait_for_everyone()

    def _remove_old(self) -> None:
        """Remove checkpoints but the last ones and the best; none counts as whole meanwhile."""
        whole = whole_checkpoints(Path(str(self.args.output_dir)))
        for path in whole[: -self._keep_checkpoints]:
            if step_of(path) != self.state.best_global_step:
                (path / WHOLE).unlink()
                shutil.rmtree(path, ignore_errors=True)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load the weights of a checkpoint.

        Whole weights are saved under the names of published checkpoints, which for some families
        are not those of the layers: transformers' own loader translates them.
        """
        is_adapter = self.model is not self._network.base
        if is_adapter or self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        base = self._network.base
        saved = type(base).from_pretrained(
            resume_from_checkpoint, dtype=base.dtype, use_safetensors=True, local_files_only=True
        )
        base.load_state_dict(saved.state_dict())


@contextlib.contextmanager
def saving(folder: Path) -> Iterator[None]:
    """Turn a failure to write within the block into an error, without leaving half of a folder.

    Raises:
        TrainingError: the disk is full, or cannot be written to.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = _fault_of_disk(error)
        if reason is None:
            raise
        shutil.rmtree(folder, ignore_errors=True)
        raise TrainingError(
            f"{folder} cannot be written: {reason}",
            hint="room on the disk, or another output folder; then the same call goes on from the "
            "last checkpoint",
        ) from error


def _fault_of_disk(error: BaseException) -> str | None:
    """The reason why a file cannot be written; None if the error is of another kind.

    torch and safetensors give errors of their own, whose texts alone tell.
    """
    text = str(error)
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return "the disk is full" if full else error.strerror or text
    if "No space left" in text or "os error 28" in text:
        return "the disk is full"
    if isinstance(error, SafetensorError) or "PytorchStreamWriter" in text or "iostream" in text:
        return text
    return None


def whole_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run that are whole, from the first step to the last."""
    found = [path.parent for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*/{WHOLE}")]
    return sorted(found, key=step_of)


def remove_broken(folder: Path) -> None:
    """Remove checkpoints that were broken off while they were written."""
    for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if not (path / WHOLE).exists():
            shutil.rmtree(path, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was saved."""
    return int(checkpoint.name.rpartition("-")[2])


def _the_only_one(items: Sequence[Any]) -> Any:
    (item,) = items
    return item


class Landmarks(transformers.TrainerCallback):
    """Says after which steps a run is validated, saved and ended.

    Args:
        steps: the schedule.
        evaluates: True if there is a validation.
        evaluate_every: the steps between two validations; None for the ends of epochs.
        save_every: the steps between two checkpoints; None for those of the validations.
        patience: the validations without a better loss after which the run ends; None to go on.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        evaluates: bool,
        evaluate_every: int | None,
        save_every: int | None,
        patience: int | None,
    ) -> None:
        self._steps = steps
        self._evaluates = evaluates
        self._evaluate_every = evaluate_every
        self._save_every = save_every
        self._patience = patience

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Say what follows a step."""
        del args
        step = state.global_step
        is_last = step >= len(self._steps)
        every = self._evaluate_every
        is_due = step % every == 0 if every else self._steps[step - 1].ends_epoch
        control.should_log = True
        control.should_evaluate = self._evaluates and (is_due or is_last)
        saves = step % self._save_every == 0 if self._save_every else is_due
        control.should_save = control.should_evaluate or saves or is_last
        return control

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """End the run if its loss has not become better for a while."""
        del args
        control.should_training_stop = self.are_over(state.log_history)
        return control

    def are_over(self, log: Sequence[Mapping[str, Any]]) -> bool:
        """True if the loss of the validation has not become better for as long as is allowed.

        Args:
            log: the log of the run, as transformers keeps it. Losses that are no numbers count as
                validations that were no better.
        """
        losses = [entry["eval_loss"] for entry in log if "eval_loss" in entry]
        finite = [at for at, loss in enumerate(losses) if math.isfinite(loss)]
        if self._patience is None or not finite:
            return False
        best = min(finite, key=losses.__getitem__)
        return len(losses) - 1 - best >= self._patience
