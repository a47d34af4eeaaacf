"""The checks of a checkpoint while it is loaded: files, versions, size, and complete weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import transformers

from qwenvl_kit.backends.local.loading.attention import PLAIN
from qwenvl_kit.backends.local.loading.load_plan import LoadPlan
from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.memory import count_parameters
from qwenvl_kit.checkpoints.packages import lacking
from qwenvl_kit.checkpoints.required_files import missing_files
from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.checkpoints.weights import TensorInfo
from qwenvl_kit.errors import (
    CheckpointError,
    OutdatedPackageError,
    PlacementError,
    WeightsError,
)
from qwenvl_kit.families import Family

_LAYER = re.compile(r"\b(layers|blocks|deepstack_merger_list)\.[0-9]+\.")


def check_files(checkpoint: Checkpoint, settings: Settings) -> None:
    """Check that a folder has all small files.

    Raises:
        CheckpointError: files are missing; the message names them.
    """
    absent = missing_files(checkpoint.folder, settings.family)
    if absent:
        raise CheckpointError(
            f"{checkpoint.name} lacks {'; and '.join(absent)}",
            expected="all small files of the checkpoint as they were published",
            hint="download it again, or copy them from the model that it was made from",
        )


def check_versions(settings: Settings) -> None:
    """Check that torch and transformers are new enough for the family.

    Raises:
        OutdatedPackageError: one is older; the message has the command that upgrades it.
    """
    family = settings.family
    if not hasattr(transformers, family.model_class):
        raise _outdated(family, "transformers", family.since_transformers, transformers.__version__)
    if lacking([f"torch>={family.since_torch}"]):
        raise _outdated(family, "torch", family.since_torch, torch.__version__)


def _outdated(family: Family, package: str, since: str, installed: str) -> OutdatedPackageError:
    return OutdatedPackageError(
        f"{family.model_type} needs {package} >= {since}, and {installed} is installed",
        hint=f'pip install --upgrade "{package}>={since}"',
    )


def check_described_size(
    checkpoint: Checkpoint, settings: Settings, tensors: Sequence[TensorInfo]
) -> None:
    """Check that config.json does not describe a larger model than the weights are of.

    transformers would allocate memory for all parameters that are missing.

    Raises:
        WeightsError: it describes more parameters than there are.
        CheckpointError: config.json cannot be used.
    """
    described = count_described(checkpoint, settings)
    held = count_parameters(tensors, settings)
    if held is None:  # no quantisation packs more than one value into a bit
        held = 8 * sum(tensor.num_bytes for tensor in tensors)
    if described > 1.1 * held:
        raise WeightsError(
            f"config.json of {checkpoint.name} describes {described / 1e6:.1f} million parameters, "
            f"and its weights hold {held / 1e6:.1f} million",
            expected="the weights and the config.json of one checkpoint",
            hint="the config.json that was published with these weights; transformers fills "
            "missing entries with its own defaults",
        )


def count_described(checkpoint: Checkpoint, settings: Settings) -> int:
    """The number of parameters that config.json describes, without a tied output layer.

    The model is built on the "meta" device, without memory; that takes a second for the largest.

    Raises:
        CheckpointError: no model can be built from config.json.
    """
    model_class = model_class_of(settings)
    try:
        config = model_class.config_class.from_pretrained(checkpoint.folder, local_files_only=True)
        config._attn_implementation = PLAIN  # it may name a kernel, which would be fetched and run
        with torch.device("meta"):
            parameters = dict(model_class(config).named_parameters())
    except Exception as error:  # any entry may be wrong in any way
        reason = str(error).partition("\nException raised")[0]  # frames of C++ follow
        raise CheckpointError(
            f"config.json of {checkpoint.name} cannot be used ({type(error).__name__}: {reason})",
            expected="the file as it was published",
        ) from error
    if getattr(config, "tie_word_embeddings", False):
        parameters.pop("lm_head.weight", None)
    return sum(parameter.numel() for parameter in parameters.values())


def check_complete(checkpoint: Checkpoint, load_plan: LoadPlan, found: Mapping[str, Any]) -> None:
    """Check that weights are complete: transformers fills gaps with random numbers.

    Weights of additional layers are refused as well, because answers would be computed without
    them. A quantised checkpoint may have additional scales that only some programs use.

    Args:
        checkpoint: the checkpoint, for messages.
        load_plan: the plan by which it was loaded.
        found: the report of `from_pretrained` with `output_loading_info`.

    Raises:
        WeightsError: weights are missing, have another shape, or belong to additional layers.
    """
    gaps = sorted([*found.get("missing_keys", ()), *_mismatches(found)])
    beyond = sorted(filter(_LAYER.search, found.get("unexpected_keys", ())))
    if gaps:
        left = sorted(found.get("unexpected_keys", ()))
        others = f"; {len(left)} others have no place in it, {left[0]!r} first" if left else ""
        raise WeightsError(
            f"{len(gaps)} weights of {checkpoint.name} are missing or of another shape, "
            f"{gaps[0]} first{others}",
            expected="all weights that config.json describes",
            hint="download the checkpoint again; if it was saved by another program, save it again "
            "by save_pretrained of transformers",
        )
    if beyond and load_plan.stored is None:
        raise WeightsError(
            f"{len(beyond)} weights of {checkpoint.name} belong to layers that config.json does "
            f"not describe, {beyond[0]!r} first",
            expected="the weights and the config.json of one checkpoint",
            hint="download the checkpoint again",
        )


def _mismatches(found: Mapping[str, Any]) -> Iterator[str]:
    for name, stored, described in found.get("mismatched_keys", ()):
        yield f"{name} of shape {tuple(stored)} where config.json says {tuple(described)}"


def check_not_offloaded(model: Any) -> None:
    """Check that accelerate has left no part of the model on the processor or the disk.

    It does so if a part finds no room by its own arithmetic.

    Raises:
        PlacementError: a part is not on an accelerator.
    """
    homes = getattr(model, "hf_device_map", None) or {}
    left = [name for name, home in homes.items() if str(home) in ("cpu", "disk")]
    if left and len(left) < len(homes):
        raise PlacementError(
            f"{len(left)} parts of the model found no room on the accelerators, {left[0]!r} first",
            hint="quantization='4bit', a smaller checkpoint, or more or larger devices",
        )


def model_class_of(settings: Settings) -> Any:
    """The class of transformers that runs a checkpoint."""
    return getattr(transformers, settings.family.model_class)
