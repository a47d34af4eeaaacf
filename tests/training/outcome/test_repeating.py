"""A record makes a run repeatable, and a finished run can be seen again."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from qwenvl_kit import ImagePart, Message
from qwenvl_kit.errors import TrainingError
from qwenvl_kit.training import (
    Example,
    FullTraining,
    LoRA,
    RunData,
    RunRecord,
    RunSettings,
    fine_tune,
    load_run,
)
from qwenvl_kit.training.outcome.record import described_method, method_of

COLOURS = ("red", "blue", "green", "black")


def examples_in(folder: Path) -> list[Example]:
    examples = []
    for colour in COLOURS:
        path = folder / f"{colour}.png"
        Image.new("RGB", (56, 56), colour).save(path)
        question = Message.user(ImagePart(path), "What colour?")
        examples.append(Example([question, Message.assistant(f"{colour}.")], where=f"t:{colour}"))
    return examples


@pytest.mark.long
def test_a_run_is_repeated_bit_for_bit_by_the_arguments_of_its_record(tmp_path: Path) -> None:
    examples = examples_in(tmp_path)
    run = fine_tune(
        None,
        examples,
        tmp_path / "first",
        validation=0.25,
        epochs=2,
        tokens_per_batch=150,
        learning_rate=1e-3,
        method=LoRA(rank=2, alpha=4),
        progress=False,
    )
    assert run.record.state == "finished"
    assert run.report.num_compared == 1
    assert load_run(tmp_path / "first") == run
    seen = (str(run), run._repr_html_(), str(run.record))
    assert all("finished" in text for text in seen)

    arguments = load_run(tmp_path / "first").record.arguments()
    again = fine_tune(examples=examples, output=tmp_path / "second", progress=False, **arguments)
    assert [each.loss for each in again.losses] == [each.loss for each in run.losses]
    assert again.losses.validation == run.losses.validation
    assert again.report == run.report
    assert again.record.differences(run.record) == ()


@pytest.mark.parametrize("method", [LoRA(rank=4, dora=True, parts=("language",)), FullTraining()])
def test_a_method_is_the_same_after_a_way_through_its_description(
    method: LoRA | FullTraining,
) -> None:
    assert method_of(described_method(method)) == method


@pytest.mark.parametrize(
    "described",
    [{}, {"name": "Prefix"}, {"name": "LoRA", "ranks": 8}, {"name": ["LoRA"]}, {"name": None}],
)
def test_a_method_that_there_is_not_is_refused(described: dict[str, object]) -> None:
    with pytest.raises(TrainingError, match=r"settings\.method"):
        method_of(described)


def test_the_arguments_are_those_of_the_function_that_trains() -> None:
    import inspect

    settings = RunSettings(
        model="Qwen/Qwen2-VL-2B-Instruct",
        family="qwen2_vl",
        method=described_method(LoRA()),
        learning_rate=1e-4,
        epochs=1,
        tokens_per_batch=8192,
        batches_per_step=4,
    )
    record = RunRecord(settings=settings, data=RunData(training="4a1f", validation_share=0.02))
    arguments = record.arguments()
    assert {*arguments} <= {*inspect.signature(fine_tune).parameters}
    assert (arguments["accumulation"], arguments["validation"]) == (4, 0.02)
    given = RunRecord(settings=settings, data=RunData(training="4a1f", validation="ffff"))
    assert "validation" not in given.arguments()


def test_options_that_json_cannot_hold_are_recorded_as_text(tmp_path: Path) -> None:
    from qwenvl_kit.training.outcome.record import read_record, write_record

    settings = RunSettings(
        model=None,
        family="qwen2_vl",
        method=described_method(LoRA()),
        learning_rate=1e-4,
        epochs=1,
        tokens_per_batch=8192,
        trainer_options={"output": Path("runs"), "optim": "adafactor"},
    )
    record = RunRecord(settings=settings, data=RunData(training="4a1f"))
    write_record(tmp_path, record)
    assert read_record(tmp_path).differences(record) == ()
