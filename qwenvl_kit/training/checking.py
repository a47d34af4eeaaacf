"""The check of examples: all that can be known of them before anything is trained."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, TypeVar

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.checkpoints.sources import Source
from qwenvl_kit.errors import QwenVLKitError, TrainingDataError
from qwenvl_kit.media.policy import DEFAULT_POLICY, MediaPolicy
from qwenvl_kit.messages.message import TextPart
from qwenvl_kit.options import BudgetChoice
from qwenvl_kit.training.examples.example import Example
from qwenvl_kit.training.examples.places import UnwrittenPart
from qwenvl_kit.training.examples.reading import Examples, Notes, Outcome
from qwenvl_kit.training.examples.repeats import Repeats
from qwenvl_kit.training.reports import ExamplesReport, Fault, Quantiles, Repeat
from qwenvl_kit.training.sequences.answers import TURN_END
from qwenvl_kit.training.sequences.encoder import SequenceEncoder, TrainingSequence
from qwenvl_kit.training.sequences.marked_text import MarkedSequence, mark_sequence

TooLong: TypeAlias = Literal["error", "skip"]
_Item = TypeVar("_Item")

_FORGED = (TURN_END, "<|im_start|>", "<|endoftext|>")
"""The tokens that begin and end turns; in the text of an answer they are plain characters."""


@explains_wrong_arguments
def check_examples(
    model: str | os.PathLike[str],
    examples: Iterable[Example],
    *,
    validation: Iterable[Example] | None = None,
    budget: BudgetChoice = "native",
    max_tokens: int | None = None,
    too_long: TooLong = "error",
    decode: bool = False,
    progress: bool = False,
    media: MediaPolicy = DEFAULT_POLICY,
    source: Source = "huggingface",
    revision: str | None = None,
    offline: bool = False,
) -> ExamplesReport:
    """Check examples for a model, without its weights, and report all their faults at once.

        report = check_examples("Qwen/Qwen2-VL-2B-Instruct", examples, budget="standard")
        print(report)
        report.raise_faults()

    Each example is planned and encoded as it would be trained: the lengths are exact. Pictures are
    opened and measured; their pixels are decoded only with `decode=True`.

    Args:
        model: the hub id or folder of a checkpoint; only its small files are fetched.
        examples: the result of `read_examples`, or a list of examples.
        validation: examples that are kept back; those whose question is trained on are told.
        budget: the visual tokens that pictures may take, as in `VisionChat.from_pretrained`.
        max_tokens: the longest sequence; None for the model's context.
        too_long: "error" if a longer example is a fault, "skip" to count it and leave it out. It is
            never cut.
        decode: True to decode every picture and film, which finds those that are damaged.
        progress: True shows a progress bar.
        media: the media policy, under which pictures are opened.
        source: the hub of the id: "huggingface" or "modelscope".
        revision: branch, tag or commit; None for the main branch.
        offline: True to use the cache alone.

    Returns:
        The report. It is an ordinary result if examples have faults: `is_ok` and `raise_faults`
        say so.

    Raises:
        TrainingDataError: an argument is out of range, or an item is no example.
        ModelLoadError: of the most specific kind, if the checkpoint's files cannot be used.
    """
    check_lengths(max_tokens, too_long)
    encoder = SequenceEncoder.of(
        model, budget=budget, policy=media, source=source, revision=revision, offline=offline
    )
    check = ExamplesCheck(encoder, media, max_tokens, too_long, decode=decode)
    for outcome in counted(outcomes_of(examples, "examples"), is_shown=progress):
        check.add(outcome)
    if validation is not None:
        check.compare(outcomes_of(validation, "validation"))
    return check.report(examples if isinstance(examples, Examples) else None)


def check_lengths(max_tokens: object, too_long: object) -> None:
    """Check the arguments about long examples.

    Raises:
        TrainingDataError: one is out of range.
    """
    if too_long not in ("error", "skip"):
        raise TrainingDataError(f"too_long={too_long!r} was given", expected="'error' or 'skip'")
    if max_tokens is not None and (type(max_tokens) is not int or max_tokens < 1):
        raise TrainingDataError(
            f"max_tokens={max_tokens!r} was given", expected="a whole number above 0, or None"
        )


@explains_wrong_arguments
def show_example(
    model: str | os.PathLike[str],
    example: Example,
    *,
    budget: BudgetChoice = "native",
    media: MediaPolicy = DEFAULT_POLICY,
    source: Source = "huggingface",
    revision: str | None = None,
    offline: bool = False,
) -> tuple[MarkedSequence, ...]:
    """Return the sequences of an example as text, with what is in the loss marked.

        print(*show_example("Qwen/Qwen2-VL-2B-Instruct", example))

    Args:
        model: see `check_examples`.
        example: an example.
        budget: see `check_examples`.
        media: see `check_examples`.
        source: see `check_examples`.
        revision: see `check_examples`.
        offline: see `check_examples`.

    Raises:
        InputError: of the most specific kind, if the example cannot be trained.
        ModelLoadError: of the most specific kind, if the checkpoint's files cannot be used.
    """
    encoder = SequenceEncoder.of(
        model, budget=budget, policy=media, source=source, revision=revision, offline=offline
    )
    return tuple(mark_sequence(sequence, encoder) for sequence in encoder.encode(example))


def counted(outcomes: Iterator[_Item], *, is_shown: bool) -> Iterable[_Item]:
    """The same items, with a progress bar that counts them."""
    if not is_shown or sys.stderr is None:
        return outcomes
    from qwenvl_kit.display.progress import progress_bar

    return progress_bar()(outcomes, unit="example")  # type: ignore[no-any-return]


def outcomes_of(examples: Iterable[Example], name: str) -> Iterator[Outcome]:
    """The examples, with the error in place of each that cannot be read."""
    if isinstance(examples, Examples):
        yield from examples.outcomes()
        return
    if isinstance(examples, (str, os.PathLike, Example)) or not isinstance(examples, Iterable):
        raise TrainingDataError(
            f"{name} of type {type(examples).__name__} were given",
            expected="the result of read_examples(...), or a list of examples",
        )
    for at, example in enumerate(examples):
        if not isinstance(example, Example):
            raise TrainingDataError(
                f"an item of type {type(example).__name__} was given",
                expected="an Example",
                hint="read_examples(...), which reads files and rows",
                where=f"{name}[{at}]",
            )
        yield example if example.where else replace(example, where=f"{name}[{at}]")


class ExamplesCheck:
    """The findings of a check, gathered example by example.

    Args:
        encoder: encodes examples for the checkpoint.
        policy: the media policy.
        max_tokens: the longest sequence; None for the model's context.
        too_long: the treatment of longer ones.
        decode: True to decode pictures.
    """

    def __init__(
        self,
        encoder: SequenceEncoder,
        policy: MediaPolicy,
        max_tokens: int | None,
        too_long: TooLong,
        *,
        decode: bool,
    ) -> None:
        context = encoder.rules.context_tokens
        self._most = context if max_tokens is None else min(context, max_tokens)
        self._encoder = encoder
        self._too_long = too_long
        self._decodes = decode
        self._whole = Repeats(policy, with_answers=True)
        self._questions = Repeats(policy, with_answers=False)
        self._faults: list[Fault] = []
        self._skipped: list[str] = []
        self._duplicates: list[Repeat] = []
        self._overlap: list[Repeat] = []
        self._notes = Notes()
        self._lengths: list[tuple[int, int, int]] = []
        self._num_examples = self._num_answers = 0
        self._shown: MarkedSequence | None = None

    def add(self, outcome: Outcome) -> Sequence[TrainingSequence]:
        """Check an example, or note the error in its place; return what would be trained of it."""
        if not isinstance(outcome, Example):
            self._fail(outcome)
            return ()
        try:
            sequences = self._encoder.encode(outcome)
            longest = max(sequences, key=lambda sequence: len(sequence.ids))
            if len(longest.ids) > self._most:
                self._leave_out(longest, outcome)
                return ()
            if self._decodes:
                for sequence in sequences:
                    self._encoder.decode(sequence)
        except QwenVLKitError as error:
            self._fail(error)
            return ()
        self._count(outcome, sequences)
        return sequences

    def compare(self, validation: Iterator[Outcome]) -> None:
        """Note the examples of the validation whose question is trained on."""
        for outcome in validation:
            if not isinstance(outcome, Example):
                self._fail(outcome)
            elif (first := self._questions.find(outcome)) is not None:
                self._overlap.append(Repeat(outcome.where, first))

    def report(self, examples: Examples | None) -> ExamplesReport:
        """The report of what was found."""
        tokens, visual, trained = zip(*self._lengths) if self._lengths else ((), (), ())
        read = () if examples is None else examples.notes
        return ExamplesReport(
            model=self._encoder.name,
            num_examples=self._num_examples,
            num_sequences=len(self._lengths),
            num_answers=self._num_answers,
            tokens=Quantiles.of(tokens),
            visual_tokens=Quantiles.of(visual),
            trained_tokens=Quantiles.of(trained),
            forms={} if examples is None else examples.forms,
            faults=tuple(self._faults),
            skipped=tuple(self._skipped),
            duplicates=tuple(self._duplicates),
            overlap=tuple(self._overlap),
            notes=(*read, *self._notes),
            shown=self._shown,
        )

    def _count(self, example: Example, sequences: list[TrainingSequence]) -> None:
        self._num_examples += 1
        for sequence in sequences:
            self._num_answers += sequence.num_answers
            self._lengths.append(
                (len(sequence.ids), sequence.visual_tokens, sequence.trained_tokens)
            )
        if self._shown is None:
            self._shown = mark_sequence(sequences[0], self._encoder)
        first = self._whole.add(example)
        if first is not None:
            self._duplicates.append(Repeat(example.where, first))
        self._questions.add(example)
        self._remark(example)

    def _remark(self, example: Example) -> None:
        for at in example.answer_indices:
            for part in example.messages[at].parts:
                if not isinstance(part, TextPart) or isinstance(part, UnwrittenPart):
                    continue
                for token in _FORGED:
                    if token in part.text:
                        self._notes.add(
                            example.where,
                            f"an answer holds {token}, which is trained as plain characters; "
                            "leave it out: the token that ends an answer is added",
                        )

    def _leave_out(self, longest: TrainingSequence, example: Example) -> None:
        if self._too_long == "skip":
            self._skipped.append(example.where)
            return
        self._fail(
            TrainingDataError(
                f"the example has {len(longest.ids)} tokens, {longest.visual_tokens} of them "
                "visual",
                expected=f"at most {self._most}",
                hint="a smaller budget for its pictures; or too_long='skip'",
                where=example.where,
            )
        )

    def _fail(self, error: QwenVLKitError) -> None:
        where = error.where
        text = str(error)
        problem = text.removeprefix(f"{where}: ") if where else text
        self._faults.append(Fault(where, problem, type(error).__name__))
