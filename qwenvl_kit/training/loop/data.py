"""The data of a training: sequences by their numbers, each read again when it is needed.

Only lengths and places are kept in memory. What a sequence holds is read and encoded anew each
time, by the code that serves requests.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwenvl_kit.errors import TrainingDataError, fresh
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.training.checking import ExamplesCheck, TooLong, counted, outcomes_of
from qwenvl_kit.training.examples.example import Example
from qwenvl_kit.training.examples.reading import Examples, Outcome, RowPlace
from qwenvl_kit.training.examples.repeats import question_digest
from qwenvl_kit.training.reports import ExamplesReport
from qwenvl_kit.training.sequences.encoder import SequenceEncoder, TrainingSequence


@dataclass(frozen=True)
class Entry:
    """The facts that are kept of a sequence.

    Attributes:
        place: the place of its example: that of a row, or a number in a list.
        number: the number of the sequence within its example, from 0.
        num_tokens: its tokens.
        num_trained: its tokens that are in the loss.
        weight: the weight of its example.
        where: its place in words.
        question: a digest of the question.
        digest: a digest of ids, labels, weight, and names and sizes of pictures.
    """

    place: RowPlace | int
    number: int
    num_tokens: int
    num_trained: int
    weight: float
    where: str
    question: str
    digest: bytes


class TrainingData:
    """Sequences by their numbers, from 0.

    Args:
        source: the examples.
        entries: the facts of each sequence.
        encoder: encodes examples.
    """

    def __init__(self, source: _Source, entries: Sequence[Entry], encoder: SequenceEncoder) -> None:
        self._source = source
        self._encoder = encoder
        self.entries = tuple(entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def lengths(self) -> list[int]:
        """The tokens of each sequence."""
        return [entry.num_tokens for entry in self.entries]

    @property
    def weights(self) -> list[float]:
        """The trained tokens of each sequence times the weight of its example."""
        return [entry.num_trained * entry.weight for entry in self.entries]

    @property
    def digest(self) -> str:
        """A digest of all sequences in their order, SHA-256."""
        return hashlib.sha256(b"".join(entry.digest for entry in self.entries)).hexdigest()

    @property
    def num_examples(self) -> int:
        """The number of examples that the sequences are of."""
        return sum(entry.number == 0 for entry in self.entries)

    def example(self, number: int) -> Example:
        """Read the example of a sequence.

        Raises:
            TrainingDataError: its file was changed.
        """
        return self._source.at(self.entries[number].place)

    def sequence(self, number: int) -> TrainingSequence:
        """Read and encode a sequence; no pixel is decoded.

        Raises:
            TrainingDataError: its file was changed.
            MediaError: a picture cannot be opened any more.
        """
        entry = self.entries[number]
        sequences = self._encoder.encode(self.example(number))
        found = sequences[entry.number] if entry.number < len(sequences) else None
        if found is None or len(found.ids) != entry.num_tokens:
            raise TrainingDataError(
                "the example was changed since it was first read",
                expected="files and pictures that stay as they are while they are used",
                where=entry.where,
            )
        return replace(found, where=entry.where)

    def examples(self) -> Iterator[Example]:
        """Read each example, once for all of its sequences."""
        return (self.example(at) for at, entry in enumerate(self.entries) if entry.number == 0)


@dataclass(frozen=True)
class Gathered:
    """The data of a training, in two parts.

    Attributes:
        training: the sequences that are learned.
        validation: those that are kept back; None if there are none.
        report: the report of the check of all examples.
    """

    training: TrainingData
    validation: TrainingData | None
    report: ExamplesReport


def gather(
    examples: Iterable[Example],
    validation: float | Iterable[Example] | None,
    encoder: SequenceEncoder,
    *,
    policy: MediaPolicy,
    max_tokens: int | None,
    too_long: TooLong,
    progress: bool,
) -> Gathered:
    """Read all examples once, check them, and keep the lengths and places of their sequences.

    Args:
        examples: the examples.
        validation: examples that are kept back, or their share: these are drawn by a digest of
            what they ask, so that equal questions are on one side.
        encoder: encodes examples.
        policy: the media policy.
        max_tokens: the longest sequence; None for the model's context.
        too_long: the treatment of longer ones.
        progress: True shows a progress bar.

    Raises:
        TrainingDataError: examples have faults, or none is left; the message names the first ten.
    """

    def read(given: Iterable[Example], name: str) -> tuple[_Source, list[Entry], ExamplesCheck]:
        source = _Source(given, name)
        check = ExamplesCheck(encoder, policy, max_tokens, too_long, decode=False)
        entries: list[Entry] = []
        for place, outcome in counted(source.placed(), is_shown=progress):
            sequences = check.add(outcome)
            is_kept = isinstance(outcome, Example) and sequences
            question = question_digest(outcome, policy) if is_kept else ""  # type: ignore[arg-type]
            for number, sequence in enumerate(sequences):
                entries.append(_entry(place, number, sequence, question))
        return source, entries, check

    source, entries, check = read(examples, "examples")
    kept_back: TrainingData | None = None
    if isinstance(validation, (int, float)):
        entries, held = _split(entries, validation)
        kept_back = TrainingData(source, held, encoder)
    elif validation is not None:
        held_source, held, held_check = read(validation, "validation")
        kept_back = TrainingData(held_source, held, encoder)
        held_check.report(None).raise_faults()
        check.compare(kept_back.examples())
    report = check.report(examples if isinstance(examples, Examples) else None)
    if report.skipped and not entries:
        raise TrainingDataError(
            f"all {len(report.skipped)} examples are too long, and were left out",
            expected="a larger max_tokens, or a smaller budget for their pictures",
            where=report.skipped[0],
        )
    report.raise_faults()
    return Gathered(TrainingData(source, entries, encoder), kept_back, report)


def _entry(place: Any, number: int, sequence: TrainingSequence, question: str) -> Entry:
    return Entry(
        place,
        number,
        len(sequence.ids),
        sequence.trained_tokens,
        sequence.weight,
        sequence.where,
        question,
        hashlib.sha256(_facts_of(sequence)).digest()[:16],
    )


def _split(entries: Sequence[Entry], share: float) -> tuple[list[Entry], list[Entry]]:
    """Entries to learn and to keep back; the same for all seeds, so that runs can be compared.

    Raises:
        TrainingDataError: there are fewer than two questions.
    """
    questions = sorted({entry.question for entry in entries})
    if len(questions) < 2:
        raise TrainingDataError(
            f"validation={share} was given, and there are not two different questions",
            expected="more examples, or validation=None",
        )
    held = set(questions[: min(len(questions) - 1, max(1, round(share * len(questions))))])
    learned = [entry for entry in entries if entry.question not in held]
    return learned, [entry for entry in entries if entry.question in held]


def _facts_of(sequence: TrainingSequence) -> bytes:
    """The facts that tell a sequence from another; of files their names, not their folders."""
    media = []
    for item in sequence.media:
        source: Any = item.source
        if isinstance(source, (str, os.PathLike)):
            source = os.path.basename(os.fsdecode(source))
        elif isinstance(source, bytes):
            source = hashlib.sha256(source).hexdigest()
        else:
            source = type(source).__name__
        media.append((source, item.plan and repr(replace(item.plan, where=""))))
    return repr((sequence.ids, sequence.labels, sequence.weight, media)).encode()


class _Source:
    """Examples that can be read one by one: those of files by their places, others from a list."""

    def __init__(self, given: Iterable[Example], name: str) -> None:
        self._list: list[Outcome] = []
        if isinstance(given, Examples):
            self._placed: Callable[[], Iterator[tuple[RowPlace | int, Outcome]]] = given.placed
            self._read_again = given.at
        else:
            self._list = list(outcomes_of(given, name))
            self._placed = self._enumerated

    def placed(self) -> Iterator[tuple[RowPlace | int, Outcome]]:
        """The examples, or errors in place of those that cannot be read, with their places."""
        return self._placed()

    def _enumerated(self) -> Iterator[tuple[RowPlace | int, Outcome]]:
        return iter(enumerate(self._list))

    def at(self, place: RowPlace | int) -> Example:
        """The example of a place."""
        if isinstance(place, RowPlace):
            return self._read_again(place)
        example = self._list[place]
        if isinstance(example, Example):
            return example
        raise fresh(example)
