"""Messages from and to the dicts of Qwen's guides and of OpenAI's chat API.

Both dialects may be mixed in one conversation. A key that is not known is an error: a budget or
a size that was misspelt would otherwise be lost in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, Union

from qwenvl_kit.errors import MessageError, UnsupportedFeatureError, located
from qwenvl_kit.geometry import Region
from qwenvl_kit.media.encoding import source_url
from qwenvl_kit.messages import (
    ImagePart,
    Message,
    Part,
    SaidPart,
    TextPart,
    VideoPart,
    check_conversation,
)
from qwenvl_kit.options import BudgetChoice, PixelBudget, as_budget
from qwenvl_kit.tool_dialects import calls_to_dicts, parse_tool_calls, said_parts

MessageLike: TypeAlias = Union[Message, Mapping[str, Any]]
Prompt: TypeAlias = Union[str, MessageLike, Sequence[MessageLike]]
"""What may stand where messages are wanted: a question, one message, or a conversation, whose
messages may be dicts of either dialect."""


def as_messages(prompt: Prompt, media: Sequence[Any] = ()) -> tuple[Message, ...]:
    """A checked conversation from whatever a caller wrote.

    Args:
        prompt: a question, one message, or a conversation.
        media: pictures and videos that go before the question, each a part or a source.

    Raises:
        MessageError: the conversation cannot be sent; says where.
    """
    if isinstance(prompt, str):
        messages: tuple[Message, ...] = (_question(prompt, media),)
    elif media:
        raise MessageError(
            "pictures were given beside a conversation", expected="them inside its messages"
        )
    elif isinstance(prompt, (Message, Mapping)):
        messages = from_dicts([prompt])
    elif isinstance(prompt, Iterable):
        messages = from_dicts(prompt)
    else:
        raise MessageError(
            f"a prompt of type {type(prompt).__name__} was given",
            expected="a string, a Message, or a list of messages",
        )
    check_conversation(messages)
    return messages


def from_dicts(
    messages: Iterable[MessageLike], *, allow_trusted: bool = False
) -> tuple[Message, ...]:
    """Messages from dicts of either dialect; those that are `Message` already stay as they are.

    Args:
        messages: dicts and messages.
        allow_trusted: whether texts may say that they are trusted, as those that `to_qwen` wrote
            do. Only for dicts that no stranger has written: such text can steer the model.

    Raises:
        MessageError: a dict of another form; says where.
    """
    if not isinstance(messages, Iterable) or isinstance(messages, (str, Mapping, Message)):
        raise MessageError(
            f"messages of type {type(messages).__name__} were given",
            expected="a list of messages",
            where="messages",
        )
    parsed = []
    for index, message in enumerate(messages):
        with located(f"messages[{index}]"):
            given = _with_trusted_parts(message) if allow_trusted else message
            parsed.append(given if isinstance(given, Message) else _parse_message(given))
    return tuple(parsed)


def to_qwen(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The conversation as Qwen's guides and qwen-vl-utils write it; loses nothing.

    Sources stay as they are. What that dialect has no word for is written under the names that
    this package uses (`budget`, `min_tokens`, `timestamps_seconds`) and read back by `from_dicts`.
    """
    return [
        {
            "role": message.role,
            "content": [_to_qwen_part(part) for part in said_parts(message)],
            **calls_to_dicts(message, as_text=False),
        }
        for message in messages
    ]


def to_openai(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The conversation as OpenAI's chat API takes it; pictures in memory become data URLs.

    Raises:
        UnsupportedFeatureError: a part has a budget, a size or frames, for which that dialect
            has no word.
        MediaError: a picture in memory cannot be encoded.
    """
    converted = []
    for index, message in enumerate(messages):
        with located(f"messages[{index}]"):
            content = [
                _to_openai_part(part, f"parts[{at}]") for at, part in enumerate(said_parts(message))
            ]
            calls = calls_to_dicts(message, as_text=True)
            converted.append({"role": message.role, "content": content, **calls})
    return converted


def _question(text: str, media: Sequence[Any]) -> Message:
    """Pictures first, as in the models' training and in every published guide."""
    is_part = (ImagePart, VideoPart, TextPart)
    parts = [item if isinstance(item, is_part) else ImagePart(item) for item in media]
    return Message("user", (*parts, TextPart(text)))


def _parse_message(message: Any) -> Message:
    if not isinstance(message, Mapping):
        raise MessageError(
            f"a {type(message).__name__} was given",
            expected="a Message, or a dict with role and content",
        )
    calls = parse_tool_calls(message.get("tool_calls"))
    # `tool_call_id` and `name` tell a server which call a result is of; here their order does.
    optional = ("tool_calls", "tool_call_id", "name")
    _check_keys(message, required=("role", "content"), optional=optional)
    content = message["content"]
    if content is None and calls:
        return Message(message["role"], calls)
    if isinstance(content, str):
        said = (TextPart(content),) if content or not calls else ()
        return Message(message["role"], (*said, *calls))
    if isinstance(content, Mapping) or not isinstance(content, Sequence):
        raise MessageError(
            f"content of type {type(content).__name__} was given",
            expected="a string or a list of parts",
        )
    parts: list[Part] = []
    for index, item in enumerate(content):
        with located(f"content[{index}]"):
            parts.append(_parse_part(item))
    return Message(message["role"], (*parts, *calls))


def _parse_part(item: Any) -> Part:
    if isinstance(item, str):
        return TextPart(item)
    if isinstance(item, (TextPart, ImagePart, VideoPart)):
        return item
    if not isinstance(item, Mapping):
        raise MessageError(
            f"a {type(item).__name__} was given", expected="a part, a string or a dict"
        )
    kind = item.get("type") or next((name for name in _PARSERS if item.get(name) is not None), None)
    if not isinstance(kind, str) or kind not in _PARSERS:
        raise MessageError(
            f"type={kind!r} was given with keys {sorted(map(str, item))}",
            expected=f"a type of {', '.join(_PARSERS)}",
        )
    return _PARSERS[kind](item)


def _with_trusted_parts(message: MessageLike) -> MessageLike:
    """The message with texts that say that they are trusted as parts that are."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(message, Mapping) or not isinstance(content, (list, tuple)):
        return message
    parts = [
        TextPart(item.get("text"), trusted=True)  # type: ignore[arg-type]
        if isinstance(item, Mapping) and item.get("trusted") is True
        else item
        for item in content
    ]
    return {**message, "content": parts}


def _parse_text(item: Mapping[str, Any]) -> Part:
    if item.get("trusted"):
        raise MessageError(
            "a dict says that its text is trusted",
            expected="text whose special tokens are plain characters",
            hint="TextPart(text, trusted=True) in your own code, or from_dicts(..., "
            "allow_trusted=True) for dicts that no stranger wrote",
        )
    _check_keys(item, required=("text",), optional=("type",))
    return TextPart(item["text"])


def _parse_image(item: Mapping[str, Any]) -> Part:
    sizes = ("resized_height", "resized_width")
    _check_keys(item, required=("image",), optional=("type", "crop", *_BUDGET_KEYS, *sizes))
    return ImagePart(
        item["image"],
        budget=_parse_budget(item),
        height_px=item.get("resized_height"),
        width_px=item.get("resized_width"),
        crop=_parse_crop(item.get("crop")),
    )


def _parse_crop(value: Any) -> Region | None:
    if not isinstance(value, (list, tuple)):
        return value  # type: ignore[no-any-return]  # a Region, None, or what ImagePart refuses
    if len(value) != 4:
        raise MessageError(f"crop={value!r} was given", expected="[x1, y1, x2, y2] in pixels")
    return Region(*value)


def _parse_image_url(item: Mapping[str, Any]) -> Part:
    _check_keys(item, required=("image_url",), optional=("type",))
    # `detail` tunes the price of OpenAI's own models; here the budget decides.
    return ImagePart(_parse_url(item["image_url"], optional=("detail",)))


def _parse_video(item: Mapping[str, Any]) -> Part:
    timing = (
        "fps",
        "sample_fps",
        "nframes",
        "max_frames",
        "video_start",
        "video_end",
        "timestamps_seconds",
    )
    _check_keys(item, required=("video",), optional=("type", *_BUDGET_KEYS, *timing))
    return VideoPart(
        item["video"],
        fps=item.get("sample_fps") if item.get("fps") is None else item["fps"],
        num_frames=item.get("max_frames") if item.get("nframes") is None else item["nframes"],
        start_seconds=item.get("video_start"),
        end_seconds=item.get("video_end"),
        budget=_parse_budget(item),
        timestamps_seconds=item.get("timestamps_seconds"),
    )


def _parse_video_url(item: Mapping[str, Any]) -> Part:
    _check_keys(item, required=("video_url",), optional=("type",))
    return VideoPart(_parse_url(item["video_url"], optional=()))


def _parse_url(value: Any, optional: tuple[str, ...]) -> str:
    if isinstance(value, Mapping):
        _check_keys(value, required=("url",), optional=optional)
        value = value["url"]
    if not isinstance(value, str):
        raise MessageError(
            f"a URL of type {type(value).__name__} was given",
            expected="a string",
            hint='{"type": "image", "image": ...} for pictures in memory',
        )
    return value


_PARSERS: Mapping[str, Callable[[Mapping[str, Any]], Part]] = {
    "text": _parse_text,
    "image": _parse_image,
    "image_url": _parse_image_url,
    "video": _parse_video,
    "video_url": _parse_video_url,
}
_TIMING_KEYS = (
    "fps", "sample_fps", "nframes", "max_frames", "video_start", "video_end", "timestamps_seconds",
)  # fmt: skip
_BUDGET_KEYS = (
    "budget", "min_tokens", "max_tokens", "total_tokens",
    "min_pixels", "max_pixels", "total_pixels", "max_long_edge_px",
)  # fmt: skip


def _parse_budget(item: Mapping[str, Any]) -> PixelBudget | None:
    given = {name: item[name] for name in _BUDGET_KEYS if item.get(name) is not None}
    if given.keys() == {"budget"}:
        return as_budget(given["budget"])
    if "budget" in given:
        raise MessageError("a budget and limits of its own were given", expected="one of them")
    return PixelBudget(**given) if given else None


def _check_keys(
    item: Mapping[str, Any], *, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    missing = [name for name in required if name not in item]
    if missing:
        raise MessageError(f"the key {missing[0]!r} is missing", expected=", ".join(required))
    # Clients write fields that they do not use as None or as an empty list.
    unknown = [n for n, value in item.items() if n not in required + optional and _is_set(value)]
    if unknown:
        raise MessageError(
            f"the key {unknown[0]!r} was given", expected=", ".join((*required, *optional))
        )


def _is_set(value: Any) -> bool:
    return value is not None and not (isinstance(value, (list, tuple, dict)) and not value)


def _to_qwen_part(part: SaidPart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        trusted = {"trusted": True} if part.trusted else {}
        return {"type": "text", "text": part.text, **trusted}
    budget = _to_qwen_budget(part.budget)
    if isinstance(part, ImagePart):
        sizes = {"resized_height": part.height_px, "resized_width": part.width_px}
        crop = {"crop": None if part.crop is None else list(vars(part.crop).values())}
        return _without_none({"type": "image", "image": part.source, **sizes, **crop, **budget})
    timing = {
        "fps": part.fps,
        "nframes": part.num_frames,
        "video_start": part.start_seconds,
        "video_end": part.end_seconds,
        "timestamps_seconds": part.timestamps_seconds,
    }
    return _without_none({"type": "video", "video": part.source, **timing, **budget})


def _to_qwen_budget(choice: BudgetChoice | None) -> Mapping[str, Any]:
    if choice is None:
        return {}
    # The native budget sets no limit at all, so only its name tells it from none.
    limits = _without_none(vars(as_budget(choice)))
    return limits or {"budget": "native"}


def _to_openai_part(part: SaidPart, where: str) -> dict[str, Any]:
    if isinstance(part, TextPart) and not part.trusted:
        return {"type": "text", "text": part.text}
    if isinstance(part, TextPart) or len(_to_qwen_part(part)) > 2:
        raise UnsupportedFeatureError(
            f"OpenAI's dialect has no word for the settings of {part!r}",
            hint="resize or sample it first, or use to_qwen",
            where=where,
        )
    with located(where):
        kind = "image_url" if isinstance(part, ImagePart) else "video_url"
        if kind == "video_url" and not isinstance(part.source, str):
            raise UnsupportedFeatureError(
                "OpenAI's dialect takes a video by its URL alone", hint="use to_qwen"
            )
        return {"type": kind, kind: {"url": source_url(part.source)}}


def _without_none(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value is not None}
