"""NumPy arrays and torch tensors as pictures."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import MediaArrayError
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.grey import of_floats
from qwenvl_kit.media.scaling import NUMPY, TORCH, ArrayLibrary, scaling_code

if TYPE_CHECKING:
    import PIL.Image

_CHANNELS = (1, 3, 4)


def is_array(source: Any) -> bool:
    """True if the source is a NumPy array or torch tensor; imports neither."""
    return _is_instance(source, "numpy", "ndarray") or _is_instance(source, "torch", "Tensor")


def array_size(source: Any) -> Size:
    """Return the size of an array's picture, from its shape alone; see `array_to_image`.

    Raises:
        MediaArrayError: the axes are not those of a picture.
    """
    is_tensor = not _is_instance(source, "numpy", "ndarray")
    _check_axes(source, is_tensor)
    height_px, width_px = source.shape[-2:] if is_tensor else source.shape[:2]
    return Size(height_px=int(height_px), width_px=int(width_px))


def array_to_image(source: Any) -> PIL.Image.Image:
    """Return a picture from an array (H, W, C) or (H, W), or from a tensor (C, H, W) or (H, W).

    C is 1 (grey), 3 (red, green, blue, in that order) or 4 (with alpha). Values are uint8, or
    floats in [0, 1].

    Raises:
        MediaArrayError: wrong axes, a wrong type, or values that are not finite or out of range.
            Its hint is the code that corrects them.
    """
    import numpy
    import PIL.Image

    is_tensor = not isinstance(source, numpy.ndarray)
    _check_axes(source, is_tensor)
    if is_tensor:
        source = _tensor_to_array(source)
    if 0 in source.shape:
        # Pillow refuses to build an empty picture from an array, but an empty one exists.
        return PIL.Image.new("RGB", (int(source.shape[1]), int(source.shape[0])))
    return PIL.Image.fromarray(_to_uint8(source, TORCH if is_tensor else NUMPY))


def _to_uint8(array: Any, library: ArrayLibrary) -> Any:
    """Return uint8 values, (H, W) or (H, W, 3 or 4)."""
    import numpy

    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if numpy.ma.is_masked(array):  # values under the mask would be shown
        raise MediaArrayError(
            "an array with masked values was given",
            expected="values everywhere",
            hint="array.filled(0)",
        )
    if array.dtype == numpy.uint8:
        return numpy.ascontiguousarray(array)
    if array.dtype.kind != "f":
        raise MediaArrayError(
            f"values of type {array.dtype} were given",
            expected="uint8, or floats in [0, 1]",
            hint=scaling_code(array, library),
        )
    return of_floats(array, library)


def _tensor_to_array(tensor: Any) -> Any:
    try:
        tensor = tensor.detach().cpu()
        if tensor.dtype.is_floating_point:
            tensor = tensor.float()  # NumPy has no bfloat16
        array = tensor.numpy()
    except (RuntimeError, TypeError) as error:  # sparse, on the meta device, ...
        raise MediaArrayError(
            f"a tensor without plain values was given ({error})",
            expected="a dense tensor that holds its pixels",
        ) from error
    return array.transpose(1, 2, 0) if array.ndim == 3 else array


def _check_axes(source: Any, is_tensor: bool) -> None:
    has_axes = source.ndim in (2, 3)
    if not has_axes or (source.ndim == 3 and source.shape[0 if is_tensor else 2] not in _CHANNELS):
        raise _axes_error(source, is_tensor)


def _axes_error(source: Any, is_tensor: bool) -> MediaArrayError:
    kind, axes = ("a tensor", "(C, H, W)") if is_tensor else ("an array", "(H, W, C)")
    turned = source.ndim == 3 and source.shape[2 if is_tensor else 0] in _CHANNELS
    turn = "tensor.permute(2, 0, 1)" if is_tensor else "array.transpose(1, 2, 0)"
    if source.ndim == 4:
        hint = "one picture at a time; pass frames of a video as VideoPart([...], fps=...)"
    else:
        hint = turn if turned else ""
    return MediaArrayError(
        f"{kind} of shape {tuple(source.shape)} was given",
        expected=f"{axes} with C of 1, 3 or 4, or (H, W)",
        hint=hint,
    )


def _is_instance(source: Any, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(source, getattr(loaded, name, ()))
