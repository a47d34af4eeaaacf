"""Heat maps: relevance of visual tokens, on the pixels of the original picture or film."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import InputError
from qwenvl_kit.explain.colours import overlay
from qwenvl_kit.geometry import PixelMap, Point
from qwenvl_kit.plans import ImagePlan, VideoPlan

if TYPE_CHECKING:
    import numpy
    import PIL.Image

    from qwenvl_kit.media.types import DecodedMedia


@dataclass(frozen=True, eq=False)
class HeatMap:
    """The heat map of one picture or film.

    Attributes:
        plan: its plan: original size, what the model saw, times of the frames of a film.
        relevance: a number for each visual token, fp32 (rows, columns), or for a film (groups of
            frames, rows, columns). Its unit is that of the method.
        scale: the relevance that becomes 1: the largest of all pictures of the explanation, so that
            their heat maps can be compared.
        frames_per_group: frames of a film that share their visual tokens.
        pixels: the pixels that the model saw: a picture, or uint8 (frames, height, width, 3).
    """

    plan: ImagePlan | VideoPlan
    relevance: numpy.ndarray[Any, Any]
    scale: float
    frames_per_group: int
    pixels: DecodedMedia = field(repr=False)

    @property
    def is_film(self) -> bool:
        """True for a film."""
        return isinstance(self.plan, VideoPlan)

    @property
    def timestamps_seconds(self) -> tuple[float, ...]:
        """The times of the frames of a film; empty for a picture."""
        return self.plan.timestamps_seconds if isinstance(self.plan, VideoPlan) else ()

    @cached_property
    def heatmap(self) -> numpy.ndarray[Any, Any]:
        """The heat of each pixel of the original, fp32 in [0, 1].

        Shape (height, width), and (frames, height, width) for a film. Pixels that the model did not
        see, outside of a crop, are 0. What lowers the answer's probability is 0, too;
        `relevance` has its sign.
        """
        import numpy

        if not self.is_film:
            return self._on_original(self.relevance)
        groups = [self._on_original(group) for group in self.relevance]
        return numpy.stack(
            [groups[at // self.frames_per_group] for at in range(len(self.timestamps_seconds))]
        )

    @property
    def peak_frame(self) -> int | None:
        """The index of the first frame of the group with the peak; None for a picture."""
        if not self.is_film:
            return None
        return self._peak[0] * self.frames_per_group

    @property
    def peak_px(self) -> Point:
        """The place of the peak, in pixels of the upright original.

        It is the middle of the visual token with the largest relevance, moved towards its
        neighbours by their relevance: the mean over three by three tokens, of what each has above
        the least of these.
        """
        import numpy

        _, row, column = self._peak
        grid = self._groups[self._peak[0]]
        rows = range(max(0, row - 1), min(grid.shape[0], row + 2))
        columns = range(max(0, column - 1), min(grid.shape[1], column + 2))
        around = grid[numpy.ix_(rows, columns)]
        weights = around - around.min()
        total = float(weights.sum())
        if total > 0:
            row_at = float((weights.sum(1) * numpy.array(rows)).sum()) / total
            column_at = float((weights.sum(0) * numpy.array(columns)).sum()) / total
        else:
            row_at, column_at = row, column
        side_y = self.plan.resized.height_px / grid.shape[0]
        side_x = self.plan.resized.width_px / grid.shape[1]
        place = self._map.to_original(
            Point(x_px=(column_at + 0.5) * side_x, y_px=(row_at + 0.5) * side_y)
        )
        size = self.plan.original  # the peak may lie in a margin
        return Point(x_px=min(place.x_px, size.width_px), y_px=min(place.y_px, size.height_px))

    def draw(
        self, picture: PIL.Image.Image | None = None, *, frame: int | None = None
    ) -> PIL.Image.Image:
        """Return the picture with its heat map over it, and a ring around the peak.

        Args:
            picture: the upright original. None takes the pixels that the model saw, enlarged to
                the size of the original.
            frame: the index of a frame of a film; None takes `peak_frame`.

        Raises:
            InputError: the picture has another size, or there is no such frame.
        """
        at = self._frame(frame)
        heat = self.heatmap if at is None else self.heatmap[at]
        shown = self._seen(at) if picture is None else picture
        size = self.plan.original
        if shown.size != (size.width_px, size.height_px):
            raise InputError(
                f"a picture of {shown.size[0]} x {shown.size[1]} px was given",
                expected=f"the original, {size}",
            )
        is_peak = at is None or at // self.frames_per_group == self._peak[0]
        return overlay(shown, heat, self.peak_px if is_peak else None)

    def save(self, path: str | os.PathLike[str], *, frame: int | None = None) -> None:
        """Write `draw()` to a file, in the format of its name."""
        self.draw(frame=frame).save(path)

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        file = BytesIO()
        self.draw().save(file, "PNG")
        return file.getvalue()

    @cached_property
    def _groups(self) -> numpy.ndarray[Any, Any]:
        return self.relevance if self.is_film else self.relevance[None]

    @cached_property
    def _peak(self) -> tuple[int, int, int]:
        """Group, row and column of the largest relevance."""
        import numpy

        found = numpy.unravel_index(int(self._groups.argmax()), self._groups.shape)
        group, row, column = (int(at) for at in found)
        return group, row, column

    @property
    def _map(self) -> PixelMap:
        if isinstance(self.plan, ImagePlan):
            return self.plan.pixel_map
        whole = self.plan.original
        return PixelMap(original=whole, resized=self.plan.resized, padded=whole)

    def _frame(self, frame: int | None) -> int | None:
        if not self.is_film:
            if frame is not None:
                raise InputError(f"frame={frame!r} was given for a picture", expected="None")
            return None
        count = len(self.timestamps_seconds)
        if frame is not None and (type(frame) is not int or not 0 <= frame < count):
            raise InputError(
                f"frame={frame!r} was given", expected=f"the index of one of {count} frames"
            )
        return self.peak_frame if frame is None else frame

    def _seen(self, frame: int | None) -> PIL.Image.Image:
        """The pixels that the model saw, at the size of the original; white elsewhere."""
        import PIL.Image

        pixels: Any = self.pixels
        image = pixels if frame is None else PIL.Image.fromarray(pixels[frame])
        return _placed(image.convert("RGB"), self._map, "white")

    def _on_original(self, grid: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
        """The heat of a grid of visual tokens on the pixels of the original."""
        import numpy
        import PIL.Image

        heat = grid / self.scale if self.scale > 0 else numpy.zeros_like(grid)
        image = PIL.Image.fromarray(heat.clip(0, 1).astype(numpy.float32))
        return numpy.asarray(_placed(image, self._map, 0)).clip(0, 1)


def _placed(image: PIL.Image.Image, places: PixelMap, empty: Any) -> PIL.Image.Image:
    """An image of what the model saw, where it lies in the original."""
    import PIL.Image

    padded, size = places.padded, places.original
    bilinear = PIL.Image.Resampling.BILINEAR
    whole = image.resize((padded.width_px, padded.height_px), bilinear)
    if places.crop is None and padded == size:
        return whole
    shown = size if places.crop is None else places.crop.size
    whole = whole.crop((0, 0, shown.width_px, shown.height_px))
    corner = (0, 0) if places.crop is None else (places.crop.x1_px, places.crop.y1_px)
    canvas = PIL.Image.new(image.mode, (size.width_px, size.height_px), empty)
    canvas.paste(whole, corner)
    return canvas
