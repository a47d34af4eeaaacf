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


def connect_to_server(base_url: str, **options: Any) -> Backend:
    """A model that an OpenAI-compatible server runs; imports the package openai."""
    from qwenvl_kit.backends.server import connect_backend

    return connect_backend(base_url, **options)


def load_vllm(model: str | os.PathLike[str], **options: Any) -> Backend:
    """A model of vLLM in this process; imports vllm."""
    from qwenvl_kit.backends.vllm import load_vllm_backend

    return load_vllm_backend(model, **options)
