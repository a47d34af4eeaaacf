"""The properties with which OpenVINO compiles a model: threads, precision, and what users add."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import InputError, PlacementError

DEVICE = "CPU"

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
_OURS = {
    "INFERENCE_PRECISION_HINT": "dtype='float32' or 'bfloat16'",
    "DEVICE_ID": "the processor is the only device",
}
_OF_CORE = ("CACHE_DIR", "CACHE_MODE")
"""Properties that every device takes, which its own list does not name."""


@dataclass(frozen=True)
class Precision:
    """The type in which a model computes.

    Attributes:
        dtype: "float32" or "bfloat16".
        reason: the reason for it, in words.
    """

    dtype: str
    reason: str

    @property
    def hint(self) -> str:
        """Its name for OpenVINO."""
        return _PRECISIONS[self.dtype]


def choose_precision(core: Any, dtype: object, part: Path) -> Precision:
    """The precision for a dtype that the user gave; "auto" takes OpenVINO's own choice.

    Args:
        core: the `Core` of OpenVINO.
        dtype: "auto", "float32" or "bfloat16".
        part: the graph of a small part, which is compiled to ask for that choice.

    Raises:
        InputError: it is another name.
        PlacementError: the processor does not compute in it.
    """
    name = str(dtype).removeprefix("torch.")
    if name not in ("auto", *_PRECISIONS):
        raise InputError(f"dtype={dtype!r} was given", expected="'auto', 'float32' or 'bfloat16'")
    if name == "auto":
        own = core.compile_model(part, DEVICE).get_property("INFERENCE_PRECISION_HINT")
        is_half = own.to_string() == _PRECISIONS["bfloat16"]
        return Precision(
            "bfloat16" if is_half else "float32", "OpenVINO's own choice for this processor"
        )
    has_bf16 = "BF16" in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    if name == "bfloat16" and not has_bf16:
        raise PlacementError(
            "dtype='bfloat16' was given, and OpenVINO does not compute in it on this processor",
            hint="dtype='float32'",
        )
    return Precision(name, "it was given")


def compile_properties(
    core: Any, precision: Precision, num_threads: int, given: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The properties for compilation.

    Keys and values are kept in the type of computation. By itself OpenVINO keeps them in 8 bits,
    with which an answer in a batch is not the one of a single call.

    Args:
        core: the `Core` of OpenVINO.
        precision: the type in which the model computes.
        num_threads: threads for one pass.
        given: properties of the user, which win.

    Raises:
        InputError: there is no such property, or it is one that the kit sets.
    """
    _check_given(core, given)
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": num_threads,
        "INFERENCE_PRECISION_HINT": precision.hint,
        "KV_CACHE_PRECISION": precision.hint,
        **(given or {}),
    }


def describe_properties(given: Mapping[str, Any] | None) -> str:
    """The properties of a user, in words."""
    return ", ".join(f"{name}={value}" for name, value in (given or {}).items()) or "none"


def _check_given(core: Any, given: Mapping[str, Any] | None) -> None:
    if given is None:
        return
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise InputError(f"properties={given!r} was given", expected="a mapping of names, or None")
    known = [
        *(
            name
            for name, kind in core.get_property(DEVICE, "SUPPORTED_PROPERTIES").items()
            if kind != "RO"
        ),
        *_OF_CORE,
    ]
    for name, value in given.items():
        if value is None:  # OpenVINO takes it, and does not say as what
            raise InputError(f"{name}=None was given", hint="leave the property out")
        if name in _OURS:
            raise InputError(f"{name} is not a property to give", hint=_OURS[name])
        if name not in known:
            near = difflib.get_close_matches(name.upper(), known, 1)
            raise InputError(
                f"OpenVINO has no property {name!r} to set",
                expected=f"one of {', '.join(sorted(known))}",
                hint=repr(near[0]) if near else "",
            )
