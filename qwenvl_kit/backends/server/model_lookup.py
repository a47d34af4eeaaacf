"""The lookup of a checkpoint on a hub, under a name that a server chose."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTimeError
from typing import TYPE_CHECKING

from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.errors import DownloadError

if TYPE_CHECKING:
    from qwenvl_kit.processing.processor_config import Published

_MOST_SECONDS = 60.0


def published_on_hub(name: str, seconds_left: float) -> Published:
    """Load the small files of a checkpoint, by an id that a stranger chose.

    No folder of this machine is read, and no credentials are sent.

    Args:
        name: an id of a hub.
        seconds_left: most time that it may take; one minute at most.

    Raises:
        ModelLoadError: the hub has no such checkpoint, or does not answer in time.
    """
    seconds = min(seconds_left, _MOST_SECONDS)
    found: Future[Published] = Future()
    # A daemon thread: a hub that does not answer delays neither the caller nor the program's end.
    threading.Thread(target=_find, args=(name, found), name="qwenvl_kit hub", daemon=True).start()
    try:
        return found.result(timeout=seconds)
    except NotInTimeError:
        raise DownloadError(
            f"not found within {seconds:.0f} seconds",
            hint="checkpoint=..., which has no such limit",
        ) from None


def _find(name: str, found: Future[Published]) -> None:
    try:
        found.set_result(_published(name))
    except BaseException as error:  # a caller waits for the future, whatever happens
        found.set_exception(error)


def _published(name: str) -> Published:
    from qwenvl_kit.checkpoints.huggingface import find_on_hub
    from qwenvl_kit.processing.processor_config import load_published  # which imports transformers

    checkpoint = find_on_hub(name, revision=None, offline=False, is_untrusted=True)
    return load_published(checkpoint, read_settings(checkpoint.folder))
