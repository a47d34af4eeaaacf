"""The choice of an implementation of attention."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import torch

from qwenvl_kit.errors import MissingPackageError, ModelLoadError

FLASH = "flash_attention_2"
PLAIN = "sdpa"
_KNOWN = (PLAIN, "eager", FLASH, "flash_attention_3", "flex_attention")


@dataclass(frozen=True)
class Attention:
    """An implementation of attention, and the reason for it.

    Attributes:
        name: its name in transformers, such as "sdpa".
        reason: the reason for the choice.
        may_fall_back: True if another may take its place if it cannot be loaded.
    """

    name: str
    reason: str
    may_fall_back: bool = False


def choose_attention(attention: str, device: torch.device, dtype: torch.dtype) -> Attention:
    """Choose FlashAttention 2 where it works, and torch's own attention elsewhere.

    Args:
        attention: "auto", or the name of an implementation.
        device: the device of the model.
        dtype: the dtype of the model.

    Raises:
        MissingPackageError: FlashAttention was asked for and is not installed.
        ModelLoadError: it was asked for where it cannot run.
    """
    if attention not in ("auto", *_KNOWN):
        raise ModelLoadError(
            f"attention={attention!r} was given",
            expected=f"'auto', or one of {', '.join(_KNOWN)}; kernels of a hub are not fetched",
        )
    obstacle = _obstacle(device, dtype)
    if attention == "auto":
        if obstacle:
            return Attention(PLAIN, f"{FLASH} {obstacle}")
        return Attention(FLASH, "flash-attn is installed and runs here", may_fall_back=True)
    if attention == FLASH and obstacle:
        raise _refusal(obstacle)
    return Attention(attention, "as asked")


def plain_instead(error: BaseException) -> Attention:
    """Torch's own attention, in place of a FlashAttention that cannot be loaded."""
    return Attention(PLAIN, f"{FLASH} could not be loaded ({error})")


def _obstacle(device: torch.device, dtype: torch.dtype) -> str:
    """The reason why FlashAttention 2 cannot run; empty if none is known."""
    if device.type != "cuda":
        return f"needs a CUDA device, not {device.type}"
    if dtype not in (torch.float16, torch.bfloat16):
        return "computes in bf16 and fp16 alone"
    # Its README: Ampere, Ada or Hopper GPUs; older ones have the compute capability 7.5 or less.
    major, minor = torch.cuda.get_device_capability(device)
    if major < 8 and torch.version.hip is None:
        return f"needs compute capability 8.0, and {device} has {major}.{minor}"
    if find_spec("flash_attn") is None:
        return "is not installed"
    return ""


def _refusal(obstacle: str) -> ModelLoadError:
    problem = f"attention={FLASH!r} {obstacle}"
    if obstacle == "is not installed":
        return MissingPackageError(
            problem, hint="pip install flash-attn --no-build-isolation, or attention='sdpa'"
        )
    return ModelLoadError(problem, expected="attention='auto' or 'sdpa' here")
