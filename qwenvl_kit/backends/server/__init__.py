"""The server backend: a model behind an OpenAI-compatible server. Needs the package openai."""

from qwenvl_kit.backends.server.connect import connect_backend

__all__ = ["connect_backend"]
