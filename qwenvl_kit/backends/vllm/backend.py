"""The vLLM backend: a model that vLLM runs in this process."""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qwenvl_kit.backends.base import (
    Backend,
    BackendRequest,
    Completion,
    Load,
    Observer,
    closed_error,
)
from qwenvl_kit.backends.vllm.adapters import VllmAdapters
from qwenvl_kit.backends.vllm.engine import Engine
from qwenvl_kit.backends.vllm.prompts import prompt_of
from qwenvl_kit.backends.vllm.request import EngineRequest
from qwenvl_kit.budget.measures import PlanningRules
from qwenvl_kit.geometry import Size
from qwenvl_kit.messages.message import Message
from qwenvl_kit.options import Sampling
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.processing.detokenizer import Vocabulary
from qwenvl_kit.processing.prompt_encoder import PromptEncoder
from qwenvl_kit.processing.resizing import Resizer

if TYPE_CHECKING:
    import PIL.Image

    from qwenvl_kit.processing.generation_rules import GenerationRules


@dataclass(frozen=True)
class VllmModel:
    """A model that vLLM runs.

    Attributes:
        engine: runs its requests.
        adapters: its LoRA adapters.
        rules: its rules for planning.
        sampling: the settings that it was published with.
        encoder: renders and tokenises its prompts.
        vocabulary: decodes token ids.
        facts: facts about the loaded model, in words.
        generation: the other rules of its generation_config.json; None if they are not known.
        resizer: resizes pictures and frames to their planned sizes.
    """

    engine: Engine
    adapters: VllmAdapters
    rules: PlanningRules
    sampling: Sampling
    encoder: PromptEncoder
    vocabulary: Vocabulary
    facts: Mapping[str, str]
    generation: GenerationRules | None = None
    resizer: Resizer = field(default_factory=Resizer)


class VllmBackend(Backend):
    """A backend that runs requests on vLLM in this process.

    Args:
        model: the model that vLLM runs.
    """

    def __init__(self, model: VllmModel) -> None:
        self._state: VllmModel | None = model
        weakref.finalize(self, model.engine.close).atexit = False

    @property
    def _model(self) -> VllmModel:
        if self._state is None:
            raise closed_error()
        return self._state

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
    def adapters(self) -> VllmAdapters:
        """The LoRA adapters of the model."""
        return self._model.adapters

    def free_bytes(self) -> int | None:
        """None: vLLM reserved its share of the memory when it was started."""
        _ = self._model
        return None

    def count_prompt_tokens(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> int:
        """The length of the rendered prompt in tokens, its visual tokens as planned."""
        return len(self._model.encoder.encode_prompt(messages, media).ids)

    def resize_image(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """Return a decoded picture at the planned size, so that vLLM need not resize it."""
        return self._model.resizer.image(image, size)

    def resize_frame(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """Return a decoded frame of a video at the planned size, for the same reason."""
        return self._model.resizer.frame(image, size)

    def submit(
        self, request: BackendRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Queue a request. It is answered along with others, as if it ran alone.

        Raises:
            OverloadError: too many requests wait.
        """
        model = self._model
        media = list(request.plan.media.values())
        prompt = model.encoder.encode_prompt(request.messages, media)
        only = None if request.constraint is None else request.constraint.only_answer
        engine_request = EngineRequest(
            request,
            prompt_of(request, model.encoder.encode_turns(request.messages, media)),
            _params(request),
            model.vocabulary,
            observer,
            lora=model.adapters.request,
            answer_ids=None if only is None else model.encoder.encode_answer(only),
            opens_thought=prompt.opens_thought,
        )
        model.engine.submit(engine_request)
        return engine_request.future

    def gather(self) -> AbstractContextManager[object]:
        """Return a context in which an idle engine begins nothing, so that a batch can form."""
        return self._model.engine.gather()

    def load(self) -> Load:
        """The requests that wait and run at the moment."""
        return self._model.engine.load

    def report(self) -> Mapping[str, str]:
        """Facts about the loaded model, in words."""
        return {**self._model.facts, "adapter": self._model.adapters.active or "none"}

    def close(self) -> None:
        """Release the model as soon as the requests that run have ended."""
        state, self._state = self._state, None
        if state is not None:
            state.engine.close()


def scoring_params(end_ids: frozenset[int], num_alternatives: int) -> Any:
    """The `SamplingParams` of vLLM for scoring an answer as part of the prompt."""
    from vllm import SamplingParams

    return SamplingParams(
        max_tokens=1,
        temperature=0.0,
        prompt_logprobs=num_alternatives,
        logprobs=len(end_ids),
        logprob_token_ids=sorted(end_ids),
        detokenize=False,
    )


def _params(request: BackendRequest) -> Any:
    """The `SamplingParams` of vLLM. Detokenising, stop strings and cycles stay with the kit."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    sampling, constraint = request.sampling, request.constraint
    outputs = None
    if constraint is not None:
        form = constraint.text if constraint.kind == "regex" else json.loads(constraint.text)
        name = "json" if constraint.kind == "json schema" else constraint.kind
        outputs = StructuredOutputsParams(**{name: form})
    truncation = {} if sampling.is_greedy else _given(sampling, ("top_k", "top_p", "min_p"))
    return SamplingParams(
        max_tokens=request.plan.max_new_tokens,
        temperature=sampling.temperature or 0.0,
        seed=None if sampling.seed is None else sampling.seed % 2**63,
        logprobs=sampling.num_alternatives,
        structured_outputs=outputs,
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        **truncation,
        **_given(sampling, ("repetition_penalty", "presence_penalty")),
    )


def _given(sampling: Sampling, names: Sequence[str]) -> dict[str, Any]:
    found = {name: getattr(sampling, name) for name in names}
    return {name: value for name, value in found.items() if value is not None}
