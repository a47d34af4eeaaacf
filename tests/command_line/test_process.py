"""The program as a process of its own: pipes, signals, encodings, terminals, and its imports."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command_line.stand_in import WIDE

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "tests.command_line.stand_in"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and terminals of POSIX")


def environment(**changed: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("QWENVL_")}
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": paths, "TERM": "xterm", **changed}


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(), **options}
    return subprocess.Popen([*PROGRAM, *arguments], **given)


def test_help_and_version_load_neither_torch_nor_the_rooms_that_work() -> None:
    code = (
        "import sys\nfrom qwenvl_kit.__main__ import main\n"
        "for given in (['--help'], ['ask', '--help'], ['--version'], ['evaluate', '--help']):\n"
        "    try: main(given)\n"
        "    except SystemExit as stopped: assert stopped.code == 0, given\n"
        "heavy = {'torch', 'transformers', 'numpy', 'PIL', 'gradio', 'tqdm'}\n"
        "rooms = ('chat', 'tasks', 'evaluation', 'training', 'diagnostics')\n"
        "heavy |= {f'qwenvl_kit.{room}' for room in rooms}\n"
        "sys.exit(str(heavy & {*sys.modules} or ''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.stderr.strip() == ""
    assert "Exit codes: 0 all questions were answered" in done.stdout


def test_the_program_answers_as_the_model_does(folder: Path) -> None:
    code = (
        "import json\nfrom qwenvl_kit import VisionChat\nfrom qwenvl_kit.__main__ import main\n"
        "assert main(['ask', 'What is this?', 'red.png', '--json']) == 0\n"
        "reply = VisionChat.from_pretrained().ask('What is this?', 'red.png')\n"
        "print(json.dumps([reply.text, reply.confidence, reply.usage.prompt_tokens]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False
    )
    by_program, by_model = map(json.loads, done.stdout.splitlines())
    assert by_program["tokens"]["prompt"] == by_model[2]
    assert [by_program["text"], by_program["confidence"]] == by_model[:2]


@POSIX
def test_a_reader_that_ends_early_ends_the_program_without_a_word() -> None:
    process = start("ask", "wide", "--max-tokens", "3")
    assert process.stdout is not None
    process.stdout.close()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGPIPE
    assert told == b""


def test_an_input_that_stays_open_is_not_read_unless_it_is_asked_for() -> None:
    reading, writing = os.pipe()
    try:
        process = start("ask", "One?", stdin=reading)
        out, _ = process.communicate(timeout=60)
    finally:
        os.close(reading)
        os.close(writing)
    assert out.decode().splitlines() == ["I was asked: One?"]


@POSIX
@pytest.mark.parametrize(("closed", "code"), [("2>&-", 2), ("2>/dev/full", 2), (">&-", 2)])
def test_streams_that_are_closed_or_full_mix_nothing_up(closed: str, code: int) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    question = "hello" if closed == ">&-" else "please fail"
    command = shlex.join([*PROGRAM, "ask", question, "--json"])
    done = subprocess.run(
        ["sh", "-c", f"{command} {closed}"], capture_output=True, env=environment(), check=False
    )
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    for line in done.stdout.splitlines():
        assert json.loads(line)["error"]["type"] == "GenerationError"


def test_what_an_encoding_does_not_have_is_escaped() -> None:
    process = start("ask", "wide", env=environment(PYTHONIOENCODING="cp1252"))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    shown = WIDE.encode("cp1252", "backslashreplace")
    assert out.rstrip() == shown


@POSIX
def test_an_interrupt_ends_the_program_and_keeps_the_journal(tmp_path: Path) -> None:
    import PIL.Image

    for number in range(30):
        PIL.Image.new("RGB", (56, 56)).save(tmp_path / f"{number:02}.png")
    run = ("ask", "one two three, word by word", "*.png", "--each", "--journal", "run.jsonl")
    process = start(*run, cwd=tmp_path, preexec_fn=restore_interrupt)
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert b"Traceback" not in told
    assert first.startswith(b"00.png: ")
    kept = (tmp_path / "run.jsonl").read_text().splitlines()
    assert 2 <= len(kept) < 31


def restore_interrupt() -> None:
    """Take interrupts, also where the tests run in the background of a shell."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, arguments: list[str], env: dict[str, str]) -> None:
        import pty

        self.pid, self.file = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background ignores it
            os.execve(sys.executable, [*PROGRAM, *arguments], env)
        self.seen = ""

    def expect(self, text: str, seconds: float = 60.0) -> str:
        """Read until a text is there, and return all before it."""
        import select

        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"no {text!r} in {self.seen!r}"
            if select.select([self.file], [], [], left)[0]:
                self.seen += os.read(self.file, 4096).decode()
        before, _, self.seen = self.seen.partition(text)
        return before

    def send(self, text: str) -> None:
        os.write(self.file, text.encode())

    def press(self, key: str, text: str) -> None:
        """Press a key, and again if nothing comes of it, until a text is there.

        An interrupt in the instant between a prompt and the wait for keys is held by readline
        until the next key.
        """
        for _ in range(20):
            self.send(key)
            try:
                self.expect(text, seconds=3.0)
            except AssertionError:
                continue
            return
        raise AssertionError(f"no {text!r} in {self.seen!r}")

    def exit_code(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.file)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Any]:
    try:
        for side in os.openpty():
            os.close(side)
    except OSError as error:
        pytest.skip(f"this machine gives no terminal ({error})")
    opened: list[Terminal] = []

    def open_one(*arguments: str, **changed: str) -> Terminal:
        env = environment(INPUTRC=str(tmp_path / "none"), **changed)
        opened.append(Terminal([*arguments], env))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@POSIX
def test_an_interrupt_ends_an_answer_and_not_the_conversation(terminal: Any) -> None:
    talk = terminal("chat")
    talk.expect(">>> ")
    talk.send("word by word " + " ".join(f"w{number}" for number in range(400)) + "\r")
    talk.expect("I was asked:")
    talk.expect("w3")
    talk.send("\x03")
    assert "w399" not in talk.expect("the answer ended early: cancelled")
    talk.expect(">>> ")
    talk.press("\x03", "Ctrl-D ends the program")
    talk.expect(">>> ")
    talk.send("how many turns?\r")
    talk.expect("3 messages")
    talk.expect(">>> ")
    talk.send("\x04")
    assert talk.exit_code() == 0


@POSIX
@pytest.mark.parametrize(("value", "is_plain"), [("1", True), ("", False)])
def test_colours_are_for_terminals_that_want_them(
    terminal: Any, value: str, is_plain: bool
) -> None:
    talk = terminal("chat", NO_COLOR=value)
    assert ("\x1b[2m" not in talk.expect("/help tells more")) is is_plain
