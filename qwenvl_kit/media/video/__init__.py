"""Video files: read by PyAV, in a process of its own, for the frames that a plan names."""

from qwenvl_kit.media.video.files import VideoFile, decode_file, measure_file

__all__ = ["VideoFile", "decode_file", "measure_file"]
