"""Checks of the interpreter and of the libraries that every model needs."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

from qwenvl_kit.diagnostics.environment import Environment, NoTorchError, reason_of
from qwenvl_kit.diagnostics.findings import Finding

REINSTALL_TORCH = "pip install --force-reinstall torch torchvision"


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
