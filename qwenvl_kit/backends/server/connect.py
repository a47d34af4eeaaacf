"""The setup of a server backend: from the server's address to a backend that is ready.

Everything is found out once, at the beginning: the models that the server lists, its kind, and,
by two short requests, if it returns log-probabilities and enforces constraints.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qwenvl_kit.backends.server.backend import ServedModel, ServerBackend
from qwenvl_kit.backends.server.capabilities import ListedModel, ServerCapabilities, ServerProbe
from qwenvl_kit.backends.server.client import ConcurrencyLimits, ServerClient
from qwenvl_kit.backends.server.endpoint import Access
from qwenvl_kit.backends.server.image_encoding import ImageEncoding
from qwenvl_kit.backends.server.model_lookup import published_on_hub
from qwenvl_kit.backends.server.payloads import PayloadRules
from qwenvl_kit.backends.server.server_kinds import ServerKind, server_kind_of
from qwenvl_kit.backends.server.token_counter import PromptCounter
from qwenvl_kit.backends.server.token_escaping import TokenEscaper
from qwenvl_kit.backends.server.validation import (
    api_address,
    check_encoding,
    check_flags,
    check_numbers,
    check_seconds,
)
from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.budget.measures import PlanningRules
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.checkpoints.sources import find_checkpoint
from qwenvl_kit.errors import ModelLoadError, UnknownFamilyError
from qwenvl_kit.families import FAMILIES, Family, family_of
from qwenvl_kit.options import MAX_QUEUED_REQUESTS, Sampling, describe_sampling
from qwenvl_kit.processing.detokenizer import Vocabulary
from qwenvl_kit.processing.prompt_encoder import PromptEncoder

if TYPE_CHECKING:
    from qwenvl_kit.processing.processor_config import Published

_LEAST_CONTEXT = 32_768
"""`max_position_embeddings` of the smallest published checkpoint, Qwen2-VL-2B-Instruct."""

_NAMED = re.compile(
    r"qwen(?:[-_]?vl)?[-_]?([0-9](?:[._][0-9])?)(?:[-_]?(?:vl|exp))?", re.IGNORECASE
)


def connect_backend(
    base_url: str,
    *,
    model: str | None = None,
    api_key: str | None = None,
    checkpoint: str | os.PathLike[str] | None = "auto",
    family: str | None = None,
    dialect: str | None = None,
    context_tokens: int | None = None,
    image_encoding: ImageEncoding = "auto",
    send_links: bool = False,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 600.0,
    answer_timeout_seconds: float = 3600.0,
    setup_timeout_seconds: float = 600.0,
    use_environment_proxy: bool = False,
    max_retries: int = 4,
    max_concurrent_requests: int = 32,
    max_queued_requests: int = MAX_QUEUED_REQUESTS,
) -> ServerBackend:
    """Connect to a server. The arguments and errors are those of `VisionChat.connect`."""
    check_numbers(
        context_tokens=context_tokens,
        max_retries=max_retries,
        max_concurrent_requests=max_concurrent_requests,
        max_queued_requests=max_queued_requests,
    )
    check_seconds(
        timeout_seconds=timeout_seconds,
        answer_timeout_seconds=answer_timeout_seconds,
        setup_timeout_seconds=setup_timeout_seconds,
    )
    check_flags(send_links=send_links, use_environment_proxy=use_environment_proxy)
    check_encoding(image_encoding)
    access = Access(
        address=api_address(base_url),
        api_key=api_key,
        headers=dict(headers or {}),
        timeout_seconds=timeout_seconds,
        max_retries=max_retries,
        use_environment_proxy=use_environment_proxy,
    )
    with ServerProbe(access, setup_timeout_seconds) as probe:
        served = probe.find(model)
        kind = server_kind_of(dialect, access.address, served.owner)
        if family is not None:
            family_of(family)
        capabilities = probe.capabilities(served.name, kind)
        known = _find_files(served, checkpoint, probe.seconds_left)
    with access.errors.translated():  # a server may name its model like a key
        chosen = _family(served, known, family)
    found = _Findings(access.address, served, known.published, known.reason, chosen, kind)
    wanted = _Choices(image_encoding, send_links, context_tokens)
    limits = ConcurrencyLimits(
        max_concurrent_requests=max_concurrent_requests,
        max_queued_requests=max_queued_requests,
        max_retries=max_retries,
        answer_timeout_seconds=answer_timeout_seconds,
    )
    client = ServerClient(access.make_api, access.errors, limits)
    return ServerBackend(_served_model(found, capabilities, wanted), client)


@dataclass(frozen=True)
class _Findings:
    """Facts that were found out about a server and its model."""

    address: str
    served: ListedModel
    published: Published | None
    checkpoint: str
    family: Family
    kind: ServerKind


@dataclass(frozen=True)
class _Choices:
    """The caller's choices for requests."""

    image_encoding: ImageEncoding
    send_links: bool
    context_tokens: int | None


def _served_model(
    found: _Findings, capabilities: ServerCapabilities, wanted: _Choices
) -> ServedModel:
    """Put together everything that a backend must know of the model."""
    encoder = (
        None if found.published is None else PromptEncoder(found.published.processor, found.family)
    )
    vocabulary = _vocabulary(found.published, found.kind) if capabilities.gives_logprobs else None
    context_tokens = wanted.context_tokens or found.served.context_tokens
    rules = _rules(found.family, found.published, context_tokens)
    sampling = _sampling(found.family, found.published, found.kind)
    counter = PromptCounter(found.family, encoder)
    payloads = PayloadRules(
        server_kind=found.kind,
        model=found.served.name,
        knows_tools=None if encoder is None else encoder.knows_tools,
        gives_logprobs=capabilities.gives_logprobs,
        constrains_answers=capabilities.constrains_answers,
        knows_ids=vocabulary is not None,
        tells_times=found.family.positions_in_seconds or found.family.video_layout != "one span",
        encoding=wanted.image_encoding,
    )
    facts = {
        "model": found.served.name,
        "server": found.address,
        "dialect": found.kind.name,
        "family": found.family.model_type,
        "checkpoint": found.checkpoint,
        "prompt_tokens": "counted" if counter.is_exact else "estimated",
        "context_tokens": str(rules.context_tokens),
        **capabilities.facts(found.kind),
        "images": wanted.image_encoding + (", or links" if wanted.send_links else ""),
        **_generation_facts(found.published, sampling),
    }
    return ServedModel(
        payloads=payloads,
        rules=rules,
        sampling=sampling,
        counter=counter,
        escaper=TokenEscaper(() if encoder is None else encoder.special_tokens),
        vocabulary=vocabulary,
        facts=facts,
        takes_links=wanted.send_links,
        generation=None if found.published is None else found.published.generation,
        resizer=None if found.published is None else found.published.resizer,
    )


@dataclass(frozen=True)
class _KnownFiles:
    """The small files of a checkpoint, if they are known here, and the reason in words."""

    published: Published | None
    reason: str


def _find_files(
    served: ListedModel, checkpoint: str | os.PathLike[str] | None, seconds_left: float
) -> _KnownFiles:
    """Load the small files of the checkpoint that a server runs, if they can be found."""
    if checkpoint is None:
        return _KnownFiles(None, "none: checkpoint=None")
    if checkpoint != "auto":
        return _load_files(checkpoint)
    reasons, ends_at = [], time.monotonic() + seconds_left
    for name in served.hub_ids:
        try:
            return _KnownFiles(published_on_hub(name, ends_at - time.monotonic()), name)
        except ModelLoadError as error:  # most model names are no ids of a checkpoint
            reasons.append(f"{name}: {error.problem}")
    said = served.root or served.name
    why = (
        "; ".join(reasons)
        or f"{said[:200]!r} is no id of a hub: checkpoint='folder or id' names it"
    )
    return _KnownFiles(None, f"none ({why})")


def _load_files(name: str | os.PathLike[str]) -> _KnownFiles:
    from qwenvl_kit.processing.processor_config import load_published  # which imports transformers

    checkpoint = find_checkpoint(name)
    settings = read_settings(checkpoint.folder)
    return _KnownFiles(load_published(checkpoint, settings), checkpoint.name)


def _family(served: ListedModel, known: _KnownFiles, asked: str | None) -> Family:
    read = known.published.rules.family if known.published is not None else None
    if read is not None and asked in (None, read.model_type):
        return read  # with what this checkpoint was trained for
    if asked is not None:
        return family_of(asked)
    found = _NAMED.search(served.name)
    number = found[1].replace(".", "_") if found else ""
    for name in (f"qwen{number}_vl", f"qwen{number}"):
        if name in FAMILIES:
            return FAMILIES[name]
    raise UnknownFamilyError(
        f"{served.name[:200]!r} does not tell which family the model is of",
        expected=f"family=..., one of {', '.join(FAMILIES)}",
        hint="or checkpoint=..., a folder or hub id with the model's small files",
    )


def _rules(
    family: Family, published: Published | None, context_tokens: int | None
) -> PlanningRules:
    if published is not None:
        length = context_tokens or published.rules.context_tokens
        rules = replace(published.rules, context_tokens=length)
    else:
        rules = PlanningRules(
            family=family,
            image_limits=PixelLimits(family.min_pixels, family.max_pixels),
            video_limits=PixelLimits(family.min_video_pixels, family.max_video_pixels),
            context_tokens=context_tokens or _LEAST_CONTEXT,
        )
    # A server writes the times of frames by itself.
    return replace(rules, kept=rules.as_published, writes_between_frames=False)


def _sampling(family: Family, published: Published | None, kind: ServerKind) -> Sampling:
    """The published settings, without those that the server does not accept."""
    sampling = family.sampling if published is None else published.sampling
    unknown = {"top_k", "min_p", "repetition_penalty"} - kind.sampling
    without: dict[str, Any] = dict.fromkeys(unknown)
    return replace(sampling, **without)


def _generation_facts(published: Published | None, sampling: Sampling) -> dict[str, str]:
    """The settings of generation, and the parts of generation_config.json that are ignored."""
    if published is None:
        return {"sampling": describe_sampling(sampling)}
    rules = published.generation
    said = rules.search or describe_sampling(sampling)
    return {"sampling": said, **rules.facts_elsewhere("the server, as nothing asks it to")}


def _vocabulary(published: Published | None, kind: ServerKind) -> Vocabulary | None:
    if published is None or not kind.tells_ids:
        return None
    return Vocabulary(published.processor.tokenizer, published.end_ids)
