"""Summaries of videos of any length: an answer about each window, merged into one answer."""

from qwenvl_kit.tasks.summarize_video.segments import VideoSegment, VideoSummary
from qwenvl_kit.tasks.summarize_video.summarizer import summarize_video

__all__ = ["VideoSegment", "VideoSummary", "summarize_video"]
