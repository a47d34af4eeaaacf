"""Messages from and to the dicts of Qwen's guides and of OpenAI's chat API.

Both dialects may be mixed in one conversation. A key that is not known is an error: a budget or
a size that was misspelt would otherwise be lost in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, Union

from qwenvl_kit.errors import MessageError, UnsupportedFeatureError, located
from qwenvl_kit.formats.documents import document_to_openai, document_to_qwen
from qwenvl_kit.formats.keys import OF_NO_EFFECT_IN_MESSAGES, check_keys, shown
from qwenvl_kit.formats.parts import parse_part
from qwenvl_kit.formats.placeholders import fill_placeholders
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
"""What may stand where messages are wanted: a question, one message, or a conversation, whose
messages may be dicts of either dialect."""


def as_messages(prompt: Prompt, media: Sequence[Any] = ()) -> tuple[Message, ...]:
    """A checked conversation from whatever a caller wrote.

    Args:
        prompt: a question, one message, or a conversation.
        media: pictures and videos, each a part or a source: they go before the question, or to
            the places that dicts hold for them, such as `{"type": "image"}`.

    Raises:
        MessageError: the conversation cannot be sent; says where.
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
    """Messages from dicts of either dialect; those that are `Message` already stay as they are.

    Results of tools whose dicts say which call they are of are put into the order of the calls.

    Args:
        messages: dicts and messages.
        allow_trusted: whether texts may say that they are trusted, as those that `to_qwen` wrote
            do. Only for dicts that no stranger has written: such text can steer the model.

    Raises:
        MessageError: a dict of another form, or a result of no call; says where.
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
    """The conversation as Qwen's guides and qwen-vl-utils write it; loses nothing.

    Sources stay as they are. What that dialect has no word for is written under the names that
    this package uses (`budget`, `min_tokens`, `timestamps_seconds`) and read back by `from_dicts`.
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
    """The conversation as OpenAI's chat API takes it; pictures in memory become data URLs.

    Args:
        messages: the conversation.
        policy: what may be opened, of what is given neither as a path nor as a URL.

    Raises:
        UnsupportedFeatureError: a part has a budget, a size or frames, for which that dialect
            has no word.
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
    """Pictures first, as in the models' training and in every published guide."""
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
    if message.get("type") not in (None, "message"):  # that of OpenAI's Responses
        raise MessageError(
            f"an item of type {shown(message['type'])} was given", expected="a message"
        )
    role = message["role"]
    return "system" if role == "developer" else role  # OpenAI's later name for it


def _content_of(message: Mapping[str, Any]) -> Any:
    """What a message says, which may be that the model refused."""
    content, refusal = message["content"], message.get("refusal")
    if refusal is None:
        return content
    if content:
        raise MessageError("content and a refusal were given", expected="one of them")
    return refusal


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
    }
    return _without_none({"type": "video", "video": part.source, **timing, **sizes, **budget})


def _to_qwen_budget(choice: BudgetChoice | None) -> Mapping[str, Any]:
    if choice is None:
        return {}
    # The native budget sets no limit at all, so only its name tells it from none.
    limits = _without_none(vars(as_budget(choice)))
    return limits or {"budget": "native"}


def _to_openai_part(part: SaidPart, where: str, policy: MediaPolicy) -> dict[str, Any]:
    if isinstance(part, TextPart) and not part.trusted:
        return {"type": "text", "text": part.text}
    if isinstance(part, DocumentPart):
        return document_to_openai(part, where, policy)
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
        return {"type": kind, kind: {"url": source_url(part.source, policy)}}


def _without_none(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value is not None}
