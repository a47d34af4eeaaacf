"""The operations that a GPU refuses.

They are those with tensors of two devices, products of whole numbers, and fp64 where there is none.
The rules are those of ATen's checks for CUDA. A tensor of the processor without dimensions may
stand beside tensors of a device in operations that work value by value, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

_ATEN = torch.ops.aten

COPIES = frozenset({_ATEN._to_copy.default, _ATEN.copy_.default, _ATEN.copy.default})
"""Operations whose tensors may lie on different devices."""

INDEXING = frozenset(
    {
        *(_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default),
        _ATEN._index_put_impl_.default,
    }
)
"""Operations that take indices from the processor as well, and copy them."""

PRODUCTS = frozenset(
    {
        *(_ATEN.mm.default, _ATEN.bmm.default, _ATEN.addmm.default, _ATEN.baddbmm.default),
        *(_ATEN.mv.default, _ATEN.dot.default),
    }
)
"""Matrix products, which a GPU computes for floating point alone."""

_FILLING = ("fill", "where")
"""Parts of the names of operations that take one value from the processor."""

_FP64 = (torch.float64, torch.complex128)


class WrongDeviceError(RuntimeError):
    """A GPU would refuse an operation, because its tensors lie on several devices."""


def check_devices(operation: Any, args: Sequence[Any], tensors: Sequence[torch.Tensor]) -> None:
    """Check the devices of the tensors of an operation.

    Args:
        operation: the operation of ATen.
        args: its positional arguments.
        tensors: all tensors among its arguments.

    Raises:
        WrongDeviceError: CUDA would refuse them.
    """
    if operation in COPIES:
        return
    if operation in INDEXING:
        _check_indexing(operation, args)
        return
    homes = {tensor.device for tensor in tensors if not _is_host_number(tensor)}
    if len(homes) > 1:
        raise WrongDeviceError(
            f"{operation}: Expected all tensors to be on the same device, but found at least two "
            f"devices, {', '.join(sorted(map(str, homes)))}"
        )
    has_number = any(map(_is_host_number, tensors))
    is_away = any(home.type != "cpu" for home in homes)
    if has_number and is_away and not _takes_numbers(operation):
        raise WrongDeviceError(f"{operation}: a tensor of the processor among those of {homes}")


def check_numbers(
    operation: Any, tensors: Sequence[torch.Tensor], results: Sequence[torch.Tensor], *, fp64: bool
) -> None:
    """Check the dtypes of an operation on a device.

    Args:
        operation: the operation of ATen.
        tensors: the tensors of the device among its arguments.
        results: its results.
        fp64: False for a device without fp64, as Apple's.

    Raises:
        RuntimeError: CUDA would refuse them.
        TypeError: there is no fp64.
    """
    if operation in PRODUCTS and any(not tensor.is_floating_point() for tensor in tensors):
        raise RuntimeError(f'"{operation}" not implemented for {tensors[0].dtype}')
    if not fp64 and any(tensor.dtype in _FP64 for tensor in (*tensors, *results)):
        raise TypeError(f"{operation}: the device does not support float64, use float32 instead")


def _check_indexing(operation: Any, args: Sequence[Any]) -> None:
    home = args[0].device
    allowed = {home, torch.device("cpu")}
    if any(index.device not in allowed for index in args[1] if index is not None):
        raise WrongDeviceError(f"{operation}: indices should be on cpu or on {home}")
    value = args[2] if len(args) > 2 else None
    if value is not None and value.device != home and not _is_host_number(value):
        raise WrongDeviceError(f"{operation}: a value on {value.device} for a tensor on {home}")


def _is_host_number(tensor: torch.Tensor) -> bool:
    return tensor.ndim == 0 and tensor.device.type == "cpu"


def _takes_numbers(operation: Any) -> bool:
    is_filling = any(part in str(operation) for part in _FILLING)
    return is_filling or torch.Tag.pointwise in operation.tags
