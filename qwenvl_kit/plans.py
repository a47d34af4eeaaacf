"""Plans: the cost of a request, computed before it runs and kept in its reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qwenvl_kit.geometry import PixelMap, Region, Size
from qwenvl_kit.tables import Table

if TYPE_CHECKING:
    import PIL.Image


@dataclass(frozen=True)
class ImagePlan:
    """The plan of one picture: its sizes and its visual tokens.

    Attributes:
        where: place in the request, such as `messages[0].parts[1]`.
        original: size of the upright picture (after EXIF orientation).
        resized: size at which the model sees it.
        tokens: visual tokens that it takes in the prompt.
        crop: the region that is shown; None for the whole picture.
        padded: size with the white margin on the right or below that a picture gets if it is
            narrower than a visual token, or too long a strip; None if it needs no margin.
        orientation: EXIF orientation, 1 to 8.
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
        """The map from pixels that the model sees to pixels of the original picture."""
        whole = self.original if self.crop is None else self.crop.size
        return PixelMap(
            original=self.original,
            resized=self.resized,
            padded=self.padded or whole,
            crop=self.crop,
            orientation=self.orientation,
        )

    def show(self) -> PIL.Image.Image:
        """Return the picture as the model sees it, opened again; see `Plan.show`."""
        from qwenvl_kit.display.viewing import show

        return show(self, self)

    def _repr_html_(self) -> str:
        from qwenvl_kit.display.plans import image_plan_html

        return image_plan_html(self)


@dataclass(frozen=True)
class VideoPlan:
    """The plan of one video: its frames, their sizes and its visual tokens.

    Attributes:
        where: place in the request, such as `messages[0].parts[1]`.
        original: size of the frames, upright and with square pixels.
        resized: size at which the model sees each frame.
        frame_indices: indices of the frames that are used, in the order in which they are shown.
        timestamps_seconds: times of these frames; the first frame of the video is at 0.
        tokens: visual tokens of all frames together in the prompt.
        duration_seconds: time from the first frame to the last; None for a sequence of frames.
    """

    where: str
    original: Size
    resized: Size
    frame_indices: tuple[int, ...]
    timestamps_seconds: tuple[float, ...]
    tokens: int
    duration_seconds: float | None = None

    def __repr__(self) -> str:
        from qwenvl_kit.display.plans import video_plan_repr

        return video_plan_repr(self)

    def show(self) -> PIL.Image.Image:
        """Return the chosen frames with their times as one picture; see `Plan.show`."""
        from qwenvl_kit.display.viewing import show

        return show(self, self)

    def _repr_html_(self) -> str:
        from qwenvl_kit.display.plans import video_plan_html

        return video_plan_html(self)


@dataclass(frozen=True)
class Plan:
    """The cost of a request in tokens and memory, computed before it runs.

    It is read from headers alone: no pixel is decoded and no model is run. `print(plan)` shows it
    as a table, and so does a notebook. Numbers that the backend does not know are None.

    Attributes:
        prompt_tokens: all tokens of the prompt, visual tokens included.
        visual_tokens: tokens of the prompt that stand for pictures and videos.
        images: one entry per picture, in the order of the messages.
        videos: one entry per video, in the order of the messages.
        max_new_tokens: most tokens of the answer.
        context_tokens: most tokens of prompt and answer together.
        kv_cache_bytes: size of the KV cache for the prompt and the longest answer, and of the
            recurrent state in families that have one.
        activation_bytes: peak memory for activations, without weights and KV cache.
        weight_bytes: size of the model's weights.
        available_bytes: free memory of the device when the plan was made, with the weights
            loaded. It does not count when two plans are compared.
        advice: sentences on how to make the request fit; empty if it fits.
        degradations: sentences on what was given up to make it fit, with `fit="shrink"`; empty if
            nothing was.
        warnings: sentences on likely mistakes in the request; empty if there are none.
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
        """The entry of each picture and video by its place, in the order of the messages."""
        entries: list[ImagePlan | VideoPlan] = [*self.images, *self.videos]
        entries.sort(key=lambda entry: _place(entry.where))
        return {entry.where: entry for entry in entries}

    @property
    def room_tokens(self) -> int:
        """Tokens that the prompt leaves for the answer in the model's context."""
        return max(0, self.context_tokens - self.prompt_tokens)

    @property
    def needed_bytes(self) -> int | None:
        """Memory that the request takes in addition to the weights; None if not known."""
        if self.kv_cache_bytes is None or self.activation_bytes is None:
            return None
        return self.kv_cache_bytes + self.activation_bytes

    @property
    def peak_bytes(self) -> int | None:
        """Peak memory of model and request together; None if not known."""
        if self.needed_bytes is None or self.weight_bytes is None:
            return None
        return self.needed_bytes + self.weight_bytes

    @property
    def fits_context(self) -> bool:
        """True if the context has room for the prompt and at least one token of the answer."""
        return self.room_tokens > 0

    @property
    def fits_memory(self) -> bool | None:
        """True if the device has enough free memory; None if not known."""
        if self.needed_bytes is None or self.available_bytes is None:
            return None
        return self.needed_bytes <= self.available_bytes

    @property
    def fits(self) -> bool:
        """True if the request can run: it fits the context and, as far as known, the memory."""
        return self.fits_context and self.fits_memory is not False

    def __str__(self) -> str:
        return self._table().to_text()

    def __repr__(self) -> str:
        from qwenvl_kit.display.text import short_repr

        return short_repr(
            "Plan",
            prompt_tokens=self.prompt_tokens,
            visual_tokens=self.visual_tokens,
            images=len(self.images),
            videos=len(self.videos),
            max_new_tokens=self.max_new_tokens,
            fits=self.fits,
        )

    def show(self) -> PIL.Image.Image:
        """Return all pictures as the model sees them, and the chosen frames of films, as one.

        They are opened and decoded now, under the media policy of the chat. One picture keeps the
        size at which the model sees it; of many each is made smaller. Frames have their times
        below them. Pixels are resized by Pillow, which may differ from a backend's by up to two
        steps of 255.

        A plan holds paths alone. It finds a picture or array in memory for as long as your program
        holds it, and never bytes or what came from the network.

        Raises:
            MediaError: there are no pictures, or one is not there any more or has changed.
        """
        from qwenvl_kit.display.viewing import show

        return show(self, *self.media.values())

    def _repr_html_(self) -> str:
        from qwenvl_kit.display.plans import plan_html

        return plan_html(self, self._table())

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
    """The numbers in a place such as `messages[1].parts[0]`, to sort by.

    The page number is left out: pages of a document are sorted already, in the order in which they
    are shown.
    """
    part = where.partition(".pages[")[0]
    return [int(number) for number in "".join(c if c.isdigit() else " " for c in part).split()]


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
