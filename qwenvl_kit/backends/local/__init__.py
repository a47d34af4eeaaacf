"""The local backend: a checkpoint run by transformers in this process.

`start_backend` needs no torch before it has found a checkpoint; the other names import torch and
transformers when they are first used.
"""

from typing import TYPE_CHECKING

from qwenvl_kit.backends.local.start import start_backend

if TYPE_CHECKING:
    from qwenvl_kit.backends.local.backend import LocalBackend
    from qwenvl_kit.backends.local.loading.loader import load_backend
else:

    def __getattr__(name: str) -> object:
        if name == "LocalBackend":
            from qwenvl_kit.backends.local.backend import LocalBackend

            return LocalBackend
        if name == "load_backend":
            from qwenvl_kit.backends.local.loading.loader import load_backend

            return load_backend
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)


__all__ = ["LocalBackend", "load_backend", "start_backend"]
