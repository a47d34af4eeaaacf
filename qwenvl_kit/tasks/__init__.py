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
from qwenvl_kit.tasks.ask_number import NumberAnswer, ask_number
from qwenvl_kit.tasks.ask_video import VideoAnswer, ask_video
from qwenvl_kit.tasks.ask_yes_no import YesNo, ask_yes_no
from qwenvl_kit.tasks.classify import Classification, ask_choice, classify
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
    MoveTo,
    PressKeys,
    Scroll,
    TypeText,
    Wait,
)
from qwenvl_kit.tasks.computer_use.next_action import Step, next_action
from qwenvl_kit.tasks.count import count
from qwenvl_kit.tasks.describe import Description, describe
from qwenvl_kit.tasks.document_qa import DocumentAnswer, DocumentAnswers, document_qa
from qwenvl_kit.tasks.extract import Extraction, extract, stream_extract
from qwenvl_kit.tasks.judge_description import Claim, Judgement, judge_description
from qwenvl_kit.tasks.locate import locate, point_at
from qwenvl_kit.tasks.read_table import ReadTable, chart_to_table, read_table
from qwenvl_kit.tasks.read_text import ReadText, TextLine, read_text
from qwenvl_kit.tasks.summarize_video import summarize_video
from qwenvl_kit.tasks.summarize_video.segments import VideoSegment, VideoSummary
from qwenvl_kit.tasks.task_result import Answer, Answers
from qwenvl_kit.tasks.translate_text_in_image import TextPair, Translation, translate_text_in_image
from qwenvl_kit.tasks.write_from_image import Writing, write_from_image
from qwenvl_kit.tasks.writing.verse_forms import VERSE_FORMS, VerseForm

__all__ = [
    "VERSE_FORMS",
    "Answer",
    "Answers",
    "Claim",
    "Classification",
    "Click",
    "Code",
    "Comparison",
    "Description",
    "Difference",
    "DocumentAnswer",
    "DocumentAnswers",
    "Done",
    "DragTo",
    "Extraction",
    "Judgement",
    "MoveTo",
    "NumberAnswer",
    "PressKeys",
    "ReadTable",
    "ReadText",
    "RenderComparison",
    "Scroll",
    "Step",
    "TextLine",
    "TextPair",
    "Translation",
    "TypeText",
    "VerseForm",
    "VideoAnswer",
    "VideoSegment",
    "VideoSummary",
    "Wait",
    "Writing",
    "YesNo",
    "ask_choice",
    "ask_number",
    "ask_video",
    "ask_yes_no",
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
    "judge_description",
    "locate",
    "next_action",
    "point_at",
    "read_table",
    "read_text",
    "render_and_compare",
    "stream_extract",
    "summarize_video",
    "to_code",
    "translate_text_in_image",
    "write_from_image",
]

for _name in __all__:
    if _isfunction(globals()[_name]):
        globals()[_name] = _explains_wrong_arguments(globals()[_name])
