"""A browser draws what a model wrote, which reaches neither files nor the network."""

from __future__ import annotations

import http.server
import os
import shutil
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy
import PIL.Image
import pytest

from qwenvl_kit import ImagePart, MediaPolicy, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    BrowserMissingError,
    MediaError,
    MediaForbiddenError,
    MediaSizeError,
    MessageError,
    RenderError,
)
from qwenvl_kit.geometry import Region
from qwenvl_kit.tasks import RenderComparison, render_and_compare, to_code
from qwenvl_kit.tasks.coding import browser as browsers
from qwenvl_kit.tasks.coding.browser import Browser, Window, find_browser
from qwenvl_kit.tasks.coding.safe_page import page_around
from qwenvl_kit.tasks.coding.similarity import structural_similarity

CHROMIUM = next(filter(None, map(shutil.which, browsers.NAMES)), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"
)
needs_scripts = pytest.mark.skipif(os.name == "nt", reason="the fake browser is a script")

PAGE = '<!DOCTYPE html><body style="margin:0;background:#ff0000"><h1>Hello</h1></body>'
RED = PIL.Image.new("RGB", (120, 80), "red")

FAKE = """#!{python}
import os, sys
from PIL import Image
said = dict(one.partition("=")[::2] for one in sys.argv[1:])
open("{record}", "w").write("\\n".join([*sys.argv[1:], "", *sorted(os.environ)]))
open("{record}.page", "w").write(open(sys.argv[-1].removeprefix("file://")).read())
{behaviour}
width, height = map(int, said["--window-size"].split(","))
scale = float(said["--force-device-scale-factor"])
Image.new("RGB", (round(width * scale), round(height * scale)), "{colour}").save(
    said["--screenshot"])
"""


class Fake:
    """A program that takes the flags of a browser and draws one colour."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.record = folder / "record"

    def __call__(self, behaviour: str = "", colour: str = "red") -> str:
        path = self._folder / "fake-browser"
        path.write_text(
            FAKE.format(
                python=sys.executable, record=self.record, behaviour=behaviour, colour=colour
            )
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    @property
    def flags(self) -> list[str]:
        return self.record.read_text().partition("\n\n")[0].splitlines()

    @property
    def environment(self) -> list[str]:
        return self.record.read_text().partition("\n\n")[2].splitlines()

    @property
    def page(self) -> str:
        return self.record.with_suffix(".page").read_text()


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def as_code(text: str, form: str = "html"):
    return to_code(VisionChat(ScriptedBackend([f"```{form}\n{text}\n```"])), RED, form)


@needs_scripts
def test_code_is_drawn_and_compared_with_its_screenshot(fake):
    comparison = render_and_compare(as_code(PAGE), RED, browser=fake())
    assert comparison.similarity == pytest.approx(1)
    assert comparison.blank_similarity == pytest.approx(1)
    assert comparison.rendered.size == comparison.screenshot.size == (120, 80)
    assert comparison.picture.width > 2 * 120
    assert repr(comparison).startswith("RenderComparison('120 x 80 px', similarity=1")
    shown = comparison._repr_html_()
    assert shown.count("<img") == 2
    assert "similarity" in shown
    other = render_and_compare(PAGE, RED, browser=fake(colour="blue"))
    assert other.similarity < 0.4


@needs_scripts
def test_the_window_has_the_size_of_the_screenshot_at_its_scale(fake):
    odd = PIL.Image.new("RGB", (401, 301), "red")
    comparison = render_and_compare(PAGE, odd, browser=fake(), scale=2)
    assert "--window-size=600,351" in fake.flags
    assert "--force-device-scale-factor=2" in fake.flags
    assert comparison.rendered.size == (401, 301)
    part = ImagePart(odd, crop=Region(0, 0, 100, 50))
    assert render_and_compare(PAGE, part, browser=fake()).rendered.size == (100, 50)


@needs_scripts
def test_the_browser_gets_no_network_no_profile_and_no_secrets(fake, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@proxy")
    render_and_compare(PAGE, RED, browser=fake())
    flags = fake.flags
    assert "--host-resolver-rules=MAP * ~NOTFOUND" in flags
    assert "--proxy-bypass-list=<-loopback>" in flags
    folders = [flag.partition("=")[2] for flag in flags if flag.startswith("--user-data-dir=")]
    assert folders
    assert not Path(folders[0]).parent.exists(), "the folder of a run is removed after it"
    assert not {"OPENAI_API_KEY", "HTTPS_PROXY"} & set(fake.environment)
    assert "--allow-file-access-from-files" not in flags


@needs_scripts
def test_the_sandbox_is_left_out_for_root_alone_and_told(fake, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    comparison = render_and_compare(PAGE, RED, browser=fake())
    assert "--no-sandbox" not in fake.flags
    assert not any("sandbox" in said for said in comparison.warnings)
    render_and_compare(PAGE, RED, browser=fake(), sandbox=False)
    assert "--no-sandbox" in fake.flags
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    told = render_and_compare(PAGE, RED, browser=fake()).warnings
    assert "--no-sandbox" in fake.flags
    assert "Chromium's own sandbox was switched off: it does not start for root with it" in told
    render_and_compare(PAGE, RED, browser=fake(), sandbox=True)
    assert "--no-sandbox" not in fake.flags


@needs_scripts
@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("sys.exit(3)", "drew nothing and ended with 3: it said nothing"),
        ("sys.exit('No usable sandbox! [31m')", "No usable sandbox.*sandbox=False, in a container"),
        ("print('snap-confine: denied'); sys.exit(1)", "denied.*no snap"),
        ("open(said['--screenshot'], 'w').write('x'); sys.exit()", "cannot be read"),
        ("said['--window-size'] = '9,9'", "drew 9 x 9 px; expected at least 120 x 80 px"),
    ],
)
def test_a_browser_that_draws_nothing_is_a_typed_error(fake, behaviour, said):
    with pytest.raises(RenderError, match=said) as caught:
        render_and_compare(PAGE, RED, browser=fake(behaviour))
    assert not isinstance(caught.value, BrowserMissingError)


@needs_scripts
def test_a_browser_that_takes_too_long_is_ended_with_all_that_it_started(fake, tmp_path):
    pids = tmp_path / "pids"
    behaviour = (
        "import subprocess, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(pids)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)"
    )
    with pytest.raises(RenderError, match="longer than 2 seconds"):
        render_and_compare(PAGE, RED, browser=fake(behaviour), timeout=2)
    child = int(pids.read_text())
    state = Path(f"/proc/{child}/stat")
    if state.exists():  # it may wait for whoever adopts it
        assert state.read_text().split()[2] == "Z"


def test_a_machine_without_a_browser_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(BrowserMissingError, match=r"no browser on this machine.*install chrom"):
        render_and_compare(PAGE, RED)
    with pytest.raises(BrowserMissingError, match="'no-such' is no program"):
        render_and_compare(PAGE, RED, browser="no-such")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"code": ""}, MessageError),
        ({"code": 3}, MessageError),
        ({"code": "x" * 1_000_001}, MessageError),
        ({"scale": 0}, MessageError),
        ({"scale": float("nan")}, MessageError),
        ({"scale": True}, MessageError),
        ({"timeout": "soon"}, MessageError),
        ({"screenshot": "nowhere.png"}, MediaError),
        ({"screenshot": PIL.Image.new("RGB", (20_000, 20))}, MediaSizeError),
        ({"screenshot": PIL.Image.new("RGB", (5, 20))}, MediaSizeError),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_a_browser_starts(wrong, error):
    arguments = {"code": PAGE, "screenshot": RED, **wrong}
    with pytest.raises(error):
        render_and_compare(**arguments)


def test_a_chart_is_not_drawn_and_the_media_policy_holds(tmp_path):
    with pytest.raises(MessageError, match='expected "html" or "svg"'):
        render_and_compare(as_code("import math", "matplotlib"), RED)
    RED.save(tmp_path / "red.png")
    policy = MediaPolicy(allow_folders=[tmp_path / "elsewhere"])
    with pytest.raises(MediaForbiddenError):
        render_and_compare(PAGE, tmp_path / "red.png", media_policy=policy)


def test_the_page_around_code_can_not_be_left_by_what_it_says():
    breaking = '"></iframe><script>alert(1)</script><iframe srcdoc="'
    page = page_around(breaking, (9, 9), is_svg=False, scripts=False)
    assert "<script" not in page
    assert page.count("<iframe") == 1
    assert "default-src 'none'" in page
    assert 'sandbox=""' in page
    drawn = page_around(breaking, (9, 9), is_svg=True, scripts=True)
    assert "<script" not in drawn
    assert "<iframe" not in drawn


def test_a_command_names_the_window_and_the_page(tmp_path):
    command = Browser("/b", True).command(tmp_path, tmp_path / "p.html", Window((100, 50), 2.0))
    assert command[0] == "/b"
    assert command[-1] == (tmp_path / "p.html").as_uri()
    assert "--no-sandbox" not in command


def reference_similarity(first: PIL.Image.Image, second: PIL.Image.Image) -> float:
    """The published formula, place by place."""
    weights = numpy.exp(-0.5 * (numpy.arange(-5, 6) / 1.5) ** 2)
    window = numpy.outer(weights, weights) / weights.sum() ** 2
    figures = []
    for one, other in zip(first.split(), second.split()):
        a, b = numpy.asarray(one, float), numpy.asarray(other, float)
        for y in range(a.shape[0] - 10):
            for x in range(a.shape[1] - 10):
                p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
                m, n = (window * p).sum(), (window * q).sum()
                v, w = (window * (p - m) ** 2).sum(), (window * (q - n) ** 2).sum()
                c = (window * (p - m) * (q - n)).sum()
                c1, c2 = 6.5025, 58.5225
                figures.append(
                    (2 * m * n + c1) * (2 * c + c2) / ((m * m + n * n + c1) * (v + w + c2))
                )
    return float(numpy.mean(figures))


def test_the_similarity_is_that_of_its_publication():
    random = numpy.random.default_rng(0)
    first = random.integers(0, 256, (24, 30, 3), dtype=numpy.uint8)
    noise = random.normal(0, 40, first.shape)
    second = numpy.clip(first + noise, 0, 255).astype(numpy.uint8)
    a, b = PIL.Image.fromarray(first), PIL.Image.fromarray(second)
    assert structural_similarity(a, b) == pytest.approx(reference_similarity(a, b), abs=1e-9)
    # scikit-image 0.26: structural_similarity(a, b, channel_axis=-1, gaussian_weights=True,
    # sigma=1.5, use_sample_covariance=False, data_range=255) of 200 x 300 such pixels
    assert structural_similarity(a, a) == pytest.approx(1)
    assert structural_similarity(b, a) == structural_similarity(a, b)
    small = PIL.Image.new("RGB", (16, 16), "red")
    assert structural_similarity(small, small) == pytest.approx(1)


class Listener:
    """A server on this machine that notes who asks."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        seen = self.seen

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the name of the base class
                seen.append(self.path)
                self.send_response(200)
                self.end_headers()

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    yield server
    server.close()


def hostile_page(url: str, file: str) -> str:
    """A page that tries each way out."""
    local = url.replace("127.0.0.1", "localhost")
    return f"""<!DOCTYPE html><html><head><meta http-equiv="refresh" content="0; url={url}/refresh">
    <link rel=stylesheet href="{url}/css"><link rel=preconnect href="{local}">
    <link rel=prefetch href="{url}/prefetch"><link rel=preload as=image href="{url}/preload">
    <link rel=icon href="{url}/icon"><link rel=manifest href="{url}/manifest"><style>
    @import url({url}/import);@font-face{{font-family:x;src:url({url}/font)}}
    body{{font-family:x;background:#fff url({file});margin:0}}</style>
    <base href="{url}/base/"></head><body><img src="{url}/img"><img src="relative.png">
    <img src="{file}" width=100 height=100>
    <iframe src="{url}/frame"></iframe><iframe src="{file}" width=100 height=100></iframe>
    <iframe srcdoc="<img src='{file}'>"></iframe>
    <iframe src="data:text/html,<img src={file}>"></iframe>
    <object data="{file}"></object><embed src="{file}"><video src="{url}/video" autoplay></video>
    <svg width=90 height=90><image href="{file}" width=90 height=90 /></svg>
    <form action="{url}/form" id=f></form><a href="{url}/ping" ping="{url}/ping">a</a><script>
    fetch('{url}/fetch'); new Image().src='{url}/js'; navigator.sendBeacon('{url}/beacon', 'x');
    document.getElementById('f').submit(); new WebSocket('{url}/ws'.replace('http', 'ws'));
    try {{ window.open('{url}/open') }} catch (e) {{}}
    try {{ top.location = '{url}/top' }} catch (e) {{}}
    try {{ new Worker('data:text/javascript,fetch("{url}/worker")') }} catch (e) {{}}
    let frame = document.createElement('iframe'); frame.src = '{file}'; document.body.append(frame);
    setTimeout(() => {{ location = '{file}' }}, 300);
    </script></body></html>"""


@needs_chromium
@pytest.mark.long
@pytest.mark.parametrize("scripts", [False, True])
def test_a_page_reaches_neither_files_nor_the_network(listener, tmp_path, scripts):
    secret = tmp_path / "secret.png"
    PIL.Image.new("RGB", (100, 100), (255, 0, 255)).save(secret)
    screenshot = PIL.Image.new("RGB", (800, 600), "white")
    page = hostile_page(listener.url, secret.as_uri())
    comparison = render_and_compare(page, screenshot, scripts=scripts)
    assert listener.seen == []
    colours = {colour for _, colour in comparison.rendered.getcolors(1 << 20)}
    assert (255, 0, 255) not in colours
    assert any("loads from elsewhere" in said for said in comparison.warnings)


@needs_chromium
@pytest.mark.long
def test_without_the_fence_the_same_page_does_reach_both(listener, tmp_path):
    """What the test above would see if it saw anything."""
    import subprocess

    secret = tmp_path / "secret.png"
    PIL.Image.new("RGB", (100, 100), (255, 0, 255)).save(secret)
    page = tmp_path / "page.html"
    page.write_text(
        f'<body style="margin:0"><img src="{secret.as_uri()}"><img src="{listener.url}/img">'
    )
    assert CHROMIUM is not None
    subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", f"--user-data-dir={tmp_path / 'profile'}"),
            *(f"--screenshot={tmp_path / 'shot.png'}", "--window-size=200,200", page.as_uri()),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert listener.seen == ["/img"]
    with PIL.Image.open(tmp_path / "shot.png") as shot:
        assert shot.convert("RGB").getpixel((50, 50)) == (255, 0, 255)


@needs_chromium
def test_a_browser_draws_a_page_and_a_drawing_as_they_are():
    screenshot = PIL.Image.new("RGB", (300, 200), "white")
    screenshot.paste((0, 0, 255), (0, 0, 300, 100))
    page = "<!DOCTYPE html><style>body{margin:0}div{height:50vh;background:#00f}</style><div></div>"
    by_page = render_and_compare(as_code(page), screenshot)
    assert by_page.similarity > 0.99 > by_page.blank_similarity
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200">'
        '<rect width="300" height="100" fill="#00f"/></svg>'
    )
    by_drawing = render_and_compare(as_code(drawing, "svg"), screenshot)
    assert by_drawing.similarity > 0.99
    assert isinstance(by_drawing, RenderComparison)
    assert by_drawing.browser == find_browser(None, None).path


@needs_chromium
@pytest.mark.long
def test_scripts_run_only_when_they_are_asked_for():
    page = '<!DOCTYPE html><body style="background:#fff"><script>document.body.style.background='
    page += '"#00f"</script></body>'
    white = PIL.Image.new("RGB", (200, 100), "white")
    assert render_and_compare(page, white).rendered.getpixel((50, 50)) == (255, 255, 255)
    ran = render_and_compare(page, white, scripts=True)
    assert ran.rendered.getpixel((50, 50)) == (0, 0, 255)


@needs_chromium
@pytest.mark.long
def test_a_page_that_never_ends_is_ended():
    page = "<!DOCTYPE html><body><script>while (true) {}</script></body>"
    with pytest.raises(RenderError, match="longer than 4 seconds"):
        render_and_compare(page, RED, scripts=True, timeout=4)
