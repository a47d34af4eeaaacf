"""Compilation of parts of the language model by torch."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Any, Literal

from qwenvl_kit.errors import MissingPackageError, ModelLoadError


@dataclass(frozen=True)
class Compilation:
    """The decision to compile parts of the model or not, and its reason."""

    is_on: bool
    reason: str

    @classmethod
    def choose(cls, compile: bool | Literal["auto"]) -> Compilation:  # noqa: A002
        """Decide by the argument `compile`.

        Raises:
            ModelLoadError: it is not a known value.
            MissingPackageError: it is True, and there is no C++ compiler.
        """
        if compile == "auto":
            return cls(False, "not measured to pay anywhere yet")
        if not isinstance(compile, bool):
            raise ModelLoadError(f"compile={compile!r} was given", expected="'auto', True or False")
        if compile and not any(map(shutil.which, _compilers())):
            raise MissingPackageError(
                "compile=True needs a C++ compiler, and none was found",
                hint="apt install g++, or compile=False",
            )
        return cls(compile, "as asked")

    def describe(self) -> str:
        """The decision and its reason, for the report."""
        return f"{'on' if self.is_on else 'off'} ({self.reason})"


def _compilers() -> tuple[str, ...]:
    """The compilers that torch's inductor can use."""
    return (os.environ.get("CXX", "g++"), "g++", "clang++", "cl")


def compile_layers(model: Any) -> None:
    """Have torch compile the norms and feed-forward blocks of the language model on first use.

    Whole layers are not compiled: each has its own index in the cache, so code for one does not
    serve the next, and torch gives up after eight. Lengths are dynamic, so that one compilation
    serves every prompt. A mixture of experts is not compiled, as its path depends on its input.
    """
    for layer in model.model.language_model.layers:
        layer.input_layernorm.compile(dynamic=True)
        layer.post_attention_layernorm.compile(dynamic=True)
        if not hasattr(layer.mlp, "experts"):
            layer.mlp.compile(dynamic=True)
