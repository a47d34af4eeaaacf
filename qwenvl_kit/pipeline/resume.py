"""The journal of a batch: which requests were answered before, and by what."""

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
from qwenvl_kit.pipeline.core import Settled
from qwenvl_kit.results import Reply

_LATER_SETTINGS = frozenset({"max_total_tokens", "keep_special_tokens"})
"""Of `Sampling`: journals of releases before them are of requests without."""


class Notes:
    """Replies under the ids of their requests, or their places. For any thread.

    Args:
        journal: where they are kept; one without a file keeps nothing.
        policy: what may be opened, to know a picture again.
    """

    def __init__(self, journal: Journal, policy: MediaPolicy) -> None:
        self._journal = journal
        self._policy = policy
        self._lock = threading.Lock()
        self._fingerprints: dict[str, str] = {}

    def find(self, index: int, request: Settled) -> Reply | None:
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

    def keep(self, answered: Sequence[tuple[int, Settled, Reply]]) -> None:
        """Keep replies to requests at their places; not those that were cut short by hand."""
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


def _key(index: int, request: Settled) -> str:
    return f"#{index}" if request.request_id is None else request.request_id


def _restored(key: str, mark: str, record: Mapping[str, Any]) -> Reply:
    if record.get("request") != mark:
        raise JournalError(
            f"the journal holds the reply to another request under {key!r}",
            expected="the same messages, pictures and settings as when it was answered",
            hint="requests with ids of their own, if their order changes; or another journal",
        )
    return from_record(Reply, record["reply"])


def _fingerprint(request: Settled, policy: MediaPolicy) -> str:
    """Of all that an answer depends on, beside the model."""
    messages = [
        _plain_message(message, policy, f"messages[{at}]")
        for at, message in enumerate(request.messages)
    ]
    settings = {"sampling": _settings(request.sampling), "budget": asdict(request.budget)}
    if request.constraint is not None:
        settings["constraint"] = asdict(request.constraint)
    return fingerprint({"messages": messages, "fit": request.fit, **settings})


def _settings(sampling: Sampling) -> dict[str, Any]:
    """Its settings; those that earlier releases did not have only where they say something."""
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
