"""Documents of 500 pages: bounded memory, and runs that are killed and go on."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

NUM_PAGES = 500

_MAKE = textwrap.dedent(
    """
    import sys
    from PIL import Image, ImageDraw
    import io

    def pdf_page(number):
        image = Image.new("RGB", (612, 792), "white")
        ImageDraw.Draw(image).text((60, 60), f"page {number}", fill="black")
        return image

    def write(path, count):
        pdf_page(1).save(path, "PDF", save_all=True,
                         append_images=(pdf_page(at) for at in range(2, count + 1)))
    """
)

_RUN = textwrap.dedent(
    """
    import os, signal, sys
    import psutil
    from qwenvl_kit import DocumentPart, MediaPolicy, VisionChat
    from qwenvl_kit.backends.scripted import ScriptedBackend
    from qwenvl_kit.tasks import parse_pages

    source, journal, kill_after = sys.argv[1], sys.argv[2], int(sys.argv[3])
    asked = 0

    def answer(request):
        global asked
        asked += 1
        if asked == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        words = " ".join(f"word{at}" for at in range(100))
        return f'<p data-bbox="0 0 999 500">{words}</p>'

    backend = ScriptedBackend(answer, family="qwen3_vl", context_tokens=32768)
    chat = VisionChat(backend, media=MediaPolicy(max_pages=500))
    process, most, peaks, count = psutil.Process(), 0, [], 0
    for page in parse_pages(chat, DocumentPart(source, dpi=72), journal=journal):
        assert page.blocks and page.number == count + 1, page
        count += 1
        backend.requests.clear()  # which the script would keep for its user
        # A child of a large process inherits the peak that the system knows, so it is taken here.
        most = max(most, process.memory_info().rss // 2**20)
        if count % 100 == 0:
            peaks.append(most)
    print({"pages": count, "asked": asked, "peaks": peaks})
    """
)


def run(folder: Path, kill_after: int) -> subprocess.CompletedProcess[str]:
    arguments = [str(folder / "book.pdf"), str(folder / "run.jsonl"), str(kill_after)]
    return subprocess.run(
        [sys.executable, "-c", _RUN, *arguments], capture_output=True, text=True, check=False
    )


def test_a_killed_run_of_500_pages_goes_on_in_bounded_memory(tmp_path: Path) -> None:
    make = f"{_MAKE}\nwrite({str(tmp_path / 'book.pdf')!r}, {NUM_PAGES})"
    subprocess.run([sys.executable, "-c", make], check=True)
    killed = run(tmp_path, kill_after=250)
    assert killed.returncode == -9, killed.stderr
    kept = (tmp_path / "run.jsonl").read_text(encoding="utf-8").splitlines()
    assert 180 < sum('"key": "page' in line for line in kept) < 250
    whole = run(tmp_path, kill_after=-1)
    assert whole.returncode == 0, whole.stderr
    found = json.loads(whole.stdout.replace("'", '"'))
    assert found["pages"] == NUM_PAGES
    assert 250 < found["asked"] < 320
    assert found["peaks"][-1] - found["peaks"][-2] < 60, found  # MiB; 100 pages have 140
    assert found["peaks"][-1] < 700, found
