"""The attributor: it runs watched passes over prompts whose answers are known.

A pass waits until no request runs, and lets none begin until it is over. It keeps nothing: neither
features nor prompts enter the cache, and attention is what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from qwenvl_kit.backends.base import Attribution, AttributionRequest, BackendRequest
from qwenvl_kit.backends.local.attribution.gradients import GradientRollout
from qwenvl_kit.backends.local.attribution.rollout import Rollout
from qwenvl_kit.backends.local.attribution.watched_attention import Watcher, watched_attention
from qwenvl_kit.backends.local.devices import empty_device_cache, on_cpu, upload
from qwenvl_kit.backends.local.engine.engine import Engine
from qwenvl_kit.backends.local.engine.vision_encoder import (
    EncoderOutputs,
    Features,
    as_encoder_output,
    digest_of,
)
from qwenvl_kit.backends.local.memory import ATTENTION_KINDS
from qwenvl_kit.backends.local.packed.base import PackedLinear
from qwenvl_kit.errors import GenerationError, InputError, UnsupportedFeatureError
from qwenvl_kit.plans import ImagePlan
from qwenvl_kit.processing.prompt_encoder import Prompt

_ROWS_AT_A_TIME = 32
"""Rows whose logits are held at a time: 19 MiB in fp32 for 151,936 tokens."""


@dataclass(frozen=True, eq=False)
class _Inputs:
    """The inputs of a pass.

    Attributes:
        arguments: the arguments of the model's forward pass.
        visual: the numbers of the visual tokens of each picture and video.
        rows: the numbers of the tokens that write what is explained.
        wanted: the ids of what they write.
    """

    arguments: dict[str, Any]
    visual: Sequence[torch.Tensor]
    rows: torch.Tensor
    wanted: torch.Tensor


class Attributor:
    """Runs passes on the model of an engine.

    Args:
        model: the model of transformers.
        engine: the engine, whose requests wait meanwhile.
    """

    def __init__(self, model: Any, engine: Engine) -> None:
        self._model = model
        self._engine = engine

    def run(self, asked: AttributionRequest) -> Attribution:
        """Run a pass; see `Backend.attribute`."""
        layers = () if asked.kind == "scores" else self._layers(asked)
        with self._paused():
            inputs = self._inputs(asked)
            if asked.kind == "gradient":
                return self._with_gradient(inputs, layers, asked.heads)
            with torch.inference_mode():
                watcher = None
                if asked.kind == "attention":
                    visual = torch.cat([*inputs.visual])
                    watcher = Rollout(visual, inputs.rows, layers, asked.heads)
                scores = self._scores(inputs, watcher)
        if watcher is None:
            return Attribution((), scores)
        return _attribution(inputs, watcher, layers, scores)

    def _layers(self, asked: AttributionRequest) -> tuple[int, ...]:
        """The layers whose attention counts.

        Raises:
            InputError: there is no such layer or head.
            UnsupportedFeatureError: attention cannot be followed through them.
        """
        config = self._model.config.get_text_config()
        check_numbers("heads", asked.heads, range(config.num_attention_heads))
        kinds = getattr(config, "layer_types", None)
        kinds = kinds or ["full_attention"] * config.num_hidden_layers
        return chosen_layers(kinds, asked.layers, asked.kind)

    @contextmanager
    def _paused(self) -> Iterator[None]:
        """Let no request run within the block, and give its memory back."""
        device_type = self._model.device.type
        try:
            with self._engine.scheduler.paused(), torch.autocast(device_type, enabled=False):
                yield
        finally:
            empty_device_cache()

    def _scores(self, inputs: _Inputs, watcher: Watcher | None) -> tuple[float, ...]:
        """The log-probabilities of what is explained, of one pass."""
        if watcher is None:
            hidden = self._hidden(inputs)
        else:
            with watched_attention(self._model):
                hidden = self._hidden(inputs, watcher=watcher)
        found: list[float] = []
        for states, wanted in _parts(hidden, inputs.wanted):
            logprobs = self._head(states).float().log_softmax(-1)
            found += logprobs.gather(1, wanted.to(logprobs.device)[:, None])[:, 0].tolist()
        return tuple(found)

    def _with_gradient(
        self, inputs: _Inputs, layers: Sequence[int], heads: Sequence[int] | None
    ) -> Attribution:
        """One pass forwards and one back."""
        check_differentiable(self._model)
        watcher = GradientRollout(torch.cat([*inputs.visual]), inputs.rows, layers, heads)
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            watched_attention(self._model),
            _checkpointed(self._model),
        ):
            hidden = self._hidden(inputs, watcher=watcher)
            leaf = hidden.detach().requires_grad_()
            scores: list[float] = []
            for states, wanted in _parts(leaf, inputs.wanted):
                logits = self._head(states).float()
                chosen = logits.gather(1, wanted.to(logits.device)[:, None])[:, 0]
                scores += (chosen - logits.logsumexp(-1)).tolist()
                chosen.sum().backward()  # into the leaf alone: nothing else wants a gradient
            hidden.backward(leaf.grad)
        return _attribution(inputs, watcher, layers, tuple(scores))

    def _hidden(self, inputs: _Inputs, **options: Any) -> torch.Tensor:
        """The last hidden states of the explaining rows, (rows, width)."""
        with _differentiable_embeddings(self._model):
            output = self._model.model(**inputs.arguments, use_cache=False, **options)
        hidden: torch.Tensor = output.last_hidden_state
        return hidden[0, inputs.rows.to(hidden.device)]

    def _head(self, states: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._model.get_output_embeddings()(states)
        return logits

    def _inputs(self, asked: AttributionRequest) -> _Inputs:
        """The prompt and its answer up to the last token that is explained."""
        request, device = asked.request, self._model.device
        plans = list(request.plan.media.values())
        prompt = self._engine.encoder.encode_prompt(request.messages, plans)
        if asked.explained[-1] >= len(asked.token_ids):
            raise InputError("a token behind the end of the answer was to be explained")
        rows = torch.tensor(asked.explained) + len(prompt.ids) - 1
        wanted = torch.tensor(asked.token_ids)[list(asked.explained)]
        ids = torch.tensor([*prompt.ids, *asked.token_ids])[: int(rows[-1]) + 1]
        with on_cpu():
            positions = _positions(self._engine.positions.encode_positions(prompt, plans), len(ids))
        outputs = self._encoder_outputs(request, self._features(request))
        return _Inputs(
            arguments={
                "input_ids": upload(ids[None], device),
                "attention_mask": None,
                "position_ids": upload(positions[:, None], device),
                **({"mm_encoder_outputs": EncoderOutputs(outputs)} if outputs else {}),
            },
            visual=[upload(each, device) for each in _visual_tokens(prompt)],
            rows=upload(rows, device),
            wanted=upload(wanted, device),
        )

    def _features(self, request: BackendRequest) -> list[Features]:
        """The features of pictures and videos, as tensors from which gradients may flow."""
        media: list[Any] = [*request.media]
        digests = [each.digest if isinstance(each, Features) else digest_of(each) for each in media]
        with torch.no_grad():
            made = self._engine.vision.look(dict(zip(digests, media)))
            return [
                replace(
                    made[digest],
                    pooled=made[digest].pooled.clone(),
                    deepstack=tuple(level.clone() for level in made[digest].deepstack),
                )
                for digest in digests
            ]

    def _encoder_outputs(
        self, request: BackendRequest, features: Sequence[Features]
    ) -> Mapping[str, Any]:
        shown: dict[str, list[Features]] = {"image": [], "video": []}
        for plan, each in zip(request.plan.media.values(), features):
            shown["image" if isinstance(plan, ImagePlan) else "video"].append(each)
        return {kind: as_encoder_output(found) for kind, found in shown.items() if found}


def chosen_layers(
    kinds: Sequence[str], wanted: Sequence[int] | None, method: str
) -> tuple[int, ...]:
    """The layers whose attention counts, rising.

    Args:
        kinds: the kind of each layer of the model, as transformers names it.
        wanted: the layers that were asked for; None for all.
        method: the method, for messages.

    Raises:
        InputError: there is no such layer, or it has no attention weights.
        UnsupportedFeatureError: other layers stand between them, through which nothing can be
            followed.
    """
    having = [at for at, kind in enumerate(kinds) if kind in ATTENTION_KINDS]
    check_numbers("layers", wanted, having)
    chosen = tuple(having) if wanted is None else tuple(sorted(set(wanted)))
    if len(having) < len(kinds) and (wanted is None or len(chosen) > 1):
        listed = ", ".join(map(str, having))
        raise UnsupportedFeatureError(
            f"method={method!r} follows attention from layer to layer, and "
            f"{len(kinds) - len(having)} of {len(kinds)} layers of this model have linear "
            "attention, which has no weights of single tokens",
            expected=f"one layer with full attention: {listed}",
            hint=f"layers=[{having[-1]}] for that layer alone; or method='occlusion'",
        )
    return chosen


def check_differentiable(model: Any) -> None:
    """Check that gradients flow through the weights of a model.

    Torch only warns where an operator has no gradient, and goes on with another one.

    Raises:
        UnsupportedFeatureError: its weights are packed in a form that has no gradient.
    """
    quantizer = getattr(model, "hf_quantizer", None)
    is_trainable = quantizer is None or getattr(quantizer, "is_trainable", True)
    if not is_trainable or any(isinstance(layer, PackedLinear) for layer in model.modules()):
        raise UnsupportedFeatureError(
            "no gradient flows through the weights of this model, as they are packed",
            hint="method='attention' or 'occlusion', or load it without quantization",
        )


def check_numbers(name: str, wanted: Sequence[int] | None, known: Sequence[int]) -> None:
    """Check numbers of layers or heads.

    Raises:
        InputError: one is not known, or there are none.
    """
    if wanted is not None and (not wanted or not set(wanted) <= set(known)):
        raise InputError(
            f"{name}={list(wanted)} was given",
            expected=f"some of {', '.join(map(str, known))}; None takes all",
        )


def _attribution(
    inputs: _Inputs,
    watcher: Rollout | GradientRollout,
    layers: Sequence[int],
    scores: tuple[float, ...],
) -> Attribution:
    """The result of a pass.

    Raises:
        GenerationError: transformers did not show every layer.
    """
    if set(watcher.seen) != set(layers):
        raise GenerationError(
            "transformers did not hand a watcher to the attention of each layer",
            hint="pip install --upgrade qwenvl-kit, or an earlier transformers",
        )
    relevance = watcher.relevance.float().cpu()
    counts = [len(each) for each in inputs.visual]
    parts = [part.numpy().copy() for part in relevance.split(counts)]
    return Attribution(tuple(parts), scores, tuple(layers))


def _visual_tokens(prompt: Prompt) -> list[torch.Tensor]:
    """The numbers of the visual tokens of each picture and video; not the times between frames."""
    ids = torch.tensor(prompt.ids)
    return [
        (ids[span.start : span.end] == ids[span.start]).nonzero()[:, 0] + span.start
        for span in prompt.spans
    ]


def _positions(prompt: torch.Tensor, length: int) -> torch.Tensor:
    """The positions of a prompt and the tokens after it, (4, length)."""
    start = prompt.shape[1]
    text = torch.arange(start, length)
    visual = text - start + int(prompt[1:].max()) + 1
    following = torch.stack([text, visual, visual, visual])
    return torch.cat([prompt, following], dim=1)[:, :length]


def _parts(
    hidden: torch.Tensor, wanted: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return zip(hidden.split(_ROWS_AT_A_TIME), wanted.split(_ROWS_AT_A_TIME))


@contextmanager
def _differentiable_embeddings(model: Any) -> Iterator[None]:
    """Have gradients end at the embeddings of tokens, where they are wanted at all."""

    def begin(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output.requires_grad_() if torch.is_grad_enabled() else output

    hook = model.get_input_embeddings().register_forward_hook(begin)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _checkpointed(model: Any) -> Iterator[None]:
    """Keep only the input of each layer for the way back, and compute the rest once more."""
    layers = list(model.model.language_model.layers)
    own: list[Callable[..., Any] | None] = [vars(layer).get("forward") for layer in layers]
    try:
        for layer in layers:
            layer.forward = partial(
                checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False
            )
        yield
    finally:
        for layer, forward in zip(layers, own):
            if forward is None:
                vars(layer).pop("forward", None)
            else:
                layer.forward = forward
