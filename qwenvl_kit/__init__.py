"""Typed access to Qwen vision-language models.

    from qwenvl_kit import VisionChat

    chat = VisionChat.from_pretrained()
    print(chat.ask("What is in this image?", "picture.png"))

Importing the package loads none of its modules: each name loads its own module when it is first
used. No name loads torch or transformers; loading a model does.
"""

import sys
from importlib import import_module

TYPE_CHECKING = False  # as in `typing`, whose import would take longer than all else here
if TYPE_CHECKING:
    from qwenvl_kit import errors
    from qwenvl_kit.chat import VisionChat
    from qwenvl_kit.checkpoints.inspection import Inspection, inspect
    from qwenvl_kit.conversation import Conversation
    from qwenvl_kit.diagnostics import Diagnosis, Finding, doctor
    from qwenvl_kit.formats.dicts import from_dicts, to_openai, to_qwen
    from qwenvl_kit.geometry import PixelMap, Point, Region, Size
    from qwenvl_kit.media.policy import MediaPolicy
    from qwenvl_kit.media.subtitles.reading import read_subtitles
    from qwenvl_kit.messages.document_parts import DocumentPart
    from qwenvl_kit.messages.message import ImagePart, Message, TextPart, VideoPart
    from qwenvl_kit.messages.subtitles import Subtitle
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
        Results,
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
    "Results",
    "Sampling",
    "Size",
    "Subtitle",
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
    "read_subtitles",
    "to_openai",
    "to_qwen",
]

_NAMES_OF_MODULES = {
    "chat": ("VisionChat",),
    "checkpoints.inspection": ("Inspection", "inspect"),
    "conversation": ("Conversation",),
    "diagnostics": ("Diagnosis", "Finding", "doctor"),
    "formats.dicts": ("from_dicts", "to_openai", "to_qwen"),
    "geometry": ("PixelMap", "Point", "Region", "Size"),
    "media.policy": ("MediaPolicy",),
    "media.subtitles.reading": ("read_subtitles",),
    "messages.document_parts": ("DocumentPart",),
    "messages.message": ("ImagePart", "Message", "TextPart", "VideoPart"),
    "messages.subtitles": ("Subtitle",),
    "options": ("PixelBudget", "Sampling"),
    "pipeline.stats": ("ChatStats",),
    "pipeline.streaming": ("BatchStream", "ReplyStream"),
    "plans": ("ImagePlan", "Plan", "VideoPlan"),
    "requests": ("Request", "RequestLike"),
    "results": (
        "BatchEvent",
        "Delta",
        "Failure",
        "Reply",
        "Results",
        "Timing",
        "TokenAlternative",
        "TokenScore",
        "Usage",
    ),
}
"""The imports above, as `__getattr__` carries them out; tests/house compares the two."""

_ROOMS = (
    *("backends", "calibration", "distributed", "errors", "grounding", "live", "media", "messages"),
    *("options", "plans", "requests", "results", "tasks", "telemetry", "testing", "training"),
)
"""Modules and folders with public names of their own: `qwenvl_kit.telemetry` needs no import."""

_MODULES = {name: module for module, names in _NAMES_OF_MODULES.items() for name in names}

if not TYPE_CHECKING:  # type checkers would believe that `__getattr__` has an answer to any name

    def __getattr__(name: str) -> object:
        if name in _ROOMS:
            return import_module(f"qwenvl_kit.{name}")
        if name not in _MODULES:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=sys.modules[__name__])
        value = getattr(import_module(f"qwenvl_kit.{_MODULES[name]}"), name)
        globals()[name] = value  # the next use of the name does not come here
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
