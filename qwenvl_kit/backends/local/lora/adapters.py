"""LoRA adapters of a loaded model: loading, switching, removing and merging them with peft.

If an adapter does not fit, peft warns at most. Here it must fit completely: its file has exactly
the names under which peft would save it, and it changes the model's logits.
"""

from __future__ import annotations

import copy
import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version

from qwenvl_kit.backends.local.error_mapping import is_out_of_memory
from qwenvl_kit.backends.local.lora.export import (
    check_exportable,
    merged_weights,
    write_checkpoint,
)
from qwenvl_kit.backends.local.lora.files import (
    EXPECTED,
    AdapterFiles,
    lora_config,
    read_adapter,
)
from qwenvl_kit.backends.local.packed.base import PackedLinear
from qwenvl_kit.checkpoints.trained_with import ModelIdentity, TrainedWith
from qwenvl_kit.errors import (
    AdapterError,
    MissingPackageError,
    ModelLoadError,
    OutdatedPackageError,
    OutOfMemoryError,
    QwenVLKitError,
)

_LOWEST_PEFT = "0.21"


@dataclass(frozen=True)
class _Merged:
    """An adapter that is part of the weights; `trained` is what it was trained with, if known."""

    trained: TrainedWith | None


class Adapters:
    """The LoRA adapters of one loaded model. At most one is active.

    Args:
        model: a model of transformers; it stays the same object, and its layers are wrapped.
        probe: returns the model's logits for one fixed input.
        paused: returns a context manager; no request runs within it. Adapters change only there.
        on_change: called after a change, within `paused`: earlier results are out of date.
        on_failure: called if a change failed half-way, so that the model cannot be used any more.
        identity: the identity of the checkpoint, which must be the one that an adapter was trained
            on; None compares nothing.
        folder: the folder of the checkpoint's files, which an export copies; None for none.
    """

    def __init__(
        self,
        model: Any,
        probe: Callable[[], torch.Tensor],
        paused: Callable[[], AbstractContextManager[object]],
        on_change: Callable[[], object] = lambda: None,
        on_failure: Callable[[], object] = lambda: None,
        *,
        identity: ModelIdentity | None = None,
        folder: Path | None = None,
    ) -> None:
        self._paused = paused
        self._model, self._probe, self._on_change = model, probe, on_change
        self._on_failure = on_failure
        self._identity, self._folder = identity, folder
        self._peft: Any = None
        self._keys: dict[str, str] = {}  # the names that peft knows, by those of the user
        self._trained: dict[str, TrainedWith | None] = {}
        self._merged: _Merged | None = None
        self._active: str | None = None
        self._numbers = itertools.count()

    @property
    def names(self) -> tuple[str, ...]:
        """The loaded adapters, in the order in which they were loaded."""
        return tuple(self._keys)

    @property
    def active(self) -> str | None:
        """The adapter that is in use; None if the base model answers."""
        return self._active

    def load(self, folder: str | os.PathLike[str], name: str | None = None) -> str:
        """Load an adapter and use it.

        Args:
            folder: the folder of adapter_config.json and adapter_model.safetensors.
            name: the name of the adapter; None takes the folder's name.

        Returns:
            The name of the adapter.

        Raises:
            AdapterError: it does not fit, was trained on another model or with another chat
                template, changes nothing, or its name is taken; the model is as before.
            UnsafeWeightsError: its weights are pickled.
            MissingPackageError: peft is not installed.
            OutOfMemoryError: the device has too little memory for it.
        """
        check_peft()
        with _translated(f"the adapter {str(folder)!r}"):
            files = read_adapter(folder)
            trained = TrainedWith.read(files.folder)
            if trained is not None and self._identity is not None:
                trained.check_model(self._identity)
                trained.warn_of_copies(self._identity)
            chosen = files.folder.name or "adapter" if name is None else name
            with self._changing():
                if not isinstance(chosen, str) or not chosen or chosen in self._keys:
                    expected = f"a name beside {self.names}, which are loaded"
                    raise AdapterError(f"name={name!r} was given", expected=expected)
                with _restored_on_failure(self, *(self._peft or self._model).modules()):
                    self._add(chosen, files)
                self._trained[chosen] = trained
        return chosen

    def use(self, name: str | None) -> None:
        """Switch to a loaded adapter, or with None back to the base model.

        Raises:
            AdapterError: no adapter of that name is loaded.
        """
        with self._changing():
            self._activate(name)

    def remove(self, name: str) -> None:
        """Remove a loaded adapter. If it was in use, the base model answers.

        Raises:
            AdapterError: no adapter of that name is loaded.
        """
        with self._changing():
            key = self._key_of(name)
            active = None if self._active == name else self._active
            del self._trained[name]
            if len(self._keys) == 1:
                self._peft.base_model.unload()
                self._forget_all()
            else:
                del self._keys[name]
                # If the active one went, peft would choose another and warn.
                self._peft.set_adapter(next(iter(self._keys.values())))
                self._peft.delete_adapter(key)
                self._activate(active)

    def merge(self) -> None:
        """Add the adapter in use to the model's weights for good, and remove the others.

        Raises:
            AdapterError: no adapter is in use, or this one cannot be merged. If merging fails
                half-way, the model is closed and must be loaded again.
        """
        with self._changing():
            if self._active is None:
                raise AdapterError("no adapter is in use", expected="a call of `use` before")
            key = self._keys[self._active]
            _check_mergeable(self._model, key)
            with self._closed_on_failure(), _translated(f"the adapter {self._active!r}"):
                self._peft.base_model.merge_and_unload(safe_merge=True, adapter_names=[key])
            self._merged = _Merged(self._trained[self._active])
            self._forget_all()

    def export(self, folder: Path) -> None:
        """Write the model with the adapter in use merged in as a checkpoint; it stays as it is.

        After `merge` the model itself is written. No request runs meanwhile, and the adapted layers
        are in memory once more.

        Args:
            folder: an empty folder.

        Raises:
            AdapterError: no adapter is in use or was merged, or the weights are packed or
                quantised.
            ModelLoadError: the checkpoint's files are not there any more.
            OSError, safetensors.SafetensorError: the disk refuses a file.
        """
        with self._stopped():
            check_exportable(self._model)
            key, trained = self._to_export()
            with _translated(f"the adapter {self._active!r}"):
                weights = merged_weights(self._model, key)
            if self._folder is None:
                raise AdapterError("the files of the model's checkpoint are not known")
            write_checkpoint(self._model, weights, self._folder, folder)
            if trained is not None:
                trained.write(folder)

    def _to_export(self) -> tuple[str | None, TrainedWith | None]:
        """The adapter in use by its name in peft, and what it was trained with."""
        if self._active is not None:
            key = self._keys[self._active]
            _check_mergeable(self._model, key)
            return key, self._trained[self._active]
        if self._merged is not None and not self._keys:
            return None, self._merged.trained
        raise AdapterError(
            "no adapter is in use, so that the export would be a copy of the checkpoint",
            expected=f"chat.adapters.use(...) with one of {self.names}"
            if self._keys
            else "an adapter: chat.adapters.load(folder), or from_pretrained(..., adapter=folder)",
        )

    def close(self) -> None:
        """Drop the references to the model; this waits for nothing."""
        self._model, self._peft, self._active, self._keys = None, None, None, {}
        self._probe, self._paused, self._on_change = _no_probe, nullcontext, _nothing

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        """Close the model if the block fails: some layers may be merged and others not."""
        try:
            yield
        except BaseException:
            self.close()
            self._on_failure()
            raise

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._stopped():
            yield
            self._on_change()

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        with self._paused(), torch.inference_mode(False), torch.no_grad():
            if self._model is None:
                raise ModelLoadError("the model was closed", hint="load it again")
            yield

    def _key_of(self, name: str) -> str:
        if name not in self._keys:
            raise AdapterError(f"no adapter {name!r} is loaded", expected=f"one of {self.names}")
        return self._keys[name]

    def _add(self, name: str, files: AdapterFiles) -> None:
        # peft looks for an adapter's name within the names of parameters: it must not hold a dot,
        # hold another's, or be a word of the model. So peft is never given the names of users.
        key = f"kit_adapter_{next(self._numbers)}_"
        config = lora_config(files, self._model)
        _check_whole_modules(config, self._model)
        self._activate(None)
        before, again = self._probe(), self._probe()
        self._inject(key, config)
        _fill(self._peft, key, files, str(self._model.name_or_path))
        self._keys[name] = key
        self._activate(name)
        _check_effect(before, again, self._probe())

    def _inject(self, key: str, config: Any) -> None:
        from peft import PeftModel

        # It draws weights that `_fill` replaces, and asks transformers for an old attribute.
        with torch.random.fork_rng(devices=()), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            if self._peft is None:
                self._peft = PeftModel(self._model, config, adapter_name=key)
            else:
                self._peft.add_adapter(key, config)
        self._peft.eval()

    def _activate(self, name: str | None) -> None:
        if name is not None:
            key = self._key_of(name)
            self._peft.base_model.enable_adapter_layers()
            self._peft.set_adapter(key)
        elif self._peft is not None:
            self._peft.base_model.disable_adapter_layers()
        for parameter in self._peft.parameters() if self._peft else ():
            parameter.requires_grad_(False)  # peft would train what it activates
        self._active = name

    def _forget_all(self) -> None:
        vars(self._model).pop("peft_config", None)
        self._peft, self._active, self._keys, self._trained = None, None, {}, {}


def _fill(peft_model: Any, key: str, files: AdapterFiles, base: str) -> None:
    """Copy the tensors of a file into the model.

    Raises:
        AdapterError: a tensor has no place in the model, or a place has no tensor in the file.
    """
    from peft import get_peft_model_state_dict

    # `state_dict()` would damage a model that bitsandbytes runs in 4 bits on a CPU.
    own = dict(peft_model.named_parameters(remove_duplicate=False))
    places = get_peft_model_state_dict(
        peft_model, {**own, **dict(peft_model.named_buffers())}, key, save_embedding_layers=False
    )
    given = files.tensors
    both = [n for n in places if n in given]
    # peft also saves an embedding that it adapts. A copy of the model's own embedding is no fault.
    repeated = {n for n in given.keys() & own if own[n].cpu().equal(given[n].to(own[n].dtype))}
    extra = [files.old_names[n] for n in given if n not in places and n not in repeated]
    _refuse(files, base, "have no place in the model", extra)
    _refuse(files, base, "are missing", [n for n in places if n not in given])
    _refuse(files, base, "differ in shape", [n for n in both if places[n].shape != given[n].shape])
    _refuse(files, base, "are for offloaded layers", [n for n in both if places[n].is_meta])
    for name in both:
        places[name].copy_(given[name])


def _refuse(files: AdapterFiles, base: str, fault: str, names: list[str]) -> None:
    if names:
        trained_on = files.settings.get("base_model_name_or_path") or "an unnamed model"
        raise AdapterError(
            f"{len(names)} weights of {files.folder} {fault}, {names[0]!r} first",
            expected=f"an adapter of {base or 'this model'}; this one is of {trained_on}",
            hint="the adapter and the base model of one family and size, layers named as here",
        )


def _check_effect(before: torch.Tensor, again: torch.Tensor, after: torch.Tensor) -> None:
    """Check that logits change by more than between two passes of the base model.

    Two passes give equal logits, except for kernels of a GPU that add in any order.

    Raises:
        AdapterError: the logits do not change, or are not numbers any more.
    """
    if bool(before.isfinite().all()) and not bool(after.isfinite().all()):
        raise AdapterError("with this adapter the model's logits are infinite or NaN")
    if bool((after - before).abs().max() <= (again - before).abs().max()):
        raise AdapterError(
            "the adapter changes nothing: all logits stay as they are",
            expected="trained weights; lora_B is zero before the first step of training",
        )


def _check_mergeable(model: Any, key: str) -> None:
    ends = model.get_input_embeddings(), model.get_output_embeddings()
    parts = [getattr(end, part, ()) for end in ends for part in ("lora_A", "lora_embedding_A")]
    states = [getattr(parameter, "quant_state", None) for parameter in model.parameters()]
    fault = ""
    if ends[0].weight is ends[1].weight and any(key in part for part in parts):
        fault = "it changes one of embedding and head, which are one weight in this model"
    if any(getattr(state, "packing_format_for_cpu", False) for state in states):
        fault = "bitsandbytes has packed the weights for this CPU, in a way that peft cannot read"
    if any(_is_packed(each) for each in model.modules() if key in getattr(each, "lora_A", ())):
        fault = "its layers are packed for this processor, without weights that could be changed"
    if fault:
        raise AdapterError(f"the adapter cannot be merged: {fault}", hint="use it unmerged")


def _is_packed(module: Any) -> bool:
    return isinstance(getattr(module, "base_layer", None), PackedLinear)


def _check_whole_modules(config: Any, model: Any) -> None:
    """Check that no packed layer is to be replaced: peft would pass over its weights in silence.

    Raises:
        AdapterError: one is.
    """
    whole = tuple(config.modules_to_save or ())
    for name, module in model.named_modules():
        layer = getattr(module, "base_layer", module)
        if isinstance(layer, PackedLinear) and name.endswith(whole):
            raise AdapterError(
                f"the adapter has weights of its own for {name}, which is packed for this "
                "processor",
                hint="leave out quantization, or merge the adapter into the checkpoint before",
            )


@contextmanager
def _restored_on_failure(*objects: Any) -> Iterator[None]:
    """Restore the attributes of some objects if the block fails."""
    held: list[Any] = [vars(thing) for thing in objects]
    held += [v for at in held for v in at.values() if isinstance(v, (dict, list, set))]
    copies = [copy.copy(container) for container in held]
    dicts = [container for container in held if isinstance(container, dict)]
    parameters = {v for at in dicts for v in at.values() if isinstance(v, torch.nn.Parameter)}
    trained = {parameter for parameter in parameters if parameter.requires_grad}
    try:
        yield
    except BaseException:
        for container, before in zip(held, copies):
            container.clear()
            (container.extend if isinstance(container, list) else container.update)(before)
        for parameter in parameters:
            parameter.requires_grad_(parameter in trained)
        raise


def _nothing() -> None:
    """Do nothing, in place of a callback of the closed model."""


def _no_probe() -> torch.Tensor:
    raise ModelLoadError("the model was closed", hint="load it again")


def check_adapter(folder: str | os.PathLike[str]) -> None:
    """Check the folder of an adapter before a model is loaded for it.

    Raises:
        AdapterError, UnsafeWeightsError, MissingPackageError: see `Adapters.load`.
    """
    check_peft()
    with _translated(f"the adapter {str(folder)!r}"):
        read_adapter(folder)


def check_peft() -> None:
    """Check the version of peft: older ones merge wrongly beside adapters with whole modules.

    Raises:
        MissingPackageError: peft is not installed; the message has the command that installs it.
        OutdatedPackageError: it is too old; likewise.
    """
    install = f'pip install --upgrade "peft>={_LOWEST_PEFT}"'
    try:
        found = version("peft")
    except PackageNotFoundError as error:
        raise MissingPackageError("adapters need peft", hint=install) from error
    if Version(found) < Version(_LOWEST_PEFT):
        raise OutdatedPackageError(f"peft {found} is installed", hint=install)


@contextmanager
def _translated(what: object) -> Iterator[None]:
    """Turn errors of peft and torch within the block into errors of the kit."""
    try:
        yield
    except QwenVLKitError:
        raise
    except Exception as error:  # peft raises whatever its parts raise
        if is_out_of_memory(error):
            raise OutOfMemoryError(f"there is no memory for {what} ({error})") from error
        fault = f"{what} cannot be used ({type(error).__name__}: {error})"
        raise AdapterError(fault, expected=EXPECTED) from error
