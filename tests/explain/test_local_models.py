"""Explanations of models as they are loaded: dtypes, packed weights, adapters, other requests."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import Reply, Request, Sampling, VisionChat
from qwenvl_kit.errors import InputError, ModelLoadError, UnsupportedFeatureError
from qwenvl_kit.explain import explain
from qwenvl_kit.testing import build_tiny_model
from tests.adapters import random_adapter

Pair = tuple[Request, Reply]
METHODS = ("attention", "gradient", "occlusion")


def asked_of(chat: VisionChat, picture: PIL.Image.Image) -> Pair:
    request = Request.about("What is it?", picture, sampling=Sampling(max_new_tokens=3))
    return request, chat.ask(request)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_in_bf16_is_explained(shapes: PIL.Image.Image, method: Any) -> None:
    chat = VisionChat.from_pretrained(dtype="bfloat16")
    request = Request.about("What colour is the circle?", shapes)
    seen = explain(chat, chat.ask(request), request, word="red", method=method)
    assert 40 <= seen.peak_px.x_px <= 130
    assert 70 <= seen.peak_px.y_px <= 160


def test_gradients_through_packed_weights_are_refused(
    tiny_folder: Path, shapes: PIL.Image.Image
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, quantization="8bit", device="cpu")
    request, reply = asked_of(chat, shapes)
    for method in ("attention", "occlusion"):
        assert explain(chat, reply, request, method=method, num_patches=4).maps
    with pytest.raises(UnsupportedFeatureError, match="packed"):
        explain(chat, reply, request, method="gradient")
    assert chat.ask(request).text == reply.text


def test_the_adapter_that_answered_must_be_the_one_that_explains(
    tiny_folder: Path,
    tmp_path: Path,
    shapes: PIL.Image.Image,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A random adapter changes answers of a random model by little.
    monkeypatch.setattr("qwenvl_kit.explain.explaining.MOST_NATS", 1e-3)
    chat = VisionChat.from_pretrained(tiny_folder, dtype="float32")
    name = chat.adapters.load(random_adapter(tiny_folder, tmp_path / "adapter"))
    request, reply = asked_of(chat, shapes)
    for method in METHODS:
        assert explain(chat, reply, request, method=method, num_patches=4).maps
    model = chat._backend.model  # type: ignore[attr-defined]
    assert not any(parameter.requires_grad for parameter in model.parameters())
    chat.adapters.use(None)
    assert not explains(chat, reply, request)
    chat.adapters.use(name)
    assert explains(chat, reply, request)


def explains(chat: VisionChat, reply: Reply, request: Request) -> bool:
    try:
        explain(chat, reply, request)
    except InputError:
        return False
    return True


def test_linear_attention_shows_one_layer_at_a_time(
    tmp_path: Path, shapes: PIL.Image.Image
) -> None:
    chat = VisionChat.from_pretrained(build_tiny_model(tmp_path / "model", "qwen3_5", num_layers=8))
    request, reply = asked_of(chat, shapes)
    for method in ("attention", "gradient"):
        with pytest.raises(UnsupportedFeatureError, match=r"6 of 8 layers .* linear attention"):
            explain(chat, reply, request, method=method)
        with pytest.raises(UnsupportedFeatureError, match="linear attention"):
            explain(chat, reply, request, method=method, layers=[3, 7])
        with pytest.raises(InputError, match="some of 3, 7"):
            explain(chat, reply, request, method=method, layers=[1])
        assert explain(chat, reply, request, method=method, layers=[7]).layers == (7,)
    assert explain(chat, reply, request, method="occlusion", num_patches=4).layers == ()


def test_requests_in_flight_are_answered_as_ever(chat: VisionChat, asked: Pair) -> None:
    request, reply = asked
    with chat.stream(request) as stream:
        first = next(iter(stream))
        explain(chat, reply, request, method="gradient")
        rest = "".join(delta.text for delta in stream)
    assert first.text + rest == reply.text


def test_explanations_and_requests_take_turns(chat: VisionChat, asked: Pair) -> None:
    request, reply = asked
    wanted = explain(chat, reply, request, method="gradient").peak_px
    found, texts = list[Any](), list[str]()
    threads = [
        threading.Thread(
            target=lambda: found.append(explain(chat, reply, request, method="gradient").peak_px)
        )
        for _ in range(2)
    ] + [threading.Thread(target=lambda: texts.append(chat.ask(request).text)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [(each.x_px, each.y_px) for each in found] == [
        pytest.approx((wanted.x_px, wanted.y_px), abs=0.1)
    ] * 2
    assert texts == [reply.text] * 2


def test_a_model_that_decodes_with_fixed_shapes_is_explained(
    tiny_folder: Path, shapes: PIL.Image.Image
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, cuda_graphs=True)
    request, reply = asked_of(chat, shapes)
    explain(chat, reply, request, method="gradient")
    assert chat.ask(request).text == reply.text


def test_eager_attention_is_explained_alike(tiny_folder: Path, shapes: PIL.Image.Image) -> None:
    peaks = []
    for attention in ("sdpa", "eager"):
        chat = VisionChat.from_pretrained(tiny_folder, attention=attention)
        request, reply = asked_of(chat, shapes)
        peaks.append(explain(chat, reply, request).maps[0].relevance)
        config = chat._backend.model.config.get_text_config()  # type: ignore[attr-defined]
        assert config._attn_implementation != "qwenvl_kit_watched"
    assert abs(peaks[0] - peaks[1]).max() < 1e-5


def test_a_closed_chat_explains_nothing(tiny_folder: Path, shapes: PIL.Image.Image) -> None:
    with VisionChat.from_pretrained(tiny_folder) as chat:
        request, reply = asked_of(chat, shapes)
    with pytest.raises(ModelLoadError, match="closed"):
        explain(chat, reply, request)


def test_a_pass_that_fails_leaves_the_model_as_it_was(
    tiny_folder: Path, shapes: PIL.Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder)
    request, reply = asked_of(chat, shapes)
    model = chat._backend.model  # type: ignore[attr-defined]
    before = model.config.get_text_config()._attn_implementation
    with monkeypatch.context() as broken:
        broken.setattr(model.model.language_model.layers[2], "forward", lambda *_, **__: 1 / 0)
        for method in ("attention", "gradient"):
            with pytest.raises(Exception, match="division"):
                explain(chat, reply, request, method=method)
    assert model.config.get_text_config()._attn_implementation == before
    assert not model.get_input_embeddings()._forward_hooks
    assert chat.ask(request).text == reply.text
    assert explain(chat, reply, request, method="gradient").maps


def test_a_reply_that_was_shrunk_is_explained_at_its_own_size(
    tiny_folder: Path, shapes: PIL.Image.Image
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder)
    request = Request.about(
        "What is it?",
        *[shapes.resize((1400, 1000))] * 4,
        sampling=Sampling(max_new_tokens=3),
        fit="shrink",
    )
    reply = chat.ask(request)
    assert reply.plan.degradations
    seen = explain(chat, reply, request)
    assert [each.plan.tokens for each in seen.maps] == [plan.tokens for plan in reply.plan.images]
