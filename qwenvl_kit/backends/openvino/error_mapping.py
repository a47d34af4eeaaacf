"""The mapping of errors of OpenVINO while a model is loaded to errors of the kit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from qwenvl_kit.backends.local.error_mapping import is_out_of_memory
from qwenvl_kit.errors import (
    ModelLoadError,
    OutdatedPackageError,
    PlacementError,
    QwenVLKitError,
    WeightsError,
)


@contextmanager
def translated_load_errors() -> Iterator[None]:
    """Turn any other error while an export is loaded into an error of the kit."""
    try:
        yield
    except QwenVLKitError:
        raise
    except Exception as error:  # OpenVINO raises RuntimeError for almost everything
        said = first_reason(error)
        if is_out_of_memory(error):
            raise PlacementError(
                f"memory ran out while the export was loaded ({said})",
                hint="an export with --weight-format int4, or fewer programs beside it",
            ) from error
        raise ModelLoadError(
            f"OpenVINO cannot load the export ({type(error).__name__}: {said})",
            hint="export again with optimum-intel 2.2, or pip install --upgrade openvino",
        ) from error


@contextmanager
def naming_properties(given: Mapping[str, Any] | None) -> Iterator[None]:
    """Name the properties of the user in an error of what is compiled and tried with them."""
    try:
        yield
    except (WeightsError, PlacementError):
        raise
    except Exception as error:
        if not given or is_out_of_memory(error):
            raise
        if isinstance(error, QwenVLKitError) and not isinstance(error, OutdatedPackageError):
            raise
        said = "a step after a state gives something else than one pass over all tokens"
        if not isinstance(error, OutdatedPackageError):
            said = f"{type(error).__name__}: {first_reason(error)}"
        told = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise ModelLoadError(
            f"OpenVINO cannot run the export with the properties {told} ({said})",
            hint="other values, or fewer properties",
        ) from error


def first_reason(error: Exception) -> str:
    """The first line of OpenVINO's message that is not a place in its source."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("Exception from")]
    return (said or [type(error).__name__])[0][:300]
