"""Messages and the parts they hold: what a user says to the model.

All of them are values: built once, checked on arrival, comparable, never changed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import KW_ONLY, dataclass, fields, replace
from numbers import Integral, Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

from qwenvl_kit.errors import BudgetError, MessageError, VideoTimingError, located
from qwenvl_kit.geometry import Region
from qwenvl_kit.options import BudgetChoice, as_budget
from qwenvl_kit.thinking import ThinkingSwitch
from qwenvl_kit.tool_parts import ToolCall, ToolOffer

if TYPE_CHECKING:
    import numpy
    import PIL.Image
    import torch

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

ImageSource: TypeAlias = Union[
    str, "os.PathLike[str]", bytes, "PIL.Image.Image", "numpy.ndarray[Any, Any]", "torch.Tensor"
]
"""A path, `file://` URL, data URL, encoded bytes, Pillow image, NumPy array (H, W, C) or torch
tensor (C, H, W); arrays hold uint8, or floats in [0, 1]."""

VideoSource: TypeAlias = Union[ImageSource, Sequence[ImageSource]]
"""A video file as a path, `file://` URL, data URL or bytes; or a sequence of frames, each an
`ImageSource`; or an array (N, H, W, C) or tensor (N, C, H, W)."""


@dataclass(frozen=True)
class TextPart:
    """A stretch of text. Special tokens inside it, such as `<|im_end|>`, are plain text.

    Attributes:
        text: what is said.
        trusted: whether tokens with a meaning of their own, such as `<|object_ref_start|>` or one
            that a fine-tune added, are read as such. Only for text that you wrote yourself: never
            for what users, documents or tools bring. Turns and places of pictures cannot be written
            in this way.

    Raises:
        MessageError: it is no text that can be encoded.
    """

    text: str
    _: KW_ONLY
    trusted: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.trusted, bool):
            raise MessageError(f"trusted={self.trusted!r} was given", expected="True or False")
        if not isinstance(self.text, str):
            raise MessageError(
                f"text of type {type(self.text).__name__} was given", expected="a string"
            )
        try:
            self.text.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair, which no tokenizer takes
            raise MessageError(
                f"the text holds {self.text[error.start]!r} at position {error.start}",
                expected="text that can be encoded as UTF-8",
                hint='text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")',
            ) from error

    def __repr__(self) -> str:
        return f"TextPart(text={self.text!r}{', trusted=True' if self.trusted else ''})"


class _MediaPart:
    """What picture and video parts share: they compare by content and never print their bytes."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_equal(a, b) for a, b in zip(_values(self), _values(other)))

    __hash__ = None  # type: ignore[assignment]  # sources may be arrays, which have no hash

    def __repr__(self) -> str:
        given = ((field.name, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]
        shown = ", ".join(f"{name}={_shorten(value)}" for name, value in given if value is not None)
        return f"{type(self).__name__}({shown})"


@dataclass(frozen=True, eq=False, repr=False)
class ImagePart(_MediaPart):
    """A picture.

    Attributes:
        source: where its pixels are; see `ImageSource`.
        budget: what it may cost; None takes the request's budget.
        height_px: exact height; given together with the width.
        width_px: exact width. Both are rounded to the nearest multiple of the family's token
            side (28 or 32 px).
        crop: show this region alone, in pixels of the upright picture.

    Raises:
        BudgetError: the budget is unknown, only one side was given, or the crop is no `Region`.
    """

    source: ImageSource
    _: KW_ONLY
    budget: BudgetChoice | None = None
    height_px: int | None = None
    width_px: int | None = None
    crop: Region | None = None

    def __post_init__(self) -> None:
        _settle_budget(self)
        _check_exact_size(self.height_px, self.width_px)
        if self.crop is not None and not isinstance(self.crop, Region):
            raise BudgetError(
                f"crop={self.crop!r} was given", expected="Region(x1_px, y1_px, x2_px, y2_px)"
            )


@dataclass(frozen=True, eq=False, repr=False)
class VideoPart(_MediaPart):
    """A video.

    Without fps, num_frames and timestamps_seconds a file is sampled as Qwen's models were trained:
    two frames a second, at least 4 and at most 768 of them.

    Attributes:
        source: a file, or a sequence of frames; see `VideoSource`.
        fps: how many frames of a second the model sees; for a sequence of frames, how many of
            them make a second.
        timestamps_seconds: rising times instead: of a file the frames that are shown at these
            times are used; of a sequence of frames they are the time of each.
        num_frames: use at most this many, evenly spread; None sets no limit.
        start_seconds: leave out what comes before; times count from the first frame on.
        end_seconds: leave out what comes after.
        budget: what each group of frames that share their patches may cost; None takes the
            request's budget.

    Raises:
        BudgetError: the budget is unknown.
        VideoTimingError: a time or rate cannot be meant.
    """

    source: VideoSource
    _: KW_ONLY
    fps: float | None = None
    num_frames: int | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    budget: BudgetChoice | None = None
    timestamps_seconds: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _settle_budget(self)
        if self.timestamps_seconds is not None:
            object.__setattr__(self, "timestamps_seconds", _as_times(self.timestamps_seconds))
        _check_timing(self)


SaidPart: TypeAlias = Union[TextPart, ImagePart, VideoPart]
Part: TypeAlias = Union[SaidPart, ToolCall, ToolOffer, ThinkingSwitch]

ROLE_PARTS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "system": (TextPart, ToolOffer, ThinkingSwitch),
        "user": (TextPart, ImagePart, VideoPart),
        "assistant": (TextPart, ToolCall),
        "tool": (TextPart, ImagePart),
    }
)
"""The parts that a message of each role may hold."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: "system", "user", "assistant" or "tool".
        parts: what it holds, in order; a string is taken for a `TextPart`.

    Raises:
        MessageError: an unknown role, no parts, or a part that the role may not hold.
    """

    role: Role
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.role, str) or self.role not in ROLE_PARTS:
            raise MessageError(f"role={self.role!r} was given", expected=_one_of(ROLE_PARTS))
        given = (self.parts,) if isinstance(self.parts, (str, *_PART_TYPES)) else self.parts
        if not isinstance(given, Iterable) or isinstance(given, (bytes, Mapping, Set)):
            raise MessageError(
                f"parts of type {type(given).__name__} were given", expected="a sequence of parts"
            )
        parts = tuple(TextPart(part) if isinstance(part, str) else part for part in given)
        object.__setattr__(self, "parts", parts)
        _check_parts(self.role, parts)

    @classmethod
    def system(cls, *parts: Part | str) -> Message:
        """Instructions for the whole conversation; text only."""
        return cls("system", tuple(parts))  # type: ignore[arg-type]

    @classmethod
    def user(cls, *parts: Part | str) -> Message:
        """A user's turn: text, pictures and videos in any order."""
        return cls("user", tuple(parts))  # type: ignore[arg-type]

    @classmethod
    def assistant(cls, *parts: Part | str) -> Message:
        """An earlier answer of the model: text, and calls of tools."""
        return cls("assistant", tuple(parts))  # type: ignore[arg-type]

    @classmethod
    def tool(cls, *parts: Part | str) -> Message:
        """What a tool gave: text and pictures."""
        return cls("tool", tuple(parts))  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        """All its text, without anything between the parts."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


def with_system_part(messages: Sequence[Message], part: Part) -> tuple[Message, ...]:
    """The conversation with a part more in its system message, which is made if there is none."""
    if messages and messages[0].role == "system":
        return (Message("system", (*messages[0].parts, part)), *messages[1:])
    return (Message("system", (part,)), *messages)


def iter_media(messages: Sequence[Message]) -> Iterator[tuple[str, ImagePart | VideoPart]]:
    """Each picture and video in order, with its place, such as `messages[1].parts[0]`."""
    for message_index, message in enumerate(messages):
        for part_index, part in enumerate(message.parts):
            if isinstance(part, (ImagePart, VideoPart)):
                yield f"messages[{message_index}].parts[{part_index}]", part


def with_media(
    messages: Sequence[Message], parts: Mapping[str, ImagePart | VideoPart]
) -> tuple[Message, ...]:
    """The conversation with other parts in some places, named as `iter_media` names them."""
    return tuple(
        replace(
            message,
            parts=tuple(
                parts.get(f"messages[{message_index}].parts[{part_index}]", part)
                for part_index, part in enumerate(message.parts)
            ),
        )
        for message_index, message in enumerate(messages)
    )


def check_conversation(messages: Sequence[Message]) -> None:
    """Refuse a conversation that no chat template can render an answer to.

    Raises:
        MessageError: no messages, a system message that is not first, or no turn to answer.
    """
    if not messages:
        raise MessageError(
            "the list of messages is empty", expected="at least one user message", where="messages"
        )
    for index, message in enumerate(messages):
        if message.role == "system" and index > 0:
            raise MessageError(
                "a system message stands after others",
                expected="it first",
                where=f"messages[{index}]",
            )
    if messages[-1].role not in ("user", "tool"):
        raise MessageError(
            f"the last message has role {messages[-1].role!r}",
            expected="a user message, which the model answers",
            where=f"messages[{len(messages) - 1}]",
        )


_PART_TYPES = (TextPart, ImagePart, VideoPart, ToolCall, ToolOffer, ThinkingSwitch)


def _check_parts(role: str, parts: tuple[Part, ...]) -> None:
    if not parts:
        raise MessageError(f"the {role} message is empty", expected="at least one part")
    allowed = ROLE_PARTS[role]
    for index, part in enumerate(parts):
        if not isinstance(part, allowed):
            raise MessageError(
                f"a {role} message cannot hold {_shorten(part)}",
                expected=f"a string, {_one_of(kind.__name__ for kind in allowed)}",
                hint="wrap a picture as ImagePart(...)" if role == "user" else "",
                where=f"parts[{index}]",
            )


def _settle_budget(part: ImagePart | VideoPart) -> None:
    if part.budget is not None:
        with located("budget"):
            object.__setattr__(part, "budget", as_budget(part.budget))


def _check_exact_size(height_px: int | None, width_px: int | None) -> None:
    if (height_px is None) != (width_px is None):
        raise BudgetError(
            f"height_px={height_px}, width_px={width_px} were given", expected="both or neither"
        )
    for name, value in (("height_px", height_px), ("width_px", width_px)):
        if value is not None and not _is_count(value):
            raise BudgetError(f"{name}={value!r} was given", expected="a whole number above 0")


def _check_timing(part: VideoPart) -> None:
    if part.fps is not None and part.timestamps_seconds is not None:
        raise VideoTimingError("both fps and timestamps_seconds were given", expected="one of them")
    if part.fps is not None and not (_is_finite(part.fps) and part.fps > 0):
        raise VideoTimingError(f"fps={part.fps!r} was given", expected="a number above 0")
    if part.num_frames is not None and not _is_count(part.num_frames):
        raise VideoTimingError(
            f"num_frames={part.num_frames!r} was given", expected="a whole number above 0"
        )
    for name, value in (("start_seconds", part.start_seconds), ("end_seconds", part.end_seconds)):
        if value is not None and not (_is_finite(value) and value >= 0):
            raise VideoTimingError(f"{name}={value!r} was given", expected="a number of at least 0")
    if (part.start_seconds or 0.0) >= (math.inf if part.end_seconds is None else part.end_seconds):
        raise VideoTimingError(
            f"start_seconds={part.start_seconds}, end_seconds={part.end_seconds} were given",
            expected="a start before the end",
        )


def _as_times(given: Any) -> tuple[float, ...]:
    times = tuple(given) if isinstance(given, Iterable) else (None,)
    if not all(map(_is_finite, times)):
        raise VideoTimingError(
            f"timestamps_seconds={_shorten(given)} was given", expected="one number per frame"
        )
    return tuple(map(float, times))


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _is_finite(value: object) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):  # NumPy's numbers are real too
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def _values(part: _MediaPart) -> tuple[Any, ...]:
    return tuple(getattr(part, field.name) for field in fields(part))  # type: ignore[arg-type]


def _equal(a: Any, b: Any) -> bool:
    """Equality that also holds for arrays, whose `==` gives an array."""
    if a is b:
        return True
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    if type(a) is not type(b):
        return False
    if any(getattr(a, name, None) != getattr(b, name, None) for name in ("shape", "dtype")):
        return False
    same = a == b
    return bool(same.all() if hasattr(same, "all") else same)


def _shorten(value: Any) -> str:
    """A source in a few words: never bytes, pixels or a data URL at length."""
    if isinstance(value, (bytes, bytearray)):
        return f"<{len(value)} bytes>"
    if hasattr(value, "shape"):
        return f"<{type(value).__name__} {tuple(value.shape)}>"
    if isinstance(value, (list, tuple)) and value and not isinstance(value[0], (int, float)):
        return f"<{len(value)} frames>"
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}...{text[-10:]}"


def _one_of(names: Any) -> str:
    return " or ".join(str(name) for name in names)
