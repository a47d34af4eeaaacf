"""What the checks may look at. Every look is a field, so that tests can pretend another machine."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qwenvl_kit.diagnostics.torch_info import TorchFacts, read_torch
from qwenvl_kit.hardware import Machine, NvidiaDriver, find_nvidia_driver, read_machine

_LONGEST_REASON = 300


class NoTorchError(Exception):
    """torch cannot be imported; one check says so for all."""


@dataclass(frozen=True, kw_only=True)
class Hub:
    """Where the Hugging Face hub's client keeps things.

    Attributes:
        cache: the folder of downloaded checkpoints.
        token_file: where a stored access token would be.
    """

    cache: Path
    token_file: Path


def installed_version(package: str) -> str | None:
    """The version of an installed package by its metadata, without importing it."""
    try:
        return importlib.metadata.version(package) or None  # None in damaged metadata
    except importlib.metadata.PackageNotFoundError:
        return None


def declared_requirements(package: str) -> tuple[str, ...]:
    """What an installed package says that it needs; empty if it is not installed."""
    try:
        return tuple(importlib.metadata.requires(package) or ())
    except importlib.metadata.PackageNotFoundError:
        return ()


def find_files(module: str) -> tuple[str, ...]:
    """Names of the files in a package's folder, without importing it."""
    spec = importlib.util.find_spec(module)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    return tuple(sorted(path.name for path in folder.iterdir())) if folder else ()


def read_hub() -> Hub:
    """As the hub's client has read the environment, which it does once, when it is imported."""
    constants: Any = importlib.import_module("huggingface_hub.constants")
    return Hub(cache=Path(constants.HF_HUB_CACHE), token_file=Path(constants.HF_TOKEN_PATH))


def free_disk_bytes(folder: Path) -> int:
    """Free space on the disk where a folder is, or would be."""
    return shutil.disk_usage(_existing(folder)).free


def can_write(folder: Path) -> bool:
    """Whether files can be put into a folder, or it can be made."""
    return os.access(_existing(folder), os.W_OK | os.X_OK)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the checks may look at.

    Attributes:
        versions: the version of an installed package, or None.
        requirements: what a package says that it needs.
        files: names of the files in a package's folder.
        load: imports a module.
        torch: what torch says of itself and of its devices; may raise anything.
        machine: cores, memory and the processor's abilities.
        nvidia_driver: the driver, if there is one.
        hub: where downloads and the token are.
        free_bytes_at: free space at a folder.
        is_writable: whether a folder can be written to.
        which: the path of a program, or None.
        environ: environment variables.
        platform: as `sys.platform`.
    """

    versions: Callable[[str], str | None] = installed_version
    requirements: Callable[[str], tuple[str, ...]] = declared_requirements
    files: Callable[[str], tuple[str, ...]] = find_files
    load: Callable[[str], Any] = importlib.import_module
    torch: Callable[[], TorchFacts] = read_torch
    machine: Callable[[], Machine] = read_machine
    nvidia_driver: Callable[[], NvidiaDriver | None] = find_nvidia_driver
    hub: Callable[[], Hub] = read_hub
    free_bytes_at: Callable[[Path], int] = free_disk_bytes
    is_writable: Callable[[Path], bool] = can_write
    which: Callable[[str], str | None] = shutil.which
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    platform: str = sys.platform


def reason_of(error: BaseException) -> str:
    """What an error says, in a line; those of native libraries go on for pages."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first[:_LONGEST_REASON]}".rstrip(": ")
