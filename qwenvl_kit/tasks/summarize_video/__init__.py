"""Videos of any length: windows, an answer about each, and one about all of them."""

from qwenvl_kit.tasks.summarize_video.segments import VideoSegment, VideoSummary
from qwenvl_kit.tasks.summarize_video.summarizer import summarize_video

__all__ = ["VideoSegment", "VideoSummary", "summarize_video"]
