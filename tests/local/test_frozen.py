"""A loaded model only answers: nothing in it can be trained, and no gradient is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.checkpoints.packages import lacking, requirements_of
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import picture

THREE_TOKENS = Sampling(max_new_tokens=3)
needs_bitsandbytes = pytest.mark.skipif(
    find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
FORMS = [
    pytest.param(None, id="whole"),
    pytest.param("8bit", marks=needs_bitsandbytes),
    pytest.param("4bit", marks=needs_bitsandbytes),
]


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    absent = lacking(requirements_of(FAMILIES[request.param]))
    if absent:
        pytest.skip(f"the family needs {' and '.join(absent)}")
    return build_tiny_model(tmp_path_factory.mktemp("frozen") / request.param, request.param)


@pytest.fixture(scope="module", params=FORMS)
def backend(request: pytest.FixtureRequest, folder: Path) -> LocalBackend:
    return load_backend(folder, quantization=request.param)


@contextmanager
def modes_seen(model: Any) -> Iterator[set[tuple[bool, bool, bool]]]:
    """For each layer that runs: whether gradients were on, inference mode, and its result kept."""
    seen: set[tuple[bool, bool, bool]] = set()

    def note(_: Any, args: Any, output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        seen.add((torch.is_grad_enabled(), torch.is_inference_mode_enabled(), tensor.requires_grad))

    layers = [*model.model.language_model.layers, *model.model.visual.blocks]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def test_no_parameter_can_be_trained(backend: LocalBackend) -> None:
    assert not any(parameter.requires_grad for parameter in backend.model.parameters())


def test_every_layer_is_in_evaluation_mode(backend: LocalBackend) -> None:
    assert not any(module.training for module in backend.model.modules())


def test_no_gradient_is_recorded_though_the_caller_records_them(backend: LocalBackend) -> None:
    with torch.enable_grad(), modes_seen(backend.model) as seen:
        VisionChat(backend).ask("What is it?", picture(60, 60), sampling=THREE_TOKENS)
        assert torch.is_grad_enabled()
    assert seen == {(False, True, False)}
    assert all(parameter.grad is None for parameter in backend.model.parameters())


def test_streams_and_batches_record_none_either(backend: LocalBackend) -> None:
    question = ("What is it?", picture(60, 60))
    with torch.enable_grad(), modes_seen(backend.model) as seen:
        VisionChat(backend).ask_many(["What?", "And?"], sampling=THREE_TOKENS, on_error="raise")
        with VisionChat(backend).stream(*question, sampling=THREE_TOKENS) as stream:
            assert list(stream)
    assert seen == {(False, True, False)}


def test_loading_leaves_the_callers_gradients_alone(tiny_folder: Path) -> None:
    weight = torch.ones(2, requires_grad=True)
    VisionChat.from_pretrained(tiny_folder)
    (weight.sum() * 2).backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [2.0, 2.0]
    assert torch.nn.Linear(2, 2).training


def test_a_model_that_is_made_afterwards_can_be_trained(tiny_folder: Path) -> None:
    VisionChat.from_pretrained(tiny_folder)
    assert all(parameter.requires_grad for parameter in torch.nn.Linear(2, 2).parameters())
