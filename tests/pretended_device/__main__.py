"""The child: it answers with pretended devices, and prints what it found as JSON.

    python -m tests.pretended_device qwen3_vl two

`one`, `two` and `early` are the answers on devices, `steps` the traffic of decode steps, `adapter`
an answer under LoRA, and `everything` what the short tests ask for.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.local import load_backend
from qwenvl_kit.backends.local.loading.device_map import WORKING_BYTES
from qwenvl_kit.testing import build_tiny_model
from tests.pretended_device import steps
from tests.pretended_device.faults import (
    FAULTS,
    WASTE,
    a_prefix_that_is_a_mapping,
    a_wait_for_each_row,
)
from tests.pretended_device.scenarios import SCENARIOS, Found
from tests.pretended_device.tensors import Settings, pretended_devices

_TOLERANCE = 1e-3
"""Scores may differ by so much: some sums are taken in another order."""


def _on_processor(folder: Path) -> VisionChat:
    return VisionChat(load_backend(folder, device="cpu", dtype="float32"))


@contextmanager
def _on_devices(
    folder: Path, count: int, share: float = 0.6, *, cuda_graphs: bool | Literal["auto"] = "auto"
) -> Iterator[VisionChat]:
    """A chat whose model lies on pretended devices.

    Args:
        folder: the checkpoint.
        count: the number of devices.
        share: for several, the part of the weights for which each has room.
        cuda_graphs: False to decode without fixed shapes.
    """
    room = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    free = WORKING_BYTES + int(room * share * 1.1) if count > 1 else 2**33
    with pretended_devices(count=count, free_bytes=free):
        device = "auto" if count > 1 else "cuda"
        backend = load_backend(folder, device=device, dtype="float32", cuda_graphs=cuda_graphs)
        homes = {parameter.device for parameter in backend.model.parameters()}
        assert homes == {torch.device("cuda", number) for number in range(count)}, homes
        with VisionChat(backend) as chat:
            yield chat


def _difference(found: Found, expected: Found) -> str:
    """A sentence about how two answers differ; empty if they are equal."""
    same = _is_same(found, expected)
    return "" if same else f"{str(found)[:300]} instead of {str(expected)[:300]}"


def _is_same(found: Found, expected: Found) -> bool:
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(_is_same, found, expected))
    if isinstance(expected, float):
        return bool(abs(found - expected) < _TOLERANCE)
    return bool(found == expected)


def _outcome(act: Callable[[], Found], expected: Found) -> str:
    """A sentence about what went wrong; empty if nothing did."""
    try:
        return _difference(act(), expected)
    except Exception as error:  # whatever a device may refuse
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        return f"{type(cause).__name__}: {cause}"


def answers(folder: Path, count: int, share: float = 0.6) -> dict[str, str]:
    """What went wrong with each scenario on some devices; empty sentences if nothing did."""
    expected = _expected(folder)
    Settings.has_fp64 = False
    with _on_devices(folder, count, share) as chat:
        return _answers_of(chat, expected)


def _expected(folder: Path) -> dict[str, Found]:
    alone = _on_processor(folder)
    return {name: scenario(alone) for name, scenario in SCENARIOS.items()}


def _answers_of(chat: VisionChat, expected: dict[str, Found]) -> dict[str, str]:
    return {
        name: _outcome(partial(scenario, chat), expected[name])
        for name, scenario in SCENARIOS.items()
    }


def step_counts(folder: Path) -> dict[str, Any]:
    """Waits, uploads and copies of a step, by the kind of requests and the number of rows."""
    with _on_devices(folder, 1, cuda_graphs=False) as chat:
        growing = _steps_of(chat)
    with _on_devices(folder, 1) as chat:
        return growing | _fixed_steps_of(chat)


def _steps_of(chat: VisionChat) -> dict[str, Any]:
    kinds = {steps.greedy: (1, 8), steps.of_all_kinds: (4, 8)}
    found: dict[str, Any] = {
        f"{make.__name__} {rows}": steps.counted(chat, make(rows)).counts
        for make, numbers in kinds.items()
        for rows in numbers
    }
    with steps.work_left_by_prefill() as left:
        SCENARIOS["a_picture"](chat)
    return {**found, "left": left}


def _fixed_steps_of(chat: VisionChat) -> dict[str, Any]:
    """Greedy steps with fixed shapes after the first, which fills a bucket; none if there are none.

    Sampled rows hand the drawn tokens to the device.
    """
    if not chat.report()["cuda_graphs"].startswith("on"):
        return {}
    kinds = {"greedy": steps.greedy, "sampled": steps.sampled}
    return {
        f"fixed {kind} {rows}": steps.counted(chat, make(rows), num_skipped=1).counts
        for kind, make in kinds.items()
        for rows in (1, 8)
    }


_FIXED = (
    *("a_picture", "prompts_of_different_lengths", "answers_that_end_at_different_times"),
    *("a_conversation", "a_stop_string", "bound_answers"),
)
"""Scenarios that the short tests try with fixed shapes."""


def _fixed_of(folder: Path, expected: dict[str, Found]) -> dict[str, Any]:
    """What was found with fixed shapes: answers, steps, and what became of a capture that waits."""
    with _on_devices(folder, 1) as chat:
        answered = {
            name: _outcome(partial(SCENARIOS[name], chat), expected[name]) for name in _FIXED
        }
        counted, before = _fixed_steps_of(chat), chat.report()["cuda_graphs"]
        chat.clear_cache()
        with a_wait_for_each_row():
            name = "a_stop_string"
            answered["while a step waits"] = _outcome(
                partial(SCENARIOS[name], chat), expected[name]
            )
        after = chat.report()["cuda_graphs"]
    return {"answers": answered, "steps": counted, "before": before, "after": after}


def everything(folder: Path) -> dict[str, Any]:
    """All that the short tests ask for."""
    expected = _expected(folder)
    Settings.has_fp64 = False
    with _on_devices(folder, 2) as chat:
        answered, copied = _answers_of(chat, expected), _copies_of(chat)
    with _on_devices(folder, 1, cuda_graphs=False) as chat:
        counted, seen = _steps_of(chat), _faults_of(chat, expected)
    found = {"answers": answered, "copies": copied, "steps": counted, "faults": seen}
    return {**found, "fixed": _fixed_of(folder, expected)}


def _faults_of(chat: VisionChat, expected: dict[str, Found]) -> dict[str, Any]:
    """What was seen of each fault that was put in."""
    seen: dict[str, Any] = {}
    for what, (fault, name) in FAULTS.items():
        chat.clear_cache()
        with fault():
            seen[what] = _outcome(partial(SCENARIOS[name], chat), expected[name])
    for what, waste in WASTE.items():
        with waste():
            seen[what] = steps.counted(chat, steps.greedy(4)).counts
    return seen


def _copies_of(chat: VisionChat) -> dict[str, Any]:
    """Steps on two devices: without a common beginning, with one, and with a fault put in."""
    apart = steps.counted(chat, steps.greedy(8)).counts
    alike = steps.counted(chat, steps.beginning_alike(8)).counts
    with a_prefix_that_is_a_mapping():
        mapping = steps.counted(chat, steps.beginning_alike(8)).counts
    return {"apart": apart, "alike": alike, "mapping": mapping}


def adapter(folder: Path) -> dict[str, str]:
    """What went wrong with an answer under a LoRA adapter on two devices."""
    trained = _trained_adapter(folder)

    def answer(chat: VisionChat) -> Found:
        plain = chat.ask("Hello", sampling=Sampling(max_new_tokens=6)).text
        chat.adapters.load(trained)
        adapted = chat.ask("Hello", sampling=Sampling(max_new_tokens=6)).text
        assert adapted != plain
        return [plain, adapted]

    expected = answer(_on_processor(folder))
    with _on_devices(folder, 2) as chat:
        return {"adapter": _outcome(lambda: answer(chat), expected)}


def _trained_adapter(folder: Path) -> Path:
    """A LoRA adapter with random weights, saved by peft."""
    import peft
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    settings = peft.LoraConfig(r=4, target_modules=r".*language_model.*\.(q_proj|v_proj)")
    adapted = peft.get_peft_model(model, settings)
    torch.manual_seed(0)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn_like(parameter)
    adapted.save_pretrained(folder / "adapter")
    return folder / "adapter"


CHECKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "everything": everything,
    "one": lambda folder: answers(folder, 1),
    "two": lambda folder: answers(folder, 2),
    "early": lambda folder: answers(folder, 2, 0.8),
    "steps": step_counts,
    "adapter": adapter,
}


def main(family: str, *checks: str) -> None:
    """Run checks for one family."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        built = build_tiny_model(Path(folder) / family, family)
        print(json.dumps({check: CHECKS[check](built) for check in checks}))


if __name__ == "__main__":
    main(*sys.argv[1:])
