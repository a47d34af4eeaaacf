"""The backends, which run requests. Each is a subclass of `base.Backend`; none knows another."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import MissingPackageError

if TYPE_CHECKING:
    from qwenvl_kit.backends.base import Backend


def load_local(model: str | os.PathLike[str], **options: Any) -> Backend:
    """Load a model of transformers into this process; imports torch and transformers."""
    from qwenvl_kit.backends.local import start_backend

    return start_backend(model, **options)


def connect_to_server(base_url: str, **options: Any) -> Backend:
    """Connect to a model on an OpenAI-compatible server; imports the package openai."""
    if find_spec("openai") is None:
        raise MissingPackageError(
            "the package openai, which talks to servers, is not installed",
            hint="pip install 'qwenvl-kit[server]'",
        )
    from qwenvl_kit.backends.server import connect_backend

    return connect_backend(base_url, **options)


def load_vllm(model: str | os.PathLike[str], **options: Any) -> Backend:
    """Load a model into vLLM in this process; imports vllm."""
    from qwenvl_kit.backends.vllm import load_vllm_backend

    return load_vllm_backend(model, **options)


def load_openvino(folder: str | os.PathLike[str], **options: Any) -> Backend:
    """Load a model that optimum-intel exported; imports openvino, torch and transformers."""
    from qwenvl_kit.backends.openvino import load_openvino_backend

    return load_openvino_backend(folder, **options)
