"""What the pages take for granted: files, models, servers, and what their reader has written."""

from __future__ import annotations

import base64
import functools
import inspect
import io
import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import PIL.Image
import PIL.ImageDraw
import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit import inspect as inspect_checkpoint
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.testing import build_tiny_model
from qwenvl_kit.training import check_examples, fine_tune, show_example
from tests.docs.blocks import Block
from tests.videos import write_video

_FILE = re.compile(
    r"""["']((?:[\w-]+/)*[\w-]+\.(jpg|jpeg|png|webp|gif|tiff?|mp4|pdf|wav|srt))["']"""
)
_ADAPTER = re.compile(r"""["'](adapters/[\w/-]+)["']""")
_ABSENT = ("missing", "no-such", "nowhere")
"""Parts of names of files that a page wants not to be there."""


class Props:
    """What is made once for all pages, when one needs it.

    Args:
        folder: where it is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def film(self) -> Path:
        """A film of half a minute."""
        return write_video(self._folder / "film.mp4", 66, fps=2, width=112, height=84)

    @cached_property
    def short_film(self) -> Path:
        """For what plays it at its own speed."""
        return write_video(self._folder / "short.mp4", 4, fps=4, width=112, height=84)

    @cached_property
    def adapter(self) -> Path:
        """Of the embedded model."""
        return _train_adapter(MODEL_FOLDER, self._folder / "adapter")

    @cached_property
    def foreign_adapter(self) -> Path:
        """Of another model."""
        other = build_tiny_model(self._folder / "other")
        return _train_adapter(other, self._folder / "foreign")


def _train_adapter(base: Path, folder: Path) -> Path:
    import peft
    import torch
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    names = r".*language_model.*\.q_proj"
    config = peft.LoraConfig(r=4, target_modules=names, init_lora_weights=False)
    peft.get_peft_model(model, config).save_pretrained(folder)
    return folder


def draw_files(blocks: Iterable[Block], folder: Path, props: Props) -> None:
    """Each file and adapter that the blocks name, with what its name promises."""
    for block in blocks:
        for name, ending in _FILE.findall(block.code):
            path = folder / name
            if not path.exists() and not any(part in name for part in _ABSENT):
                path.parent.mkdir(parents=True, exist_ok=True)
                is_watched = re.search(rf"watch\(['\"]{re.escape(name)}", block.code)
                if ending == "mp4":
                    shutil.copy(props.short_film if is_watched else props.film, path)
                elif ending == "srt":
                    path.write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n", encoding="utf-8")
                else:
                    _draw().save(path)
        if "DocVQA_VAL.tsv" in block.code:
            _write_tsv(folder / "DocVQA_VAL.tsv")
        for name in _ADAPTER.findall(block.code):
            made = props.foreign_adapter if "another" in name else props.adapter
            shutil.copytree(made, folder / name, dirs_exist_ok=True)


def _write_tsv(path: Path) -> None:
    """A file of VLMEvalKit's form with a few questions."""
    content = io.BytesIO()
    _draw().save(content, "JPEG")
    picture = base64.b64encode(content.getvalue()).decode()
    rows = [f"{at}\t{picture}\tWhat is the total?\t['12.50', '{at}.50']" for at in range(3)]
    path.write_text("\n".join(["index\timage\tquestion\tanswer", *rows]), encoding="utf-8")


def _draw() -> PIL.Image.Image:
    image = PIL.Image.new("RGB", (1000, 640), "white")
    pen = PIL.ImageDraw.Draw(image)
    pen.ellipse((60, 80, 360, 380), fill="red")
    pen.rectangle((520, 120, 800, 400), fill="blue")
    pen.text((80, 500), "TOTAL 12.50", fill="black", font_size=60)
    return image


def pretend(monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    """Models of hubs, of OpenVINO, vLLM and servers, and folders that are not there.

    They are the embedded model, or for the pages that need one that can do more, answers that were
    written before. What is passed is held to the real signature.
    """
    real = VisionChat.from_pretrained

    def from_pretrained(model: Any = None, **options: Any) -> VisionChat:
        is_given_wrong = not _binds(real, model, **options)
        is_there = model is None or Path(model).exists()
        if is_given_wrong or is_there or "no-such" in str(model):
            return real(model, **options)
        if page in SCRIPTS:
            return VisionChat(ScriptedBackend(SCRIPTS[page], family="qwen3_vl"))
        options.pop("quantization", None)
        return real(MODEL_FOLDER, **options)

    def standing_in(opening: Callable[..., VisionChat]) -> Callable[..., VisionChat]:
        def opened(*given: Any, **options: Any) -> VisionChat:
            return real() if _binds(opening, *given, **options) else opening(*given, **options)

        return opened

    monkeypatch.setattr(VisionChat, "from_pretrained", from_pretrained)
    for name in ("connect", "from_openvino", "from_vllm"):
        monkeypatch.setattr(VisionChat, name, standing_in(getattr(VisionChat, name)))
    monkeypatch.setattr("prometheus_client.start_http_server", lambda port: None)
    monkeypatch.setattr("qwenvl_kit.inspect", lambda model: inspect_checkpoint(MODEL_FOLDER))
    for called in (check_examples, fine_tune, show_example):
        monkeypatch.setattr(f"qwenvl_kit.training.{called.__name__}", _of_embedded(called))


def _of_embedded(called: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes the embedded model for any other."""

    @functools.wraps(called)
    def calling(model: Any, *given: Any, **options: Any) -> Any:
        return called(MODEL_FOLDER, *given, **options)

    return calling


def _binds(called: Callable[..., Any], *given: Any, **options: Any) -> bool:
    """Whether it takes such arguments; where it does not, it says so itself."""
    try:
        inspect.signature(called).bind(*given, **options)
    except TypeError:
        return False
    return True


def _say(name: str, **arguments: Any) -> str:
    call = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{call}\n</tool_call>"


SCRIPTS: Mapping[str, list[str]] = {
    "docs/guide/generation.md": ["<think>\nOne, two.\n</think>\n\nTwo."],
    "docs/guide/videos.md": [
        '[{"start": "00:01.00", "end": "00:02.50", "description": "A goal."}]', "At 0:12.",
    ],
    "docs/guide/computer_use.md": [
        _say("computer_use", action="left_click", coordinate=[500, 300]),
        _say("computer_use", action="terminate", status="success"),
        "Thought: It is further down.\nAction: Swipe up.\n"
        + _say("mobile_use", action="swipe", coordinate=[500, 800], coordinate2=[500, 200]),
    ],
    "docs/guide/zooming.md": [
        _say("image_zoom_in_tool", label="plate", bbox_2d=[0, 0, 300, 300], img_idx=0),
        "It is BW14 WDZ.",
        '[{"bbox_2d": [60, 120, 360, 600], "label": "the sign"}]',
        "Hop Inn.",
    ],
    "docs/guide/documents.md": [
        '<h1 data-bbox="50 50 900 100">A report</h1><img data-bbox="60 120 360 600"/>'
    ]
    * 3,
    "docs/guide/tools.md": [
        _say("weather", city="Rome"), "It will.", _say("weather", city="Rome"), "It will.",
    ],
}  # fmt: skip
"""What is answered in the pages whose models can do more than the embedded one."""


def names_for(page: str) -> dict[str, Any]:
    """What the reader of a page has of his own."""
    hands = SimpleNamespace(click=print, write=print)
    return {
        "docs/guide/computer_use.md": {
            "take_screenshot": _draw, "mouse": hands, "keyboard": hands,
        },
        "docs/guide/tools.md": {"forecast": lambda city, days: f"rain in {city} for {days} days"},
        "docs/guide/confidence.md": {
            "questions": ["Hello"] * 520, "answers": [mock.ANY, "another"] * 260,
        },
    }.get(page, {})  # fmt: skip
