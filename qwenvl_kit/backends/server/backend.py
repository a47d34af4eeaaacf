"""An OpenAI-compatible server as a backend."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwenvl_kit.backends.base import (
    Backend,
    BackendRequest,
    Completion,
    Load,
    Observer,
    closed_error,
)
from qwenvl_kit.backends.server.client import ServerClient, ServerRequest
from qwenvl_kit.backends.server.payloads import PayloadRules
from qwenvl_kit.backends.server.rescoring import AnswerScorer
from qwenvl_kit.backends.server.response_limits import answer_limits
from qwenvl_kit.backends.server.stream_reader import AnswerReader
from qwenvl_kit.backends.server.token_counter import PromptCounter
from qwenvl_kit.backends.server.token_escaping import TokenEscaper
from qwenvl_kit.budget.measures import PlanningRules
from qwenvl_kit.geometry import Size
from qwenvl_kit.messages.message import Message
from qwenvl_kit.options import Sampling
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.processing.detokenizer import Vocabulary

if TYPE_CHECKING:
    import PIL.Image

    from qwenvl_kit.processing.generation_rules import GenerationRules
    from qwenvl_kit.processing.resizing import Resizer


@dataclass(frozen=True)
class ServedModel:
    """What is known of a model that a server runs.

    Attributes:
        payloads: what requests for it have in common.
        rules: what it lays down for planning.
        sampling: the settings that it was published with.
        counter: the length of its prompts.
        escaper: what keeps text from being misread.
        vocabulary: tokens to text; None where their ids are not known.
        facts: what is connected and how, in words.
        takes_links: whether its server is to fetch pictures on the network by itself.
        generation: what else it says of answers; None where that is not known.
        resizer: brings pictures and frames to their planned sizes; likewise.
    """

    payloads: PayloadRules
    rules: PlanningRules
    sampling: Sampling
    counter: PromptCounter
    escaper: TokenEscaper
    vocabulary: Vocabulary | None
    facts: Mapping[str, str]
    takes_links: bool = False
    generation: GenerationRules | None = None
    resizer: Resizer | None = None


class ServerBackend(Backend):
    """Has requests answered by a server.

    Args:
        model: what is known of its model.
        client: the way to it.
    """

    def __init__(self, model: ServedModel, client: ServerClient) -> None:
        self._model = model
        self._client: ServerClient | None = client
        weakref.finalize(self, client.close).atexit = False

    @property
    def rules(self) -> PlanningRules:
        """What the model lays down for planning."""
        return self._model.rules

    @property
    def default_sampling(self) -> Sampling:
        """The settings that the checkpoint was published with.

        Raises:
            UnsupportedFeatureError: they ask for beams, or another search.
        """
        if self._model.generation is not None:
            self._model.generation.check_search()
        return self._model.sampling

    @property
    def takes_links(self) -> bool:
        """Whether the server is to fetch pictures on the network by itself."""
        return self._model.takes_links

    def free_bytes(self) -> int | None:
        """Not known: it is another machine's."""
        self._open_client()
        return None

    def count_prompt_tokens(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> int:
        """Length of the rendered prompt; an estimate where the checkpoint is not known here."""
        return self._model.counter.count(self._model.escaper.escaped(messages), media)

    def resize_image(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """A decoded picture at the planned size, so that the server finds nothing to resize."""
        from qwenvl_kit.processing.resizing import resize_image  # which imports torch

        resizer = self._model.resizer
        return resize_image(image, size) if resizer is None else resizer.image(image, size)

    def resize_frame(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """A decoded frame of a video at the planned size, likewise."""
        resizer = self._model.resizer
        return self.resize_image(image, size) if resizer is None else resizer.frame(image, size)

    def submit(
        self, request: BackendRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Send a request, as soon as the server has fewer than it may have at a time.

        Raises:
            OverloadError: too many requests wait.
            UnsupportedFeatureError: the server has no word for something.
        """
        client, model = self._open_client(), self._model
        messages = model.escaper.escaped(request.messages)
        opens_thought = model.counter.opens_thought(messages, list(request.plan.media.values()))
        payload = model.payloads.payload(request, messages)
        if opens_thought:  # a server would end the thoughts, where only the answer is bound
            payload.pop("stop", None)
        scorer = self._scorer(request, payload)

        def make_reader() -> AnswerReader:
            return AnswerReader(request.sampling, model.vocabulary, begins_in_thought=opens_thought)

        return client.submit(
            ServerRequest(
                payload,
                answer_limits(
                    request.plan.prompt_tokens,
                    request.plan.max_new_tokens,
                    request.sampling.num_alternatives,
                ),
                make_reader,
                observer,
                max_seconds=request.sampling.max_seconds,
                notes=model.escaper.notes(request.messages),
                fixed_text=None if scorer is None else scorer.only_answer,
                scorer=scorer,
            )
        )

    def _scorer(self, request: BackendRequest, payload: Mapping[str, Any]) -> AnswerScorer | None:
        """What tells how probable an answer was that is bound to a form."""
        model = self._model
        if request.constraint is None or model.vocabulary is None:
            return None
        if not model.payloads.dialect.scores_prompts:
            return None
        return AnswerScorer(
            payload,
            request.plan.prompt_tokens,
            request.sampling.num_alternatives,
            model.vocabulary,
            request.constraint.only_answer,
        )

    def load(self) -> Load:
        """What waits and what runs at the moment."""
        return self._open_client().load

    def report(self) -> Mapping[str, str]:
        """What is connected and how, in words."""
        return self._model.facts

    def close(self) -> None:
        """Send no more; what was sent is answered all the same."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _open_client(self) -> ServerClient:
        if self._client is None:
            raise closed_error()
        return self._client
