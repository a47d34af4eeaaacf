"""The processes that train together: this one among them, and the arguments of transformers."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
import transformers

from qwenvl_kit.backends.local.error_mapping import is_out_of_memory
from qwenvl_kit.errors import QwenVLKitError, TrainingError
from qwenvl_kit.training.launch.sharding import Sharding
from qwenvl_kit.training.loop.plan import TrainingPlan

_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


class Processes:
    """The processes of a run, of which this is one. Making the value joins them.

    Args:
        plan: the plan of the run.

    Attributes:
        arguments: the arguments of transformers, which hold the device of this process.

    Raises:
        TrainingError: transformers refuses an option.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        settings = plan.settings
        _check_device(plan.device)
        has_none = not torch.accelerator.is_available()
        on_processor = has_none or str(plan.device).startswith("cpu")
        is_one_of_several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        own: dict[str, Any] = {"ddp_backend": "gloo"} if on_processor and is_one_of_several else {}
        with refusals_told():
            self.arguments = transformers.TrainingArguments(
                output_dir=os.fspath(plan.output),
                per_device_train_batch_size=1,
                gradient_accumulation_steps=settings.accumulation,
                num_train_epochs=1,
                lr_scheduler_type=_SCHEDULES[settings.schedule],
                weight_decay=settings.weight_decay,
                max_grad_norm=settings.max_grad_norm,
                seed=settings.seed,
                save_strategy="no",
                eval_strategy="no",
                logging_strategy="no",
                logging_nan_inf_filter=False,
                report_to=list(settings.report_to),
                disable_tqdm=True,
                use_cpu=on_processor,
                remove_unused_columns=False,
                # whole weights learn in fp32, and are multiplied in bf16
                bf16=plan.is_whole and not on_processor and torch.cuda.is_bf16_supported(),
                **own,
                **settings.trainer_options,
            )
        self.arguments._n_gpu = min(1, self.arguments.n_gpu)  # several are for several processes
        self._accumulation = settings.accumulation

    @property
    def is_main(self) -> bool:
        """True for the one that writes."""
        return bool(self.arguments.process_index == 0)

    @property
    def number(self) -> int:
        """The number of all of them."""
        return int(self.arguments.world_size)

    @property
    def batches_per_step(self) -> int:
        """The batches of a step, in all of them together."""
        return self._accumulation * self.number

    @cached_property
    def sharding(self) -> Sharding:
        """The weights that they share."""
        return Sharding.of(self.arguments)

    def wait(self) -> None:
        """Wait until all have come this far."""
        if self.number > 1:
            torch.distributed.barrier()

    def describe_hardware(self) -> dict[str, str]:
        """The device of this process, and how many there are."""
        device = self.arguments.device
        name = platform.processor() or platform.machine()
        if device.type == "cuda":
            name = torch.cuda.get_device_name(device)
        return {"device": f"{device.type}: {name}", "processes": str(self.number)}


def _check_device(device: str | torch.device) -> None:
    """Check that a device is not named by a number: the Trainer always takes the first.

    Raises:
        TrainingError: it is.
    """
    kind, _, number = str(device).partition(":")
    if number not in ("", "0"):
        raise TrainingError(
            f"device={str(device)!r} was given, and a process trains on the first that it sees",
            expected="'auto', 'cpu' or a kind of accelerator, such as 'cuda'",
            hint=f"CUDA_VISIBLE_DEVICES={number}, with device={kind!r}",
        )


@contextlib.contextmanager
def refusals_told() -> Iterator[None]:
    """Turn what transformers says of its arguments within the block into an error of the kit.

    Raises:
        TrainingError: an option is out of range, or a package that it needs is missing.
    """
    try:
        yield
    except QwenVLKitError:
        raise
    except (ValueError, TypeError, ImportError, RuntimeError, OSError) as error:
        if is_out_of_memory(error):
            raise
        said = " ".join(str(error).split())[:300]
        raise TrainingError(
            f"transformers refuses the settings ({said})",
            hint="trainer_options and report_to, whose values it checks itself",
        ) from error


@contextlib.contextmanager
def memory_told() -> Iterator[None]:
    """Say what to try if memory runs out within the block.

    Raises:
        TrainingError: it has run out. The checkpoints stay.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"memory ran out ({error})",
            hint="a smaller tokens_per_batch with more accumulation, gradient_checkpointing=True, "
            "a smaller budget, or quantization='4bit'; then the last checkpoint is of no use, as "
            "settings differ: take another folder",
        ) from error
