from __future__ import annotations

import threading

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import ContextLengthError, GenerationError, MediaNotFoundError, SamplingError
from qwenvl_kit.results import Reply

ANSWER = "one two three four five six"


class _Gate:
    """Lets some tokens pass, then waits for the reader to cancel."""

    def __init__(self, observer, num_tokens):
        self._observer = observer
        self._left = num_tokens

    def on_delta(self, delta):
        self._observer.on_delta(delta)

    def is_cancelled(self):
        self._left -= 1
        if self._left < 0:
            for _ in range(5000):
                if self._observer.is_cancelled():
                    return True
                threading.Event().wait(0.001)
        return self._observer.is_cancelled()


class PatientBackend(ScriptedBackend):
    """Stops after some tokens until it is cancelled, and keeps what it had by then."""

    def __init__(self, num_tokens):
        super().__init__([ANSWER])
        self._num_tokens = num_tokens
        self.completions = []
        self.is_done = threading.Event()

    def submit(self, request, observer=None):
        future = super().submit(request, _Gate(observer, self._num_tokens))
        future.add_done_callback(self._note)
        return future

    def _note(self, future):
        self.completions.append(future.result())
        self.is_done.set()


@given(st.text("ab \n", max_size=30), st.lists(st.text("ab ", min_size=1, max_size=3), max_size=3))
@settings(max_examples=50, deadline=None)
def test_the_pieces_join_to_the_replys_text(answer, stop):
    stream = VisionChat(ScriptedBackend([answer])).stream("x", sampling=Sampling(stop=stop))
    text = "".join(delta.text for delta in stream)
    assert text == stream.reply.text
    assert not any(string in text for string in stop)


def test_a_streamed_answer_is_the_answer_that_asking_gives():
    asked = VisionChat(ScriptedBackend([ANSWER])).ask("x")
    streamed = VisionChat(ScriptedBackend([ANSWER])).stream("x").reply
    assert (streamed.text, streamed.tokens, streamed.plan) == (asked.text, asked.tokens, asked.plan)


def test_each_piece_comes_with_its_token():
    deltas = list(VisionChat(ScriptedBackend([ANSWER])).stream("x"))
    assert [delta.token.text for delta in deltas] == [delta.text for delta in deltas]


@pytest.mark.parametrize("stop", ["END", "e END", "the END of", " END"])
def test_a_stop_string_that_is_split_over_tokens_is_never_shown(stop):
    stream = VisionChat(ScriptedBackend(["see the END of it"])).stream(
        "x", sampling=Sampling(stop=stop)
    )
    text = "".join(delta.text for delta in stream)
    assert text == stream.reply.text == "see the END of it".partition(stop)[0]


def test_text_that_was_held_back_in_vain_is_shown_at_the_end():
    stream = VisionChat(ScriptedBackend(["it is EN"])).stream("x", sampling=Sampling(stop=" END"))
    deltas = list(stream)
    assert "".join(delta.text for delta in deltas) == "it is EN"
    assert deltas[-1].token is None


def test_the_reply_may_be_asked_for_without_reading_the_pieces():
    stream = VisionChat(ScriptedBackend([ANSWER])).stream("x")
    assert stream.reply.text == ANSWER
    assert stream.reply is stream.reply
    assert list(stream) == []


@pytest.mark.parametrize("error", [GenerationError("no"), RuntimeError("boom"), MemoryError()])
def test_what_the_worker_raises_reaches_the_reader(error):
    stream = VisionChat(ScriptedBackend([error])).stream("x")
    with pytest.raises(type(error)) as caught:
        list(stream)
    assert str(caught.value) == str(error)
    with pytest.raises(type(error)):
        _ = stream.reply


def test_pieces_that_came_before_an_error_are_read_first():
    class Backend(ScriptedBackend):
        def _complete(self, request, observer):
            super()._complete(request, observer)
            raise GenerationError("then it failed")

    stream = VisionChat(Backend(["one two"])).stream("x")
    assert next(stream).text + next(stream).text == "one two"
    with pytest.raises(GenerationError, match="then it failed"):
        next(stream)


def test_mistakes_in_the_request_are_raised_at_once_and_not_in_the_worker():
    chat = VisionChat(ScriptedBackend([ANSWER], context_tokens=10))
    with pytest.raises(MediaNotFoundError):
        chat.stream("x", "/no/such.png")
    with pytest.raises(SamplingError):
        chat.stream("x", sampling=3)
    with pytest.raises(ContextLengthError):
        chat.stream("word " * 20)


def test_cancelling_keeps_what_there_is():
    stream = VisionChat(PatientBackend(2)).stream("x")
    shown = next(stream).text + next(stream).text
    stream.cancel()
    assert stream.reply.text == shown == "one two"
    assert stream.reply.finish_reason == "cancelled"
    assert stream.reply.usage.completion_tokens == 2


def test_cancelling_keeps_text_that_was_held_back_for_a_stop_string():
    stream = VisionChat(PatientBackend(2)).stream("x", sampling=Sampling(stop=" two three"))
    next(stream)
    stream.cancel()
    assert stream.reply.text == "one two"
    assert stream.reply.finish_reason == "cancelled"


def test_leaving_the_with_block_cancels():
    backend = PatientBackend(3)
    with VisionChat(backend).stream("x") as stream:
        assert next(stream).text == "one"
    assert backend.is_done.is_set()
    assert backend.completions[0].finish_reason == "cancelled"
    assert stream.reply.text == "one two three"


def test_leaving_the_with_block_by_an_error_cancels_and_lets_it_pass():
    backend = PatientBackend(1)
    with pytest.raises(KeyError, match="mine"), VisionChat(backend).stream("x"):
        raise KeyError("mine")
    assert backend.completions[0].finish_reason == "cancelled"


def test_a_reader_that_walks_away_cancels():
    backend = PatientBackend(1)
    stream = VisionChat(backend).stream("x")
    next(stream)
    del stream
    assert backend.is_done.wait(5)
    assert backend.completions[0].finish_reason == "cancelled"


def test_cancelling_after_the_end_changes_nothing():
    stream = VisionChat(ScriptedBackend([ANSWER])).stream("x")
    reply = stream.reply
    stream.cancel()
    assert stream.reply is reply
    assert reply.finish_reason == "stop"


def test_a_stream_with_a_picture_has_a_plan_in_its_reply():
    reply = VisionChat(ScriptedBackend([ANSWER])).stream("x", PIL.Image.new("RGB", (56, 56))).reply
    assert isinstance(reply, Reply)
    assert reply.plan.visual_tokens == 4
