"""The server backend: it sends requests to an OpenAI-compatible server."""

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
    """A model on a server, with everything that is known of it.

    Attributes:
        payloads: the rules by which requests are written for the server.
        rules: the rules for planning.
        sampling: the settings that the checkpoint was published with.
        counter: counts the tokens of prompts.
        escaper: escapes special tokens in text from users.
        vocabulary: decodes token ids; None if the ids are not known here.
        facts: facts about the model and the server, in words.
        takes_links: True if the server is to fetch pictures on the network by itself.
        generation: the other rules of generation_config.json; None if they are not known.
        resizer: resizes pictures and frames to their planned sizes; None if the checkpoint's
            settings are not known.
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
    """A backend that has requests answered by a server.

    Args:
        model: the model on the server.
        client: sends requests to the server.
    """

    def __init__(self, model: ServedModel, client: ServerClient) -> None:
        self._model = model
        self._client: ServerClient | None = client
        weakref.finalize(self, client.close).atexit = False

    @property
    def rules(self) -> PlanningRules:
        """The rules by which pictures, videos and prompts are planned for the model."""
        return self._model.rules

    @property
    def default_sampling(self) -> Sampling:
        """The settings that the checkpoint was published with.

        Raises:
            UnsupportedFeatureError: they ask for beam search, or another search.
        """
        if self._model.generation is not None:
            self._model.generation.check_search()
        return self._model.sampling

    @property
    def takes_links(self) -> bool:
        """True if the server is to fetch pictures on the network by itself."""
        return self._model.takes_links

    def free_bytes(self) -> int | None:
        """None: the memory is that of another machine."""
        self._open_client()
        return None

    def count_prompt_tokens(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> int:
        """The length of the rendered prompt; an estimate if the checkpoint is not known here."""
        return self._model.counter.count(self._model.escaper.escaped(messages), media)

    def resize_image(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """Return a decoded picture at the planned size, so that the server need not resize it."""
        from qwenvl_kit.processing.resizing import resize_image  # which imports torch

        resizer = self._model.resizer
        return resize_image(image, size) if resizer is None else resizer.image(image, size)

    def resize_frame(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """Return a decoded frame of a video at the planned size, for the same reason."""
        resizer = self._model.resizer
        return self.resize_image(image, size) if resizer is None else resizer.frame(image, size)

    def submit(
        self, request: BackendRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Send a request as soon as the server has fewer than `max_concurrent_requests`.

        Raises:
            OverloadError: too many requests wait.
            UnsupportedFeatureError: the server's API has no argument for a part of the request.
        """
        client, model = self._open_client(), self._model
        messages = model.escaper.escaped(request.messages)
        opens_thought = model.counter.opens_thought(messages, list(request.plan.media.values()))
        payload = model.payloads.payload(request, messages)
        if opens_thought:  # a server would end the thoughts at a stop string meant for the answer
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
                degradations=model.escaper.degradations(request.messages),
                fixed_text=None if scorer is None else scorer.only_answer,
                scorer=scorer,
            )
        )

    def _scorer(self, request: BackendRequest, payload: Mapping[str, Any]) -> AnswerScorer | None:
        """The scorer of an answer with a constraint; None if the server's own scores are used."""
        model = self._model
        if request.constraint is None or model.vocabulary is None:
            return None
        if not model.payloads.server_kind.scores_prompts:
            return None
        return AnswerScorer(
            payload,
            request.plan.prompt_tokens,
            request.sampling.num_alternatives,
            model.vocabulary,
            request.constraint.only_answer,
        )

    def load(self) -> Load:
        """The requests that wait and run at the moment."""
        return self._open_client().load

    def report(self) -> Mapping[str, str]:
        """Facts about the model and the server, in words."""
        return self._model.facts

    def close(self) -> None:
        """Send no more requests; those that were sent are still answered."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _open_client(self) -> ServerClient:
        if self._client is None:
            raise closed_error()
        return self._client
