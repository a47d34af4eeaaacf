"""Faithfulness: does the answer depend on what an explanation shows?

Deletion and insertion of Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation
of Black-box Models", 2018 (arXiv:1806.07421), section 4.2: pixels are made grey, the most relevant
first, and the probability of the answer should fall fast; and they are put into a blurred picture,
where it should rise fast. A random order is measured beside both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qwenvl_kit.explain.occlusion import GREY, TokenGrid, hidden
from qwenvl_kit.tables import Table

if TYPE_CHECKING:
    import numpy

    from qwenvl_kit.media.types import DecodedMedia

_BLUR_SHARE = 5 / 224
"""The deviation of the blur as a share of the longer side: 5 px of 224 in the authors' program."""


@dataclass(frozen=True)
class Faithfulness:
    """The extent to which an answer depends on what its explanation shows. `print` it.

    Attributes:
        shares: the shares of visual tokens that were hidden or shown, from 0 to 1.
        deletion: the probability of what is explained after so much was hidden, the geometric mean
            over its tokens.
        insertion: the same after so much was shown.
        chance_deletion: the same as deletion, in a random order.
        chance_insertion: the same as insertion, in a random order.
    """

    shares: tuple[float, ...]
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    chance_deletion: tuple[float, ...]
    chance_insertion: tuple[float, ...]

    @property
    def deletion_area(self) -> float:
        """The area under the curve of deletion, in [0, 1]; a good explanation has a small one."""
        return _area(self.shares, self.deletion)

    @property
    def insertion_area(self) -> float:
        """The area under the curve of insertion, in [0, 1]; a good explanation has a large one."""
        return _area(self.shares, self.insertion)

    @property
    def chance_deletion_area(self) -> float:
        """The area under the curve of deletion in a random order."""
        return _area(self.shares, self.chance_deletion)

    @property
    def chance_insertion_area(self) -> float:
        """The area under the curve of insertion in a random order."""
        return _area(self.shares, self.chance_insertion)

    @property
    def is_better_than_chance(self) -> bool:
        """True if hiding is worse, and showing better, than in a random order."""
        return (
            self.deletion_area < self.chance_deletion_area
            and self.insertion_area > self.chance_insertion_area
        )

    def __str__(self) -> str:
        return self._table().to_text()

    def _repr_html_(self) -> str:
        return self._table().to_html()

    def _table(self) -> Table:
        rows = [
            ("deletion (low is good)", self.deletion_area, self.chance_deletion_area),
            ("insertion (high is good)", self.insertion_area, self.chance_insertion_area),
        ]
        cells = [(name, f"{own:.3f}", f"{chance:.3f}") for name, own, chance in rows]
        said = "better" if self.is_better_than_chance else "not better"
        note = f"the explanation is {said} than a random order"
        return Table(("area under the curve", "explanation", "random order"), cells, (note,))


def measure_faithfulness(
    media: Sequence[DecodedMedia],
    grids: Sequence[TokenGrid],
    relevance: Sequence[numpy.ndarray[Any, Any]],
    score: Callable[[Sequence[DecodedMedia]], float],
    *,
    num_steps: int,
    seed: int,
) -> Faithfulness:
    """Measure deletion and insertion of an explanation.

    Args:
        media: the pixels that the model saw.
        grids: the visual tokens of each picture and film.
        relevance: the relevance of each, (groups, rows, columns).
        score: the probability of what is explained, with other pixels.
        num_steps: the number of steps from nothing to all; each takes four passes.
        seed: the seed of the random order.
    """
    import numpy

    flat = numpy.concatenate([each.ravel() for each in relevance])
    best = numpy.argsort(-flat, kind="stable")
    chance = numpy.random.default_rng(seed).permutation(len(flat))
    shares = [step / num_steps for step in range(num_steps + 1)]
    blurred = [_blurred(item) for item in media]

    def curve(order: numpy.ndarray[Any, Any], *, inserts: bool) -> tuple[float, ...]:
        found = []
        for share in shares:
            is_first = numpy.zeros(len(flat), bool)
            is_first[order[: round(share * len(flat))]] = True
            found.append(score(_shown(media, grids, is_first, blurred if inserts else None)))
        return tuple(found)

    return Faithfulness(
        tuple(shares),
        curve(best, inserts=False),
        curve(best, inserts=True),
        curve(chance, inserts=False),
        curve(chance, inserts=True),
    )


def _shown(
    media: Sequence[DecodedMedia],
    grids: Sequence[TokenGrid],
    is_first: numpy.ndarray[Any, Any],
    blurred: Sequence[Any] | None,
) -> list[DecodedMedia]:
    """The media with the first tokens grey, or blurred but for the first tokens."""
    shown, at = list[Any](), 0
    for number, (item, grid) in enumerate(zip(media, grids)):
        part = is_first[at : at + math.prod(grid.shape)].reshape(grid.shape)
        at += part.size
        if blurred is None:
            shown.append(hidden(item, grid, part, GREY))
        else:
            shown.append(hidden(item, grid, ~part, blurred[number]))
    return shown


def _blurred(item: DecodedMedia) -> Any:
    """The blurred pixels of a picture or of each frame."""
    import numpy
    import PIL.Image
    from PIL import ImageFilter

    pixels = numpy.asarray(item)
    images = pixels if pixels.ndim == 4 else pixels[None]
    blur = ImageFilter.GaussianBlur(max(pixels.shape[-3:-1]) * _BLUR_SHARE)
    made = numpy.stack([numpy.asarray(PIL.Image.fromarray(image).filter(blur)) for image in images])
    return made if pixels.ndim == 4 else made[0]


def _area(shares: Sequence[float], curve: Sequence[float]) -> float:
    """The area under a curve, by trapezoids."""
    points = zip(shares, curve)
    return sum((right[0] - left[0]) * (left[1] + right[1]) / 2 for left, right in pairwise(points))
