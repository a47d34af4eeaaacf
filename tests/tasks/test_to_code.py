"""Code is found in an answer as models write it, and told where it is not whole."""

from __future__ import annotations

import os
import re
from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MessageError
from qwenvl_kit.tasks import Code, code_of, to_code
from qwenvl_kit.tasks.coding.fences import read_fences
from qwenvl_kit.tasks.coding.reading import read_code

RED = PIL.Image.new("RGB", (84, 56), "red")
PAGE = "<!DOCTYPE html>\n<html>\n<body>\n<p>Muffins\n<p>Oats<br>\n</body>\n</html>"
CHART = "import matplotlib.pyplot as plt\n\nplt.bar([1, 2], [3, 4])\nplt.show()"


def written(answer: str, form: str = "html", **options) -> Code:
    """The code of an answer."""
    return to_code(VisionChat(ScriptedBackend([answer])), RED, form, **options)


def fenced(code: str, tag: str = "html") -> str:
    return f"```{tag}\n{code}\n```"


def test_code_is_taken_out_of_its_fence():
    code = written(f"Here is the page:\n\n{fenced(PAGE)}\n\nIt uses plain HTML.")
    assert str(code) == code.text == PAGE
    assert (code.form, code.language, code.fits, code.warnings) == ("html", "html", True, ())
    assert code.confidence == pytest.approx(0.905, abs=1e-3)
    assert code.reply.text.startswith("Here is")


def test_the_confidence_is_that_of_the_tokens_of_the_code_alone():
    assert written("I am sorry.").confidence is None
    chat = VisionChat(ScriptedBackend([fenced(PAGE)], logprob=None))
    assert to_code(chat, RED).confidence is None


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5"])
@pytest.mark.parametrize(
    ("form", "answer", "code"),
    [
        ("html", fenced(PAGE), PAGE),
        ("svg", fenced('<svg xmlns="http://www.w3.org/2000/svg"/>', "svg"), None),
        ("matplotlib", fenced(CHART, "python"), CHART),
        ("mermaid", fenced("graph TD\n  A --> B", "mermaid"), "graph TD\n  A --> B"),
    ],
)
def test_every_family_writes_every_form(family, form, answer, code):
    chat = VisionChat(ScriptedBackend([answer], family=family))
    found = to_code(chat, RED, form)
    assert found.fits, found.warnings
    assert found.text == (code or found.text)


@pytest.mark.parametrize("form", ["html", "svg", "matplotlib", "mermaid"])
def test_it_is_asked_for_in_the_words_that_qwen_publishes_and_in_chinese(form):
    backend = ScriptedBackend(["", ""])
    chat = VisionChat(backend)
    to_code(chat, RED, form)
    to_code(chat, RED, form, language="zh")
    english, chinese = (request.messages[0].text for request in backend.requests)
    assert english.isascii()
    assert not chinese.isascii()
    assert backend.requests[0].sampling.max_new_tokens == 8192
    if form == "html":
        assert english == (
            "Analyze this screenshot and convert it to clean, functional and modern HTML code."
        )


def test_a_form_that_there_is_not_is_refused():
    for wrong in ("latex", None, 3):
        with pytest.raises(MessageError, match="form="):
            written("", wrong)
        with pytest.raises(MessageError, match="form="):
            code_of(written(fenced(PAGE)).reply, wrong)


def test_an_answer_that_was_cut_off_is_told_and_its_code_kept():
    answer = fenced("<!DOCTYPE html>\n<div>\n" + "<p> word </p>\n" * 50)
    code = written(answer, sampling=Sampling(max_new_tokens=20))
    assert code.text.startswith("<!DOCTYPE html>")
    assert not code.fits
    assert code.warnings[0] == "the answer was cut off: the limit of tokens was reached"
    assert any("fence is not closed" in said for said in code.warnings)


def test_thoughts_before_the_answer_are_no_code():
    draft = f"<think>\nFirst I try {fenced('<p>draft</p>')}.\n</think>\n\n{fenced(PAGE)}"
    assert written(draft).text == PAGE
    in_reply = f"I think of ```html.\n</think>\n{fenced(PAGE)}"
    assert written(in_reply).text == PAGE
    about = fenced("<!DOCTYPE html><p>the tag </think> closes</p>")
    assert "</think> closes" in written(about).text


def test_a_reply_of_a_stream_or_a_batch_is_read_in_the_same_way():
    chat = VisionChat(ScriptedBackend([fenced(PAGE)]))
    with chat.stream("Page, please.", RED) as stream:
        list(stream)
    assert code_of(stream.reply).text == PAGE


# Ways in which other programs lost code, from their issues: the fence is cut off
# (llmsresearch/paperbanana 34), fences lie within the code (simstudioai/sim 6289), other fences
# come first, `py` and capitals as tags (Qwen's own notebook takes `python` and `html` alone), no
# fence, no tag, tildes, a longer fence, a fence behind words, and a closing one behind code.
PUBLISHED = {
    "cut off": (f"Sure!\n```python\n{CHART}", CHART, "fence is not closed"),
    "cut off without a tag": (f"```\n{CHART}", CHART, "fence is not closed"),
    "a fence of its own mark within": (f"````python\n{CHART}\n# ```\n# x\n# ```\n````", None, ""),
    "another fence first": (
        f"{fenced('pip install matplotlib', 'bash')}\n{fenced(CHART, 'python')}",
        CHART,
        "",
    ),
    "a short tag": (fenced(CHART, "py"), CHART, ""),
    "a tag in capitals": (fenced(CHART, "Python"), CHART, ""),
    "no tag": (fenced(CHART, ""), CHART, ""),
    "no fence": (f"Here you are:\n{CHART}", CHART, "in no fence"),
    "tildes": (f"~~~python\n{CHART}\n~~~", CHART, ""),
    "behind words": (f"Sure: ```python\n{CHART}\n```", CHART, ""),
    "closed behind code": (f"```python\n{CHART}```", CHART, ""),
    "indented in a list": (f"1. The chart\n   ```python\n{CHART}\n   ```", CHART, ""),
    "ends of lines of Windows": (fenced(CHART, "python").replace("\n", "\r\n"), None, ""),
    "a remark in the tag": (f"```python title=chart.py\n{CHART}\n```", CHART, ""),
    "a wrong tag": (fenced(CHART, "javascript"), CHART, "the fence says javascript"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_code_that_other_programs_lost_is_found(name):
    answer, expected, said = PUBLISHED[name]
    code = written(answer, "matplotlib")
    assert "plt.bar([1, 2], [3, 4])" in code.text
    assert expected is None or code.text == expected
    assert code.fits == (said != "fence is not closed")
    assert any(said in warning for warning in code.warnings) or not said
    assert code.imports == ("matplotlib",)


def test_of_several_fences_the_last_whole_one_is_taken_and_told():
    both = written(f"{fenced('<p>first</p>')}\nBetter:\n{fenced(PAGE)}")
    assert both.text == PAGE
    assert "the answer has 2 such fences: number 2 was taken" in both.warnings
    broken_off = written(f"{fenced(PAGE)}\nAnd a second:\n```html\n<div><p>")
    assert broken_off.text == PAGE


def test_marks_behind_code_end_it_before_the_next_fence():
    code = written(f"```python\n{CHART}```\nor\n```html\n{PAGE}\n```\n", "matplotlib")
    assert code.text == CHART


def test_a_page_in_parts_is_told():
    parts = f"{fenced(PAGE)}\n{fenced('p { color: red }', 'css')}\n{fenced('let a = 1', 'js')}"
    code = written(parts)
    assert code.text == PAGE
    assert "the page has parts in fences of their own: css, js" in code.warnings


def test_an_answer_without_code_is_told():
    for answer in ("", "I cannot do that.", fenced("pip install x", "bash")):
        code = written(answer)
        assert code.text == ""
        assert not code.fits
        assert code.warnings
        with pytest.raises(MessageError, match="has no code"):
            code.save("never.html")


def test_a_drawing_is_taken_out_of_the_page_around_it():
    drawing = '<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'
    code = written(fenced(f"<html><body>\n{drawing}\n</body></html>"), "svg")
    assert (code.text, code.fits, code.language) == (drawing, True, "html")


def test_code_is_saved_whole_or_not_at_all(tmp_path: Path):
    code = written(fenced(PAGE))
    file = tmp_path / "pages" / "muffins.html"
    assert code.save(file) == file
    assert file.read_text("utf-8") == PAGE + "\n"
    assert code.save(os.fspath(file)) == file
    with pytest.raises(MessageError, match="cannot be written"):
        code.save(tmp_path)
    assert sorted(path.name for path in file.parent.iterdir()) == ["muffins.html"]


def test_code_shows_itself_as_text_of_which_nothing_runs():
    code = written(fenced("<script>alert(1)</script><img src=x onerror=alert(2)>"))
    shown = re.sub(r"<style>.*?</style>", "", code._repr_html_(), flags=re.S)
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert repr(code).startswith("Code('<script>alert(1)")
    assert "elements with scripts" in " ".join(code.warnings)


@pytest.mark.parametrize(
    "answer",
    [
        *("```" * 20_000, "`" * 100_000, "~" * 100_000, "``` " * 20_000, "```html\n" * 20_000),
        *(
            "x ```\n" * 20_000,
            "x ```\n" * 20_000 + "```py\n```",
            "```html<" * 10_000,
            "a`" * 50_000,
            "``` x`" * 20_000,
        ),
        " " * 100_000 + "```",
        "```" + "a" * 100_000 + "`",
    ],
)
def test_odd_fences_are_read_in_linear_time(answer):
    for fence in read_fences(answer):
        assert answer[fence.start : fence.stop] == fence.text


@pytest.mark.parametrize("form", ["html", "svg", "matplotlib", "mermaid"])
@pytest.mark.parametrize(
    "answer", [fenced("x" * 1_000_001), "\x00", "```\n\x00\n```", "```html\n```", "<" * 50_000]
)
def test_whatever_is_written_is_a_value(form, answer):
    found = read_code(answer, form)
    assert found.problems
