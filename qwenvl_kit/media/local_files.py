"""Local files: checks of the paths that may be read; the file that is opened is the one checked."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from qwenvl_kit.errors import MediaError, MediaNotFoundError, MediaSourceError
from qwenvl_kit.media.base64_text import DATA_URL
from qwenvl_kit.media.policy import forbidden_path
from qwenvl_kit.safe_text import looks_like_base64, shown

if TYPE_CHECKING:
    from qwenvl_kit.media.policy import MediaPolicy

_BLOCK_BYTES = 2**20
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0)
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_HAS_FOLDERS = bool(_NO_LINKS) and os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd
"""True if a file can be opened relative to an open folder, which no link can replace."""


def checked_file(given: Path, policy: MediaPolicy) -> Path:
    """Return the path of a file that may be read; messages name it as it was given.

    Raises:
        MediaForbiddenError: it is in no folder that the policy admits. The message says nothing
            about such a path, not even if a file is there.
        MediaNotFoundError: there is no such file.
        MediaSourceError: it is a folder, a device or a pipe.
    """
    try:
        path = policy.check_path(given)
        with _in_its_folder(path, policy) as (name, folder):
            status = os.stat(name, dir_fd=folder, follow_symlinks=folder is None)
    except MediaError:
        raise
    except FileNotFoundError as error:
        raise _no_file(str(given), policy) from error
    except (OSError, ValueError, RuntimeError) as error:  # a NUL byte, a name too long, an odd ~
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise MediaNotFoundError(
            f"{shown(str(given))} cannot be a file ({str(why)[:150]})",
            expected="a file",
            hint=DATA_URL if looks_like_base64(str(given)) else "",
        ) from error
    if stat.S_ISLNK(status.st_mode):  # it was no link when it was checked
        raise forbidden_path()
    if stat.S_ISDIR(status.st_mode):
        raise MediaSourceError(f"{given} is a directory", expected="a file")
    if not stat.S_ISREG(status.st_mode):  # reading a device or a pipe might never end
        raise MediaSourceError(f"{given} is a device or a pipe", expected="a file")
    return path


@contextmanager
def open_file(path: Path, policy: MediaPolicy) -> Iterator[BinaryIO]:
    """Open a file that `checked_file` admitted; a link that has replaced it since is not followed.

    Raises:
        MediaForbiddenError: a link stands in its place, or in the place of one of its folders.
        MediaSourceError: it is no longer a file.
        MediaNotFoundError: it cannot be read.
    """
    try:
        with _in_its_folder(path, policy) as (name, folder):
            file = _file_of(_opened(name, _FILE, folder))
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        _check_opened(file, path, policy)
        yield file


def read_file(path: Path, policy: MediaPolicy) -> bytes:
    """Return all bytes of a file; one that is too large, or grows too large meanwhile, is refused.

    Raises:
        MediaForbiddenError: it has more bytes than the policy admits; or as `open_file`.
        MediaNotFoundError: it cannot be read.
    """
    return b"".join(_blocks(path, policy, None))


def sha256_of_file(path: Path, policy: MediaPolicy) -> str:
    """Return the SHA-256 of a file's bytes; errors as of `read_file`."""
    digest = hashlib.sha256()
    for block in _blocks(path, policy, _BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def read_start(path: Path, num_bytes: int, policy: MediaPolicy) -> bytes:
    """Return the first bytes of a file; errors as of `open_file`."""
    with open_file(path, policy) as file:
        return read_piece(file, path, num_bytes)


def _blocks(path: Path, policy: MediaPolicy, block_bytes: int | None) -> Iterator[bytes]:
    """The bytes of a file, block by block; None for as few blocks as possible."""
    with open_file(path, policy) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        policy.check_num_bytes(size_bytes)
        wanted, num_bytes = block_bytes or size_bytes + 1, 0
        while block := read_piece(file, path, min(wanted, policy.max_bytes + 1 - num_bytes)):
            num_bytes += len(block)
            policy.check_num_bytes(num_bytes)
            yield block
            wanted = _BLOCK_BYTES


def read_piece(file: BinaryIO, path: Path, num_bytes: int, start: int | None = None) -> bytes:
    """Return the next bytes of a file that `open_file` opened, or those from a position on.

    Raises:
        MediaNotFoundError: they cannot be read, or only by waiting, as some of the kernel.
    """
    try:
        if start is not None:
            file.seek(start)
        piece: bytes | None = file.read(num_bytes)
        if piece is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    except OSError as error:
        raise _unreadable(path, error) from error
    return piece


@contextmanager
def _in_its_folder(path: Path, policy: MediaPolicy) -> Iterator[tuple[str, int | None]]:
    """A file's name, and its open folder; the whole path and None if no folders are fenced in.

    The folder is opened step by step from the admitted one, and no step follows a link: the
    path was free of links when it was checked.
    """
    folders = policy.allow_folders if _HAS_FOLDERS else None
    fence = next((fence for fence in folders or () if path.is_relative_to(fence)), path)
    if fence == path:
        yield str(path), None
        return
    *steps, name = path.relative_to(fence).parts
    folder = os.open(fence, _FOLDER)
    try:
        for step in steps:
            above, folder = folder, _opened(step, _FOLDER, folder)
            os.close(above)
        yield name, folder
    finally:
        os.close(folder)


def _opened(name: str, flags: int, folder: int | None) -> int:
    if folder is None:
        return os.open(name, flags)
    try:
        return os.open(name, flags | _NO_LINKS, dir_fd=folder)
    except OSError as error:
        if _is_link(name, folder):
            raise forbidden_path() from error
        raise


def _file_of(descriptor: int) -> BinaryIO:
    """The file of a descriptor, which is closed if there is no room for the file."""
    try:
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _is_link(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _check_opened(file: BinaryIO, path: Path, policy: MediaPolicy) -> None:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise MediaSourceError(f"{path} is no longer a file", expected="a file")
    is_fenced = policy.allow_folders is not None
    if is_fenced and not _HAS_FOLDERS and policy.check_path(path) != path:
        raise forbidden_path()


def _no_file(given: str, policy: MediaPolicy) -> MediaNotFoundError:
    words = shown(given)
    if words != repr(given):
        is_base64 = looks_like_base64(given)
        return MediaNotFoundError(
            f"no file has {words} for its name",
            expected=f"a path, or {DATA_URL}" if is_base64 else "a path",
        )
    # If files are fenced in, the caller must not learn the working directory.
    hint = f"an absolute path; the working directory is {_working_directory()}"
    is_ours = policy.allow_folders is None
    return MediaNotFoundError(f"no file at {given}", hint=hint if is_ours else "")


def _unreadable(path: Path, error: OSError) -> MediaNotFoundError:
    return MediaNotFoundError(
        f"{path} cannot be read ({error.strerror})", expected="a file that you may read"
    )


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "gone"
