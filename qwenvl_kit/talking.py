"""What takes several requests: conversations, calls of tools, questions about what is going on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from qwenvl_kit.arguments.checks import tells_arguments
from qwenvl_kit.asking import Asking
from qwenvl_kit.conversation import Conversation, Media
from qwenvl_kit.errors import InputError, MessageError
from qwenvl_kit.formats.dicts import Prompt, as_messages
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.message import Message
from qwenvl_kit.messages.order import is_continued
from qwenvl_kit.options import BudgetChoice, Fit, Sampling
from qwenvl_kit.pipeline.tool_loop import ToolRun, run_tools
from qwenvl_kit.results import Reply
from qwenvl_kit.tools.functions import as_tools

if TYPE_CHECKING:
    from qwenvl_kit.live import FrameSource, Watch

    WatchSource = str | os.PathLike[str] | int | FrameSource | Iterable[Any]


@tells_arguments
class Talking(Asking):
    """Asks more than once; what a `VisionChat` does with what `Asking` gives."""

    @property
    def policy(self) -> MediaPolicy:
        """What may be opened."""
        return self._pipeline.policy

    def start(self, system: str | None = None) -> Conversation:
        """A conversation that remembers its turns.

        Args:
            system: instructions for all of it.
        """
        said = () if system is None else (Message.system(system),)
        return Conversation(self, said)

    def run_tools(
        self,
        prompt: Prompt,
        *media: Media,
        tools: Sequence[Callable[..., Any]],
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
        max_rounds: int = 8,
    ) -> ToolRun:
        """Answer with the help of functions: make the calls that the model wants, until it answers.

        Arguments are checked before a function is called. What it raises is told to the model, as
        is a call of a function that there is not. Results may hold pictures.

        Args:
            prompt: a question, or messages.
            media: pictures and videos that the question is about.
            tools: functions with annotations and docstrings; they run in this thread.
            sampling: how to generate.
            budget: what pictures may cost.
            fit: see `ask`.
            max_rounds: how often to ask at most.

        Raises:
            ToolError: a function that cannot be a tool.
            ToolLimitError: the model still calls tools after so many rounds; it has the `run`.
            InputError: the request cannot be used.
        """
        if type(max_rounds) is not int or max_rounds < 1:
            raise InputError(
                f"max_rounds={max_rounds!r} was given", expected="a whole number above 0"
            )
        offered, asked = as_tools(tools), as_messages(prompt, media)
        if is_continued(asked):
            raise MessageError(
                "the last message is an answer that was begun",
                expected="a user's message, which tools help to answer",
                hint="ask, which goes on with it",
            )

        def ask(messages: Sequence[Message]) -> Reply:
            return self.ask(messages, sampling=sampling, budget=budget, fit=fit, tools=offered)

        return run_tools(ask, asked, offered, max_rounds)

    def watch(
        self,
        source: WatchSource,
        question: str,
        *,
        every_seconds: float = 5.0,
        window_seconds: float | None = None,
        max_frames: int = 16,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
        timeout_seconds: float = 30.0,
    ) -> Watch:
        """Ask the same question again and again about what a source shows.

        Args:
            source: a video file, which is played at its own speed, the number of a camera, a
                `FrameSource`, or an iterator of frames.
            question: what is asked each time.
            every_seconds: how often; while the model is busy, questions are passed over.
            window_seconds: how far back the model sees; None takes `every_seconds`.
            max_frames: most frames that it sees at a time.
            sampling: how to generate.
            budget: what each group of frames may cost.
            fit: see `ask`.
            timeout_seconds: a source that gives no frame for so long is given up.

        Returns:
            An iterator of `WatchEvent`, and a context manager that stops it.

        Raises:
            InputError: an argument cannot be used.
        """
        from qwenvl_kit.live import Watch

        return Watch(
            self,
            source,
            question,
            every_seconds=every_seconds,
            window_seconds=window_seconds,
            max_frames=max_frames,
            sampling=sampling,
            budget=budget,
            fit=fit,
            timeout_seconds=timeout_seconds,
        )
