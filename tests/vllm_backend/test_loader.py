"""What keeps vLLM from starting is said before it is, or by an error of its own kind."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.vllm.error_mapping import translated
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.errors import (
    BudgetError,
    ContextLengthError,
    GenerationError,
    InputError,
    MissingPackageError,
    ModelLoadError,
    OutOfMemoryError,
    PlacementError,
    QwenVLKitError,
    SchemaError,
    UnsupportedFeatureError,
)

from .pretending import Core, opened, pretended


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"trust_remote_code": True}, ModelLoadError),
        ({"tokenizer": "x"}, InputError),
        ({"max_queued_requests": 0}, InputError),
        ({"budget": "huge"}, BudgetError),
        ({"media": "anything"}, InputError),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], kind: type[QwenVLKitError]
) -> None:
    with pretended(monkeypatch, Core()) as arguments:
        with pytest.raises(kind):
            VisionChat.from_vllm(MODEL_FOLDER, **options)
    assert arguments == {}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Failed to infer device type", PlacementError),
        ("No CUDA GPUs are available", PlacementError),
        ("No available memory for the cache blocks", PlacementError),
        ("Model architectures ['X'] are not supported", ModelLoadError),
    ],
)
def test_what_vllm_says_when_it_cannot_start_is_an_error_of_its_own(
    monkeypatch: pytest.MonkeyPatch, said: str, kind: type[QwenVLKitError]
) -> None:
    with pytest.raises(ModelLoadError) as caught:
        with opened(monkeypatch, RuntimeError(said)):
            pass
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert caught.value.hint


def test_without_vllm_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingPackageError, match="pip install vllm"):
        VisionChat.from_vllm(MODEL_FOLDER)


def test_only_safe_weights_are_asked_for_and_what_else_is_given_is_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pretended(monkeypatch, Core()) as arguments:
        with VisionChat.from_vllm(MODEL_FOLDER, tensor_parallel_size=2) as chat:
            told = chat.report()
    assert arguments["load_format"] == "safetensors"
    assert arguments["tensor_parallel_size"] == 2
    assert "tensor_parallel_size=2" in told["vllm_arguments"]
    assert told["context_tokens"] == "2048"


def test_limits_that_vllm_is_started_with_hold_for_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"max_pixels": 64 * 28 * 28}
    with opened(monkeypatch, Core(), mm_processor_kwargs=limits) as chat:
        import PIL.Image

        assert chat.plan("?", PIL.Image.new("RGB", (1000, 1000))).visual_tokens <= 64


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("At most 1 image(s) may be provided in one prompt", UnsupportedFeatureError),
        ("The prompt is longer than the maximum model length of 2048", ContextLengthError),
        ("The request has an invalid grammar", SchemaError),
        ("CUDA out of memory. Tried to allocate 2 GiB", OutOfMemoryError),
        ("something else", GenerationError),
    ],
)
def test_what_vllm_says_of_a_request_is_an_error_of_its_own(
    said: str, kind: type[QwenVLKitError]
) -> None:
    error = ValueError(said)
    found = translated(error)
    assert type(found) is kind
    assert found.__cause__ is error
