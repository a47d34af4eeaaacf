"""Exported models in OpenVINO, beside transformers with the same kind of weights.

QWENVL_KIT_BENCH_OPENVINO names folders that optimum-intel exported from the model of the section
"What to expect", by the kit's name of their weights: `fp32=/models/ov_fp32,8-bit=/models/ov_int8`.
The export needs an environment of its own, since optimum-intel asks for an older transformers:

    from optimum.intel import OVModelForVisualCausalLM, OVWeightQuantizationConfig
    model = OVModelForVisualCausalLM.from_pretrained(
        folder, export=True, quantization_config=OVWeightQuantizationConfig(bits=8), compile=False
    )
    model.save_pretrained("/models/ov_int8")
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import torch

from qwenvl_kit import VisionChat
from tests.benchmarks.by_kit import ask_many
from tests.benchmarks.measuring import Case, Run, alone, case_table
from tests.benchmarks.models import checkpoint_of, greedy, question, question_about
from tests.benchmarks.sections.weights import CONTEXT, HOW, MODEL, ROWS
from tests.by_hand import picture

SIDE_PX = 616
DTYPES = {"fp32": "float32"}
"""The type in which OpenVINO computes, for a kind of weights; its own choice for others."""


def section() -> list[str]:
    """A step, and a picture, of each export beside the same of `from_pretrained`."""
    return [
        f"{MODEL}, exported by optimum-intel and loaded by `from_openvino` (the kit's column), "
        "beside `from_pretrained` with weights of the same kind: a whole step of the engine after "
        f"about {CONTEXT} tokens, and a new picture of {SIDE_PX} x {SIDE_PX} pixels with the first "
        "token of its answer. Both are rounded in their own way, so tokens are not compared.",
        "",
        *case_table(_cases()),
    ]


def exports() -> Mapping[str, Path]:
    """The folders that the environment names, by the kit's name of their weights."""
    pairs = [each.partition("=") for each in os.environ["QWENVL_KIT_BENCH_OPENVINO"].split(",")]
    unknown = [name for name, _, _ in pairs if name not in HOW]
    if unknown:
        raise SystemExit(f"QWENVL_KIT_BENCH_OPENVINO names {unknown}; there are {list(HOW)}")
    return {name: Path(folder) for name, _, folder in pairs}


def _cases() -> Iterator[Case]:
    with ExitStack() as stack:
        checkpoint = stack.enter_context(checkpoint_of(MODEL, torch.bfloat16))
        for name, folder in exports().items():
            export = stack.enter_context(_with_small_files(folder, checkpoint))
            dtype = DTYPES.get(name, "auto")
            load = partial(VisionChat.from_openvino, export, dtype=dtype, calibrator=None)
            other = partial(VisionChat.from_pretrained, checkpoint, device="cpu", calibrator=None)
            with alone(load) as mine, alone(partial(other, **HOW[name])) as its:
                beside = f"from_pretrained, {name}"
                for rows, steps in ROWS.items():
                    yield Case(
                        f"a step of {rows} row{'s' if rows > 1 else ''}, {name}",
                        partial(_step, mine, rows, steps),
                        {beside: partial(_step, its, rows, steps)},
                    )
                seeds = itertools.count()
                yield Case(
                    f"a picture and a token, {name}",
                    partial(_look, mine, seeds),
                    {beside: partial(_look, its, seeds)},
                )


@contextmanager
def _with_small_files(export: Path, checkpoint: Path) -> Iterator[Path]:
    """A folder with an export and the small files that it lacks."""
    with tempfile.TemporaryDirectory() as made:
        for source in (export, checkpoint):
            for file in source.iterdir():
                place = Path(made) / file.name
                if file.suffix != ".safetensors" and not place.exists():
                    place.symlink_to(file.absolute())
        yield Path(made)


def _step(chat: VisionChat, rows: int, steps: int) -> Run:
    """The mean time of a step: long answers less short ones, their prompts known."""
    asked = [question_about(None, question(at)) for at in range(rows)]
    short, long = (ask_many(chat, asked, greedy(length)) for length in (1, steps + 1))
    cpu = (long.cpu_seconds or 0.0) - (short.cpu_seconds or 0.0)
    return Run((long.seconds - short.seconds) / steps, cpu / steps)


def _look(chat: VisionChat, seeds: Iterator[int]) -> Run:
    """The time of a picture that was not seen before, and of the first token about it."""
    shown = picture(SIDE_PX, SIDE_PX, next(seeds))
    run = ask_many(chat, [question_about(shown, question(0))], greedy(1))
    return Run(run.seconds, run.cpu_seconds)  # each side sees pictures of its own
