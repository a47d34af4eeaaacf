"""From a checkpoint's name or folder to a model in memory.

What can be judged is judged before it costs anything: the family before the weights are fetched,
the room for them before they are read.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import torch
import transformers

from qwenvl_kit.backends.admission import check_max_queued_requests
from qwenvl_kit.backends.base import MAX_QUEUED_REQUESTS
from qwenvl_kit.backends.local.backend import LocalBackend, clear_all_caches
from qwenvl_kit.backends.local.cache.store import check_cache_bytes, choose_cache_bytes
from qwenvl_kit.backends.local.error_mapping import is_out_of_memory, translated_load_errors
from qwenvl_kit.backends.local.loading.assembly import assemble
from qwenvl_kit.backends.local.loading.attention import FLASH, Attention, plain_instead
from qwenvl_kit.backends.local.loading.compilation import Compilation, compile_layers
from qwenvl_kit.backends.local.loading.load_plan import Recipe, choose_recipe
from qwenvl_kit.backends.local.loading.quantization import Quantization, quantization_options
from qwenvl_kit.backends.local.loading.trial import check_cached_step
from qwenvl_kit.backends.local.loading.validation import (
    check_complete,
    check_files,
    check_not_offloaded,
    check_size,
    check_versions,
    count_described,
    model_class_of,
)
from qwenvl_kit.backends.local.lora.adapters import check_adapter
from qwenvl_kit.checkpoints.completeness import check_layout, check_settings_files, check_weights
from qwenvl_kit.checkpoints.oddities import notes_on
from qwenvl_kit.checkpoints.output_heads import with_own_head
from qwenvl_kit.checkpoints.settings import Settings, read_settings
from qwenvl_kit.checkpoints.sources import Checkpoint, Source, fetch_weights, find_checkpoint
from qwenvl_kit.checkpoints.tensors import known_tensors
from qwenvl_kit.checkpoints.weights import TensorInfo, absent_weights, read_tensors
from qwenvl_kit.errors import (
    MissingPackageError,
    ModelLoadError,
    PlacementError,
    QwenVLKitError,
    WeightsError,
)
from qwenvl_kit.hardware import release_free_memory
from qwenvl_kit.processing.processor_config import check_generation, load_processor
from qwenvl_kit.raising import release_frames

_Made = TypeVar("_Made")

_LOADING = threading.Lock()
"""While transformers loads weights it replaces a method of all its models for a moment; a second
load at the same time would make that replacement last."""


def _start_over_in_child() -> None:
    """In a forked process nobody releases a lock that the parent held."""
    global _LOADING  # noqa: PLW0603  # the one lock of this module
    _LOADING = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over_in_child)


@translated_load_errors()
def load_backend(
    model: str | os.PathLike[str],
    *,
    source: Source = "huggingface",
    revision: str | None = None,
    offline: bool = False,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    quantization: Quantization | None = None,
    attention: str = "auto",
    compile: bool | Literal["auto"] = "auto",  # noqa: A002  # torch's own word
    adapter: str | os.PathLike[str] | None = None,
    max_cache_bytes: int | None = None,
    max_queued_requests: int = MAX_QUEUED_REQUESTS,
) -> LocalBackend:
    """Load a checkpoint; the arguments and errors are those of `VisionChat.from_pretrained`."""
    checkpoint = find_checkpoint(model, source=source, revision=revision, offline=offline)
    settings = read_settings(checkpoint.folder)
    check_settings_files(checkpoint.folder)
    check_layout(checkpoint, settings)
    check_files(checkpoint, settings)
    check_versions(settings)
    check_cache_bytes(max_cache_bytes)
    check_max_queued_requests(max_queued_requests)
    compilation = Compilation.choose(compile)
    if adapter is not None:
        check_adapter(adapter)
    were_here = not absent_weights(checkpoint.folder)
    tensors = _tensors_of(checkpoint, offline)
    check_weights(checkpoint, settings, tensors)
    settings = with_own_head(checkpoint.folder, tensors, settings)
    room = Room()
    recipe = room.attempt(
        lambda: choose_recipe(
            tensors,
            settings,
            dtype=dtype,
            device=device,
            quantization=quantization,
            attention=attention,
        )
    )
    fetch_weights(checkpoint, offline=offline)
    if not were_here:
        tensors = read_tensors(checkpoint.folder)  # whole, and nothing that could run code
        settings = with_own_head(checkpoint.folder, tensors, settings)
    with _LOADING, _quiet_bars(), _quiet_report():
        check_size(checkpoint, settings, tensors)
        check_generation(checkpoint)
        processor = load_processor(checkpoint)
        network, used = room.attempt(lambda: _load_network(checkpoint, settings, recipe))
    if recipe.is_quantized:
        release_free_memory()  # several times the weights, of what they were made from
    _freeze(network)
    check_cached_step(network, is_exact=_is_exact(network, recipe))
    if compilation.is_on:
        compile_layers(network)
    notes = notes_on(checkpoint.folder, settings, tensors)
    facts = _facts(checkpoint, settings, recipe, network) | {
        "attention": str(network.config._attn_implementation),
        "attention_reason": used.reason,
        "compile": compilation.describe(),
        **({"notes": "; ".join(notes)} if notes else {}),
        **room.facts(),
    }
    loaded = assemble(checkpoint, settings, network, processor, facts)
    cache_bytes = choose_cache_bytes(network, max_cache_bytes)
    backend = LocalBackend(loaded, cache_bytes, max_queued_requests)
    if adapter is not None:
        backend.adapters.load(adapter)
    return backend


class Room:
    """Makes room where a model finds too little memory, once."""

    def __init__(self) -> None:
        self._num_bytes = 0

    def attempt(self, act: Callable[[], _Made]) -> _Made:
        """Do something; where memory runs out, once more without what other models keep.

        Raises:
            PlacementError: there is too little all the same.
        """
        try:
            return act()
        except PlacementError as error:
            release_frames(error)
            freed = clear_all_caches()
            if not freed:
                raise
            self._num_bytes += freed
        return act()

    def facts(self) -> dict[str, str]:
        """What was given up, for the report."""
        if not self._num_bytes:
            return {}
        return {"recovery": f"{self._num_bytes} bytes that other models kept were let go"}


def _tensors_of(checkpoint: Checkpoint, offline: bool) -> tuple[TensorInfo, ...]:
    """What the weights are, if possible before they are fetched."""
    tensors = known_tensors(checkpoint, offline=offline)
    if tensors is None:  # ModelScope does not tell
        fetch_weights(checkpoint, offline=offline)
        tensors = read_tensors(checkpoint.folder)
    return tensors


def _load_network(
    checkpoint: Checkpoint, settings: Settings, recipe: Recipe
) -> tuple[Any, Attention]:
    """The model, and the attention that it runs with."""
    with _failures_of(checkpoint, settings, recipe):
        try:
            return _read_weights(checkpoint, settings, recipe, recipe.attention), recipe.attention
        except ImportError as error:  # flash-attn may be installed for another torch
            if not recipe.attention.may_fall_back:
                raise
            plain = plain_instead(error)
        return _read_weights(checkpoint, settings, recipe, plain), plain


def _read_weights(
    checkpoint: Checkpoint, settings: Settings, recipe: Recipe, attention: Attention
) -> Any:
    network, found = model_class_of(settings).from_pretrained(
        checkpoint.folder,
        dtype=recipe.precision.dtype,
        attn_implementation=attention.name,
        device_map=recipe.device_map,
        max_memory=recipe.max_memory,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are named below
        **quantization_options(recipe.quantization, settings.family, recipe.precision.dtype),
    )
    check_complete(checkpoint, recipe, found)
    check_not_offloaded(network)
    return network


@contextmanager
def _failures_of(checkpoint: Checkpoint, settings: Settings, recipe: Recipe) -> Iterator[None]:
    """What transformers and torch raise while they load, in the kit's own errors."""
    try:
        yield
    except QwenVLKitError:
        raise
    except ImportError as error:
        if recipe.stored is not None and not recipe.stored.is_known:
            raise MissingPackageError(
                f"{checkpoint.name} is quantised by {recipe.stored}, which needs a package that is "
                f"missing ({error})",
                hint="the command in brackets, or another form of the model",
            ) from error
        raise MissingPackageError(
            f"{checkpoint.name} with attention={recipe.attention.name!r} needs a package that is "
            f"missing ({error})",
            hint="pip install flash-attn, or attention='sdpa'"
            if recipe.attention.name == FLASH
            else "python -m qwenvl_kit doctor",
        ) from error
    except Exception as error:  # files may be damaged, and devices fail, in any way
        if isinstance(error, ValueError) and recipe.attention.name in str(error):
            raise ModelLoadError(
                f"attention={recipe.attention.name!r} cannot be used ({error})",
                expected="attention='auto', 'sdpa' or 'eager'",
            ) from error
        if is_out_of_memory(error):
            raise PlacementError(
                f"memory ran out while {checkpoint.name} was loaded to {recipe.placement.device}",
                hint="quantization='4bit', a smaller checkpoint, or fewer programs beside it",
            ) from error
        count_described(checkpoint, settings)  # it may be config.json that is to blame
        if "CONVERSION" in str(error):  # transformers points to a table, which is not shown
            error.args = ("tensors that it puts together, such as experts, do not fit together",)
        raise WeightsError(
            f"the weights of {checkpoint.name} cannot be loaded ({type(error).__name__}: {error})",
            expected="safetensors files that fit config.json",
        ) from error


def _is_exact(network: Any, recipe: Recipe) -> bool:
    """Whether it computes in fp32, on weights as they were stored."""
    return network.dtype == torch.float32 and not recipe.is_quantized


def _freeze(network: Any) -> None:
    """Nothing is trained here, and gradients would cost as much memory as the weights."""
    network.eval()
    network.requires_grad_(False)


@contextmanager
def _quiet_bars() -> Iterator[None]:
    """Leave out transformers' progress bar: weights that are on the disk load in a moment."""
    bars = transformers.utils.logging
    was_on = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            bars.enable_progress_bar()


@contextmanager
def _quiet_report() -> Iterator[None]:
    """Keep transformers' table of misfits off the screen: the kit's own error says what it means.

    Up to a hundred lines stand there, with the advice to train the model. What is tied otherwise
    than config.json says is among the report's notes.
    """
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(_is_no_table)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_table)


def _is_no_table(record: logging.LogRecord) -> bool:
    tables = ("LOAD REPORT", "tied weights mapping")
    return not any(table in record.getMessage() for table in tables)


def _facts(
    checkpoint: Checkpoint, settings: Settings, recipe: Recipe, network: Any
) -> dict[str, str]:
    reasons = recipe.facts()
    if network.dtype != recipe.precision.dtype:
        reasons["dtype_reason"] = f"{recipe.stored or 'the model'} runs in no other type here"
    return {
        "model": checkpoint.name,
        "source": checkpoint.origin,
        "revision": checkpoint.revision or "local",
        "family": settings.family.model_type,
        "device": str(network.device),
        "device_reason": reasons.pop("device_reason"),
        "dtype": str(network.dtype).removeprefix("torch."),
        **reasons,
    }
