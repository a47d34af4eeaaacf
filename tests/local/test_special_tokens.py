"""Special tokens that a model answers with are kept, and shown where they are asked for."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend

PLACE = "<|object_ref_start|>cat<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>"
PLAIN = "cat(1,2),(3,4)"


@pytest.fixture
def scripted(tiny_folder: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A chat whose model answers with a text, token by token, and then ends."""
    backend: LocalBackend = load_backend(tiny_folder)
    tokenizer = backend.processor.tokenizer

    def answering(text: str) -> VisionChat:
        ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]

        def allowed(sequence: Any, num_ids: int) -> Any:
            return numpy.arange(num_ids) == ids[len(sequence.token_ids)]

        where = "qwenvl_kit.backends.local.engine.sequence.Sequence"
        monkeypatch.setattr(f"{where}.allowed", allowed)
        monkeypatch.setattr(f"{where}.takes_raw_logits", False)
        return VisionChat(backend)

    return answering


def test_raw_text_and_tokens_keep_special_tokens_and_the_text_leaves_them_out(
    scripted: Any,
) -> None:
    reply = scripted(PLACE).ask("where?")
    assert reply.text == PLAIN
    assert reply.raw_text == PLACE
    assert "".join(token.text for token in reply.tokens) == PLACE
    assert "".join(token.text for token in reply.tokens if not token.is_hidden) == PLAIN
    assert reply.end_token is not None
    assert reply.end_token.text == ""


def test_special_tokens_are_shown_where_they_are_asked_for(scripted: Any) -> None:
    chat, sampling = scripted(PLACE), Sampling(keep_special_tokens=True)
    reply = chat.ask("where?", sampling=sampling)
    assert (reply.text, reply.raw_text) == (PLACE, None)
    assert not any(token.is_hidden for token in reply.tokens)
    with chat.stream("where?", sampling=sampling) as stream:
        assert "".join(delta.text for delta in stream) == PLACE
    with chat.stream("where?") as stream:
        assert "".join(delta.text for delta in stream) == PLAIN


def test_a_place_in_the_text_is_found_among_tokens_that_are_hidden(scripted: Any) -> None:
    reply = scripted(PLACE).ask("where?")
    start = PLAIN.index("(1,2)")
    found = reply.tokens_between(start, start + 5)
    assert "".join(token.text for token in found) == "(1,2)"


def test_thoughts_are_set_apart_and_raw_text_has_both(scripted: Any) -> None:
    reply = scripted(f"<think>hm</think>\n\n{PLACE}").ask("where?")
    assert (reply.thinking, reply.text) == ("hm", PLAIN)
    assert reply.raw_text == f"<think>hm</think>\n\n{PLACE}"
    found = reply.tokens_between(0, 3)
    assert "".join(token.text for token in found) == "cat"


@pytest.mark.parametrize("keep", [False, True])
def test_a_special_token_may_be_a_stop_string(scripted: Any, keep: bool) -> None:
    sampling = Sampling(stop=("<|box_start|>",), keep_special_tokens=keep)
    reply = scripted(PLACE).ask("where?", sampling=sampling)
    assert reply.finish_reason == "stop"
    assert reply.text == ("<|object_ref_start|>cat<|object_ref_end|>" if keep else "cat")
    assert (reply.raw_text or reply.text) == "<|object_ref_start|>cat<|object_ref_end|>"


def test_a_stop_string_binds_the_answer_of_a_model_that_thinks(scripted: Any) -> None:
    reply = scripted("<think>a. b.</think>\n\nyes. no.").ask("?", sampling=Sampling(stop=(".",)))
    assert (reply.thinking, reply.text, reply.warnings) == ("a. b.", "yes", ())


def test_an_answer_without_special_tokens_has_no_raw_text(scripted: Any) -> None:
    assert scripted("a cat").ask("?").raw_text is None


def test_that_special_tokens_are_kept_is_said_with_true_or_false() -> None:
    from qwenvl_kit.errors import SamplingError

    with pytest.raises(SamplingError, match="keep_special_tokens"):
        Sampling(keep_special_tokens="yes")  # type: ignore[arg-type]
