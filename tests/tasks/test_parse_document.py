"""Documents parsed page by page."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import PIL.ImageDraw
import pytest

from qwenvl_kit import DocumentPart, ImagePart, MediaPolicy, Region, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.documents import Document
from qwenvl_kit.errors import (
    BudgetError,
    GenerationError,
    JournalError,
    MediaNotFoundError,
    MediaSizeError,
    MessageError,
    UnsupportedFeatureError,
)
from qwenvl_kit.tasks import parse_document, parse_pages

WIDTH, HEIGHT = 800, 1000
FAMILIES = ["qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"]


def page(mark: str = "black") -> PIL.Image.Image:
    """A page with a black bar, so that it is not blank."""
    image = PIL.Image.new("RGB", (WIDTH, HEIGHT), "white")
    PIL.ImageDraw.Draw(image).rectangle((100, 100, 700, 150), fill=mark)
    return image


def pdf_of(*marks: str) -> bytes:
    """A PDF with a page for each mark; a white one is blank."""
    first, *others = map(page, marks)
    buffer = io.BytesIO()
    first.save(buffer, "PDF", save_all=True, append_images=others)
    return buffer.getvalue()


def chat_of(
    answers: list[str | Exception] | Callable[[BackendRequest], str],
    family: str = "qwen3_vl",
    context_tokens: int = 8192,
    policy: MediaPolicy | None = None,
) -> VisionChat:
    backend = ScriptedBackend(answers, family=family, context_tokens=context_tokens)
    return VisionChat(backend) if policy is None else VisionChat(backend, media=policy)


def prompt_of(request: BackendRequest) -> str:
    return request.messages[-1].text


def par(text: str, box: str = "100 100 500 200") -> str:
    return f'<p data-bbox="{box}">{text}</p>'


@pytest.mark.parametrize("family", FAMILIES)
def test_boxes_are_in_pixels_of_the_original_for_each_family(family: str) -> None:
    def answer(request: BackendRequest) -> str:
        plan = request.plan.images[0]
        seen = plan.resized
        if family == "qwen2_5_vl":
            return par("a", f"0 0 {seen.width_px // 2} {seen.height_px // 4}")
        return par("a", "0 0 500 250")

    document = parse_document(chat_of(answer, family), page())
    (block,) = document.blocks
    assert block.box is not None
    sides = (block.box.x1_px, block.box.y1_px, block.box.x2_px, block.box.y2_px)
    assert sides == pytest.approx((0, 0, 400, 250), abs=1.5)
    assert block.confidence == pytest.approx(0.905, abs=0.001)


@pytest.mark.parametrize(
    ("family", "form", "prompt"),
    [
        ("qwen2_5_vl", "auto", "QwenVL HTML"),
        ("qwen3_vl", "auto", "qwenvl html"),
        ("qwen3_vl", "html", "qwenvl html"),
        ("qwen3_vl", "markdown", "qwenvl markdown"),
        ("qwen3_5", "markdown", "qwenvl markdown"),
    ],
)
def test_each_family_is_asked_as_it_was_trained(family: str, form: str, prompt: str) -> None:
    requests: list[BackendRequest] = []

    def answer(request: BackendRequest) -> str:
        requests.append(request)
        return "<p>a</p>"

    parse_document(chat_of(answer, family), page(), form)  # type: ignore[arg-type]
    assert prompt_of(requests[0]) == prompt
    systems = [message.text for message in requests[0].messages if message.role == "system"]
    assert any("QwenVL Document Parser" in text for text in systems) == (family == "qwen2_5_vl")


@pytest.mark.parametrize(
    ("family", "form"),
    [("qwen2_vl", "html"), ("qwen2_vl", "markdown"), ("qwen2_5_vl", "markdown")],
)
def test_a_family_that_was_not_trained_for_a_form_says_so(family: str, form: str) -> None:
    with pytest.raises(UnsupportedFeatureError, match="was not trained") as told:
        parse_document(chat_of([], family), page(), form)  # type: ignore[arg-type]
    assert 'form="blocks"' in told.value.hint


def test_a_model_that_was_fine_tuned_takes_a_prompt_of_its_own() -> None:
    document = parse_document(
        chat_of(["# A"], "qwen2_vl"), page(), "markdown", prompt="qwenvl markdown"
    )
    assert document.blocks[0].kind == "heading"


@pytest.mark.parametrize("family", ["qwen2_vl", *FAMILIES])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_blocks_are_asked_of_every_family(family: str, language: str) -> None:
    requests: list[BackendRequest] = []

    def answer(request: BackendRequest) -> str:
        requests.append(request)
        return '[{"bbox_2d": [0, 0, 100, 100], "category": "text", "text": "a"}]'

    document = parse_document(
        chat_of(answer, family),
        page(),
        "blocks",
        language=language,  # type: ignore[arg-type]
    )
    assert document.blocks[0].text == "a"
    assert ("bbox_2d" in prompt_of(requests[0])) == (family != "qwen2_vl")
    assert requests[0].constraint is not None


def test_auto_asks_for_blocks_where_html_was_not_trained() -> None:
    assert parse_document(
        chat_of(['[{"category": "text", "text": "a"}]'], "qwen2_vl"), page()
    ).blocks


def test_a_blank_page_is_told_and_not_asked_about() -> None:
    blank = PIL.Image.new("RGB", (WIDTH, HEIGHT), (250, 250, 248))
    document = parse_document(chat_of([par("a")]), [blank, page()])
    assert document.pages[0].warnings == ("the page is blank",)
    assert document.pages[0].size is not None
    assert [block.page for block in document.blocks] == [2]


def test_a_page_in_two_colours_of_the_same_grey_is_not_blank() -> None:
    image = PIL.Image.new("RGB", (WIDTH, HEIGHT), (255, 0, 0))
    PIL.ImageDraw.Draw(image).rectangle((100, 100, 700, 150), fill=(0, 130, 0))
    assert len(parse_document(chat_of([par("a")]), image).blocks) == 1


def test_an_answer_without_blocks_is_told() -> None:
    document = parse_document(chat_of(["<html><body></body></html>"]), page())
    assert document.warnings == ("page 1: nothing was read",)


def looping(request: BackendRequest) -> str:
    """The whole page loops; its halves, of which the lower begins at 450 px, do not."""
    crop = request.plan.images[0].crop
    if crop is None:
        return par("first") + par("again and again") * 4000
    if crop.y1_px == 0:
        return par("first", "0 0 999 100") + par("the middle one", "0 830 999 930")
    return par("the middle one", "0 10 999 100") + par("last", "0 900 999 999")


def test_a_page_whose_answer_is_cut_is_asked_again_in_two_halves() -> None:
    document = parse_document(chat_of(looping), page(), sampling=Sampling(max_new_tokens=1000))
    assert [block.text for block in document.blocks] == ["first", "the middle one", "last"]
    assert (
        "was cut at max_new_tokens; the page was read again in two halves" in document.warnings[0]
    )
    last = document.blocks[-1].box
    assert last is not None
    assert last.y1_px == pytest.approx(450 + 0.9 * 550)
    assert len(document.pages[0].replies) == 3


def in_halves(upper: str, lower: str) -> list[str]:
    """The texts of a page that is read in two halves."""

    def answer(request: BackendRequest) -> str:
        crop = request.plan.images[0].crop
        if crop is None:
            return par("again and again") * 4000
        return upper if crop.y1_px == 0 else lower

    document = parse_document(chat_of(answer), page(), sampling=Sampling(max_new_tokens=1000))
    return [block.text for block in document.blocks]


def test_words_that_a_form_repeats_in_the_lower_half_cost_no_text_between_them() -> None:
    upper = par("Buyer", "0 700 999 750") + par("Date: ____", "0 900 999 950")
    lower = (
        par("Date: ____", "0 80 999 130")
        + par("Seller", "0 400 999 450")
        + par("Date: ____", "0 600 999 650")
    )
    assert in_halves(upper, lower) == ["Buyer", "Date: ____", "Seller", "Date: ____"]


def test_a_paragraph_that_a_half_cuts_is_kept_once_and_whole() -> None:
    whole = "It begins above the border of the halves, and a long while later it ends below it."
    for upper, lower in ((whole[:40], whole), (whole, whole[50:])):
        placed = par(upper, "0 800 999 999"), par(lower, "0 0 999 300")
        assert in_halves(*placed) == [whole]


def test_a_page_that_is_cut_in_its_halves_too_keeps_what_there_is() -> None:
    chat = chat_of(lambda _: par("first") + par("again and again") * 4000)
    document = parse_document(chat, page(), sampling=Sampling(max_new_tokens=200))
    assert document.blocks[0].text == "first"
    assert "upper half: the answer was cut at max_new_tokens" in document.pages[0].warnings
    assert "lower half: the answer was cut at max_new_tokens" in document.pages[0].warnings


def test_a_half_that_fails_costs_nothing_that_was_read() -> None:
    def answer(request: BackendRequest) -> str:
        if request.plan.images[0].crop is not None:
            raise GenerationError("no luck")
        return par("first") + par("again and again") * 4000

    document = parse_document(chat_of(answer), page(), sampling=Sampling(max_new_tokens=200))
    assert document.blocks[0].text == "first"
    assert "reading it in halves failed" in document.warnings[0]


def test_a_page_with_blocks_from_bottom_to_top_is_told() -> None:
    rising = "".join(
        par(f"line {at}", f"0 {900 - 100 * at} 999 {950 - 100 * at}") for at in range(5)
    )
    assert "upside down" in parse_document(chat_of([rising]), page()).warnings[0]


@pytest.mark.parametrize(
    ("side", "degrees", "box"),
    [
        ("down", 180, (720, 500, 800, 1000)),
        ("left", 90, (0, 900, 400, 1000)),
        ("right", 270, (400, 0, 800, 100)),
    ],
)
def test_a_turned_page_is_turned_to_be_read_and_its_boxes_are_turned_back(
    side: str, degrees: int, box: tuple[int, ...]
) -> None:
    sizes = []

    def answer(request: BackendRequest) -> str:
        if "letters" in prompt_of(request):
            return side
        sizes.append(request.plan.images[0].original)
        return par("a", "0 0 100 500")

    chat = VisionChat(ScriptedBackend(answer, family="qwen3_vl", logprob=-0.01))
    found = parse_document(chat, page(), orientation="auto").pages[0]
    assert found.turned_degrees == degrees
    assert (sizes[0].width_px > sizes[0].height_px) == (degrees != 180)
    assert found.size is not None
    assert (found.size.width_px, found.size.height_px) == (WIDTH, HEIGHT)
    made = found.blocks[0].box
    assert made is not None
    assert (made.x1_px, made.y1_px, made.x2_px, made.y2_px) == pytest.approx(box, abs=0.01)
    assert f"turned clockwise by {degrees} degrees" in found.warnings[0]


def test_a_model_that_is_not_sure_of_the_orientation_turns_nothing() -> None:
    answers: list[str | Exception] = ["down", par("a")]
    chat = VisionChat(ScriptedBackend(answers, family="qwen3_vl", logprob=-1.5))
    found = parse_document(chat, page(), orientation="auto").pages[0]
    assert found.turned_degrees == 0
    assert "not sure" in found.warnings[0]


def test_two_hundred_blocks_are_all_read() -> None:
    text = "".join(par(f"word{at}", f"0 {at * 4} 999 {at * 4 + 3}") for at in range(200))
    assert len(parse_document(chat_of([text], context_tokens=32_768), page()).blocks) == 200


def test_a_box_beyond_the_page_is_cut_and_told() -> None:
    document = parse_document(chat_of([par("a", "0 0 3000 500")]), page())
    assert document.blocks[0].box is not None
    assert document.blocks[0].box.x2_px == WIDTH
    assert document.warnings == ("page 1: coordinates beyond the picture",)


def test_a_page_that_fails_costs_itself_alone() -> None:
    document = parse_document(
        chat_of([par("a"), GenerationError("no luck"), par("c")]), [page()] * 3
    )
    assert [block.text for block in document.blocks] == ["a", "c"]
    assert isinstance(document.pages[1].error, GenerationError)
    assert "page 2: " in document.warnings[0]


def test_a_document_of_which_no_page_is_read_raises_the_first_error() -> None:
    with pytest.raises(GenerationError, match="no luck"):
        parse_document(chat_of([GenerationError("no luck")]), page())
    with pytest.raises(MediaNotFoundError):
        parse_document(chat_of([]), "no such file.png")


def test_pages_of_a_pdf_are_chosen_by_their_numbers(tmp_path: Path) -> None:
    source = tmp_path / "bill.pdf"
    source.write_bytes(pdf_of("red", "lime", "blue"))
    document = parse_document(chat_of([par("a"), par("b")]), source, pages=[3, 1])
    assert [(found.number, found.blocks[0].text) for found in document.pages] == [
        (3, "a"),
        (1, "b"),
    ]
    assert document.name == "bill.pdf"


def test_a_tiff_and_a_list_of_pictures_are_documents() -> None:
    buffer = io.BytesIO()
    page().save(buffer, "TIFF", save_all=True, append_images=[page("red")])
    assert len(parse_document(chat_of(lambda _: par("a")), buffer.getvalue()).blocks) == 2
    assert len(parse_document(chat_of(lambda _: par("a")), [page(), page()]).blocks) == 2


def test_a_blank_page_of_a_pdf_is_told() -> None:
    assert parse_document(chat_of([]), pdf_of("white")).pages[0].warnings == ("the page is blank",)


def test_the_crop_of_a_picture_is_kept() -> None:
    crop = Region(100, 100, 500, 600)
    document = parse_document(chat_of([par("a", "0 0 500 500")]), ImagePart(page(), crop=crop))
    box = document.blocks[0].box
    assert box is not None
    assert (box.x1_px, box.y1_px, box.x2_px, box.y2_px) == (100, 100, 300, 350)


def test_pages_come_one_by_one_without_a_document() -> None:
    found = parse_pages(chat_of([par("a"), par("b")]), [page(), page()])
    assert [each.blocks[0].text for each in found] == ["a", "b"]


def test_replies_are_kept_without_their_tokens() -> None:
    (reply,) = parse_document(chat_of([par("a")]), page()).pages[0].replies
    assert reply.text == par("a")
    assert reply.tokens is None


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"form": "xml"}, MessageError),
        ({"orientation": "left"}, MessageError),
        ({"language": "fr"}, MessageError),
        ({"pages": [1]}, MessageError),
        ({"budget": "huge"}, BudgetError),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        parse_document(chat_of([]), page(), **arguments)  # type: ignore[arg-type]


def test_films_and_empty_lists_are_no_documents() -> None:
    with pytest.raises(MessageError, match="no pages"):
        parse_document(chat_of([]), [])
    with pytest.raises(MessageError, match="a video"):
        parse_document(chat_of([]), [VideoPart("film.mp4")])


def test_the_policy_says_how_many_pages_a_document_may_have() -> None:
    policy = MediaPolicy(max_pages=2)
    with pytest.raises(MediaSizeError, match="3 pages"):
        parse_document(chat_of([], policy=policy), pdf_of("red", "lime", "blue"))


def test_a_journal_keeps_each_page(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    source = pdf_of("red", "white", "blue")
    first = chat_of([par("a"), GenerationError("no luck")])
    assert parse_document(first, source, journal=journal).pages[2].error is not None
    second = parse_document(chat_of([par("c")]), source, journal=journal)
    assert [block.text for block in second.blocks] == ["a", "c"]
    assert second.pages[1].warnings == ("the page is blank",)
    third = parse_document(chat_of([]), source, journal=journal, pages=[3, 1])
    assert [block.text for block in third.blocks] == ["c", "a"]
    assert third.blocks[0].confidence == second.blocks[1].confidence


def test_a_journal_keeps_halves_and_turns(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"

    def answer(request: BackendRequest) -> str:
        return "up" if "letters" in prompt_of(request) else looping(request)

    settings = {"sampling": Sampling(max_new_tokens=1000), "orientation": "auto"}
    first = parse_document(chat_of(answer), page(), journal=journal, **settings)  # type: ignore[arg-type]
    again = parse_document(chat_of([]), page(), journal=journal, **settings)  # type: ignore[arg-type]
    assert again == first


def test_a_journal_of_another_document_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    parse_document(chat_of([par("a")]), page(), journal=journal)
    with pytest.raises(JournalError, match="source"):
        parse_document(chat_of([]), page("red"), journal=journal)
    with pytest.raises(JournalError, match="form"):
        parse_document(chat_of([]), page(), "markdown", journal=journal)


def test_a_journal_of_another_budget_of_the_pages_is_refused(tmp_path: Path) -> None:
    journal, source = tmp_path / "run.jsonl", pdf_of("red")
    quick, fine = (DocumentPart(source, budget=budget) for budget in ("quick", "fine"))
    parse_document(chat_of([par("a")]), quick, journal=journal)
    parse_document(chat_of([]), quick, journal=journal)
    with pytest.raises(JournalError, match="source"):
        parse_document(chat_of([par("b")]), fine, journal=journal)


def test_a_progress_bar_counts_pages(capfd: pytest.CaptureFixture[str]) -> None:
    parse_document(chat_of([par("a"), par("b")]), [page(), page()], progress=True)
    assert "2/2" in capfd.readouterr().err


def test_a_document_can_be_drawn_and_shown() -> None:
    document = parse_document(chat_of([par("a")]), page())
    assert document.draw(1).size == (WIDTH, HEIGHT)
    assert "<img" in document._repr_html_()
    assert json.loads(document.to_json())["pages"]
    assert Document.from_json(document.to_json()) == document


def test_a_document_part_keeps_its_settings() -> None:
    part = DocumentPart(pdf_of("red", "blue"), pages=(2,), dpi=72)
    found = parse_document(chat_of([par("a")]), part).pages[0]
    assert found.number == 2
    assert found.size is not None
    small = found.size.width_px
    large = parse_document(chat_of([par("a")]), DocumentPart(pdf_of("red"), dpi=144)).pages[0].size
    assert large is not None
    assert large.width_px == 2 * small
