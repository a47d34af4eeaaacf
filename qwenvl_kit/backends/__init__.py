"""What runs a request. `base` is the protocol; each other module fulfils it, none knows another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwenvl_kit.backends.base import Backend


def load_local(model: str | os.PathLike[str], **options: Any) -> Backend:
    """A model of transformers in this process; imports torch and transformers."""
    from qwenvl_kit.backends.local import load_backend

    return load_backend(model, **options)
