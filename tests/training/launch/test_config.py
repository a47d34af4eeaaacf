"""A training as a TOML file: what it says is what the functions get, and a slip has its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import MediaPolicy, PixelBudget, training
from qwenvl_kit.errors import (
    ArgumentError,
    InputError,
    MediaForbiddenError,
    MissingPackageError,
    QwenVLKitError,
)
from qwenvl_kit.training import FullTraining, LoRA
from qwenvl_kit.training.launch import TrainingConfig, read_config
from qwenvl_kit.training.launch import config as config_module
from tests.training.launch import stand_in

LEAST = 'model = "embedded"\noutput = "out"\n[examples]\ndata = "train.jsonl"\n'


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setattr(training, "fine_tune", stand_in.fine_tune)
    stand_in.CALLS.clear()
    return stand_in.CALLS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"query": f"{at}?", "response": "yes"} for at in range(3)]
    for name in ("train.jsonl", "kept.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def read(folder: Path, text: str, *overrides: str, **options: Any) -> TrainingConfig:
    (folder / "config.toml").write_text(text)
    return read_config(folder / "config.toml", overrides, **options)


def refusal(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(QwenVLKitError) as caught:
        read(folder, text, *overrides)
    return str(caught.value)


def test_a_file_says_everything_that_a_training_is_told(
    folder: Path, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
        output = "out"
        budget = {max_tokens = 512}
        [training]
        model = "Qwen/Qwen2-VL-2B-Instruct"
        epochs = 2
        learning_rate = {language = 1e-4, vision = 1e-6}
        report_to = ["tensorboard"]
        gradient_checkpointing = true
        [examples]
        data = ["train.jsonl"]
        form = "swift"
        columns = {question = "query"}
        media_root = "pictures"
        [validation]
        data = "kept.jsonl"
        [method]
        kind = "lora"
        rank = 16
        parts = ["language", "projector"]
        [media]
        allow_folders = ["pictures"]
        max_pages = 3
        [trainer]
        ddp_timeout = 600
        deepspeed = "zero2"
    """
    monkeypatch.setattr(config_module, "_has_deepspeed", lambda: True)
    config = read(folder, text)
    assert config.examples == {
        "data": [folder / "train.jsonl"],
        "form": "swift",
        "columns": {"question": "query"},
        "media_root": folder / "pictures",
    }
    config.train()
    (call,) = calls
    assert (call["model"], call["output"]) == ("Qwen/Qwen2-VL-2B-Instruct", folder / "out")
    assert call["budget"] == PixelBudget(max_tokens=512)
    assert (call["epochs"], call["learning_rate"]) == (2, {"language": 1e-4, "vision": 1e-6})
    assert call["method"] == LoRA(rank=16, parts=("language", "projector"))
    assert call["media"] == MediaPolicy(allow_folders=[folder / "pictures"], max_pages=3)
    assert (call["report_to"], call["gradient_checkpointing"]) == (["tensorboard"], True)
    assert call["trainer_options"]["ddp_timeout"] == 600
    assert Path(call["trainer_options"]["deepspeed"]).name == "zero2.json"
    assert [example.where for example in call["validation"]] == [
        f"{folder / 'kept.jsonl'}:{line}" for line in (1, 2, 3)
    ]


def test_the_least_file_leaves_all_else_to_the_defaults(
    folder: Path, calls: list[dict[str, Any]]
) -> None:
    read(folder, LEAST).train()
    (call,) = calls
    assert len(list(call["examples"])) == 3
    assert (call["model"], call["method"], call["validation"]) == (None, None, None)


def test_a_share_is_kept_back(folder: Path, calls: list[dict[str, Any]]) -> None:
    read(folder, LEAST + "[validation]\nshare = 0.2").train()
    assert calls[0]["validation"] == 0.2


def test_the_other_method_is_a_full_training(folder: Path, calls: list[dict[str, Any]]) -> None:
    read(folder, LEAST + '[method]\nkind = "full"\nparts = ["projector"]').train()
    assert calls[0]["method"] == FullTraining(parts=("projector",))


def test_files_are_mixed_by_their_shares(folder: Path) -> None:
    data = '{"train.jsonl" = 0.8, "kept.jsonl" = 0.2}'
    config = read(folder, LEAST.replace('"train.jsonl"', data) + "seed = 7")
    shares = {folder / "train.jsonl": 0.8, folder / "kept.jsonl": 0.2}
    assert config.examples == {"data": shares, "seed": 7}


def test_a_model_that_lies_beside_the_file_is_found_there(folder: Path) -> None:
    (folder / "mine").mkdir()
    for written, meant in (("mine", folder / "mine"), ("./none", folder / "none")):
        config = read(folder, LEAST.replace("embedded", written))
        assert config.settings["model"] == meant


def test_settings_of_the_command_take_the_place_of_those_of_the_file(folder: Path) -> None:
    config = read(
        folder,
        LEAST + "[method]\nrank = 4",
        *("training.epochs=3", "accumulation=2", "method.rank=16", "examples.form=swift"),
        *("learning_rate.vision=1e-6", "validation.share=0.1"),
        output="elsewhere",
        resume=False,
    )
    settings = config.settings
    assert (settings["epochs"], settings["accumulation"]) == (3, 2)
    assert settings["method"].rank == 16
    assert (config.examples["form"], config.validation) == ("swift", 0.1)
    assert settings["learning_rate"] == {"vision": 1e-6}
    assert (settings["output"], settings["resume"]) == (Path("elsewhere").absolute(), False)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (LEAST + "[training]\nepoch = 2", ("[training]", "'epoch'", "Try: epochs")),
        ("num_train_epochs = 2\n" + LEAST, ("[training]", "Try: epochs")),
        ("per_device_train_batch_size = 2\n" + LEAST, ("accumulation",)),
        ("lora_rank = 2\n" + LEAST, ("Try: rank in [method]",)),
        (LEAST + "dat = 1", ("[examples]", "Try: data")),
        (LEAST + "epochs = 2", ("[examples]", "Try: epochs in [training]")),
        (LEAST + "[exampels]\ndata = 1", ("'exampels'", "Try: examples")),
        (LEAST + "[method]\nranks = 2", ("[method]", "Try: rank")),
        (LEAST + '[method]\nkind = "full"\nrank = 2', ("[method]", "expected parts")),
        (LEAST + '[method]\nkind = "qlora"', ("[method]", "'qlora'", '"lora" or "full"')),
        (LEAST + "[method]\nrank = 0", ("[method]", "rank=0")),
        (LEAST + "[media]\nmax_page = 2", ("[media]", "Try: max_pages")),
        (LEAST + "[media]\nmax_pages = 0", ("[media]", "max_pages")),
        (LEAST + "[trainer]\nddp_timeouts = 2", ("[trainer]", "Try: ddp_timeout")),
        (LEAST + "[trainer]\nepochs = 2", ("[trainer]", "Try: epochs in [training]")),
        (LEAST + "[validation]\nshares = 2", ("[validation]", "Try: share")),
        (LEAST + "[validation]\nshare = 0.1\ndata = 'a'", ("[validation]", "both")),
        (LEAST + "[validation]\nshare = 0.1\nform = 'swift'", ("share and form",)),
        (LEAST + "[validation]", ("[validation]", "share = 0.02, or data")),
        ('epochs = "2"\n' + LEAST, ("epochs = '2'", "a string", "expected a number")),
        ("epochs = true\n" + LEAST, ("epochs = true", "expected a number")),
        ("accumulation = 2.5\n" + LEAST, ("expected a whole number",)),
        ('report_to = "wandb"\n' + LEAST, ("expected an array of strings",)),
        ('too_long = "cut"\n' + LEAST, ('expected "error" or "skip"',)),
        ("budget = 5\n" + LEAST, ("budget = 5", "a table of min_tokens")),
        ("budget = {max_token = 5}\n" + LEAST, ("[training.budget]", "Try: max_tokens")),
        ("budget = {max_tokens = 0}\n" + LEAST, ("[training.budget]", "max_tokens=0")),
        ("learning_rate = {vison = 1}\n" + LEAST, ("learning_rate",)),
        ("model = 5\n" + LEAST.partition("\n")[2], ("model = 5", "the id of a hub")),
        (LEAST.partition("\n")[2], ("there is no model",)),
        ('model = "a"\n[examples]\ndata = "b"', ("there is no output",)),
        ('model = "a"\noutput = "b"', ("there is no table [examples]",)),
        ('model = "a"\noutput = "b"\n[examples]', ("[examples]", "there is no data")),
        ("epochs = 1\n" + LEAST + "[training]\nepochs = 2", ("epochs", "before it")),
        ("examples = 5", ("examples = 5", "a table")),
        ("epochs = null\n" + LEAST, ("line 1", "no null")),
        ("epochs 1\n", ("line 1",)),
    ],
)
def test_what_a_file_says_wrongly_is_told_with_its_table_and_the_nearest_key(
    folder: Path, text: str, parts: tuple[str, ...]
) -> None:
    told = refusal(folder, text)
    assert "config.toml" in told
    for part in parts:
        assert part in told


def test_a_setting_of_the_command_is_held_to_the_same_rules(folder: Path) -> None:
    assert "Try: epochs" in refusal(folder, LEAST, "training.epoch=3")
    assert "TABLE.KEY=VALUE" in refusal(folder, LEAST, "epochs")
    assert "expected a number" in refusal(folder, LEAST, "epochs=many")


def test_a_file_that_is_not_there_or_no_text_is_told(folder: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: .* cannot be read"):
        read_config(folder / "none.toml")
    (folder / "config.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_config(folder / "config.toml")


def test_the_check_of_a_file_is_that_of_its_examples(
    folder: Path, calls: list[dict[str, Any]]
) -> None:
    (folder / "kept.jsonl").write_text('{"query": "0?", "response": "yes"}\n')
    text = "max_tokens = 4000\n" + LEAST + '[validation]\ndata = "kept.jsonl"'
    report = read(folder, text).check()
    assert (report.num_examples, len(report.overlap), report.is_ok) == (3, 1, True)
    assert not calls


def test_the_media_policy_of_a_file_holds_in_its_check(folder: Path) -> None:
    row = {"query": "<image>What?", "response": "yes", "images": ["/etc/hostname.png"]}
    (folder / "train.jsonl").write_text(json.dumps(row) + "\n")
    report = read(folder, LEAST + '[media]\nallow_folders = ["."]').check()
    assert [fault.kind for fault in report.faults] == [MediaForbiddenError.__name__]


def test_deepspeed_that_is_not_installed_is_told_before_anything_is_loaded(
    folder: Path, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "_has_deepspeed", lambda: False)
    config = read(folder, LEAST + '[trainer]\ndeepspeed = "zero3"')
    with pytest.raises(MissingPackageError, match="pip install deepspeed"):
        config.train()
    assert not calls


def test_the_file_that_the_guide_shows_can_be_read(
    folder: Path, calls: list[dict[str, Any]]
) -> None:
    guide = Path(__file__).parents[3] / "docs" / "guide" / "training_launch.md"
    (shown,) = re.findall(r"```toml\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    read(folder, shown).train()
    assert calls[0]["method"] == LoRA(rank=16)


def test_wrong_keys_are_errors_of_arguments(folder: Path) -> None:
    with pytest.raises(ArgumentError):
        read(folder, LEAST + "x = 1")
