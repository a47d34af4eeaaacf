"""Messages of a conversation and their parts: text, pictures and videos.

All of them are values: checked when they are built, comparable, and never changed afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import KW_ONLY, dataclass, fields
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias, Union

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import BudgetError, MessageError, located
from qwenvl_kit.geometry import Region
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.subtitles import SubtitleSource, as_subtitles
from qwenvl_kit.messages.thinking import ThinkingSwitch
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.messages.tool_parts import ToolCall, ToolOffer
from qwenvl_kit.messages.video_timing import as_times, check_frame_counts, check_times, is_count
from qwenvl_kit.options import BudgetChoice, as_budget
from qwenvl_kit.safe_text import shown_source

if TYPE_CHECKING:
    import numpy
    import PIL.Image
    import torch

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

ImageSource: TypeAlias = Union[
    str,
    "os.PathLike[str]",
    bytes,
    "IO[bytes]",
    Mapping[str, Any],
    "PIL.Image.Image",
    "numpy.ndarray[Any, Any]",
    "torch.Tensor",
]
"""A path, `file://` URL, data URL, base64, encoded bytes, an open file, Pillow image, NumPy array
(H, W, C) or torch tensor (C, H, W); arrays hold red, green and blue as uint8, or as floats in
[0, 1]. A mapping is a row of a data set: `{"bytes": ..., "path": ...}`, of which bytes count first.
"""

VideoSource: TypeAlias = Union[ImageSource, Sequence[ImageSource]]
"""A video file as a path, `file://` URL, data URL or bytes; or a sequence of frames, each an
`ImageSource`, or all in one URL, `data:video/jpeg;base64,<frame>,<frame>`; or an array (N, H, W, C)
or tensor (N, C, H, W)."""


@explains_wrong_arguments
@dataclass(frozen=True)
class TextPart:
    """Text in a message. Special tokens inside it, such as `<|im_end|>`, are plain text.

    Attributes:
        text: the text, any string that can be encoded as UTF-8.
        trusted: True if special tokens in the text, such as `<|object_ref_start|>` or one that a
            fine-tune added, keep their special meaning. Use it only for text that you wrote
            yourself, never for text from users, documents or tools. Even then, tokens that begin
            a turn or stand for a picture are plain text.

    Raises:
        MessageError: `text` is not a string, or cannot be encoded as UTF-8.
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
    """The base of picture and video parts: compared by content, and shown without their bytes."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_equal(a, b) for a, b in zip(_values(self), _values(other)))

    __hash__ = None  # type: ignore[assignment]  # sources may be arrays, which have no hash

    def __repr__(self) -> str:
        given = ((field.name, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]
        shown = ", ".join(
            f"{name}={_shown(name, value)}" for name, value in given if value is not None
        )
        return f"{type(self).__name__}({shown})"

    def _repr_html_(self) -> str:
        from qwenvl_kit.display.parts import part_html

        return part_html(self)


@explains_wrong_arguments
@dataclass(frozen=True, eq=False, repr=False)
class ImagePart(_MediaPart):
    """A picture in a message.

        ImagePart("cat.jpg")
        ImagePart("scan.png", budget="fine", crop=Region(0, 0, 800, 600))

    Attributes:
        source: a path, URL, bytes, Pillow image or array; see `ImageSource`.
        budget: visual tokens that the picture may cost: a `PixelBudget`, or the name of a preset,
            such as "fine". None takes the budget of the request.
        height_px: exact height in pixels, in place of a budget; needs `width_px` too.
        width_px: exact width in pixels. The model sees both sides rounded to the nearest multiple
            of its token side (28 or 32 px).
        crop: the region to show, in pixels of the upright picture; None shows all of it.

    Raises:
        BudgetError: the budget is unknown, only one side was given, or `crop` is not a `Region`.

    The source is not opened before the request is planned or asked.
    """

    source: ImageSource
    _: KW_ONLY
    budget: BudgetChoice | None = None
    height_px: int | None = None
    width_px: int | None = None
    crop: Region | None = None

    @property
    def frame_index(self) -> int:
        """The current frame of an animated Pillow image when it was given; 0 for other sources."""
        return self._frame_index  # type: ignore[attr-defined, no-any-return]

    def __post_init__(self) -> None:
        _resolve_budget(self)
        _check_exact_size(self.height_px, self.width_px)
        object.__setattr__(self, "_frame_index", _frame_index(self.source))
        if self.crop is not None and not isinstance(self.crop, Region):
            raise BudgetError(
                f"crop={self.crop!r} was given", expected="Region(x1_px, y1_px, x2_px, y2_px)"
            )


@explains_wrong_arguments
@dataclass(frozen=True, eq=False, repr=False)
class VideoPart(_MediaPart):
    """A video in a message: a file, or a sequence of frames.

        VideoPart("talk.mp4")                      # 2 frames per second, 4 to 768 frames
        VideoPart("talk.mp4", fps=0.5, start_seconds=60, end_seconds=120)
        VideoPart([frame1, frame2, frame3], fps=1)  # frames one second apart
        VideoPart("talk.mp4", subtitles="auto")     # and what is said in it, as text

    Without `fps`, `num_frames` and `timestamps_seconds`, a file is sampled as Qwen's models were
    trained: two frames per second, at least 4 and at most 768. `min_frames` and `max_frames`
    change these bounds and not the rate.

    Attributes:
        source: a path, URL or bytes of a video file, or a sequence of pictures; see
            `VideoSource`.
        fps: frames per second that the model sees. For a sequence of frames: the number of its
            frames that make one second.
        timestamps_seconds: times in rising order, in place of `fps`. Of a file, the frames that
            are shown at these times are used; for a sequence, the time of each of its frames.
        num_frames: the number of frames to use at most, evenly spread; None leaves it to `fps`.
        min_frames: the least number of frames, where `fps` gives fewer and the file has them.
        max_frames: the most frames, where `fps` gives more. Frames of a file are used in pairs,
            as in qwen-vl-utils: the minimum is rounded up to an even number, the maximum down,
            and the maximum wins.
        start_seconds: skip everything before this time; 0 is the first frame of the video.
        end_seconds: skip everything after this time.
        budget: visual tokens that one group of frames may cost (two frames share their tokens in
            every Qwen-VL family so far); None takes the budget of the request.
        height_px: exact height of each frame in pixels; needs `width_px` too.
        width_px: exact width of each frame; both are rounded as for an `ImagePart`.
        subtitles: lines of text that the model reads at their times: a file (.srt, .vtt, .ass) as
            a path, URL or bytes; `Subtitle`s; or "auto" for a file of the film's name beside it,
            else the text track within it. None shows none. The sound of a film is not heard.
        max_subtitle_tokens: most tokens of these lines; None for a quarter of the model's context.
            If they take more, those that are heard at the shown frames are kept, and of these
            evenly chosen ones; the plan's warnings tell how many were left out.

    Raises:
        BudgetError: the budget is unknown, or only one side was given; or `max_subtitle_tokens` is
            no count.
        VideoTimingError: a time, rate or number of frames is out of range, or two of them
            contradict each other.
        MessageError: the subtitles are neither a file, nor lines, nor "auto".
    """

    source: VideoSource
    _: KW_ONLY
    fps: float | None = None
    num_frames: int | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    budget: BudgetChoice | None = None
    timestamps_seconds: tuple[float, ...] | None = None
    min_frames: int | None = None
    max_frames: int | None = None
    height_px: int | None = None
    width_px: int | None = None
    subtitles: SubtitleSource | None = None
    max_subtitle_tokens: int | None = None

    def __post_init__(self) -> None:
        _resolve_budget(self)
        _check_exact_size(self.height_px, self.width_px)
        object.__setattr__(self, "source", _as_frames(self.source))
        object.__setattr__(self, "subtitles", as_subtitles(self.subtitles))
        if self.max_subtitle_tokens is not None and not is_count(self.max_subtitle_tokens):
            raise BudgetError(
                f"max_subtitle_tokens={self.max_subtitle_tokens!r} was given",
                expected="a whole number above 0",
            )
        if self.timestamps_seconds is not None:
            object.__setattr__(self, "timestamps_seconds", as_times(self.timestamps_seconds))
        check_times(
            fps=self.fps,
            timestamps_seconds=self.timestamps_seconds,
            start_seconds=self.start_seconds,
            end_seconds=self.end_seconds,
        )
        check_frame_counts(
            min_frames=self.min_frames, num_frames=self.num_frames, max_frames=self.max_frames
        )


SaidPart: TypeAlias = Union[TextPart, ImagePart, VideoPart, DocumentPart]
Part: TypeAlias = Union[SaidPart, ToolCall, ToolOffer, ThinkingPart, ThinkingSwitch]

ROLE_PARTS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "system": (TextPart, ToolOffer, ThinkingSwitch),
        "user": (TextPart, ImagePart, VideoPart, DocumentPart),
        "assistant": (TextPart, ThinkingPart, ToolCall),
        "tool": (TextPart, ImagePart, DocumentPart),
    }
)
"""The kinds of parts that a message of each role may hold."""


@explains_wrong_arguments
@dataclass(frozen=True)
class Message:
    """One message of a conversation: a role, and parts in the order in which the model reads them.

        Message.user("What is this?", ImagePart("cat.jpg"))

    Attributes:
        role: "system", "user", "assistant" or "tool".
        parts: text, pictures, videos, documents, tool calls and thoughts, in order. A string
            becomes a `TextPart`; a single part needs no tuple around it.

    Raises:
        MessageError: the role is unknown, there are no parts, or the role may not hold a part of
            that kind: a system message holds text alone, for example.
    """

    role: Role
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.role, str) or self.role not in ROLE_PARTS:
            raise MessageError(f"role={self.role!r:.80} was given", expected=_one_of(ROLE_PARTS))
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
        """Build a system message: instructions for the whole conversation, as text."""
        return cls("system", tuple(parts))  # type: ignore[arg-type]

    @classmethod
    def user(cls, *parts: Part | str) -> Message:
        """Build a user message: text, pictures, videos and documents in any order."""
        return cls("user", tuple(parts))  # type: ignore[arg-type]

    @classmethod
    def assistant(cls, *parts: Part | str) -> Message:
        """Build an assistant message: an earlier answer of the model, with thoughts and tool calls.

        As the last message it is the beginning of the answer, which the model continues.
        """
        return cls("assistant", tuple(parts))  # type: ignore[arg-type]

    @classmethod
    def tool(cls, *parts: Part | str) -> Message:
        """Build a tool message: the result of a tool call, as text, pictures and documents."""
        return cls("tool", tuple(parts))  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        """The text of all text parts, joined without anything between them."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


def with_system_part(messages: Sequence[Message], part: Part) -> tuple[Message, ...]:
    """Return the conversation with one more part in its system message; add one if needed."""
    if messages and messages[0].role == "system":
        return (Message("system", (*messages[0].parts, part)), *messages[1:])
    return (Message("system", (part,)), *messages)


def iter_media(messages: Sequence[Message]) -> Iterator[tuple[str, ImagePart | VideoPart]]:
    """Yield each picture and video in order, with its place, such as `messages[1].parts[0]`."""
    for where, part in iter_parts(messages):
        if isinstance(part, (ImagePart, VideoPart)):
            yield where, part


def iter_parts(messages: Sequence[Message]) -> Iterator[tuple[str, Part]]:
    """Yield each part in order, with its place, such as `messages[1].parts[0]`."""
    for message_index, message in enumerate(messages):
        for part_index, part in enumerate(message.parts):
            yield f"messages[{message_index}].parts[{part_index}]", part


_PART_TYPES = (
    *(TextPart, ImagePart, VideoPart, DocumentPart),
    *(ToolCall, ToolOffer, ThinkingPart, ThinkingSwitch),
)


def _check_parts(role: str, parts: tuple[Part, ...]) -> None:
    if not parts:
        raise MessageError(f"the {role} message is empty", expected="at least one part")
    allowed = ROLE_PARTS[role]
    for index, part in enumerate(parts):
        if not isinstance(part, allowed):
            raise MessageError(
                f"a {role} message cannot hold {shown_source(part)}",
                expected=f"a string, {_one_of(kind.__name__ for kind in allowed)}",
                hint="wrap a picture as ImagePart(...)" if role == "user" else "",
                where=f"parts[{index}]",
            )


def _resolve_budget(part: ImagePart | VideoPart) -> None:
    if part.budget is not None:
        with located("budget"):
            object.__setattr__(part, "budget", as_budget(part.budget))


def _as_frames(source: VideoSource) -> VideoSource:
    """Split a data URL that holds several JPEGs (vLLM's form) into frames; else return it."""
    if not isinstance(source, str) or source[: len(_FRAMES_URL)].lower() != _FRAMES_URL:
        return source
    frames = source[len(_FRAMES_URL) :].split(",")
    return tuple(f"data:image/jpeg;base64,{frame}" for frame in frames)


_FRAMES_URL = "data:video/jpeg;base64,"


def _frame_index(source: Any) -> int:
    """The current frame of a Pillow image: an animated one is the same object at every frame."""
    if isinstance(source, type) or not (hasattr(source, "mode") and hasattr(source, "tell")):
        return 0
    try:
        return int(source.tell())
    except Exception:  # closed, or of a class of its own: to be refused when it is read
        return 0


def _check_exact_size(height_px: int | None, width_px: int | None) -> None:
    if (height_px is None) != (width_px is None):
        raise BudgetError(
            f"height_px={height_px}, width_px={width_px} were given", expected="both or neither"
        )
    for name, value in (("height_px", height_px), ("width_px", width_px)):
        if value is not None and not is_count(value):
            raise BudgetError(f"{name}={value!r} was given", expected="a whole number above 0")


def _shown(name: str, value: Any) -> str:
    """A field of a part in a few words."""
    if name == "subtitles" and isinstance(value, tuple):
        return f"<{len(value)} lines>"
    return shown_source(value)


def _values(part: _MediaPart) -> tuple[Any, ...]:
    return tuple(getattr(part, field.name) for field in fields(part))  # type: ignore[arg-type]


def _equal(a: Any, b: Any) -> bool:
    """True if two values are equal; also for arrays, whose `==` gives an array."""
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


def _one_of(names: Any) -> str:
    return " or ".join(str(name) for name in names)
