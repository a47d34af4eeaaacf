"""The structural similarity of two pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    import PIL.Image
    from numpy.typing import NDArray

_SIGMA, _RADIUS = 1.5, 5
_K1, _K2, _RANGE = 0.01, 0.03, 255.0
_VIEWED_PX = 256


def structural_similarity(first: PIL.Image.Image, second: PIL.Image.Image) -> float:
    """Return the mean structural similarity (SSIM) of two pictures, in [0, 1].

    In each place, under a Gaussian window of 11 x 11 pixels with a deviation of 1.5,

        (2 m1 m2 + C1) (2 s12 + C2) / ((m1^2 + m2^2 + C1) (s1^2 + s2^2 + C2))

    with the means m, the variances s^2 and the covariance s12 of both pictures, C1 = (0.01 * 255)^2
    and C2 = (0.03 * 255)^2. The figure is the mean over all places whose window lies within the
    picture, and over red, green and blue; what is below 0 is 0. Source: Wang, Bovik, Sheikh and
    Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
    Transactions on Image Processing 13(4), 2004. As its authors suggest with their program, both
    are first made smaller, by averages of F x F pixels with F = max(1, round(shorter side / 256)):
    so the look of a page counts, and not each pixel of its letters.

    Args:
        first: a picture, in RGB.
        second: another of the same size.
    """
    import numpy

    factor = max(1, round(min(first.size) / _VIEWED_PX))
    channels = [
        [numpy.asarray(band, numpy.float64) for band in picture.reduce(factor).split()]
        for picture in (first.convert("RGB"), second.convert("RGB"))
    ]
    figures = [_mean_similarity(one, other) for one, other in zip(*channels)]
    return min(1.0, max(0.0, sum(figures) / len(figures)))


def _mean_similarity(first: NDArray[numpy.float64], second: NDArray[numpy.float64]) -> float:
    c1, c2 = (_K1 * _RANGE) ** 2, (_K2 * _RANGE) ** 2
    mean1, mean2 = _smoothed(first), _smoothed(second)
    var1 = _smoothed(first * first) - mean1 * mean1
    var2 = _smoothed(second * second) - mean2 * mean2
    both = _smoothed(first * second) - mean1 * mean2
    alike = (2 * mean1 * mean2 + c1) * (2 * both + c2)
    places = alike / ((mean1 * mean1 + mean2 * mean2 + c1) * (var1 + var2 + c2))
    return float(places.mean())


def _smoothed(values: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    """The weighted mean of each window that lies within the values; a small picture is padded."""
    import numpy

    weights = numpy.exp(-0.5 * (numpy.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    weights /= weights.sum()
    missing = [max(0, 2 * _RADIUS + 1 - side) for side in values.shape]
    values = numpy.pad(values, [(0, more) for more in missing], mode="edge")
    for axis in (0, 1):
        length = values.shape[axis] - 2 * _RADIUS
        parts = (
            weight * values.take(range(at, at + length), axis) for at, weight in enumerate(weights)
        )
        values = numpy.sum(list(parts), axis=0)
    return values
