"""Tags in texts, such as `<image>` and `<bbox>`, with the pictures and places in their places."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qwenvl_kit.errors import TrainingDataError, located
from qwenvl_kit.formats.keys import check_keys, shown
from qwenvl_kit.formats.sources import as_source
from qwenvl_kit.messages.message import ImagePart, Part, TextPart, VideoPart
from qwenvl_kit.training.examples.places import LabelPart, PlacePart

_TAG = re.compile(r"<(image|video|ref-object|bbox)>")
_MEDIA = {"image": ImagePart, "video": VideoPart}
_PLACE_TAGS = ("ref-object", "bbox")
_NAMES = {"image": "images", "video": "videos", "ref-object": "labels", "bbox": "boxes"}

_UNITS: Mapping[str, float | None] = {"real": None, "norm1": 1.0, "norm1000": 1000.0}
"""The parts of a side that numbers count, by ms-swift's `bbox_type`; None for pixels."""


class TaggedParts:
    """The pictures, films and places of a row, handed out to tags in their order.

    Args:
        media: sources of pictures under "image", of films under "video".
        objects: the labels and boxes of the row, in the form of ms-swift; None if it has none.
    """

    def __init__(
        self, media: Mapping[str, Sequence[Any]], objects: Mapping[str, Any] | None
    ) -> None:
        self._left: dict[str, deque[Part]] = {
            kind: deque(_MEDIA[kind](as_source(source)) for source in sources)
            for kind, sources in media.items()
        }
        self._has_places = objects is not None
        if objects is not None:
            with located("objects"):
                labels, boxes = _read_objects(objects)
            self._left["ref-object"], self._left["bbox"] = deque(labels), deque(boxes)

    def check(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Check that there are as many tags as parts, of each kind.

        Args:
            texts: all texts of the conversation.

        Returns:
            The kinds of media that no tag stands for: they go before the first question.

        Raises:
            TrainingDataError: the numbers differ.
        """
        kinds = [kind for text in texts for kind in self._tags_in(text)]
        untagged = []
        for kind, parts in self._left.items():
            num_tags = kinds.count(kind)
            if not num_tags and parts and kind in _MEDIA:
                untagged.append(kind)
            elif num_tags != len(parts):
                raise TrainingDataError(
                    f"{num_tags} <{kind}> tags and {len(parts)} {_NAMES[kind]} were given",
                    expected="a tag for each of them, in their order",
                    hint=f"a text that means <{kind}> as it is written closes it: <{kind}></{kind}>"
                    if num_tags > len(parts)
                    else "",
                )
        return tuple(untagged)

    def take_all(self, kind: str) -> list[Part]:
        """Hand out all parts of a kind that no tag stands for."""
        taken = list(self._left[kind])
        self._left[kind].clear()
        return taken

    def parts_of(self, text: str, *, is_stripped: bool = False) -> list[Part]:
        """Return a text as parts, its tags replaced.

        Args:
            text: the text of one message.
            is_stripped: True to drop blanks around the tags, as Qwen's own trainer does.
        """
        parts: list[Part] = []
        at = 0
        for found in self._found_in(text):
            parts += _text(text[at : found.start()], is_stripped)
            parts.append(self._left[found[1]].popleft())
            at = found.end()
        return [*parts, *_text(text[at:], is_stripped)]

    def _tags_in(self, text: str) -> list[str]:
        return [found[1] for found in self._found_in(text)]

    def _found_in(self, text: str) -> Iterator[re.Match[str]]:
        """The tags in a text; one that is closed later is HTML or XML."""
        for found in _TAG.finditer(text):
            kind = found[1]
            is_tag = self._has_places if kind in _PLACE_TAGS else f"</{kind}>" not in text
            if is_tag:
                yield found


def _text(text: str, is_stripped: bool) -> list[TextPart]:
    text = text.strip() if is_stripped else text
    return [TextPart(text)] if text else []


def _read_objects(objects: Any) -> tuple[list[LabelPart], list[PlacePart]]:
    """The labels and boxes of a row in the form of ms-swift."""
    if not isinstance(objects, Mapping):
        raise TrainingDataError(
            f"objects of type {type(objects).__name__} were given",
            expected='{"ref": ["a dog"], "bbox": [[x1, y1, x2, y2]]}',
        )
    check_keys(objects, required=(), optional=("ref", "bbox", "bbox_type", "image_id"))
    kind = objects.get("bbox_type") or "real"
    if not isinstance(kind, str) or kind not in _UNITS:
        raise TrainingDataError(
            f"bbox_type={shown(kind)} was given", expected=" or ".join(map(repr, _UNITS))
        )
    labels = [LabelPart(label) for label in _list_of(objects, "ref")]
    boxes = _list_of(objects, "bbox")
    images = _image_indices(objects.get("image_id"), len(boxes))
    places = []
    for at, (box, image) in enumerate(zip(boxes, images)):
        with located(f"bbox[{at}]"):
            places.append(PlacePart(box, image_index=image, unit_parts=_UNITS[kind]))
    return labels, places


def _list_of(objects: Mapping[str, Any], key: str) -> list[Any]:
    given = objects.get(key)
    if given is not None and not isinstance(given, (list, tuple)):
        raise TrainingDataError(
            f"{key} of type {type(given).__name__} was given", expected="a list", where=key
        )
    return list(given or ())


def _image_indices(given: Any, num_boxes: int) -> list[int]:
    """The picture of each box; the first picture if the row does not say."""
    if given is None:
        return [0] * num_boxes
    found = list(given) if isinstance(given, (list, tuple)) else [given] * num_boxes
    if len(found) != num_boxes:
        raise TrainingDataError(
            f"{len(found)} image_id and {num_boxes} boxes were given", expected="one for each box"
        )
    return found
