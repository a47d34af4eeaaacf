"""What a hub has under a name that a server chose."""

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
    """The small files of a checkpoint, by an id that somebody else chose.

    Neither a folder of this machine nor anybody's credentials come into it.

    Args:
        name: of the form of a hub's id.
        seconds_left: how long it may take; a minute at most.

    Raises:
        ModelLoadError: it has none, or not in time.
    """
    seconds = min(seconds_left, _MOST_SECONDS)
    found: Future[Published] = Future()
    # A daemon: a hub that does not answer holds up neither the caller nor the end of the process.
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
    except BaseException as error:  # whoever waits must be told of anything
        found.set_exception(error)


def _published(name: str) -> Published:
    from qwenvl_kit.checkpoints.huggingface import find_on_hub
    from qwenvl_kit.processing.processor_config import load_published  # which imports transformers

    checkpoint = find_on_hub(name, revision=None, offline=False, is_untrusted=True)
    return load_published(checkpoint, read_settings(checkpoint.folder))
