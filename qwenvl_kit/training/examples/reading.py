"""Examples of training files: read when they are needed, in the same order each time."""

from __future__ import annotations

import os
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, Union

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import QwenVLKitError, QwenVLKitWarning, TrainingDataError, fresh
from qwenvl_kit.formats.row_files import Row
from qwenvl_kit.options import BudgetChoice, as_budget
from qwenvl_kit.training.examples.example import Example
from qwenvl_kit.training.examples.files import read_rows, row_at
from qwenvl_kit.training.examples.forms import Form, check_form
from qwenvl_kit.training.examples.rows import RowReader

PathLike: TypeAlias = Union[str, os.PathLike[str]]
MixRule: TypeAlias = Literal["first", "all"]
_Item = TypeVar("_Item")

Outcome: TypeAlias = Union[Example, QwenVLKitError]
"""An example, or the error in place of one."""


class Notes:
    """Sentences about what is likely a mistake, each with its first place and its number."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def add(self, where: str, text: str) -> None:
        """Add a sentence about a place."""
        self._places.setdefault(text, where)
        self._counts[text] += 1

    def __iter__(self) -> Iterator[str]:
        for text, where in self._places.items():
            more = self._counts[text] - 1
            yield f"{where}{f' and {more} more' if more else ''}: {text}"

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True)
class _Source:
    """A file, or rows in memory.

    Attributes:
        rows: the path of a file, or rows that can be read again and again.
        share: the share of the examples that it gives; None if all sources are read in turn.
    """

    rows: Any
    share: float | None = None

    @property
    def is_file(self) -> bool:
        return isinstance(self.rows, (str, os.PathLike))

    def placed(self, reader: RowReader, found: Found) -> Iterator[tuple[RowPlace, Outcome]]:
        """Its examples, or errors, each with the place of its row and its number within it."""
        for where, value, offset in self.all_rows():
            place = RowPlace(self, where, offset, value if offset is None else None)
            if isinstance(value, QwenVLKitError):
                yield place, value
                continue
            try:
                read = reader.read(value, where, found.notes.add, self.folder)
                for number, (example, form) in enumerate(read):
                    found.forms[form] += 1
                    yield replace(place, number=number), example
            except QwenVLKitError as error:
                yield place, error

    @property
    def folder(self) -> Path | None:
        """The folder of the file; None for rows in memory."""
        return Path(self.rows).parent if self.is_file else None

    def all_rows(self) -> Iterator[Row]:
        """Its rows in their order, or the error that the file cannot be read."""
        if self.is_file:
            try:
                yield from read_rows(self.rows)
            except TrainingDataError as error:
                yield Row("", error)
            return
        for at, row in enumerate(self.rows):
            yield Row(f"rows[{at}]", row)


@dataclass(frozen=True)
class RowPlace:
    """The place of an example, by which it is read again.

    Attributes:
        source: its file, or rows in memory.
        where: its place in words, such as `train.jsonl:3`.
        offset: the bytes before its line in a file of JSON Lines; None in other sources.
        value: the row, if it has no offset.
        number: the number of the example within its row, from 0.
    """

    source: _Source
    where: str
    offset: int | None = None
    value: Any = None
    number: int = 0

    def example(self, reader: RowReader) -> Example:
        """Read the example again.

        Raises:
            TrainingDataError: the file was changed.
            InputError: of the most specific kind, likewise.
        """
        row = self.value
        if self.offset is not None:
            row = row_at(self.source.rows, self.where, self.offset)
        read = reader.read(row, self.where, lambda _where, _text: None, self.source.folder)
        found = next(islice(read, self.number, None), None)
        if found is None:
            raise TrainingDataError(
                "the training file was changed since it was first read",
                expected="a file that stays as it is while it is used",
                where=self.where,
            )
        return found[0]


@dataclass
class Found:
    """The findings of one reading: forms with the number of their rows, and notes."""

    forms: Counter[str] = field(default_factory=Counter)
    notes: Notes = field(default_factory=Notes)


class Examples:
    """The examples of some files, or rows: read anew each time that they are iterated over.

    Nothing is kept in memory. Each pass gives the same examples in the same order.

    Attributes:
        forms: the form of the rows that the last pass has read, with their number.
        notes: sentences on likely mistakes in them; they are also given as `QwenVLKitWarning`.
    """

    def __init__(
        self, sources: Sequence[_Source], reader: RowReader, seed: int, until: MixRule
    ) -> None:
        self._sources = tuple(sources)
        self._reader = reader
        self._seed = seed
        self._until = until
        self._found = Found()

    def __iter__(self) -> Iterator[Example]:
        """Yield the examples.

        Raises:
            TrainingDataError: a row cannot be read; the error has its place.
            MessageError: a message in it has another form.
        """
        told = 0
        for outcome in self.outcomes():
            for text in list(self.notes)[told:]:
                warnings.warn(text, QwenVLKitWarning, stacklevel=2)
            told = len(self.notes)
            if not isinstance(outcome, Example):
                raise fresh(outcome)
            yield outcome

    @property
    def forms(self) -> Mapping[str, int]:
        """The form of the rows that the last pass has read, with their number."""
        return dict(self._found.forms)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on likely mistakes in what the last pass has read."""
        return tuple(self._found.notes)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the examples, with the error in place of each row that cannot be read."""
        return (outcome for _, outcome in self.placed())

    def placed(self) -> Iterator[tuple[RowPlace, Outcome]]:
        """Yield the examples, or errors, each with its place, by which `at` reads it again."""
        self._found = found = Found()
        reader = self._reader
        passes = [partial(source.placed, reader, found) for source in self._sources]
        if any(source.share is not None for source in self._sources):
            shares = [source.share or 0.0 for source in self._sources]
            return _mixed(passes, shares, self._seed, self._until)
        return (placed for begin in passes for placed in begin())

    def at(self, place: RowPlace) -> Example:
        """Read the example of a place again.

        Raises:
            TrainingDataError: its file was changed.
        """
        return place.example(self._reader)

    def __repr__(self) -> str:
        names = ", ".join(
            os.fsdecode(source.rows) if source.is_file else type(source.rows).__name__
            for source in self._sources
        )
        return f"Examples({names})"


def _mixed(
    passes: Sequence[Callable[[], Iterator[_Item]]],
    shares: Sequence[float],
    seed: int,
    until: MixRule,
) -> Iterator[_Item]:
    """Draw from sources by their shares; see `read_examples`."""
    draw = random.Random(seed)
    running = [begin() for begin in passes]
    is_over = [False] * len(passes)
    num_given = [0] * len(passes)
    while True:
        (at,) = draw.choices(range(len(passes)), shares)
        item = next(running[at], None)
        if item is None:
            is_over[at] = True
            if not num_given[at] or until == "first" or all(is_over):
                return
            running[at] = passes[at]()
            item = next(running[at])
        num_given[at] += 1
        yield item


@explains_wrong_arguments
def read_examples(
    data: PathLike | Sequence[PathLike] | Mapping[PathLike, float] | Iterable[Any],
    form: Form | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    media_root: PathLike | None = None,
    answers: Literal["all", "last"] = "all",
    thinking: bool | None = None,
    trust_marks: bool = False,
    budget: BudgetChoice | None = None,
    seed: int = 0,
    until: MixRule = "first",
) -> Examples:
    """Read examples from training files, or from rows in memory.

        examples = read_examples("train.jsonl")
        for example in examples: ...           # nothing is read before
        read_examples({"ours.jsonl": 0.8, "general.jsonl": 0.2}, seed=7)

    Forms of ms-swift (old and new), Qwen's own trainer, ShareGPT, LLaVA, LLaMA-Factory, OpenAI and
    TRL are read, and told apart by their keys, row by row: `examples.forms` says which were found.

    With shares each example is drawn from a source with the probability of its share, by a
    generator that begins with `seed` in each pass; the examples of a source keep their order. The
    pass ends when a source has no more examples (`until="first"`), or when each has given all of
    them (`until="all"`): sources that end before begin again.

    Args:
        data: a file (`.jsonl`, `.json`), several that are read in turn, files with their shares,
            or rows: a list of dicts, a data set of `datasets`, lists of messages, examples.
        form: the form of all rows; None to find out that of each.
        columns: keys of the rows under other names, such as `{"question": "query"}`.
        ignore: keys that are left out. Any other key that is not read gives a warning.
        media_root: the folder of relative names of pictures; None for the folder of their file.
        answers: the answers of a conversation that are learned: "all", or the "last". A row may
            say more: `loss` and `loss_scale` of ms-swift, `weight` of OpenAI, `prompt` of TRL.
        thinking: True or False where the model's template switches thinking.
        trust_marks: True if marks of places in questions, such as `<|box_start|>`, are special
            tokens; otherwise they are plain characters, as in `chat.ask`.
        budget: visual tokens of the pictures; None for those of the check or the training.
        seed: the seed of the draws, if there are shares.
        until: the end of a pass, if there are shares: "first" or "all".

    Returns:
        The examples. Rows are read, and faults found, when they are iterated over.

    Raises:
        TrainingDataError: an argument is out of range, or data can be read only once.
    """
    if answers not in ("all", "last") or until not in ("first", "all"):
        wrong = f"answers={answers!r}, until={until!r}"
        raise TrainingDataError(
            f"{wrong} was given", expected="answers 'all' or 'last', until 'first' or 'all'"
        )
    reader = RowReader(
        form=check_form(form),
        columns=columns,
        ignore=(ignore,) if isinstance(ignore, str) else tuple(ignore),
        media_root=media_root,
        answers=answers,
        thinking=thinking,
        trust_marks=trust_marks,
        budget=None if budget is None else as_budget(budget),
    )
    return Examples(_sources_of(data), reader, seed, until)


def _sources_of(data: Any) -> list[_Source]:
    if isinstance(data, (str, os.PathLike)):
        return [_Source(data)]
    if isinstance(data, Examples):
        raise TrainingDataError(
            "examples were given, which are read already", expected="a file, or rows"
        )
    if isinstance(data, Mapping):
        return [_Source(path, _checked_share(path, share)) for path, share in data.items()]
    if isinstance(data, Iterator) or not isinstance(data, Iterable):
        raise TrainingDataError(
            f"data of type {type(data).__name__} was given",
            expected="files, or rows that can be read several times: once for each epoch",
            hint="list(rows)" if isinstance(data, Iterator) else "",
        )
    if isinstance(data, (list, tuple)) and data:
        are_files = [isinstance(item, (str, os.PathLike)) for item in data]
        if all(are_files):
            return [_Source(path) for path in data]
    return [_Source(data)]


def _checked_share(path: Any, share: Any) -> float:
    if not isinstance(path, (str, os.PathLike)):
        raise TrainingDataError(
            f"a row with the keys of type {type(path).__name__} was given",
            expected="files with their shares, or a list of rows",
        )
    is_number = isinstance(share, (int, float)) and not isinstance(share, bool)
    if not is_number or not 0 < share <= 1e9:
        raise TrainingDataError(
            f"the share {share!r} of {os.fsdecode(path)} was given",
            expected="a number above 0 for each file",
            hint="[row], if it is a row" if not is_number else "",
        )
    return float(share)
