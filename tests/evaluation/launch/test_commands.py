"""`evaluate` and `compare` of the command line: what they print and write, and their exit codes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit import __main__ as program
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import EvaluationError, GenerationError
from qwenvl_kit.evaluation import Benchmark, DocVQA, VideoMME
from qwenvl_kit.evaluation.launch.registry import benchmark_named, benchmarks

WORDS = ("red", "green", "blue", "white")
LOADED: list[dict[str, Any]] = []


def answer(request: BackendRequest) -> str:
    text = request.messages[-1].text
    if "fail" in text:
        raise GenerationError("the device went away")
    return next(word for word in WORDS if word in text)


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chat that answers with the colour in the question, however it is loaded."""

    def load(*given: Any, **options: Any) -> VisionChat:
        LOADED.append({**options, "model": given[0]})
        return VisionChat(ScriptedBackend(answer))

    LOADED.clear()
    monkeypatch.setattr(VisionChat, "from_pretrained", load)
    monkeypatch.setattr(VisionChat, "connect", load)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return written(tmp_path, [f"Is it {word}?" for word in WORDS])


def written(folder: Path, questions: list[str]) -> Path:
    lines = []
    for at, question in enumerate(questions):
        PIL.Image.new("RGB", (56, 56), WORDS[at % 4]).save(folder / f"{at}.png")
        row = {"id": at, "query": question, "image": f"{at}.png", "answer": WORDS[at % 4]}
        lines.append(json.dumps({**row, "kind": "xy"[at % 2]}))
    path = folder / "questions.jsonl"
    path.write_text("\n".join(lines))
    return path


def run(*arguments: Any) -> int:
    return program.main(["evaluate", "--no-progress", *map(str, arguments)])


def own(data: Path, *arguments: Any) -> int:
    given = ("--model", "some/model", "--benchmark", "own", "--data", data)
    return run(*given, "--column", "question=query", *arguments)


def test_an_evaluation_prints_its_table_and_ends_with_0(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert own(data) == 0
    shown = capsys.readouterr()
    assert "accuracy" in shown.out
    assert "100.0" in shown.out
    assert not shown.err
    assert LOADED[0]["model"] == "some/model"


def test_output_is_written_into_its_folder(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert own(data, "--output", tmp_path / "new" / "out", "--group", "kind") == 0
    folder = tmp_path / "new" / "out"
    assert {each.name for each in folder.iterdir()} == {
        "result.json",
        "items.csv",
        "report.html",
        "journal.jsonl",
    }
    assert json.loads((folder / "result.json").read_text())["summary"]
    with (folder / "items.csv").open(encoding="utf-8-sig") as file:
        assert [row["group:kind"] for row in csv.DictReader(file)] == ["x", "y", "x", "y"]
    assert "kind: x" in capsys.readouterr().out


def test_a_second_run_goes_on_from_the_journal(data: Path, tmp_path: Path) -> None:
    own(data, "--journal", tmp_path / "run.jsonl", "--limit", 2)
    own(data, "--journal", tmp_path / "run.jsonl")
    kept = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert sum("text" in each.get("record", {}).get("reply", {}) for each in kept) == len(WORDS)


def test_failed_items_end_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = written(tmp_path, ["Is it red?", "fail"])
    assert own(data) == 1
    assert "mean over 1 of 2 items: 1 failed" in capsys.readouterr().out


def test_the_benchmarks_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    out = capsys.readouterr().out
    for name in ("docvqa", "videomme", "hallusionbench", "own"):
        assert name in out
    assert "Table(" not in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--benchmark was not given"),
        (("--benchmark", "docvqa"), "--data was not given"),
        (("--benchmark", "docvqa", "--data", "x.tsv"), "--model nor --base-url"),
        (("--model", "m", "--benchmark", "docvga", "--data", "x.tsv"), "Try: docvqa"),
        (("--model", "m", "--benchmark", "docvqa", "--data", "missing.tsv"), "missing.tsv"),
        (
            ("--model", "m", "--benchmark", "docvqa", "--data", "x", "--scorer", "anls"),
            "--scorer was given for docvqa",
        ),
        (("--model", "m", "--benchmark", "own", "--data", "x", "--set", "fps"), "NAME=VALUE"),
        (("--model", "m", "--benchmark", "own", "--data", "x", "--column", "=q"), "NAME=VALUE"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line_and_ends_with_2(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert not shown.out
    assert not LOADED


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--limit", "0"), "--limit 0"),
        (("--seed", "-1"), "--seed -1"),
        (("--max-batch-size", "0"), "--max-batch-size 0"),
        (("--max-new-tokens", "-3"), "max_new_tokens=-3"),
        (("--budget", "enormous"), "enormous"),
        (("--prompt", "{question"), "{question"),
        (("--scorer", "nope"), "nope"),
        (("--group", "nope"), "nope"),
        (("--split", "nope"), "nope"),
        (("--set", "groups=5"), "the option --group"),
        (("--set", "data=x"), "the option --data"),
        (("--column", "answer=nope"), "answer"),
    ],
)
def test_settings_that_cannot_be_are_told_before_a_model_is_loaded(
    data: Path, arguments: tuple[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert own(data, *arguments) == 2
    assert told in capsys.readouterr().err
    assert not LOADED


def test_arguments_of_a_benchmark_that_there_are_not_are_told(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert own(data, "--set", "cluter=kind") == 2
    assert "cluster" in capsys.readouterr().err


def test_settings_reach_their_places(data: Path, tmp_path: Path) -> None:
    arguments = ("--scorer", "contains", "--prompt", "Say red. {question}", "--name", "mine")
    more = ("--seed", 3, "--limit", 3, "--budget", "quick", "--max-new-tokens", 7)
    assert own(data, *arguments, *more, "--output", tmp_path / "out") == 0
    record = json.loads((tmp_path / "out" / "result.json").read_text())["record"]
    assert record["benchmark"] == "mine"
    assert (record["seed"], record["prompt"]) == (3, "own")
    assert record["sampling"]["max_new_tokens"] == 7
    assert record["budget"]["max_tokens"] == 512


def test_models_are_loaded_as_they_are_named(data: Path) -> None:
    own(data, "--revision", "abc", "--adapter", "lora", "--offline", "--judge-model", "judge")
    assert [each["model"] for each in LOADED] == ["some/model", "judge"]
    assert [each["revision"] for each in LOADED] == ["abc", None]
    assert [each["adapter"] for each in LOADED] == ["lora", None]
    LOADED.clear()
    own(data, "--model", "embedded")
    assert LOADED[0]["model"] is None


def test_a_server_takes_the_key_from_the_variable_that_is_named(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    assert own(data, "--base-url", "http://127.0.0.1:1/v1", "--key-variable", "MY_KEY") == 0
    assert LOADED[0]["model"] == "http://127.0.0.1:1/v1"
    assert LOADED[0]["api_key"] == "secret"
    assert own(data, "--base-url", "http://127.0.0.1:1/v1", "--key-variable", "NO_KEY") == 2
    assert "NO_KEY" in capsys.readouterr().err


def test_a_folder_of_output_that_cannot_be_made_is_told_before_a_model_is_loaded(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert own(data, "--output", data / "out") == 2
    assert "cannot be made" in capsys.readouterr().err
    assert not LOADED


def test_results_are_compared(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own(data, "--output", tmp_path / "a")
    own(data, "--output", tmp_path / "b", "--budget", "quick")
    capsys.readouterr()
    results = [str(tmp_path / name / "result.json") for name in "ab"]
    assert program.main(["compare", *results]) == 0
    assert "+0.0" in capsys.readouterr().out
    assert program.main(["compare", results[0], str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


def test_names_of_benchmarks_may_be_written_in_several_ways() -> None:
    assert benchmark_named("DocVQA") is DocVQA
    assert benchmark_named("Video-MME") is benchmark_named("video_mme") is VideoMME
    assert benchmark_named("own") is Benchmark
    with pytest.raises(EvaluationError, match="with a file and a scorer of your own"):
        benchmark_named("zzzzzz")


def test_all_benchmarks_that_the_room_exports_have_a_name() -> None:
    found = benchmarks()
    assert {"mathvista", "docvqa", "realworldqa", "mtvqa", "hallusionbench", "textvqa"} <= set(
        found
    )
    assert {"chartqa", "mvbench", "perceptiontest", "egoschema", "videomme"} <= set(found)
    assert all(each.title for each in found.values())


def test_help_imports_no_room_of_evaluation() -> None:
    code = (
        "import sys; from qwenvl_kit import __main__ as program\n"
        "try: program.main(['evaluate', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not [name for name in sys.modules if name.startswith('qwenvl_kit.evaluation')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_zero_that_is_set_is_not_dropped(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--model", "m", "--benchmark", "videomme", "--data", data, "--set", "fps=0")
    assert run(*given) == 2
    assert "fps" in capsys.readouterr().err


def test_an_empty_prompt_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert own(data, "--prompt", "") == 2
    assert "prompt=''" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "thinking"), [(("--thinking",), True), (("--no-thinking",), False), ((), None)]
)
def test_thinking_is_set_from_the_command_line(
    data: Path, tmp_path: Path, options: tuple[str, ...], thinking: bool | None
) -> None:
    own(data, *options, "--output", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "result.json").read_text())["record"]
    assert record["thinking"] is thinking
