"""Folders of films: the file of each name, wherever it lies below the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from qwenvl_kit.errors import EvaluationError

FILM_ENDINGS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".gif")
"""The endings of films, also in capitals."""

FRAME_ENDINGS = (".jpg", ".jpeg", ".png")
"""The endings of frames: a folder that holds such files is a film as well."""


@dataclass(frozen=True)
class FilmFolder:
    """The films below a folder, found once.

    Attributes:
        folder: the folder.
        by_name: the paths of files and folders of frames, relative to it, by their names without
            endings.
    """

    folder: Path
    by_name: dict[str, tuple[PurePosixPath, ...]]

    @classmethod
    def of(cls, folder: str | os.PathLike[str]) -> FilmFolder:
        """Find the films below a folder; links are followed.

        Args:
            folder: the folder.

        Raises:
            EvaluationError: there is no such folder.
        """
        root = Path(folder)
        if not root.is_dir():
            raise EvaluationError(
                f"there is no folder {os.fspath(root)!r}", expected="the folder of the films"
            )
        found: dict[str, list[PurePosixPath]] = {}
        for path in _films_below(root):
            found.setdefault(_stem(path.name), []).append(path)
        return cls(root, {name: tuple(sorted(paths)) for name, paths in found.items()})

    def find(self, name: str, parents: Sequence[str] = ()) -> Path | None:
        """Return the path of a film; None if there is none.

        The file may have another ending than the name, as films are often converted.

        Args:
            name: its name, with or without folders and an ending.
            parents: the folders in which it may lie, such as "star/Charades_v1_480", the first one
                that has it counts; empty for any folder.

        Raises:
            EvaluationError: several files have the name, and nothing tells which it is.
        """
        wanted = PurePosixPath(name.replace("\\", "/"))
        named = self.by_name.get(_stem(wanted.name)) or self.by_name.get(wanted.name, ())
        paths = _best(named, wanted)
        for parent in parents:
            inside = [path for path in paths if _ends_with(path.parent, PurePosixPath(parent))]
            if inside:
                return self._only(inside, wanted)
        return self._only(paths, wanted) if paths else None

    def _only(self, paths: Sequence[PurePosixPath], wanted: PurePosixPath) -> Path:
        """The only path; of those that differ in their endings, the one as it is named."""
        exact = [path for path in paths if path.name == wanted.name] or paths
        if len(exact) > 1:
            raise EvaluationError(
                f"{len(exact)} films are named {os.fspath(wanted)!r}: {exact[0]} and {exact[1]}",
                expected="one film of each name",
                where=os.fspath(self.folder),
            )
        return self.folder / exact[0]


def frames_of(folder: Path) -> list[Path]:
    """Return the frames in a folder, in the order of their names; numbers count as numbers.

    Args:
        folder: the folder.

    Raises:
        EvaluationError: the folder cannot be read, or holds no frames.
    """
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in FRAME_ENDINGS]
    except OSError as error:
        raise EvaluationError(
            f"the folder {os.fspath(folder)!r} cannot be read: {error.strerror}"
        ) from error
    if not found:
        raise EvaluationError(
            f"the folder {os.fspath(folder)!r} holds no frames",
            expected=f"files that end in {', '.join(FRAME_ENDINGS)}",
        )
    return sorted(found, key=_number)


def _number(path: Path) -> tuple[int, str]:
    digits = path.stem[len(path.stem.rstrip("0123456789")) :]
    return int(digits or -1), path.name


def _films_below(root: Path) -> Iterator[PurePosixPath]:
    """The films below a folder, relative to it; a folder that is linked twice is read once."""
    seen: set[str] = set()
    for parent, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        here = PurePosixPath(Path(parent).relative_to(root).as_posix())
        endings = {os.path.splitext(name)[1].lower() for name in files}
        if here.name and endings & set(FRAME_ENDINGS):
            yield here
        yield from (here / name for name in files if _is_film(name))


def _is_film(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in FILM_ENDINGS


def _stem(name: str) -> str:
    """A name without the ending of a film; other dots, as in `NBMH9_21.4_37.6`, are kept."""
    return os.path.splitext(name)[0] if _is_film(name) else name


def _best(paths: Sequence[PurePosixPath], wanted: PurePosixPath) -> Sequence[PurePosixPath]:
    """The paths that lie in the folders that a name has, if there are such; else all."""
    inside = [path for path in paths if _ends_with(path.parent, wanted.parent)]
    return inside or paths


def _ends_with(path: PurePosixPath, end: PurePosixPath) -> bool:
    parts = end.parts
    return not parts or path.parts[-len(parts) :] == parts
