"""The kinds of requests about pictures and documents that the decoding process answers."""

from __future__ import annotations

IMAGE_HEADER, IMAGE_PIXELS = "image header", "image pixels"
IMAGE_REQUESTS = (IMAGE_HEADER, IMAGE_PIXELS)

PAGE_SIZES, PAGE_IMAGES = "page sizes", "page images"
DOCUMENT_REQUESTS = (PAGE_SIZES, PAGE_IMAGES)
