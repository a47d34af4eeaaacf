"""What a request will cost: the plan that is made before it runs and kept in its reply."""

from __future__ import annotations

from dataclasses import dataclass, field

from qwenvl_kit.geometry import PixelMap, Region, Size
from qwenvl_kit.tables import Table


@dataclass(frozen=True)
class ImagePlan:
    """What becomes of one picture.

    Attributes:
        where: its place in the request, such as `messages[0].parts[1]`.
        original: its size, upright (after EXIF orientation).
        resized: the size at which the model sees it.
        tokens: visual tokens it takes in the prompt.
        crop: the region that is shown; None for all of it.
        padded: the size that is resized, where that is more than the picture: one that is
            narrower than a visual token, or too long a strip, gets a white margin on the right
            or below.
        orientation: its EXIF orientation, 1 to 8.
    """

    where: str
    original: Size
    resized: Size
    tokens: int
    crop: Region | None = None
    padded: Size | None = None
    orientation: int = 1

    @property
    def pixel_map(self) -> PixelMap:
        """Where each place that the model sees lies in the original."""
        whole = self.original if self.crop is None else self.crop.size
        return PixelMap(
            original=self.original,
            resized=self.resized,
            padded=self.padded or whole,
            crop=self.crop,
            orientation=self.orientation,
        )


@dataclass(frozen=True)
class VideoPlan:
    """What becomes of one video.

    Attributes:
        where: its place in the request.
        original: size of its frames, upright and with square pixels.
        resized: the size at which the model sees each frame.
        frame_indices: which frames are used, in the order in which they are shown.
        timestamps_seconds: their true times, from the first frame of the video on.
        tokens: visual tokens it takes in the prompt, all frames together.
        duration_seconds: from its first frame to its last; None for a sequence of frames.
    """

    where: str
    original: Size
    resized: Size
    frame_indices: tuple[int, ...]
    timestamps_seconds: tuple[float, ...]
    tokens: int
    duration_seconds: float | None = None


@dataclass(frozen=True)
class Plan:
    """What a request costs, known from headers alone: no pixel is decoded and no model is run.

    `print(plan)` shows it as a table, and so does a notebook.

    Attributes:
        prompt_tokens: all tokens of the prompt, visual tokens included.
        visual_tokens: those that stand for pictures and videos.
        images: one entry per picture, in order.
        videos: one entry per video, in order.
        max_new_tokens: how long the answer may become.
        context_tokens: how many tokens prompt and answer may take together.
        kv_cache_bytes: keys and values of prompt and longest answer, and the recurrent state of
            families that have one; None where the backend does not know.
        activation_bytes: peak working memory beside weights and cache; None where not known.
        weight_bytes: the model's weights; None where the backend does not know.
        available_bytes: memory that the device could still give when the plan was made, the
            weights being loaded; None where not known. Not part of a plan's equality.
        advice: what would make it fit, in words; empty if it does.
        degradations: what was given up to make it run, in words; empty if nothing.
        warnings: what is likely not meant as it is written, in words; empty if nothing.
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
    available_bytes: int | None = field(default=None, compare=False)
    advice: tuple[str, ...] = field(default=(), compare=False)
    degradations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def media(self) -> dict[str, ImagePlan | VideoPlan]:
        """The entry of each picture and video by its place, as they stand in the messages."""
        entries: list[ImagePlan | VideoPlan] = [*self.images, *self.videos]
        entries.sort(key=lambda entry: _place(entry.where))
        return {entry.where: entry for entry in entries}

    @property
    def room_tokens(self) -> int:
        """What the prompt leaves of the context for an answer."""
        return max(0, self.context_tokens - self.prompt_tokens)

    @property
    def needed_bytes(self) -> int | None:
        """Memory that it takes beside the weights; None where not known."""
        if self.kv_cache_bytes is None or self.activation_bytes is None:
            return None
        return self.kv_cache_bytes + self.activation_bytes

    @property
    def peak_bytes(self) -> int | None:
        """Memory that model and request take together at their peak; None where not known."""
        if self.needed_bytes is None or self.weight_bytes is None:
            return None
        return self.needed_bytes + self.weight_bytes

    @property
    def fits_context(self) -> bool:
        """Whether the prompt leaves room for at least one token of an answer."""
        return self.room_tokens > 0

    @property
    def fits_memory(self) -> bool | None:
        """Whether the device has the memory that it takes; None where not known."""
        if self.needed_bytes is None or self.available_bytes is None:
            return None
        return self.needed_bytes <= self.available_bytes

    @property
    def fits(self) -> bool:
        """Whether it would run: the context holds it, and as far as is known the device does."""
        return self.fits_context and self.fits_memory is not False

    def __str__(self) -> str:
        return self._table().to_text()

    def _repr_html_(self) -> str:
        return self._table().to_html()

    def _table(self) -> Table:
        text_tokens = self.prompt_tokens - self.visual_tokens
        totals = [
            ("text and template", text_tokens),
            ("prompt", self.prompt_tokens),
            ("answer, at most", self.max_new_tokens),
            ("context", self.context_tokens),
        ]
        rows = [_row(entry) for entry in self.media.values()]
        rows += [(name, "", "", "", f"{tokens:,}") for name, tokens in totals]
        headings = ("part", "original", "model sees", "frames", "tokens")
        return Table(headings, rows, self._notes())

    def _notes(self) -> list[str]:
        sizes = {
            "weights": self.weight_bytes,
            "cache": self.kv_cache_bytes,
            "activations": self.activation_bytes,
            "still free": self.available_bytes,
        }
        known = [f"{name} {_bytes(size)}" for name, size in sizes.items() if size is not None]
        notes = [f"memory: {', '.join(known)}"] if known else []
        notes.append("fits" if self.fits else f"does not fit the {self._lacking()}")
        notes += [f"try: {advice}" for advice in self.advice]
        notes += [f"given up: {loss}" for loss in self.degradations]
        return notes + [f"warning: {warning}" for warning in self.warnings]

    def _lacking(self) -> str:
        return "device's memory" if self.fits_context else "model's context"


def _row(entry: ImagePlan | VideoPlan) -> tuple[str, ...]:
    frames = f"{len(entry.frame_indices):,}" if isinstance(entry, VideoPlan) else ""
    return (entry.where, str(entry.original), str(entry.resized), frames, f"{entry.tokens:,}")


def _place(where: str) -> list[int]:
    """The numbers in `messages[1].parts[0]`, by which parts stand in their order.

    Pages of a document are in theirs already, which need not be that of their numbers.
    """
    part = where.partition(".pages[")[0]
    return [int(number) for number in "".join(c if c.isdigit() else " " for c in part).split()]


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
