"""Every error that qwenvl_kit raises on purpose, as one tree.

    QwenVLKitError
    +-- InputError (ValueError)          what the caller gave cannot be used
    |   +-- MessageError                 roles, parts, message dicts
    |   +-- ArgumentError (TypeError)    an argument that a call does not take
    |   +-- SamplingError                how to generate
    |   +-- BudgetError                  how many pixels or tokens a picture may cost
    |   +-- ContextLengthError           the prompt does not fit the model's context
    |   +-- JournalError                 a file of results that is not of this request
    |   +-- CalibrationError             answers that confidence cannot be calibrated by
    |   +-- ToolError                    a tool that cannot be offered, or was called wrongly
    |   +-- SchemaError                  a type or labels that no answer can be bound to
    |   `-- MediaError                   one picture or video
    |       +-- MediaSourceError         a kind of source that is not known
    |       +-- MediaNotFoundError       nothing to read at that place
    |       +-- MediaForbiddenError      the media policy refuses it
    |       +-- MediaFetchError          a server that gives no whole answer
    |       +-- MediaDecodeError         the bytes are not a whole picture or video
    |       +-- MediaArrayError          an array of the wrong type, axes or values
    |       +-- DocumentPasswordError    a document that is locked
    |       +-- MediaSizeError           no pixels, too few, too many or too long a strip
    |       +-- MediaTimeoutError        fetching or decoding took longer than the policy allows
    |       `-- VideoTimingError         times that are missing or cannot be meant
    +-- UnsupportedFeatureError          this model or backend cannot do that
    |   `-- PicklingError (TypeError)    a chat that cannot be copied or sent to another process
    +-- ModelLoadError                   a checkpoint that cannot be loaded
    |   +-- ModelNotFoundError           no such folder, hub id or revision
    |   +-- ModelForbiddenError          the hub wants a licence accepted, or a token
    |   +-- DownloadError                no network, a broken transfer, a full disk
    |   +-- CheckpointError              files that are missing or do not fit together
    |   |   +-- UnknownFamilyError       not a Qwen vision-language model we know
    |   |   `-- WeightsError             weight files that are missing or damaged
    |   |       `-- UnsafeWeightsError   weights that could run code when opened
    |   +-- PlacementError               no device can hold it
    |   +-- QuantizationError            it cannot be quantised as asked
    |   +-- AdapterError                 an adapter that does not fit or does nothing
    |   `-- MissingPackageError (ImportError)   names the install command
    |       `-- OutdatedPackageError     installed, but too old
    `-- GenerationError                  a request that failed while it ran
        +-- OutOfMemoryError             the device has too little memory for it
        +-- ToolLimitError               a model that does not stop calling tools
        +-- AnswerError                  the model's answer is not of the form that was asked for
        +-- OverloadError                too many requests wait already
        `-- ServerError                  a server that gives no whole answer
            +-- ServerConnectionError    it cannot be reached, or the line was cut
            +-- ServerTimeoutError       it says nothing for too long, or does not come to an end
            +-- ServerBusyError          it has too much to do, however often it is asked
            +-- ServerRefusedError       it does not take the request, or the key
            `-- ServerAnswerError        what it says is no answer to a chat request

An error says what was given, what was expected, what to try, and where
(`messages[1].parts[0]`). Foreign exceptions are translated once, at the edge
where they appear, and stay attached as the cause.

What is likely a mistake and can be answered all the same is told by a `QwenVLKitWarning`.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, TypeVar

from qwenvl_kit.safe_text import plain

_SAID = frozenset({"problem", "expected", "hint", "where"})
_KEPT_FRAMES = 20

_Error = TypeVar("_Error", bound=BaseException)


class QwenVLKitError(Exception):
    """Root of the tree: `except QwenVLKitError` catches all that the kit raises on purpose.

    Args:
        problem: what was given and why it cannot be used, as a sentence without its full stop.
        expected: what would have been right.
        hint: what to try next.
        where: the place in the request, such as `messages[1].parts[0]`.
    """

    def __init__(
        self, problem: str, *, expected: str = "", hint: str = "", where: str = ""
    ) -> None:
        self.problem, self.expected, self.hint, self.where = problem, expected, hint, where
        super().__init__(self.problem)

    def __setattr__(self, name: str, value: Any) -> None:
        """What it says is for strangers, terminals and logs, whoever's words are in it."""
        super().__setattr__(name, plain(value) if name in _SAID else value)

    def rename(self, old: str, new: str) -> None:
        """Call something by another name in all that it says."""
        for part in _SAID:
            setattr(self, part, getattr(self, part).replace(plain(old), new))
        self.args = (self.problem,)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        expected = f"; expected {self.expected}" if self.expected else ""
        hint = f". Try: {self.hint}" if self.hint else ""
        return f"{place}{self.problem}{expected}{hint}"


class InputError(QwenVLKitError, ValueError):
    """What the caller gave cannot be used."""


class MessageError(InputError):
    """A conversation, message or part is not of a form that can be sent."""


class ArgumentError(InputError, TypeError):
    """A call does not take such an argument, or lacks one; the hint is the line to write."""


class SamplingError(InputError):
    """A generation setting is out of its range."""


class BudgetError(InputError):
    """A pixel budget or size contradicts itself or cannot be met."""


class ContextLengthError(InputError):
    """The prompt, visual tokens included, is longer than the model's context."""


class JournalError(InputError):
    """A journal cannot be read or written, or holds the results of something else."""


class CalibrationError(InputError):
    """Confidence cannot be calibrated, or judged, by what was given."""


class ToolError(InputError):
    """A function cannot be offered to a model, or was called with arguments that do not fit."""


class SchemaError(InputError):
    """A type, schema or list of labels that no answer can be bound to."""


class MediaError(InputError):
    """A picture or video cannot be used."""


class MediaSourceError(MediaError):
    """The source is of a kind that the kit does not open."""


class MediaNotFoundError(MediaError):
    """There is nothing to read at the place that the source names."""


class MediaForbiddenError(MediaError):
    """The media policy refuses this source."""


class MediaFetchError(MediaError):
    """A server that cannot be reached, or gives no whole answer."""


class MediaDecodeError(MediaError):
    """The bytes are not a complete picture in a known format."""


class DocumentPasswordError(MediaError):
    """The document is locked, and the password is missing or wrong."""


class MediaArrayError(MediaError):
    """An array or tensor has the wrong type, axes or values."""


class MediaSizeError(MediaError):
    """The picture has no pixels, too few, too many, or sides of too different length."""


class MediaTimeoutError(MediaError):
    """Fetching or decoding did not end within the time that the media policy allows."""


class VideoTimingError(MediaError):
    """Frames without the times that the model needs, or times that no frame has."""


class UnsupportedFeatureError(QwenVLKitError):
    """This model or backend cannot do what was asked."""


class PicklingError(UnsupportedFeatureError, TypeError):
    """A chat, conversation or stream cannot be copied, pickled or sent to another process."""


class ModelLoadError(QwenVLKitError):
    """A checkpoint cannot be loaded."""


class ModelNotFoundError(ModelLoadError):
    """No checkpoint is to be had under that name or revision."""


class ModelForbiddenError(ModelLoadError):
    """The hub has the checkpoint and does not give it to this user."""


class DownloadError(ModelLoadError):
    """The files could not be fetched whole: no network, a broken transfer, a full disk."""


class CheckpointError(ModelLoadError):
    """A checkpoint's files are missing, damaged or do not fit together."""


class UnknownFamilyError(CheckpointError):
    """The checkpoint is not of a family that the kit knows."""


class WeightsError(CheckpointError):
    """A checkpoint's weights are missing, incomplete or damaged."""


class UnsafeWeightsError(WeightsError):
    """The weights are pickled; opening them could run any code that their author put in."""


class PlacementError(ModelLoadError):
    """No device has room for the weights, or the device that was asked for cannot be used."""


class QuantizationError(ModelLoadError):
    """The checkpoint cannot be quantised as asked, or is quantised in a way that cannot run."""


class AdapterError(ModelLoadError):
    """An adapter does not fit the model, or changes nothing."""


class MissingPackageError(ModelLoadError, ImportError):
    """An optional package is needed; the message holds the command that installs it."""


class OutdatedPackageError(MissingPackageError):
    """A package is installed in a version that is too old; the message holds the command."""


class GenerationError(QwenVLKitError):
    """A request failed while it ran."""


class OutOfMemoryError(GenerationError):
    """The device has too little memory for this request."""


class ToolLimitError(GenerationError):
    """The model does not stop calling tools.

    Attributes:
        run: what was said and called so far, a `ToolRun`; None where there is none.
    """

    run: object = None


class AnswerError(GenerationError):
    """The model's answer is not of the form that was asked for.

    Attributes:
        reply: the answer, a `Reply`; None where there is none.
    """

    reply: object = None


class OverloadError(GenerationError):
    """Too many requests wait already; this one was not begun."""


class ServerError(GenerationError):
    """A server gives no whole answer.

    Attributes:
        status: of HTTP; None where it did not come to that.
        text: what there was of an answer that was cut off; empty if nothing.
    """

    def __init__(
        self,
        problem: str,
        *,
        expected: str = "",
        hint: str = "",
        where: str = "",
        status: int | None = None,
        text: str = "",
    ) -> None:
        super().__init__(problem, expected=expected, hint=hint, where=where)
        self.status = status
        self.text = text


class ServerConnectionError(ServerError):
    """A server cannot be reached, or the line to it was cut."""


class ServerTimeoutError(ServerError):
    """A server says nothing for too long, or does not come to an end in time."""


class ServerBusyError(ServerError):
    """A server has too much to do, however often it is asked."""


class ServerRefusedError(ServerError):
    """A server does not take a request, or the key that comes with it."""


class ServerAnswerError(ServerError):
    """What a server says is no answer to a chat request."""


class QwenVLKitWarning(UserWarning):
    """A request is likely not meant as it is written; told once in a process for each kind."""


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put `where` before the location of any kit error that passes through."""
    try:
        yield
    except QwenVLKitError as error:
        error.where = ".".join(filter(None, (where, error.where)))
        raise


def fresh(error: _Error) -> _Error:
    """Return a copy of an error, with its cause and its traceback.

    One object may fail several requests, each in its own thread. An error that is kept is
    therefore never raised itself: copies of it are, each with a traceback of its own. Errors of
    other libraries are returned as they are, because some cannot be copied.
    """
    if not isinstance(error, QwenVLKitError):
        return error
    copied = copy(error)
    copied.__cause__ = error.__cause__
    return copied.with_traceback(error.__traceback__)


def release_frames(error: BaseException | None) -> None:
    """Drop the traceback of an error, and those of the errors that caused it.

    A raised error refers to the frames that it passed, and they refer to their variables: tensors,
    pictures. An error that is kept would keep all of that in memory until Python looks for
    reference cycles. The text of the traceback stays among the notes of the error, which
    Python 3.11 shows.
    """
    seen, left = set[int](), [error]
    while left:
        error = left.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        if error.__traceback__ is not None:
            lines = traceback.format_tb(error.__traceback__, limit=-_KEPT_FRAMES)
            vars(error)["__notes__"] = [*vars(error).get("__notes__", ()), "".join(lines)]
            traceback.clear_frames(error.__traceback__)
            error.__traceback__ = None
        left += [error.__cause__, error.__context__]
