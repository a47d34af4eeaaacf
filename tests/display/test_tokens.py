from __future__ import annotations

import re
from dataclasses import replace

import pytest

from qwenvl_kit import TokenAlternative
from qwenvl_kit.display.replies import pieces_of
from qwenvl_kit.display.tokens import BOUNDS, MOST_DETAILS, Piece, text_block
from tests.display.samples import reply_of, said, token


def spans(html: str) -> list[tuple[str, str]]:
    """The level and text of each coloured element."""
    return re.findall(r"<i class=q(\d)[^>]*>([^<]*)</i>", html)


def test_a_token_is_coloured_by_its_probability() -> None:
    shares = (0.99, 0.9, 0.7, 0.3, 0.1)
    html = text_block([Piece(f"{share:.0%}", share) for share in shares])
    assert spans(html) == [("1", "90%"), ("2", "70%"), ("3", "30%"), ("4", "10%")]
    assert html.index("99%") < html.index("<i")


def test_an_uncertain_token_tells_its_alternatives_most_probable_first() -> None:
    html = reply_of(token(" red", 0.4, (" blue", 0.5), ("\n", 0.001)))._repr_html_()
    detail = "␣blue 50%  ·  ␣red 40%  ·  \\n &lt; 1%"
    assert f'data-a="{detail}"' in html.replace("\u00a0", " ")


def test_the_text_is_whole_whatever_the_tokens() -> None:
    tokens = [token(text, 0.5) for text in ("a", "", "bc", "\n", "日", "本 ")]
    assert "".join(piece.text for piece in pieces_of(reply_of(*tokens))) == "abc\n日本 "


def test_only_tokens_of_the_answer_are_coloured_when_thoughts_come_first() -> None:
    thought, answer = token("<think>hm</think>", 0.9), token("Yes", 0.4)
    reply = replace(reply_of(thought, answer), text="Yes", raw_text="<think>hm</think>Yes")
    assert [(piece.text, piece.level) for piece in pieces_of(reply)] == [("Yes", 3)]


def test_an_answer_that_a_stop_string_cut_shows_no_more_than_its_text() -> None:
    reply = replace(reply_of(token("one ", 0.5), token("two###", 0.5)), text="one two")
    assert "".join(piece.text for piece in pieces_of(reply)) == "one two"


def test_an_answer_whose_tokens_do_not_make_up_its_text_has_no_colours() -> None:
    reply = replace(reply_of(token("a call", 0.1), token(" b", 0.1)), text="x", raw_text="a call b")
    assert pieces_of(reply) == [Piece("x")]
    assert pieces_of(said("no scores")) == [Piece("no scores")]


@pytest.mark.parametrize("share", [0.99, 0.3])
def test_an_answer_of_10_000_tokens_is_small(share: float) -> None:
    alternatives = [(f" other{at}", 0.01) for at in range(5)]
    tokens = [token(f" word{at}", share, *alternatives) for at in range(10_000)]
    html = reply_of(*tokens)._repr_html_()
    assert len(html.encode()) < 400_000
    assert html.count("data-a=") <= MOST_DETAILS
    assert "word9999" in html


def test_an_answer_whose_colour_changes_with_each_token_is_below_a_megabyte() -> None:
    shares = (0.9, 0.6, 0.3, 0.1)
    tokens = [
        token("\u202e" * 6, shares[at % 4], ("<" * 30, 0.001), ("&" * 30, 0.001))
        for at in range(20_000)
    ]
    html = reply_of(*tokens)._repr_html_()
    assert len(html.encode()) < 1_000_000
    assert re.search(r"\.\.\. [\d,]+ characters more", html)


def test_one_endless_token_is_cut_and_its_length_told() -> None:
    html = text_block([Piece("x" * 10_000_000)])
    assert len(html) < 1_000_000
    assert re.search(r"\.\.\. 9,[\d,]+ characters more", html)


def test_the_least_certain_tokens_are_those_that_tell_their_alternatives() -> None:
    shares = [0.1 if at % 7 == 0 else 0.7 for at in range(3 * MOST_DETAILS)]
    html = text_block(
        [Piece(str(at), share, [TokenAlternative("o", 1, -2.3)]) for at, share in enumerate(shares)]
    )
    assert html.count("q4 data-a=") == shares.count(0.1)


def test_a_probability_that_is_no_number_has_no_colour() -> None:
    assert Piece("x", float("nan")).level == 0
    assert Piece("x", 1.0000001).level == 0
    assert Piece("x", 0.0).level == len(BOUNDS)
