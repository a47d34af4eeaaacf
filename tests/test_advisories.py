"""What was published of other programs, where no other test holds the kit to it."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import av
import PIL.Image
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from qwenvl_kit import MediaPolicy, Message, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MediaSizeError
from qwenvl_kit.media import pillow_objects

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
FIXED = {
    "av": "18.0",  # FFmpeg 8.1.2: CVE-2026-8461, CVE-2026-40962, CVE-2026-30997
    "jinja2": "3.1.6",  # CVE-2025-27516
    "pillow": "13.0",  # CVE-2026-112403, CVE-2026-96639 and others
    "transformers": "5.3",  # CVE-2026-4372, CVE-2026-1839
}
"""The versions in which the last flaws that we know of were mended."""

FIXED_ON_3_10 = {**FIXED, "av": "17.1", "pillow": "12.3"}
"""The newest that there are for Python 3.10, which has not had all of it."""


@pytest.mark.parametrize(("python", "fixed"), [("3.11", FIXED), ("3.10", FIXED_ON_3_10)])
def test_no_version_with_a_published_flaw_is_admitted(python: str, fixed: dict[str, str]) -> None:
    given = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    bounds = {}
    for each in map(Requirement, given):
        if each.marker is None or each.marker.evaluate({"python_version": python}):
            bounds[each.name] = next(bound.version for bound in each.specifier)
    assert all(Version(bounds[name]) >= Version(least) for name, least in fixed.items())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there is no such PyAV for Python 3.10")
def test_the_ffmpeg_that_comes_with_pyav_has_its_flaws_mended() -> None:
    assert Version(av.ffmpeg_version_info) >= Version("8.1.2")


def test_frames_of_a_url_are_counted_before_one_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2026-5497 of vLLM: thousands of them filled the memory."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (8, 8)).save(file, "JPEG")
    frame = base64.b64encode(file.getvalue()).decode()
    film = VideoPart("data:video/jpeg;base64," + ",".join([frame] * 5000), fps=2)
    monkeypatch.setattr(pillow_objects, "load", None)
    chat = VisionChat(ScriptedBackend([]), media=MediaPolicy(max_frames=100))
    with pytest.raises(MediaSizeError, match="frames of the video"):
        chat.ask([Message.user(film, "What happens?")])
