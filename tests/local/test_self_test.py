"""`chat.self_test()` passes what is right and finds what is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import pad

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.backends.local.cache import kv_cache
from qwenvl_kit.embedded import GOLDEN_FILE
from qwenvl_kit.pipeline.self_test import GoldenCase, run_self_test


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_embedded_model_passes_with_its_golden_answers(dtype: str) -> None:
    result = VisionChat.from_pretrained(dtype=dtype).self_test()
    assert result.is_healthy, str(result)
    names = [finding.name for finding in result.findings]
    assert "golden: A red square." in names
    assert {"batch equals single", "reuse equals fresh", "stream equals ask"} < set(names)


def test_any_checkpoint_is_tested_without_golden_answers(chat: VisionChat) -> None:
    result = chat.self_test()
    assert result.is_healthy, str(result)
    assert len(result.findings) == 6


def test_a_wrong_answer_is_found(tmp_path: Path) -> None:
    cases = json.loads(GOLDEN_FILE.read_text())
    cases[0]["token_ids"][1] += 1
    golden = tmp_path / "golden.json"
    golden.write_text(json.dumps(cases))
    result = run_self_test(VisionChat.from_pretrained(), golden)
    assert [finding.name for finding in result.problems] == ["golden: A red square."]


def test_padding_on_the_wrong_side_is_found(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = kv_cache._joined_buffers

    def pad_on_the_right(parts: Sequence[torch.Tensor], length: int) -> torch.Tensor:
        padded = [pad(part, (0, 0, 0, length - part.shape[2])) for part in parts]
        joined = join(padded, length)
        assert joined is not None
        return joined

    monkeypatch.setattr(kv_cache, "_joined_buffers", pad_on_the_right)
    result = VisionChat(backend).self_test()
    assert "batch equals single" in [finding.name for finding in result.problems]


def test_a_model_that_drifts_between_calls_is_found(tiny_folder: Path) -> None:
    backend = load_backend(tiny_folder)

    def drift(*_: Any) -> None:
        weight = backend.model.model.language_model.norm.weight
        weight.data = weight.data + torch.randn(len(weight))

    backend.model.model.language_model.register_forward_pre_hook(drift)
    result = VisionChat(backend).self_test()
    assert "reuse equals fresh" in [finding.name for finding in result.problems]
    assert all(finding.cure for finding in result.problems)


def test_a_model_that_fails_is_a_finding_and_no_exception(tiny_folder: Path) -> None:
    backend = load_backend(tiny_folder)

    def fail(*_: Any) -> None:
        raise RuntimeError("no")

    backend.model.register_forward_pre_hook(fail)
    assert len(VisionChat(backend).self_test().problems) == 4


def test_golden_cases_are_right_answers() -> None:
    for case in GoldenCase.load_all(GOLDEN_FILE):
        assert all(colour in case.answer for colour in case.colours) or case.answer == "2"


def test_a_weight_that_would_learn_is_found(tiny_folder: Path) -> None:
    backend = load_backend(tiny_folder)
    backend.model.model.language_model.norm.weight.requires_grad_()
    (found,) = VisionChat(backend).self_test().problems
    assert found.name == "no weight wants a gradient"
    assert "language_model.norm.weight" in found.detail


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_found(tiny_folder: Path, value: float) -> None:
    backend = load_backend(tiny_folder)
    backend.model.model.visual.merger.ln_q.weight.data[3] = value
    problems = {found.name: found.detail for found in VisionChat(backend).self_test().problems}
    assert "visual.merger.ln_q.weight" in problems["weights are numbers"]


def test_a_cache_that_is_not_used_is_found(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load_backend(tiny_folder)
    monkeypatch.setattr("qwenvl_kit.backends.local.loading.trial._EXACT", -1.0)
    problems = [found.name for found in VisionChat(backend).self_test().problems]
    assert problems == ["cached step equals uncached"]


def test_the_state_of_a_model_is_checked_while_nothing_runs(tiny_folder: Path) -> None:
    backend = load_backend(tiny_folder)
    with backend._engine.scheduler.idle() as is_idle:
        assert is_idle
    assert not any(backend.check_model().values())
    assert VisionChat(backend).ask("Hello").tokens


def test_tied_and_packed_weights_are_checked_too(tiny_folder: Path) -> None:
    backend = load_backend(tiny_folder, quantization="8bit")
    assert not any(backend.check_model().values())
