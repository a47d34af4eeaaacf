"""Requests of lmms-eval as requests of the kit; lmms-eval itself is not needed here."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.errors import QwenVLKitWarning, UnsupportedFeatureError
from qwenvl_kit.messages.message import ImagePart, Message, Part, TextPart, VideoPart
from qwenvl_kit.options import Sampling

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tiff", ".webp")
_SOUNDS = (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus")
"""The endings by which lmms-eval tells files (lmms_eval/api/task.py, `ConfigurableMessagesTask`);
it takes `.webm` for sound, which is a film as often."""

_USED = frozenset({"until", "max_new_tokens", "temperature", "do_sample", "top_p", "top_k"})
_IGNORED = frozenset({"num_beams", "image_aspect_ratio", "use_cache", "max_agentic_steps"})
"""Settings of tasks that say nothing to these models."""

_PARAGRAPH = "\n\n"


@dataclass(frozen=True)
class FilmOptions:
    """The frames of films that are shown; see `VideoPart`.

    Attributes:
        fps: frames per second; None for the default of 2.
        max_frames: the most frames; None for the default of 768.
        num_frames: a number of frames, evenly spread; None leaves it to the others.
    """

    fps: float | None = None
    max_frames: int | None = None
    num_frames: int | None = None

    def part(self, source: Any, start: float | None = None, end: float | None = None) -> VideoPart:
        """Return the part that shows a film, or the part of it between two times in seconds."""
        return VideoPart(
            source,
            fps=self.fps,
            max_frames=self.max_frames,
            num_frames=self.num_frames,
            start_seconds=start,
            end_seconds=end,
        )


def messages_of(turns: Iterable[Mapping[str, Any]], films: FilmOptions) -> list[Message]:
    """Return the messages of a chat task.

    Args:
        turns: dicts with `role` and `content`, as `doc_to_messages` gives them.
        films: the frames of films.

    Raises:
        UnsupportedFeatureError: a turn holds sound, or something else that these models do not
            take.
        MessageError: a turn is no message.
    """
    return [Message(turn["role"], _parts(turn["content"], films)) for turn in turns]


def user_turn(visuals: Any, text: str, films: FilmOptions) -> list[Message]:
    """Return the message of a task that gives its pictures and films apart from its text.

    Args:
        visuals: pictures of Pillow, paths of pictures and films, or dicts; a list of them.
        text: the text, which comes after them.
        films: the frames of films.

    Raises:
        UnsupportedFeatureError: there is sound among them.
    """
    given = visuals if isinstance(visuals, (list, tuple)) else [visuals]
    return [Message.user(*(_visual(each, films) for each in given if each is not None), text)]


def sampling_of(settings: Mapping[str, Any], max_new_tokens: int) -> Sampling:
    """Return the settings of generation of a task.

    Two line breaks, which lmms-eval stops at by default, end no answer: its own Qwen models drop
    them too (lmms_eval/models/simple/qwen2_5_vl.py).

    Args:
        settings: the `generation_kwargs` of the task.
        max_new_tokens: the greatest length where the task sets none.

    Raises:
        UnsupportedFeatureError: the task wants a search with several beams.
        SamplingError: a setting is out of its range.
    """
    if (settings.get("num_beams") or 1) > 1:
        raise UnsupportedFeatureError(
            f"the task wants num_beams={settings['num_beams']}", expected="num_beams=1"
        )
    if unused := sorted(set(settings) - _USED - _IGNORED):
        text = f"settings of the task that are not used: {', '.join(unused)}"
        warnings.warn(text, QwenVLKitWarning, stacklevel=2)
    until = settings.get("until") or ()
    stop = [until] if isinstance(until, str) else until
    return Sampling(
        max_new_tokens=int(settings.get("max_new_tokens") or max_new_tokens),
        stop=tuple(text for text in stop if text and text != _PARAGRAPH),
        **_randomness(settings),
    )


def request_id(task: str, split: str, doc_id: Any, *decisive: Any) -> str:
    """Return a name for a request: another text or other settings give another name.

    Args:
        task: the name of the task.
        split: the split.
        doc_id: the number of the row.
        decisive: the text and the settings; a task of several steps asks about one row several
            times.
    """
    digest = hashlib.sha256(repr(decisive).encode()).hexdigest()[:16]
    return f"{task}/{split}/{doc_id}/{digest}"


def _randomness(settings: Mapping[str, Any]) -> dict[str, Any]:
    temperature = settings.get("temperature") or 0.0
    if settings.get("do_sample") is False or temperature <= 0:
        return {"temperature": 0.0}
    chosen = {name: settings.get(name) for name in ("top_p", "top_k")}
    return {"temperature": temperature, **chosen}


def _parts(content: Any, films: FilmOptions) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    return tuple(_part(each, films) for each in content)


def _part(item: Mapping[str, Any], films: FilmOptions) -> Part:
    kind = item.get("type")
    if kind == "text":
        return TextPart(item["text"])
    if kind == "image":
        return ImagePart(item["url"])
    if kind == "video":
        return _film(item["url"], films, item.get("start_time"), item.get("end_time"))
    raise _unsupported(str(kind))


def _visual(visual: Any, films: FilmOptions) -> Part:
    """A picture or film that a task gives without saying which it is."""
    if isinstance(visual, Mapping) and "array" not in visual:
        kind = visual.get("type", "video")
        return (
            _part({"type": kind, "url": visual}, films) if kind != "text" else _part(visual, films)
        )
    if isinstance(visual, Mapping):
        raise _unsupported("sound")
    if not isinstance(visual, (str, os.PathLike)):
        return ImagePart(visual)
    ending = os.path.splitext(os.fspath(visual))[1].lower()
    if ending in _SOUNDS:
        raise _unsupported("sound")
    return ImagePart(visual) if ending in _PICTURES else films.part(os.fspath(visual))


def _film(source: Any, films: FilmOptions, start: float | None, end: float | None) -> VideoPart:
    if isinstance(source, Mapping):
        path = source.get("url") or source.get("path") or source.get("video")
        start, end = source.get("video_start", start), source.get("video_end", end)
        return films.part(path, start, end)
    return films.part(list(source) if _is_sequence(source) else source, start, end)


def _is_sequence(source: Any) -> bool:
    return isinstance(source, Sequence) and not isinstance(source, (str, bytes))


def _unsupported(kind: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        f"the task asks about {kind}", expected="text, pictures and films, which these models take"
    )
