"""The folder of pictures whose names in a training file are relative."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart, Message, Part, VideoPart
from qwenvl_kit.safe_text import looks_like_base64

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{1,30}:")
"""The beginning of a URL; one letter is a drive of Windows."""


def with_root(messages: Sequence[Message], root: str | os.PathLike[str]) -> list[Message]:
    """Return the messages with relative paths of pictures, films and documents below a folder.

    Args:
        messages: a conversation.
        root: the folder: that of the training file, or another.
    """
    folder = Path(root)
    return [
        replace(message, parts=tuple(_rooted(part, folder) for part in message.parts))
        if any(isinstance(part, (ImagePart, VideoPart, DocumentPart)) for part in message.parts)
        else message
        for message in messages
    ]


def _rooted(part: Part, folder: Path) -> Part:
    if not isinstance(part, (ImagePart, VideoPart, DocumentPart)):
        return part
    source: Any = _below(part.source, folder)
    return part if source is part.source else replace(part, source=source)


def _below(source: Any, folder: Path) -> Any:
    if isinstance(source, (list, tuple)):
        return type(source)(_below(frame, folder) for frame in source)
    if not isinstance(source, (str, os.PathLike)) or isinstance(source, bytes):
        return source
    name = os.fsdecode(source)
    is_named = not _URL.match(name) and not os.path.isabs(name)
    if not is_named or (looks_like_base64(name) and not (folder / name).exists()):
        return source
    return str(folder / name)
