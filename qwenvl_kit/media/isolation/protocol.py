"""The kinds of requests that the decoding process answers, apart from those for frames."""

from __future__ import annotations

IMAGE_HEADER, IMAGE_PIXELS = "image header", "image pixels"
IMAGE_REQUESTS = (IMAGE_HEADER, IMAGE_PIXELS)

PAGE_SIZES, PAGE_IMAGES = "page sizes", "page images"
DOCUMENT_REQUESTS = (PAGE_SIZES, PAGE_IMAGES)

TEXT_TRACK, CHAPTERS = "text track", "chapters"
TEXT_REQUESTS = (TEXT_TRACK, CHAPTERS)
