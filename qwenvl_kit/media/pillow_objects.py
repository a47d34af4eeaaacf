"""Pillow objects of the caller, which Pillow opens lazily and no two threads may read at once.

Pillow reads a picture's pixels when they are first needed, through one file and into one object,
without a lock (python-pillow/Pillow#4848): two threads that read it get wrong pixels and no error.
One object may be in many requests, and several objects may share a file. Therefore:

- A picture that is not loaded yet is opened again over a copy of its bytes. The caller's object,
  its file and its position stay unchanged, and the caller may use them at the same time.
- If it cannot be opened again (after a seek to another frame, or a change since it was opened),
  the object itself is loaded, by one thread at a time.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from qwenvl_kit.errors import MediaDecodeError, MediaSizeError, MediaSourceError
from qwenvl_kit.media.depth import check_depth, is_deep_colour
from qwenvl_kit.media.locks import locked

if TYPE_CHECKING:
    import PIL.Image
    import PIL.ImageFile

_Told = TypeVar("_Told")

ORIENTATION_TAG = 0x0112
_PNG_SIGNATURE_BYTES = 8


def load(image: PIL.Image.Image) -> PIL.Image.Image:
    """Read a picture's pixels, and return the same picture.

    Raises:
        MediaDecodeError: it is damaged or cut short.
        MediaSizeError: there is too little memory for it.
        MediaArrayError: colour of 16 bits that would be nearly black; see `media.depth`.
    """
    is_deep = is_deep_colour(image)
    content = content_of(image) if is_deep else None
    _load(image)
    if is_deep:
        check_depth(image, content)
    return image


def _load(image: PIL.Image.Image) -> None:
    import PIL.Image

    try:
        image.load()
    except PIL.Image.DecompressionBombError as error:
        raise MediaSizeError(f"the picture is too large to decode ({error})") from error
    except MemoryError as error:
        raise MediaSizeError("there is too little memory to decode the picture") from error
    except Exception as error:  # decoders raise nearly anything on damaged data
        raise MediaDecodeError(
            f"the picture is damaged or cut short ({error})", hint="fetch or save it again"
        ) from error


def pixels_of(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return a picture with the pixels of a caller's object; it may be read, but not changed.

    Raises:
        MediaDecodeError: it is damaged, cut short or closed.
        MediaSizeError: there is too little memory for it.
    """
    again = reopened(image)
    if again is not None:
        return load(again)
    with _locked(image):
        load(image)
        # Pillow changes a palette when it is read; any other picture is only read from here on.
        return image.copy() if image.palette is not None else image


def reopened(image: PIL.Image.Image) -> PIL.Image.Image | None:
    """Open a picture again over its own bytes, without reading the pixels.

    Returns:
        The new object; None for a picture that is loaded, or cannot be opened again unchanged.
    """
    content = content_of(image)
    if content is None:
        return None
    kind: Any = type(image)
    try:
        again = kind(io.BytesIO(content))
        return again if _facts(again) == _facts(image) else None
    except Exception:  # a subclass, a file that was written to, arrays in its information
        return None


def frame_of(image: PIL.Image.Image, index: int) -> PIL.Image.Image:
    """Return an animated picture at the frame at which it was given, also if it was moved since.

    A walk through an animation (`PIL.ImageSequence`) gives one object again and again. Any other
    picture, and one that its owner has read and not moved, is returned as it is.

    Raises:
        MediaSourceError: it was moved, and cannot be opened again.
    """
    if not _may_have_frames(image) or (image.tell() == index and _is_read(image)):
        return image
    file = getattr(image, "_fp", None) or getattr(image, "fp", None)
    content = None if file is None else _bytes_of(file)
    kind: Any = type(image)
    try:
        again: PIL.Image.Image = kind(io.BytesIO(content or b""))
        again.seek(index)
    except Exception as error:  # closed, changed, or a subclass
        if image.tell() == index:
            return image
        raise MediaSourceError(
            f"the animated picture stood at frame {index} when it was given, and is at "
            f"{image.tell()} now",
            expected="a picture of its own for each frame",
            hint="[frame.copy() for frame in PIL.ImageSequence.Iterator(picture)]",
        ) from error
    return again


def _may_have_frames(image: Any) -> bool:
    """True if a picture can be moved to another frame; to be sure, some formats would read on."""
    import PIL.Image
    import PIL.ImageFile

    if not isinstance(image, PIL.ImageFile.ImageFile):
        return False
    is_movable = type(image).seek is not PIL.Image.Image.seek
    return is_movable and vars(image).get("is_animated", True) is not False


def content_of(image: PIL.Image.Image) -> bytes | None:
    """Return the encoded bytes of a picture that is not loaded; None if they are not at hand."""
    import PIL.ImageFile

    if not isinstance(image, PIL.ImageFile.ImageFile):
        return None
    return None if _is_read(image) else _bytes_of(image.fp)


def _is_read(image: Any) -> bool:
    """True if Pillow holds all pixels of an opened picture, and will not read its file again."""
    return not image.tile and getattr(image, "_im", image) is not None


def orientation_of(image: PIL.Image.Image) -> int:
    """Return the EXIF orientation of a caller's picture, 1 if none; leaves the object unchanged."""
    if image.format == "TIFF":  # Pillow turns it when it loads it, and gives its size as turned
        return 1
    return asked_of_exif(image, exif_orientation)


def asked_of_exif(image: PIL.Image.Image, read: Callable[[PIL.Image.Image], _Told]) -> _Told:
    """Return what a function reads in the EXIF of a caller's picture, which stays unchanged."""
    with _locked(image):
        if getattr(image, "_exif", None) is not None:  # the caller may have changed it
            return read(image)
        return read(_bare(image))


def is_animated(image: Any) -> bool:
    """True for a Pillow object of several frames; Pillow may read on to know that."""
    import PIL.ImageFile

    if not isinstance(image, PIL.ImageFile.ImageFile):
        return False
    with _locked(image):
        return getattr(image, "is_animated", False) is True


def exif_orientation(image: PIL.Image.Image) -> int:
    """Return the orientation in a picture's EXIF or XMP, 1 to 8 (EXIF 2.32, tag 274)."""
    try:
        orientation = int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF is no reason to refuse a sound picture
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def png_exif(stream: BinaryIO) -> bytes:
    """Return the EXIF chunk of a PNG without reading the others; empty if there is none."""
    position = stream.tell()  # Pillow goes on reading from here
    found = b""
    offset = _PNG_SIGNATURE_BYTES
    while not found:
        stream.seek(offset)
        head = stream.read(8)
        if len(head) < 8:
            break
        num_bytes = int.from_bytes(head[:4], "big")
        if head[4:] == b"eXIf":
            found = stream.read(num_bytes)
        offset += 12 + num_bytes
    stream.seek(position)
    return found


@contextmanager
def _locked(image: Any) -> Iterator[None]:
    """Keep other threads of the kit from reading a picture, or its file, which others may share."""
    file = getattr(image, "fp", None) or getattr(image, "_fp", None)
    with locked(image):
        if file is None:
            yield
            return
        with locked(file):
            yield


def _bare(image: PIL.Image.Image) -> PIL.Image.Image:
    """A new object with a picture's information; Pillow may store there what it finds."""
    import PIL.Image

    bare = PIL.Image.Image()
    bare.info = dict(image.info)
    if image.format == "PNG" and "Raw profile type exif" not in bare.info:
        file: Any = getattr(image, "fp", None)
        content = content_of(image)
        stream = file if content is None else io.BytesIO(content)
        if stream is not None and "exif" not in bare.info:  # it may come after the pixels
            bare.info["exif"] = png_exif(stream)
    return bare


def _facts(image: Any) -> tuple[Any, ...]:
    """All facts that decide how a picture's pixels will be read."""
    shape = (image.mode, image.size, image.format, image.tell())
    return (*shape, list(map(_tile_facts, image.tile)), image.decoderconfig, image.info)


def _tile_facts(tile: Any) -> tuple[Any, ...]:
    """The facts of one tile, that is, of one stretch of pixels; without JPEG 2000's file number."""
    decoder, extents, offset, options = tile
    return (decoder, extents, offset, options[:3] if decoder == "jpeg2k" else options)


def _bytes_of(file: Any) -> bytes | None:
    """All bytes of a file; its position is unchanged afterwards. None if they cannot be read."""
    try:
        if isinstance(file, io.BytesIO):
            return file.getvalue()
        if isinstance(file, (io.BufferedReader, io.FileIO)) and hasattr(os, "pread"):
            return _read_apart(file)
        with locked(file):
            position = file.tell()
            file.seek(0)
            try:
                return bytes(file.read())
            finally:
                file.seek(position)
    except Exception:  # it was closed, or is a class of the caller
        return None


def _read_apart(file: io.BufferedReader | io.FileIO) -> bytes | None:
    descriptor = os.dup(file.fileno())
    try:
        # If it was closed before `dup`, the descriptor may belong to another file by now.
        status = os.fstat(descriptor)
        if file.closed or not stat.S_ISREG(status.st_mode):
            return None
        return b"".join(_pieces(descriptor, status.st_size))
    finally:
        os.close(descriptor)


def _pieces(descriptor: int, num_bytes: int) -> Iterator[bytes]:
    """The contents of a file, piece by piece: a system gives no more than 2 GiB at once."""
    offset = 0
    while offset < num_bytes and (piece := os.pread(descriptor, num_bytes - offset, offset)):
        offset += len(piece)
        yield piece
