"""Pictures of blocks as files beside a document."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.pictures import PICTURE_KINDS, PagePictures
from qwenvl_kit.errors import InputError


def write_pictures(
    blocks: Sequence[Block], pictures: PagePictures | None, folder: str | os.PathLike[str]
) -> Mapping[int, str]:
    """Write the pixels of images and charts as PNG files, and return their paths by block index.

    The names are `page-3-1.png` for the first picture of page 3; the paths begin with the name of
    the folder, for links from a file beside it.

    Raises:
        InputError: the document does not know its pictures, or the folder cannot be written to.
        MediaError: a picture cannot be opened any more.
    """
    if pictures is None:
        raise InputError(
            "the document has no pictures of its pages",
            expected="a document that parse_document returned",
            hint="JSON keeps no pictures: parse the file again, with its journal if there is one",
        )
    places = {id(block): at for at, block in enumerate(blocks) if block.kind in PICTURE_KINDS}
    wanted = [block for block in blocks if block.kind in PICTURE_KINDS]
    target = Path(folder)
    found: dict[int, str] = {}
    counts: dict[int, int] = {}
    try:
        target.mkdir(parents=True, exist_ok=True)
        for block, image in pictures.cut(wanted):
            counts[block.page] = counts.get(block.page, 0) + 1
            name = f"page-{block.page}-{counts[block.page]}.png"
            image.save(target / name, "PNG")
            found[places[id(block)]] = f"{target.name}/{name}"
    except OSError as error:
        raise InputError(
            f"the folder {target} cannot be written to ({error.strerror or error})",
            expected="a folder for pictures",
            where="folder",
        ) from error
    return found
