"""Checks of the hub's client: its cache, its access token, and environment variables."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from qwenvl_kit.diagnostics.environment import Environment
from qwenvl_kit.diagnostics.findings import Finding
from qwenvl_kit.hardware import as_gigabytes

_LITTLE_DISK = 10 * 2**30
_NO_DISK = 2**30
_TRUE = ("1", "ON", "YES", "TRUE")
_ALLOCATOR_VARIABLES = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")


def cache_folder(environment: Environment) -> Iterator[Finding]:
    """Check that the cache of the hub's client has room for a checkpoint."""
    folder = environment.hub().cache
    free_bytes = environment.free_bytes_at(folder)
    detail = f"{folder}, {as_gigabytes(free_bytes)} free"
    cure = "export HF_HOME=/a/folder/with/room"
    if not environment.is_writable(folder):
        yield Finding("hub cache", "problem", f"{folder} cannot be written to", cure)
    elif free_bytes < _NO_DISK:
        yield Finding("hub cache", "problem", f"{detail}: no checkpoint fits", cure)
    elif free_bytes < _LITTLE_DISK:
        note = f"{detail}: a checkpoint takes 2 GB for each 1B parameters"
        yield Finding("hub cache", "note", note, cure)
    else:
        yield Finding("hub cache", "ok", detail)


def offline(environment: Environment) -> Iterator[Finding]:
    """Check for variables that turn downloads off."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if environment.environ.get(name, "").upper() in _TRUE:
            detail = f"{name} is set: only what is in the cache or in a folder can be loaded"
            yield Finding("offline", "note", detail, f"unset {name}")


def access_token(environment: Environment) -> Iterator[Finding]:
    """Check for an access token, which some checkpoints need. The token is never shown."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if environment.environ.get(name, "").strip():
            yield Finding("access token", "ok", f"set in {name} (not shown)")
            return
    is_stored = environment.hub().token_file.is_file()
    detail = "stored by `hf auth login`" if is_stored else "none: only public checkpoints"
    yield Finding("access token", "ok", detail)


def endpoint(environment: Environment) -> Iterator[Finding]:
    """Check for a variable that makes downloads come from another host than the hub."""
    url = environment.environ.get("HF_ENDPOINT", "").strip()
    if url:
        host = urlsplit(url).hostname or "an invalid URL"  # the rest may hold a password
        detail = f"HF_ENDPOINT sends downloads to {host}"
        yield Finding("hub endpoint", "note", detail, "unset HF_ENDPOINT, to use the hub itself")


def stale_variables(environment: Environment) -> Iterator[Finding]:
    """Check for variables from old guides that no longer work, or do harm."""
    if environment.environ.get("TRANSFORMERS_CACHE"):
        detail = "transformers 5 no longer reads it; checkpoints go to the hub cache above"
        yield Finding("TRANSFORMERS_CACHE", "note", detail, "export HF_HOME=..., and unset it")
    if environment.environ.get("KMP_DUPLICATE_LIB_OK", "").upper() in _TRUE:
        detail = "it silences a clash of OpenMP libraries, which may give wrong numbers"
        cure = "unset KMP_DUPLICATE_LIB_OK, and use packages from one source: pip or conda"
        yield Finding("KMP_DUPLICATE_LIB_OK", "note", detail, cure)


def allocator(environment: Environment) -> Iterator[Finding]:
    """Check the allocator of torch: pictures of many sizes fragment a GPU's memory without it."""
    if not environment.torch().has_cuda_gpu or not environment.platform.startswith("linux"):
        return
    settings = [environment.environ.get(name, "") for name in _ALLOCATOR_VARIABLES]
    if any("expandable_segments:true" in setting.lower() for setting in settings):
        yield Finding("GPU allocator", "ok", "expandable segments")
        return
    detail = "pictures of many sizes may fragment the GPU's memory: out of memory with much free"
    cure = "export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"
    yield Finding("GPU allocator", "note", detail, cure)
