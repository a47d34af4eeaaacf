"""A text has the length that was asked for, and verse its form, or it is told that it has not."""

from __future__ import annotations

import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import GenerationError, MessageError
from qwenvl_kit.tasks import VERSE_FORMS, VerseForm, Writing, write_from_image
from qwenvl_kit.tasks.writing.lengths import count_characters, count_words
from qwenvl_kit.tasks.writing.syllables import count_syllables
from qwenvl_kit.tasks.writing.verse import find_verse

RED = PIL.Image.new("RGB", (84, 56), "red")
SEVEN = VERSE_FORMS["七言律诗"]
FIVE = VERSE_FORMS["五言绝句"]
EIGHT_LINES = (
    "红日东升照海天，白云西去绕山川。\n渔舟点点归港晚，炊烟袅袅入村前。\n"
    "清风拂面花香远，明月临窗竹影妍。\n莫道人间无胜景，此中真意自陶然。"
)
FOUR_LINES = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。"  # Li Bai, 726


def story(number: int, word: str = "word") -> str:
    return " ".join([word] * number) + "."


def asked(answers, **options) -> tuple[Writing, list[str]]:
    """The writing, and the last message of each request."""
    backend = ScriptedBackend(answers)
    writing = write_from_image(VisionChat(backend), RED, **options)
    return writing, [request.messages[-1].text for request in backend.requests]


@pytest.mark.parametrize(
    ("text", "words", "characters"),
    [
        ("Two words.", 2, 8),
        ("don't well-known 3.5 e.g.", 4, 17),
        ("a - b — c ... d", 4, 4),
        ("**Bold** # Head", 2, 8),
        ("他说：“你好，世界！”", 6, 6),
        ("用Python写3个程序", 7, 12),
        ("ひらがな カタカナ", 8, 8),
        ("한국어 문장", 2, 5),
        ("café naïve", 2, 9),
        ("𠀀〇々", 3, 2),
        ("", 0, 0),
        ("\n\t ...!?", 0, 0),
        ("http://a.b/c?d=e", 1, 9),
    ],
)
def test_words_and_characters_are_counted_by_the_rule_that_is_stated(text, words, characters):
    assert count_words(text) == words
    assert count_characters(text) in (characters, characters + text.count("々"))


def test_a_text_of_the_right_length_is_asked_for_once():
    writing, sent = asked([story(200)], words=200)
    assert sent == ["Write a short story about this image, of 200 words."]
    assert (writing.fits, writing.length, writing.attempts) == (True, 200, 1)
    assert writing.warnings == ()
    assert writing.text == story(200)
    for number, fits in ((180, True), (220, True), (179, False), (221, False)):
        assert asked([story(number)] * 4, words=200)[0].fits == fits


def test_a_text_that_is_too_short_is_continued():
    writing, sent = asked([story(120), story(80, "more")], words=200)
    assert writing.text == f"{story(120)}\n\n{story(80, 'more')}"
    assert (writing.fits, writing.length, writing.attempts) == (True, 200, 2)
    assert sent[1] == (
        "The text has 120 words, and 200 words were asked for. Continue it from where it ends, "
        "with about 80 words more. Write only the continuation."
    )
    assert [reply.text for reply in writing.replies] == [story(120), story(80, "more")]


def test_a_text_that_is_cut_within_a_sentence_goes_on_in_it():
    writing, _ = asked(["one two", "three four."], words=4)
    assert writing.text == "one two three four."
    chinese, _ = asked(["一二三，", "四五六。"], characters=6, language="zh")
    assert chinese.text == "一二三，四五六。"


def test_a_model_that_repeats_the_text_before_it_goes_on_is_understood():
    whole = f"{story(120)} {story(80)}"
    assert asked([story(120), whole], words=200)[0].text == whole


def test_a_text_that_is_too_long_is_shortened():
    writing, sent = asked([story(300), story(205)], words=200)
    assert (writing.text, writing.fits, writing.attempts) == (story(205), True, 2)
    assert "Shorten it to 200 words" in sent[1]


def test_a_continuation_that_goes_too_far_is_shortened():
    writing, sent = asked([story(100), story(400, "more"), story(199)], words=200)
    assert (writing.length, writing.fits, writing.attempts) == (199, True, 3)
    assert "500 words" in sent[2]


def test_rounds_are_bounded_and_the_nearest_text_is_given_and_told():
    writing, sent = asked([story(400), story(150), "x.", "x."], words=200, max_attempts=4)
    assert len(sent) == writing.attempts == 4
    assert writing.fits is False
    assert writing.length == 152
    assert writing.warnings == ("the text has 152 words, and 200 were asked for",)
    once, _ = asked([story(400)], words=200, max_attempts=1)
    assert (once.fits, once.attempts) == (False, 1)


def test_a_failure_after_the_first_answer_costs_no_text():
    writing, _ = asked([story(100), GenerationError("the server is gone")], words=200)
    assert writing.text == story(100)
    assert writing.fits is False
    assert "attempt 2 failed: the server is gone" in writing.warnings
    with pytest.raises(GenerationError):
        asked([GenerationError("the server is gone")], words=200)


def test_an_empty_answer_is_asked_for_again():
    writing, sent = asked(["", story(10)], words=10)
    assert writing.fits
    assert sent[0] == sent[1]


def test_chinese_is_counted_in_characters():
    writing, sent = asked(["一" * 100 + "。", "二" * 98 + "。"], characters=200, language="zh")
    assert sent[0] == "根据这张图片写一个小故事，200字。"
    assert sent[1] == "这篇文字有100字，要求200字。请从结尾处续写约100字。只写续写的部分。"
    assert (writing.fits, writing.length) == (True, 198)


def test_a_long_text_has_room_for_its_tokens():
    backend = ScriptedBackend([story(2000)], context_tokens=100_000)
    write_from_image(VisionChat(backend), RED, words=2000)
    assert backend.requests[0].sampling.max_new_tokens == 6000
    assert backend.requests[0].sampling.temperature == 0.9


@pytest.mark.parametrize(
    "wrong",
    [
        *({"words": 0}, {"words": 1.5}, {"words": True}, {"words": "200"}, {"words": 10**6}),
        *({"characters": -1}, {"words": 10, "characters": 10}, {"words": 10, "form": "haiku"}),
        *({"num_words": 10, "words": 10}, {"form": "ode"}, {"form": 3}, {"form": ""}),
        *({"words": 10, "max_attempts": 0}, {"words": 10, "max_attempts": True}),
        {"words": 10, "language": "fr"},
    ],
)
def test_what_cannot_be_asked_for_is_refused(wrong):
    with pytest.raises(MessageError):
        asked([], **wrong)


def test_without_a_length_or_form_nothing_is_counted():
    writing, sent = asked(["Once."], num_words=20)
    assert sent == ["Write a short story about this image, in about 20 words."]
    assert (writing.fits, writing.length, writing.attempts, writing.lines) == (None, None, 1, ())
    assert "fits" not in repr(writing)


def test_verse_is_asked_for_by_its_rule_and_again_with_what_it_lacks():
    writing, sent = asked([FOUR_LINES, EIGHT_LINES], form="七言律诗", language="zh")
    assert sent[0] == (
        "根据这张图片写一首七言律诗：共8句、每句7个字（不计标点）。"
        "只写诗句，每句一行，不要标题和注释。"
    )
    assert sent[1].startswith("这还不是一首七言律诗：共有4句，应为8句；第1句有5个字，应为7个字")
    assert writing.fits
    assert writing.attempts == 2
    assert writing.text == EIGHT_LINES
    assert writing.lines[0] == "红日东升照海天"
    assert len(writing.lines) == 8


def test_traditional_names_are_the_same_forms():
    assert asked([EIGHT_LINES], form="七言律詩", language="zh")[0].fits
    assert asked([FOUR_LINES], form="五言絕句", language="zh")[0].fits


FIT = {
    "alone": (EIGHT_LINES, SEVEN),
    "in one line": (EIGHT_LINES.replace("\n", ""), SEVEN),
    "each in a line": (EIGHT_LINES.replace("，", "，\n"), SEVEN),
    "with a title in marks": (f"《晚霞》\n\n{EIGHT_LINES}", SEVEN),
    "with a title in bold": (f"**七律·海边**\n{EIGHT_LINES}", SEVEN),
    "with a heading": (f"# 海边\n\n{EIGHT_LINES}", SEVEN),
    "with a title of seven characters": (f"晚霞映照海边城\n{EIGHT_LINES}", SEVEN),
    "with words before": (f"当然，以下是一首七言律诗：\n\n{EIGHT_LINES}", SEVEN),
    "with notes": (f"{EIGHT_LINES}\n\n注：此诗写海边景色，意境优美。", SEVEN),
    "with remarks": (f"{EIGHT_LINES}\n\n赏析：\n这首诗写得很好，很美。", SEVEN),
    "in two stanzas": (EIGHT_LINES.replace("前。\n", "前。\n\n"), SEVEN),
    "without marks": (FOUR_LINES.replace("，", " ").replace("。", ""), FIVE),
    "in a fence": (f"```\n{FOUR_LINES}\n```", FIVE),
    "with bold lines": ("\n".join(f"**{line}** " for line in FOUR_LINES.split("\n")), FIVE),
    "a haiku": (  # a haiku of Basho in English
        "An old silent pond\nA frog jumps into the pond\nSplash! Silence again",
        VERSE_FORMS["haiku"],
    ),
    "a sonnet in stanzas": (
        "**Red**\n\n" + "\n\n".join(["a line,\n" * 4] * 3 + ["an end,\n" * 2]),
        VERSE_FORMS["sonnet"],
    ),
    "a sonnet with a remark": (
        "Red\n\n" + "a line,\n" * 14 + "\nThis sonnet is about red.",
        VERSE_FORMS["sonnet"],
    ),
    "a limerick with lines apart": ("Red\n\n" + "a line,\n\n" * 5, VERSE_FORMS["limerick"]),
    "a limerick": ("There once was a red\n" * 5, VERSE_FORMS["limerick"]),
    "initials": (
        "春眠不觉晓，\n夏木阴正可，\n秋风吹不尽，\n冬雪满山河。",
        FIVE.with_initials("春夏秋冬"),
    ),
    "initials in English": (
        'Red is the sun,\n"Every day," it says,\ndown it goes.',
        VerseForm("an acrostic", 3, initials="RED"),
    ),
}


@pytest.mark.parametrize("name", FIT)
def test_verse_is_found_among_titles_and_remarks(name):
    text, form = FIT[name]
    found = find_verse(text, form)
    assert found.problems == ()
    assert len(found.lines) == form.num_lines


UNFIT = {
    "a line too many": (f"{EIGHT_LINES}\n一二三四五六七。", SEVEN, "it has 9 lines, not 8"),
    "a line too few": (EIGHT_LINES[:-8], SEVEN, "it has 7 lines, not 8"),
    "a character too few": (EIGHT_LINES.replace("渔舟", "渔"), SEVEN, "line 3 has 6 characters"),
    "another form": (FOUR_LINES, SEVEN, "it has 4 lines, not 8"),
    "two poems": (f"{FOUR_LINES}\n\n{FOUR_LINES}", FIVE, "it has 8 lines, not 4"),
    "a haiku": ("One two three\nfour\nfive six", VERSE_FORMS["haiku"], "syllables, not 7"),
    "prose": ("Once upon a time.", VERSE_FORMS["sonnet"], "it has 1 lines, not 14"),
    "a wrong initial": (FOUR_LINES, FIVE.with_initials("春夏秋冬"), "begins with '床'"),
    "six lines apart": ("a line,\n\n" * 7, VERSE_FORMS["limerick"], "it has 7 lines, not 5"),
    "nothing": ("", SEVEN, "it has 0 lines, not 8"),
    "English": ("Red is the sun.", SEVEN, "it has 0 lines, not 8"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_verse_that_lacks_something_is_told(name):
    text, form, said = UNFIT[name]
    assert said in "; ".join(find_verse(text, form).problems)


@given(
    lines=st.lists(
        st.text(alphabet=[chr(c) for c in range(0x4E00, 0x4E40)], min_size=7, max_size=7),
        min_size=8,
        max_size=8,
    ),
    title=st.sampled_from(["", "《红》\n\n", "# 红\n", "好的，以下是诗：\n"]),
    ends=st.sampled_from(["，\n", "。", "。\n", "，", "\n"]),
)
def test_verse_that_is_written_is_read_again(lines, title, ends):
    found = find_verse(title + "".join(f"{line}{ends}" for line in lines), SEVEN)
    assert found.lines == tuple(lines)
    assert found.problems == ()


@pytest.mark.parametrize(
    "text",
    [
        *("\n\n".join(["一二三"] * 20_000), "一" * 100_000, "，" * 100_000, "\n" * 100_000),
        *("** " * 50_000, "a\n\n" * 30_000, "《" * 50_000, "#" * 100_000, "a " * 50_000),
    ],
)
@pytest.mark.parametrize("form", [SEVEN, VERSE_FORMS["sonnet"], VERSE_FORMS["haiku"]])
def test_odd_verse_is_read_in_linear_time(text, form):
    assert find_verse(text, form).problems


@pytest.mark.parametrize(
    ("line", "syllables"),
    [
        *(("the table", 3), ("jumped", 1), ("wanted", 2), ("beautiful", 3), ("nation", 2)),
        *(("quiet", 2), ("moved", 1), ("boxes", 2), ("don't", 1), ("happily", 3), ("", 0)),
        *(("idea", 3), ("create", 2), ("absolutely", 4), ("likely", 2), ("layers", 2)),
    ],
)
def test_syllables_are_counted_by_a_rule(line, syllables):
    assert abs(count_syllables(line) - syllables) <= (line in ("create", "idea", "quiet"))


def test_a_form_is_checked_when_it_is_made():
    for wrong in (
        *({"num_lines": 0}, {"num_lines": True}, {"num_lines": 4, "num_characters": 0}),
        *({"num_lines": 4, "syllables": (5, 7)}, {"num_lines": 4, "initials": "abc"}),
        {"num_lines": 4, "name": " "},
    ):
        with pytest.raises(MessageError):
            VerseForm(**{"name": "a form", **wrong})
    assert VERSE_FORMS["七言律诗"] == VerseForm("一首七言律诗", 8, 7)


def test_a_writing_shows_its_text_and_what_became_of_it():
    writing, _ = asked([story(5, "<b>x</b>")], words=50, max_attempts=1)
    shown = writing._repr_html_()
    assert "<b>x</b>" not in shown
    assert "does not fit" in shown
    assert "the text has 5 words" in shown
    assert "fits=False, length=5, attempts=1" in repr(writing)
    joined, _ = asked([story(25), story(25)], words=50)
    assert "2 attempts" in joined._repr_html_()
