"""A chat serves an adapter with the budget, model and template that it was trained with."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit import PixelBudget, VisionChat
from qwenvl_kit.errors import AdapterError, BudgetError, QwenVLKitWarning
from qwenvl_kit.options import BudgetChoice
from tests.adapters import LANGUAGE, random_adapter, record_of

pytest.importorskip("peft", reason="adapters need peft")

TRAINED = PixelBudget(4, 16)
LARGE = PIL.Image.new("RGB", (1000, 1000), "red")


@pytest.fixture(scope="module")
def plain_adapter(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "plain"
    return random_adapter(tiny_folder, folder, target_modules=LANGUAGE)


@pytest.fixture
def adapter(tiny_folder: Path, plain_adapter: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(plain_adapter, tmp_path / "receipts"))
    record_of(tiny_folder, TRAINED).write(folder)
    return folder


def test_the_budget_of_the_adapter_is_taken_and_told(tiny_folder: Path, adapter: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, adapter=adapter)
    assert chat.plan("What?", LARGE).visual_tokens <= 16
    told = chat.report()["budget"]
    assert "PixelBudget(min_tokens=4, max_tokens=16)" in told
    assert "receipts" in told


def test_an_adapter_of_another_program_loads_as_before(
    tiny_folder: Path, plain_adapter: Path
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, adapter=plain_adapter, budget="quick")
    assert chat.adapters.active == "plain"
    assert "budget" not in chat.report()
    chat.adapters.use(None)
    assert chat.adapters.load(plain_adapter, "again") == "again"


@pytest.mark.parametrize("budget", ["native", "quick", PixelBudget(4, 17), PixelBudget(4, 16, 32)])
def test_another_budget_is_an_error_that_says_both(
    tiny_folder: Path, adapter: Path, budget: BudgetChoice
) -> None:
    with pytest.raises(AdapterError, match="max_tokens=16") as caught:
        VisionChat.from_pretrained(tiny_folder, adapter=adapter, budget=budget)
    said = budget if isinstance(budget, PixelBudget) else PixelBudget.from_name(budget)
    assert str(said.max_tokens or "native") in caught.value.problem
    assert "leave budget out" in caught.value.hint


def test_the_same_budget_in_other_words_is_taken(tiny_folder: Path, adapter: Path) -> None:
    side = 28 * 28
    in_pixels = PixelBudget.from_pixels(4 * side, 16 * side)
    chat = VisionChat.from_pretrained(tiny_folder, adapter=adapter, budget=in_pixels)
    assert chat.plan("What?", LARGE).visual_tokens <= 16


def test_a_budget_that_does_not_exist_is_told_before_anything_is_loaded(adapter: Path) -> None:
    with pytest.raises(BudgetError):
        VisionChat.from_pretrained("/nowhere", adapter=adapter, budget="huge")  # type: ignore[arg-type]
    with pytest.raises(AdapterError, match="budget"):
        VisionChat.from_pretrained("/nowhere", adapter=adapter, budget="quick")


def test_a_request_may_have_a_budget_of_its_own(tiny_folder: Path, adapter: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, adapter=adapter)
    larger = chat.plan("What?", LARGE, budget=PixelBudget(4, 64))
    assert larger.visual_tokens > 16


def test_an_adapter_that_is_loaded_later_must_fit_the_chat_s_budget(
    tiny_folder: Path, adapter: Path
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder)
    with pytest.raises(AdapterError, match=r"native.*|max_tokens=16"):
        chat.adapters.load(adapter)
    assert chat.adapters.names == ()
    fitting = VisionChat.from_pretrained(tiny_folder, budget=TRAINED)
    assert fitting.adapters.load(adapter) == "receipts"


def test_native_limits_that_have_changed_are_told(
    tiny_folder: Path, plain_adapter: Path, tmp_path: Path
) -> None:
    record = record_of(tiny_folder, PixelBudget())
    replace(record, image_pixels=(28 * 28, 28 * 28 * 5)).write(plain_adapter)
    try:
        with pytest.raises(AdapterError, match="784 to 3920 pixels"):
            VisionChat.from_pretrained(tiny_folder, adapter=plain_adapter)
    finally:
        (plain_adapter / "qwenvl_kit.json").unlink()


def test_another_chat_template_is_an_error(
    tiny_folder: Path, adapter: Path, tmp_path: Path
) -> None:
    altered = Path(shutil.copytree(tiny_folder, tmp_path / tiny_folder.name))
    template = altered / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    with pytest.raises(AdapterError, match="chat template"):
        VisionChat.from_pretrained(altered, adapter=adapter)
    chat = VisionChat.from_pretrained(altered, budget=TRAINED)
    with pytest.raises(AdapterError, match="chat template"):
        chat.adapters.load(adapter)


def test_another_family_is_an_error_before_the_weights_are_read(
    tiny_folder: Path, adapter: Path, tmp_path: Path
) -> None:
    record_of(tiny_folder, TRAINED, family="qwen3_vl").write(adapter)
    bare = Path(shutil.copytree(tiny_folder, tmp_path / "bare"))
    with pytest.raises(AdapterError, match="family"):
        VisionChat.from_pretrained(bare, adapter=adapter)


def test_a_model_in_a_folder_of_another_name_is_a_warning(tiny_folder: Path, adapter: Path) -> None:
    record_of(tiny_folder, TRAINED, model="/elsewhere/another").write(adapter)
    with pytest.warns(QwenVLKitWarning, match="another"):
        VisionChat.from_pretrained(tiny_folder, adapter=adapter)


def test_a_damaged_record_is_an_error_of_the_adapter(tiny_folder: Path, adapter: Path) -> None:
    (adapter / "qwenvl_kit.json").write_text("{")
    with pytest.raises(AdapterError, match=r"qwenvl_kit\.json"):
        VisionChat.from_pretrained(tiny_folder, adapter=adapter)


def test_a_model_that_was_trained_whole_brings_its_budget(
    tiny_folder: Path, tmp_path: Path
) -> None:
    trained = Path(shutil.copytree(tiny_folder, tmp_path / "whole"))
    record_of(tiny_folder, TRAINED).write(trained)
    assert VisionChat.from_pretrained(trained).plan("What?", LARGE).visual_tokens <= 16
    with pytest.raises(AdapterError, match="max_tokens=16"):
        VisionChat.from_pretrained(trained, budget="fine")


def test_a_reload_keeps_the_budget_that_was_given_and_no_other(
    tiny_folder: Path, adapter: Path
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder)
    chat.reload(tiny_folder, adapter=adapter)
    assert chat.plan("What?", LARGE).visual_tokens <= 16
    chat.reload(tiny_folder)
    assert chat.plan("What?", LARGE).visual_tokens > 16

    given = VisionChat.from_pretrained(tiny_folder, budget=PixelBudget(4, 32))
    with pytest.raises(AdapterError, match="max_tokens=32"):
        given.reload(tiny_folder, adapter=adapter)
    given.reload(tiny_folder)
    assert 16 < given.plan("What?", LARGE).visual_tokens <= 32


def test_the_file_says_what_was_trained(tiny_folder: Path, adapter: Path) -> None:
    content = json.loads((adapter / "qwenvl_kit.json").read_text())
    assert content["form"] == 1
    assert content["budget"] == {"min_tokens": 4, "max_tokens": 16}
    assert content["family"] == "qwen2_vl"
    assert len(content["template"]) == 64
