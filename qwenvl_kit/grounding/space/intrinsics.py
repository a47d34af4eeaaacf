"""The intrinsics of a camera: how it turns directions into pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, TypeAlias, Union

from qwenvl_kit.errors import InputError
from qwenvl_kit.geometry import Region, Size

CameraSource: TypeAlias = Literal["given", "EXIF", "field of view"]
"""The origin of intrinsics: a caller, the lens in the picture's EXIF, or an assumed field of
view."""

DEFAULT_FIELD_OF_VIEW_DEGREES = 60.0
"""The field of view where nothing is known, across and down alike, as `generate_camera_params` of
the cookbook `3d_grounding.ipynb` of Qwen3-VL takes it."""

FILM_DIAGONAL_MM = math.hypot(36, 24)
"""The diagonal of a frame of 35 mm film, by which cameras compute the equivalent focal length (CIPA
DCG-001, EXIF 2.32 tag 41989, FocalLengthIn35mmFilm)."""

_WHERE = "intrinsics"
_FORMS = "CameraIntrinsics, a 3 x 3 matrix, or a dict of fx, fy, cx and cy"
_SKEW_SHARE = 1e-6


@dataclass(frozen=True)
class CameraIntrinsics:
    """The intrinsics of a camera without distortion, for the upright picture at its full size.

    They are those of a calibration by OpenCV: `[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]`.

    Attributes:
        fx_px, fy_px: the focal length, in pixels across and down.
        cx_px, cy_px: the principal point, in pixels from the left and the top edge.
        source: their origin.

    Raises:
        InputError: a number is not finite, or a focal length is not above 0.
    """

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    source: CameraSource = "given"

    def __post_init__(self) -> None:
        for name in ("fx_px", "fy_px", "cx_px", "cy_px"):
            value = getattr(self, name)
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            least = 0.0 if name.startswith("f") else -math.inf
            if not is_number or not least < value < math.inf:
                above = " above 0" if name.startswith("f") else ""
                raise InputError(
                    f"{name}={value!r} was given",
                    expected=f"a number of pixels{above}",
                    where=_WHERE,
                )
            if not isinstance(value, (int, float)):  # such as NumPy's float32
                object.__setattr__(self, name, float(value))

    @classmethod
    def from_matrix(cls, matrix: Any) -> CameraIntrinsics:
        """Return the intrinsics in a camera matrix.

        Args:
            matrix: three rows of three numbers: lists, a NumPy array or a torch tensor.

        Raises:
            InputError: it has another shape, or a skew, which no camera of today has.
        """
        rows = _rows(matrix)
        (fx, skew, cx), (_, fy, cy), last = rows
        if last != [0.0, 0.0, 1.0] or rows[1][0] != 0.0:
            raise InputError(
                f"the matrix {rows} was given",
                expected="[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]",
                where=_WHERE,
            )
        if abs(skew) > _SKEW_SHARE * abs(fx):
            raise InputError(
                f"a matrix with a skew of {skew} was given",
                expected="a skew of 0",
                hint="a calibration without skew",
                where=_WHERE,
            )
        return cls(fx, fy, cx, cy)

    @classmethod
    def from_field_of_view(
        cls,
        size: Size,
        *,
        across_degrees: float | None = None,
        down_degrees: float | None = None,
    ) -> CameraIntrinsics:
        """Return the intrinsics of a camera that looks at the middle of its picture.

        The focal length is half of a side over the tangent of half of its angle. With one angle,
        pixels are squares, as those of cameras are. Without any, both angles are 60 degrees, as the
        cookbook of Qwen3-VL takes them; pixels are then squares in a square picture alone.

        Args:
            size: the size of the upright picture.
            across_degrees: the angle between the left and the right edge.
            down_degrees: the angle between the upper and the lower edge.

        Raises:
            InputError: an angle is not between 0 and 180 degrees.
        """
        if across_degrees is None and down_degrees is None:
            across_degrees = down_degrees = DEFAULT_FIELD_OF_VIEW_DEGREES
        fx = None if across_degrees is None else _focal_px(size.width_px, across_degrees)
        fy = None if down_degrees is None else _focal_px(size.height_px, down_degrees)
        fx, fy = (fy if fx is None else fx), (fx if fy is None else fy)
        middle = (size.width_px / 2, size.height_px / 2)
        return cls(fx or 0.0, fy or 0.0, *middle, source="field of view")

    @classmethod
    def from_equivalent_focal_length(cls, size: Size, equivalent_mm: float) -> CameraIntrinsics:
        """Return the intrinsics of a lens, by its focal length on a camera of 35 mm film.

        The focal length in pixels is to the diagonal of the picture as that of the film camera is
        to the diagonal of its frame of 36 x 24 mm (CIPA DCG-001).

        Args:
            size: the size of the whole picture that the camera took, upright.
            equivalent_mm: the focal length in millimetres, such as 26 for a telephone.

        Raises:
            InputError: the focal length is not above 0.
        """
        diagonal_px = math.hypot(size.width_px, size.height_px)
        focal_px = equivalent_mm / FILM_DIAGONAL_MM * diagonal_px
        return cls(focal_px, focal_px, size.width_px / 2, size.height_px / 2, source="EXIF")

    @property
    def matrix(self) -> tuple[tuple[float, float, float], ...]:
        """The camera matrix, as OpenCV takes it."""
        return ((self.fx_px, 0.0, self.cx_px), (0.0, self.fy_px, self.cy_px), (0.0, 0.0, 1.0))

    def field_of_view_degrees(self, size: Size) -> tuple[float, float]:
        """Return the angles that a picture spans across and down, for its middle as the axis."""
        across = math.atan(size.width_px / 2 / self.fx_px)
        down = math.atan(size.height_px / 2 / self.fy_px)
        return 2 * math.degrees(across), 2 * math.degrees(down)

    def shifted(self, crop: Region) -> CameraIntrinsics:
        """Return intrinsics that were those of a crop as those of the whole picture."""
        cx, cy = self.cx_px + crop.x1_px, self.cy_px + crop.y1_px
        return CameraIntrinsics(self.fx_px, self.fy_px, cx, cy, self.source)


Intrinsics: TypeAlias = Union[CameraIntrinsics, Mapping[str, float], Sequence[Sequence[float]], Any]
"""The intrinsics of a camera as callers have them: `CameraIntrinsics`, a 3 x 3 matrix, or a dict of
fx, fy, cx and cy."""


def as_intrinsics(given: Intrinsics) -> CameraIntrinsics:
    """Return intrinsics in one of the forms of `Intrinsics`.

    Raises:
        InputError: they are in none of them.
    """
    if isinstance(given, CameraIntrinsics):
        return given
    if isinstance(given, Mapping):
        names = ("fx", "fy", "cx", "cy")
        if set(given) != set(names):
            raise InputError(f"{dict(given)} was given", expected=_FORMS, where=_WHERE)
        fx, fy, cx, cy = (given[name] for name in names)
        return CameraIntrinsics(fx, fy, cx, cy)
    return CameraIntrinsics.from_matrix(given)


def _rows(matrix: Any) -> list[list[float]]:
    """The rows of a matrix as lists of numbers."""
    listed = matrix.tolist() if hasattr(matrix, "tolist") else matrix
    try:
        rows = [[float(value) for value in row] for row in listed]
    except (TypeError, ValueError) as error:
        raise InputError(f"{matrix!r} was given", expected=_FORMS, where=_WHERE) from error
    if [len(row) for row in rows] != [3, 3, 3]:
        shape = " x ".join(map(str, (len(rows), *{len(row) for row in rows})))
        raise InputError(
            f"a matrix of {shape} was given",
            expected="3 x 3 numbers",
            hint="the first three columns of a projection matrix",
            where=_WHERE,
        )
    return rows


def _focal_px(side_px: int, degrees: float) -> float:
    """The focal length in pixels of a side that spans an angle."""
    is_number = isinstance(degrees, (int, float)) and not isinstance(degrees, bool)
    if not is_number or not 0 < degrees < 180:
        raise InputError(
            f"a field of view of {degrees!r} was given",
            expected="degrees between 0 and 180",
            where=_WHERE,
        )
    return side_px / (2 * math.tan(math.radians(degrees) / 2))
