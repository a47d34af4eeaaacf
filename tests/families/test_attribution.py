"""What an explanation shows of attention is what transformers gives with `output_attentions`."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from qwenvl_kit import Request, VisionChat
from qwenvl_kit.backends.base import AttributionRequest, BackendRequest
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.errors import UnsupportedFeatureError
from tests.by_hand import CONVERSATIONS, backend_request, batch_of

ANSWER = (45, 70, 33, 101)
EXPLAINED = (1, 3)
SHOWN = (
    "one image",
    "image and text interleaved",
    "an image after a video",
    "several turns with a system message",
)


@pytest.fixture(scope="module", params=SHOWN)
def asked(request: pytest.FixtureRequest, chat: VisionChat) -> BackendRequest:
    chat.clear_cache()
    return backend_request(chat, Request(CONVERSATIONS[request.param]))


class ByHand:
    """The pass of transformers with eager attention, whose weights it keeps."""

    def __init__(self, chat: VisionChat, asked: BackendRequest, *, wants_gradient: bool) -> None:
        model = chat._backend.model  # type: ignore[attr-defined]
        inputs = batch_of(chat, [asked])
        self.num_prompt = inputs["input_ids"].shape[1]
        answer = torch.tensor([ANSWER])
        inputs["input_ids"] = torch.cat([inputs["input_ids"], answer], 1)
        inputs["mm_token_type_ids"] = torch.cat(
            [inputs["mm_token_type_ids"], torch.zeros_like(answer)], 1
        )
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        self.rows = [self.num_prompt - 1 + at for at in EXPLAINED]
        before = model.config.get_text_config()._attn_implementation
        model.set_attn_implementation({"text_config": "eager"})
        hook = model.get_input_embeddings().register_forward_hook(
            lambda _m, _i, out: out.requires_grad_() if wants_gradient else out
        )
        try:
            with torch.set_grad_enabled(wants_gradient):
                output = model(**inputs, use_cache=False, output_attentions=True)
        finally:
            hook.remove()
            model.set_attn_implementation({"text_config": before})
        self.logits = output.logits[0].float()
        self.weights = [each for each in output.attentions if each is not None]
        kinds = inputs["mm_token_type_ids"][0]
        self.visual = (kinds > 0).nonzero()[:, 0]

    @property
    def logprobs(self) -> list[float]:
        scores = self.logits.detach().log_softmax(-1)
        return [float(scores[row, ANSWER[at]]) for row, at in zip(self.rows, EXPLAINED)]

    def rollout(self) -> torch.Tensor:
        flow = torch.eye(self.weights[0].shape[-1])
        for weights in self.weights:
            flow = (weights[0].mean(0) + torch.eye(len(flow))) / 2 @ flow
        return flow[self.rows][:, self.visual].mean(0)

    def gradient_rollout(self) -> torch.Tensor:
        wanted = sum(self.logits[row, ANSWER[at]] for row, at in zip(self.rows, EXPLAINED))
        slopes = torch.autograd.grad(wanted, self.weights)
        flow = torch.eye(self.weights[0].shape[-1])
        for weights, slope in zip(self.weights, slopes):
            flow = flow + (weights * slope)[0].clamp(min=0).mean(0) @ flow
        return flow[self.rows][:, self.visual].mean(0)


def run(chat: VisionChat, asked: BackendRequest, kind: Any, **which: Any) -> Any:
    request = AttributionRequest(asked, ANSWER, EXPLAINED, kind, **which)
    return chat._backend.attribute(request)


def joined(found: Any) -> torch.Tensor:
    return torch.cat([torch.from_numpy(each) for each in found.relevance])


def layers_with_weights(backend: LocalBackend) -> list[int]:
    config = backend.model.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    return [at for at, kind in enumerate(kinds) if kind != "linear_attention"]


def is_linear(backend: LocalBackend) -> bool:
    config = backend.model.config.get_text_config()
    return bool(len(layers_with_weights(backend)) < config.num_hidden_layers)


def test_the_attention_of_a_layer_is_that_of_transformers(
    chat: VisionChat, backend: LocalBackend, asked: BackendRequest
) -> None:
    by_hand = ByHand(chat, asked, wants_gradient=False)
    for layer, weights in zip(layers_with_weights(backend), by_hand.weights):
        for heads in (None, (1,)):
            found = run(chat, asked, "attention", layers=(layer,), heads=heads)
            kept = weights[0] if heads is None else weights[0, list(heads)]
            rows = kept.mean(0)[by_hand.rows][:, by_hand.visual].mean(0)
            torch.testing.assert_close(joined(found), rows / 2, rtol=0, atol=1e-5)
            assert found.logprobs == pytest.approx(by_hand.logprobs, abs=1e-4)


def test_rollout_is_that_of_whole_matrices(
    chat: VisionChat, backend: LocalBackend, asked: BackendRequest
) -> None:
    if is_linear(backend):
        with pytest.raises(UnsupportedFeatureError, match="linear attention"):
            run(chat, asked, "attention")
        return
    by_hand = ByHand(chat, asked, wants_gradient=False)
    found = run(chat, asked, "attention")
    torch.testing.assert_close(joined(found), by_hand.rollout(), rtol=0, atol=1e-5)


def test_gradient_x_attention_is_that_of_whole_matrices(
    chat: VisionChat, backend: LocalBackend, asked: BackendRequest
) -> None:
    by_hand = ByHand(chat, asked, wants_gradient=True)
    if is_linear(backend):
        with pytest.raises(UnsupportedFeatureError, match="linear attention"):
            run(chat, asked, "gradient")
        last = layers_with_weights(backend)[-1]
        by_hand.weights = by_hand.weights[-1:]
        found = run(chat, asked, "gradient", layers=(last,))
    else:
        found = run(chat, asked, "gradient")
    wanted = by_hand.gradient_rollout().detach()
    torch.testing.assert_close(joined(found), wanted, rtol=1e-4, atol=1e-5)
    assert found.logprobs == pytest.approx(by_hand.logprobs, abs=1e-4)


def test_scores_are_those_of_the_model(chat: VisionChat, asked: BackendRequest) -> None:
    by_hand = ByHand(chat, asked, wants_gradient=False)
    assert run(chat, asked, "scores").logprobs == pytest.approx(by_hand.logprobs, abs=1e-4)


def test_a_pass_changes_nothing_that_others_use(chat: VisionChat, backend: LocalBackend) -> None:
    request = Request(CONVERSATIONS["one image"])
    reply = chat.ask(request)
    model, before = backend.model, chat.cache_info()
    implementation = model.config.get_text_config()._attn_implementation
    asked = backend_request(chat, request)
    kept = list(backend._engine.store._kept)
    layer = layers_with_weights(backend)[-1]
    for kind in ("attention", "gradient", "scores"):
        run(chat, asked, kind, layers=(layer,))
    assert chat.cache_info() == before
    assert list(backend._engine.store._kept) == kept
    assert model.config.get_text_config()._attn_implementation == implementation
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any("forward" in vars(layer) for layer in model.model.language_model.layers)
    assert not model.get_input_embeddings()._forward_hooks
    assert chat.ask(request).text == reply.text


def test_long_prompts_are_computed_in_parts_of_the_same_sum(
    chat: VisionChat, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.clear_cache()
    asked = backend_request(chat, Request(CONVERSATIONS["two images"]))
    layer = layers_with_weights(backend)[-1]
    layers = (layer,) if is_linear(backend) else None
    whole = [joined(run(chat, asked, kind, layers=layers)) for kind in ("attention", "gradient")]
    monkeypatch.setattr(
        "qwenvl_kit.backends.local.attribution.watched_attention._MAX_WEIGHTS", 3000
    )
    parts = [joined(run(chat, asked, kind, layers=layers)) for kind in ("attention", "gradient")]
    for one, other in zip(whole, parts):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
