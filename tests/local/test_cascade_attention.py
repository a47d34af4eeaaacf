"""What rows begin with is held once, and read once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from qwenvl_kit import ImagePart, Message, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.backends.local.cache import cascade_attention
from qwenvl_kit.backends.local.engine import model_runner, request_queue
from tests.by_hand import ids_of, picture

LAYER = SimpleNamespace(layer_idx=0, num_key_value_groups=1, is_causal=True)
PICTURE = picture(512, 448, 5)
QUESTIONS = (
    "what is it",
    "and the colour",
    "how many shapes are there in it",
    "why",
    "where is it",
)


@pytest.fixture(autouse=True)
def shared_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that a tiny model takes are small."""
    monkeypatch.setattr(model_runner, "_MIN_SAVED", 200)


@settings(deadline=None)
@given(data=st.data())
def test_attention_over_two_parts_is_attention_over_the_whole(data: st.DataObject) -> None:
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    batch, key_heads, groups, num_tokens = (data.draw(st.integers(1, 4)) for _ in range(4))
    num_shared, num_own, size = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 9)), 8
    query = torch.randn(batch, key_heads * groups, num_tokens, size)
    shared = torch.randn(2, 1, key_heads, num_shared, size)
    own = torch.randn(2, batch, key_heads, num_own, size)
    mask = torch.rand(batch, 1, num_tokens, num_shared + num_own) < 0.6
    mask[..., :num_shared] = True
    causal = torch.ones(num_tokens, num_own, dtype=torch.bool).tril(num_own - num_tokens)
    causal = torch.cat([torch.ones(num_tokens, num_shared, dtype=torch.bool), causal], dim=1)
    given_mask = data.draw(st.sampled_from((mask, None))) if num_own >= num_tokens else mask
    with pytest.MonkeyPatch.context() as patch:
        if data.draw(st.booleans(), "other devices"):
            patch.setattr(cascade_attention, "has_flash_kernel", lambda query: False)
        patch.setattr(cascade_attention, "_MAX_SCORES", data.draw(st.sampled_from((1, 200, 2**25))))
        found, _ = cascade_attention._attend(
            LAYER, query, own[0], own[1], given_mask, shared_prefix={0: (shared[0], shared[1])}
        )
    keys, values = (
        torch.cat([shared[at].expand(batch, -1, -1, -1), own[at]], dim=2).repeat_interleave(
            groups, dim=1
        )
        for at in (0, 1)
    )
    seen = causal if given_mask is None else given_mask
    expected = scaled_dot_product_attention(query, keys, values, attn_mask=seen)
    torch.testing.assert_close(found, expected.transpose(1, 2))


@pytest.fixture(params=[True, False], ids=["by kernel", "by products"])
def on_devices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention in two parts as on a processor, and as on other devices."""
    if not request.param:
        monkeypatch.setattr(cascade_attention, "has_flash_kernel", lambda query: False)


@pytest.mark.usefixtures("on_devices")
@pytest.mark.parametrize("num_known", [1, 7, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tokens_after_a_known_prefix_attend_as_in_a_pass_over_all(
    num_known: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(num_known)
    query = torch.randn(2, 4, num_known + 9, 8, dtype=dtype)
    key, value = torch.randn(2, 2, 2, num_known + 9, 8, dtype=dtype)
    layer = SimpleNamespace(layer_idx=0, num_key_value_groups=2, is_causal=True)
    whole, _ = cascade_attention._attend(layer, query, key, value, None)
    rest, _ = cascade_attention._attend(layer, query[:, :, num_known:], key, value, None)
    one_digit = 2**-8 * float(value.abs().max()) if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(rest, whole[:, num_known:], atol=one_digit, rtol=0)


@pytest.mark.usefixtures("on_devices")
def test_no_mask_is_made_where_all_positions_are_real(backend: LocalBackend) -> None:
    made = list[Any]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cascade_attention, "_causal_mask", lambda *given: made.append(given))
        chat = VisionChat(LocalBackend(backend._loaded, max_cache_bytes=2**28))
        chat.ask(
            [Message.system("a " * 200), Message.user("b")], sampling=Sampling(max_new_tokens=2)
        )
        reply = chat.ask(
            [Message.system("a " * 200), Message.user("c " * 300)],
            sampling=Sampling(max_new_tokens=2),
        )
    assert reply.usage.reused_tokens > 100
    assert made == []


@settings(deadline=None)
@given(data=st.data())
def test_without_anything_shared_it_is_transformers_own_attention(data: st.DataObject) -> None:
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    batch, key_heads, groups, num_tokens = (data.draw(st.integers(1, 4)) for _ in range(4))
    layer = SimpleNamespace(layer_idx=0, num_key_value_groups=groups, is_causal=True)
    length = num_tokens + data.draw(st.integers(0, 9))
    query = torch.randn(batch, key_heads * groups, num_tokens, 8)
    key, value = torch.randn(2, batch, key_heads, length, 8)
    mask = torch.rand(batch, 1, num_tokens, length) < 0.7
    mask[..., 0] = True
    given_mask = data.draw(st.sampled_from((mask, None))) if length == num_tokens else mask
    found, _ = cascade_attention._attend(layer, query, key, value, given_mask, scaling=0.3)
    expected, _ = AttentionInterface()["sdpa"](layer, query, key, value, given_mask, scaling=0.3)
    torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("on_devices")
def test_half_precision_loses_no_more_than_with_scores_in_half_precision() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(3, 4, n, 16, dtype=torch.bfloat16) for n in (1, 5, 5))
    shared = torch.randn(2, 1, 4, 300, 16, dtype=torch.bfloat16)
    keys, values = (
        torch.cat([shared[at].expand(3, -1, -1, -1), own], dim=2)
        for at, own in enumerate((key, value))
    )
    exact = scaled_dot_product_attention(query.double(), keys.double(), values.double())
    weights = torch.softmax((query @ keys.transpose(2, 3)) / 4, dim=-1, dtype=torch.float32)
    usual = weights.bfloat16() @ values
    found, _ = cascade_attention._attend(
        LAYER, query, key, value, None, shared_prefix={0: (shared[0], shared[1])}
    )
    lost, usually_lost = (found.transpose(1, 2) - exact).abs(), (usual - exact).abs()
    assert found.dtype == torch.bfloat16
    assert lost.max() <= 2 * usually_lost.max()


@contextmanager
def seen_lengths(backend: LocalBackend) -> Iterator[list[int]]:
    """How many positions the rows of each pass are told that they share; 0 for none."""
    lengths: list[int] = []

    def note(_: Any, __: Any, settings: dict[str, Any]) -> None:
        shared = settings.get("shared_prefix")
        lengths.append(shared.length if shared else 0)

    handle = backend.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield lengths
    finally:
        handle.remove()


def _alone(backend: LocalBackend, question: str, max_new_tokens: int) -> list[int]:
    chat = VisionChat(LocalBackend(backend._loaded, max_cache_bytes=0))
    return ids_of(chat.ask(question, PICTURE, sampling=Sampling(max_new_tokens=max_new_tokens)))


def _asked(chat: VisionChat, max_new_tokens: int = 8) -> list[list[int]]:
    return [
        ids_of(reply)
        for reply in chat.ask_many(
            [Message.user(ImagePart(PICTURE), question) for question in QUESTIONS],
            sampling=Sampling(max_new_tokens=max_new_tokens),
            on_error="raise",
        )
    ]


def test_questions_about_a_picture_hold_it_once_and_are_answered_as_if_alone(
    tiny_folder: Any,
) -> None:
    backend = load_backend(tiny_folder)
    with seen_lengths(backend) as lengths:
        answers = _asked(VisionChat(backend))
    steps = lengths[-7:]
    assert min(steps) > 200  # the visual tokens, and what stands before them
    assert answers == [_alone(backend, question, 8) for question in QUESTIONS]


def test_what_is_held_once_keeps_nobody_waiting(
    tiny_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_queue, "_MAX_TOKENS", 500)  # room for one prompt in full
    backend = load_backend(tiny_folder)
    with seen_lengths(backend) as lengths:
        answers = _asked(VisionChat(backend))
    assert len(lengths) < 2 * 8  # passes; one after another they would take eight each
    assert answers == [_alone(backend, question, 8) for question in QUESTIONS]


def test_who_asks_about_the_same_picture_later_shares_it_too(tiny_folder: Any) -> None:
    backend = load_backend(tiny_folder)
    chat = VisionChat(backend)
    first, *others = QUESTIONS
    with chat.stream(first, PICTURE, sampling=Sampling(max_new_tokens=64)) as stream:
        next(stream)
        with seen_lengths(backend) as lengths:
            sampling = Sampling(max_new_tokens=8)
            answers = [ids_of(chat.ask(other, PICTURE, sampling=sampling)) for other in others]
        text = stream.reply
    assert max(lengths) > 200
    assert answers == [_alone(backend, question, 8) for question in others]
    assert ids_of(text) == _alone(backend, first, 64)


def test_what_is_set_on_the_model_by_hand_is_what_runs(tiny_folder: Any) -> None:
    backend = load_backend(tiny_folder)
    expected = _asked(VisionChat(backend))
    backend.model.set_attn_implementation("eager")
    with seen_lengths(backend) as lengths:
        assert _asked(VisionChat(LocalBackend(backend._loaded))) == expected
    backend.model.set_attn_implementation("sdpa")
    with seen_lengths(backend) as others:
        assert _asked(VisionChat(LocalBackend(backend._loaded))) == expected
    assert max(lengths) == 0
    assert max(others) > 200


def test_a_model_loaded_with_another_attention_keeps_it(tiny_folder: Any) -> None:
    backend = load_backend(tiny_folder, attention="eager")
    with seen_lengths(backend) as lengths:
        assert len(_asked(VisionChat(backend))) == len(QUESTIONS)
    assert max(lengths) == 0
