"""The base of benchmarks about films: all of them are looked for before anything runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import EvaluationError, MediaNotFoundError
from qwenvl_kit.evaluation.benchmark import Benchmark, PathLike
from qwenvl_kit.evaluation.benchmarks.film_folders import FILM_ENDINGS, FilmFolder
from qwenvl_kit.evaluation.benchmarks.film_parts import Film, FilmSampling, chosen_sampling
from qwenvl_kit.evaluation.benchmarks.option_questions import without_answer
from qwenvl_kit.evaluation.columns import cell, read_item
from qwenvl_kit.evaluation.data.cells import text_cell
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem, MediaPart

Missing: TypeAlias = Literal["refuse", "fail"]
"""The treatment of items whose films are missing: nothing runs, or each of them is a failure."""

_SHOWN = 5
"""Names of missing films in an error."""


@explains_wrong_arguments
class FilmBenchmark(Benchmark):
    """The base of benchmarks about films.

    Args:
        data: a file or rows; see `Benchmark`.
        folder: the folder of the films, at any depth below it and with any ending of films; None
            takes that of the data.
        prompt: see `Benchmark`.
        name: see `Benchmark`.
        columns: see `Benchmark`.
        groups: see `Benchmark`.
        cluster: see `Benchmark`.
        split: see `Benchmark`.
        fps: frames per second that the model sees; None for 2, as Qwen's models were evaluated.
        max_frames: the most frames; None for 768.
        num_frames: a number of frames, evenly spread, in place of `fps` and `max_frames`.
        missing: "refuse" if no film may be missing; with "fail" each item without its film is a
            failure, which has no score and is counted apart.

    Raises:
        EvaluationError: as `Benchmark`; or films are missing: it says how many, and names some.
        VideoTimingError: a rate or number of frames is out of its range.
    """

    hidden_answers: ClassVar[str] = ""
    """The place where answers are scored that the data do not have."""

    def __init__(
        self,
        data: Any,
        *,
        folder: PathLike | None = None,
        prompt: str | Callable[[EvaluationItem], str] | None = None,
        name: str | None = None,
        columns: Mapping[str, str] | None = None,
        groups: Sequence[str] = (),
        cluster: str | None = None,
        split: str | None = None,
        fps: float | None = None,
        max_frames: int | None = None,
        num_frames: int | None = None,
        missing: Missing = "refuse",
    ) -> None:
        _check_missing_choice(missing)
        self.sampling = chosen_sampling(fps, max_frames, num_frames)
        self._may_miss = missing == "fail"
        self._missing: dict[str, str] = {}
        self._folders: dict[Path, FilmFolder] = {}
        data, folder = self.given(data, folder)
        super().__init__(
            data,
            scorer="option",
            prompt=prompt,
            name=name,
            columns=columns,
            groups=groups,
            cluster=cluster,
            folder=folder,
            split=split,
        )

    @property
    def missing(self) -> Mapping[str, str]:
        """The names of films that were not found, by the ids of their items."""
        return self._missing

    @property
    def conditions(self) -> Mapping[str, str]:
        """The frames of a film that are shown: their rate, or their number."""
        sampling = self.sampling
        if sampling.num_frames is not None:
            return {"num_frames": str(sampling.num_frames)}
        return {"fps": f"{sampling.fps:g}", "max_frames": str(sampling.max_frames)}

    def given(self, data: Any, folder: PathLike | None) -> tuple[Any, PathLike | None]:
        """Return data in a form that `Benchmark` reads, and the folder of their films."""
        return data, folder

    def check(self) -> None:
        """Refuse a benchmark whose films are missing, unless their items may fail.

        Raises:
            EvaluationError: says how many are missing, and names some.
        """
        super().check()
        if self._missing and not self._may_miss:
            raise self._missing_error()

    def film_name(self, row: Row) -> str:
        """Return the name of the film of a row."""
        return text_cell(cell(row, self._names.video), row.where, "video")

    def film(self, row: Row, films: FilmFolder) -> Film | None:
        """Return the film of a row; None if it is missing.

        Args:
            row: the row.
            films: the films that there are.
        """
        path = films.find(self.film_name(row))
        return None if path is None else Film(path)

    def item(self, row: Row) -> EvaluationItem:
        """Return the item of a row, with its film.

        Raises:
            EvaluationError: a field is missing or cannot be read, or the row has no answer.
        """
        if self.hidden_answers and not self.answer_of(row).strip():
            raise without_answer(row, self.hidden_answers)
        found, name = self.film_item(row), self.film_name(row)
        film = self.film(row, self._films_of(row))
        if film is None:
            self._missing[found.id] = name
        show = partial(_shown, self.sampling, film, name)
        return replace(found, cluster=found.cluster or name, load_media=show)

    def answer_of(self, row: Row) -> str:
        """Return the right answer of a row, as the data have it; empty if they have none."""
        return text_cell(cell(row, self._names.targets), row.where, "targets")

    def film_item(self, row: Row) -> EvaluationItem:
        """Return the item of a row, without its film."""
        answer = self.answer_of(row)
        return read_item(row, self._names, (answer,) if answer else ())

    def _films_of(self, row: Row) -> FilmFolder:
        """The films of the folder of a row, found once."""
        if row.folder is None:
            raise EvaluationError(
                f"{self.title or 'the benchmark'} was given no folder of films",
                expected="folder=..., the folder below which they lie",
            )
        if row.folder not in self._folders:
            self._folders[row.folder] = FilmFolder.of(row.folder)
        return self._folders[row.folder]

    def _missing_error(self) -> EvaluationError:
        names = list(dict.fromkeys(self._missing.values()))
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        places = ", ".join(os.fspath(folder) for folder in self._folders)
        return EvaluationError(
            f"the films of {len(self._missing):,} of {len(self):,} items are missing, "
            f"{len(names):,} in all: {shown}",
            expected=f"files of these names below {places}, which end in {', '.join(FILM_ENDINGS)}",
            hint="folder=... names another folder; missing='fail' asks the other items, and counts "
            "these as failures",
        )


def _shown(sampling: FilmSampling, film: Film | None, name: str) -> tuple[MediaPart, ...]:
    """The film of an item, as a part of a message."""
    if film is None:
        raise MediaNotFoundError(f"there is no film {name!r}", expected="a film of this name")
    return (sampling.part(film),)


def _check_missing_choice(missing: object) -> None:
    if missing not in ("refuse", "fail"):
        raise EvaluationError(f"missing={missing!r} was given", expected="'refuse' or 'fail'")
