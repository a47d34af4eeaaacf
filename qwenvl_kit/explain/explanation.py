"""An explanation: the heat maps of an answer or of a part of it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import InputError
from qwenvl_kit.explain.faithfulness import Faithfulness, measure_faithfulness
from qwenvl_kit.explain.heat_maps import HeatMap
from qwenvl_kit.explain.occlusion import TokenGrid
from qwenvl_kit.geometry import Point
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    import numpy
    import PIL.Image

    from qwenvl_kit.media.types import DecodedMedia
    from qwenvl_kit.pipeline.replay import Replay


@dataclass(frozen=True, eq=False)
class Explanation:
    """The parts of pictures that an answer, or a part of it, came from by one method.

    Attributes:
        text: the part of the answer that is explained.
        method: the method: "attention", "gradient" or "occlusion".
        maps: the heat map of each picture and film, in the order of the messages.
        indices: the indices in `reply.tokens` of what is explained.
        layers: the layers whose attention was counted; empty for occlusion.
        reply: the reply.
        request: the request.
    """

    text: str
    method: str
    maps: tuple[HeatMap, ...]
    indices: tuple[int, ...]
    layers: tuple[int, ...]
    reply: Reply = field(repr=False)
    request: Request = field(repr=False)

    def __repr__(self) -> str:
        places = ", ".join(
            f"({each.peak_px.x_px:.0f}, {each.peak_px.y_px:.0f})" for each in self.maps
        )
        return f"Explanation({self.text!r} by {self.method}, peak at {places} px)"

    @property
    def heatmap(self) -> numpy.ndarray[Any, Any]:
        """The heat map of the only picture or film; see `HeatMap.heatmap`."""
        return self._only.heatmap

    @property
    def peak_px(self) -> Point:
        """The peak in the only picture or film; see `HeatMap.peak_px`."""
        return self._only.peak_px

    def draw(
        self, picture: PIL.Image.Image | None = None, *, frame: int | None = None
    ) -> PIL.Image.Image:
        """Return the only picture with its heat map over it; see `HeatMap.draw`."""
        return self._only.draw(picture, frame=frame)

    def save(self, path: str | os.PathLike[str], *, frame: int | None = None) -> None:
        """Write `draw()` to a file, in the format of its name."""
        self._only.save(path, frame=frame)

    def faithfulness(self, chat: VisionChat, *, num_steps: int = 10, seed: int = 0) -> Faithfulness:
        """Measure how far the answer depends on what is shown; see `Faithfulness`.

        Args:
            chat: the model that gave the answer.
            num_steps: the number of steps in which the pictures are hidden; each takes four passes.
            seed: the seed of the random order beside it.

        Raises:
            InputError: num_steps is no whole number above 0.
            UnsupportedFeatureError: the backend gives no log-probabilities of given answers.
        """
        if type(num_steps) is not int or num_steps < 1:
            raise InputError(
                f"num_steps={num_steps!r} was given", expected="a whole number above 0"
            )
        replay = chat.replay(self.reply, self.request)

        def probability(media: Sequence[DecodedMedia]) -> float:
            logprob = replay.logprob(self.indices, media)
            return min(1.0, math.exp(logprob / len(self.indices)))

        return measure_faithfulness(
            replay.media,
            token_grids(replay),
            [each.relevance for each in self.maps],
            probability,
            num_steps=num_steps,
            seed=seed,
        )

    def _repr_png_(self) -> bytes | None:
        return self.maps[0]._repr_png_() if len(self.maps) == 1 else None

    @property
    def _only(self) -> HeatMap:
        if len(self.maps) != 1:
            raise InputError(
                f"the answer is about {len(self.maps)} pictures and films",
                expected="one of them",
                hint="explanation.maps[0]",
            )
        return self.maps[0]


def token_grids(replay: Replay) -> list[TokenGrid]:
    """The visual tokens of each picture and film of a request."""
    family, grids = replay.family, list[TokenGrid]()
    for plan, item in zip(replay.request.plan.media.values(), replay.media):
        rows = plan.resized.height_px // family.token_side_px
        columns = plan.resized.width_px // family.token_side_px
        frames = family.temporal_patch_frames if getattr(item, "ndim", 0) == 4 else 0
        groups = plan.tokens // (rows * columns)
        grids.append(TokenGrid(groups, rows, columns, family.token_side_px, frames))
    return grids
