"""Steps of decoding and reading with weights of 32, 16, 8 and 4 bits, and the machine's limits."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from qwenvl_kit import VisionChat
from tests.benchmarks import limits
from tests.benchmarks.by_kit import ask_many
from tests.benchmarks.measuring import ROUNDS, Samples, alone
from tests.benchmarks.models import checkpoint_of, greedy, millions, question, question_about
from tests.benchmarks.page import processor_name
from tests.by_hand import ids_of, picture

MODEL = "qwen2_vl:340M"
ROWS: Mapping[int, int] = {1: 24, 8: 12, 32: 8}
"""Steps that are timed, by the number of rows."""

CONTEXT = 50
"""About the tokens of a row while it is timed, for its keys and values."""

PROMPT_TOKENS, SIDE_TOKENS = 1024, 32
HOW: Mapping[str, Mapping[str, Any]] = {
    "fp32": {"dtype": "float32"},
    "bf16": {"dtype": "bfloat16"},
    "8-bit": {"quantization": "8bit"},
    "4-bit": {"quantization": "4bit"},
}
_COPY_BYTES = 256 * 2**20
_LARGEST_SIDE, _LONG_ENOUGH_SECONDS = 2048, 0.2


@dataclass
class Precision:
    """The same model in one precision, and its times.

    Attributes:
        chat: the loaded model.
        dtype: the dtype that it computes in.
        step_bytes: bytes that a step of one row reads.
        prefill_flops: operations of reading the text.
        steps: times of a step, by the number of rows.
        prefill: times of reading the text.
        vision: times of the vision encoder.
        agreement: answers with the same tokens as in fp32, of all.
    """

    chat: VisionChat
    dtype: str
    step_bytes: int
    prefill_flops: float
    steps: dict[int, Samples] = field(default_factory=lambda: {n: Samples() for n in ROWS})
    prefill: Samples = field(default_factory=Samples)
    vision: Samples = field(default_factory=Samples)
    agreement: str = ""


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        where: the machine, in words.
        bandwidth: bytes a second of a copy, read and written together.
        flops: operations a second of large products, by dtype.
        millions: parameters of the model in millions.
        prompt_tokens: tokens of the text that is read.
        picture_tokens: visual tokens of the picture.
        num_rounds: rounds of each.
        precisions: the times, by the name of the precision.
    """

    where: str
    bandwidth: float
    flops: Mapping[str, float]
    millions: float
    prompt_tokens: int
    picture_tokens: int
    num_rounds: int
    precisions: Mapping[str, Precision]

    @property
    def shares(self) -> dict[str, float]:
        """The share of the bandwidth that a step of one row uses, by precision."""
        return {
            name: limits.share_of_bandwidth(
                found.step_bytes, statistics.median(found.steps[1].values), self.bandwidth
            )
            for name, found in self.precisions.items()
        }

    def against_fp32(self, name: str, rows: int) -> str:
        """The ratio of fp32's step to another's, round by round."""
        times = self.precisions["fp32"].steps[rows].values, self.precisions[name].steps[rows].values
        ratios = Samples([whole / packed for whole, packed in zip(*times)])
        told = ratios.told("{:.2f}x".format)
        is_same = min(ratios.values) <= 1 <= max(ratios.values) and len(ratios.values) > 1
        return f"{told}, no difference" if is_same else told


def measure_all(rounds: int = ROUNDS) -> Measured:
    """Measure the machine, and the model in each precision, in turn."""
    bandwidth, flops = Samples(), {"float32": Samples(), "bfloat16": Samples()}
    with ExitStack() as stack:
        folder = stack.enter_context(checkpoint_of(MODEL, torch.bfloat16))
        found = {name: _load(stack, folder, how) for name, how in HOW.items()}
        for round_index in range(rounds + 1):
            is_counted = round_index > 0
            machine = copy_bandwidth(), {name: product_flops(name) for name in flops}
            if is_counted:
                bandwidth.add(machine[0])
                for name, rate in machine[1].items():
                    flops[name].add(rate)
            for precision in found.values():
                _measure(precision, is_counted)
        answers = {name: _answers(precision.chat) for name, precision in found.items()}
        for name, precision in found.items():
            same = sum(mine == its for mine, its in zip(answers[name], answers["fp32"]))
            precision.agreement = f"{same}/{len(answers[name])}"
        whole: Any = found["fp32"].chat
        prompt, size = whole.plan(_long_text()).prompt_tokens, millions(whole._backend.model)
    return Measured(
        f"{processor_name()}, {torch.get_num_threads()} threads",
        statistics.median(bandwidth.values),
        {name: statistics.median(rates.values) for name, rates in flops.items()},
        size,
        prompt,
        SIDE_TOKENS**2,
        rounds,
        found,
    )


def copy_bandwidth() -> float:
    """Bytes a second of copying a large tensor: each byte is read once and written once."""
    source = torch.ones(_COPY_BYTES // 4)
    target = torch.empty_like(source)
    target.copy_(source)
    started = time.perf_counter()
    target.copy_(source)
    return 2 * _COPY_BYTES / (time.perf_counter() - started)


def product_flops(dtype: str) -> float:
    """Operations a second of a product of large square matrices: 2 * side^3 each.

    The side is doubled until a product takes a while: without instructions for it, bf16 is slow.
    """
    side, seconds = 256, 0.0
    while seconds < _LONG_ENOUGH_SECONDS and side < _LARGEST_SIDE:
        side *= 2
        left = torch.ones(side, side, dtype=getattr(torch, dtype))
        started = time.perf_counter()
        left @ left
        seconds = time.perf_counter() - started
    return 2 * side**3 / seconds


def _load(stack: ExitStack, folder: Path, how: Mapping[str, Any]) -> Precision:
    chat = stack.enter_context(
        alone(lambda: VisionChat.from_pretrained(folder, device="cpu", calibrator=None, **how))
    )
    model: Any = chat._backend.model  # type: ignore[attr-defined]
    text = model.config.get_text_config()
    dtype = str(model.dtype).removeprefix("torch.")
    token_bytes = limits.cache_bytes_per_token(
        text.num_hidden_layers,
        text.num_key_value_heads,
        text.hidden_size // text.num_attention_heads,
        model.dtype.itemsize,
    )
    width, layers = text.hidden_size, text.num_hidden_layers
    # 3 * width * 2 * width of the MLP, and 3 * width^2 of attention, whose keys are halved
    flops = limits.reading_flops(
        9 * width**2 * layers, chat.plan(_long_text()).prompt_tokens, layers, width
    )
    weights = limits.weight_bytes_read(model)
    return Precision(chat, dtype, limits.bytes_per_step(weights, 1, CONTEXT, token_bytes), flops)


def _measure(precision: Precision, is_counted: bool) -> None:
    chat = precision.chat
    for rows, steps in ROWS.items():
        asked = [question_about(None, question(at)) for at in range(rows)]
        times = [
            alone(partial(ask_many, chat, asked, greedy(length))).seconds
            for length in (1, 1, steps + 1)
        ]
        if is_counted:
            # what was read in the first call is known in the two others
            precision.steps[rows].add((times[2] - times[1]) / steps)
    chat.clear_cache()
    text = alone(lambda: chat.ask(_long_text(), sampling=greedy(1)))
    side = SIDE_TOKENS * chat._backend.rules.family.token_side_px
    image = picture(side, side, seed=1)
    seen = alone(lambda: chat.ask(question(0), image, sampling=greedy(1)))
    chat.clear_cache()
    if is_counted:
        precision.prefill.add(text.timing.prefill)
        precision.vision.add(seen.timing.vision)


def _answers(chat: VisionChat) -> list[list[int]]:
    asked = [question_about(None, question(at)) for at in range(16)]
    replies = alone(lambda: chat.ask_many(asked, sampling=greedy(16), on_error="raise"))
    return [ids_of(reply) for reply in replies]


def _long_text() -> str:
    """A text of about as many tokens as are wanted, by the tokenizer of random models."""
    lines = [f"There are {at} {'cars' if at % 2 else 'trees'} in the park." for at in range(500)]
    return " ".join(lines)[: PROMPT_TOKENS * 2]
