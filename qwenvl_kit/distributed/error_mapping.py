"""Translation of Ray's errors into errors of the kit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from qwenvl_kit import errors
from qwenvl_kit.errors import GenerationError, OutOfMemoryError, QwenVLKitError

_TOLD = re.compile(r"qwenvl_kit\.errors\.(\w+): (.+?)\)?(?:\n|$)")
"""An error of the kit in the text of Ray's error; its causes stand before it."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate Ray's errors into errors of the kit; errors of an actor keep their class."""
    try:
        yield
    except QwenVLKitError:
        raise
    except Exception as error:  # Ray wraps what it carries, as text
        told = _TOLD.findall(str(error))
        kind = getattr(errors, told[-1][0], None) if told else None
        if isinstance(kind, type) and issubclass(kind, QwenVLKitError):
            raise kind(told[-1][1]) from error
        said = " ".join(str(error).split())[:400]
        if any(sign in type(error).__name__ + said for sign in ("ObjectStoreFull", "OutOfDisk")):
            raise OutOfMemoryError(
                f"Ray's object store is full ({said})",
                hint="a smaller batch_size, or ray.init(object_store_memory=...)",
            ) from error
        raise GenerationError(f"Ray failed ({type(error).__name__}: {said})") from error
