"""`fine_tune`: from examples to an adapter, or to a model, that serves as it was trained.

The way of a training: `data.py` reads and checks all examples, `schedule.py` plans all steps,
`network.py` loads a network, `trainer.py` goes through the steps with the tensors of `batches.py`,
and `ending.py` puts what was learned where a chat loads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.checkpoints.sources import Source
from qwenvl_kit.errors import TrainingError, located
from qwenvl_kit.media.policy import DEFAULT_POLICY, MediaPolicy
from qwenvl_kit.options import BudgetChoice, as_budget
from qwenvl_kit.training.checking import TooLong, check_lengths
from qwenvl_kit.training.examples.example import Example
from qwenvl_kit.training.loop.method import FullTraining, LoRA, Part, is_number
from qwenvl_kit.training.outcome.run import TrainingRun

if TYPE_CHECKING:
    import torch


@explains_wrong_arguments
def fine_tune(
    model: str | os.PathLike[str] | None,
    examples: Iterable[Example],
    output: str | os.PathLike[str],
    *,
    validation: float | Iterable[Example] | None = None,
    method: LoRA | FullTraining | None = None,
    budget: BudgetChoice = "native",
    quantization: Literal["4bit"] | None = None,
    learning_rate: float | Mapping[Part, float] = 1e-4,
    epochs: float = 1,
    tokens_per_batch: int = 8192,
    accumulation: int = 1,
    packing: bool = False,
    keep_features: bool | int = True,
    max_tokens: int | None = None,
    too_long: TooLong = "error",
    warmup: float = 0.03,
    schedule: Literal["cosine", "linear", "constant"] = "cosine",
    weight_decay: float = 0.0,
    max_grad_norm: float = 1.0,
    gradient_checkpointing: bool | Literal["auto"] = "auto",
    early_stopping: int | None = None,
    evaluate_every: int | None = None,
    save_every: int | None = None,
    keep_checkpoints: int = 2,
    num_shown: int = 4,
    resume: bool = True,
    seed: int = 0,
    workers: int = 0,
    progress: bool = True,
    report_to: Sequence[str] = (),
    trainer_options: Mapping[str, Any] | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    attention: str = "auto",
    media: MediaPolicy = DEFAULT_POLICY,
    source: Source = "huggingface",
    revision: str | None = None,
    offline: bool = False,
) -> TrainingRun:
    """Fine-tune a model on examples, and return the adapter with all that is known of the run.

        run = fine_tune("Qwen/Qwen2-VL-2B-Instruct", read_examples("train.jsonl"), "out",
                        validation=0.02, budget="standard")
        print(run.losses)
        chat = VisionChat.from_pretrained("Qwen/Qwen2-VL-2B-Instruct", adapter=run.adapter)

    Each answer is trained after exactly the prompt that `chat.ask` would send. The loss is the
    mean over all tokens of answers, in nats, each token with the weight of its example. If the
    same call is made again after a run was broken off, the run goes on from its last checkpoint,
    with the batches and random numbers that it would have had.

    In a process that `accelerate launch` or `torchrun` started, the call is one of several that
    train together.

    Args:
        model: the hub id or folder of a checkpoint; None for the model that is part of this
            package.
        examples: the result of `read_examples`, or a list of examples.
        output: the folder of the run. It is new, empty, or that of the same run.
        validation: examples that are kept back, or their share, above 0 and below 1.
        method: the weights that learn: `LoRA(...)` or `FullTraining(...)`; None for `LoRA()`.
        budget: the visual tokens of pictures; give the one that you will ask with.
        quantization: "4bit" to learn beside weights in NF4 (QLoRA); None to leave them as they are.
        learning_rate: the highest learning rate, or one for each part that learns.
        epochs: the passes over all examples; 0.5 sees half of them once.
        tokens_per_batch: the most tokens that pass through the network together, padding included.
            A longer example passes alone.
        accumulation: the batches of a step in each process.
        packing: True to put examples one after another in one row, where that is exact.
        keep_features: True to keep the vision encoder's results on disk, up to 10 GiB, where it
            does not learn; a number for other bytes; False to compute them each time.
        max_tokens: the longest sequence; None for the model's context.
        too_long: "error" if a longer example is a fault, "skip" to leave it out. It is never cut.
        warmup: the share of the steps in which the learning rate rises.
        schedule: the way in which it falls then: "cosine", "linear", or "constant".
        weight_decay: that of AdamW, for matrices.
        max_grad_norm: the length to which longer gradients are cut.
        gradient_checkpointing: True to compute activations twice, which saves memory; "auto" does
            so on accelerators.
        early_stopping: the validations without a better loss that end a run; None to go on.
        evaluate_every: the steps between validations; None for the ends of epochs.
        save_every: the steps between checkpoints; None for those of validations.
        keep_checkpoints: the last checkpoints that are kept; the best one stays beside them.
        num_shown: the most validation examples that `run.report` shows with their answers before
            and after; 0 asks none.
        resume: True to go on with the run in the folder, False to refuse one.
        seed: the seed of new weights, of the order and of dropout.
        workers: the processes that prepare batches; 0 for none beside this one.
        progress: True shows progress bars.
        report_to: programs that get the losses, by transformers' names, such as "tensorboard".
        trainer_options: further arguments of `transformers.TrainingArguments`, such as `deepspeed`.
        dtype: the dtype of the weights that do not learn; "auto" takes bf16 on accelerators that
            have it, and fp32 on processors.
        device: "cpu", or a kind such as "cuda", of which a process takes the first that it sees;
            "auto" for the accelerator of this process, else the processor.
        attention: the implementation of attention.
        media: the media policy, under which pictures are opened.
        source: the hub of the id: "huggingface" or "modelscope".
        revision: branch, tag or commit; None for the main branch.
        offline: True to use the cache alone.

    Returns:
        The run. `run.adapter` is the adapter of the step with the best validation loss, or of the
        last step; after `FullTraining`, `run.model_folder` is a checkpoint.

    Raises:
        TrainingDataError: examples cannot be trained; the message has their places.
        TrainingError: an argument is out of range, the folder holds another run, or the training
            cannot go on: a loss is no number, the disk is full, nothing was learned.
        ModelLoadError: of the most specific kind, if the checkpoint cannot be used.
    """
    from qwenvl_kit.embedded import MODEL_FOLDER
    from qwenvl_kit.training.loop.plan import TrainingPlan
    from qwenvl_kit.training.loop.running import Training
    from qwenvl_kit.training.loop.settings import LoopSettings

    check_lengths(max_tokens, too_long)
    if not isinstance(output, (str, os.PathLike)) or not os.fspath(output):
        raise TrainingError(f"output={output!r} was given", expected="the name of a folder")
    with located("budget"):
        chosen = as_budget(budget)
    if isinstance(validation, (int, float)) and not _is_share(validation):
        raise TrainingError(
            f"validation={validation!r} was given",
            expected="a share above 0 and below 1, or examples",
        )
    if quantization not in (None, "4bit"):
        raise TrainingError(f"quantization={quantization!r} was given", expected="'4bit' or None")
    settings = LoopSettings(
        method=LoRA() if method is None else method,
        learning_rate=learning_rate,
        epochs=epochs,
        tokens_per_batch=tokens_per_batch,
        accumulation=accumulation,
        packing=packing,
        keep_features=keep_features,
        warmup=warmup,
        schedule=schedule,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        gradient_checkpointing=gradient_checkpointing,
        early_stopping=early_stopping,
        evaluate_every=evaluate_every,
        save_every=save_every,
        keep_checkpoints=keep_checkpoints,
        seed=seed,
        workers=workers,
        report_to=(report_to,) if isinstance(report_to, str) else tuple(report_to),
        trainer_options=dict(trainer_options or {}),
    )
    plan = TrainingPlan(
        model=MODEL_FOLDER if model is None else model,
        is_embedded=model is None,
        output=os.path.abspath(os.path.expanduser(output)),
        settings=settings,
        budget=chosen,
        quantization=quantization,
        dtype=dtype,
        device=device,
        attention=attention,
        policy=media,
        source=source,
        revision=revision,
        offline=offline,
        max_tokens=max_tokens,
        too_long=too_long,
        num_shown=num_shown,
        progress=progress,
    )
    return Training(plan).run(examples, validation, resume=resume)


def _is_share(value: object) -> bool:
    return is_number(value) and 0 < value < 1  # type: ignore[operator]
