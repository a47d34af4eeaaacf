"""Examples that occur twice, and questions of validation that are trained on, by their digests.

Conversations are compared by their texts first. Files are read only where texts are equal.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.media.fingerprints import identify_content
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart, Message, VideoPart
from qwenvl_kit.training.examples.example import Example
from qwenvl_kit.training.examples.places import UnwrittenPart

_MediaPart = (ImagePart, VideoPart, DocumentPart)


class _Entry:
    """The pictures of a conversation, identified when they are first compared."""

    def __init__(self, messages: Sequence[Message], where: str, policy: MediaPolicy) -> None:
        self.where = where
        self._policy = policy
        self._media = [p for m in messages for p in m.parts if isinstance(p, _MediaPart)]
        self._digest: str | None = None
        if not all(isinstance(part.source, (str, os.PathLike)) for part in self._media):
            self.digest()  # pixels in memory are not held

    def digest(self) -> str:
        """A digest of all pictures; one of its own if they cannot be read."""
        if self._digest is None:
            try:
                found = [identify_content(part, self._policy) for part in self._media]
                self._digest = _sha(found)
            except QwenVLKitError:  # told when the example is encoded
                self._digest = f"unread {self.where}"
            self._media = []
        return self._digest


class Repeats:
    """Conversations by their digests.

    Args:
        policy: the media policy, under which files are read.
        with_answers: True to compare whole conversations, False to leave out the last answer.
    """

    def __init__(self, policy: MediaPolicy, *, with_answers: bool) -> None:
        self._policy = policy
        self._with_answers = with_answers
        self._entries: dict[str, list[_Entry]] = {}

    def find(self, example: Example) -> str | None:
        """The place of an equal example that was added before; None if there is none."""
        return self._compared(example)[0]

    def add(self, example: Example) -> str | None:
        """Add an example, and return the place of an equal one that was added before."""
        before, key, entry = self._compared(example)
        if before is None:
            self._entries.setdefault(key, []).append(entry)
        return before

    def _compared(self, example: Example) -> tuple[str | None, str, _Entry]:
        messages = example.messages if self._with_answers else example.messages[:-1]
        key = _sha([[m.role, *map(_plain, m.parts)] for m in messages])
        entry = _Entry(messages, example.where, self._policy)
        known = self._entries.get(key, ())
        before = next((k.where for k in known if k.digest() == entry.digest()), None)
        return before, key, entry


def question_digest(example: Example, policy: MediaPolicy) -> str:
    """A digest of all that an example says before its last answer.

    Pictures in files are told apart by their names and those of their folders, wherever these lie;
    those in memory by their content.
    """
    asked = example.messages[:-1]
    media = [part for message in asked for part in message.parts if isinstance(part, _MediaPart)]
    sources = [
        "/".join(Path(os.fsdecode(part.source)).parts[-2:])
        if isinstance(part.source, (str, os.PathLike))
        else identify_content(part, policy)
        for part in media
    ]
    return _sha([[[message.role, *map(_plain, message.parts)] for message in asked], sources])


def _plain(part: Any) -> Any:
    """A part in types of JSON, without the source of a picture."""
    if isinstance(part, UnwrittenPart):
        return repr(part)
    kind = type(part).__name__
    if isinstance(part, _MediaPart):
        names = (field.name for field in fields(part) if field.name != "source")
        return [kind, *(repr(getattr(part, name)) for name in names)]
    is_value = is_dataclass(part) and not isinstance(part, type)
    return [kind, asdict(part) if is_value else repr(part)]


def _sha(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()
