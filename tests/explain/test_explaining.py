"""`explain` shows, on the pixels of the original, what an answer or a part of it looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import PIL.Image
import pytest

from qwenvl_kit import (
    ImagePart,
    Message,
    Region,
    Reply,
    Request,
    Sampling,
    VideoPart,
    VisionChat,
)
from qwenvl_kit.backends.base import BackendRequest, Completion
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import InputError, UnsupportedFeatureError
from qwenvl_kit.explain import Explanation, explain

METHODS = ("attention", "gradient", "occlusion")
Pair = tuple[Request, Reply]


def is_on_circle(seen: Explanation) -> bool:
    return 40 <= seen.peak_px.x_px <= 130 and 70 <= seen.peak_px.y_px <= 160


@pytest.mark.parametrize("method", METHODS)
def test_each_method_finds_the_shape_that_a_question_names(
    chat: VisionChat, asked: Pair, method: Any
) -> None:
    request, reply = asked
    seen = explain(chat, reply, request, word="red", method=method)
    assert is_on_circle(seen)
    assert seen.text.lower() == "red"
    assert seen.heatmap.shape == (240, 320)
    assert seen.heatmap.min() >= 0
    assert 0.5 < seen.heatmap.max() <= 1


def test_the_question_may_be_given_as_to_ask(
    chat: VisionChat, asked: Pair, shapes: PIL.Image.Image
) -> None:
    request, reply = asked
    one = explain(chat, reply, request)
    other = explain(chat, reply, "What colour is the circle?", shapes)
    assert numpy.array_equal(one.heatmap, other.heatmap)


def test_an_explanation_is_the_same_after_the_cache_was_used(chat: VisionChat, asked: Pair) -> None:
    request, reply = asked
    chat.ask(request)
    warm = explain(chat, reply, request, method="gradient")
    chat.clear_cache()
    cold = explain(chat, reply, request, method="gradient")
    numpy.testing.assert_allclose(warm.heatmap, cold.heatmap, atol=1e-4)


def test_occlusion_leaves_the_cache_and_the_statistics_as_they_are(
    chat: VisionChat, asked: Pair
) -> None:
    request, reply = asked
    chat.ask(request)
    before = (chat.cache_info(), chat.stats().num_replies)
    explain(chat, reply, request, method="occlusion", num_patches=4)
    assert (chat.cache_info(), chat.stats().num_replies) == before


def test_the_heat_of_a_cropped_picture_lies_in_its_crop(
    chat: VisionChat, shapes: PIL.Image.Image
) -> None:
    crop = Region(x1_px=20, y1_px=40, x2_px=160, y2_px=200)
    request = Request.about("What colour is the circle?", ImagePart(shapes, crop=crop))
    seen = explain(chat, chat.ask(request), request, method="gradient")
    assert seen.heatmap.shape == (240, 320)
    assert seen.heatmap[:, :20].max() == seen.heatmap[:, 160:].max() == 0
    assert seen.heatmap[:40].max() == seen.heatmap[200:].max() == 0
    assert is_on_circle(seen)


def test_the_heat_of_a_turned_photo_lies_on_the_upright_one(
    chat: VisionChat, shapes: PIL.Image.Image, tmp_path: Path
) -> None:
    exif = PIL.Image.Exif()
    exif[274] = 6  # stored lying: turned by 270 degrees when it is shown
    shapes.transpose(PIL.Image.Transpose.ROTATE_90).save(tmp_path / "lying.png", exif=exif)
    request = Request.about("What colour is the circle?", tmp_path / "lying.png")
    seen = explain(chat, chat.ask(request), request, method="gradient")
    assert seen.heatmap.shape == (240, 320)
    assert is_on_circle(seen)


def test_the_peak_of_a_padded_strip_lies_inside_of_it(chat: VisionChat) -> None:
    strip = PIL.Image.new("RGB", (600, 6), "red")
    request = Request.about("What colour is it?", strip)
    for method in METHODS:
        seen = explain(chat, chat.ask(request), request, method=method, num_patches=4)  # type: ignore[arg-type]
        assert seen.heatmap.shape == (6, 600)
        assert 0 <= seen.peak_px.x_px <= 600
        assert 0 <= seen.peak_px.y_px <= 6


def test_two_pictures_have_heat_maps_that_can_be_compared(
    chat: VisionChat, shapes: PIL.Image.Image
) -> None:
    plain = PIL.Image.new("RGB", (200, 140), "white")
    request = Request.about("What changed between the two images?", shapes, plain)
    seen = explain(chat, chat.ask(request), request)
    assert [each.heatmap.shape for each in seen.maps] == [(240, 320), (140, 200)]
    assert max(float(each.relevance.max() / each.scale) for each in seen.maps) == 1
    with pytest.raises(InputError, match="2 pictures"):
        seen.draw()


@pytest.mark.parametrize("method", METHODS)
def test_a_film_has_a_heat_map_for_each_frame(
    chat: VisionChat, film: numpy.ndarray, method: Any
) -> None:
    request = Request.about("What happens in this video?", VideoPart(film, fps=2))
    reply = chat.ask(request)
    seen = explain(chat, reply, request, method=method, num_patches=12)
    (heat_map,) = seen.maps
    assert seen.heatmap.shape == (6, 140, 140)
    assert heat_map.timestamps_seconds == reply.plan.videos[0].timestamps_seconds
    assert heat_map.relevance.shape[0] == 3  # two frames share their visual tokens
    assert heat_map.peak_frame in (0, 2, 4)
    assert seen.draw(frame=3).size == (140, 140)
    with pytest.raises(InputError, match="one of 6 frames"):
        seen.draw(frame=6)


def test_a_picture_is_drawn_and_saved_at_its_own_size(
    chat: VisionChat, asked: Pair, shapes: PIL.Image.Image, tmp_path: Path
) -> None:
    request, reply = asked
    seen = explain(chat, reply, request, method="gradient")
    assert seen.draw().size == seen.draw(shapes).size == (320, 240)
    seen.save(tmp_path / "seen.png")
    assert PIL.Image.open(tmp_path / "seen.png").size == (320, 240)
    with pytest.raises(InputError, match="320 x 240"):
        seen.draw(shapes.resize((10, 10)))


def test_parts_of_an_answer_are_its_tokens_words_spans_and_fields(
    chat: VisionChat, asked: Pair, shapes: PIL.Image.Image
) -> None:
    request, reply = asked
    assert explain(chat, reply, request).indices == tuple(range(len(reply.tokens or ())))
    assert explain(chat, reply, request, token=0).indices == (0,)
    assert explain(chat, reply, request, token=-1).text == (reply.tokens or ())[-1].text
    assert explain(chat, reply, request, span=(0, 2)).indices == (0,)
    ask = Request.about("What colour is the circle?", shapes, sampling=Sampling(max_new_tokens=1))
    assert explain(chat, chat.ask(ask), ask).indices == (0,)


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ({"token": 99}, "token=99"),
        ({"token": True}, "token=True"),
        ({"word": "purple"}, "does not stand in the answer"),
        ({"word": ""}, "a word of the answer"),
        ({"span": (3, 3)}, "indices of a first character"),
        ({"span": (0, 999)}, "999"),
        ({"span": (-1, 2)}, "indices of a first character"),
        ({"span": 3}, "indices of a first character"),
        ({"field": "total"}, "an answer in JSON"),
        ({"token": 0, "word": "Red"}, "one of them"),
        ({"method": "lime"}, "'attention', 'gradient' or 'occlusion'"),
        ({"layers": [9]}, "layers=\\[9\\]"),
        ({"layers": 3}, "layers=3"),
        ({"layers": "ab"}, "layers='ab'"),
        ({"heads": [True]}, "heads=\\[True\\]"),
        ({"layers": []}, "layers=\\[\\]"),
        ({"heads": [-1]}, "heads=\\[-1\\]"),
        ({"method": "occlusion", "layers": [1]}, "looks into no layer"),
        ({"method": "occlusion", "num_patches": 0}, "num_patches=0"),
        ({"num_patches": 2.5}, "num_patches=2.5"),
    ],
)
def test_what_cannot_be_explained_is_told(
    chat: VisionChat, asked: Pair, which: dict[str, Any], said: str
) -> None:
    request, reply = asked
    with pytest.raises(InputError, match=said):
        explain(chat, reply, request, **which)


def test_another_request_than_that_of_the_reply_is_refused(
    chat: VisionChat, asked: Pair, shapes: PIL.Image.Image
) -> None:
    _, reply = asked
    with pytest.raises(InputError, match="tokens"):
        explain(chat, reply, "What is the colour of the very large circle?", shapes)
    with pytest.raises(InputError, match="pictures differ"):
        explain(chat, reply, "What colour is the circle?", shapes.resize((100, 100)))
    with pytest.raises(InputError, match="pictures differ"):
        explain(chat, reply, "What colour is the circle?")
    with pytest.raises(InputError, match="pictures differ"):
        explain(chat, reply, "What colour is the circle?", shapes, shapes)
    turned = shapes.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
    blue = turned.convert("L").convert("RGB").point(lambda value: 255 - value)
    with pytest.raises(InputError, match="log-probabilities of its tokens differ"):
        explain(chat, reply, "What colour is the circle?", blue)


def test_what_is_no_reply_is_told(chat: VisionChat, asked: Pair) -> None:
    with pytest.raises(InputError, match="a str was given"):
        explain(chat, "Red.", asked[0])  # type: ignore[arg-type]


def test_a_question_without_a_picture_has_nothing_to_show(chat: VisionChat) -> None:
    reply = chat.ask("Hello", sampling=Sampling(max_new_tokens=2))
    with pytest.raises(InputError, match="no picture"):
        explain(chat, reply, "Hello")


class Seeing(ScriptedBackend):
    """A backend without a model in this process: red pixels make "red" likely."""

    def _complete(self, request: BackendRequest, observer: Any) -> Completion:
        done = super()._complete(request, observer)
        pixels = numpy.asarray(request.media[0], numpy.float32)
        red = float((pixels[..., 0] > pixels[..., 1] + 100).mean())
        tokens = [
            type(token)(token.text, token.token_id, -1.0 + min(red * 5, 0.9))
            for token in done.tokens or ()
        ]
        return Completion(done.text, "stop", tuple(tokens), None, len(tokens))


def test_occlusion_works_on_any_backend_that_gives_log_probabilities(
    shapes: PIL.Image.Image,
) -> None:
    chat = VisionChat(Seeing(lambda _: "A red circle."))
    request = Request.about("What is on the left?", shapes)
    reply = chat.ask(request)
    seen = explain(chat, reply, request, word="red", method="occlusion")
    assert is_on_circle(seen)
    faith = seen.faithfulness(chat, num_steps=4)
    assert faith.deletion_area < faith.chance_deletion_area
    for method in ("attention", "gradient"):
        with pytest.raises(UnsupportedFeatureError, match="occlusion"):
            explain(chat, reply, request, method=method)


def test_a_backend_without_log_probabilities_explains_nothing(shapes: PIL.Image.Image) -> None:
    chat = VisionChat(ScriptedBackend(["A red circle."], logprob=None))
    request = Request.about("What is on the left?", shapes)
    with pytest.raises(UnsupportedFeatureError, match="no tokens"):
        explain(chat, chat.ask(request), request, method="occlusion")


class Straying(Seeing):
    """A backend that does not keep to an answer, once it is given one."""

    def _complete(self, request: BackendRequest, observer: Any) -> Completion:
        done = super()._complete(request, observer)
        return done if request.constraint is None else replace(done, text="A blue circle.")


class Mumbling(Seeing):
    """A backend whose tokens have no text, as servers send incomplete characters."""

    def _complete(self, request: BackendRequest, observer: Any) -> Completion:
        done = super()._complete(request, observer)
        tokens = tuple(replace(token, text="") for token in done.tokens or ())
        return done if request.constraint is None else replace(done, tokens=tokens)


def test_an_answer_that_is_not_kept_to_is_not_scored(shapes: PIL.Image.Image) -> None:
    request = Request.about("What is on the left?", shapes)
    chat = VisionChat(Straying(lambda _: "A red circle."))
    with pytest.raises(UnsupportedFeatureError, match="does not keep to"):
        explain(chat, chat.ask(request), request, method="occlusion")
    chat = VisionChat(Mumbling(lambda _: "\u4e00 \u4e2a \u5706"))
    assert explain(chat, chat.ask(request), request, method="occlusion", num_patches=4).maps
    with pytest.raises(UnsupportedFeatureError, match="do not join"):
        explain(chat, chat.ask(request), request, token=1, method="occlusion")


def test_a_field_of_an_answer_in_json_is_explained_alone(shapes: PIL.Image.Image) -> None:
    chat = VisionChat(Seeing(lambda _: '{"shapes": [{"colour": "red"}, {"colour": "blue"}]}'))
    request = Request.about("Which shapes?", shapes)
    reply = chat.ask(request)
    seen = explain(chat, reply, request, field="shapes[0].colour", method="occlusion")
    assert seen.text == '"red"'
    with pytest.raises(InputError, match=r"shapes\[1\].colour"):
        explain(chat, reply, request, field="size", method="occlusion")


def test_conversations_of_several_turns_are_explained(
    chat: VisionChat, shapes: PIL.Image.Image
) -> None:
    request = Request(
        [
            Message.user(ImagePart(shapes), "How many shapes are there?"),
            Message.assistant("2"),
            Message.user("What colour is the circle?"),
        ]
    )
    seen = explain(chat, chat.ask(request), request, method="gradient")
    assert is_on_circle(seen)


def test_the_probabilities_of_an_explanation_say_how_far_to_trust_it(
    chat: VisionChat, asked: Pair
) -> None:
    request, reply = asked
    seen = explain(chat, reply, request, word="Red", method="gradient")
    faith = seen.faithfulness(chat, num_steps=5)
    assert faith.shares == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert faith.deletion[0] == pytest.approx(faith.insertion[-1], abs=1e-5)
    assert faith.deletion[0] == pytest.approx(faith.chance_deletion[0])
    assert faith.deletion[-1] == pytest.approx(faith.chance_deletion[-1])
    assert all(0 <= each <= 1 for each in (*faith.deletion, *faith.insertion))
    assert faith.deletion_area < faith.chance_deletion_area
    assert "random order" in str(faith)
    with pytest.raises(InputError, match="num_steps=0"):
        seen.faithfulness(chat, num_steps=0)
