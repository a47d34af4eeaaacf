"""Localization in space: boxes around things, in metres before the camera."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import NamedTuple

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MediaError
from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Box3D
from qwenvl_kit.grounding.space.checks import (
    faults_of,
    named,
    num_written,
    with_positive_sizes,
    within_sight,
    without_repeats,
)
from qwenvl_kit.grounding.space.found import Boxes3D
from qwenvl_kit.grounding.space.intrinsics import CameraIntrinsics, Intrinsics, as_intrinsics
from qwenvl_kit.media.lenses import read_lens
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.place_search import PlaceSearch, check_trained
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt

PROMPTS = MappingProxyType(
    {
        "en": "Find {what} in this image. For each one, provide its 3D bounding box. The output "
        'format required is JSON: [{"bbox_3d":[x_center, y_center, z_center, x_size, y_size, '
        'z_size, roll, pitch, yaw],"label":"category"}].',
        "zh": "在提供的图像里定位{what}，输出对应的三维边界框。格式为："
        '[{"bbox_3d":[x_center, y_center, z_center, x_size, y_size, z_size, roll, pitch, yaw],'
        '"label":"类别"}]。',
    }
)
"""The prompts of the cookbook `3d_grounding.ipynb` of Qwen3-VL, with the things left open."""

_MAX_TOKENS = 2048
"""Room for about thirty boxes of nine numbers."""

_MOST_DIFFERENCE = 0.02
"""The share by which the shape of a picture may differ from that which the camera stored."""


class _Camera(NamedTuple):
    """A camera, and what is to tell of it."""

    intrinsics: CameraIntrinsics
    warnings: tuple[str, ...] = ()


def locate_3d(
    chat: VisionChat,
    image: Media,
    what: str,
    intrinsics: Intrinsics | None = None,
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Boxes3D:
    """Find things in the space before the camera, and return the boxes around them in metres.

    The model is not told of the camera: it guesses distances from the picture alone. The
    intrinsics put its boxes on the picture, in `draw()`, `project` and `to_boxes()`.

    Example:
        cars = locate_3d(chat, "street.jpg", "all cars", CameraIntrinsics(1266, 1266, 816, 491))
        for car in cars:
            print(car.label, car.distance_m, car.project(cars.camera))
        cars.draw().save("found.png")

    Args:
        chat: the model to ask.
        image: the picture. The model takes a crop for a whole picture, so that given intrinsics and
            those of EXIF hardly fit a crop.
        what: the things to find, such as "all cars".
        intrinsics: the camera of the upright picture at its full size: `CameraIntrinsics`, a 3 x 3
            matrix, or a dict of fx, fy, cx and cy. None takes the focal length in the picture's
            EXIF; without one, a field of view of 60 degrees. `found.camera.source` tells which.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{what}` in it is replaced by the things to find.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of the picture, or a preset such as "quick".

    Returns:
        The boxes in the order of the answer; `warnings` tells box by box what cannot be meant.

    Raises:
        UnsupportedFeatureError: the family writes no boxes in space: Qwen2-VL and Qwen2.5-VL.
        MessageError: `what` is empty, the language is not known, or the document has several pages.
        InputError: the picture or the intrinsics cannot be used.
        GenerationError: the model failed.
    """
    check_trained(chat, "box in space", "boxes in space", "locate, for boxes in the picture")
    words = checked_words(what, "the things to find, in words", "what")
    given = None if intrinsics is None else as_intrinsics(intrinsics)
    search = PlaceSearch(
        chat,
        image,
        chosen_prompt(PROMPTS, language, prompt, what=words),
        what=words,
        sampling=sampling,
        budget=budget,
        max_tokens=_MAX_TOKENS,
    )
    camera = _camera(given, search, chat.policy)
    boxes, told = _checked(search, camera.intrinsics)
    warnings = [*camera.warnings, *told]
    return search.result(Boxes3D, boxes, warnings=warnings, camera=camera.intrinsics)


def _checked(search: PlaceSearch, camera: CameraIntrinsics) -> tuple[list[Box3D], list[str]]:
    """The boxes of an answer, and what is odd about each."""
    written = search.written
    sound, left_out = within_sight(search.mapper.boxes_3d(written.boxes_3d))
    boxes, repeated = without_repeats(sound)
    told = [*left_out, *repeated]
    unread = num_written(search.reply.text) - len(written.boxes_3d)
    if unread > 0:
        told.append(f"{unread} of {unread + len(written.boxes_3d)} boxes could not be read")
    if written.places or written.polygons:
        told.append("places in the picture where boxes in space were asked for; left out")
    size = search.plan.original
    for index, box in enumerate(boxes):
        told += (named(index, box, fault) for fault in faults_of(box, camera, size))
    return [with_positive_sizes(box) for box in boxes], told


def _camera(given: CameraIntrinsics | None, search: PlaceSearch, policy: MediaPolicy) -> _Camera:
    """The camera of the original: as given, by its EXIF, or by a field of view."""
    plan = search.plan
    found = _Camera(given) if given is not None else _by_lens(search, policy)
    if found is None or found.intrinsics.source == "field of view":
        shown = plan.original if plan.crop is None else plan.crop.size
        assumed = CameraIntrinsics.from_field_of_view(shown)
        assumed = assumed if plan.crop is None else assumed.shifted(plan.crop)
        return _Camera(assumed, () if found is None else found.warnings)
    if plan.crop is None:
        return found
    told = "the model saw a crop, and cannot know where in the picture of this camera it lies"
    return _Camera(found.intrinsics, (*found.warnings, told))


def _by_lens(search: PlaceSearch, policy: MediaPolicy) -> _Camera | None:
    """The camera by the focal length in the picture's EXIF; None if it tells none."""
    try:
        lens = read_lens(search.source, policy)
    except MediaError:
        return None
    if lens is None:
        return None
    size = search.plan.original
    if lens.taken is not None and not _is_alike(lens.taken, size):
        told = f"the picture was cut after it was taken ({lens.taken}); its lens is not used"
        return _Camera(CameraIntrinsics.from_field_of_view(size), (told,))
    return _Camera(CameraIntrinsics.from_equivalent_focal_length(size, lens.equivalent_mm))


def _is_alike(taken: Size, size: Size) -> bool:
    """True if two sizes have the same shape, whichever way the picture is turned."""
    return abs(math.log(_shape(taken) / _shape(size))) < _MOST_DIFFERENCE


def _shape(size: Size) -> float:
    """The longer side over the shorter one, whichever way the picture is turned."""
    sides = sorted((size.width_px, size.height_px))
    return sides[1] / sides[0]
