"""Things that people ask of pictures, each as one call with a typed result."""

from qwenvl_kit.tasks.answers import Answer
from qwenvl_kit.tasks.comparison import Comparison, compare
from qwenvl_kit.tasks.description import Description, describe
from qwenvl_kit.tasks.document_questions import DocumentAnswers, document_qa
from qwenvl_kit.tasks.reading import ReadText, read_text
from qwenvl_kit.tasks.translation import Translation, translate_text_in_image
from qwenvl_kit.tasks.video_summaries import summarize_video
from qwenvl_kit.tasks.video_summaries.segments import VideoSegment, VideoSummary

__all__ = [
    "Answer",
    "Comparison",
    "Description",
    "DocumentAnswers",
    "ReadText",
    "Translation",
    "VideoSegment",
    "VideoSummary",
    "compare",
    "describe",
    "document_qa",
    "read_text",
    "summarize_video",
    "translate_text_in_image",
]
