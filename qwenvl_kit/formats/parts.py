"""Parts of messages from the dicts of Qwen's guides, transformers, OpenAI and others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qwenvl_kit.errors import BudgetError, MessageError, VideoTimingError
from qwenvl_kit.formats.documents import DOCUMENT_KEYS
from qwenvl_kit.formats.files import parse_file
from qwenvl_kit.formats.frame_rates import TIMING_KEYS, read_timing
from qwenvl_kit.formats.keys import OF_NO_EFFECT, check_keys, nearest, shown
from qwenvl_kit.formats.numbers import read_count
from qwenvl_kit.formats.sources import as_source, find_source, source_keys
from qwenvl_kit.formats.subtitles import SUBTITLE_KEYS, parse_subtitles
from qwenvl_kit.geometry import Region
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart, Part, TextPart, VideoPart
from qwenvl_kit.options import PixelBudget, as_budget

BUDGET_KEYS = (
    *("budget", "min_tokens", "max_tokens", "total_tokens"),
    *("min_pixels", "max_pixels", "total_pixels", "max_long_edge_px"),
)
_SIDES = {"resized_height": "height_px", "resized_width": "width_px"}
_IMAGE_KEYS = (*BUDGET_KEYS, "crop", *_SIDES)
_VIDEO_KEYS = (*BUDGET_KEYS, *TIMING_KEYS, *_SIDES, *SUBTITLE_KEYS)


def parse_part(item: Any) -> Part:
    """Return a part from a dict; a string becomes text, and a part stays as it is.

    Raises:
        MessageError: the dict has another form.
        BudgetError: its budget or size is not valid.
        VideoTimingError: its times or rates are not valid.
    """
    if isinstance(item, str):
        return TextPart(item)
    if isinstance(item, (TextPart, ImagePart, VideoPart, DocumentPart)):
        return item
    if not isinstance(item, Mapping):
        raise MessageError(
            f"a {type(item).__name__} was given", expected="a part, a string or a dict"
        )
    kind = kind_of(item)
    if isinstance(kind, str) and kind in _REFUSED:
        raise MessageError(
            f"a part of type {kind!r} was given, {_REFUSED[kind]}",
            expected=f"a type of {', '.join(_PARSERS)}",
        )
    if not isinstance(kind, str) or kind not in _PARSERS:
        raise MessageError(
            f"type={shown(kind)} was given with keys {shown(sorted(map(str, item)))}",
            expected=f"a type of {', '.join(_PARSERS)}",
            hint=nearest(str(kind).lower(), _PARSERS),
        )
    return _PARSERS[kind](item)


def kind_of(item: Mapping[str, Any]) -> Any:
    """The type of a dict; a dict without one may have a key that names it."""
    named = (name for name in (*_PARSERS, *_REFUSED) if item.get(name) is not None)
    return item.get("type") or next(named, None)


def settings_of(item: Mapping[str, Any]) -> list[str]:
    """The keys of a dict that hold settings, in addition to its type."""
    return [
        name
        for name, value in item.items()
        if value is not None and name != "type" and name not in OF_NO_EFFECT
    ]


def _parse_text(item: Mapping[str, Any]) -> Part:
    if item.get("trusted"):
        raise MessageError(
            "a dict marks its text as trusted",
            expected="text whose special tokens are plain characters",
            hint="TextPart(text, trusted=True) in your own code, or from_dicts(..., "
            "allow_trusted=True) for dicts from a source that you trust",
        )
    check_keys(item, required=("text",), optional=("type", *OF_NO_EFFECT))
    return TextPart(item["text"])


def _parse_refusal(item: Mapping[str, Any]) -> Part:
    check_keys(item, required=("refusal",), optional=("type", *OF_NO_EFFECT))
    return TextPart(item["refusal"])


def _parse_image(item: Mapping[str, Any]) -> Part:
    source = _source_of(item, "image", _IMAGE_KEYS)
    return ImagePart(
        source,
        budget=_parse_budget(item),
        **_parse_size(item),
        crop=_parse_crop(item.get("crop")),
    )


def _parse_video(item: Mapping[str, Any]) -> Part:
    source = _source_of(item, "video", _VIDEO_KEYS)
    if item.get("nframes") is not None and item.get("num_frames") not in (None, item["nframes"]):
        raise VideoTimingError("nframes and num_frames were given", expected="one of them")
    timing = read_timing(item, source)
    return VideoPart(
        source,
        budget=_parse_budget(item),
        **_parse_size(item),
        **timing,
        **parse_subtitles(item),
    )


def _parse_document(item: Mapping[str, Any]) -> Part:
    source = _source_of(item, "document", (*BUDGET_KEYS, *DOCUMENT_KEYS, "title", "context"))
    settings = {name: item[name] for name in DOCUMENT_KEYS if item.get(name) is not None}
    return DocumentPart(source, **settings, budget=_parse_budget(item))


def _source_of(item: Mapping[str, Any], kind: str, settings: tuple[str, ...]) -> Any:
    """The source of a picture or video, after a check for unknown keys."""
    known = (*source_keys(kind), "type", "source_type", "file_id", *settings, *OF_NO_EFFECT)
    check_keys(item, required=(), optional=known)
    return as_source(find_source(item, kind))


def _parse_crop(value: Any) -> Region | None:
    if not isinstance(value, (list, tuple)):
        return value  # type: ignore[no-any-return]  # a Region, None, or what ImagePart refuses
    if len(value) != 4:
        raise MessageError(f"crop={value!r} was given", expected="[x1, y1, x2, y2] in pixels")
    return Region(*value)


def _parse_size(item: Mapping[str, Any]) -> dict[str, Any]:
    """The exact size of a picture or of frames, as arguments of the part."""
    return {side: read_count(name, item.get(name), BudgetError) for name, side in _SIDES.items()}


def _parse_budget(item: Mapping[str, Any]) -> PixelBudget | None:
    given = {
        name: item[name] if name == "budget" else read_count(name, item[name], BudgetError)
        for name in BUDGET_KEYS
        if item.get(name) is not None
    }
    if given.keys() == {"budget"}:
        return as_budget(given["budget"])
    if "budget" in given:
        raise MessageError("a budget and limits of its own were given", expected="one of them")
    return PixelBudget(**given) if given else None


_PARSERS: Mapping[str, Callable[[Mapping[str, Any]], Part]] = {
    "text": _parse_text,
    "image": _parse_image,
    "image_url": _parse_image,
    "video": _parse_video,
    "video_url": _parse_video,
    "input_text": _parse_text,
    "output_text": _parse_text,
    "refusal": _parse_refusal,
    "input_image": _parse_image,
    "image_pil": _parse_image,
    "document": _parse_document,
    "file": parse_file,
    "input_file": parse_file,
}
"""The parsers by the types of Qwen's guides, transformers, OpenAI's two APIs, Anthropic and
LangChain."""

_SOUND = "but these models take no audio"
_CALL = "but tool calls and their results are messages of their own"
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("audio", "input_audio", "audio_url"), _SOUND),
    **dict.fromkeys(("tool_use", "tool_result", "tool_call"), _CALL),
    **dict.fromkeys(
        ("image_embeds", "prompt_embeds", "video_embeds"), "but pixels are needed, not features"
    ),
}
