"""`python -m qwenvl_kit train`: its exit codes, and who prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import __main__ as program
from qwenvl_kit import training
from qwenvl_kit.errors import TrainingError
from tests.training.launch import stand_in
from tests.training.launch.test_config import LEAST


@pytest.fixture(autouse=True)
def loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "fine_tune", stand_in.fine_tune)
    monkeypatch.delenv("RANK", raising=False)
    stand_in.CALLS.clear()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "train.jsonl").write_text('{"query": "a?", "response": "b"}\n')
    path = tmp_path / "config.toml"
    path.write_text(LEAST)
    return path


def run(*arguments: Any) -> int:
    return program.main(["train", *map(str, arguments)])


def test_a_training_ends_with_what_it_made(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "--set", "epochs=3", "--no-resume", "--output", "other") == 0
    assert capsys.readouterr().out == "the losses\nthe adapter\n"
    (call,) = stand_in.CALLS
    assert (call["epochs"], call["resume"]) == (3, False)
    assert call["output"] == Path("other").absolute()


def test_a_check_prints_its_report_and_trains_nothing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "--check") == 0
    assert "1 examples" in capsys.readouterr().out
    (config.parent / "train.jsonl").write_text('{"query": "a?"}\n')
    assert run(config, "--check") == 1
    assert "train.jsonl:1" in capsys.readouterr().out
    assert not stand_in.CALLS


def test_what_cannot_be_done_is_told_in_a_line(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "--set", "epoch=3") == 2
    assert "Try: epochs" in capsys.readouterr().err


def test_only_the_first_of_several_processes_prints_results(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run(config) == run(config, "--check") == 0
    assert len(stand_in.CALLS) == 1
    assert not capsys.readouterr().out


def test_an_error_that_another_process_met_says_which(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: str, examples: object, output: str, validation: object) -> None:
        raise TrainingError("the disk is full")

    monkeypatch.setattr(training, "fine_tune", fail)
    monkeypatch.setenv("RANK", "1")
    assert run(config) == 2
    assert capsys.readouterr().err == "process 1: the disk is full\n"


def test_the_settings_of_several_processes_have_a_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert program.main(["launch-config", "zero3"]) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()


def test_the_command_line_stays_light() -> None:
    code = (
        "import sys, qwenvl_kit.__main__, qwenvl_kit.training\n"
        "heavy = {'torch', 'transformers', 'peft', 'numpy', 'qwenvl_kit.training.launch'}\n"
        "sys.exit(str(heavy & {*sys.modules} or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() in ("", "numpy", "{'numpy'}")
