"""The local backend: a checkpoint run by transformers in this process."""

from qwenvl_kit.backends.local.backend import LocalBackend
from qwenvl_kit.backends.local.loading.loader import load_backend

__all__ = ["LocalBackend", "load_backend"]
