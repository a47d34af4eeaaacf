"""A TIFF of several pages is a document; one of a single page is a picture."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from qwenvl_kit import DocumentPart, Message, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MediaArrayError, MediaDecodeError, MediaSizeError
from qwenvl_kit.media.pages import measure_pages, read_pages
from qwenvl_kit.media.policy import MediaPolicy
from tests.media.test_pages import APART, POLICY

COLOURS = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255)}


def scan_of(*colours: str, size: tuple[int, int] = (60, 40), **settings: object) -> bytes:
    """A TIFF with a page of each colour."""
    first, *others = (PIL.Image.new("RGB", size, colour) for colour in colours)
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=others, **settings)
    return buffer.getvalue()


def _colours(content: object, policy: MediaPolicy = POLICY, **settings: object) -> list[object]:
    return [page.image.getpixel((5, 5)) for page in read_pages(content, policy, **settings)]  # type: ignore[arg-type]


def _images(content: object, policy: MediaPolicy = POLICY) -> int:
    chat = VisionChat(ScriptedBackend([]), media=policy)
    return len(chat.plan("?", content).images)  # type: ignore[arg-type]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg", "tiff_deflate"])
def test_each_page_of_a_scan_is_its_own(compression: str) -> None:
    content = scan_of(*COLOURS, compression=compression)
    for shown, wanted in zip(_colours(content), COLOURS.values(), strict=True):
        assert max(abs(a - b) for a, b in zip(shown, wanted)) < 8  # type: ignore[call-overload]
    assert _images(content) == 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "LA"])
def test_pages_of_every_mode_are_shown_in_rgb(mode: str) -> None:
    pages = [PIL.Image.new("RGB", (60, 40), colour).convert(mode) for colour in ("white", "black")]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    white, black = _colours(buffer.getvalue())
    assert min(white) > 250  # type: ignore[type-var]
    assert max(black) < 5  # type: ignore[type-var]


def test_pages_may_differ_in_size_and_side_up() -> None:
    first = PIL.Image.new("RGB", (60, 40), "white")
    buffer, turned = io.BytesIO(), PIL.Image.new("RGB", (50, 20), "white")
    turned.putpixel((0, 0), (0, 0, 0))
    turned.getexif()[274] = 6
    first.save(buffer, "TIFF", save_all=True, append_images=[turned])
    sizes = [size for _, size in measure_pages(buffer.getvalue(), POLICY, None, 72, None)]
    pages = [page.image for page in read_pages(buffer.getvalue(), POLICY)]
    assert [(size.width_px, size.height_px) for size in sizes] == [page.size for page in pages]
    assert pages[1].size in ((20, 50), (50, 20))  # as Pillow says that it was written


@pytest.mark.parametrize("order", [b"II", b"MM"])
def test_smaller_copies_and_masks_are_no_pages(order: bytes) -> None:
    assert _images(_grey_scan(order, [0, 1, 1])) == 1
    assert _images(_grey_scan(order, [0, 4])) == 1
    assert _images(_grey_scan(order, [2, 2, 1])) == 2
    assert [page.number for page in read_pages(_grey_scan(order, [2, 3, 2]), POLICY)] == [1, 2]


def test_a_scan_of_one_page_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.tiff").write_bytes(scan_of("red"))
    plan = VisionChat(ScriptedBackend([])).plan("?", tmp_path / "a.tiff")
    assert [image.where for image in plan.images] == ["messages[0].parts[0]"]


def test_a_scan_is_known_by_its_bytes_and_read_by_another_process_alike(tmp_path: Path) -> None:
    (tmp_path / "scan").write_bytes(scan_of(*COLOURS))
    for policy in (POLICY, APART):
        assert _images(tmp_path / "scan", policy) == 3
        assert _colours(tmp_path / "scan", policy, pages=[3, 1]) == [(0, 0, 255), (255, 0, 0)]


def test_grey_of_16_bits_follows_one_rule_on_every_page() -> None:
    def scan(*tops: int, **settings: object) -> bytes:
        ramps = [np.linspace(0, top, 64, dtype="uint16").reshape(8, 8) for top in tops]
        first, *others = map(PIL.Image.fromarray, ramps)
        file = io.BytesIO()
        first.save(file, "TIFF", save_all=True, append_images=others, **settings)
        return file.getvalue()

    pages = read_pages(scan(65535, 65535, tiffinfo={262: 0}), POLICY)
    assert [page.image.getpixel((0, 0)) for page in pages] == [(255, 255, 255)] * 2
    with pytest.raises(MediaArrayError) as caught:
        read_pages(scan(65535, 4095), POLICY)
    assert caught.value.where == "pages[2]"


def test_a_page_that_is_not_there_is_refused() -> None:
    with pytest.raises(MediaSizeError, match="page 4") as caught:
        read_pages(scan_of(*COLOURS), POLICY, pages=[4])
    assert caught.value.expected == "from 1 to 3"


def test_too_many_pages_are_refused_and_never_shown_by_the_first_alone() -> None:
    with pytest.raises(MediaSizeError, match="more than 2 pages") as caught:
        _images(scan_of(*COLOURS), MediaPolicy(max_pages=2))
    assert caught.value.where == "messages[0].parts[0]"
    assert "pages=" in caught.value.hint
    few = DocumentPart(scan_of(*COLOURS), pages=(1, 2))
    assert _images(few, MediaPolicy(max_pages=2)) == 2


def test_any_page_may_be_chosen_however_few_may_be_shown() -> None:
    policy = MediaPolicy(max_pages=1)
    assert _colours(scan_of(*COLOURS), policy, pages=[3]) == [(0, 0, 255)]
    with pytest.raises(MediaSizeError, match="page 4") as caught:
        _colours(scan_of(*COLOURS), policy, pages=[4])
    assert caught.value.expected == "from 1 to 3"


def test_pictures_without_end_are_not_gone_through() -> None:
    with pytest.raises(MediaSizeError, match="pictures"):
        _images(_grey_scan(b"II", [0, *[1] * 60]), MediaPolicy(max_pages=5))


def test_a_page_that_leads_back_to_the_first_is_not_followed_for_ever() -> None:
    assert _images(_grey_scan(b"II", [0, 0], loops=True)) == 2


def test_a_page_of_too_many_pixels_is_refused_with_its_number() -> None:
    with pytest.raises(MediaSizeError) as caught:
        _images(scan_of(*COLOURS), MediaPolicy(max_pixels=1000))
    assert caught.value.where == "messages[0].parts[0].pages[1]"


def test_a_damaged_page_is_named_and_the_others_can_be_shown() -> None:
    content = _grey_scan(b"II", [0, 0])[:-1000]  # the pixels of the second page
    chat = VisionChat(ScriptedBackend(["yes"]))
    with pytest.raises(MediaDecodeError, match="page 2") as caught:
        chat.ask("?", content)
    assert caught.value.where == "messages[0].parts[0].pages[2]"
    assert "DocumentPart" in caught.value.hint
    assert chat.ask([Message.user(DocumentPart(content, pages=[1]), "?")]).text == "yes"


def test_a_picture_that_was_opened_is_shown_as_it_stands() -> None:
    image = PIL.Image.open(io.BytesIO(scan_of(*COLOURS)))
    image.seek(1)
    backend = ScriptedBackend(["yes"])
    VisionChat(backend).ask("?", image)
    (shown,) = backend.requests[0].media
    assert shown.getpixel((5, 5)) == (0, 128, 0)  # type: ignore[union-attr]


def _grey_scan(order: bytes, kinds: list[int], *, loops: bool = False) -> bytes:
    """A TIFF of grey pages of 40 x 30, with the kind of each (tag 254), pixels behind all else."""
    mark = "<" if order == b"II" else ">"
    num_entries, num_bytes = 9, 40 * 30
    length = 2 + 12 * num_entries + 4
    pixels = 8 + length * len(kinds)
    content = order + struct.pack(f"{mark}HI", 42, 8)
    for page, kind in enumerate(kinds):
        values = {254: kind, 256: 40, 257: 30, 258: 8, 259: 1, 262: 1}
        values |= {273: pixels + page * num_bytes, 278: 30, 279: num_bytes}
        content += struct.pack(f"{mark}H", num_entries)
        for tag, value in values.items():
            content += struct.pack(f"{mark}HHII", tag, 4, 1, value)
        is_last = page == len(kinds) - 1
        following = (8 if loops else 0) if is_last else 8 + length * (page + 1)
        content += struct.pack(f"{mark}I", following)
    return content + b"\x80" * (num_bytes * len(kinds))
