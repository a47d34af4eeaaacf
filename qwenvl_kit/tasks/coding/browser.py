"""A browser without a window: found on this machine, run once, and ended."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qwenvl_kit.errors import BrowserMissingError, RenderError
from qwenvl_kit.safe_text import plain

NAMES = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *("chrome-headless-shell", "microsoft-edge", "msedge", "brave-browser"),
)
"""The names under which browsers of the Chromium family are found on the PATH, in this order."""

_PLACES = {
    "darwin": (
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    ),
    "win32": (
        r"C:\Program Files\Google\Chrome\Application\chrome.exe",
        r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
        r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    ),
}
_LEAST_WIDTH_PX, _SPARE_HEIGHT_PX = 600, 200
_INSTALL = "apt-get install chromium, or https://www.google.com/chrome; or browser=path"

_KEPT = frozenset(
    [
        "PATH",
        "LANG",
        "LANGUAGE",
        "TZ",
        "SYSTEMROOT",
        "WINDIR",
        "TEMP",
        "TMP",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "FONTCONFIG_FILE",
        "FONTCONFIG_PATH",
    ]
)
"""The variables of the environment that the browser gets: none with a password in it."""

_FLAGS = (
    "--headless",
    "--hide-scrollbars",
    "--mute-audio",
    "--disable-gpu",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--metrics-recording-only",
    "--deny-permission-prompts",
    "--force-color-profile=srgb",
    "--disable-features=IsolateSandboxedIframes",
)
"""The last one keeps the frame in the process of its page: in one of its own it is sometimes not
drawn yet when the picture is taken. Nothing of anybody else's is in that process."""

_OFFLINE = (
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
)
"""No name has an address, and whatever has one goes to a proxy that is not there: port 9, of the
old discard service. The third setting has addresses of this machine go there, too."""


@dataclass(frozen=True)
class Window:
    """The window of a page.

    Attributes:
        size_px: width and height of its picture, in pixels.
        scale: the pixels of the picture for each CSS pixel.
    """

    size_px: tuple[int, int]
    scale: float

    @property
    def css_size(self) -> tuple[int, int]:
        """Width and height in CSS pixels."""
        width, height = self.size_px
        return math.ceil(width / self.scale), math.ceil(height / self.scale)

    @property
    def outer_size(self) -> tuple[int, int]:
        """Width and height with room to spare, of which the picture is the upper left part.

        Some versions of Chromium lay a page out in a window with a tool bar that is not there, and
        in none that is narrower than 500 pixels; what lies outside of it may not be drawn.
        """
        width, height = self.css_size
        return max(width, _LEAST_WIDTH_PX), height + _SPARE_HEIGHT_PX


@dataclass(frozen=True)
class Browser:
    """A browser, as it is run.

    Attributes:
        path: the path of its program.
        has_sandbox: True if it keeps pages in its own sandbox; see `find_browser`.
    """

    path: str
    has_sandbox: bool

    def command(self, folder: Path, page: Path, window: Window) -> list[str]:
        """Return the command that draws a page into `shot.png` of a folder.

        Args:
            folder: the folder of this run, for profile and picture.
            page: the file of the page.
            window: the window of the page.
        """
        width, height = window.outer_size
        return [
            self.path,
            *_FLAGS,
            *_OFFLINE,
            *(() if self.has_sandbox else ("--no-sandbox",)),
            f"--user-data-dir={folder / 'profile'}",
            f"--screenshot={folder / 'shot.png'}",
            f"--window-size={width},{height}",
            f"--force-device-scale-factor={window.scale:g}",
            "--virtual-time-budget=2000",
            page.as_uri(),
        ]


def find_browser(path: str | os.PathLike[str] | None, sandbox: bool | None) -> Browser:
    """Return the browser that was given, or one that is found on this machine.

    Args:
        path: the path of a browser of the Chromium family; None looks for one.
        sandbox: False switches off the browser's own sandbox; True keeps it; None keeps it for all
            users but root, as Chromium does not start for root with it.

    Raises:
        BrowserMissingError: there is none; the error says what to install.
    """
    if path is not None:
        found = shutil.which(os.fspath(path))
        if found is None:
            raise BrowserMissingError(
                f"{plain(os.fspath(path))!r} is no program that can be run",
                expected="a browser of the Chromium family",
                hint=_INSTALL,
                where="browser",
            )
    else:
        found = next(filter(None, map(shutil.which, _candidates())), None)
        if found is None:
            raise BrowserMissingError(
                "there is no browser on this machine",
                expected="Chromium, Chrome or Edge, on the PATH",
                hint=_INSTALL,
            )
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return Browser(found, (not is_root) if sandbox is None else sandbox)


def _candidates() -> Iterable[str]:
    return (*NAMES, *_PLACES.get(sys.platform, ()))


def take_picture(
    browser: Browser, folder: Path, page: Path, window: Window, timeout: float
) -> Path:
    """Run a browser once, and return the file of the picture.

    It gets a profile and a home of its own below the folder, and hardly any of the environment. All
    of its processes are ended when it ends or its time is over.

    Args:
        browser: the browser.
        folder: an empty folder, which the caller removes.
        page: the file of the page.
        window: the window of the page.
        timeout: the seconds that it may take.

    Raises:
        RenderError: it cannot be started, takes too long, or draws nothing.
    """
    home = folder / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name.upper() in _KEPT}
    log = folder / "log.txt"
    try:
        with log.open("wb") as said:
            process = subprocess.Popen(
                browser.command(folder, page, window),
                cwd=folder,
                env={**kept, "HOME": str(home), "XDG_RUNTIME_DIR": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
    except OSError as error:
        raise RenderError(
            f"the browser cannot be started: {error.strerror or error}", where=browser.path
        ) from error
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise RenderError(
            f"the browser took longer than {timeout:g} seconds",
            hint="timeout=..., or scripts=False where they were asked for",
        ) from None
    finally:
        _end(process)
    picture = folder / "shot.png"
    if not picture.is_file():
        raise _nothing_drawn(browser, process.returncode, log)
    return picture


def _end(process: subprocess.Popen[bytes]) -> None:
    """End all processes of a browser."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):  # all have ended
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _nothing_drawn(browser: Browser, code: int, log: Path) -> RenderError:
    with log.open("rb") as file:
        said = file.read(1 << 20).decode("utf-8", "replace")
    hint = "another browser, by browser=..."
    if "sandbox" in said.lower():
        hint = "sandbox=False, in a container that you trust with what the model wrote"
    elif "/snap/" in browser.path or "snap" in said.lower():
        hint = "a browser that is no snap: those cannot read other programs' temporary files"
    lines = [line for line in said.splitlines() if line.strip()]
    last = plain(lines[-1])[:200] if lines else "it said nothing"
    return RenderError(
        f"the browser drew nothing and ended with {code}: {last}", hint=hint, where=browser.path
    )
