"""Models that an OpenAI-compatible server runs. Needs the package openai."""

from qwenvl_kit.backends.server.connect import connect_backend

__all__ = ["connect_backend"]
