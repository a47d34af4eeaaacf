"""Messages from and to the dicts of Qwen's guides and of OpenAI's chat API.

Both formats may be mixed in one conversation. An unknown key is an error: otherwise a misspelt
budget or size would be ignored silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, Union

from qwenvl_kit.errors import MessageError, UnsupportedFeatureError, located
from qwenvl_kit.formats.documents import document_to_openai, document_to_qwen
from qwenvl_kit.formats.keys import OF_NO_EFFECT_IN_MESSAGES, check_keys, shown
from qwenvl_kit.formats.parts import parse_part
from qwenvl_kit.formats.placeholders import fill_placeholders
from qwenvl_kit.formats.subtitles import subtitles_to_qwen
from qwenvl_kit.formats.thinking import THINKING_KEYS, parse_thinking, thinking_to_dict
from qwenvl_kit.formats.tool_calls import calls_to_dicts, parse_tool_calls, said_parts
from qwenvl_kit.formats.tool_results import results_in_order
from qwenvl_kit.media.encoding import source_url
from qwenvl_kit.media.policy import DEFAULT_POLICY, MediaPolicy
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import (
    ImagePart,
    Message,
    Part,
    SaidPart,
    TextPart,
    VideoPart,
)
from qwenvl_kit.messages.order import check_conversation
from qwenvl_kit.options import BudgetChoice, as_budget

MessageLike: TypeAlias = Union[Message, Mapping[str, Any]]
Prompt: TypeAlias = Union[str, MessageLike, Sequence[MessageLike]]
"""The types that every `prompt` argument takes: a question, one message, or a conversation, whose
messages may be dicts of either format."""


def as_messages(prompt: Prompt, media: Sequence[Any] = ()) -> tuple[Message, ...]:
    """Return a checked conversation from any kind of prompt.

    Args:
        prompt: a question, one message, or a conversation.
        media: pictures and videos, each a part or a source. They go before the question, or into
            the placeholders of dicts, such as `{"type": "image"}`.

    Raises:
        MessageError: the conversation cannot be sent; the error says where.
    """
    if isinstance(prompt, str):
        messages: tuple[Message, ...] = (_question(prompt, media),)
    elif isinstance(prompt, (Message, Mapping)):
        messages = from_dicts(_with_media([prompt], media))
    elif isinstance(prompt, Iterable):
        messages = from_dicts(_with_media(prompt, media))
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
    """Return messages from dicts of either format; `Message` objects stay as they are.

    The results of tools whose dicts name their call are put into the order of the calls.

    Args:
        messages: dicts and messages.
        allow_trusted: True to accept texts that are marked as trusted, as `to_qwen` writes them.
            Use it only for dicts from a source that you trust: such texts can control the model.

    Raises:
        MessageError: a dict has another form, or a result belongs to no call; the error says where.
    """
    if not isinstance(messages, Iterable) or isinstance(messages, (str, Mapping, Message)):
        raise MessageError(
            f"messages of type {type(messages).__name__} were given",
            expected="a list of messages",
            where="messages",
        )
    given, parsed = list(messages), []
    for index, message in enumerate(given):
        with located(f"messages[{index}]"):
            read = _with_trusted_parts(message) if allow_trusted else message
            parsed.append(read if isinstance(read, Message) else _parse_message(read))
    return results_in_order(given, parsed)


def to_qwen(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the conversation in the format of Qwen's guides and qwen-vl-utils; nothing is lost.

    Sources stay as they are. Settings that the format does not have are written under the names of
    this package (`budget`, `min_tokens`, `timestamps_seconds`), and `from_dicts` reads them.
    """
    return [
        {
            "role": message.role,
            "content": [_to_qwen_part(part) for part in said_parts(message)],
            **thinking_to_dict(message),
            **calls_to_dicts(message, as_text=False),
        }
        for message in messages
    ]


def to_openai(
    messages: Sequence[Message], *, policy: MediaPolicy = DEFAULT_POLICY
) -> list[dict[str, Any]]:
    """Return the conversation in the format of OpenAI's chat API.

    Pictures in memory become data URLs.

    Args:
        messages: the conversation.
        policy: the rules for sources that must be opened: all but paths and URLs.

    Raises:
        UnsupportedFeatureError: a part has settings (a budget, a size, frames) that the format does
            not have.
        MediaError: a picture in memory cannot be encoded.
    """
    converted = []
    for index, message in enumerate(messages):
        with located(f"messages[{index}]"):
            content = [
                _to_openai_part(part, f"parts[{at}]", policy)
                for at, part in enumerate(said_parts(message))
            ]
            calls = {**thinking_to_dict(message), **calls_to_dicts(message, as_text=True)}
            converted.append({"role": message.role, "content": content, **calls})
    return converted


def _question(text: str, media: Sequence[Any]) -> Message:
    """A message with the pictures first, as in the models' training and in published guides."""
    is_part = (ImagePart, VideoPart, DocumentPart, TextPart)
    parts = [item if isinstance(item, is_part) else ImagePart(item) for item in media]
    return Message("user", (*parts, TextPart(text)))


def _with_media(messages: Iterable[MessageLike], media: Sequence[Any]) -> Iterable[MessageLike]:
    return fill_placeholders(messages, media) if media else messages


def _parse_message(message: Any) -> Message:
    if not isinstance(message, Mapping):
        raise MessageError(
            f"a {type(message).__name__} was given",
            expected="a Message, or a dict with role and content",
        )
    calls: tuple[Part, ...] = parse_tool_calls(message.get("tool_calls"))
    optional = ("tool_calls", "type", "refusal", *THINKING_KEYS, *OF_NO_EFFECT_IN_MESSAGES)
    check_keys(message, required=("role", "content"), optional=optional)
    role, content, thoughts = _role_of(message), _content_of(message), parse_thinking(message)
    if content is None and (calls or thoughts):
        return Message(role, (*thoughts, *calls))
    if isinstance(content, str):
        said = (TextPart(content),) if content or not calls else ()
        return Message(role, (*thoughts, *said, *calls))
    if isinstance(content, Mapping) or not isinstance(content, Sequence):
        raise MessageError(
            f"content of type {type(content).__name__} was given",
            expected="a string or a list of parts",
        )
    parts: list[Part] = []
    for index, item in enumerate(content):
        with located(f"content[{index}]"):
            parts.append(parse_part(item))
    return Message(role, (*thoughts, *parts, *calls))


def _role_of(message: Mapping[str, Any]) -> Any:
    if message.get("type") not in (None, "message"):  # a type of OpenAI's Responses API
        raise MessageError(
            f"an item of type {shown(message['type'])} was given", expected="a message"
        )
    role = message["role"]
    return "system" if role == "developer" else role  # OpenAI's newer name of the role


def _content_of(message: Mapping[str, Any]) -> Any:
    """The content of a message, or its refusal."""
    content, refusal = message["content"], message.get("refusal")
    if refusal is None:
        return content
    if content:
        raise MessageError("content and a refusal were given", expected="one of them")
    return refusal


def _with_trusted_parts(message: MessageLike) -> MessageLike:
    """The message with texts that are marked as trusted turned into trusted parts."""
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


def _to_qwen_part(part: SaidPart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        trusted = {"trusted": True} if part.trusted else {}
        return {"type": "text", "text": part.text, **trusted}
    budget = _to_qwen_budget(part.budget)
    if isinstance(part, DocumentPart):
        return {**document_to_qwen(part), **budget}
    sizes = {"resized_height": part.height_px, "resized_width": part.width_px}
    if isinstance(part, ImagePart):
        crop = {"crop": None if part.crop is None else list(vars(part.crop).values())}
        return _without_none({"type": "image", "image": part.source, **sizes, **crop, **budget})
    timing = {
        "fps": part.fps,
        "nframes": part.num_frames,
        "min_frames": part.min_frames,
        "max_frames": part.max_frames,
        "video_start": part.start_seconds,
        "video_end": part.end_seconds,
        "timestamps_seconds": part.timestamps_seconds,
        "subtitles": subtitles_to_qwen(part.subtitles),
        "max_subtitle_tokens": part.max_subtitle_tokens,
    }
    return _without_none({"type": "video", "video": part.source, **timing, **sizes, **budget})


def _to_qwen_budget(choice: BudgetChoice | None) -> Mapping[str, Any]:
    if choice is None:
        return {}
    # The native budget has no limits, so only its name shows that it is not None.
    limits = _without_none(vars(as_budget(choice)))
    return limits or {"budget": "native"}


def _to_openai_part(part: SaidPart, where: str, policy: MediaPolicy) -> dict[str, Any]:
    if isinstance(part, TextPart) and not part.trusted:
        return {"type": "text", "text": part.text}
    if isinstance(part, DocumentPart):
        return document_to_openai(part, where, policy)
    if isinstance(part, TextPart) or len(_to_qwen_part(part)) > 2:
        raise UnsupportedFeatureError(
            f"OpenAI's format cannot express the settings of {part!r}",
            hint="resize or sample it first, or use to_qwen",
            where=where,
        )
    with located(where):
        kind = "image_url" if isinstance(part, ImagePart) else "video_url"
        if kind == "video_url" and not isinstance(part.source, str):
            raise UnsupportedFeatureError(
                "OpenAI's format takes a video only by its URL", hint="use to_qwen"
            )
        return {"type": kind, kind: {"url": source_url(part.source, policy)}}


def _without_none(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value is not None}
