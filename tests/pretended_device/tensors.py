"""Pretended tensors: values on the processor that say they lie on a device."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.pretended_device.graphs import PretendedEvent, PretendedGraph
from tests.pretended_device.refusals import (
    COPIES,
    INDEXING,
    PRODUCTS,
    check_devices,
    check_numbers,
)
from tests.pretended_device.traffic import note_copy, note_product, note_upload, note_wait

_ATEN = torch.ops.aten
_CPU = torch.device("cpu")

_WHOLE = frozenset({_ATEN.scaled_dot_product_attention.default})
"""Operations that are run as a whole, so that their kernel is the processor's."""

_WAITING = frozenset(
    {
        *(_ATEN._local_scalar_dense.default, _ATEN.nonzero.default, _ATEN.masked_select.default),
        *(_ATEN.equal.default, _ATEN._unique2.default, _ATEN.unique_consecutive.default),
        *(_ATEN.unique_dim.default, _ATEN.repeat_interleave.Tensor, _ATEN.bincount.default),
    }
)
"""Operations whose result the host must know, so that it waits."""


_UNPINNED = {"pin_memory": False}
"""Memory of the processor is pinned for a real device alone."""


class Settings:
    """The settings of all pretended devices.

    Attributes:
        has_fp64: False to refuse fp64 as Apple's devices do.
    """

    has_fp64 = True


class PretendedTensor(torch.Tensor):
    """A tensor that says that it lies on a device; `values` holds its values."""

    values: torch.Tensor

    @staticmethod
    def __new__(cls, values: torch.Tensor, device: torch.device) -> PretendedTensor:
        made: PretendedTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=device,
            requires_grad=False,
        )
        made.values = values
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operation: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(operation, args, kwargs or {})

    def data_ptr(self) -> int:
        """The address of the values."""
        return self.values.data_ptr()

    def tolist(self) -> Any:
        """The values as a list; it waits for the device."""
        note_wait("a list of values")
        return self.values.tolist()

    def numpy(self, **_: Any) -> Any:
        """Refused, as the processor cannot read the memory of a device."""
        raise TypeError(f"can't convert {self.device} device type tensor to numpy")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def __repr__(self, **_: Any) -> str:
        return f"PretendedTensor({self.values!r}, device={self.device})"

    def __deepcopy__(self, _: Any) -> PretendedTensor:
        return PretendedTensor(self.values.clone(), self.device)


class PretendedDevices(TorchDispatchMode):
    """Runs each operation of a thread, so that new tensors of a device are pretended ones."""

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return run(operation, args, kwargs or {})


def run(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run an operation on the values, if a device would take it.

    Args:
        operation: the operation of ATen.
        args: its positional arguments.
        kwargs: its other arguments.

    Raises:
        WrongDeviceError, RuntimeError, TypeError: a device would refuse it.
    """
    if _is_composite(operation):
        with PretendedDevices():
            found = operation.decompose(*args, **kwargs)
        if found is not NotImplemented:
            return found
    tensors = list(_tensors_in((*args, *kwargs.values())))
    pretended = [each for each in tensors if isinstance(each, PretendedTensor)]
    home = _home(operation, args, kwargs.get("device"), tensors, pretended)
    if not pretended and home.type in ("cpu", "meta"):
        return operation(*args, **{**kwargs, **_UNPINNED} if "pin_memory" in kwargs else kwargs)
    check_devices(operation, args, tensors)
    _note(operation, args, kwargs, home, pretended)
    values = _each(args, _values_of)
    options = {name: _each(value, _values_of) for name, value in kwargs.items()}
    if "device" in options:
        options["device"] = home if home.type == "meta" else _CPU
    options.pop("pin_memory", None)
    results = _computed(operation, values, options)
    if home.type in ("cpu", "meta"):
        return results
    check_numbers(
        operation,
        pretended,
        list(_tensors_in((results,))),
        fp64=Settings.has_fp64,
    )
    return _wrapped(results, home, tensors, pretended, is_view=operation.is_view)


def _computed(operation: Any, values: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """What an operation gives; some take more dtypes on a GPU than on the processor."""
    if operation is _ATEN.histc.default and not values[0].is_floating_point():
        counted: torch.Tensor = operation(values[0].float(), *values[1:], **options)
        return counted.to(values[0].dtype)
    return operation(*values, **options)


def _home(
    operation: Any,
    args: Sequence[Any],
    wanted: Any,
    tensors: Sequence[torch.Tensor],
    pretended: Sequence[PretendedTensor],
) -> torch.device:
    """The device of the result of an operation."""
    if wanted is not None:
        return numbered(wanted)
    if operation in COPIES or operation in INDEXING:
        return args[0].device  # type: ignore[no-any-return]
    if pretended:
        return pretended[0].device
    return tensors[0].device if tensors else _CPU


def numbered(device: Any) -> torch.device:
    """A device with its number."""
    found = torch.device(device)
    return torch.device(found.type, 0) if found.type == "cuda" and found.index is None else found


def _note(
    operation: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    home: torch.device,
    pretended: Sequence[torch.Tensor],
) -> None:
    """Note the traffic of an operation."""
    if operation in COPIES:
        source = args[1].device if operation is not _ATEN._to_copy.default else args[0].device
        is_blocking = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
        if args[0].numel():
            _note_copy(source, home, is_blocking=is_blocking)
    elif operation in INDEXING and home.type != "cpu":
        for index in args[1]:
            if index is not None and index.device.type == "cpu":
                note_upload(f"an index of {operation}", is_blocking=True)
            if index is not None and index.dtype in (torch.bool, torch.uint8):
                note_wait(f"{operation} with a mask")
    elif operation in _WAITING and pretended:
        note_wait(str(operation))
    elif operation in PRODUCTS and pretended:
        note_product()


def _note_copy(source: torch.device, home: torch.device, *, is_blocking: bool) -> None:
    if source == home or "meta" in (source.type, home.type):
        return
    if home.type == "cpu":
        note_wait("a copy to the host")
    elif source.type == "cpu":
        note_upload("an upload", is_blocking=is_blocking)
    else:
        note_copy(f"a copy from {source} to {home}")


def _values_of(each: Any) -> Any:
    return each.values if isinstance(each, PretendedTensor) else each


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value of an operation with all that its lists hold changed; quicker than torch's pytree."""
    if isinstance(value, (list, tuple)):
        return type(value)([_each(part, change) for part in value])
    return change(value)


def _tensors_in(values: Sequence[Any]) -> Iterator[torch.Tensor]:
    """All tensors among some values and their lists."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors_in(value)


def _wrapped(
    results: Any,
    home: torch.device,
    tensors: Sequence[torch.Tensor],
    pretended: Sequence[PretendedTensor],
    *,
    is_view: bool,
) -> Any:
    """The results as pretended tensors; those that were written to in place as they are."""
    known = {id(each.values): each for each in pretended}

    def wrapped(each: Any) -> Any:
        if not isinstance(each, torch.Tensor) or any(each is tensor for tensor in tensors):
            return each
        if id(each) in known:
            same = known[id(each)]
            if same.shape != each.shape:
                raise NotImplementedError("a pretended tensor cannot change its shape in place")
            return same
        # A view of what is no inference tensor, such as a weight, is none either.
        if is_view and pretended and not pretended[0].is_inference():
            with torch.inference_mode(False):
                return PretendedTensor(each, home)
        return PretendedTensor(each, home)

    return _each(results, wrapped)


_COMPOSITE: dict[Any, bool] = {}


def _is_composite(operation: Any) -> bool:
    """True for an operation that is made of others, which inference mode hands on whole."""
    if operation not in _COMPOSITE:
        _COMPOSITE[operation] = (
            operation not in _WHOLE
            and torch._C._dispatch_has_kernel_for_dispatch_key(
                operation.name(), "CompositeImplicitAutograd"
            )
        )
    return _COMPOSITE[operation]


_MAKE_TENSOR = torch.tensor


def _tensor(data: Any, *, device: Any = None, **options: Any) -> torch.Tensor:
    """`torch.tensor`, which would ask a driver for a device: made on the processor and copied."""
    if isinstance(data, (list, tuple)):
        data = _each(data, lambda each: each.item() if isinstance(each, torch.Tensor) else each)
    made = _MAKE_TENSOR(data, **options)
    return made if device is None else made.to(device)


@contextmanager
def pretended_devices(*, count: int = 1, free_bytes: int = 10**9) -> Iterator[None]:
    """Have this process see devices that are not there.

    Args:
        count: the number of devices.
        free_bytes: the free memory of each.
    """
    from qwenvl_kit.backends.local import devices
    from qwenvl_kit.backends.local.engine import static_decode

    torch._C._ensureCUDADeviceGuardSet()  # as FakeTensorMode does: a guard that does nothing
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # as `.data = ` is not seen
    original = threading.Thread.run

    def run_pretending(thread: threading.Thread) -> None:
        with PretendedDevices():
            original(thread)

    room = (2**33, 2**33)  # for transformers, which warms up the allocator
    patches = (
        patch.object(threading.Thread, "run", run_pretending),
        patch.object(torch, "tensor", _tensor),
        patch.object(torch.cuda, "_lazy_init", lambda: None),
        patch.object(torch.cuda, "is_available", lambda: True),
        patch.object(torch.cuda, "device_count", lambda: count),
        patch.object(torch.cuda, "current_device", lambda: 0),
        patch.object(torch.cuda, "mem_get_info", lambda *_: room),
        patch.object(torch.cuda, "memory_reserved", lambda *_: 0),
        patch.object(torch.cuda, "memory_allocated", lambda *_: 0),
        patch.object(torch.cuda, "empty_cache", lambda: None),
        patch.object(torch.cuda, "Event", PretendedEvent),
        patch.object(static_decode, "StepGraph", PretendedGraph),
        patch.object(torch.cuda, "get_device_capability", lambda *_: (8, 0)),
        patch.object(torch.accelerator, "is_available", lambda: True),
        patch.object(torch.accelerator, "current_accelerator", lambda *_: torch.device("cuda")),
        patch.object(torch.accelerator, "device_count", lambda: count),
        patch.object(devices, "read_free_bytes", lambda _: free_bytes),
    )
    with ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        stack.enter_context(PretendedDevices())
        yield
