"""The environment that is checked: each access to it is a field, so that tests can replace it."""

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

from qwenvl_kit.diagnostics.torch_info import TorchInfo, read_torch
from qwenvl_kit.hardware import Machine, NvidiaDriver, find_nvidia_driver, read_machine

_LONGEST_REASON = 300


class NoTorchError(Exception):
    """torch cannot be imported; one check reports it for all others."""


@dataclass(frozen=True, kw_only=True)
class Hub:
    """The folders of the Hugging Face hub's client.

    Attributes:
        cache: folder of downloaded checkpoints.
        token_file: file of a stored access token; it need not exist.
    """

    cache: Path
    token_file: Path


def installed_version(package: str) -> str | None:
    """Return the version of an installed package from its metadata, without importing it."""
    try:
        return importlib.metadata.version(package) or None  # None in damaged metadata
    except importlib.metadata.PackageNotFoundError:
        return None


def declared_requirements(package: str) -> tuple[str, ...]:
    """Return the requirements that an installed package declares; empty if it is not installed."""
    try:
        return tuple(importlib.metadata.requires(package) or ())
    except importlib.metadata.PackageNotFoundError:
        return ()


def find_files(module: str) -> tuple[str, ...]:
    """Return the names of the files in a package's folder, without importing it."""
    spec = importlib.util.find_spec(module)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    return tuple(sorted(path.name for path in folder.iterdir())) if folder else ()


def is_compiled(module: str) -> bool | None:
    """True if a package's own file is compiled on disk; None if there is no such package."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    return Path(importlib.util.cache_from_source(spec.origin)).is_file()


def read_hub() -> Hub:
    """Return the folders of the hub's client, which reads the environment once, on import."""
    constants: Any = importlib.import_module("huggingface_hub.constants")
    return Hub(cache=Path(constants.HF_HUB_CACHE), token_file=Path(constants.HF_TOKEN_PATH))


def free_disk_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that holds a folder; the folder need not exist."""
    return shutil.disk_usage(_existing(folder)).free


def can_write(folder: Path) -> bool:
    """True if files can be written into a folder, or the folder can be created."""
    return os.access(_existing(folder), os.W_OK | os.X_OK)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The environment of the checks, as functions that read it.

    Attributes:
        versions: returns the version of an installed package, or None.
        requirements: returns the declared requirements of a package.
        files: returns the names of the files in a package's folder.
        compiled: True if a package's modules are compiled on disk; None if it is not there.
        load: imports a module.
        torch: reads the build and the devices of torch; may raise anything.
        machine: reads cores, memory and CPU features.
        nvidia_driver: finds the NVIDIA driver, or returns None.
        hub: returns the folders of the hub's client.
        free_bytes_at: returns the free bytes of the disk of a folder.
        is_writable: True if a folder can be written to.
        which: returns the path of a program, or None.
        environ: environment variables.
        platform: the value of `sys.platform`.
    """

    versions: Callable[[str], str | None] = installed_version
    requirements: Callable[[str], tuple[str, ...]] = declared_requirements
    files: Callable[[str], tuple[str, ...]] = find_files
    compiled: Callable[[str], bool | None] = is_compiled
    load: Callable[[str], Any] = importlib.import_module
    torch: Callable[[], TorchInfo] = read_torch
    machine: Callable[[], Machine] = read_machine
    nvidia_driver: Callable[[], NvidiaDriver | None] = find_nvidia_driver
    hub: Callable[[], Hub] = read_hub
    free_bytes_at: Callable[[Path], int] = free_disk_bytes
    is_writable: Callable[[Path], bool] = can_write
    which: Callable[[str], str | None] = shutil.which
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    platform: str = sys.platform


def reason_of(error: BaseException) -> str:
    """Return the kind of an error and its first line; native libraries write pages."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first[:_LONGEST_REASON]}".rstrip(": ")
