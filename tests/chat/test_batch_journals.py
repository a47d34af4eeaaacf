"""A run that was ended goes on from its journal: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import PIL.Image
import pytest

from qwenvl_kit import (
    DocumentPart,
    Failure,
    ImagePart,
    MediaPolicy,
    Message,
    Reply,
    Request,
    Sampling,
    VideoPart,
    VisionChat,
)
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import GenerationError, InputError, JournalError, MediaForbiddenError
from qwenvl_kit.media.fingerprints import identify_content

RED = PIL.Image.new("RGB", (84, 56), "red")
BLUE = PIL.Image.new("RGB", (84, 56), "blue")


class Clerk:
    """A chat that echoes, and what it was asked."""

    def __init__(self, family="qwen2_vl", **options):
        self.backend = ScriptedBackend(self._answer, family=family, **options)
        self.chat = VisionChat(self.backend)

    def _answer(self, request):
        text = request.messages[-1].text
        if "fail" in text:
            raise GenerationError(f"cannot answer {text}")
        return f"answer to {text}"

    @property
    def asked(self):
        return [request.messages[-1].text for request in self.backend.requests]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


@pytest.fixture
def picture(tmp_path):
    RED.save(tmp_path / "red.png")
    return tmp_path / "red.png"


def _requests(picture):
    video = VideoPart([RED, RED.rotate(180)], fps=1)
    return [
        Request.about("a file", picture, id="file"),
        Request.about("pixels", RED),
        Request([Message.system("be brief"), Message.user(video, "frames")], id="frames"),
        Request("settings", sampling=Sampling(max_new_tokens=2), budget="quick", fit="shrink"),
        "text",
    ]


def test_a_second_run_gives_the_same_replies_and_asks_nothing(path, picture):
    first = Clerk().chat.ask_many(_requests(picture), journal=path)
    clerk = Clerk()
    assert clerk.chat.ask_many(_requests(picture), journal=path) == first
    assert clerk.asked == []


def test_what_failed_is_asked_again_and_nothing_else(path):
    before = Clerk().chat.ask_many(["a", "fail", "c"], journal=path)
    clerk = Clerk()
    after = clerk.chat.ask_many(["a", "fail", "c"], journal=path)
    assert clerk.asked == ["fail"]
    assert isinstance(after[1], Failure)
    assert (after[0], after[2]) == (before[0], before[2])


def test_a_longer_list_pays_for_what_is_new(path):
    Clerk().chat.ask_many(["a", "b"], journal=path)
    clerk = Clerk()
    results = clerk.chat.ask_many(["a", "b", "c"], journal=path)
    assert clerk.asked == ["c"]
    assert [str(result) for result in results] == ["answer to a", "answer to b", "answer to c"]


def test_requests_with_ids_may_come_in_any_order(path):
    requests = [Request(name, id=name) for name in "abc"]
    Clerk().chat.ask_many(requests, journal=path)
    clerk = Clerk()
    results = clerk.chat.ask_many(reversed(requests), journal=path)
    assert clerk.asked == []
    assert [str(result) for result in results] == ["answer to c", "answer to b", "answer to a"]


@pytest.mark.parametrize(
    "change",
    [
        {"messages": "another"},
        {"messages": [Message.user(ImagePart(BLUE), "text")]},
        {"messages": [Message.user(ImagePart(RED, height_px=56, width_px=56), "text")]},
        {"sampling": Sampling(max_new_tokens=3)},
        {"budget": "quick"},
        {"fit": "shrink"},
    ],
)
def test_another_request_under_the_same_id_is_an_error_that_costs_itself_alone(path, change):
    request = Request([Message.user(ImagePart(RED), "text")], id="same")
    Clerk().chat.ask_many([request, "other"], journal=path)
    clerk = Clerk()
    changed, other = clerk.chat.ask_many([replace(request, **change), "other"], journal=path)
    assert isinstance(changed, Failure)
    assert isinstance(changed.error, JournalError)
    assert "'same'" in str(changed.error)
    assert isinstance(other, Reply)
    assert clerk.asked == []


def test_a_file_whose_pixels_were_changed_is_another_request(path, picture):
    Clerk().chat.ask_many([Request.about("what", picture)], journal=path)
    RED.rotate(180, expand=True).resize((56, 84)).save(picture)
    (result,) = Clerk().chat.ask_many([Request.about("what", picture)], journal=path)
    assert isinstance(result.error, JournalError)


def test_a_file_that_was_moved_is_the_same(path, picture, tmp_path):
    Clerk().chat.ask_many([Request.about("what", picture)], journal=path)
    moved = picture.rename(tmp_path / "moved.png")
    clerk = Clerk()
    clerk.chat.ask_many([Request.about("what", moved)], journal=path)
    assert clerk.asked == []


def test_the_journal_of_another_model_is_refused_before_anything_is_asked(path):
    Clerk().chat.ask_many(["a"], journal=path)
    clerk = Clerk(family="qwen3_vl")
    with pytest.raises(JournalError, match="qwen3_vl"):
        clerk.chat.ask_many(["a"], journal=path)
    assert clerk.asked == []


def test_two_requests_of_one_id_cannot_both_be_kept(path):
    first, second = Clerk().chat.ask_many(
        [Request("a", id="x"), Request("b", id="x")], journal=path
    )
    assert sorted(isinstance(result, Failure) for result in (first, second)) == [False, True]
    failure = first if isinstance(first, Failure) else second
    assert isinstance(failure.error, InputError)


def test_a_journal_is_json_that_anybody_can_read(path):
    Clerk().chat.ask_many([Request("a", id="x")], journal=path)
    _, line = path.read_text().splitlines()
    entry = json.loads(line)
    assert (entry["key"], entry["record"]["reply"]["text"]) == ("x", "answer to a")


def test_an_iterator_that_fails_keeps_what_it_had_paid_for(path):
    def requests():
        yield from "abc"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Clerk().chat.ask_many(requests(), journal=path)
    clerk = Clerk()
    clerk.chat.ask_many(["a", "b", "c"], journal=path)
    assert clerk.asked == []


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from qwenvl_kit import Request, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend

folder, rng = Path(sys.argv[1]), random.Random(7)

def run(asked):
    def answer(request):
        text = request.messages[-1].text
        with open(asked, "a") as file:
            file.write(text + chr(10))
        time.sleep(0.0002)
        return "answer to " + text
    chat = VisionChat(ScriptedBackend(answer))
    requests = [Request(f"question {i}", id=str(i)) for i in range(NUM)]
    return chat.ask_many(requests, journal=folder / "run.jsonl", max_batch_size=4)

NUM, num_killed = 1200, 0
while num_killed < 200:
    asked = folder / f"asked{num_killed}"
    child = os.fork()
    if child == 0:
        run(asked)
        os._exit(0)
    time.sleep(rng.uniform(0.0, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    num_killed += 1
results = run(folder / "asked_last")
print([str(result) for result in results] == [f"answer to question {i}" for i in range(NUM)])
"""


@pytest.mark.long
def test_killed_at_200_moments_a_run_loses_nothing_and_doubles_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, check=True, timeout=300
    )
    assert done.stdout.strip() == b"True"
    keys = [
        json.loads(line)["key"] for line in (tmp_path / "run.jsonl").read_text().splitlines()[1:]
    ]
    assert sorted(keys, key=int) == [str(index) for index in range(1200)]
    asked = [path.read_text().splitlines() for path in sorted(tmp_path.glob("asked*"))]
    assert sum(map(len, asked)) <= 1200 + 4 * 200  # those on their way when it was killed


def _sparse(path, num_bytes):
    """A file that takes no room on the disk; hashed whole it would take minutes."""
    path.touch()
    try:
        os.truncate(path, num_bytes)
    except OSError:
        pytest.skip("the file system has no such files")
    return path


def test_a_file_is_judged_by_its_size_before_it_is_known_by_its_bytes(path, tmp_path):
    file = _sparse(tmp_path / "a.png", 2**40)
    chat = VisionChat(ScriptedBackend(lambda _: "A"), media=MediaPolicy(max_bytes=1000))
    for part in (ImagePart(file), DocumentPart(file), VideoPart([file, file], fps=1)):
        (told,) = chat.ask_many([Message.user(part, "?")], journal=path)
        assert isinstance(told.error, MediaForbiddenError), part
        assert "1099511627776 bytes" in str(told.error)


def test_a_film_of_any_size_is_known_by_samples_of_its_bytes(tmp_path):
    film, policy = _sparse(tmp_path / "a.mp4", 2**40), MediaPolicy()
    known = identify_content(VideoPart(film), policy)
    status = film.stat()
    for place in (0, 2**40 - 1, (2**40 - 2**16) // 15 * 7 + 8):
        with film.open("r+b") as file:
            file.seek(place)
            file.write(b"x")
        os.utime(film, ns=(status.st_atime_ns, status.st_mtime_ns))
        now = identify_content(VideoPart(film), policy)
        assert now != known
        known = now
    assert identify_content(VideoPart(film), policy) == known
