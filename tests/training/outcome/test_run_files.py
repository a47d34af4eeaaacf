"""The files of a run are written whole, read strictly, and tell when a setting has changed."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import PixelBudget, whole_files
from qwenvl_kit.errors import TrainingError
from qwenvl_kit.training import (
    ComparedExample,
    Losses,
    RunData,
    RunRecord,
    RunSettings,
    TrainingReport,
    load_run,
)
from qwenvl_kit.training.outcome.loss_log import LOG_FILE, LossLog, read_losses
from qwenvl_kit.training.outcome.record import RECORD_FILE, read_record, write_record
from qwenvl_kit.training.outcome.report import REPORT_FILE, read_report, write_report

SETTINGS = RunSettings(
    model=None,
    family="qwen2_vl",
    method={"name": "LoRA", "rank": 8, "parts": ["language"]},
    budget=PixelBudget(max_tokens=256),
    learning_rate={"language": 1e-4, "vision": 1e-5},
    epochs=3,
    tokens_per_batch=4096,
    batches_per_step=2,
)
RECORD = RunRecord(
    settings=SETTINGS,
    data=RunData(training="4a1f", num_examples=80),
    versions={"torch": "2.15.0"},
    begun="2026-11-30T17:00:00+00:00",
)


def changed(**settings: Any) -> RunRecord:
    return replace(RECORD, settings=replace(SETTINGS, **settings))


# The record


def test_a_record_is_the_same_after_a_way_through_its_file(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD


def test_the_same_settings_have_no_differences(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    now = replace(changed(epochs=3.0), begun="later", versions={"torch": "2.16.0"})
    assert read_record(tmp_path).differences(now) == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rate": {"language": 2e-4, "vision": 1e-5}}, "learning_rate.language: 0.0001"),
        ({"epochs": 15}, "epochs: 3 then, 15 now"),
        ({"tokens_per_batch": 2048}, "tokens_per_batch: 4096 then, 2048 now"),
        ({"batches_per_step": 8}, "batches_per_step: 2 then, 8 now"),
        ({"method": {**SETTINGS.method, "rank": 16}}, "method.rank: 8 then, 16 now"),
        ({"budget": PixelBudget()}, "budget.max_tokens: 256 then, none now"),
        ({"seed": 1}, "seed: 0 then, 1 now"),
        ({"packing": True}, "packing: false then, true now"),
        ({"model": "Qwen/Qwen2-VL-2B-Instruct"}, "model: none then, Qwen/Qwen2-VL-2B-Instruct now"),
    ],
)
def test_each_deciding_setting_that_differs_is_named(settings: dict[str, Any], said: str) -> None:
    (difference,) = RECORD.differences(changed(**settings))
    assert difference.startswith(said)


def test_other_data_is_a_difference() -> None:
    now = replace(RECORD, data=replace(RECORD.data, training="ffff"))
    assert RECORD.differences(now) == ("training data: 4a1f then, ffff now",)


def test_every_setting_is_compared() -> None:
    for name, value in vars(SETTINGS).items():
        other = {} if isinstance(value, PixelBudget) else None
        now = replace(SETTINGS, **{name: {"x": 1} if other is None else PixelBudget(1)})
        assert RECORD.differences(replace(RECORD, settings=now)), name


def test_a_record_that_ends_tells_of_its_losses() -> None:
    losses = Losses.from_log(
        [
            {"step": 1, "loss": 3.0},
            {"step": 2, "eval_loss": 1.5},
            {"step": 4, "loss": 1.0},
            {"step": 4, "eval_loss": 2.0},
        ]
    )
    ended = RECORD.finished(losses)
    assert (ended.state, ended.num_steps, ended.first_loss, ended.last_loss) == (
        *("finished", 4),
        *(3.0, 1.0),
    )
    assert (ended.best_step, ended.best_validation) == (2, 1.5)
    assert ended.ended is not None
    assert ended.ended.endswith("+00:00")


def test_a_record_that_fails_on_a_loss_that_is_no_number_can_be_read(tmp_path: Path) -> None:
    losses = Losses.from_log([{"step": 1, "loss": math.nan}])
    failed = RECORD.failed("the loss is no number", losses)
    write_record(tmp_path, failed)
    assert read_record(tmp_path) == failed
    assert (failed.state, failed.last_loss) == ("failed", None)


# What is not such a file


def damaged(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"version": 1', '"version": 2'), "the version 2; expected version 1"),
        (('"version": 1', '"version": true'), "the version True"),
        (('"version": 1,', ""), "the version None"),
        (('"state": "begun"', '"state": "over"'), "state: "),
        (('"seed": 0', '"seed": "0"'), r"settings\.seed: "),
        (('"seed": 0', '"seed": 0, "sead": 1'), r"settings\.sead: "),
        (('"seed": 0', f'"seed": {"9" * 5000}'), "not JSON|cannot be used"),
        (('"epochs": 3.0', '"epochs": NaN'), "cannot be used"),
        (('"epochs": 3.0', '"epochs": 1e999'), r"settings\.epochs"),
        (('"max_tokens": 256', '"max_tokens": -1'), r"settings\.budget: .*max_tokens=-1"),
        (('"family": "qwen2_vl",', ""), r"settings\.family: "),
        (('"rank": 8', '"rank": ' + "[" * 3000 + "]" * 3000), "not JSON|cannot be used"),
        (("}", ""), "the file is not JSON"),
    ],
)
def test_a_record_that_was_changed_is_refused_with_its_place(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    write_record(tmp_path, RECORD)
    path = tmp_path / RECORD_FILE
    path.write_text(damaged(path.read_text(), change))
    with pytest.raises(TrainingError, match=said) as caught:
        read_record(tmp_path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000, b"{" * 100_000]
)
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD_FILE).write_bytes(content)
    with pytest.raises(TrainingError, match=RECORD_FILE):
        read_record(tmp_path)


@pytest.mark.parametrize(("name", "read"), [(RECORD_FILE, read_record), (REPORT_FILE, read_report)])
def test_a_file_larger_than_a_training_writes_is_not_read(
    tmp_path: Path, name: str, read: Any
) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(2**32)
    with pytest.raises(TrainingError, match="the file has more than"):
        read(tmp_path)


def test_a_folder_without_a_record_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"run\.json cannot be read: No such file"):
        load_run(tmp_path)
    with pytest.raises(TrainingError, match="there is no folder"):
        load_run(tmp_path / "missing")


# Writing


def test_a_write_that_fails_leaves_the_file_of_before_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(tmp_path, RECORD)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_files.os, "fsync", full)
    with pytest.raises(TrainingError, match="No space left on device"):
        write_record(tmp_path, changed(seed=1))
    assert read_record(tmp_path) == RECORD
    assert os.listdir(tmp_path) == [RECORD_FILE]


def test_a_record_is_on_the_disk_before_it_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        call = getattr(os, name)
        monkeypatch.setattr(
            whole_files.os, name, lambda *args, n=name, c=call: (calls.append(n), c(*args))[1]
        )
    write_record(tmp_path, RECORD)
    assert calls == ["fsync", "replace"]


# The log of losses


def test_a_log_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    with LossLog(tmp_path) as log:
        log.add({"step": 1, "loss": 2.0, "learning_rate": 1e-4})
        log.add({"step": 1, "eval_loss": 1.5})
        assert read_losses(tmp_path).best is not None
        log.add({"step": 2, "loss": 1.0})
        assert len(read_losses(tmp_path)) == 2


def test_a_log_is_json_even_where_a_loss_is_no_number(tmp_path: Path) -> None:
    with LossLog(tmp_path) as log:
        log.add({"step": 1, "loss": math.nan, "grad_norm": math.inf})

    def refuse(text: str) -> None:
        raise ValueError(text)

    (line,) = (tmp_path / LOG_FILE).read_text().splitlines()
    assert json.loads(line, parse_constant=refuse)["loss"] == "NaN"
    (step,) = read_losses(tmp_path)
    assert math.isnan(step.loss)
    assert step.grad_norm == math.inf


def test_a_line_that_a_kill_has_cut_is_left_out(tmp_path: Path) -> None:
    with LossLog(tmp_path) as log:
        log.add({"step": 1, "loss": 2.0})
        log.add({"step": 2, "loss": 1.0})
    path = tmp_path / LOG_FILE
    path.write_bytes(path.read_bytes()[:-4])
    assert [each.step for each in read_losses(tmp_path)] == [1]


@pytest.mark.parametrize("line", ["{", "[1]", "null", "\x00" * 9, "[" * 50_000])
def test_a_damaged_line_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    (tmp_path / LOG_FILE).write_text(f'{{"step": 1, "loss": 1.0}}\n{line}\n')
    with pytest.raises(TrainingError, match=rf"{LOG_FILE}:2: the line is no entry"):
        read_losses(tmp_path)


def test_a_training_that_is_resumed_drops_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    with LossLog(tmp_path) as log:
        for step in (1, 2, 3):
            log.add({"step": step, "loss": 1.0})
    with LossLog(tmp_path, resumed_after=2) as log:
        assert [each.step for each in read_losses(tmp_path)] == [1, 2]
        log.add({"step": 3, "loss": 0.5})
    assert [each.loss for each in read_losses(tmp_path)] == [1.0, 1.0, 0.5]
    with LossLog(tmp_path):
        assert read_losses(tmp_path) == Losses()


def test_a_log_on_a_full_disk_is_an_error_of_training(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("the system has no device that is always full")
    (tmp_path / LOG_FILE).symlink_to("/dev/full")
    log = LossLog.__new__(LossLog)
    log._path, log._file = tmp_path / LOG_FILE, open("/dev/full", "ab")  # noqa: SIM115
    with pytest.raises(TrainingError, match="No space left"):
        log.add({"step": 1, "loss": 1.0})


# A run


def test_a_run_is_read_from_its_folder_at_any_time(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    run = load_run(str(tmp_path))
    assert (run.record.state, run.adapter, run.model_folder) == ("begun", None, None)
    assert (len(run.losses), run.report) == (0, TrainingReport())

    with LossLog(tmp_path) as log:
        log.add({"step": 1, "loss": 2.0})
    report = TrainingReport(
        examples=(ComparedExample(where="v:1", question="?", expected="a", thumbnails=(b"\xff",)),)
    )
    write_report(tmp_path, report)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    run = load_run(tmp_path)
    assert run.adapter == tmp_path / "adapter"
    assert run.losses[0].loss == 2.0
    assert run.report == report
