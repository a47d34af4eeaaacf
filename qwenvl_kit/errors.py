"""The errors of qwenvl_kit, as one tree: each error that the kit raises on purpose.

    QwenVLKitError
    +-- InputError (ValueError)          an argument or input that cannot be used
    |   +-- MessageError                 roles, parts, message dicts
    |   +-- ArgumentError (TypeError)    an argument that a call does not take
    |   +-- SamplingError                a setting of generation
    |   +-- BudgetError                  a limit of pixels or tokens, a size or a region
    |   +-- ContextLengthError           the prompt does not fit the model's context
    |   +-- JournalError                 a file of results that is not of this request
    |   +-- CalibrationError             answers that are not enough to calibrate confidence
    |   +-- TrainingDataError            an example that cannot be trained
    |   +-- EvaluationError              data or results that cannot be scored or compared
    |   +-- ToolError                    a tool that cannot be offered, or was called wrongly
    |   +-- SchemaError                  a type, schema or labels that no answer can follow
    |   `-- MediaError                   a picture, video or document that cannot be used
    |       +-- MediaSourceError         an unknown kind of source
    |       +-- MediaNotFoundError       no such file or URL
    |       +-- MediaForbiddenError      the media policy refuses it
    |       +-- MediaFetchError          a download that failed
    |       +-- MediaDecodeError         the bytes are not a complete picture or video
    |       +-- MediaArrayError          an array of the wrong type, axes or values
    |       +-- DocumentPasswordError    a locked document without the right password
    |       +-- MediaSizeError           no pixels, too few, too many, or too long a strip
    |       +-- MediaTimeoutError        fetching or decoding took longer than the policy allows
    |       `-- VideoTimingError         times or frame counts that are missing or out of range
    +-- UnsupportedFeatureError          this model or backend cannot do that
    |   `-- PicklingError (TypeError)    a chat that cannot be copied or sent to another process
    +-- ModelLoadError                   a checkpoint that cannot be loaded
    |   +-- ModelNotFoundError           no such folder, hub id or revision
    |   +-- ModelForbiddenError          the hub wants an accepted licence, or a token
    |   +-- DownloadError                no network, a broken transfer, a full disk
    |   +-- CheckpointError              files that are missing or do not fit together
    |   |   +-- UnknownFamilyError       not a Qwen vision-language model that the kit knows
    |   |   `-- WeightsError             weight files that are missing or damaged
    |   |       `-- UnsafeWeightsError   weights that could run code when they are opened
    |   +-- PlacementError               no device has enough memory, or the device is not there
    |   +-- QuantizationError            a quantisation that is not possible
    |   +-- AdapterError                 an adapter that does not fit or changes nothing
    |   `-- MissingPackageError (ImportError)   names the install command
    |       `-- OutdatedPackageError     installed, but too old
    +-- TrainingError                    a training that cannot begin, or go on
    +-- RenderError                      a page that no browser drew
    |   `-- BrowserMissingError          there is no browser on this machine
    `-- GenerationError                  a request that failed while it ran
        +-- OutOfMemoryError             the device has too little memory for the request
        +-- ToolLimitError               a model that does not stop calling tools
        +-- AnswerError                  an answer that does not have the requested form
        +-- OverloadError                too many requests are waiting
        `-- ServerError                  a server that gives no complete answer
            +-- ServerConnectionError    it cannot be reached, or the connection broke
            +-- ServerTimeoutError       it sends nothing for too long, or does not finish
            +-- ServerBusyError          it is still overloaded after all retries
            +-- ServerRefusedError       it refuses the request, or the key
            `-- ServerAnswerError        its response is not an answer to a chat request

An error says what was given, what was expected, what to try, and the place in the request
(`messages[1].parts[0]`). Errors of other libraries are translated once, where they appear, and stay
attached as the cause.

A likely mistake in a request that can still be answered is told by a `QwenVLKitWarning`.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, TypeVar

from qwenvl_kit.safe_text import plain

_TEXTS = frozenset({"problem", "expected", "hint", "where"})
_KEPT_FRAMES = 20

_Error = TypeVar("_Error", bound=BaseException)


class QwenVLKitError(Exception):
    """The base of all errors of the kit: `except QwenVLKitError` catches each of them.

    `str(error)` joins the four texts, which are also its attributes.

    Args:
        problem: the input and why it cannot be used, as a sentence without its full stop.
        expected: an input that would be accepted; empty if there is nothing to say.
        hint: something to try next; empty if there is nothing to say.
        where: the place in the request, such as `messages[1].parts[0]`; empty outside of one.
    """

    def __init__(
        self, problem: str, *, expected: str = "", hint: str = "", where: str = ""
    ) -> None:
        self.problem, self.expected, self.hint, self.where = problem, expected, hint, where
        super().__init__(self.problem)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the texts lose secrets and control characters, as logs show them."""
        super().__setattr__(name, plain(value) if name in _TEXTS else value)

    def rename(self, old: str, new: str) -> None:
        """Replace a name in all texts of the error."""
        for part in _TEXTS:
            setattr(self, part, getattr(self, part).replace(plain(old), new))
        self.args = (self.problem,)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        expected = f"; expected {self.expected}" if self.expected else ""
        hint = f". Try: {self.hint}" if self.hint else ""
        return f"{place}{self.problem}{expected}{hint}"


class InputError(QwenVLKitError, ValueError):
    """An argument or an input cannot be used."""


class MessageError(InputError):
    """A conversation, message or part has a form that cannot be sent to the model."""


class ArgumentError(InputError, TypeError):
    """A call has an unknown argument, or lacks one; the hint is the line to write instead."""


class SamplingError(InputError):
    """A setting of generation is out of its range."""


class BudgetError(InputError):
    """A pixel budget, size or region is invalid, contradicts itself, or cannot be met."""


class ContextLengthError(InputError):
    """The prompt, with its visual tokens, is longer than the model's context."""


class JournalError(InputError):
    """A journal cannot be read or written, or holds the results of another request."""


class CalibrationError(InputError):
    """Confidence cannot be calibrated or measured with the given answers."""


class TrainingDataError(InputError):
    """A row of a training file, or an example, cannot be trained; its place is `file:line`."""


class EvaluationError(InputError):
    """Data or results that cannot be scored or compared: a missing column, two items of one id."""


class ToolError(InputError):
    """A function cannot be offered as a tool, or was called with wrong arguments."""


class SchemaError(InputError):
    """No answer can be made to follow the given type, schema or list of labels."""


class MediaError(InputError):
    """A picture, video or document cannot be used."""


class MediaSourceError(MediaError):
    """The kit does not open this kind of source."""


class MediaNotFoundError(MediaError):
    """The file or URL that the source names does not exist."""


class MediaForbiddenError(MediaError):
    """The media policy refuses this source."""


class MediaFetchError(MediaError):
    """The server of a picture or video cannot be reached, or sends no complete response."""


class MediaDecodeError(MediaError):
    """The bytes are not a complete picture, video or document in a known format."""


class DocumentPasswordError(MediaError):
    """The document is locked, and the password is missing or wrong."""


class MediaArrayError(MediaError):
    """An array or tensor has the wrong type, axes or values."""


class MediaSizeError(MediaError):
    """A picture or video has no pixels, too few or too many, or is too long a strip."""


class MediaTimeoutError(MediaError):
    """Fetching or decoding took longer than the media policy allows."""


class VideoTimingError(MediaError):
    """Times, rates or frame counts of a video are missing or out of range."""


class UnsupportedFeatureError(QwenVLKitError):
    """This model or backend cannot do what was asked."""


class PicklingError(UnsupportedFeatureError, TypeError):
    """A chat, conversation or stream cannot be copied, pickled or sent to another process."""


class ModelLoadError(QwenVLKitError):
    """A checkpoint cannot be loaded."""


class ModelNotFoundError(ModelLoadError):
    """There is no checkpoint under that name or revision."""


class ModelForbiddenError(ModelLoadError):
    """The hub refuses the checkpoint to this user: it wants an accepted licence, or a token."""


class DownloadError(ModelLoadError):
    """A download is incomplete: no network, a broken transfer, or a full disk."""


class CheckpointError(ModelLoadError):
    """A checkpoint's files are missing, damaged or do not fit together."""


class UnknownFamilyError(CheckpointError):
    """The checkpoint is not of a family that the kit knows."""


class WeightsError(CheckpointError):
    """A checkpoint's weights are missing, incomplete or damaged."""


class UnsafeWeightsError(WeightsError):
    """The weights are pickled: to open them could run any code that is in the file."""


class PlacementError(ModelLoadError):
    """No device has enough memory for the weights, or the requested device cannot be used."""


class QuantizationError(ModelLoadError):
    """The checkpoint cannot be quantised as requested, or its own quantisation cannot run."""


class AdapterError(ModelLoadError):
    """An adapter does not fit the model, or changes nothing."""


class MissingPackageError(ModelLoadError, ImportError):
    """An optional package is missing; the message holds the command that installs it."""


class OutdatedPackageError(MissingPackageError):
    """An installed package is too old; the message holds the command that updates it."""


class TrainingError(QwenVLKitError):
    """A training cannot begin, or cannot go on; what it has saved stays."""


class RenderError(QwenVLKitError):
    """No browser draws the page: it fails, draws nothing, or takes too long."""


class BrowserMissingError(RenderError):
    """There is no browser on this machine, or none where it was said to be."""


class GenerationError(QwenVLKitError):
    """A request failed while it ran."""


class OutOfMemoryError(GenerationError):
    """The device has too little memory for this request."""


class ToolLimitError(GenerationError):
    """The model does not stop calling tools.

    Attributes:
        run: the messages and calls so far, a `ToolRun`; None if there are none.
    """

    run: object = None


class AnswerError(GenerationError):
    """The model's answer does not have the requested form.

    Attributes:
        reply: the answer, a `Reply`; None if there is none.
    """

    reply: object = None


class OverloadError(GenerationError):
    """Too many requests are waiting; this one was not started. It can be tried again later."""


class ServerError(GenerationError):
    """A server gives no complete answer.

    Attributes:
        status: HTTP status of the response; None if there was no response.
        text: the part of the answer that arrived before it was cut off; empty if nothing did.
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
    """A server cannot be reached, or the connection to it broke."""


class ServerTimeoutError(ServerError):
    """A server sends nothing for too long, or does not finish its answer in time."""


class ServerBusyError(ServerError):
    """A server is still overloaded after all retries."""


class ServerRefusedError(ServerError):
    """A server refuses a request, or the key that comes with it."""


class ServerAnswerError(ServerError):
    """The response of a server is not an answer to a chat request."""


class QwenVLKitWarning(UserWarning):
    """A warning about a likely mistake in a request; shown once per process for each kind."""


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put `where` before the place of each error of the kit that passes through the block."""
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
