"""The network of a training: one of its own, never that of a chat, with the weights that learn."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from qwenvl_kit.backends.local.loading.network import load_network
from qwenvl_kit.backends.local.lora.adapters import check_peft
from qwenvl_kit.errors import TrainingError
from qwenvl_kit.training.loop.method import PARTS, FullTraining, LoRA, Method, Part, part_of

if TYPE_CHECKING:
    from qwenvl_kit.checkpoints.download import Checkpoint
    from qwenvl_kit.checkpoints.settings import Settings


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with weights that learn.

    Attributes:
        model: the model that is trained: one of peft, or one of transformers.
        base: the model of transformers within it.
        parts: for each part that learns its weights.
        facts: sentences about how it was loaded.
    """

    model: Any
    base: Any
    parts: Mapping[Part, tuple[torch.nn.Parameter, ...]]
    facts: Mapping[str, str]

    @property
    def num_trained(self) -> int:
        """The number of weights that learn."""
        return sum(parameter.numel() for held in self.parts.values() for parameter in held)

    @property
    def sees_frozen(self) -> bool:
        """True if nothing learns that visual tokens come from."""
        return not {"vision", "projector"} & {*self.parts}


def load_trained_network(
    checkpoint: Checkpoint,
    settings: Settings,
    method: Method,
    *,
    dtype: str | torch.dtype,
    device: str | torch.device,
    quantization: str | None,
    attention: str,
    checkpointing: bool | None,
    offline: bool,
    seed: int,
) -> TrainedNetwork:
    """Load a checkpoint and make some of its weights learn.

    Args:
        checkpoint: the checkpoint.
        settings: its config.json.
        method: says which weights learn.
        dtype: the dtype of weights that do not learn; "auto" takes fp32 on a processor.
        device: the device.
        quantization: "4bit" for weights in NF4 (QLoRA), which cannot learn themselves; or None.
        attention: the implementation of attention.
        checkpointing: True to compute activations twice rather than keep them; None to do so on
            accelerators.
        offline: True if nothing may be fetched.
        seed: the seed of new weights.

    Raises:
        TrainingError: the method does not suit the model.
        ModelLoadError: of the most specific kind.
    """
    if str(dtype).removeprefix("torch.") in ("float16", "fp16", "half"):
        raise TrainingError(
            f"dtype={str(dtype)!r} was given, in which small gradients become 0",
            expected="'bfloat16', 'float32' or 'auto'",
        )
    if isinstance(method, LoRA):
        check_peft()
    elif quantization is not None:
        raise TrainingError(
            f"quantization={quantization!r} was given, and quantised weights cannot learn",
            expected="LoRA(...), whose matrices learn beside them",
        )
    network = load_network(
        checkpoint,
        settings,
        dtype=_dtype(dtype, device, method),
        device=device,
        quantization=quantization,
        attention=attention,
        offline=offline,
        is_served=False,
    )
    base = network.model
    base.config.get_text_config().use_cache = False
    if checkpointing or (checkpointing is None and base.device.type != "cpu"):
        _compute_twice(base)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = _with_lora(base, method) if isinstance(method, LoRA) else _thawed(base, method)
    parts = _parts(model)
    missing = [part for part in method.parts if part not in parts]
    if missing:
        raise TrainingError(
            f"the part {missing[0]!r} of {checkpoint.name} has no layers that could learn",
            expected=f"some of {', '.join(parts) or 'no part'}",
        )
    return TrainedNetwork(model, base, parts, network.facts)


def _dtype(
    dtype: str | torch.dtype, device: str | torch.device, method: Method
) -> str | torch.dtype:
    """The dtype of the weights: whole ones learn in fp32, since bf16 swallows small steps."""
    if dtype != "auto":
        return dtype
    accelerates = torch.accelerator.is_available() and torch.device(
        "cuda" if device == "auto" else device
    ).type not in ("cpu",)
    return "float32" if isinstance(method, FullTraining) or not accelerates else "auto"


def _compute_twice(model: Any) -> None:
    """Have activations computed again for the gradients, under the name that torch's users know."""
    kwargs = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=kwargs)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=kwargs)


def _thawed(model: Any, method: FullTraining) -> Any:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in method.parts and parameter.is_floating_point())
    return model


def _with_lora(model: Any, method: LoRA) -> Any:
    """Wrap a model by peft. Layers are named in full: short names match the vision encoder, too."""
    from peft import LoraConfig, get_peft_model

    experts = _experts(model, method)
    config = LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,  # a float is what peft computes with
        lora_dropout=method.dropout,
        use_dora=method.dora,
        target_modules=list(_linear_layers(model, method)),
        **({"target_parameters": experts} if experts else {}),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it asks transformers for an old attribute
        wrapped = get_peft_model(model, config)
    for name, parameter in wrapped.named_parameters():
        if parameter.requires_grad and "lora_" not in name:  # nothing else is saved with it
            raise TrainingError(f"{name} would learn, which an adapter does not hold")
    # No embedding learns. If peft were to find that out, it would ask the hub at each save.
    wrapped.save_pretrained = partial(wrapped.save_pretrained, save_embedding_layers=False)
    return wrapped


def _linear_layers(model: Any, method: LoRA) -> Iterator[str]:
    """The full names of the linear layers of some parts, without the output layer."""
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        is_layer = isinstance(module, torch.nn.Linear) and module is not head
        if is_layer and part_of(name) in method.parts:
            yield name


def _experts(model: Any, method: LoRA) -> list[str]:
    """The full names of the fused experts' weights, if they are to learn.

    Raises:
        TrainingError: the model has none.
    """
    if not method.experts:
        return []
    names = [
        name
        for name, _ in model.named_parameters()
        if name.endswith((".experts.gate_up_proj", ".experts.down_proj"))
    ]
    if not names:
        raise TrainingError(
            "experts=True was given, and the model has no fused experts",
            expected="a mixture of experts, such as Qwen3-VL-30B-A3B",
        )
    return names


def _parts(model: Any) -> dict[Part, tuple[torch.nn.Parameter, ...]]:
    """The weights that learn, by their part; those of no part are left out."""
    held: dict[Part, list[torch.nn.Parameter]] = {part: [] for part in PARTS}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            held[part_of(name)].append(parameter)
    return {part: tuple(parameters) for part, parameters in held.items() if parameters}


@contextmanager
def own_random_numbers() -> Iterator[None]:
    """Give the caller's random numbers back after a training, which seeds them all."""
    import random

    import numpy

    python, arrays = random.getstate(), numpy.random.get_state()  # the Trainer's
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        numpy.random.set_state(arrays)
