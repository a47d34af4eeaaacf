"""The loader of a checkpoint into vLLM in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from qwenvl_kit.backends.admission import check_max_queued_requests
from qwenvl_kit.backends.vllm.adapters import VllmAdapters, arguments_for
from qwenvl_kit.backends.vllm.backend import VllmBackend, VllmModel, scoring_params
from qwenvl_kit.backends.vllm.engine import Engine
from qwenvl_kit.backends.vllm.error_mapping import translated_load
from qwenvl_kit.backends.vllm.media_limits import media_limits
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.checkpoints.sources import Source, fetch_weights, find_checkpoint
from qwenvl_kit.checkpoints.trained_with import check_trained_on
from qwenvl_kit.display.progress import progress_bar
from qwenvl_kit.errors import InputError, MissingPackageError, ModelLoadError
from qwenvl_kit.options import MAX_QUEUED_REQUESTS, PixelBudget, describe_sampling
from qwenvl_kit.processing.detokenizer import Vocabulary
from qwenvl_kit.processing.processor_config import load_published
from qwenvl_kit.processing.prompt_encoder import PromptEncoder

_OURS = ("model", "tokenizer", "trust_remote_code", "revision", "tokenizer_revision")
"""Arguments of vLLM that this backend itself sets."""


def load_vllm_backend(
    model: str | os.PathLike[str],
    *,
    source: Source = "huggingface",
    revision: str | None = None,
    offline: bool = False,
    adapter: str | os.PathLike[str] | None = None,
    budget: PixelBudget | None = None,
    max_queued_requests: int = MAX_QUEUED_REQUESTS,
    **engine_args: Any,
) -> VllmBackend:
    """Load a checkpoint. The arguments and errors are those of `VisionChat.from_vllm`.

    No budget means the checkpoint's own limits.
    """
    _check(max_queued_requests, engine_args)
    if adapter is not None:
        engine_args = {**arguments_for(adapter), **engine_args}
    progress_bar()  # before vLLM imports tqdm, which would warn in a notebook
    try:
        import vllm
    except ImportError as error:
        raise MissingPackageError(
            f"vLLM cannot be imported ({error})",
            hint="pip install vllm (on Linux, for the CUDA that is there)",
        ) from error
    checkpoint = find_checkpoint(model, source=source, revision=revision, offline=offline)
    settings = read_settings(checkpoint.folder)
    published = load_published(checkpoint, settings)
    limits = media_limits(published.rules, budget or PixelBudget(), engine_args)
    if adapter is not None:
        check_trained_on(adapter, published.identity)
    fetch_weights(checkpoint, offline=offline)
    # By default vLLM would load pickled weights if there are no others.
    defaults = {"load_format": "safetensors", "logprobs_mode": "raw_logprobs"}
    arguments = {**defaults, **engine_args, **limits.arguments}
    try:
        core = vllm.LLM(model=str(checkpoint.folder), **arguments).llm_engine
    except Exception as error:  # vLLM raises errors of many types
        raise translated_load(error, checkpoint.name) from error
    family, processor = settings.family, published.processor
    length = int(core.model_config.max_model_len)
    facts = {
        "model": checkpoint.name,
        "source": checkpoint.origin,
        "revision": checkpoint.revision or "local",
        "family": family.model_type,
        "engine": f"vllm {vllm.__version__}",
        "dtype": str(core.model_config.dtype).removeprefix("torch."),
        "context_tokens": str(length),
        "vllm_arguments": _in_words({**engine_args, **limits.arguments}),
        **limits.facts,
        "sampling": published.generation.search or describe_sampling(published.sampling),
        **published.generation.facts_elsewhere("vLLM"),
    }
    engine = Engine(core, partial(scoring_params, published.end_ids), max_queued_requests)
    adapters = VllmAdapters(
        core, are_enabled=bool(engine_args.get("enable_lora")), identity=published.identity
    )
    if adapter is not None:
        with _closed_on_failure(engine):
            adapters.load(adapter)
    return VllmBackend(
        VllmModel(
            engine=engine,
            adapters=adapters,
            rules=replace(
                published.rules,
                context_tokens=length,
                kept=limits.kept,
                writes_between_frames=False,  # vLLM writes the times of frames by itself
            ),
            sampling=published.sampling,
            encoder=PromptEncoder(processor, family),
            vocabulary=Vocabulary(processor.tokenizer, published.end_ids),
            facts=facts,
            generation=published.generation,
            resizer=published.resizer,
        )
    )


@contextmanager
def _closed_on_failure(engine: Engine) -> Iterator[None]:
    """Close an engine if the block fails: nobody would have it, and it holds a device."""
    try:
        yield
    except BaseException:
        engine.close()
        raise


def _in_words(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())


def _check(max_queued_requests: int, engine_args: Mapping[str, Any]) -> None:
    check_max_queued_requests(max_queued_requests)
    if engine_args.get("trust_remote_code"):
        raise ModelLoadError(
            "trust_remote_code=True was given, and code of a checkpoint is never run",
            expected="a checkpoint of a family that vLLM itself knows",
        )
    ours = [name for name in engine_args if name in _OURS]
    if ours:
        raise InputError(f"{ours[0]} is not passed to vLLM", hint="model=..., revision=...")
