from __future__ import annotations

import copy
import json
import math
import pickle
import sys
from dataclasses import replace
from typing import Any

import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.display.text import clock, rounded, short_repr, shortened, visible
from qwenvl_kit.errors import MissingPackageError
from qwenvl_kit.results import Results
from tests.display.samples import FAILURE, HOSTILE, PLAN, RED, RESULTS, SURE, said
from tests.display.test_forms import FORMS


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"image_plan", "results"}))
def test_a_repr_is_one_short_line(form: str) -> None:
    text = repr(FORMS[form]())
    assert len(text) < 400
    assert "\n" not in text
    assert "TokenScore" not in text
    assert "0x" not in text


def test_a_reply_says_answer_confidence_tokens_and_seconds() -> None:
    assert repr(SURE) == "Reply('A red circle.', confidence=0.835, tokens=3, seconds=0.5)"
    cut = replace(said("x" * 1000), finish_reason="length", request_id="a")
    assert repr(cut) == (
        f"Reply('{'x' * 57}...', tokens=0, seconds=0.5, finish_reason='length', request_id='a')"
    )


def test_a_failure_says_its_error_in_one_line() -> None:
    assert repr(FAILURE) == (
        "Failure(1, MediaNotFoundError: messages[0].parts[0]: no file at cat.jpg, request_id='cat')"
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_a_repr_holds_nothing_that_steers_a_terminal(text: str) -> None:
    assert repr(said(text)).isprintable()
    assert repr(replace(FAILURE, error=type(FAILURE.error)(text))).isprintable()


def test_equality_and_fields_of_a_reply_are_those_of_its_values() -> None:
    assert replace(SURE) == SURE
    assert replace(SURE, text="B") != SURE
    assert pickle.loads(pickle.dumps(SURE)) == SURE
    assert copy.deepcopy(SURE) == SURE


def test_a_list_of_results_is_a_list() -> None:
    plain = list(RESULTS)
    assert plain == RESULTS
    assert list.__eq__(RESULTS, plain) is True
    assert isinstance(RESULTS, list)
    again = pickle.loads(pickle.dumps(RESULTS))
    assert isinstance(again, Results)
    assert [str(each) for each in again] == [str(each) for each in RESULTS]
    assert type(RESULTS[:2]) is list
    assert (RESULTS + [SURE])[-1] is SURE  # noqa: RUF005  # the sum is the promise
    assert json.dumps(Results()) == "[]"
    assert copy.copy(RESULTS) == RESULTS


def test_a_list_of_results_is_shown_in_a_few_lines() -> None:
    text = repr(Results([SURE] * 1000))
    assert text.count("\n") == 6
    assert text.endswith("... 994 more]")
    assert repr(Results()) == "[]"


def test_results_become_records_with_the_same_names() -> None:
    records = RESULTS.to_dicts()
    assert [record["text"] for record in records] == ["A red circle.", None, "Two."]
    assert records[1]["error_type"] == "MediaNotFoundError"
    assert records[1]["request_id"] == "cat"
    assert records[0]["confidence"] == SURE.confidence
    assert records[2]["confidence"] is None
    assert records[0]["completion_tokens"] == 3
    assert records[0]["total_seconds"] == 0.5
    assert len({tuple(record) for record in records}) == 1
    assert json.loads(json.dumps(records)) == records


def test_results_become_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    frame = RESULTS.to_pandas()
    assert list(frame.text.fillna("")) == ["A red circle.", "", "Two."]
    assert frame.error.notna().tolist() == [False, True, False]
    assert frame.confidence.dtype == float
    assert len(Results().to_pandas()) == 0
    assert isinstance(Results([SURE, SURE]).to_pandas(), pandas.DataFrame)


def test_a_reply_becomes_a_data_frame_of_its_tokens() -> None:
    pytest.importorskip("pandas")
    frame = SURE.to_pandas()
    assert list(frame.text) == ["A", " red", " circle."]
    assert frame.probability.tolist() == pytest.approx([0.99, 0.6, 0.98])
    assert frame.alternatives[1][1]["text"] == " blue"
    assert list(said("x").to_pandas().columns) == list(frame.columns)


@pytest.mark.parametrize("call", [SURE.to_pandas, RESULTS.to_pandas])
def test_without_pandas_the_error_says_what_to_install(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="pip install pandas"):
        call()


@pytest.mark.parametrize("is_real", [False, True])
def test_a_chat_says_what_is_loaded_also_when_it_is_closed(is_real: bool) -> None:
    scripted = VisionChat(ScriptedBackend([""], family="qwen3_vl"))
    chat = VisionChat.from_pretrained() if is_real else scripted
    assert repr(chat).startswith("VisionChat(")
    chat.close()
    assert "closed" in repr(chat)
    assert "(closed)" in chat._repr_html_()


def test_a_plan_is_short_and_prints_its_table() -> None:
    assert repr(PLAN) == (
        "Plan(prompt_tokens=90, visual_tokens=64, images=1, videos=1, max_new_tokens=32, fits=True)"
    )
    assert "messages[0].parts[1]" in str(PLAN)


def test_a_stream_says_how_far_it_is() -> None:
    chat = VisionChat(ScriptedBackend(["one two three"]))
    stream = chat.stream("?", RED)
    assert repr(stream) == "ReplyStream(running, '' so far)"
    first = next(stream).text
    assert repr(stream) == f"ReplyStream(running, {first.strip()!r} so far)" or first in repr(
        stream
    )
    assert stream.reply.text == "one two three"
    assert repr(stream).startswith("ReplyStream(ended, Reply('one two three'")


@pytest.mark.parametrize(
    ("number", "text"), [(1.04, "1"), (1.06, "1.1"), (-0.04, "0"), (100.0, "100"), (30.26, "30.3")]
)
def test_numbers_are_rounded_without_zeros(number: float, text: str) -> None:
    assert rounded(number) == text


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "0:00.00"),
        (59.999, "1:00.00"),
        (65.5, "1:05.50"),
        (3723.25, "1:02:03.25"),
        (-1, "-0:01.00"),
    ],
)
def test_times_are_read_as_on_a_clock(at: float, text: str) -> None:
    assert clock(at) == text


def test_a_text_is_cut_in_one_line() -> None:
    assert shortened("a\n b", 10) == "a b"
    assert len(shortened("word " * 10**6, 60)) <= 60
    assert shortened("", 5) == ""
    assert visible("a\tb\n\x07") == "a\tb\n\\x07"


def test_a_short_repr_leaves_out_what_is_not_known() -> None:
    assert (
        short_repr("X", "a", None, b=None, c=math.pi, d=1234.56) == "X('a', None, c=3.14, d=1234.6)"
    )
