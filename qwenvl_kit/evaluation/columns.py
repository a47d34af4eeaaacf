"""Columns: the cells of a row that are its question, media, options and right answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from string import ascii_uppercase
from typing import Any

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.data.cells import (
    answers_cell,
    is_empty,
    list_cell,
    media_of,
    plain_cell,
    text_cell,
)
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem

Names = Sequence[str]
"""Names that a column has in data of different makers; the first that a row has counts."""


@dataclass(frozen=True, kw_only=True)
class ColumnNames:
    """The names of the columns of a benchmark's data.

    Attributes:
        id: the id; a row without one is named by its place.
        question: the question.
        targets: the right answers: a text, or a list of them.
        choices: a list of the options; data with the columns A, B, C, ... needs none.
        image: a picture, or a list of them.
        video: a film.
        cluster: the document, picture or film that questions share.
        groups: the columns whose values results are told by, by the names of the groups.
        tags: the same for columns that hold a list of values.
        facts: the columns that the rule or the prompt needs, by the names of the facts.
        optional: groups, facts and fields that data may lack.
    """

    id: Names = ("id", "index", "question_id", "questionId")
    question: Names = ("question", "query", "prompt")
    targets: Names = ("answer", "answers", "label", "target")
    choices: Names = ("choices", "options", "candidates")
    image: Names = ("image", "images", "image_path")
    video: Names = ("video", "video_path")
    cluster: Names = ()
    groups: Mapping[str, Names] = field(default_factory=dict)
    tags: Mapping[str, Names] = field(default_factory=dict)
    facts: Mapping[str, Names] = field(default_factory=dict)
    optional: Names = ("id", "choices", "image", "video", "cluster")

    @property
    def media(self) -> Names:
        """The columns of pictures and films, which are read when they are needed."""
        return (*self.image, *self.video)

    def with_given(
        self, columns: Mapping[str, str] | None, groups: Names, cluster: str | None
    ) -> ColumnNames:
        """Return the names with those that a caller gives.

        Args:
            columns: the column of each field, as `Benchmark` takes it.
            groups: columns whose values results are told by.
            cluster: the column of what questions share.

        Raises:
            EvaluationError: `columns` names a field that there is not.
        """
        known = {each.name for each in fields(self)} - {"groups", "tags", "facts", "optional"}
        given = dict(columns or {})
        if cluster is not None:
            given["cluster"] = cluster
        if unknown := sorted(set(given) - known):
            raise EvaluationError(
                f"columns has the field {unknown[0]!r}",
                expected=f"fields of {', '.join(sorted(known))}",
            )
        optional = tuple(name for name in self.optional if name not in given)
        changes: dict[str, Any] = {name: (column,) for name, column in given.items()}
        told = {**self.groups, **{column: (column,) for column in groups}}
        return replace(self, **changes, groups=told, optional=optional)

    def check(self, columns: Sequence[str], name: str) -> None:
        """Refuse data that lack a column.

        Args:
            columns: the columns of the data.
            name: the name of the data, for the error.

        Raises:
            EvaluationError: names the column that is missing, and those that there are.
        """
        has_letters = "A" in columns
        wanted: dict[str, Names] = {
            "id": self.id,
            "question": self.question,
            "targets": self.targets,
            "choices": () if has_letters else self.choices,
            "image": self.image,
            "video": self.video,
            "cluster": self.cluster,
            **self.groups,
            **self.tags,
            **self.facts,
        }
        for what, names in wanted.items():
            if what in self.optional or not names or any(each in columns for each in names):
                continue
            raise EvaluationError(
                f"{name} has no column for {what}: none of {', '.join(map(repr, names))}",
                expected="such a column",
                hint=f"it has {', '.join(map(repr, columns))}; "
                f"columns={{{what!r}: ...}} names another",
            )


def read_item(row: Row, names: ColumnNames, targets: Sequence[str] | None = None) -> EvaluationItem:
    """Return the item of a row.

    Args:
        row: the row.
        names: the columns of its fields.
        targets: its right answers, if they have been read already.

    Raises:
        EvaluationError: a field is missing, empty, or cannot be read; the error names the row.
    """
    if targets is None:
        targets = targets_of(row, names)
    if not targets:
        raise EvaluationError(
            f"the row has no right answer in {named(row, names.targets)!r}",
            expected="a right answer in each row",
            hint="the answers of test splits are often kept by the makers of a benchmark, who "
            "score answers that are sent to them; take the validation split",
            where=row.where,
        )
    return EvaluationItem(
        id=text_cell(cell(row, names.id), row.where, "id") or row.where,
        question=question_of(row, names),
        targets=tuple(targets),
        choices=choices_of(row, names.choices),
        groups=_texts(row, names.groups),
        tags=_tags(row, names.tags),
        cluster=text_cell(cell(row, names.cluster), row.where, "cluster"),
        facts={name: plain_cell(cell(row, of)) for name, of in names.facts.items()},
        where=row.where,
        load_media=partial(media_of, row, names.image, names.video),
    )


def targets_of(row: Row, names: ColumnNames) -> list[str]:
    """Return the right answers of a row; empty if it has none.

    The text of a list of numbers is one answer, unless the name of its column is plural.

    Raises:
        EvaluationError: they are neither texts nor numbers.
    """
    is_plural = named(row, names.targets).lower().endswith("answers")
    return answers_cell(cell(row, names.targets), row.where, "targets", is_plural=is_plural)


def question_of(row: Row, names: ColumnNames) -> str:
    """Return the question of a row.

    Raises:
        EvaluationError: it is blank, so that nothing would be asked.
    """
    question = text_cell(cell(row, names.question), row.where, "question")
    if not question.strip():
        raise EvaluationError(
            f"the row has no question in {named(row, names.question)!r}",
            expected="a question in each row",
            where=row.where,
        )
    return question


def choices_of(row: Row, names: Names) -> tuple[str, ...]:
    """Return the options of a row: the cells A, B, C, ... or the list in one cell.

    Raises:
        EvaluationError: there are more options than letters, or one between others is empty.
    """
    letters = [letter for letter in ascii_uppercase if letter in row]
    if letters:
        found = [text_cell(row[letter], row.where, "option") for letter in letters]
        return options_in_order(found, row.where, letters)
    return options_in_order(list_cell(cell(row, names), row.where, "choices"), row.where)


def options_in_order(
    texts: Sequence[str], where: str, letters: Names = ascii_uppercase
) -> tuple[str, ...]:
    """Return options without the empty ones behind the last; their letters are told by places.

    Args:
        texts: the options, an empty one as "".
        where: the place of the row, for the error.
        letters: the letters of the places.

    Raises:
        EvaluationError: there are more options than letters, or one between others is empty.
    """
    filled = [at for at, text in enumerate(texts) if not is_empty(text)]
    last = filled[-1] + 1 if filled else 0
    if last > len(letters):
        raise EvaluationError(
            f"the row has {last} options",
            expected=f"at most {len(ascii_uppercase)}, a letter for each",
            where=where,
        )
    if "".join(letters[at] for at in filled) != ascii_uppercase[: len(filled)]:
        raise EvaluationError(
            f"the row has the options {', '.join(letters[at] for at in filled)}, and an empty one "
            "between them",
            expected="options without a gap, as their letters are shown in order",
            where=where,
        )
    return tuple(texts[: len(filled)])


def named(row: Row, names: Names) -> str:
    """Return the name that a column has in a row: the first of the names that is there."""
    return next((name for name in names if name in row), "")


def cell(row: Row, names: Names) -> Any:
    """Return the cell of the first column that is there; None if there is none."""
    name = named(row, names)
    return row[name] if name else None


def _texts(row: Row, names: Mapping[str, Names]) -> dict[str, str]:
    found = {name: text_cell(cell(row, of), row.where, name) for name, of in names.items()}
    return {name: text for name, text in found.items() if text}


def _tags(row: Row, names: Mapping[str, Names]) -> dict[str, tuple[str, ...]]:
    found = {name: list_cell(cell(row, of), row.where, name) for name, of in names.items()}
    kept = {name: [text for text in texts if text.strip()] for name, texts in found.items()}
    return {name: tuple(dict.fromkeys(texts)) for name, texts in kept.items() if texts}
