"""What Ray raises, in the kit's own errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from qwenvl_kit import errors
from qwenvl_kit.errors import GenerationError, OutOfMemoryError, QwenVLKitError

_TOLD = re.compile(r"qwenvl_kit\.errors\.(\w+): (.+?)\)?(?:\n|$)")
"""An error of the kit as Ray writes it, with what it was raised from in front of it."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """What Ray raises, in the kit's own errors; those of an actor as they were raised there."""
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
        raise GenerationError(f"Ray could not go on ({type(error).__name__}: {said})") from error
