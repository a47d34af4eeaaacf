"""The only room that opens files and decodes pictures."""

from qwenvl_kit.media.frame_sequences import decode_frames, measure_frames
from qwenvl_kit.media.images import decode_image, measure_image, resize_image
from qwenvl_kit.media.loader import decode_media, identify_media, measure_media
from qwenvl_kit.media.policy import MediaPolicy

__all__ = [
    "MediaPolicy",
    "decode_frames",
    "decode_image",
    "decode_media",
    "identify_media",
    "measure_frames",
    "measure_image",
    "measure_media",
    "resize_image",
]
