"""`qwenvl_kit.json` says what was trained, and is read strictly."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import PixelBudget
from qwenvl_kit.checkpoints.trained_with import TRAINED_WITH_FILE, ModelIdentity, TrainedWith
from qwenvl_kit.errors import AdapterError, QwenVLKitWarning

BASE = ModelIdentity("Qwen/Qwen2-VL-2B-Instruct", "a" * 40, "qwen2_vl", "0" * 64)
RECORD = TrainedWith(
    base=BASE,
    budget=PixelBudget(512, 1024, max_long_edge_px=2000),
    image_pixels=(3136, 12845056),
    video_pixels=(3136, 12845056),
    thinking=None,
    data="",
    method="lora",
    dtype="bfloat16",
    quantization="4bit",
    kit="0.1.0",
)


def changed(folder: Path, **entries: Any) -> Path:
    """A folder with the record's file, in which some entries are others, or are left out."""
    path = RECORD.write(folder)
    content = {**json.loads(path.read_text()), **entries}
    kept = {name: value for name, value in content.items() if value is not ...}
    path.write_text(json.dumps(kept))
    return folder


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, budget=PixelBudget(), thinking=True, quantization=None),
        replace(RECORD, budget=PixelBudget.from_pixels(28 * 28, 10**6, 10**7), thinking=False),
        replace(RECORD, base=replace(BASE, model="/home/ä b/模型", revision=None)),
    ],
)
def test_a_record_that_is_written_is_read_again(record: TrainedWith, tmp_path: Path) -> None:
    record.write(tmp_path)
    assert TrainedWith.read(tmp_path) == record


def test_a_folder_of_another_program_has_no_record(tmp_path: Path) -> None:
    assert TrainedWith.read(tmp_path) is None
    assert TrainedWith.read(tmp_path / "missing") is None


@pytest.mark.parametrize("form", [2, 0, "1", None, True, 1.0, ...])
def test_a_form_that_is_not_known_is_an_error(form: object, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="form") as caught:
        TrainedWith.read(changed(tmp_path, form=form))
    assert caught.value.expected
    assert ("upgrade" in caught.value.hint) is (form == 2)


def test_an_entry_that_is_not_known_is_told(tmp_path: Path) -> None:
    with pytest.warns(QwenVLKitWarning, match="'frames'"):
        assert TrainedWith.read(changed(tmp_path, frames=3)) == RECORD


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", 3),
        ("model", ""),
        ("model", "a" * 2000),
        ("model", ...),
        ("revision", 7),
        ("revision", ...),
        ("family", None),
        ("template", ["0"]),
        ("budget", "standard"),
        ("budget", None),
        ("budget", {"max_tokens": "512"}),
        ("budget", {"max_tokens": -1}),
        ("budget", {"max_tokens": True}),
        ("budget", {"max_tokens": 1, "max_pixels": 2}),
        ("budget", {"__init__": 1}),
        ("budget", {"min_tokens": 2, "max_tokens": 1}),
        ("image_pixels", [1]),
        ("image_pixels", [2, 1]),
        ("image_pixels", [1.0, 2.0]),
        ("image_pixels", [True, True]),
        ("video_pixels", {"0": 1}),
        ("thinking", "yes"),
        ("thinking", ...),
        ("data", None),
        ("method", 1),
        ("dtype", ""),
        ("quantization", 4),
        ("kit", None),
    ],
)
def test_an_entry_of_another_type_is_an_error_that_names_it(
    name: str, value: object, tmp_path: Path
) -> None:
    with pytest.raises(AdapterError, match=name) as caught:
        TrainedWith.read(changed(tmp_path, **{name: value}))
    assert caught.value.expected
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"{",
            b"[]",
            b"3",
            b"null",
            b"\xff\xfe{\x00}\x00",
            b"\xef\xbb\xbf{}",
            b"{'form': 1}",
        ),
        *(b'{"form": ' + b"9" * 5000 + b"}", b"[" * 100_000, b'"' + b"a" * 100, b"\x00" * 64),
    ],
)
def test_a_file_that_is_no_object_of_json_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / TRAINED_WITH_FILE).write_bytes(content)
    with pytest.raises(AdapterError):
        TrainedWith.read(tmp_path)


def test_a_file_without_end_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / TRAINED_WITH_FILE
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(AdapterError, match="MiB"):
        TrainedWith.read(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(AdapterError, match="pipe"):
        TrainedWith.read(tmp_path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(AdapterError, match="device"):
        TrainedWith.read(tmp_path)


def test_a_link_to_nothing_is_not_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / TRAINED_WITH_FILE).symlink_to(tmp_path / "gone")
    with pytest.raises(AdapterError):
        TrainedWith.read(tmp_path)


@pytest.mark.parametrize(
    ("served", "told"),
    [
        (replace(BASE, family="qwen2_5_vl"), "qwen2_5_vl"),
        (replace(BASE, model="Qwen/Qwen2-VL-7B-Instruct"), "Qwen2-VL-7B-Instruct"),
        (replace(BASE, template="1" * 64), "chat template"),
    ],
)
def test_another_model_or_template_is_an_error(served: ModelIdentity, told: str) -> None:
    with pytest.raises(AdapterError, match=told) as caught:
        RECORD.check_model(served)
    assert "Qwen/Qwen2-VL-2B-Instruct" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("trained", "served", "warns"),
    [
        (BASE, BASE, False),
        (BASE, replace(BASE, revision="b" * 40), True),
        (BASE, replace(BASE, model="unsloth/Qwen2-VL-2B-Instruct"), True),
        (BASE, replace(BASE, model="/models/Qwen2-VL-2B-Instruct/", revision=None), False),
        (BASE, replace(BASE, model="C:\\models\\qwen2-vl-2b-instruct", revision=None), False),
        (BASE, replace(BASE, model="/models/base", revision=None), True),
        (
            BASE,
            replace(
                BASE,
                model=f"/c/models--Qwen--Qwen2-VL-2B-Instruct/snapshots/{'a' * 40}",
                revision=None,
            ),
            False,
        ),
    ],
)
def test_a_copy_of_the_model_is_at_most_a_warning(
    trained: ModelIdentity, served: ModelIdentity, warns: bool
) -> None:
    record = replace(RECORD, base=trained)
    record.check_model(served)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record.warn_of_copies(served)
    assert bool(caught) is warns


def test_names_from_a_file_cannot_forge_lines_of_a_message(tmp_path: Path) -> None:
    record = replace(RECORD, base=replace(BASE, model="a/b\n\x1b[31mERROR", family="x\ny"))
    with pytest.raises(AdapterError) as caught:
        record.check_model(BASE)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
