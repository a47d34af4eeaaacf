"""Checks of the interpreter and of the libraries that every model needs."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

from qwenvl_kit.diagnostics.environment import Environment, NoTorchError, reason_of
from qwenvl_kit.diagnostics.findings import Finding

REINSTALL_TORCH = "pip install --force-reinstall torch torchvision"
COMPILE = "UV_COMPILE_BYTECODE=1 when uv installs, or python -m compileall on site-packages"

_LARGE = ("torch", "transformers")


def python(environment: Environment) -> Iterator[Finding]:
    """Report the interpreter and its system."""
    system = f"{platform.system()} {platform.machine()}"
    yield Finding("Python", "ok", f"{platform.python_version()} on {system}, {sys.executable}")


def torch_build(environment: Environment) -> Iterator[Finding]:
    """Check that torch can be imported, and report what it was built for."""
    try:
        facts = environment.torch()
    except NoTorchError as error:
        detail = f"torch cannot be imported ({error})"
        yield Finding("torch build", "problem", detail, REINSTALL_TORCH)
        return
    yield Finding("torch build", "ok", f"{facts.version}, built for {facts.built_for}")


def torchvision_build(environment: Environment) -> Iterator[Finding]:
    """Check that torchvision was built for this torch, which versions alone do not tell."""
    if environment.versions("torchvision") is None:
        return
    facts = environment.torch()
    try:
        environment.load("torchvision")
        environment.load("torch").ops.torchvision.nms  # noqa: B018  # fails if not registered
    except Exception as error:
        detail = f"torchvision does not fit torch {facts.version} ({reason_of(error)})"
        yield Finding("torchvision build", "problem", detail, REINSTALL_TORCH)
        return
    yield Finding("torchvision build", "ok", "its operators load")


def transformers_import(environment: Environment) -> Iterator[Finding]:
    """Check that transformers can be imported: it refuses if a package that it needs is too old."""
    if environment.versions("transformers") is None:
        return
    try:
        environment.load("transformers")
    except Exception as error:
        detail = f"transformers cannot be imported ({reason_of(error)})"
        cure = "pip install --upgrade transformers"
        yield Finding("transformers import", "problem", detail, cure)


def compiled_modules(environment: Environment) -> Iterator[Finding]:
    """Check that modules are kept compiled: Python has kept them by now, unless it cannot."""
    absent = [name for name in _LARGE if environment.compiled(name) is False]
    if not absent:
        return
    forbidden = environment.environ.get("PYTHONDONTWRITEBYTECODE")
    reason = (
        f"PYTHONDONTWRITEBYTECODE={forbidden} forbids it"
        if forbidden
        else "their folder cannot be written to"
    )
    detail = f"{' and '.join(absent)} are compiled anew at each start, as {reason}"
    yield Finding("compiled modules", "note", detail, COMPILE)
