"""The real thing: this machine, and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from qwenvl_kit import __main__ as program
from qwenvl_kit import diagnostics
from qwenvl_kit.diagnostics import Diagnosis, Finding
from qwenvl_kit.errors import ModelNotFoundError

WELL = Diagnosis((Finding("torch", "ok", "2.12.0"),))
ILL = Diagnosis((Finding("GPU", "problem", "none", "a command"),))


PROGRAM = """
import sys
import qwenvl_kit.__main__
print([name for name in ("torch", "packaging", "transformers") if name in sys.modules])
sys.addaudithook(lambda event, _: event == "socket.connect" and print(event, file=sys.stderr))
sys.exit(qwenvl_kit.__main__.main(["doctor", "--json"]))
"""


@pytest.fixture(scope="module")
def here() -> subprocess.CompletedProcess[str]:
    """The doctor on this machine, once, as a process of its own: it imports much."""
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def findings_of(done: subprocess.CompletedProcess[str]) -> list[Finding]:
    answer = json.loads(done.stdout.partition("\n")[2])
    return [Finding(**each) for each in answer["findings"]]


@pytest.mark.long
def test_the_doctor_itself_is_imported_without_anything_heavy(
    here: subprocess.CompletedProcess[str],
) -> None:
    assert here.stdout.partition("\n")[0] == "[]"


@pytest.mark.long
def test_its_exit_code_says_what_its_findings_say(here: subprocess.CompletedProcess[str]) -> None:
    is_ill = any(each.status == "problem" for each in findings_of(here))
    assert here.returncode == int(is_ill)


@pytest.mark.long
def test_it_opens_no_connection_and_says_nothing_else(
    here: subprocess.CompletedProcess[str],
) -> None:
    assert here.stderr == ""


@pytest.mark.long
def test_no_check_fails_on_this_machine(here: subprocess.CompletedProcess[str]) -> None:
    assert [each for each in findings_of(here) if "check failed" in each.detail] == []


@pytest.mark.long
def test_what_the_tests_run_with_is_found_well(here: subprocess.CompletedProcess[str]) -> None:
    well = {each.name for each in findings_of(here) if each.status == "ok"}
    assert {"torch build", "torchvision build", "model families", "pictures"} <= well


@pytest.mark.parametrize(("diagnosis", "code"), [(WELL, 0), (ILL, 1)])
def test_the_exit_code_tells_health(
    diagnosis: Diagnosis,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(diagnostics, "doctor", lambda: diagnosis)
    assert program.main(["doctor"]) == code
    assert capsys.readouterr().out == f"{diagnosis}\n"


def test_findings_are_printed_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(diagnostics, "doctor", lambda: ILL)
    assert program.main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "is_healthy": False,
        "findings": [{"name": "GPU", "status": "problem", "detail": "none", "cure": "a command"}],
    }


def pretend_inspection(monkeypatch: pytest.MonkeyPatch, inspect: Any) -> None:
    module = ModuleType("qwenvl_kit.checkpoints.inspection")
    module.inspect = inspect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_a_checkpoint_is_inspected_as_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_inspection(monkeypatch, lambda model, **settings: f"{model} {settings}")
    asked = ["--source", "modelscope", "--revision", "v1", "--offline"]
    assert program.main(["inspect", "Qwen/Some-VL", *asked]) == 0
    settings = {"source": "modelscope", "revision": "v1", "offline": True}
    assert capsys.readouterr().out == f"Qwen/Some-VL {settings}\n"


def test_an_error_of_the_kit_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def inspect(model: str, **settings: object) -> None:
        raise ModelNotFoundError("no folder\nat there", hint="another")

    pretend_inspection(monkeypatch, inspect)
    assert program.main(["inspect", "there"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "no folder\\nat there. Try: another\n"
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [[], ["treat"], ["inspect"]])
def test_what_cannot_be_understood_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        program.main(arguments)
    assert stopped.value.code == 2
