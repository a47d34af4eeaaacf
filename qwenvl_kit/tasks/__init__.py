"""Tasks: one function for each thing that people ask of pictures, each with a typed result.

The first argument of every function is the chat, which holds the model.

Example:
    from qwenvl_kit import VisionChat
    from qwenvl_kit.tasks import describe

    with VisionChat.from_pretrained("Qwen/Qwen3-VL-2B-Instruct") as chat:
        print(describe(chat, "photo.jpg", detail="short"))
"""

from inspect import isfunction as _isfunction

from qwenvl_kit.arguments.checks import explains_wrong_arguments as _explains_wrong_arguments
from qwenvl_kit.tasks.answer_from_document import (
    CitedAnswer,
    DocumentIndex,
    RankedPage,
    answer_from_document,
    caption_pages,
)
from qwenvl_kit.tasks.ask_choice import ask_choice
from qwenvl_kit.tasks.ask_number import NumberAnswer, ask_number
from qwenvl_kit.tasks.ask_video import VideoAnswer, ask_video
from qwenvl_kit.tasks.ask_yes_no import YesNo, ask_yes_no
from qwenvl_kit.tasks.classify import Classification, classify
from qwenvl_kit.tasks.coding.code import Code
from qwenvl_kit.tasks.coding.rendering import RenderComparison, render_and_compare
from qwenvl_kit.tasks.coding.to_code import code_of, to_code
from qwenvl_kit.tasks.compare import (
    Comparison,
    Difference,
    compare,
    compare_by_aspects,
    find_differences,
)
from qwenvl_kit.tasks.computer_use.actions import (
    Click,
    Done,
    DragTo,
    LongPress,
    MoveTo,
    OpenApp,
    PressKeys,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)
from qwenvl_kit.tasks.computer_use.next_action import Step, next_action
from qwenvl_kit.tasks.count import count
from qwenvl_kit.tasks.describe import Description, describe
from qwenvl_kit.tasks.document_qa import DocumentAnswer, DocumentAnswers, document_qa
from qwenvl_kit.tasks.extract import (
    Evidence,
    EvidencedExtraction,
    Extraction,
    extract,
    stream_extract,
)
from qwenvl_kit.tasks.find_events.events import Event, Events
from qwenvl_kit.tasks.find_events.finder import find_events
from qwenvl_kit.tasks.image_tools.image_answer import ImageAnswer, ImageStep
from qwenvl_kit.tasks.image_tools.thinking import think_with_images
from qwenvl_kit.tasks.image_tools.zooming import zoom_answer
from qwenvl_kit.tasks.judge_description import Claim, Judgement, judge_description
from qwenvl_kit.tasks.locate import locate, point_at
from qwenvl_kit.tasks.locate_3d import locate_3d
from qwenvl_kit.tasks.outline import outline
from qwenvl_kit.tasks.parse_document import parse_document, parse_pages
from qwenvl_kit.tasks.read_table import ReadTable, chart_to_table, read_table
from qwenvl_kit.tasks.read_text import ReadText, TextLine, read_text
from qwenvl_kit.tasks.recognition.found import Recognitions, Recognized, Thing
from qwenvl_kit.tasks.recognition.recognize import recognize
from qwenvl_kit.tasks.summarize_video.chapters import read_chapters
from qwenvl_kit.tasks.summarize_video.segments import Chapter, VideoSegment, VideoSummary
from qwenvl_kit.tasks.summarize_video.summarizer import summarize_video
from qwenvl_kit.tasks.task_result import Answer, Answers
from qwenvl_kit.tasks.trace_path import trace_path
from qwenvl_kit.tasks.translate_text_in_image import TextPair, Translation, translate_text_in_image
from qwenvl_kit.tasks.write_from_image import Writing, write_from_image
from qwenvl_kit.tasks.writing.verse_forms import VERSE_FORMS, VerseForm

__all__ = [
    "VERSE_FORMS",
    "Answer",
    "Answers",
    "Chapter",
    "CitedAnswer",
    "Claim",
    "Classification",
    "Click",
    "Code",
    "Comparison",
    "Description",
    "Difference",
    "DocumentAnswer",
    "DocumentAnswers",
    "DocumentIndex",
    "Done",
    "DragTo",
    "Event",
    "Events",
    "Evidence",
    "EvidencedExtraction",
    "Extraction",
    "ImageAnswer",
    "ImageStep",
    "Judgement",
    "LongPress",
    "MoveTo",
    "NumberAnswer",
    "OpenApp",
    "PressKeys",
    "RankedPage",
    "ReadTable",
    "ReadText",
    "Recognitions",
    "Recognized",
    "RenderComparison",
    "Scroll",
    "Step",
    "Swipe",
    "SystemButton",
    "TextLine",
    "TextPair",
    "Thing",
    "Translation",
    "TypeText",
    "VerseForm",
    "VideoAnswer",
    "VideoSegment",
    "VideoSummary",
    "Wait",
    "Writing",
    "YesNo",
    "answer_from_document",
    "ask_choice",
    "ask_number",
    "ask_video",
    "ask_yes_no",
    "caption_pages",
    "chart_to_table",
    "classify",
    "code_of",
    "compare",
    "compare_by_aspects",
    "count",
    "describe",
    "document_qa",
    "extract",
    "find_differences",
    "find_events",
    "judge_description",
    "locate",
    "locate_3d",
    "next_action",
    "outline",
    "parse_document",
    "parse_pages",
    "point_at",
    "read_chapters",
    "read_table",
    "read_text",
    "recognize",
    "render_and_compare",
    "stream_extract",
    "summarize_video",
    "think_with_images",
    "to_code",
    "trace_path",
    "translate_text_in_image",
    "write_from_image",
    "zoom_answer",
]

for _name in __all__:
    if _isfunction(globals()[_name]):
        globals()[_name] = _explains_wrong_arguments(globals()[_name])
