"""The journal of a batch: the replies of earlier runs, so that a run can be resumed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from qwenvl_kit.errors import InputError, JournalError, located
from qwenvl_kit.journal import Journal, fingerprint, from_record, to_record
from qwenvl_kit.media.fingerprints import identify_content
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart, Message, TextPart, VideoPart
from qwenvl_kit.options import Sampling
from qwenvl_kit.pipeline.core import ResolvedRequest
from qwenvl_kit.results import Reply

_LATER_SETTINGS = frozenset({"max_total_tokens", "keep_special_tokens"})
"""Fields of `Sampling` that the journals of earlier releases do not have."""


class BatchJournal:
    """Replies by the id of their request, or by its place. For any thread.

    Args:
        journal: the file; a journal without a file keeps nothing.
        policy: the media policy, under which pictures are compared with those of earlier runs.
    """

    def __init__(self, journal: Journal, policy: MediaPolicy) -> None:
        self._journal = journal
        self._policy = policy
        self._lock = threading.Lock()
        self._fingerprints: dict[str, str] = {}

    def find(self, index: int, request: ResolvedRequest) -> Reply | None:
        """The reply that an earlier run gave; None if it gave none.

        Raises:
            JournalError: it answered another request under that id or at that place.
            InputError: another request of this run has the same id.
        """
        if not self._journal.is_kept:
            return None
        key, mark = _key(index, request), _fingerprint(request, self._policy)
        with self._lock:
            if key in self._fingerprints:
                raise InputError(
                    f"another request has the id {key!r}, too",
                    expected="ids that differ, as replies are kept under them",
                )
            self._fingerprints[key] = mark
            record = self._journal.get(key)
        return None if record is None else _restored(key, mark, record)

    def keep(self, answered: Sequence[tuple[int, ResolvedRequest, Reply]]) -> None:
        """Write replies, each with its place and request; cancelled ones are left out."""
        if not self._journal.is_kept:
            return
        records = {
            _key(index, request): to_record(reply)
            for index, request, reply in answered
            if reply.finish_reason != "cancelled"
        }
        with self._lock:
            self._journal.add_all(
                {
                    key: {"request": self._fingerprints[key], "reply": record}
                    for key, record in records.items()
                }
            )


def _key(index: int, request: ResolvedRequest) -> str:
    return f"#{index}" if request.request_id is None else request.request_id


def _restored(key: str, mark: str, record: Mapping[str, Any]) -> Reply:
    if record.get("request") != mark:
        raise JournalError(
            f"the journal holds the reply to another request under {key!r}",
            expected="the same messages, pictures and settings as when it was answered",
            hint="requests with ids of their own, if their order changes; or another journal",
        )
    return from_record(Reply, record["reply"])


def _fingerprint(request: ResolvedRequest, policy: MediaPolicy) -> str:
    """A fingerprint of everything that the answer depends on, apart from the model."""
    messages = identify_messages(request.messages, policy)
    settings = {"sampling": _settings(request.sampling), "budget": asdict(request.budget)}
    if request.constraint is not None:
        settings["constraint"] = asdict(request.constraint)
    return fingerprint({"messages": messages, "fit": request.fit, **settings})


def identify_messages(messages: Sequence[Message], policy: MediaPolicy) -> list[Any]:
    """Return values of JSON that are equal for messages that say and show the same.

    Raises:
        MediaError: a picture cannot be read; says where.
    """
    return [
        _plain_message(message, policy, f"messages[{at}]") for at, message in enumerate(messages)
    ]


def _settings(sampling: Sampling) -> dict[str, Any]:
    """The settings; those that earlier releases did not have, only if they are not the default."""
    plain = Sampling()
    return {
        name: value
        for name, value in asdict(sampling).items()
        if name not in _LATER_SETTINGS or value != getattr(plain, name)
    }


def _plain_message(message: Message, policy: MediaPolicy, where: str) -> list[Any]:
    parts: list[Any] = []
    for at, part in enumerate(message.parts):
        with located(f"{where}.parts[{at}]"):
            if isinstance(part, (ImagePart, VideoPart, DocumentPart)):
                parts.append(identify_content(part, policy))
            elif isinstance(part, TextPart) and not part.trusted:
                parts.append(part.text)
            else:
                parts.append(asdict(part))
    return [message.role, *parts]
