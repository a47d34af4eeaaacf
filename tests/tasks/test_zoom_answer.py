from __future__ import annotations

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import InputError, MessageError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.geometry import Region
from qwenvl_kit.tasks import zoom_answer
from tests.tasks.test_image_views import numbered, place_of

STREET = numbered(2000, 1500)


def _written(family, box, size):
    """A box in pixels of the original, as a family writes it."""
    known = FAMILIES[family]
    seen = (1000, 1000) if known.coordinates == "thousandths" else size
    x1, y1, x2, y2 = (
        round(side * seen[at % 2] / (2000, 1500)[at % 2]) for at, side in enumerate(box)
    )
    if known.box_format == "box tokens":
        return f"<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
    return f'[{{"bbox_2d": [{x1}, {y1}, {x2}, {y2}], "label": "the sign"}}]'


def _zoom(*boxes, answer="Hop Inn.", family="qwen3_vl", image=STREET, **options):
    def script(request):
        if len(backend.requests) > 1:
            return answer
        seen = request.plan.images[0].resized
        size = (seen.width_px, seen.height_px)
        return "\n".join(_written(family, box, size) for box in boxes) or "There is none."

    backend = ScriptedBackend(script, family=family, context_tokens=20_000)
    return zoom_answer(VisionChat(backend), image, "What does it say?", **options), backend


def _sides(box):
    return (box.x1_px, box.y1_px, box.x2_px, box.y2_px)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_part_that_is_found_is_shown_with_the_whole_in_every_family(family):
    result, backend = _zoom((800, 600, 1000, 750), family=family)
    (step,) = result.steps
    assert _sides(step.box) == pytest.approx((750, 562, 1050, 788), abs=4)
    assert place_of(step.picture.getpixel((0, 0))) == (step.box.x1_px, step.box.y1_px)
    assert str(result) == "Hop Inn."
    assert 0 < result.confidence < 1
    assert 0 < step.box.confidence < 1
    first, second = backend.requests
    assert "What does it say?" in first.messages[-1].text
    whole, part = second.plan.images
    assert whole == first.plan.images[0]
    assert part.tokens >= 250
    assert "parts of it, enlarged" in second.messages[-1].text


def test_the_thing_to_look_at_may_be_named_and_the_margin_chosen():
    result, backend = _zoom((800, 600, 1000, 750), what="the hanging sign", margin=0)
    assert "Locate the hanging sign" in backend.requests[0].messages[-1].text
    assert result.steps[0].label == "the hanging sign"
    assert _sides(result.steps[0].box) == (800, 600, 1000, 750)


def test_without_a_place_the_question_is_asked_of_the_whole_picture():
    result, backend = _zoom()
    assert result.steps == ()
    assert backend.requests[1].messages[-1].text == "What does it say?"
    assert "no place to look at was found; only the whole picture was shown" in result.warnings


def test_a_place_that_is_almost_all_of_the_picture_is_not_shown_again():
    result, backend = _zoom((0, 0, 1990, 1490))
    assert result.steps == ()
    assert len(backend.requests[1].plan.images) == 1
    assert result.warnings == ("a place is almost the whole picture; it was not shown again",)


def test_the_same_place_is_shown_once_and_the_number_of_parts_is_bounded():
    boxes = [(100 * n, 100, 100 * n + 80, 200) for n in range(5)]
    result, _ = _zoom((0, 100, 80, 195), *boxes, max_parts=2)
    assert [round(step.box.x1_px) for step in result.steps] == [0, 80]
    assert "3 more places were found and not shown" in result.warnings


def test_boxes_of_the_answer_are_in_pixels_of_the_original():
    answer = '[{"bbox_2d": [0, 0, 500, 1000], "label": "H", "img_idx": 1}]'
    result, _ = _zoom((800, 600, 1000, 750), answer=answer, margin=0)
    (box,) = result.boxes()
    assert _sides(box) == (800, 600, 900, 750)
    assert result.regions().draw().size == (2000, 1500)


def test_only_the_crop_of_an_image_part_is_searched():
    part = ImagePart(STREET, crop=Region(1000, 0, 2000, 750))
    answers = ['[{"bbox_2d": [0, 0, 500, 500], "label": "x"}]', "Yes."]
    chat = VisionChat(ScriptedBackend(answers, family="qwen3_vl"))
    result = zoom_answer(chat, part, "Is it?")
    assert _sides(result.steps[0].box) == (1000, 0, 1625, 469)


def test_it_asks_in_chinese():
    _, backend = _zoom((800, 600, 1000, 750), language="zh")
    assert "放大" in backend.requests[1].messages[-1].text
    assert "回答" in backend.requests[0].messages[-1].text


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"margin": -1}, InputError),
        ({"margin": "wide"}, InputError),
        ({"max_parts": 0}, InputError),
        ({"what": " "}, MessageError),
        ({"language": "fr"}, MessageError),
    ],
)
def test_wrong_arguments_are_refused(options, error):
    with pytest.raises(error):
        _zoom((0, 0, 9, 9), **options)


def test_the_embedded_model_looks_closer():
    picture = PIL.Image.new("RGB", (1600, 1200), "white")
    picture.paste("red", (1300, 900, 1360, 960))
    with VisionChat.from_pretrained() as chat:
        result = zoom_answer(chat, picture, "What is the colour of the square?", what="the square")
        assert result.text
        assert result.confidence is not None
