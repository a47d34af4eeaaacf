"""One training by one way, in a process of its own: `python -m tests.benchmarks.trainers TASK`.

TASK is a `Task` as JSON; the result is a `Trained` as JSON, the last line of what is printed. All
ways train by transformers' Trainer. `watched` sees its steps from outside, and gives the same LoRA
matrices to each way, so that losses can be compared.
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image

END = "<|im_end|>"
IGNORED = -100


@dataclass(frozen=True)
class Task:
    """What is trained.

    Attributes:
        way: the name of a way in `WAYS`.
        model: the folder of the checkpoint.
        rows: a file in the form of ms-swift: a question with a picture, and an answer.
        output: the folder that the adapter is written to.
        epochs: passes over the rows.
        batch_size: rows of a step.
        min_tokens, max_tokens: the limits of a picture's visual tokens.
        token_side_px: the side of the square that a visual token covers.
        learning_rate: of AdamW, the same in all steps.
        rank, alpha: of the LoRA matrices, on the language model's linear layers.
    """

    way: str
    model: str
    rows: str
    output: str
    epochs: int
    batch_size: int
    max_tokens: int
    token_side_px: int
    min_tokens: int = 4
    learning_rate: float = 1e-3
    rank: int = 8
    alpha: int = 32

    @property
    def pixels(self) -> dict[str, int]:
        """The same limits as areas."""
        area = self.token_side_px**2
        return {"min_pixels": self.min_tokens * area, "max_pixels": self.max_tokens * area}


@dataclass(frozen=True)
class Trained:
    """What was seen of a training.

    Attributes:
        losses: the loss of each step.
        ends: the times on the wall at which gradients of steps were there, in seconds.
        cpu_ends: the same in processor seconds.
        import_bytes: the most resident memory before the model was loaded.
        peak_bytes: the most resident memory in all.
    """

    losses: Sequence[float] = field(default_factory=list)
    ends: Sequence[float] = field(default_factory=list)
    cpu_ends: Sequence[float] = field(default_factory=list)
    import_bytes: int = 0
    peak_bytes: int = 0


def by_kit(task: Task, **settings: Any) -> None:
    """The kit, without features that are kept."""
    from qwenvl_kit import PixelBudget
    from qwenvl_kit.training import LoRA, fine_tune, read_examples

    fine_tune(
        task.model,
        read_examples(task.rows),
        task.output,
        method=LoRA(rank=task.rank, alpha=task.alpha),
        budget=PixelBudget(task.min_tokens, task.max_tokens),
        learning_rate=task.learning_rate,
        schedule="constant",
        warmup=0.0,
        epochs=task.epochs,
        tokens_per_batch=task.batch_size * _longest(task),
        gradient_checkpointing=False,
        resume=False,
        progress=False,
        dtype="float32",
        device="cpu",
        **settings,
    )


def by_trl(task: Task) -> None:
    """TRL's SFTTrainer as its guide to vision models has it, with the loss on answers alone.

    Prompts are given as texts: as messages their answers would be followed by a line break that is
    in the loss, and no model is asked for it.
    """
    from datasets import Dataset
    from datasets import Image as ImageFeature
    from datasets import Sequence as SequenceFeature
    from trl import SFTConfig, SFTTrainer

    processor, model = _loaded(task)
    processor.image_processor.size = {
        "shortest_edge": task.pixels["min_pixels"],
        "longest_edge": task.pixels["max_pixels"],
    }
    rows = [
        {"images": [row.picture], "prompt": row.prompt, "completion": row.answer + END}
        for row in _rows(task, processor)
    ]
    data = Dataset.from_list(rows).cast_column("images", SequenceFeature(ImageFeature()))
    options = _options(task) | {"max_length": None, "completion_only_loss": True}
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**options),
        train_dataset=data,
        processing_class=processor,
        peft_config=_lora(task, model),
    )
    trainer.train()
    trainer.save_model(task.output)


def by_hand(task: Task) -> None:
    """Trainer with a collator of the processor, grouped by length, and logits of all tokens."""
    _train_by_hand(task, transformers.Trainer)


def by_hand_short(task: Task) -> None:
    """The same with the logits of answers alone."""
    _train_by_hand(task, _trainer_of_answers())


def _train_by_hand(task: Task, trainer_class: Any) -> None:
    from peft import get_peft_model

    processor, model = _loaded(task)
    rows = _rows(task, processor)
    # lengths are known from the headers of the files, as Trainer's sampler wants to know them first
    data = [{"row": row, "input_ids": range(_length(row, task))} for row in rows]
    options = _options(task) | {"train_sampling_strategy": "group_by_length"}
    trainer = trainer_class(
        model=get_peft_model(model, _lora(task, model)),
        args=transformers.TrainingArguments(**options),
        train_dataset=data,
        data_collator=Collator(processor, task),
    )
    trainer.train()
    trainer.model.save_pretrained(task.output)


class Collator:
    """Pictures as Qwen's guide prepares them, and labels on answers and their ends."""

    def __init__(self, processor: Any, task: Task) -> None:
        self._processor, self._task = processor, task
        # answers stand at the ends of rows, where few logits hold them all
        self._processor.tokenizer.padding_side = "left"

    def __call__(self, batch: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """The model's arguments for rows of the data."""
        from qwen_vl_utils import process_vision_info

        rows = [entry["row"] for entry in batch]
        shown = [
            {"role": "user", "content": [{"type": "image", "image": r.picture} | self._task.pixels]}
            for r in rows
        ]
        patch_side_px = self._task.token_side_px // 2
        images, _ = process_vision_info([[m] for m in shown], image_patch_size=patch_side_px)
        inputs = self._processor(
            text=[row.prompt + row.answer + END for row in rows],
            images=images,
            do_resize=False,
            padding=True,
            return_tensors="pt",
        )
        labels = torch.full_like(inputs["input_ids"], IGNORED)
        for at, row in enumerate(rows):
            length = len(self._processor.tokenizer(row.answer + END)["input_ids"])
            labels[at, -length:] = inputs["input_ids"][at, -length:]
        return {**inputs, "labels": labels}


def _trainer_of_answers() -> Any:
    """The class of a Trainer that computes the logits of the last tokens alone."""

    class AnswerTrainer(transformers.Trainer):  # type: ignore[misc, name-defined]
        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> torch.Tensor:
            labels = inputs.pop("labels")
            width = int((labels != IGNORED).sum(dim=1).max())
            # the token before an answer predicts its first one
            logits = model(**inputs, use_cache=False, logits_to_keep=width + 1).logits[:, :-1]
            return torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), labels[:, -width:].flatten(), ignore_index=IGNORED
            )

    return AnswerTrainer


@dataclass(frozen=True)
class Row:
    """A row of the file as texts: its picture, the prompt with its placeholder, and the answer."""

    picture: str
    prompt: str
    answer: str


def _rows(task: Task, processor: Any) -> list[Row]:
    rows = []
    for line in Path(task.rows).read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        question = found["query"].removeprefix("<image>")
        content = [{"type": "image"}, {"type": "text", "text": question}]
        prompt = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        picture = str(Path(task.rows).parent / found["images"][0])
        rows.append(Row(picture, prompt, found["response"]))
    return rows


def _length(row: Row, task: Task) -> int:
    """The tokens of a row, nearly: those of its picture, and a guess of its text's."""
    from qwen_vl_utils.vision_process import smart_resize

    with Image.open(row.picture) as image:
        width, height = image.size
    tall, wide = smart_resize(height, width, factor=task.token_side_px, **task.pixels)
    return tall * wide // task.token_side_px**2 + len(row.prompt + row.answer) // 4


def _longest(task: Task) -> int:
    """The tokens of the longest row, which the kit counts without a model."""
    from qwenvl_kit import PixelBudget
    from qwenvl_kit.training import check_examples, read_examples

    budget = PixelBudget(task.min_tokens, task.max_tokens)
    return check_examples(task.model, read_examples(task.rows), budget=budget).tokens.most


def _loaded(task: Task) -> tuple[Any, Any]:
    processor = transformers.AutoProcessor.from_pretrained(task.model)
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        task.model, dtype=torch.float32
    )
    return processor, model


def _lora(task: Task, model: Any) -> Any:
    from peft import LoraConfig

    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and "language_model" in name
    ]
    return LoraConfig(r=task.rank, lora_alpha=task.alpha, target_modules=names)


def _options(task: Task) -> dict[str, Any]:
    return {
        "output_dir": f"{task.output}/trainer",
        "per_device_train_batch_size": task.batch_size,
        "num_train_epochs": task.epochs,
        "learning_rate": task.learning_rate,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": [],
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "label_names": ["labels"],
    }


WAYS: Mapping[str, Callable[[Task], None]] = {
    "kit": lambda task: by_kit(task, keep_features=False),
    "kit, features kept": lambda task: by_kit(task, keep_features=True),
    "TRL's SFTTrainer": by_trl,
    "Trainer, logits of all tokens": by_hand,
    "Trainer, logits of answers": by_hand_short,
}
"""The ways, by the names that they have in the table."""


@contextmanager
def watched(losses: list[float], ends: list[float], cpu_ends: list[float]) -> Iterator[None]:
    """Within it a Trainer's steps are noted, and matrices of LoRA begin by their names alone."""
    trainer_class: Any = transformers.Trainer
    train, step = trainer_class.train, trainer_class.training_step

    def watched_train(self: Any, *args: Any, **kwargs: Any) -> Any:
        _begin_alike(self.model)
        return train(self, *args, **kwargs)

    def watched_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        loss = step(self, *args, **kwargs)
        losses.append(float(loss))
        ends.append(time.perf_counter())
        cpu_ends.append(time.process_time())
        return loss

    trainer_class.train, trainer_class.training_step = watched_train, watched_step
    try:
        yield
    finally:
        trainer_class.train, trainer_class.training_step = train, step


def _begin_alike(model: Any) -> None:
    """Draw the first matrix of each layer's LoRA anew, by the name of the layer."""
    for name, weight in model.named_parameters():
        if "lora_A" in name:
            layer = name[name.index("language_model") :]
            generator = torch.Generator().manual_seed(zlib.crc32(layer.encode()))
            with torch.no_grad():
                weight.copy_(
                    torch.randn(weight.shape, generator=generator) / weight.shape[1] ** 0.5
                )


def _memory_peak() -> int:
    line = next(
        line
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


def _import_all(way: str) -> None:
    """What a way imports is no part of what its training takes."""
    import peft  # noqa: F401
    import transformers.models.qwen2_vl.modeling_qwen2_vl
    import transformers.models.qwen3_vl.modeling_qwen3_vl  # noqa: F401

    if "TRL" in way:
        import datasets
        import trl

        _ = datasets.Dataset, trl.SFTTrainer
    if "kit" in way:
        from qwenvl_kit.training import fine_tune  # noqa: F401


def main(task: Task) -> Trained:
    """Train, and say what was seen."""
    _import_all(task.way)
    import_bytes = _memory_peak()
    losses, ends, cpu_ends = list[float](), list[float](), list[float]()
    with watched(losses, ends, cpu_ends):
        WAYS[task.way](task)
    return Trained(losses, ends, cpu_ends, import_bytes, _memory_peak())


if __name__ == "__main__":
    print(json.dumps(asdict(main(Task(**json.loads(sys.argv[1]))))))
