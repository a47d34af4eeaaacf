from __future__ import annotations

import json
from pathlib import Path

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import ImagePart, PixelBudget, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    ContextLengthError,
    GenerationError,
    InputError,
    MediaNotFoundError,
    MessageError,
    ToolLimitError,
    UnsupportedFeatureError,
)
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.geometry import Region
from qwenvl_kit.prompts.tool_template import offered_tools
from qwenvl_kit.tasks import think_with_images
from tests.tasks.test_image_views import numbered, place_of

RECORDED = Path(__file__).parents[3] / "shared" / "recorded"
STREET = numbered(2000, 1500)
TRAINED = [name for name, family in FAMILIES.items() if family.calls_image_tools]


def _call(tool="image_zoom_in_tool", **arguments):
    return f"<tool_call>\n{json.dumps({'name': tool, 'arguments': arguments})}\n</tool_call>"


def _zoom(box, index=0, label="sign"):
    return _call(label=label, bbox_2d=box, img_idx=index)


def _think(*answers, images=STREET, family="qwen3_vl", context_tokens=20_000, **options):
    backend = ScriptedBackend(list(answers), family=family, context_tokens=context_tokens)
    options = {"budget": PixelBudget(max_tokens=256), **options}
    return think_with_images(VisionChat(backend), images, "Where is it?", **options), backend


def _sides(box):
    return (box.x1_px, box.y1_px, box.x2_px, box.y2_px)


def _told(backend, at):
    """What the model was told after its call, as words."""
    return backend.requests[at].messages[-1].text


def test_the_zooms_of_the_published_notebook_are_steps_with_places_in_the_original():
    first = "I need to read the text on the signs. I will zoom in on the main sign.\n\n"
    result, backend = _think(
        first + _call(label="main hanging sign", bbox_2d=[574, 301, 660, 468], img_idx=0),
        "Now I see it.\n"
        + _call(label="license plate of the black car", bbox_2d=[231, 795, 284, 820], img_idx=0),
        "The picture was taken in Southampton, at 169 Road (02380 557723).",
    )
    assert str(result).startswith("The picture was taken in Southampton")
    assert [step.label for step in result.steps] == [
        "main hanging sign",
        "license plate of the black car",
    ]
    assert result.steps[0].thought == first.strip()
    assert _sides(result.steps[0].box) == (1148, 451, 1320, 702)
    assert result.steps[0].picture.size == (172, 251)
    assert place_of(result.steps[0].picture.getpixel((0, 0))) == (1148, 451)
    assert result.error is None
    assert result.warnings == ()
    assert len(result.boxes()) == 0
    assert [box.label for box in result.regions()] == [
        "1. main hanging sign",
        "2. license plate of the black car",
    ]
    parts = backend.requests[-1].plan.images[1:]
    assert [part.tokens >= 250 for part in parts] == [True, True]


def test_the_tools_are_offered_in_the_words_of_qwen_agent():
    _, backend = _think("It is here.", tools=["zoom"])
    (tool,) = offered_tools(backend.requests[0].messages)
    assert tool["function"]["name"] == "image_zoom_in_tool"
    parameters = tool["function"]["parameters"]
    assert parameters["required"] == ["bbox_2d", "label", "img_idx"]
    assert parameters["properties"]["bbox_2d"]["minItems"] == 4
    assert parameters["properties"]["img_idx"] == {
        "type": "number",
        "description": "The index of the zoomed-in image (starting from 0)",
    }
    system, user = backend.requests[0].messages
    assert system.text == "Use tools to answer."
    assert user.text == "Where is it?"
    _, backend = _think("Da.", language="zh")
    assert "工具" in backend.requests[0].messages[0].text
    assert len(offered_tools(backend.requests[0].messages)) == 2


@pytest.mark.parametrize("family", TRAINED)
def test_every_family_that_was_trained_for_it_zooms(family):
    result, _ = _think(_zoom([250, 500, 500, 750]), "Here.", family=family)
    assert _sides(result.steps[0].box) == (500, 750, 1000, 1125)


def test_a_picture_does_not_grow_with_every_turn():
    turns = [_call("image_rotate_tool", angle=45, img_idx=index) for index in range(4)]
    result, backend = _think(*turns, "It is here.", images=PIL.Image.new("RGB", (3000, 2000)))
    sizes = [step.picture and step.picture.size for step in result.steps]
    assert sizes == [(3536, 3536), None, None, None]
    assert "turned by 45 degrees, the image has 5001 x 5001 pixels" in result.steps[1].error
    assert "a turn of the given image" in _told(backend, 2)
    thin, _ = _think(turns[0], "It is here.", images=PIL.Image.new("RGB", (3000, 40)))
    assert thin.steps[0].picture.size == (2150, 2150)


def test_calls_in_xml_as_qwen3_5_writes_them_are_made():
    xml = (
        "<tool_call>\n<function=image_zoom_in_tool>\n<parameter=bbox_2d>\n[250, 500, 500, 750]\n"
        "</parameter>\n<parameter=label>\nsign\n</parameter>\n<parameter=img_idx>\n0\n</parameter>"
        "\n</function>\n</tool_call>"
    )
    result, _ = _think(xml, "Here.", family="qwen3_5")
    assert _sides(result.steps[0].box) == (500, 750, 1000, 1125)
    assert result.steps[0].box.confidence is not None


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(TRAINED)))
def test_a_family_that_was_not_trained_for_it_is_refused_with_what_to_call_instead(family):
    with pytest.raises(UnsupportedFeatureError, match="zoom_answer"):
        _think("Here.", family=family)


def test_an_answer_without_a_call_is_an_answer():
    result, backend = _think("It is in Rome.")
    assert result.text == "It is in Rome."
    assert result.steps == ()
    assert len(backend.requests) == 1
    assert 0 < result.confidence < 1


def test_a_part_of_a_part_is_cut_from_the_pixels_of_the_original():
    # Qwen-Agent counts the parts after the given pictures.
    result, _ = _think(_zoom([200, 200, 600, 600]), _zoom([250, 250, 500, 500], index=1), "Here.")
    part = result.steps[1]
    assert _sides(part.box) == (600, 450, 800, 600)
    assert part.picture.size == (200, 150)
    assert place_of(part.picture.getpixel((0, 0))) == (600, 450)
    assert part.picture_index == 0


def test_a_turned_part_and_a_part_of_it_come_back_to_the_original():
    result, _ = _think(
        _zoom([200, 200, 600, 600]),
        _call("image_rotate_tool", angle=90, img_idx=1),
        _zoom([0, 0, 500, 500], index=2),
        json.dumps([{"bbox_2d": [0, 0, 500, 1000], "label": "plate", "img_idx": 3}]),
    )
    assert [step.error for step in result.steps] == ["", "", ""]
    assert result.steps[1].angle_degrees == 90
    assert result.steps[1].picture.size == (600, 800)
    # Turned counter-clockwise, the upper left quarter is the upper right one of the original.
    assert _sides(result.steps[2].box) == (800, 300, 1200, 600)
    (box,) = result.boxes()
    assert _sides(box) == pytest.approx((800, 300, 1200, 450))


@settings(deadline=None, max_examples=15)
@given(
    st.tuples(st.integers(0, 600), st.integers(0, 600)),
    st.sampled_from([0, 90, 180, 270]),
    st.tuples(st.integers(0, 600), st.integers(0, 600)),
)
def test_a_place_in_the_answer_is_found_through_any_chain(first, angle, second):
    (x, y), (u, v) = first, second
    result, _ = _think(
        _zoom([x, y, x + 400, y + 400]),
        _call("image_rotate_tool", angle=angle, img_idx=1),
        _zoom([u, v, u + 400, v + 400], index=2),
        json.dumps([{"bbox_2d": [0, 0, 1000, 1000], "label": "all", "img_idx": 3}]),
        images=numbered(500, 400),
    )
    (box,) = result.boxes()
    assert _sides(box) == pytest.approx(_sides(result.steps[2].box))
    picture = result.steps[2].picture
    left, top, right, bottom = _sides(result.steps[2].box)
    column, row = place_of(picture.getpixel((picture.width // 2, picture.height // 2)))
    assert left <= column < right
    assert top <= row < bottom


def test_boxes_of_the_answer_without_an_index_are_of_the_first_picture():
    answer = '```json\n[{"bbox_2d": [100, 200, 300, 400], "label": "the sign"}]\n```'
    result, _ = _think(_zoom([0, 0, 500, 500]), answer)
    (box,) = result.boxes()
    assert box.label == "the sign"
    assert _sides(box) == pytest.approx((200, 300, 600, 600))
    assert box.confidence is not None
    assert result.warnings == ("boxes without img_idx are read as boxes in the first picture",)
    assert _think(answer)[0].warnings == ()


def test_several_pictures_are_counted_before_the_parts():
    small = PIL.Image.new("RGB", (600, 400), "red")
    result, _ = _think(
        _zoom([0, 0, 500, 500], index=1),
        _zoom([0, 0, 500, 500], index=2),
        json.dumps([{"bbox_2d": [0, 0, 1000, 1000], "label": "x", "img_idx": 3}]),
        images=[STREET, small],
    )
    assert [step.picture_index for step in result.steps] == [1, 1]
    assert _sides(result.steps[1].box) == (0, 0, 150, 100)
    assert len(result.boxes(0)) == 0
    assert _sides(result.boxes(1)[0]) == (0, 0, 150, 100)
    assert result.regions(1).draw().size == (600, 400)
    with pytest.raises(InputError, match="picture_index=2"):
        result.boxes(2)


def test_a_part_of_what_an_image_part_shows_stays_in_it():
    part = ImagePart(STREET, crop=Region(1000, 0, 2000, 750))
    result, _ = _think(_zoom([0, 0, 500, 500]), "Here.", images=part)
    assert _sides(result.steps[0].box) == (1000, 0, 1500, 375)
    assert place_of(result.steps[0].picture.getpixel((0, 0))) == (1000, 0)


def test_a_small_part_is_widened_and_enlarged_until_it_can_be_read():
    result, backend = _think(_zoom([500, 500, 502, 502]), "Here.")
    assert result.steps[0].picture.size == (32, 32)
    assert backend.requests[1].plan.images[1].tokens >= 256
    _, backend = _think(
        _zoom([500, 500, 502, 502]), "Here.", crop_budget=PixelBudget(max_tokens=64)
    )
    assert backend.requests[1].plan.images[1].tokens <= 64


REFUSED = {
    "beyond the picture, in pixels": ({"bbox_2d": [1100, 300, 1900, 900]}, "not pixels"),
    "wholly outside": ({"bbox_2d": [1005, 0, 1015, 10]}, "inside the image"),
    "empty": ({"bbox_2d": [100, 100, 100, 300]}, "x1 below x2"),
    "reversed": ({"bbox_2d": [500, 500, 100, 100]}, "x1 below x2"),
    "fractions": ({"bbox_2d": [0.1, 0.2, 0.5, 0.6]}, "not fractions"),
    "numbers as texts": ({"bbox_2d": ["100", "100", "300", "300"]}, "numbers, not texts"),
    "three numbers": ({"bbox_2d": [1, 2, 3]}, "four numbers"),
    "no box": ({}, "bbox_2d is missing"),
    "another name (DeepEyes)": ({"bbox": [1, 2, 300, 300]}, "bbox_2d is missing"),
    "a box of boxes": ({"bbox_2d": [[1, 2], [3, 4]]}, "four numbers"),
    "a number without end": ({"bbox_2d": [1, 2, 3, 10**400]}, "finite"),
    "a far index": ({"bbox_2d": [1, 2, 300, 300], "img_idx": 7}, "img_idx=7"),
    "an index below 0": ({"bbox_2d": [1, 2, 300, 300], "img_idx": -1}, "img_idx=-1"),
    "an index as text": ({"bbox_2d": [1, 2, 300, 300], "img_idx": "first"}, "whole number"),
    "half an index": ({"bbox_2d": [1, 2, 300, 300], "img_idx": 0.5}, "whole number"),
    "a huge index": ({"bbox_2d": [1, 2, 300, 300], "img_idx": 10**400}, "img_idx=1000"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_call_that_cannot_be_made_is_told_to_the_model_which_corrects_it(name):
    arguments, told = REFUSED[name]
    result, backend = _think(
        _call(**{"label": "sign", "img_idx": 0, **arguments}), _zoom([100, 100, 300, 300]), "Here."
    )
    assert _told(backend, 1).startswith("Error: ")
    assert told in _told(backend, 1)
    assert result.text == "Here."
    assert [bool(step.error) for step in result.steps] == [True, False]
    assert result.steps[0].picture is None
    assert any("refused" in warning for warning in result.warnings)
    assert all(len(warning) < 500 for warning in result.warnings)


def test_an_index_that_is_left_out_is_clear_with_one_picture_and_an_error_with_two():
    # QwenLM/Qwen-Agent issue 879: Qwen3.5 leaves it out.
    left_out = _call(label="sign", bbox_2d=[0, 0, 500, 500])
    result, _ = _think(left_out, "Here.")
    assert _sides(result.steps[0].box) == (0, 0, 1000, 750)
    assert result.warnings == ("img_idx is missing; the given picture is taken",)
    result, backend = _think(left_out, "Here.", images=[STREET, STREET])
    assert "img_idx is missing" in _told(backend, 1)


def test_a_box_a_little_beyond_the_picture_is_cut_and_told():
    result, _ = _think(_zoom([900, 900, 1010, 1005]), "Here.")
    assert _sides(result.steps[0].box) == (1800, 1350, 2000, 1500)
    assert result.warnings == ("a box reached beyond the picture",)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (_call("image_search", img_idx=0), "there is no tool 'image_search'"),
        (_call("image_rotate_tool", img_idx=0), "angle is missing"),
        (_call("image_rotate_tool", angle="left", img_idx=0), "numbers, not texts"),
        (_call("image_rotate_tool", angle=1e9, img_idx=0), "degrees"),
        ("<tool_call>\n{'name': \n</tool_call>", "not understood"),
    ],
)
def test_another_call_that_cannot_be_made_is_told_too(call, told):
    result, backend = _think(call, "Here.")
    assert told in _told(backend, 1)
    assert result.text == "Here."
    assert result.steps[0].error


def test_a_tool_that_is_not_offered_is_not_called():
    result, backend = _think(
        _call("image_rotate_tool", angle=90, img_idx=0), "Here.", tools=["zoom"]
    )
    assert "there is no tool" in _told(backend, 1)
    assert result.steps[0].picture is None


def test_after_the_last_step_the_model_is_told_to_answer():
    zooms = [_zoom([100 * n, 0, 100 * n + 100, 100]) for n in range(2)]
    result, backend = _think(*zooms, "Here.", max_steps=2)
    assert "This was the last call" in _told(backend, 2)
    assert "This was the last call" not in _told(backend, 1)
    assert result.text == "Here."
    assert result.error is None


def test_a_model_that_never_stops_gives_its_steps_and_the_reason():
    def script(_):
        return "Again. " + _zoom([0, 0, 100, 100])

    backend = ScriptedBackend(script, family="qwen3_vl", context_tokens=20_000)
    result = think_with_images(VisionChat(backend), STREET, "Where?", max_steps=3)
    assert len(backend.requests) == 4
    assert len(result.steps) == 3
    assert isinstance(result.error, ToolLimitError)
    assert result.text == "Again."


def test_many_calls_in_one_reply_are_made_up_to_the_limit():
    result, backend = _think(_zoom([0, 0, 100, 100]) * 20, "Here.", max_steps=3)
    assert [step.picture is not None for step in result.steps] == [True] * 3
    assert result.warnings == ("more than 3 calls; the others were not made",)
    assert len(backend.requests[1].plan.images) == 4
    assert result.text == "Here."


def test_a_flood_of_calls_that_cannot_be_read_is_bounded_and_ends():
    result, backend = _think("<tool_call>" * 5000, "Here.")
    assert result.text == "Here."
    assert len(result.steps) == 8
    assert len(backend.requests[1].messages) < 20


def test_a_long_label_is_shortened():
    result, _ = _think(_zoom([0, 0, 500, 500], label="x" * 100_000), "Here.")
    assert len(result.steps[0].label) < 130


def test_a_conversation_that_outgrows_the_context_keeps_its_steps():
    backend = ScriptedBackend([_zoom([0, 0, 100, 100])] * 3, family="qwen3_vl", context_tokens=900)
    chat = VisionChat(backend)
    result = think_with_images(chat, STREET, "Where?", budget="quick", sampling=None)
    assert isinstance(result.error, ContextLengthError)
    assert result.steps[0].picture is not None
    with pytest.raises(ContextLengthError):
        think_with_images(chat, [STREET] * 30, "Where?")


def test_what_fails_after_a_step_is_told_with_the_steps_and_what_fails_before_is_raised(tmp_path):
    broken = GenerationError("the server is gone")
    script = ["I look." + _zoom([0, 0, 100, 100]), broken]
    backend = ScriptedBackend(script, family="qwen3_vl", context_tokens=9000)
    result = think_with_images(VisionChat(backend), STREET, "Where?")
    assert isinstance(result.error, GenerationError)
    assert (result.text, len(result.steps)) == ("I look.", 1)
    with pytest.raises(GenerationError, match="gone"):
        think_with_images(
            VisionChat(ScriptedBackend([broken], family="qwen3_vl")), STREET, "Where?"
        )

    path = tmp_path / "street.png"
    PIL.Image.new("RGB", (300, 200)).save(path)

    def vanishing(_):
        path.unlink()
        return _zoom([0, 0, 100, 100])

    gone = ScriptedBackend(vanishing, family="qwen3_vl")
    result = think_with_images(VisionChat(gone), path, "Where?")
    assert isinstance(result.error, MediaNotFoundError)


def test_what_only_looks_like_a_call_is_asked_for_once_and_then_is_the_answer():
    looks = '{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [1, 2, 3, 4]}}'
    result, backend = _think(looks, looks)
    assert result.text == looks
    assert len(backend.requests) == 2


def test_what_was_looked_at_can_be_seen_in_a_notebook_and_nothing_in_it_runs():
    result, _ = _think(
        "I look.<script>alert(1)</script>" + _zoom([0, 0, 500, 500], label="<b>sign</b>"),
        _call("image_rotate_tool", angle=90, img_idx=9),
        "Here.<img src=x onerror=alert(1)>",
    )
    shown = result._repr_html_()
    assert shown.count('<img src="data:image') == 1
    assert "<script" not in shown
    assert "<b>sign" not in shown
    assert "<img src=x" not in shown
    assert "img_idx=9" in shown
    assert len(repr(result)) < 600
    assert "steps=2" in repr(result)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"tools": []}, MessageError),
        ({"tools": "zoom"}, MessageError),
        ({"tools": ["crop"]}, MessageError),
        ({"max_steps": 0}, InputError),
        ({"max_steps": True}, InputError),
        ({"images": []}, MessageError),
        ({"language": "fr"}, MessageError),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_asked(options, error):
    with pytest.raises(error):
        _think(**options)


def _recorded(name, is_wanted=lambda case: True):
    path = RECORDED / name
    if not path.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"there is no {path}"))]
    held = json.loads(path.read_text(encoding="utf-8"))
    cases = held["cases"] if isinstance(held, dict) else held
    return [pytest.param(case, id=case["name"]) for case in cases if is_wanted(case)]


def _has_boxes(case):
    return case["family"] == "qwen3_vl" and "boxes" in case


@pytest.mark.parametrize("case", _recorded("calls.json"))
@pytest.mark.parametrize("family", ["qwen3_vl", "qwen3_5"])
def test_a_recorded_form_of_calls_is_a_step_or_is_told(case, family):
    zoom = case["text"].replace("tree", "image_zoom_in_tool")
    result, _ = _think(zoom, zoom, "Here.", family=family)
    assert len(result.steps) >= len(case["calls"])
    assert result.warnings
    assert result.error is None


@pytest.mark.parametrize("case", _recorded("places.json", _has_boxes))
def test_recorded_places_of_an_answer_are_boxes_in_the_original(case):
    result, _ = _think(case["text"], images=numbered(1000, 500))
    found = [_sides(box) for box in result.boxes()]
    wanted = [(x1, y1 / 2, x2, y2 / 2) for x1, y1, x2, y2 in case["boxes"]]
    assert [pytest.approx(box) for box in wanted] == found


@settings(deadline=None, max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(-2000, 2000) | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=6,
    ),
    st.sampled_from(["image_zoom_in_tool", "image_rotate_tool"]),
)
def test_whatever_stands_in_a_call_the_answer_is_given(value, tool):
    call = _call(tool, bbox_2d=value, img_idx=0, angle=value, label=value)
    result, _ = _think(call, "Here.", images=numbered(64, 48))
    assert result.text == "Here."
    assert len(result.steps) == 1
