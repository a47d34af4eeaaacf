"""Steps of decoding by OpenVINO, beside the kit's in the same kind of weights.

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

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qwenvl_kit import VisionChat
from tests.benchmarks.by_kit import ask_many
from tests.benchmarks.measuring import Case, Run, alone, case_table, timed
from tests.benchmarks.models import checkpoint_of, greedy, question, question_about
from tests.benchmarks.sections.weights import CONTEXT, HOW, MODEL, ROWS

FILE = "openvino_language_model.xml"


def section() -> list[str]:
    """A step of each export beside a step of the kit."""
    return [
        f"The language model of {MODEL} alone, exported by optimum-intel and run by OpenVINO with "
        "as many threads as torch, beside the kit in weights of the same kind: a step, after about "
        f"{CONTEXT} tokens. OpenVINO's step has no choice of a token, no embedding and no Python "
        "of an engine in it; the kit's is a whole one. So below 1 says how much an engine on "
        "OpenVINO could gain at the most. Tokens are not compared.",
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
            step = _Steps(folder / FILE)
            load = partial(VisionChat.from_pretrained, checkpoint, device="cpu", calibrator=None)
            with alone(partial(load, **HOW[name])) as chat:
                for rows, steps in ROWS.items():
                    yield Case(
                        f"a step of {rows} row{'s' if rows > 1 else ''}, {name}",
                        partial(_kit_step, chat, rows, steps),
                        {f"OpenVINO, {folder.name}": partial(step, rows, steps)},
                    )


def _kit_step(chat: VisionChat, rows: int, steps: int) -> Run:
    """The mean time of a step: long answers less short ones, their prompts known."""
    asked = [question_about(None, question(at)) for at in range(rows)]
    short, long = (ask_many(chat, asked, greedy(length)) for length in (1, steps + 1))
    cpu = (long.cpu_seconds or 0.0) - (short.cpu_seconds or 0.0)
    return Run((long.seconds - short.seconds) / steps, cpu / steps)


class _Steps:
    """Steps of an exported language model, which keeps its own keys and values."""

    def __init__(self, path: Path) -> None:
        import openvino

        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        compiled: Any = openvino.Core().compile_model(path, "CPU", settings)
        self._names = {each.any_name for each in compiled.inputs}
        (embeddings,) = (each for each in compiled.inputs if each.any_name == "inputs_embeds")
        self._width = embeddings.partial_shape[2].get_length()
        self._request = compiled.create_infer_request()

    def __call__(self, rows: int, steps: int) -> Run:
        """The mean time of a step after a prompt."""
        self._request.reset_state()
        self._infer(rows, CONTEXT, 0)

        def act() -> None:
            for at in range(steps):
                self._infer(rows, 1, CONTEXT + at)

        run = timed(act)
        return Run(run.seconds / steps, (run.cpu_seconds or 0.0) / steps)

    def _infer(self, rows: int, length: int, known: int) -> None:
        positions = np.arange(known, known + length)
        given = {
            "inputs_embeds": np.full((rows, length, self._width), 0.01, np.float32),
            "attention_mask": np.ones((rows, known + length), np.int64),
            "position_ids": np.ascontiguousarray(np.broadcast_to(positions, (3, rows, length))),
            "beam_idx": np.arange(rows, dtype=np.int32),
        }
        self._request.infer({name: given[name] for name in self._names})
