"""The base of published benchmarks about pictures, and the prompts that several of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal, TypeAlias

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmark import Benchmark, PathLike
from qwenvl_kit.evaluation.columns import cell, named, read_item, targets_of
from qwenvl_kit.evaluation.data.cells import list_cell, text_cell
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem, MediaPart
from qwenvl_kit.evaluation.scoring.by_name import targets_for

Answers: TypeAlias = Literal["one", "list", "any"]
"""The right answers of a row: one text, a list of texts, or either."""

QWEN = "{question}\nPlease try to answer the question with short words or phrases if possible."
"""Source: open-compass/VLMEvalKit, vlmeval/vlm/qwen2_vl/prompt.py, written by Qwen's makers for
Qwen2-VL and Qwen2.5-VL, of questions without options."""

QWEN3 = "{question}\nPlease answer concisely with short words or phrases when possible."
"""Source: open-compass/VLMEvalKit, vlmeval/vlm/qwen3_vl/prompt.py, likewise."""

ONE_WORD = "{question}\nAnswer the question using a single word or phrase."
"""Source: open-compass/VLMEvalKit, vlmeval/dataset/image_vqa.py, `ImageVQADataset`; lmms-eval asks
DocVQA and TextVQA alike (but writes TextVQA's questions in small letters)."""


@explains_wrong_arguments
class PictureBenchmark(Benchmark):
    """The base of published benchmarks about pictures: their rule is fixed.

    Args:
        data: a file or rows; see `Benchmark`.
        prompt: see `Benchmark`.
        name: see `Benchmark`.
        columns: see `Benchmark`.
        groups: see `Benchmark`.
        cluster: see `Benchmark`.
        folder: see `Benchmark`.
        split: see `Benchmark`.

    Raises:
        EvaluationError: as `Benchmark`; or a row has no right answer: it says where those of the
            split are scored.
    """

    rule: ClassVar[str] = "exact"
    """The name of its rule."""

    answers: ClassVar[Answers] = "one"
    """The right answers of a row; the text of a list is one answer where a row has one alone."""

    hidden_answers: ClassVar[str] = ""
    """The place where answers are scored that the data do not have."""

    needs_picture: ClassVar[bool] = True
    """True if an item without a picture is a failure."""

    def __init__(
        self,
        data: Any,
        *,
        prompt: str | Callable[[EvaluationItem], str] | None = None,
        name: str | None = None,
        columns: Mapping[str, str] | None = None,
        groups: Sequence[str] = (),
        cluster: str | None = None,
        folder: PathLike | None = None,
        split: str | None = None,
    ) -> None:
        super().__init__(
            data,
            scorer=self.rule,
            prompt=prompt,
            name=name,
            columns=columns,
            groups=groups,
            cluster=cluster,
            folder=folder,
            split=split,
        )

    def item(self, row: Row) -> EvaluationItem:
        """Return the item of a row.

        Raises:
            EvaluationError: a field is missing or cannot be read, or the row has no right answer.
        """
        found = read_item(row, self._names, self.targets_of(row))
        return with_picture(found) if self.needs_picture else found

    def targets_of(self, row: Row) -> tuple[str, ...]:
        """Return the right answers of a row.

        Raises:
            EvaluationError: there are none where they are hidden, or they are no list where they
                must be one.
        """
        given = cell(row, self._names.targets)
        if self.answers == "one" and isinstance(given, str):
            found = [text_cell(given, row.where, "targets")] if given.strip() else []
        elif self.answers == "list":
            found = list_cell(given, row.where, "targets", must_be_list=True)
        else:
            found = targets_of(row, self._names)
        if not found and self.hidden_answers:
            column = named(row, self._names.targets)
            raise EvaluationError(
                f"the row has no right answer{f' in {column!r}' if column else ''}",
                expected="a right answer in each row",
                hint=self.hidden_answers,
                where=row.where,
            )
        return targets_for(self._scorer, found)


def with_picture(item: EvaluationItem) -> EvaluationItem:
    """Return an item that fails if its row has no picture, so that it is not asked without one."""
    return replace(item, load_media=partial(_pictures, item.load_media, item.where))


def _pictures(load: Callable[[], tuple[MediaPart, ...]], where: str) -> tuple[MediaPart, ...]:
    found = load()
    if not found:
        raise EvaluationError("the row has no picture", expected="a picture", where=where)
    return found
