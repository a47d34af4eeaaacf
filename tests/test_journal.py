from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import ImagePlan, Plan, Reply, Size, Timing, TokenScore, Usage, VideoPlan
from qwenvl_kit.errors import JournalError
from qwenvl_kit.geometry import Region
from qwenvl_kit.journal import Journal, fingerprint, from_record, read_records, to_record
from qwenvl_kit.results import TokenAlternative

SETTINGS = {"model": "scripted", "seed": 7, "question": "What?"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def _open(path, **changes):
    return Journal.open(path, kind="test", settings={**SETTINGS, **changes})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


def _filled(path, *keys):
    with _open(path) as journal:
        for key in keys:
            journal.add(key, {"of": key})
    return path


def test_what_was_added_is_there_when_it_is_opened_again(path):
    _filled(path, "a", "b")
    with _open(path) as journal:
        assert [journal.get(key) for key in "ab"] == [{"of": "a"}, {"of": "b"}]
        assert journal.get("c") is None
        assert "a" in journal
        assert len(journal) == 2


def test_records_can_be_read_back_while_others_are_added(path):
    with _open(path) as journal:
        for number in range(5):
            journal.add(str(number), {"n": number})
            assert [journal.get(str(n)) for n in range(number + 1)] == [
                {"n": n} for n in range(number + 1)
            ]


@given(st.dictionaries(st.text(), st.dictionaries(st.text(), JSON, max_size=3), max_size=5))
@settings(max_examples=50, deadline=None)
def test_any_json_survives(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("journal") / "run.jsonl"
    with _open(path) as journal:
        for key, record in records.items():
            journal.add(key, record)
    with _open(path) as journal:
        assert {key: journal.get(key) for key in records} == records


def test_every_line_is_a_json_object_that_others_can_read(path):
    with _open(path) as journal:
        journal.add("a", {"text": "two\nlines\u2028 and half a pair \ud800"})
    header, entry = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    assert header["settings"] == SETTINGS
    assert header["fingerprint"] == fingerprint(SETTINGS)
    assert entry["record"] == {"text": "two\nlines\u2028 and half a pair \ud800"}


def test_the_last_record_of_a_key_counts(path):
    with _open(path) as journal:
        journal.add("a", {"n": 1})
        journal.add("a", {"n": 2})
    with _open(path) as journal:
        assert journal.get("a") == {"n": 2}
        assert len(journal) == 1


def test_numbers_of_numpy_are_kept_as_numbers(path):
    with _open(path, seed=np.int64(7)) as journal:
        journal.add("a", {"n": np.float32(0.5)})
    with _open(path, seed=7) as journal:
        assert journal.get("a") == {"n": 0.5}


def test_a_file_cut_anywhere_opens_with_all_records_that_were_whole(path):
    """As if the process had been killed after any byte that it wrote."""
    content = _filled(path, "a", "b").read_bytes()
    ends = [index + 1 for index, byte in enumerate(content) if byte == ord("\n")]
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        with _open(path) as journal:
            assert len(journal) == max(0, sum(end <= length for end in ends) - 1)
            journal.add("c", {"of": "c"})
        with _open(path) as journal:
            assert journal.get("c") == {"of": "c"}


@pytest.mark.parametrize("tail", [b"\0" * 100, b"{\xff\xfe\n", b'{"key": 3}\n', b"\n", b"[]\n"])
def test_a_last_line_that_is_no_record_is_dropped(path, tail):
    content = _filled(path, "a").read_bytes()
    path.write_bytes(content + tail)
    with _open(path) as journal:
        assert len(journal) == 1
    assert path.read_bytes() == content


def test_a_damaged_line_in_the_middle_is_an_error_with_its_number(path):
    lines = _filled(path, "a", "b", "c").read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1], b'{"key": \n', lines[3]]))
    before = path.read_bytes()
    with pytest.raises(JournalError, match="line 3"):
        _open(path)
    assert path.read_bytes() == before


def test_a_journal_of_other_settings_is_refused_with_their_names_and_left_alone(path):
    before = _filled(path, "a").read_bytes()
    with pytest.raises(JournalError, match="seed was 7 and is 8") as caught:
        _open(path, seed=8)
    assert "question" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_journal_of_another_kind_is_refused(path):
    _filled(path, "a")
    with pytest.raises(JournalError, match='it is for "test", and this is other'):
        Journal.open(path, kind="other", settings=SETTINGS)


def test_a_setting_that_is_new_or_gone_is_named(path):
    _filled(path, "a")
    with pytest.raises(JournalError, match="extra was null and is 1"):
        _open(path, extra=1)


def test_a_journal_of_a_later_version_is_refused(path):
    content = _filled(path).read_bytes()
    path.write_bytes(content.replace(b'journal": 1', b'journal": 2'))
    with pytest.raises(JournalError, match="version 2"):
        _open(path)


@pytest.mark.parametrize(
    "content", [b"my notes", b"my notes\n", b"{}\n", b"\x00\x00\x00\x18ftypisom", b"[1]\n", b"\n"]
)
def test_a_file_that_is_no_journal_is_never_changed(path, content):
    path.write_bytes(content)
    with pytest.raises(JournalError, match="not a journal"):
        _open(path)
    assert path.read_bytes() == content


def test_a_second_writer_is_noticed(path):
    with _open(path) as first, _open(path) as second:
        first.add("a", {})
        with pytest.raises(JournalError, match="changed while it was open"):
            second.add("b", {})
        first.add("c", {})
    with _open(path) as journal:
        assert len(journal) == 2


@pytest.mark.parametrize("place", ["missing/run.jsonl", "."])
def test_a_place_that_cannot_be_written_is_a_journal_error(tmp_path, place):
    with pytest.raises(JournalError) as caught:
        _open(tmp_path / place)
    assert caught.value.__cause__ is not None


def test_a_journal_without_a_file_remembers_nothing():
    with Journal() as journal:
        journal.add("a", {})
        assert journal.get("a") is None
        assert len(journal) == 0


def test_the_fingerprint_does_not_depend_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": (2,), "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


REPLY = Reply(
    text="a circle",
    finish_reason="length",
    tokens=(
        TokenScore("a", 1, -0.5, (TokenAlternative("a", 1, -0.5), TokenAlternative("b", 2, -2.0))),
        TokenScore(" circle", 2, -0.25),
    ),
    end_token=None,
    usage=Usage(10, 4, 2, reused_tokens=3),
    timing=Timing(0.0, 0.1, 0.2, 0.3, 0.6),
    plan=Plan(
        prompt_tokens=10,
        visual_tokens=4,
        images=(
            ImagePlan(
                "messages[0].parts[0]", Size(60, 50), Size(56, 56), 4, crop=Region(0, 0, 50, 50)
            ),
        ),
        videos=(
            VideoPlan("messages[0].parts[1]", Size(8, 8), Size(28, 28), (0, 2), (0.0, 1.5), 1, 9.0),
        ),
        max_new_tokens=5,
        context_tokens=100,
        kv_cache_bytes=None,
        activation_bytes=12,
        weight_bytes=None,
        available_bytes=3,
        advice=("less",),
        degradations=("shorter",),
    ),
    request_id="7",
)


@pytest.mark.parametrize(
    "reply",
    [
        REPLY,
        replace(REPLY, tokens=None, request_id=None),
        replace(REPLY, end_token=TokenScore("", 3, -math.pi), thinking="hm"),
    ],
)
def test_a_reply_comes_back_whole_by_way_of_json(reply):
    restored = from_record(Reply, json.loads(json.dumps(to_record(reply))))
    assert restored == reply
    assert restored.confidence == reply.confidence
    assert restored.plan.available_bytes == reply.plan.available_bytes
    assert hash(restored.plan.videos[0]) == hash(reply.plan.videos[0])


def test_a_record_with_fields_of_a_later_release_is_read_without_them():
    assert from_record(Size, {"height_px": 1, "width_px": 2, "depth_px": 3}) == Size(1, 2)


@pytest.mark.parametrize("record", [{}, {"height_px": 1}, {"text": "a"}])
def test_a_record_of_something_else_is_refused(record):
    with pytest.raises(JournalError, match="not a"):
        from_record(Size, record)


def test_records_are_read_without_the_settings_of_their_run(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with Journal.open(path, kind="ask_many", settings={"model": "any"}) as journal:
        journal.add_all({"a": {"n": 1}, "b": {"n": 2}})
        journal.add("a", {"n": 3})
    with path.open("ab") as file:
        file.write(b'{"key": "c", "rec')
    before = path.read_bytes()
    assert dict(read_records(path, kind="ask_many")) == {"a": {"n": 3}, "b": {"n": 2}}
    assert path.read_bytes() == before
    with pytest.raises(JournalError, match="no journal of summarize_video"):
        list(read_records(path, kind="summarize_video"))
