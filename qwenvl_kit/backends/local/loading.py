"""From a checkpoint's name or folder to a model in memory."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoProcessor

from qwenvl_kit.backends.local.engine import LoadedModel, LocalBackend
from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.budget.planning import PlanningRules
from qwenvl_kit.errors import (
    CheckpointError,
    MissingPackageError,
    ModelLoadError,
    ModelNotFoundError,
)
from qwenvl_kit.families import Family, family_of
from qwenvl_kit.options import Sampling

_DEFAULT_MAX_NEW_TOKENS = 512

_LOADING = threading.Lock()
"""While transformers loads weights it replaces a method of all its models for a moment; a second
load at the same time would make that replacement last."""


def load_backend(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    dtype: str | torch.dtype = "auto",
    device: str = "auto",
    attention: str = "auto",
) -> LocalBackend:
    """Load a checkpoint.

    Args:
        model: a folder, or the id of a repository on the Hugging Face hub.
        revision: branch, tag or commit on the hub.
        dtype: "auto", or a torch type or its name, such as "bfloat16" or "float32".
        device: "auto", or a torch device such as "cpu" or "cuda:0".
        attention: "auto", or an attention implementation of transformers such as "sdpa".

    Raises:
        ModelNotFoundError: no such folder or repository, or no network to fetch it.
        UnknownFamilyError: not a Qwen vision-language model that the kit knows.
        CheckpointError: files are missing or do not fit together.
        ModelLoadError: an unknown dtype, device or attention, or a failure of transformers.
    """
    where = _find(model)
    config = _read_config(where, revision)
    family = family_of(str(config.get("model_type")))
    torch_device = _choose_device(device)
    torch_dtype = _choose_dtype(dtype, torch_device)
    with _LOADING:
        processor = _load_processor(where, revision)
        network = _load_network(where, revision, family, torch_dtype, attention)
    network = _place(network, torch_device)
    with _damage_of(where):
        return LocalBackend(_assemble(where, revision, family, network, processor))


def _find(given: str | os.PathLike[str]) -> str:
    if not isinstance(given, (str, os.PathLike)):
        raise ModelNotFoundError(
            f"a model of type {type(given).__name__} was given", expected="a folder or a hub id"
        )
    model = os.fspath(given)
    if os.path.isdir(os.path.expanduser(model)):
        return os.path.expanduser(model)
    looks_like_path = model.startswith((".", "/", "~")) or model.count("/") != 1
    if looks_like_path or os.path.exists(model):
        raise ModelNotFoundError(
            f"{model!r} is not a folder",
            expected="a checkpoint's folder, or a hub id such as 'Qwen/Qwen2-VL-2B-Instruct'",
            hint="install the package again if this is the folder of its embedded model",
        )
    return model


def _read_config(where: str, revision: str | None) -> Mapping[str, Any]:
    """config.json as it is: `AutoConfig` would fail with KeyError on a family it does not know."""
    path = Path(where, "config.json") if os.path.isdir(where) else _fetch_config(where, revision)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{where} has no config.json", expected="a checkpoint's folder"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} holds a {type(config).__name__}", expected="a JSON object")
    return config


def _fetch_config(repository: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, "config.json", revision=revision))
    except Exception as error:  # errors of the hub client and of its transport
        raise ModelNotFoundError(
            f"{repository!r} cannot be fetched from the hub ({type(error).__name__}: {error})",
            hint="check the name and the network, or pass a local folder",
        ) from error


def _choose_device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ModelLoadError(
            f"device={device!r} cannot be used ({error})", expected="'auto', 'cpu' or 'cuda'"
        ) from error
    return chosen


def _choose_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Settle on bf16 where a GPU has it, and on fp32 elsewhere.

    Never fp16 unasked: its range is too small for these models, which then answer with
    exclamation marks.
    """
    if dtype != "auto":
        chosen = dtype if isinstance(dtype, torch.dtype) else getattr(torch, str(dtype), None)
        if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
            raise ModelLoadError(
                f"dtype={dtype!r} was given", expected="'auto', 'bfloat16', 'float32' or 'float16'"
            )
        return chosen
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if has_bf16 else torch.float32


def _load_processor(where: str, revision: str | None) -> Any:
    try:
        processor = AutoProcessor.from_pretrained(where, revision=revision)
    except Exception as error:  # transformers raises many kinds for missing or damaged files
        raise CheckpointError(
            f"the processor of {where} cannot be loaded ({type(error).__name__}: {error})",
            expected="tokenizer, preprocessor_config.json and a chat template",
        ) from error
    if getattr(processor, "chat_template", None) is None:
        raise CheckpointError(
            f"{where} has no chat template", expected="chat_template.jinja or chat_template.json"
        )
    return processor


def _load_network(
    where: str, revision: str | None, family: Family, dtype: torch.dtype, attention: str
) -> Any:
    model_class = getattr(transformers, family.model_class)
    options: dict[str, Any] = {} if attention == "auto" else {"attn_implementation": attention}
    try:
        network, found = model_class.from_pretrained(
            where,
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except ImportError as error:
        raise MissingPackageError(
            f"{where} with attention={attention!r} needs a package that is missing ({error})",
            hint="pip install flash-attn, or attention='sdpa'" if "flash" in attention else "",
        ) from error
    except Exception as error:  # see above
        raise ModelLoadError(
            f"the weights of {where} cannot be loaded ({type(error).__name__}: {error})",
            expected="safetensors files that fit config.json",
        ) from error
    _check_complete(where, found)
    return network


def _check_complete(where: str, found: Mapping[str, Any]) -> None:
    """Refuse weights that are not all there: transformers fills the gaps with random numbers."""
    gaps = [*found.get("missing_keys", ()), *found.get("mismatched_keys", ())]
    if gaps:
        raise CheckpointError(
            f"{len(gaps)} weights of {where} are missing or of another shape, {gaps[0]!r} first",
            expected="all weights that config.json describes",
            hint="download the checkpoint again",
        )


def _place(network: Any, device: torch.device) -> Any:
    try:
        return network.to(device).eval()
    except Exception as error:  # out of memory, or a device that fails
        raise ModelLoadError(
            f"the weights cannot be moved to {device} ({error})",
            hint="a device with more memory, or a smaller checkpoint",
        ) from error


@contextmanager
def _damage_of(where: str) -> Iterator[None]:
    """Blame the checkpoint, not the caller, for settings in its files that cannot be used."""
    try:
        yield
    except ModelLoadError:
        raise
    except Exception as error:  # a setting may be missing or wrong in any way
        raise CheckpointError(
            f"the settings of {where} cannot be used ({type(error).__name__}: {error})",
            expected="the configuration files as they were published",
        ) from error


def _assemble(
    where: str, revision: str | None, family: Family, network: Any, processor: Any
) -> LoadedModel:
    published = network.generation_config
    return LoadedModel(
        model=network,
        processor=processor,
        rules=_rules(family, network, processor),
        sampling=_published_sampling(published),
        end_ids=_end_ids(published, network, processor),
        facts={
            "model": where,
            "revision": revision or str(getattr(network.config, "_commit_hash", None) or "local"),
            "family": family.model_type,
            "device": str(network.device),
            "dtype": str(network.dtype).removeprefix("torch."),
            "attention": str(network.config._attn_implementation),
        },
    )


def _rules(family: Family, network: Any, processor: Any) -> PlanningRules:
    text = network.config.get_text_config()
    head_width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    values_per_token = 2 * text.num_hidden_layers * text.num_key_value_heads * head_width
    return PlanningRules(
        family=family,
        image_limits=_limits(processor.image_processor),
        video_limits=_limits(processor.video_processor),
        context_tokens=int(text.max_position_embeddings),
        kv_bytes_per_token=values_per_token * network.dtype.itemsize,
        weight_bytes=int(network.get_memory_footprint()),
    )


def _limits(processor: Any) -> PixelLimits:
    """The area limits that transformers writes as `shortest_edge` and `longest_edge`."""
    size = processor.size
    return PixelLimits(int(size["shortest_edge"]), int(size["longest_edge"]))


def _published_sampling(published: Any) -> Sampling:
    length = published.max_new_tokens or _DEFAULT_MAX_NEW_TOKENS
    penalty = published.repetition_penalty
    if not published.do_sample:
        return Sampling(max_new_tokens=length, repetition_penalty=penalty)
    return Sampling(
        max_new_tokens=length,
        temperature=published.temperature if published.temperature is not None else 1.0,
        top_k=published.top_k or None,
        top_p=published.top_p,
        min_p=published.min_p,
        repetition_penalty=penalty,
    )


def _end_ids(published: Any, network: Any, processor: Any) -> frozenset[int]:
    """All that may end an answer: some checkpoints name only one of the two, some none."""
    given = [published.eos_token_id, network.config.get_text_config().eos_token_id]
    given.append(processor.tokenizer.eos_token_id)
    ids: set[int] = set()
    for entry in given:
        if entry is not None:
            ids.update(entry if isinstance(entry, (list, tuple)) else [entry])
    if not ids:
        raise CheckpointError("the checkpoint names no token that ends an answer")
    return frozenset(ids)
