"""What a request will cost: the plan that is made before it runs and kept in its reply."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Height and width of a picture in pixels."""

    height_px: int
    width_px: int

    @property
    def area_pixels(self) -> int:
        """Height times width."""
        return self.height_px * self.width_px

    def __str__(self) -> str:
        return f"{self.width_px} x {self.height_px} px"


@dataclass(frozen=True)
class ImagePlan:
    """What becomes of one picture.

    Attributes:
        where: its place in the request, such as `messages[0].parts[1]`.
        original: its size, upright (after EXIF orientation).
        resized: the size at which the model sees it.
        tokens: visual tokens it takes in the prompt.
    """

    where: str
    original: Size
    resized: Size
    tokens: int


@dataclass(frozen=True)
class VideoPlan:
    """What becomes of one video.

    Attributes:
        where: its place in the request.
        original: size of its frames.
        resized: the size at which the model sees each frame.
        frame_indices: which frames are used.
        timestamps_seconds: their times.
        tokens: visual tokens it takes in the prompt, all frames together.
    """

    where: str
    original: Size
    resized: Size
    frame_indices: tuple[int, ...]
    timestamps_seconds: tuple[float, ...]
    tokens: int


@dataclass(frozen=True)
class Plan:
    """What a request costs, known from sizes alone: no pixel is decoded and no model is run.

    Attributes:
        prompt_tokens: all tokens of the prompt, visual tokens included.
        visual_tokens: those that stand for pictures and videos.
        images: one entry per picture, in order.
        videos: one entry per video, in order.
        max_new_tokens: how long the answer may become.
        context_tokens: how many tokens prompt and answer may take together.
        kv_cache_bytes: keys and values of prompt and longest answer.
        activation_bytes: peak working memory beside weights and cache; None where not known.
        weight_bytes: the model's weights; None where the backend does not know.
        fits: whether prompt and a first token fit the context.
        degradations: what was given up to make it run, in words; empty if nothing.
    """

    prompt_tokens: int
    visual_tokens: int
    images: tuple[ImagePlan, ...]
    videos: tuple[VideoPlan, ...]
    max_new_tokens: int
    context_tokens: int
    kv_cache_bytes: int | None
    activation_bytes: int | None
    weight_bytes: int | None
    fits: bool
    degradations: tuple[str, ...] = ()

    @property
    def media(self) -> dict[str, ImagePlan | VideoPlan]:
        """The entry of each picture and video by its place."""
        entries: list[ImagePlan | VideoPlan] = [*self.images, *self.videos]
        return {entry.where: entry for entry in entries}
