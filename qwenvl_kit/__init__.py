"""Typed access to Qwen vision-language models.

    from qwenvl_kit import VisionChat

    chat = VisionChat.from_pretrained()
    print(chat.ask("What is in this image?", "picture.png"))

Importing the package loads neither torch nor transformers; loading a model does.
"""

from qwenvl_kit import errors
from qwenvl_kit.chat import VisionChat
from qwenvl_kit.checkpoints.inspection import Inspection, inspect
from qwenvl_kit.conversation import Conversation
from qwenvl_kit.diagnostics import Diagnosis, Finding, doctor
from qwenvl_kit.formats.dicts import from_dicts, to_openai, to_qwen
from qwenvl_kit.geometry import PixelMap, Point, Region, Size
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart, Message, TextPart, VideoPart
from qwenvl_kit.options import PixelBudget, Sampling
from qwenvl_kit.pipeline.stats import ChatStats
from qwenvl_kit.pipeline.streaming import BatchStream, ReplyStream
from qwenvl_kit.plans import ImagePlan, Plan, VideoPlan
from qwenvl_kit.requests import Request, RequestLike
from qwenvl_kit.results import (
    BatchEvent,
    Delta,
    Failure,
    Reply,
    Timing,
    TokenAlternative,
    TokenScore,
    Usage,
)

__version__ = "0.1.0"

__all__ = [
    "BatchEvent",
    "BatchStream",
    "ChatStats",
    "Conversation",
    "Delta",
    "Diagnosis",
    "DocumentPart",
    "Failure",
    "Finding",
    "ImagePart",
    "ImagePlan",
    "Inspection",
    "MediaPolicy",
    "Message",
    "PixelBudget",
    "PixelMap",
    "Plan",
    "Point",
    "Region",
    "Reply",
    "ReplyStream",
    "Request",
    "RequestLike",
    "Sampling",
    "Size",
    "TextPart",
    "Timing",
    "TokenAlternative",
    "TokenScore",
    "Usage",
    "VideoPart",
    "VideoPlan",
    "VisionChat",
    "doctor",
    "errors",
    "from_dicts",
    "inspect",
    "to_openai",
    "to_qwen",
]
