"""A benchmark: questions with right answers, a prompt, and the rule by which answers are scored."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, Union, overload

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.columns import ColumnNames, read_item
from qwenvl_kit.evaluation.data.opening import open_rows
from qwenvl_kit.evaluation.data.rows import Row, Rows
from qwenvl_kit.evaluation.items import EvaluationItem, ItemScore, digest_items
from qwenvl_kit.evaluation.judge_prompts import read_verdict, verdict_prompt
from qwenvl_kit.evaluation.metrics import ACCURACY, Metric
from qwenvl_kit.evaluation.naming import name_of
from qwenvl_kit.evaluation.prompting import Prompt, chosen_prompt
from qwenvl_kit.evaluation.scoring.by_name import (
    Scorer,
    check_target,
    scorer_named,
    targets_for,
)
from qwenvl_kit.messages.message import Message
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat

PathLike: TypeAlias = Union[str, os.PathLike[str]]


@explains_wrong_arguments
class Benchmark(Sequence[EvaluationItem]):
    """Questions with right answers, from a file or from rows, and the rule that scores answers.

        benchmark = Benchmark("mine.jsonl", scorer="anls")
        benchmark = Benchmark(frame, scorer=lambda answer, item: float("cat" in answer))
        result = evaluate(chat, benchmark)

    The columns are `question`, `image` or `images`, `video`, `answer` or `answers`, the options
    `A`, `B`, ... or `choices`, and `id`; `columns` names others. Published benchmarks, such as
    `DocVQA`, are subclasses with columns, prompts and rules of their own.

    Args:
        data: a file (`.tsv`, `.csv`, `.jsonl`, `.json`, `.parquet`), a folder of Parquet files, a
            `datasets.Dataset`, a DataFrame, or a list of dicts.
        scorer: the name of a rule, such as "exact", "contains", "anls", "vqa", "relaxed",
            "option" or "yes_no", or a function that takes the answer and the item and returns a
            score in [0, 1] or an `ItemScore`. With "judged" a judge says which answers are right.
        prompt: the name of one of the benchmark's prompts; or a text of your own with `{question}`
            in it, in which `{choices}` are the options with their letters; or a function of the
            item. None takes the first of `prompts`.
        name: a name for results.
        columns: the column of the data for each field, such as {"question": "query"}.
        groups: columns whose values results are told by.
        cluster: the column of what questions share: a picture, document or film.
        folder: the folder of media with relative paths; None takes that of the file.
        split: the split of a data set that has several.

    Raises:
        EvaluationError: the data cannot be read, has no such column, no right answers, or two items
            with one id.
        MissingPackageError: a package that reads the file is not installed.
    """

    title: ClassVar[str] = ""
    """The name of a published benchmark."""

    prompts: ClassVar[Mapping[str, Prompt]] = {"plain": "{question}{choices}"}
    """The prompts by their names; the first is the default."""

    metrics: Sequence[Metric] = (ACCURACY,)
    """The figures that it reports; the first is the score of a result."""

    column_names: ClassVar[ColumnNames] = ColumnNames()
    """The columns that its data may have for each field."""

    max_new_tokens: ClassVar[int] = 128
    """The greatest length of an answer, in tokens."""

    def __init__(
        self,
        data: Any,
        *,
        scorer: str | Scorer = "exact",
        prompt: str | Callable[[EvaluationItem], str] | None = None,
        name: str | None = None,
        columns: Mapping[str, str] | None = None,
        groups: Sequence[str] = (),
        cluster: str | None = None,
        folder: PathLike | None = None,
        split: str | None = None,
    ) -> None:
        self._names = self.column_names.with_given(columns, groups, cluster)
        self._rows: Rows = open_rows(data, folder=folder, split=split, heavy=self._names.media)
        self._names.check(self._rows.columns, self._rows.name)
        self._scorer = scorer_named(scorer)
        self._is_judged = scorer == "judged"
        self.scorer_name, self.own_prompt = name_of(scorer), ""
        self.prompt_name, self._prompt = chosen_prompt(self.prompts, prompt)
        if self.prompt_name not in self.prompts:
            self.own_prompt = name_of(prompt)
        self.name = name or self.title or self._rows.name
        self._items = [item for row in self._rows for item in self.items_of(row)]
        self.check()

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> EvaluationItem: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[EvaluationItem]: ...

    def __getitem__(self, index: int | slice) -> EvaluationItem | Sequence[EvaluationItem]:
        return self._items[index]

    def __iter__(self) -> Iterator[EvaluationItem]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._rows.name!r}, {len(self):,} items)"

    def items_of(self, row: Row) -> Iterable[EvaluationItem]:
        """Return the items of a row: one, unless a benchmark leaves rows out or divides them.

        Raises:
            EvaluationError: see `item`.
        """
        return (self.item(row),)

    def item(self, row: Row) -> EvaluationItem:
        """Return the item of a row of the data.

        Raises:
            EvaluationError: the row lacks a field, or a field cannot be read.
        """
        found = read_item(row, self._names)
        return replace(found, targets=targets_for(self._scorer, found.targets))

    def check(self) -> None:
        """Refuse a benchmark without items, with two of one id, or with no right answer for a rule.

        Raises:
            EvaluationError: it cannot be asked as it is.
        """
        _check_items(self._items, self.name)
        for item in self._items:
            self.check_item(item)

    def check_item(self, item: EvaluationItem) -> None:
        """Refuse an item whose right answers are none for the benchmark's rule.

        Raises:
            EvaluationError: a right answer is no option, yes or no, number or box.
        """
        check_target(self._scorer, item)

    def drawn_with(self, item: EvaluationItem) -> str:
        """Return a name that an item shares with those without which it says little.

        They are asked together where only some of a benchmark's items are.
        """
        return item.id

    def for_chat(self, chat: VisionChat) -> Benchmark:
        """Return the benchmark as it is asked of a chat: itself, unless families differ in it."""
        return self

    @property
    def conditions(self) -> Mapping[str, str]:
        """The settings, besides prompt and data, that decide answers, such as frames of films."""
        return {}

    def messages(self, item: EvaluationItem) -> list[Message]:
        """Return the conversation that asks an item: its pictures, then its prompt."""
        return [Message.user(*item.media, self.prompt_text(item))]

    def request(self, item: EvaluationItem) -> Request:
        """Return the request that asks an item; its id is that of the item."""
        return Request(self.messages(item), id=item.id)

    def prompt_text(self, item: EvaluationItem) -> str:
        """Return the text that asks an item."""
        return self._prompt(item)

    def score(self, item: EvaluationItem, answer: str) -> ItemScore:
        """Score an answer to an item by the benchmark's rule."""
        return self._scorer(answer, item)

    def score_reply(self, item: EvaluationItem, reply: Reply) -> ItemScore:
        """Score the reply of a model; most rules need nothing but its text."""
        return self.score(item, reply.text)

    @property
    def needs_judge(self) -> bool:
        """True if all answers are left to a judge."""
        return self._is_judged

    def check_without_reply(self) -> None:
        """Refuse a benchmark whose answers cannot be scored by their texts alone.

        Raises:
            EvaluationError: the rule needs more of a reply.
        """

    def judge_prompt(self, item: EvaluationItem, answer: str) -> str | None:
        """Return the text that asks a judge about an answer; None if the rule needs no judge."""
        return verdict_prompt(item, answer) if self._is_judged else None

    def score_judged(self, item: EvaluationItem, answer: str, judged: str) -> ItemScore:
        """Score an answer by what a judge said about it."""
        return read_verdict(answer, judged) if self._is_judged else self.score(item, judged)

    @property
    def data(self) -> Mapping[str, str]:
        """The names and digests (SHA-256) of the files, or of the rows."""
        return {"name": self._rows.name, "digest": self._rows.digest}

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all items: ids, questions, options and right answers, not of pictures."""
        return digest_items(self._items)


def _check_items(items: Sequence[EvaluationItem], name: str) -> None:
    """Refuse a benchmark without items, or with two of one id."""
    if not items:
        raise EvaluationError(f"{name} has no rows", expected="at least one question")
    seen: dict[str, str] = {}
    for item in items:
        if item.id in seen:
            raise EvaluationError(
                f"two items have the id {item.id!r}: {seen[item.id]} and {item.where}",
                expected="an id of its own for each item",
            )
        seen[item.id] = item.where
