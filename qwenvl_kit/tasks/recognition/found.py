"""Things that were recognized in a picture: typed values with their boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from qwenvl_kit.display.blocks import Cell, bar, facts, notes, table
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count, short_repr
from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Attributes, Box, sides_of
from qwenvl_kit.grounding.places import Boxes
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    import PIL.Image

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Thing:
    """A thing that was recognized; `str(thing)` is its name.

    Attributes:
        name: its name in the first language that was asked for, or else as the model names it.
        names: its name in each language that the answer has, by the code asked for.
        attributes: the attributes that were asked for and given, by name.
    """

    name: str
    names: Mapping[str, str] = field(default_factory=Attributes, hash=False)
    attributes: Mapping[str, Any] = field(default_factory=Attributes, hash=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Recognized(Generic[_Value]):
    """A value with its place.

    Attributes:
        value: the value: a `Thing`, or an instance of the caller's type.
        box: the box around it in pixels of the upright original. `box.attributes` has all other
            fields of the answer as they are written there.
        confidence: the lowest of the probabilities of the value's fields, each that of all its
            tokens together; None without scores. `box.confidence` is that of its numbers.
    """

    value: _Value
    box: Box
    confidence: float | None

    def __repr__(self) -> str:
        return short_repr(
            "Recognized", self.value, box=sides_of(self.box), confidence=self.confidence
        )


class Recognitions(Sequence[Recognized[_Value]], Generic[_Value]):
    """All that was recognized in a picture, in the order of the answer; a read-only sequence.

    Args:
        things: the values with their boxes.
        boxes: their boxes, with the reply and the picture.
        misfits: the boxes of entries whose fields are not of the type; their attributes have what
            the model wrote.
        warnings: messages about entries that could not be read or had to be corrected.
    """

    def __init__(
        self,
        things: Sequence[Recognized[_Value]],
        *,
        boxes: Boxes,
        misfits: Sequence[Box] = (),
        warnings: Sequence[str] = (),
    ) -> None:
        self._things = tuple(things)
        self.boxes = boxes
        self.misfits = tuple(misfits)
        self.warnings = tuple(warnings)

    @property
    def values(self) -> tuple[_Value, ...]:
        """The values alone."""
        return tuple(thing.value for thing in self._things)

    @property
    def reply(self) -> Reply:
        """The whole reply: tokens, usage, timing and plan."""
        return self.boxes.reply

    @property
    def image_size(self) -> Size:
        """The size of the upright picture."""
        return self.boxes.image_size

    @overload
    def __getitem__(self, index: int) -> Recognized[_Value]: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Recognized[_Value], ...]: ...

    def __getitem__(
        self, index: int | slice
    ) -> Recognized[_Value] | tuple[Recognized[_Value], ...]:
        return self._things[index]

    def __len__(self) -> int:
        return len(self._things)

    def __iter__(self) -> Iterator[Recognized[_Value]]:
        return iter(self._things)

    def __repr__(self) -> str:
        warned = f", warnings={self.warnings}" if self.warnings else ""
        return f"Recognitions({list(self._things)}{warned})"

    def draw(
        self, image: PIL.Image.Image | None = None, *, font: str | None = None
    ) -> PIL.Image.Image:
        """Return a new picture with the boxes and their labels; see `Boxes.draw`."""
        return self.boxes.draw(image, font=font)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the entries as dicts of plain values, for JSON or `pandas.DataFrame`.

        Each has the fields of its value, `box_px` as [x1, y1, x2, y2], and `confidence`.
        """
        return [
            {
                **_fields(thing.value),
                "box_px": [thing.box.x1_px, thing.box.y1_px, thing.box.x2_px, thing.box.y2_px],
                "confidence": thing.confidence,
            }
            for thing in self._things
        ]

    def _repr_html_(self) -> str:
        """Return the picture with the boxes on it, and a table of the values."""
        written = [_fields(thing.value) for thing in self._things]
        names = list(dict.fromkeys(name for fields in written for name in fields))
        rows: list[list[Cell]] = [
            [
                *(str(fields.get(name, "")) for name in names),
                sides_of(thing.box),
                bar(thing.confidence),
            ]
            for fields, thing in zip(written, self._things)
        ]
        found = table((*names, "box in px", "confidence"), rows) if rows else ""
        told = [count(len(self), "thing")]
        told += [f"{len(self.misfits)} not of the type"] * bool(self.misfits)
        picture, about_it = self.boxes.picture_html()
        return framed(picture, found, facts(*told, *about_it), notes(self.warnings))


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a value of any type, in forms that JSON has."""
    if isinstance(value, Thing):
        return {"name": value.name, **_named(value), **value.attributes}
    from pydantic_core import to_jsonable_python

    plain = to_jsonable_python(value)
    return plain if isinstance(plain, dict) else {"value": plain}


def _named(thing: Thing) -> dict[str, str]:
    return {f"name_{code}": name for code, name in thing.names.items()} if thing.names else {}
