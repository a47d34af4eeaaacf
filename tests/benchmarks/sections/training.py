"""Fine-tuning: the kit beside TRL's SFTTrainer, and beside a loop that one writes by hand."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from qwenvl_kit import PixelBudget
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.training import check_examples, read_examples
from tests.benchmarks.measuring import (
    FEW_ROUNDS,
    Outcome,
    Run,
    row,
    table,
    told_ratio,
    told_spread,
)
from tests.benchmarks.models import checkpoint_of, chosen, millions, question
from tests.benchmarks.photographs import photograph
from tests.benchmarks.trainers import WAYS, Task, Trained

MODELS = ("qwen2_vl:140M", "qwen3_vl:140M")
VISION_SHARES = {"qwen2_vl": 0.96, "qwen3_vl": 0.43}
"""Operations of the vision encoder over those of the language model's layers, forwards and
backwards, for a visual token of Qwen2-VL-2B and of Qwen3-VL-2B: 2 * 629M / 1310M and 2 * 302M /
1409M weights. A visual token is four patches, and the frozen encoder runs forwards alone."""

NUM_ROWS, BATCH_SIZE, EPOCHS = 24, 4, 2
MAX_TOKENS = 144
SIZES_PX = ((640, 480), (480, 640), (640, 427), (500, 375), (320, 240), (240, 200))
"""Sizes of pictures as data sets have them: most are larger than the budget."""

CASES = {"kit": "pictures decoded each time", "kit, features kept": "features kept, second epoch"}
"""What a case of the kit is, by its way."""

COLUMNS = (
    "case", "beside it", "kit", "other", "ratio", "spread", "by processor time", "rounds",
    "memory of the kit", "of the other", "losses differ by",
)  # fmt: skip


@dataclass(frozen=True)
class Data:
    """Rows in a file, and their tokens for a checkpoint."""

    rows: Path
    tokens: int


@dataclass(frozen=True)
class Bed:
    """A checkpoint on which all ways are tried.

    Attributes:
        title: its name in the table.
        checkpoint: its folder.
        folder: a folder for rows and results.
    """

    title: str
    checkpoint: Path
    folder: Path

    def write(self, name: str, num_rows: int) -> Data:
        """Write a file of rows in the form of ms-swift, with their pictures."""
        folder = self.folder / name
        folder.mkdir()
        lines = list[str]()
        for at in range(num_rows):
            picture = f"{at}.jpg"
            photograph(*SIZES_PX[at % len(SIZES_PX)], seed=at).save(folder / picture, quality=90)
            answer = f"There are {at} of them in the park."
            entry = {"query": f"<image>{question(at)}", "response": answer, "images": [picture]}
            lines.append(json.dumps(entry))
        rows = folder / "rows.jsonl"
        rows.write_text("\n".join(lines), encoding="utf-8")
        budget = PixelBudget(4, MAX_TOKENS)
        report = check_examples(self.checkpoint, read_examples(rows), budget=budget)
        report.raise_faults()
        return Data(rows, report.tokens.total)

    def train(self, way: str, data: Data, epochs: int, name: str) -> Trained:
        """Train by one way, in a process of its own."""
        output = self.folder / name / way
        output.mkdir(parents=True)
        family = FAMILIES[AutoConfig.from_pretrained(self.checkpoint).model_type]
        task = Task(
            way=way,
            model=str(self.checkpoint),
            rows=str(data.rows),
            output=str(output),
            epochs=epochs,
            batch_size=BATCH_SIZE,
            max_tokens=MAX_TOKENS,
            token_side_px=family.token_side_px,
        )
        command = (sys.executable, "-m", "tests.benchmarks.trainers", json.dumps(asdict(task)))
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        print(f"{self.title}: {way}, {name}", file=sys.stderr, flush=True)
        return Trained(**json.loads(done.stdout.splitlines()[-1]))


def section() -> list[str]:
    """Tokens a second and peak memory of the kit and the others."""
    lines = list[str]()
    for name in chosen(*MODELS):
        with checkpoint_of(name) as checkpoint, tempfile.TemporaryDirectory() as folder:
            family = name.partition(":")[0]
            size = deepen(checkpoint, VISION_SHARES[family])
            lines += _rows(Bed(f"{family}, {size:.0f}M", checkpoint, Path(folder)))
    width, height = max(SIZES_PX)
    return [
        "LoRA of rank 8 on the language model's linear layers, fp32, AdamW. "
        f"{NUM_ROWS} rows have a JPEG of up to {width} x {height} px each, at a budget of "
        f"{MAX_TOKENS} visual tokens, and an answer of some words; a step has {BATCH_SIZE} rows "
        "or as many tokens. The models are random, and their vision encoders have the share of the "
        "work that they have in Qwen2-VL-2B and Qwen3-VL-2B. Each training is a process of its "
        f"own; what counts is epoch {EPOCHS}, and tokens without padding. Ratios are of times.",
        "",
        f"Beside the kit: SFTTrainer of TRL {version('trl')}, and transformers' Trainer with a "
        "collator that calls the processor, grouped by length, which computes the logits of all "
        "tokens or of answers alone. Memory is the peak of the process beyond what importing took. "
        "Losses are those of three steps on one batch, whose LoRA matrices begin alike.",
        "",
        *table(COLUMNS, lines),
    ]


def deepen(checkpoint: Path, share: float) -> float:
    """Give a random model a vision encoder so deep that it has its share of the work.

    Returns:
        The model's parameters in millions.
    """
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32)
    block, layers = (
        sum(weight.numel() for weight in part.parameters())
        for part in (model.model.visual.blocks[0], model.model.language_model.layers)
    )
    model.config.vision_config.depth = round(share * layers / (2 * block))
    torch.manual_seed(0)
    deeper = type(model)(model.config)
    deeper.load_state_dict(model.state_dict(), strict=False)
    deeper.generation_config = model.generation_config
    deeper.save_pretrained(checkpoint)
    return millions(deeper)


def _rows(bed: Bed) -> Iterator[str]:
    batch, data = bed.write("batch", BATCH_SIZE), bed.write("rows", NUM_ROWS)
    first = {way: bed.train(way, batch, 3, "first losses").losses for way in WAYS}
    seen: dict[str, list[Trained]] = {way: [] for way in WAYS}
    for number in range(FEW_ROUNDS):
        for way in WAYS:
            seen[way].append(bed.train(way, data, EPOCHS, f"round {number}"))
    for ours, case in CASES.items():
        for way in WAYS:
            if way not in CASES:
                apart = max(abs(a - b) for a, b in zip(first[ours], first[way], strict=True))
                told = (f"{bed.title}: {case}", way, *_compared(data, seen[ours], seen[way]))
                yield row(*told, f"{apart:.0e}")


def _compared(data: Data, ours: Sequence[Trained], theirs: Sequence[Trained]) -> tuple[str, ...]:
    """The cells of a row that say how fast both are, and what memory they take."""
    outcome = Outcome([[_run(found)] for found in ours], [[_run(found)] for found in theirs])
    return (
        _speed(data, ours),
        _speed(data, theirs),
        told_ratio(outcome),
        told_spread(outcome),
        f"{outcome.cpu_ratio:.2f}x",
        str(len(ours)),
        _memory(ours),
        _memory(theirs),
    )


def _speed(data: Data, found: Sequence[Trained]) -> str:
    seconds = statistics.median(_run(training).seconds for training in found)
    return f"{data.tokens / seconds:.0f} tokens/s"


def _memory(found: Sequence[Trained]) -> str:
    size = statistics.median(training.peak_bytes - training.import_bytes for training in found)
    return f"{size / 1e6:.0f} MB"


def _run(found: Trained) -> Run:
    """The last epoch of a training: its data, its steps, and the optimiser's."""
    steps, rest = divmod(len(found.losses), EPOCHS)
    assert not rest, f"{len(found.losses)} steps in {EPOCHS} epochs"
    before = (EPOCHS - 1) * steps - 1
    return Run(found.ends[-1] - found.ends[before], found.cpu_ends[-1] - found.cpu_ends[before])
