"""Long documents: pages are found without a second model, and the answer cites its place."""

from __future__ import annotations

import json

import PIL.Image
import PIL.ImageDraw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.documents import Block, Document, Page
from qwenvl_kit.errors import GenerationError, InputError, MessageError, MissingPackageError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.tasks import (
    CitedAnswer,
    DocumentIndex,
    answer_from_document,
    caption_pages,
    parse_document,
)
from qwenvl_kit.tasks.answer_from_document.words import words_of
from tests.media.test_pages import pdf_of

SIZE = Size(height_px=600, width_px=400)
TEXTS = [
    "Annual report of Example Ltd",
    "Sales grew by 4 % to 1,234.50 euros in the third quarter.",
    "The contract was signed by Ada Byron on 3 May.",
    "第三季度的收入为1234万元，主要来自绿茶。",
    "",
    "Appendix: list of invoices and policies",
    "8.3.1 Payment. See GB/T 2828-1.",
]


def _picture(number=0):
    return PIL.Image.new("RGB", (400, 600), (255, 255, 255 - number % 250))


def _document(texts=TEXTS, box=True):
    boxes = Box("", 40, 60, 200, 90) if box else None
    return Document(
        tuple(
            Page(at, SIZE, (Block("text", text, boxes, page=at),) if text else ())
            for at, text in enumerate(texts, 1)
        )
    )


PAGES = [_picture(at) for at in range(len(TEXTS))]


def _answer(text, page):
    """An answer of a model: JSON about several pages, the text alone about a single one."""
    return lambda request: (
        json.dumps({"answer": text, "page": page}, ensure_ascii=False)
        if request.constraint
        else text
    )


def _script(answers):
    """A script of texts, errors and answers that depend on their request."""
    left = iter(answers)

    def script(request):
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    return script


def _asked(script, question, *, index=None, pages=PAGES, family="qwen3_vl", **options):
    backend = ScriptedBackend(script if callable(script) else _script(script), family=family)
    found = answer_from_document(VisionChat(backend), pages, question, index=index, **options)
    return found, backend


# Ranking


@pytest.mark.parametrize(
    ("question", "page"),
    [
        ("Who signed the contract?", 3),
        ("WHO SIGNED THE CONTRACTS", 3),
        ("How much were the sales in the third quarter?", 2),
        ("Where does 1234.50 stand?", 2),
        ("第三季度的收入是多少？", 4),
        ("绿茶", 4),
        ("which policy", 6),
        ("Ada Byrón", 3),
        ("Ｅｘａｍｐｌｅ", 1),
        ("signed signature contract agreement asbestos groundwater survey", 3),
        ("What does clause 8.3.1 say?", 7),
        ("part 2828-1", 7),
    ],
)
def test_the_page_with_the_words_of_a_question_comes_first(question, page):
    assert DocumentIndex(_document()).rank(question)[0].number == page


@pytest.mark.parametrize("question", ["", "?!", "zebra", "的了吗", "the of and", "𓀀", "\n"])
def test_a_question_whose_words_stand_nowhere_finds_no_page(question):
    assert DocumentIndex(_document()).rank(question) == ()


@pytest.mark.parametrize("texts", [[], [""], ["", "", ""], ["-- ++"], ["word"], ["word"] * 3])
def test_documents_of_hardly_any_words_are_ranked(texts):
    found = DocumentIndex(_document(texts)).rank("word")
    assert [page.number for page in found] == [
        at for at, text in enumerate(texts, 1) if text == "word"
    ]
    assert all(page.score > 0 and page.words == ("word",) for page in found)


def test_a_word_on_half_of_the_pages_still_counts():
    """rank_bm25 gives such a word the weight 0 (its issue 39)."""
    found = DocumentIndex(_document(["keyword one", "keyword two", "three", "four"])).rank(
        "keyword"
    )
    assert [page.number for page in found] == [1, 2]


def test_a_page_with_a_rare_word_beats_one_with_a_common_word():
    texts = ["quick god", "quick fox", "quick dog", "rare quick"]
    assert DocumentIndex(_document(texts)).rank("quick rare")[0].number == 4


def test_a_page_number_is_no_word_of_its_page():
    page = Page(1, SIZE, (Block("page_number", "17"), Block("text", "text 18")))
    index = DocumentIndex(Document((page,)))
    assert index.rank("17") == ()
    assert index.rank("18")[0].number == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=6), st.text(max_size=40))
def test_any_document_and_any_question_are_ranked(texts, question):
    index = DocumentIndex(_document(texts))
    ranked = index.rank(question)
    assert [page.score for page in ranked] == sorted((p.score for p in ranked), reverse=True)
    assert all(page.score > 0 and page.words for page in ranked)


def test_an_index_of_500_pages_is_built_once_for_many_questions(monkeypatch):
    from qwenvl_kit.tasks.answer_from_document import index as module

    built = []
    ranking = module.Ranking
    monkeypatch.setattr(module, "Ranking", lambda texts: built.append(1) or ranking(texts))
    texts = [f"Chapter {at} on subject{at % 50} and item{at}" for at in range(1, 501)]
    index = DocumentIndex(_document(texts))
    for at in (1, 250, 500):
        assert index.rank(f"Where is item{at}?")[0].number == at
    assert built == [1]
    assert repr(index) == "DocumentIndex(500 pages)"
    assert "item500" in index._repr_html_()


def test_without_bm25s_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bm25s", None)
    with pytest.raises(MissingPackageError) as caught:
        DocumentIndex(_document()).rank("contract")
    assert caught.value.hint == "pip install 'qwenvl-kit[retrieval]'"
    with pytest.raises(MissingPackageError):  # before a caption is written
        _asked([], "contract", max_pages=2)


@pytest.mark.parametrize("wrong", ["report.pdf", None, [_document()]])
def test_an_index_of_something_else_is_refused(wrong):
    with pytest.raises(InputError, match="Document"):
        DocumentIndex(wrong)


def test_two_pages_with_one_number_are_refused():
    with pytest.raises(InputError, match="same number"):
        DocumentIndex(Document((Page(1, SIZE), Page(1, SIZE))))


# Words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Invoices, policies and losses", ["invoice", "policy", "losse"]),
        ("1,234.50 and 1,234,567 and 3,14", ["1234.50", "1234567", "3,14"]),
        ("agree-\nment", ["agreement"]),
        ("soft\u00adhyphen", ["softhyphen"]),
        ("绿茶", ["绿茶"]),
        ("茶", ["茶"]),
        ("第三季度", ["第三", "三季", "季度"]),
        ("GB/T 2828中文", ["gb", "t", "2828", "中文"]),
        ("カタカナ", ["カタ", "タカ", "カナ"]),
        ("한국어", ["한국", "국어"]),
        ("がぎ", ["がぎ"]),
        ("Müller café", ["muller", "cafe"]),
        ("the of", ["the", "of"]),
        ("snake_case id7", ["snake", "case", "id", "7"]),
        ("", []),
    ],
)
def test_a_text_is_cut_into_words_by_the_stated_rule(text, words):
    assert words_of(text) == words


@given(st.text(max_size=200))
def test_words_hold_no_space_and_no_capital(text):
    assert all(word and word == word.casefold() and not word.isspace() for word in words_of(text))


# Answers


def test_an_answer_cites_the_page_and_the_block_that_hold_it():
    index = DocumentIndex(_document())
    found, backend = _asked([_answer("Ada Byron", 3)], "Who signed the contract in May?",
                            index=index, max_pages=2)  # fmt: skip
    assert isinstance(found, CitedAnswer)
    assert (found.text, found.page) == ("Ada Byron", 3)
    assert found.box == Box("Ada Byron", 40, 60, 200, 90)
    assert found.block.text == TEXTS[2]
    assert 0 < found.confidence < 1
    assert found.looked_at[0].number == 3
    assert found.looked_at[0].words == ("signed", "contract", "may")
    assert found.looked_at[0].score > 0
    assert len(backend.requests) == 1  # nothing had to be located
    assert found.draw().size == (400, 600)


def test_pages_are_shown_in_their_order_and_no_more_than_asked_for():
    texts = ["word", "word word", "x", "word word word"]
    found, backend = _asked([_answer("x", None)], "word", index=_document(texts), max_pages=2,
                            pages=PAGES[:4])  # fmt: skip
    assert [page.number for page in found.looked_at] == [4, 2]
    text = backend.requests[0].messages[0].text
    assert text.index("Page 2:") < text.index("Page 4:")
    assert "Page 1:" not in text
    assert found.pages == (2, 4)
    assert found.num_pages == 4


@pytest.mark.parametrize("family", FAMILIES)
def test_without_blocks_the_place_is_located_on_the_page_in_every_family(family):
    grounds = FAMILIES[family].box_format == "json"
    place = (
        '[{"bbox_2d": [0, 0, 100, 100]}]' if grounds else "<|box_start|>(0,0),(100,100)<|box_end|>"
    )
    found, backend = _asked([_answer("Ada", 3), place], "Who signed?",
                            index=_document(box=False), family=family, max_pages=2)  # fmt: skip
    assert "Ada" in backend.requests[1].messages[0].text
    assert backend.requests[1].messages[0].parts[0].source is PAGES[2]
    assert found.box.label == "Ada"
    assert found.block is None
    assert found.locating is not None
    unit = 1000 if FAMILIES[family].coordinates == "thousandths" else None
    plan = backend.requests[1].plan.images[0]
    assert found.box.x2_px == pytest.approx(100 * 400 / (unit or plan.resized.width_px))


def test_a_long_answer_is_located_by_its_question():
    long = "It was signed by Ada Byron, who is the author, on the third day of May in that year."
    _, backend = _asked([_answer(long, 3), "[]"], "Who signed?", index=_document(box=False),
                        max_pages=2)  # fmt: skip
    assert 'the text that answers the question "Who signed?"' in (
        backend.requests[1].messages[0].text
    )


def test_an_answer_that_only_shares_a_word_with_a_block_is_located():
    found, backend = _asked([_answer("report says nothing about rent", 1), "nothing"],
                            "report", index=_document(), max_pages=2)  # fmt: skip
    assert len(backend.requests) == 2
    assert found.box is None


def test_of_several_blocks_with_the_answer_the_one_of_the_question_is_cited():
    blocks = (
        Block("text", "Total 5.00", Box("", 0, 0, 10, 10)),
        Block("table", "tax | 5.00", Box("", 0, 20, 10, 30)),
    )
    document = Document((Page(1, SIZE, blocks),))
    found, _ = _asked(["5.00"], "What is the tax?", index=document, pages=PAGES[:1])
    assert found.block.text == "tax | 5.00"
    assert found.box.y1_px == 20


def test_boxes_of_a_page_parsed_at_another_resolution_fit_the_page_as_it_is():
    pages = tuple(
        Page(page.number, Size(height_px=1200, width_px=800), page.blocks)
        for page in _document().pages
    )
    found, _ = _asked([_answer("Ada Byron", 3)], "Who signed the contract?",
                      index=Document(pages), max_pages=1 + 1)  # fmt: skip
    assert (found.box.x1_px, found.box.y2_px) == (20, 45)


def test_a_document_of_one_page_is_shown_without_a_search(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bm25s", None)
    found, backend = _asked(["5", "[]"], "What is the total?", pages=PAGES[0])
    assert (found.text, found.page) == ("5", 1)
    assert found.looked_at[0].score is None
    assert len(backend.requests) == 2


def test_without_an_index_captions_are_written_once_and_kept(tmp_path):
    journal = tmp_path / "captions.jsonl"
    seen = []

    def script(request):
        text = request.messages[0].text
        seen.append(text)
        if "found by" in text:
            return f"caption {len(seen)} " + ("contract" if len(seen) == 3 else "other")
        return "Ada" if "contract" in text else "[]"

    found, _ = _asked(script, "contract?", journal=journal, max_pages=2)
    assert found.looked_at[0].number == 3
    assert len(seen) == len(PAGES) + 1 + 1 or len(seen) == len(PAGES) + 2
    before = len(seen)
    _asked(script, "the contract", journal=journal, max_pages=2)
    assert sum("found by" in text for text in seen[before:]) == 0


def test_captions_are_a_document_in_which_a_failed_page_costs_itself_alone():
    script = ["A contract.", GenerationError("no"), ""]
    chat = VisionChat(ScriptedBackend(script))
    document = caption_pages(chat, PAGES[:3])
    first, second, third = document.pages
    assert (first.blocks[0].text, first.blocks[0].box) == ("A contract.", None)
    assert first.size == SIZE
    assert (second.blocks, type(second.error)) == ((), GenerationError)
    assert third.blocks == ()
    assert DocumentIndex(document).empty_pages == (2, 3)


def test_a_question_whose_words_stand_nowhere_is_searched_by_other_words():
    script = ["lease, contract, signed", _answer("Ada Byron", 3)]
    found, backend = _asked(script, "Tenancy begins?", index=_document(), max_pages=2)
    assert "Tenancy" in backend.requests[0].messages[0].text
    assert TEXTS[0] in backend.requests[0].messages[0].text
    assert not backend.requests[0].plan.images
    assert found.looked_at[0].number == 3
    assert "no word of the question stands on any page" in found.warnings
    assert "searched for the model's words instead: lease, contract, signed" in found.warnings


def test_where_other_words_stand_nowhere_too_the_first_pages_are_shown_and_told():
    for answer in ("zebra", GenerationError("no")):
        found, _ = _asked([answer, _answer("nothing", None)], "tenancy?", index=_document(),
                          max_pages=2)  # fmt: skip
        assert found.pages == (1, 2)
        assert (found.page, found.box) == (None, None)
        assert "the first 2 pages were shown instead" in found.warnings


def test_pages_without_words_or_beyond_the_index_are_told():
    index = DocumentIndex(_document(TEXTS[:5]))
    found, _ = _asked([_answer("Ada Byron", 3)], "contract", index=index, max_pages=2)
    assert "not in the index, and so not searched: 6, 7" in found.warnings
    assert "without words, and so not found: 5" in found.warnings


def test_the_index_of_another_document_is_refused():
    index = DocumentIndex(Document((Page(77, SIZE, (Block("text", "contract"),)),)))
    with pytest.raises(InputError, match="77") as caught:
        _asked([], "contract", index=index, max_pages=2)
    assert caught.value.where == "index"


def test_an_answer_that_is_no_json_is_kept_without_a_page():
    found, _ = _asked(["Ada Byron"], "contract sales", index=_document(), max_pages=2)
    assert (found.text, found.page, found.box) == ("Ada Byron", None, None)
    with pytest.raises(MessageError, match="no page"):
        found.draw()
    assert "Ada Byron" in found._repr_html_()


def test_a_failed_answer_raises_its_error():
    with pytest.raises(GenerationError, match="no"):
        _asked([GenerationError("no")], "contract", index=_document(), max_pages=2)


def test_a_failed_look_at_the_place_costs_the_place_alone():
    found, _ = _asked([_answer("Ada", 3), GenerationError("gone")], "contract",
                      index=_document(box=False), max_pages=2)  # fmt: skip
    assert (found.text, found.box) == ("Ada", None)
    assert any("gone" in warning for warning in found.warnings)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3", None])
def test_a_wrong_number_of_pages_is_refused(wrong):
    with pytest.raises(InputError, match="max_pages"):
        _asked([], "contract", index=_document(), max_pages=wrong)


@pytest.mark.parametrize("wrong", ["", "  ", None, 3, ["a"]])
def test_a_question_that_is_none_is_refused(wrong):
    with pytest.raises(MessageError):
        _asked([], wrong, index=_document())


def test_a_preset_and_a_chinese_question_are_asked_in_their_language():
    found, backend = _asked([_answer("绿茶", 4)], "第三季度的收入主要来自什么？",
                            index=_document(), language="zh", max_pages=2)  # fmt: skip
    assert "仅根据此文档" in backend.requests[0].messages[0].text
    assert found.page == 4
    assert found.box is not None
    _, backend = _asked(["x", "[]"], "title", pages=PAGES[0])
    assert "What is the title of this document?" in backend.requests[0].messages[0].text


def test_pages_that_share_only_a_word_of_all_pages_are_not_shown():
    texts = [f"subject {at}" for at in range(100, 140)]
    found, _ = _asked([_answer("x", None), "[]"], "subject 120?", index=_document(texts),
                      pages=[_picture()] * 40)  # fmt: skip
    assert [page.number for page in found.looked_at] == [21]


def test_pages_are_found_by_other_words_than_the_question_has():
    found, backend = _asked([_answer("Ada Byron", 3)], "Who?", index=_document(),
                            search="contract", max_pages=2)  # fmt: skip
    assert found.looked_at[0].words == ("contract",)
    assert "contract" not in backend.requests[0].messages[0].text
    with pytest.raises(MessageError, match="words to search for"):
        _asked([], "Who?", index=_document(), search=" ")


def test_a_pdf_is_searched_and_cited_by_its_page_numbers():
    colours = ["red", "lime", "blue", "red", "lime"]
    document = _document(["one", "two", "three", "four", "five"], box=False)
    backend = ScriptedBackend(_script([_answer("five", 5), "[]"]), family="qwen3_vl")
    found = answer_from_document(VisionChat(backend), pdf_of(*colours), "five or four?",
                                 index=document, max_pages=2)  # fmt: skip
    assert found.pages == (4, 5)
    assert found.page == 5
    assert found.draw().size[0] > 0


def test_what_a_model_writes_is_no_markup_in_a_notebook():
    found, _ = _asked([_answer("<script>x</script>", 3), "[]"], "contract", index=_document(),
                      max_pages=2)  # fmt: skip
    html = found._repr_html_()
    assert "<script>" not in html
    assert "2 of 7 pages" in html or "1 of 7 pages" in html


def test_an_answer_shows_itself_in_a_line():
    found, _ = _asked([_answer("Ada Byron", 3)], "Who signed the contract in May?",
                      index=_document(), max_pages=2)  # fmt: skip
    assert repr(found).startswith("CitedAnswer('Ada Byron', box='40, 60, 200, 90 px', page=3")


def test_a_parsed_document_that_was_saved_is_searched_and_its_blocks_are_cited():
    texts = ["Sales grew", "Signed by Ada Byron", "第三季度收入为12万元", "x", "y", "z"]
    pages = [_picture() for _ in texts]
    for page in pages:
        PIL.ImageDraw.Draw(page).rectangle((40, 60, 200, 90), fill="black")
    written = [
        f'<h2 data-bbox="10 10 900 90">Report</h2><p data-bbox="100 100 500 150">{text}</p>'
        for text in texts
    ]
    backend = ScriptedBackend(_script([*written, _answer("Ada Byron", 2)]), family="qwen3_vl")
    chat = VisionChat(backend)
    saved = parse_document(chat, pages, form="html").to_json()
    index = DocumentIndex(Document.from_json(saved))
    assert [page.number for page in index.rank("第三季度的收入")] == [3]
    found = answer_from_document(chat, pages, "Who signed it?", index=index)
    assert (found.page, found.block.text) == (2, "Signed by Ada Byron")
    assert (found.box.x1_px, found.box.y2_px) == (40, 90)
    assert backend.requests[-1].plan.images[0].original == SIZE
