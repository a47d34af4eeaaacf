"""One question about each of many sources: answers in order, a journal, and a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from qwenvl_kit.command_line.answers import write_result
from qwenvl_kit.command_line.loading import sampling_of
from qwenvl_kit.command_line.options import BatchOptions, OutputOptions, SamplingOptions
from qwenvl_kit.command_line.sources import Source, user_message
from qwenvl_kit.command_line.terminal import is_terminal, say_dim
from qwenvl_kit.errors import InputError

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat
    from qwenvl_kit.pipeline.streaming import BatchStream
    from qwenvl_kit.results import Failure, Reply


def check_batch_options(options: BatchOptions, num_sources: int) -> None:
    """Refuse options of a batch without `--each`, and `--each` without sources.

    Raises:
        InputError: they are given so.
    """
    if options.each and not num_sources:
        raise InputError("--each was given", expected="pictures or films to ask about")
    if options.each:
        return
    for name in ("journal", "max_batch_size"):
        if getattr(options, name) is not None:
            raise InputError(
                f"--{name.replace('_', '-')} was given without --each",
                expected="it with --each, which asks about each source by itself",
            )


def ask_each(
    chat: VisionChat,
    question: Callable[[Source | None], str],
    sources: Sequence[Source],
    *,
    sampling: SamplingOptions,
    options: BatchOptions,
    shown: OutputOptions,
) -> int:
    """Ask about each source by itself, and write the answers in their order.

    Args:
        chat: the chat.
        question: gives the question about a source.
        sources: the sources; one that is given twice is asked about once.
        sampling: the options of generation.
        options: the options of the batch.
        shown: the form of the answers.

    Returns:
        The exit code: 1 if one of them failed.
    """
    from qwenvl_kit.requests import Request
    from qwenvl_kit.results import Reply

    by_name = {source.name: source for source in sources}
    requests = [
        Request(user_message(question(each), [each]), id=name) for name, each in by_name.items()
    ]
    stream = chat.stream_many(
        requests,
        sampling=sampling_of(chat, sampling),
        thinking=sampling.thinking,
        journal=options.journal,
        max_batch_size=options.max_batch_size,
    )
    failed = 0
    with _Bar(len(requests), options.progress) as bar, stream:
        for name, result in zip(by_name, _in_order(stream, bar)):
            bar.hide()
            write_result(name, result, shown)
            failed += not isinstance(result, Reply)
    if failed:
        say_dim(f"{failed} of {len(requests)} failed")
    return 1 if failed else 0


def _in_order(events: BatchStream, bar: _Bar) -> Iterator[Reply | Failure]:
    """Results in the order of their requests, each as soon as those before it are there."""
    early: dict[int, Reply | Failure] = {}
    following = 0
    for event in events:
        if event.result is None:
            continue
        bar.step()
        early[event.index] = event.result
        while following in early:
            yield early.pop(following)
            following += 1


class _Bar:
    """A progress bar on the standard error, which makes room for the lines of answers.

    Args:
        total: the number of requests.
        is_shown: True for a bar; None where the standard error is a terminal.
    """

    def __init__(self, total: int, is_shown: bool | None) -> None:
        from tqdm import tqdm

        if is_shown is None:
            is_shown = is_terminal(sys.stderr)
        is_shown = is_shown and sys.stderr is not None
        self._bar = tqdm(total=total, unit="source", disable=not is_shown, file=sys.stderr)

    def hide(self) -> None:
        """Clear the bar, so that a line can stand in its place."""
        self._bar.clear()

    def step(self) -> None:
        """Show that one more request has ended."""
        self._bar.update()
        self._bar.refresh()

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
