"""The choice of static decode: decode steps with fixed shapes, as CUDA graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from qwenvl_kit.backends.local.cache.kv_cache import is_croppable
from qwenvl_kit.backends.local.loading.attention import PLAIN
from qwenvl_kit.errors import ModelLoadError


@dataclass(frozen=True)
class CudaGraphs:
    """The decision to decode with fixed shapes or not, and its reason.

    Attributes:
        is_on: True to decode with fixed shapes: as CUDA graphs on a CUDA device, and without
            graphs on a processor.
        reason: the reason, in words.
    """

    is_on: bool
    reason: str

    @classmethod
    def choose(
        cls, cuda_graphs: bool | Literal["auto"], model: Any, *, is_changed: bool
    ) -> CudaGraphs:
        """Decide by the argument `cuda_graphs` and a loaded model.

        Args:
            cuda_graphs: the argument.
            model: the model of transformers.
            is_changed: True for a model that is quantised or compiled, whose kernels may wait for
                the device.

        Raises:
            ModelLoadError: True was given for a model that cannot decode so.
        """
        if cuda_graphs is False:
            return cls(False, "as asked")
        obstacle = _obstacle(model)
        if cuda_graphs is True:
            if obstacle:
                raise ModelLoadError(
                    f"cuda_graphs=True was given, and {obstacle}",
                    expected="full attention by 'sdpa', whole on one CUDA device or the processor",
                    hint="cuda_graphs='auto'",
                )
            is_cuda = model.device.type == "cuda"
            return cls(True, "as asked" if is_cuda else "as asked: fixed shapes, without graphs")
        if model.device.type != "cuda":
            return cls(False, f"there are none on {model.device.type}")
        if obstacle or is_changed:
            return cls(False, obstacle or "quantised or compiled layers may wait for the device")
        return cls(True, "on a CUDA device, where launching a step takes longer than a small step")

    def describe(self) -> str:
        """The decision and its reason, for the report."""
        return f"{'on' if self.is_on else 'off'} ({self.reason})"


def check_cuda_graphs(cuda_graphs: object) -> None:
    """Check the argument `cuda_graphs`, before anything is loaded.

    Raises:
        ModelLoadError: it is not a known value.
    """
    if cuda_graphs != "auto" and not isinstance(cuda_graphs, bool):
        raise ModelLoadError(
            f"cuda_graphs={cuda_graphs!r} was given", expected="'auto', True or False"
        )


def _obstacle(model: Any) -> str:
    """The reason why a model cannot decode with fixed shapes, in words; empty if it can."""
    if not is_croppable(model):
        return "its layers have states that padding would change"
    if len(set(getattr(model, "hf_device_map", {}).values())) > 1:
        return "it lies on several devices"
    if model.device.type not in ("cuda", "cpu"):
        return f"it lies on {model.device.type}"
    attention = model.config.get_text_config()._attn_implementation
    if attention != PLAIN:
        return f"its attention is {attention}, which takes no mask of fixed shape"
    return ""
