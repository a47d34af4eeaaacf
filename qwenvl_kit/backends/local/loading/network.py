"""The network of a checkpoint: its weights are read into a model of transformers.

Each check runs before the step that it can spare: the family is checked before the weights are
downloaded, and the memory for them before they are read.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import transformers

from qwenvl_kit.backends.local.engine_backend import clear_all_caches
from qwenvl_kit.backends.local.error_mapping import is_out_of_memory, translated_load_errors
from qwenvl_kit.backends.local.loading.attention import FLASH, Attention, plain_instead
from qwenvl_kit.backends.local.loading.load_plan import LoadPlan, choose_load_plan
from qwenvl_kit.backends.local.loading.onednn import use_onednn
from qwenvl_kit.backends.local.loading.quantization import VISION_TOWER, quantization_options
from qwenvl_kit.backends.local.loading.validation import (
    check_complete,
    check_described_size,
    check_files,
    check_not_offloaded,
    check_versions,
    count_described,
    model_class_of,
)
from qwenvl_kit.backends.local.packed.packing import convert_rest, pack_model
from qwenvl_kit.checkpoints.completeness import check_layout, check_settings_files, check_weights
from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.notes import notes_on
from qwenvl_kit.checkpoints.output_heads import with_own_head
from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.checkpoints.sources import fetch_weights
from qwenvl_kit.checkpoints.tensors import known_tensors
from qwenvl_kit.checkpoints.trained_with import check_trained_on
from qwenvl_kit.checkpoints.weights import TensorInfo, absent_weights, read_tensors
from qwenvl_kit.errors import (
    MissingPackageError,
    ModelLoadError,
    PlacementError,
    QwenVLKitError,
    WeightsError,
    release_frames,
)
from qwenvl_kit.hardware import release_free_memory
from qwenvl_kit.processing.processor_config import (
    check_generation,
    identity_of,
    load_processor,
)

_Made = TypeVar("_Made")

_LOADING = threading.Lock()
"""The lock of all loads: while transformers loads weights it replaces a method of all its models
for a moment, and a second load at the same time would make that replacement permanent."""


def _start_over_in_child() -> None:
    """Make a new lock in a forked process, in which nobody would release the parent's."""
    global _LOADING  # noqa: PLW0603  # the one lock of this module
    _LOADING = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over_in_child)


@dataclass(frozen=True)
class LoadedNetwork:
    """A model of transformers with the weights of a checkpoint.

    Attributes:
        model: the model.
        processor: its processor.
        settings: its config.json, and whether the weights have an output layer of their own.
        load_plan: the decisions about loading it.
        facts: the same with their reasons, for the report.
    """

    model: Any
    processor: Any
    settings: Settings
    load_plan: LoadPlan
    facts: Mapping[str, str]


@translated_load_errors()
def load_network(
    checkpoint: Checkpoint,
    settings: Settings,
    *,
    dtype: str | torch.dtype,
    device: str | torch.device,
    quantization: str | None,
    attention: str,
    offline: bool,
    adapter: str | os.PathLike[str] | None = None,
    is_served: bool = True,
) -> LoadedNetwork:
    """Read the weights of a checkpoint; most arguments are those of `load_backend`.

    Args:
        checkpoint: the place of its files.
        settings: its config.json.
        dtype: the dtype of the weights.
        device: the device, or "auto".
        quantization: "4bit" or "8bit", or None.
        attention: the implementation of attention, or "auto".
        offline: True if nothing may be fetched.
        adapter: the adapter that will be loaded into it: what it was trained with is compared
            before weights are read.
        is_served: True if the network answers requests; False if weights beside it are to learn,
            for which packed layers have no gradients.

    Raises:
        ModelLoadError: of the most specific kind.
    """
    check_settings_files(checkpoint.folder)
    check_layout(checkpoint, settings)
    check_files(checkpoint, settings)
    check_versions(settings)
    were_here = not absent_weights(checkpoint.folder)
    tensors = _tensors_of(checkpoint, offline)
    check_weights(checkpoint, settings, tensors)
    settings = with_own_head(checkpoint.folder, tensors, settings)
    recovery = MemoryRecovery()
    load_plan = recovery.attempt(
        lambda: choose_load_plan(
            tensors,
            settings,
            dtype=dtype,
            device=device,
            quantization=quantization,
            attention=attention,
            may_pack=is_served,
        )
    )
    fetch_weights(checkpoint, offline=offline)
    if not were_here:
        tensors = read_tensors(checkpoint.folder)  # checks that files are whole and safe to open
        settings = with_own_head(checkpoint.folder, tensors, settings)
    with _LOADING, _quiet_bars(), _quiet_report():
        check_described_size(checkpoint, settings, tensors)
        check_generation(checkpoint)
        processor = load_processor(checkpoint)
        if adapter is not None:
            check_trained_on(adapter, identity_of(checkpoint, settings, processor))
        model, used = recovery.attempt(lambda: _load_model(checkpoint, settings, load_plan))
    onednn = use_onednn(model) if is_served else None
    if load_plan.is_quantized:
        release_free_memory()  # quantising took several times the memory of the weights
    notes = notes_on(checkpoint.folder, settings, tensors)
    facts = _facts(checkpoint, settings, load_plan, model) | {
        "attention": str(model.config._attn_implementation),
        "attention_reason": used.reason,
        **({"products": onednn} if onednn else {}),
        **({"notes": "; ".join(notes)} if notes else {}),
        **recovery.facts(),
    }
    return LoadedNetwork(model, processor, settings, load_plan, facts)


class MemoryRecovery:
    """Clears the caches of other models, once, if a model finds too little memory."""

    def __init__(self) -> None:
        self._num_bytes = 0

    def attempt(self, act: Callable[[], _Made]) -> _Made:
        """Call a function; if memory runs out, call it again with the caches cleared.

        Raises:
            PlacementError: there is still too little memory.
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
        """A sentence about the caches that were cleared, for the report; nothing if none were."""
        if not self._num_bytes:
            return {}
        return {"recovery": f"{self._num_bytes} bytes in the caches of other models were freed"}


def _tensors_of(checkpoint: Checkpoint, offline: bool) -> tuple[TensorInfo, ...]:
    """The names, shapes and dtypes of the weights, read before they are downloaded if possible."""
    tensors = known_tensors(checkpoint, offline=offline)
    if tensors is None:  # ModelScope gives no headers without the files
        fetch_weights(checkpoint, offline=offline)
        tensors = read_tensors(checkpoint.folder)
    return tensors


def _load_model(
    checkpoint: Checkpoint, settings: Settings, load_plan: LoadPlan
) -> tuple[Any, Attention]:
    """Load the weights; return the model, and the attention that it runs with."""
    with _load_errors(checkpoint, settings, load_plan):
        try:
            return _read_weights(
                checkpoint, settings, load_plan, load_plan.attention
            ), load_plan.attention
        except ImportError as error:  # flash-attn may be installed for another torch
            if not load_plan.attention.may_fall_back:
                raise
            plain = plain_instead(error)
        return _read_weights(checkpoint, settings, load_plan, plain), plain


def _read_weights(
    checkpoint: Checkpoint, settings: Settings, load_plan: LoadPlan, attention: Attention
) -> Any:
    from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

    is_shared = is_deepspeed_zero3_enabled()  # then DeepSpeed places weights, and refuses a map
    dtype, packing = load_plan.precision.dtype, load_plan.packing
    read_as = load_plan.file_dtype or dtype if packing and packing.layers else dtype
    model, found = model_class_of(settings).from_pretrained(
        checkpoint.folder,
        dtype=read_as,
        attn_implementation=attention.name,
        device_map=None if is_shared else load_plan.device_map,
        max_memory=None if is_shared else load_plan.max_memory,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are named below
        **quantization_options(load_plan.quantization, packing, settings.family, dtype),
    )
    check_complete(checkpoint, load_plan, found)
    check_not_offloaded(model)
    if packing is not None:
        pack_model(model, packing, settings.family, VISION_TOWER)
        convert_rest(model, read_as, dtype)
    return model


@contextmanager
def _load_errors(checkpoint: Checkpoint, settings: Settings, load_plan: LoadPlan) -> Iterator[None]:
    """Turn errors of transformers and torch within the block into errors of the kit."""
    try:
        yield
    except QwenVLKitError:
        raise
    except ImportError as error:
        if load_plan.stored is not None and not load_plan.stored.is_known:
            raise MissingPackageError(
                f"{checkpoint.name} is quantised by {load_plan.stored}, which needs a package that "
                f"is missing ({error})",
                hint="the command in brackets, or another form of the model",
            ) from error
        raise MissingPackageError(
            f"{checkpoint.name} with attention={load_plan.attention.name!r} needs a package that "
            f"is missing ({error})",
            hint="pip install flash-attn, or attention='sdpa'"
            if load_plan.attention.name == FLASH
            else "python -m qwenvl_kit doctor",
        ) from error
    except Exception as error:  # files may be damaged, and devices fail, in any way
        if isinstance(error, ValueError) and load_plan.attention.name in str(error):
            raise ModelLoadError(
                f"attention={load_plan.attention.name!r} cannot be used ({error})",
                expected="attention='auto', 'sdpa' or 'eager'",
            ) from error
        if is_out_of_memory(error):
            raise PlacementError(
                f"memory ran out while {checkpoint.name} was loaded to "
                f"{load_plan.placement.device}",
                hint="quantization='4bit', a smaller checkpoint, or fewer programs beside it",
            ) from error
        count_described(checkpoint, settings)  # it may be config.json that is to blame
        if "CONVERSION" in str(error):  # transformers points to a table, which is not shown
            error.args = ("tensors that it puts together, such as experts, do not fit together",)
        raise WeightsError(
            f"the weights of {checkpoint.name} cannot be loaded ({type(error).__name__}: {error})",
            expected="safetensors files that fit config.json",
        ) from error


@contextmanager
def _quiet_bars() -> Iterator[None]:
    """Hide transformers' progress bar: weights that are on the disk load in a moment."""
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
    """Hide transformers' table of weights that do not fit: the kit raises an error of its own.

    The table has up to a hundred lines, and the advice to train the model. Weights that are tied
    in another way than config.json says are among the notes of the report.
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
    checkpoint: Checkpoint, settings: Settings, load_plan: LoadPlan, model: Any
) -> dict[str, str]:
    reasons = load_plan.facts()
    if model.dtype != load_plan.precision.dtype:
        reasons["dtype_reason"] = f"{load_plan.stored or 'the model'} runs in no other type here"
    return {
        "model": checkpoint.name,
        "source": checkpoint.origin,
        "revision": checkpoint.revision or "local",
        "family": settings.family.model_type,
        "device": str(model.device),
        "device_reason": reasons.pop("device_reason"),
        "dtype": str(model.dtype).removeprefix("torch."),
        **reasons,
    }
