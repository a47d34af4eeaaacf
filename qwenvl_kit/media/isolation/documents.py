"""Pages that are drawn in the decoding process: the parent's side of `worker.documents`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qwenvl_kit.geometry import Size
from qwenvl_kit.media.isolation.client import ask_decoder
from qwenvl_kit.media.isolation.protocol import PAGE_IMAGES, PAGE_SIZES
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.types import Page, PageSize

if TYPE_CHECKING:
    import PIL.Image


def measure_pages_isolated(
    opened: Path | bytes,
    policy: MediaPolicy,
    pages: Sequence[int] | None,
    dpi: float,
    password: str | None,
) -> list[PageSize]:
    """Return the sizes of an encoded document's pages, from the decoding process; errors as below.

    The arguments are those of `measure_pages`.
    """
    wanted = {"pages": pages, "dpi": dpi, "password": password}
    return [
        PageSize(facts["number"], Size(facts["page_height_px"], facts["page_width_px"]))
        for facts, _ in ask_decoder(PAGE_SIZES, opened, policy, policy.timeout_seconds, **wanted)
    ]


def read_pages_isolated(
    opened: Path | bytes,
    policy: MediaPolicy,
    pages: Sequence[int] | None,
    dpi: float,
    password: str | None,
) -> Iterator[Page]:
    """Draw the pages of an encoded document in the decoding process, one by one.

    The arguments are those of `pages_of`.

    Raises:
        MediaError: as `read_pages`; the process died, or took too long or too much memory.
    """
    wanted = {"pages": pages, "dpi": dpi, "password": password}
    for facts, image in ask_decoder(PAGE_IMAGES, opened, policy, policy.timeout_seconds, **wanted):
        yield Page(facts["number"], cast("PIL.Image.Image", image))
