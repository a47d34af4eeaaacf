"""Inspection of a checkpoint: family, size and requirements, from small files and headers alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from qwenvl_kit.checkpoints.completeness import check_layout, check_settings_files, check_weights
from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.foreign_formats import fault_of, names_in
from qwenvl_kit.checkpoints.memory import (
    count_parameters,
    possible_precisions,
    predict_weight_bytes,
)
from qwenvl_kit.checkpoints.notes import notes_on
from qwenvl_kit.checkpoints.output_heads import with_own_head
from qwenvl_kit.checkpoints.packages import install_command, lacking, requirements_of
from qwenvl_kit.checkpoints.quantization import (
    CURES,
    missing_packages,
    stored_quantization,
)
from qwenvl_kit.checkpoints.required_files import missing_files
from qwenvl_kit.checkpoints.settings import Settings, read_settings
from qwenvl_kit.checkpoints.sources import Source, find_checkpoint
from qwenvl_kit.checkpoints.weights import (
    TensorInfo,
    absent_weights,
    pickled_weights,
    read_tensors,
)
from qwenvl_kit.display.blocks import preformatted
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import short_repr
from qwenvl_kit.errors import CheckpointError, UnsafeWeightsError
from qwenvl_kit.hardware import as_gigabytes
from qwenvl_kit.safe_text import plain


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The result of `inspect`; `str` gives it as a table. Values that are not known are None.

    Attributes:
        name: the name that was given.
        origin: "folder", "huggingface" or "modelscope".
        revision: commit; None for a folder.
        family: model type, such as "qwen3_vl".
        is_mixture_of_experts: True if each token passes through a few of many experts.
        num_parameters: number of parameters of the model.
        disk_bytes: size of the tensors in the files.
        weight_bytes: size of the weights in memory, by each precision in which the checkpoint can
            be loaded; "stored" is as they are in the files. Empty if the weights are not known.
        context_tokens: most tokens of prompt and answer together.
        quantized_as: quantisation of the published checkpoint, such as "gptq"; None if it has none.
        missing: sentences on things that this machine or the checkpoint lacks, each with its cure.
            Too little memory is not among them.
        notes: sentences on oddities that do not prevent loading.
    """

    name: str
    origin: str
    revision: str | None
    family: str
    is_mixture_of_experts: bool
    num_parameters: int | None
    disk_bytes: int | None
    weight_bytes: Mapping[str, int] = field(hash=False)
    context_tokens: int | None
    quantized_as: str | None
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return a table, with missing things and notes below it."""
        sizes = {f"in memory, {name}": size for name, size in self.weight_bytes.items()}
        rows = {
            "family": self.family + (", mixture of experts" if self.is_mixture_of_experts else ""),
            "quantised": self.quantized_as or "no",
            "parameters": _number(self.num_parameters),
            "context": _tokens(self.context_tokens),
            **_aligned({"on disk": self.disk_bytes, **sizes}),
        }
        width = max(map(len, rows))
        table = [f"  {title:<{width}}  {value}" for title, value in rows.items()]
        lacking = [f"  missing: {sentence}" for sentence in self.missing]
        notes = [f"  note: {sentence}" for sentence in self.notes]
        return "\n".join(map(plain, (self.name, *table, *lacking, *notes)))

    def __repr__(self) -> str:
        return short_repr(
            "Inspection",
            self.name,
            family=self.family,
            parameters=self.num_parameters,
            missing=len(self.missing),
            notes=len(self.notes) or None,
        )

    def _repr_html_(self) -> str:
        return framed(preformatted(str(self)))


def inspect(
    model: str | os.PathLike[str],
    *,
    source: Source = "huggingface",
    revision: str | None = None,
    offline: bool = False,
) -> Inspection:
    """Look at a checkpoint without loading it.

    It reads the small files and the headers of the weights: for a folder in milliseconds. From a
    hub it fetches the small files alone, not the weights. `print` the result.

    Args:
        model: a folder, or the id of a repository, such as "Qwen/Qwen3-VL-8B-Instruct".
        source: the hub, "huggingface" or "modelscope".
        revision: branch, tag or commit; None is the main branch.
        offline: True to open no connection.

    Raises:
        ModelNotFoundError: there is no such folder, repository or revision.
        ModelForbiddenError: the hub refuses the checkpoint to this user.
        DownloadError: the small files cannot be fetched.
        UnknownFamilyError: it is not a Qwen vision-language model that the kit knows.
        CheckpointError: a small file is missing or damaged.
        WeightsError: the weights or their index are damaged.
    """
    checkpoint = find_checkpoint(model, source=source, revision=revision, offline=offline)
    settings = read_settings(checkpoint.folder)
    check_settings_files(checkpoint.folder)
    tensors = _find_tensors(checkpoint, offline)
    settings = with_own_head(checkpoint.folder, tensors or (), settings)
    stored = stored_quantization(settings)
    return Inspection(
        name=checkpoint.name,
        origin=checkpoint.origin,
        revision=checkpoint.revision,
        family=settings.family.model_type,
        is_mixture_of_experts=settings.family.is_mixture_of_experts,
        num_parameters=None if tensors is None else count_parameters(tensors, settings),
        disk_bytes=None if tensors is None else sum(tensor.num_bytes for tensor in tensors),
        weight_bytes=_weight_bytes(tensors, settings),
        context_tokens=settings.context_tokens,
        quantized_as=None if stored is None else str(stored),
        missing=(
            *_lacking_packages(settings),
            *(
                _lacking_file(checkpoint.folder, what)
                for what in missing_files(checkpoint.folder, settings.family)
            ),
            *_lacking_weights(checkpoint),
            *_faults(checkpoint, settings, tensors),
        ),
        notes=(*notes_on(checkpoint.folder, settings, tensors), *_unsaid(settings)),
    )


def _find_tensors(checkpoint: Checkpoint, offline: bool) -> tuple[TensorInfo, ...] | None:
    if not absent_weights(checkpoint.folder):
        return read_tensors(checkpoint.folder)
    if checkpoint.origin == "folder":
        return None
    from qwenvl_kit.checkpoints.tensors import known_tensors  # the hub's client is slow to import

    try:
        return known_tensors(checkpoint, offline=offline)
    except UnsafeWeightsError:  # as for a folder, `missing` tells it
        return None


def _weight_bytes(tensors: tuple[TensorInfo, ...] | None, settings: Settings) -> Mapping[str, int]:
    precisions = () if tensors is None else possible_precisions(settings)
    return {name: predict_weight_bytes(tensors or (), settings, name) for name in precisions}


def _lacking_packages(settings: Settings) -> Iterator[str]:
    old = lacking(requirements_of(settings.family))
    if old:
        yield f"{settings.family.model_type} needs {' and '.join(old)}: {install_command(old)}"
    stored = stored_quantization(settings)
    if stored is None:
        return
    if not stored.is_known:
        cure = CURES.get(stored.method, "another form of the model")
        yield f"the kit does not know how to run {stored}: take {cure}"
    elif missing_packages(stored):
        yield f"{stored} needs a package: {install_command(missing_packages(stored))}"


def _lacking_file(folder: Path, what: str) -> str:
    return f"{what}, is not in {folder}: copy it from where the checkpoint was published"


def _lacking_weights(checkpoint: Checkpoint) -> tuple[str, ...]:
    absent = absent_weights(checkpoint.folder)
    if not absent:
        return ()
    if checkpoint.origin == "folder":
        return (_lacking_in_folder(checkpoint.folder, absent[0]),)
    return ("the weights are not on this machine: loading it with a network fetches them",)


def _lacking_in_folder(folder: Path, first: str) -> str:
    pickled, fault = pickled_weights(folder), fault_of(names_in(folder), folder)
    absent = f"the weights ({first}) are not in {folder}"
    if fault is not None and not pickled:
        return f"{absent}, which holds {fault.what}. Try: {fault.cure}"
    others = f", only {pickled[0]}, which the kit never opens" if pickled else ""
    return f"{absent}{others}: copy them from where the checkpoint was published"


def _faults(
    checkpoint: Checkpoint, settings: Settings, tensors: tuple[TensorInfo, ...] | None
) -> Iterator[str]:
    """The errors that loading would raise, as sentences."""
    checks = (
        partial(check_layout, checkpoint, settings),
        partial(check_weights, checkpoint, settings, tensors or ()),
    )
    for check in checks:
        try:
            check()
        except CheckpointError as error:
            yield str(error)


def _unsaid(settings: Settings) -> Iterator[str]:
    """A note on sizes that config.json does not tell, for which transformers takes its defaults."""
    sizes = ("hidden_size", "num_hidden_layers", "vocab_size")
    absent = [name for name in sizes if name not in settings.text]
    if absent:
        yield (
            f"config.json does not say {', '.join(absent)} of the language model: transformers "
            "takes its own defaults, and loading shows if they fit"
        )


def _number(count: int | None) -> str:
    if count is None:
        return "not known"
    return f"{count / 1e9:.1f} billion" if count >= 1e8 else f"{count / 1e6:.1f} million"


def _tokens(count: int | None) -> str:
    return "not known" if count is None else f"{count:,} tokens"


def _aligned(sizes: Mapping[str, int | None]) -> Mapping[str, str]:
    """Sizes as text of equal width, aligned at the decimal point."""
    texts = {title: _size(num_bytes) for title, num_bytes in sizes.items()}
    width = max(map(len, texts.values()))
    return {title: text.rjust(width) for title, text in texts.items()}


def _size(num_bytes: int | None) -> str:
    return "not known" if num_bytes is None else as_gigabytes(num_bytes)
