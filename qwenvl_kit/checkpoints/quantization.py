"""Quantised checkpoints: the method of each, and the packages that run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.checkpoints.packages import lacking
from qwenvl_kit.checkpoints.settings import Settings

# Source: `validate_environment` of each file in transformers/quantizers, and the minimum versions
# in utils/import_utils.py; the same in 5.18 and 5.23. accelerate is a dependency of the kit.
# bitsandbytes below 0.49 loads 8-bit weights that it has saved itself wrongly on a processor.
PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gptq": ("gptqmodel>=1.4.3", "optimum>=1.24.0"),
        "awq": ("gptqmodel>=1.4.3",),
        "fp8": ("accelerate>=1.1.0",),
        "compressed-tensors": ("compressed-tensors>=0.15.0",),
        "bitsandbytes": ("bitsandbytes>=0.49.0",),
        "auto-round": ("auto-round>=0.5.0",),
        "hqq": ("hqq>=0.2.1",),
        "quanto": ("optimum-quanto",),
        "torchao": ("torchao>=0.15.0",),
    }
)
"""The packages that each quantisation method needs, in pip's form."""

MLX = "mlx"
UNNAMED = "a method that config.json does not name"

CURES: Mapping[str, str] = MappingProxyType(
    {
        MLX: "the safetensors checkpoint that it was made from: MLX runs on Apple's machines",
        "modelopt": "the checkpoint that it was made from, or vLLM, which runs what NVIDIA's "
        "ModelOpt quantises: serve it and use VisionChat.connect",
        "gguf": "the safetensors checkpoint that it was made from",
    }
)
"""The checkpoints to take in place of methods that transformers does not run."""


@dataclass(frozen=True)
class StoredQuantization:
    """The quantisation of a published checkpoint.

    Attributes:
        method: the `quant_method` of its config.json.
        bits: bits of one quantised weight; None if config.json does not tell.
        packages: packages that are needed to run it, in pip's form; empty if the kit does not know
            the method.
    """

    method: str
    bits: int | None
    packages: tuple[str, ...]

    def __str__(self) -> str:
        """Return the name of the method, such as 'gptq' or 'bitsandbytes 4-bit'."""
        shows_bits = self.method == "bitsandbytes" and self.bits is not None
        return f"{self.method} {self.bits}-bit" if shows_bits else self.method

    @property
    def is_known(self) -> bool:
        """True if the kit knows the packages that the method needs."""
        return self.method in PACKAGES

    @property
    def can_be_dequantized(self) -> bool:
        """True if it can be loaded in bfloat16 as well.

        transformers does that with FP8 if there is no GPU of compute capability 8.9, or if it is
        told to (`FineGrainedFP8Config(dequantize=True)`).
        """
        return self.method == "fp8"


def stored_quantization(settings: Settings) -> StoredQuantization | None:
    """Return the quantisation of a checkpoint; None if it is not quantised."""
    config = settings.quantization
    if not config:
        return None
    method = _method(config)
    if method == MLX:
        return StoredQuantization(MLX, _bits(method, config), ())
    return StoredQuantization(method, _bits(method, config), PACKAGES.get(method, ()))


def missing_packages(stored: StoredQuantization) -> tuple[str, ...]:
    """Return the packages that are missing or too old; nothing is imported."""
    return lacking(stored.packages)


def _method(config: Mapping[str, object]) -> str:
    # Old checkpoints of bitsandbytes do not name it (`AutoQuantizationConfig.from_dict`).
    if config.get("load_in_4bit") or config.get("load_in_8bit"):
        return "bitsandbytes"
    method = config.get("quant_method")
    if method is None and "group_size" in config and "bits" in config:
        return MLX  # it copies its own settings to where transformers looks for others
    return UNNAMED if method is None else str(method)


def _bits(method: str, config: Mapping[str, object]) -> int | None:
    if method == "bitsandbytes":
        return 4 if config.get("load_in_4bit") else 8 if config.get("load_in_8bit") else None
    if method == "fp8":
        return 8
    if method == "compressed-tensors":
        return _bits_of_groups(config.get("config_groups"))
    bits = config.get("bits")
    return bits if isinstance(bits, int) else None


def _bits_of_groups(groups: object) -> int | None:
    """The bits of all groups of layers, if they are the same; else None."""
    found = {_bits_of_group(group) for group in groups.values()} if isinstance(groups, dict) else {}
    return next(iter(found)) if len(found) == 1 else None


def _bits_of_group(group: object) -> int | None:
    weights = group.get("weights") if isinstance(group, dict) else None
    bits = weights.get("num_bits") if isinstance(weights, dict) else None
    return bits if isinstance(bits, int) else None
