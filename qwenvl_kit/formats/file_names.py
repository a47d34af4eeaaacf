"""Texts that are only the name of a picture, film or document.

The kit never opens a text, so such a name shows the model nothing, and the model invents its
answer. A text counts as a name by its form alone: users must not learn from a warning which files
exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from qwenvl_kit.errors import MediaError
from qwenvl_kit.messages.message import Message, TextPart, iter_media
from qwenvl_kit.safe_text import shown, shown_url

_PICTURES = (
    "jpg jpeg jpe jfif png apng gif bmp dib tif tiff webp avif heic heif jp2 jxl ico ppm pgm pbm "
    "pnm tga svg psd dng"
)
_FILMS = "mp4 m4v mov avi mkv webm wmv flv mpg mpeg m2ts mts 3gp ogv vob"
_PICTURE, _FILM, _DOCUMENT = "ImagePart", "VideoPart", "DocumentPart"
_ENDINGS = {
    ending: part
    for endings, part in ((_PICTURES, _PICTURE), (_FILMS, _FILM), ("pdf", _DOCUMENT))
    for ending in endings.split()
}
"""File name endings, and the part that shows such a file. `.ts` is not here, as it is
TypeScript."""

_MAX_CHARACTERS = 4096
"""The longest path on Linux; a longer text is no name."""

_MAX_SHOWN = 80
_MAX_JUDGED = 150
"""The characters of a name that are searched; credentials stand at the beginning of a URL."""

_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»", "「": "」", "<": ">"}
_ROOT = re.compile(r"(?:[a-z][a-z0-9+.-]*://|[a-z]:[\\/]|\\\\|~?/|\.{1,2}[\\/])", re.IGNORECASE)
_WEB = re.compile(r"https?://", re.IGNORECASE)
_DATA = re.compile(r"data:(image|video|application/pdf)\b[^,\s]*,", re.IGNORECASE)
_NUMBERED = re.compile(
    r"(?:screen ?shot|img|image|photo|picture|scan|video|vid|dsc|whatsapp|截图|截屏|屏幕截图)\b.*\d"
    r"|\S+ \(\d+\)\.\w+$",
    re.IGNORECASE,
)
"""Names with spaces that are given by cameras, phones and browsers."""

_BASE64 = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|JVBERi0)[A-Za-z0-9+/\r\n]{24,}={0,2}")
"""Base64 of PNG, JPEG, GIF, WebP and PDF, by their first bytes."""

_OF_SENTENCES = re.compile(r"[?!？！。，；：=]|^[^\W\d_]\w*:")
_STEM = re.compile(r"\w")


def warnings_of_names(messages: Sequence[Message]) -> tuple[str, ...]:
    """A warning, with its remedy, for each text of a user that is the name of a file.

    A message that shows a picture gives no warning, as a name may be meant as text there.
    """
    return tuple(
        f"{where} is the text {_shown(name)!r}, which shows nothing; to show the file, write "
        f"{part}({_shown(name)!r})"
        for where, name, part in _names(messages)
    )


@contextmanager
def told_if_exchanged(messages: Sequence[Message]) -> Iterator[None]:
    """Add a hint to an error if the question and the picture were swapped."""
    try:
        yield
    except MediaError as error:
        error.hint = _cure_of_exchange(messages, error.where) or error.hint
        raise


def _cure_of_exchange(messages: Sequence[Message], where: str) -> str:
    """The hint if question and picture were swapped; empty if they were not."""
    source = next((part.source for at, part in iter_media(messages) if at == where), None)
    if not isinstance(source, str) or _part_of(source) or not _is_sentence(source):
        return ""
    texts = [p.text for message in messages for p in message.parts if isinstance(p, TextPart)]
    if len(texts) != 1 or not _part_of(texts[0]):
        return ""
    question, name = _shown(source), _shown(texts[0])
    return f"the question first: chat.ask({question!r}, {name!r})"


def _names(messages: Sequence[Message]) -> Iterator[tuple[str, str, str]]:
    """The place, text and kind of part of each text that is a name."""
    for at, message in enumerate(messages):
        texts = [part.text for part in message.parts if isinstance(part, TextPart)]
        if message.role != "user" or len(texts) < len(message.parts):
            continue
        for index, text in enumerate(texts):
            kind = _part_of(text)
            if kind is not None:
                yield f"messages[{at}].parts[{index}]", text, kind


def _is_sentence(text: str) -> bool:
    return len(text.split()) > 1 or _OF_SENTENCES.search(text) is not None


def _part_of(text: str) -> str | None:
    """The part that shows the file of that name; None if the text is no name of a media file."""
    if data := _DATA.match(text.strip()):
        known = {"video": _FILM, "application/pdf": _DOCUMENT}
        return known.get(data[1].lower(), _PICTURE)
    if _BASE64.fullmatch(text.strip()):
        return _DOCUMENT if text.strip().startswith("JVBERi0") else _PICTURE
    text = text[: _MAX_CHARACTERS + 1].strip()
    if len(text) > _MAX_CHARACTERS or not text:
        return None
    kind = _kind_of(text)
    if kind is not None:
        return kind
    kinds = [_kind_of(word) for word in re.split(r"[,;\s]+", text) if word]
    return kinds[0] if kinds and all(kinds) else None


def _kind_of(text: str) -> str | None:
    name = _unquoted(text)
    is_quoted, is_rooted = name != text, _ROOT.match(name) is not None
    if _WEB.match(name):
        name = re.split(r"[?#]", name)[0]
    stem, dot, ending = name.rpartition(".")
    kind = _ENDINGS.get(ending.lower())
    if not dot or kind is None or not _STEM.search(stem) or "\n" in name:
        return None
    has_spaces = any(map(str.isspace, name))
    if has_spaces and not (is_quoted or is_rooted or _NUMBERED.match(name)):
        return None
    return None if _OF_SENTENCES.search(name) and not is_rooted else kind


def _unquoted(text: str) -> str:
    closing = _QUOTES.get(text[0])
    is_quoted = len(text) > 2 and closing is not None and text.endswith(closing)
    return text[1:-1].strip() if is_quoted else text


def _shown(text: str) -> str:
    """The name in short form, without data and without parts of a URL that may be secret."""
    name = _unquoted(text.strip())
    if data := _DATA.match(name):
        return f"{data[0][:30]}..."
    if _BASE64.fullmatch(name):
        return f"{name[:20]}..."
    if "://" in name and name[:7].lower() != "file://":
        return shown_url(name)
    if shown(name[:_MAX_JUDGED]) != repr(name[:_MAX_JUDGED]):
        return f"...{name[name.rfind('.') :]}"
    return name if len(name) <= _MAX_SHOWN else f"{name[:50]}...{name[-20:]}"
