"""What strangers' bytes reach: each takes bytes, and may raise nothing but errors of the kit."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import PIL.Image

from qwenvl_kit import MediaPolicy
from qwenvl_kit.dialects import from_dicts, to_openai, to_qwen
from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.media.images import decode_image, read_header
from qwenvl_kit.media.sources import resolve_source
from qwenvl_kit.media.web.urls import parse_url
from qwenvl_kit.messages import Message
from qwenvl_kit.places.parsing import parse_places
from qwenvl_kit.structure.partial import PartialJson
from qwenvl_kit.structure.targets import Target
from qwenvl_kit.thinking import split_thoughts
from qwenvl_kit.tools.parsing import parse_calls

POLICY = MediaPolicy(max_pixels=2**20)
SCHEMAS = {"weather": {"type": "object", "properties": {"city": {"type": "string"}}}}


@dataclass(frozen=True)
class Fuzzed:
    """A part of the kit, and inputs that it takes.

    Attributes:
        run: gives it bytes; checks what must hold of what it gives back.
        seeds: what it is meant for.
    """

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape" if len(content) % 7 == 0 else "replace")


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return _text(content)


def _places(content: bytes) -> None:
    text = _text(content)
    for place in parse_places(text).places:
        assert len(place.numbers) in (2, 4)
        assert 0 <= place.start < place.stop <= len(text)


def _calls(content: bytes) -> None:
    for call in parse_calls(_text(content), SCHEMAS).calls:
        assert isinstance(call.name, str)
        json.dumps(dict(call.arguments))


def _partial(content: bytes) -> None:
    text = _text(content)
    written = PartialJson(text)
    for leaf in written.leaves:
        assert 0 <= leaf.start <= leaf.stop <= len(text)


def _thoughts(content: bytes) -> None:
    for begins_inside in (False, True):
        split_thoughts(_text(content), begins_inside=begins_inside)


def _dicts(content: bytes) -> None:
    found = from_dicts(_json(content))  # type: ignore[arg-type]
    assert all(isinstance(message, Message) for message in found)
    to_qwen(found)
    to_openai(found)


def _schema(content: bytes) -> None:
    given = _json(content)
    Target(given if isinstance(given, dict) else {"type": given})


def _url(content: bytes) -> None:
    parsed = parse_url(_text(content))
    assert parsed.host.isascii()
    assert parsed.target.isascii()
    assert parsed.target.isprintable()


def _source(content: bytes) -> None:
    resolve_source(_text(content), POLICY)


def _picture(content: bytes) -> None:
    header = read_header(content, POLICY)
    image = decode_image(content, POLICY)
    assert image.mode == "RGB"
    assert (image.width, image.height) == (header.size.width_px, header.size.height_px)


def _pictures() -> tuple[bytes, ...]:
    made = []
    for format_name in (
        "PNG",
        "JPEG",
        "WEBP",
        "GIF",
        "BMP",
        "TIFF",
        "PPM",
        "ICO",
        "JPEG2000",
        "AVIF",
    ):
        for mode in ("RGB", "L", "P", "RGBA"):
            buffer = io.BytesIO()
            try:
                PIL.Image.new(mode, (12, 9), 1).save(buffer, format_name)
            except (OSError, KeyError, ValueError):
                continue
            made.append(buffer.getvalue())
    return tuple(made)


TARGETS = {
    "places": Fuzzed(_places, (
        b"<|object_ref_start|>a cup<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>",
        b'```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "a \\"cup\\""}]\n```',
        b'{"point_2d": [1.5, 2], "label": "a"}', b"a cup (10, 20)", b"Nothing.",
    )),
    "tool calls": Fuzzed(_calls, (
        b'<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>',
        b"<tool_call>\n<function=weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>",
        b"I look. <tool_call>", b"no call",
    )),
    "partial JSON": Fuzzed(_partial, (
        b'{"a": [1, 2.5e3, true, null, "x\\u00e9\\n"], "b": {"c": ""}}', b"[[[]]]",
        b'"text"', b"12 ",
    )),
    "thoughts": Fuzzed(_thoughts, (b"<think>\nhm\n</think>\n\nYes.", b"hm</think>Yes", b"Yes.")),
    "message dicts": Fuzzed(_dicts, (
        b'[{"role": "user", "content": "Hi"}]',
        b'[{"role": "system", "content": "S"}, {"role": "user", "content": [{"type": "image", '
        b'"image": "a.png", "max_pixels": 1000}, {"type": "text", "text": "Hi"}]}]',
        b'[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,a"}}, '
        b'{"type": "video", "video": ["a.png", "b.png"], "fps": 2}]}, {"role": "assistant", '
        b'"content": null, "tool_calls": [{"id": "1", "type": "function", "function": '
        b'{"name": "f", "arguments": "{}"}}]}, {"role": "tool", "content": "x"}]',
    )),
    "JSON schemas": Fuzzed(_schema, (
        b'{"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, '
        b'"required": ["a"]}',
        b'{"anyOf": [{"$ref": "#/$defs/x"}, {"type": "null"}], "$defs": {"x": {"enum": [1, "b"]}}}',
        b'{"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1}',
    )),
    "URLs": Fuzzed(_url, (
        b"https://files.example:8443/a/b.png?c=d#e", b"http://127.0.0.1/", b"http://[2001:db8::1]:80/",
        b"http://user:pass@host.example/", "http://b\u00fccher.example/\u00e4".encode(),
    )),
    "sources": Fuzzed(_source, (
        b"data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n"), b"file:///no/such.png",
        b"/no/such.png", b"http://a.example/", b"data:,a%20b", b"~nobody/a.png",
    )),
    "pictures": Fuzzed(_picture, _pictures()),
}  # fmt: skip


def outcome(target: Fuzzed, content: bytes) -> str:
    """How an input ended: "taken", or the name of the error of the kit.

    Raises:
        Exception: anything else, which is a finding.
    """
    try:
        target.run(content)
    except QwenVLKitError as error:
        message = str(error)
        assert not re.search(r" at 0x[0-9a-fA-F]{6,}", message)
        assert "/site-packages/" not in message
        return type(error).__name__
    return "taken"
