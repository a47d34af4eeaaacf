"""Makes one call of a dependency fail, wherever the kit makes it.

Python tells a profile function of every call before it is made. What that function raises comes out
of the call: so each call by which a room of the kit leaves the kit can be made to fail, without
naming any of them here.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import qwenvl_kit

KIT = str(Path(qwenvl_kit.__file__).parent)
DEPENDENCIES = (
    "PIL", "numpy", "torch", "torchvision", "transformers", "tokenizers", "av", "io", "_io", "os",
    "posix", "pathlib", "tempfile", "subprocess", "json", "hashlib", "_hashlib", "llguidance",
    "jinja2", "safetensors", "accelerate", "pypdfium2", "httpcore2", "socket", "ssl", "psutil",
    "huggingface_hub", "huggingface_hub_xet",
)  # fmt: skip
FREEING = (
    "close", "__exit__", "__del__", "unlink", "kill", "wait", "poll", "release", "cleanup",
    "rmtree", "terminate", "set_num_threads", "__enter__", "__init__", "no_grad",
    "inference_mode", "clone",
)  # fmt: skip
"""What gives something back, or ends it: who makes that fail has taken it away himself. And context
managers of torch, whose failure would be one of Python."""


class Site(NamedTuple):
    """A line of the kit and what it calls there."""

    file: str
    line: int
    callee: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.callee}"


class Watch:
    """Notes the calls that leave some rooms of the kit; fails one of them if told to.

    Args:
        rooms: folders and files below the package.
        target: the call to fail the first time that it is made; None for none.
        error: what comes out of it.
    """

    def __init__(
        self, rooms: tuple[str, ...], target: Site | None = None, error: Exception | None = None
    ) -> None:
        self.sites: dict[Site, None] = {}
        self.has_failed = False
        self._rooms = tuple(f"{KIT}/{room}" for room in rooms)
        self._target, self._error = target, error

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """What Python calls."""
        if event == "c_call":
            caller, callee = frame, _name_of_builtin(argument)
        elif event == "call" and frame.f_back is not None:
            caller, callee = frame.f_back, _name_of_frame(frame)
        else:
            return
        if not callee or not caller.f_code.co_filename.startswith(self._rooms):
            return
        file = caller.f_code.co_filename[len(KIT) + 1 :]
        site = Site(file, caller.f_lineno, callee)
        self.sites[site] = None
        if site == self._target and not self.has_failed and self._error is not None:
            self.has_failed = True
            raise self._error


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Have Python tell it of all calls of this thread, and of those that begin meanwhile."""
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def _name_of_builtin(function: Callable[..., Any]) -> str:
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None) or ""
    if owner is not None and type(owner).__name__ != "module":
        module = (owner if isinstance(owner, type) else type(owner)).__module__
    name = getattr(function, "__name__", "")
    return f"{module}.{name}" if _is_foreign(module) and name not in FREEING else ""


def _name_of_frame(frame: FrameType) -> str:
    module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
    if not _is_foreign(module) or name in FREEING or name.startswith("<"):
        return ""
    return f"{module}.{name}"


def _is_foreign(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0] in DEPENDENCIES
