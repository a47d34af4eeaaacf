"""A checkpoint may say that it was trained for more than its family: tasks then are not refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from qwenvl_kit import VisionChat
from qwenvl_kit.checkpoints.settings import TRAINED_FOR, read_settings
from qwenvl_kit.errors import CheckpointError, UnsupportedFeatureError
from qwenvl_kit.families import FAMILIES, trained_for
from qwenvl_kit.tasks import parse_document, recognize, think_with_images, trace_path
from qwenvl_kit.testing import build_tiny_model

PICTURE = Image.new("RGB", (80, 80), "white")


def with_entry(tiny: Path, folder: Path, value: object) -> Path:
    shutil.copytree(tiny, folder, dirs_exist_ok=True)
    path = folder / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content[TRAINED_FOR] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(build_tiny_model(tmp_path_factory.mktemp("tiny"), family="qwen2_vl"))


def test_tasks_that_its_family_refuses_are_run_by_a_checkpoint_that_was_trained_for_them(
    tiny: Path, tmp_path: Path
) -> None:
    with VisionChat.from_pretrained(tiny, device="cpu") as chat:
        with pytest.raises(UnsupportedFeatureError, match="was not trained to call image tools"):
            think_with_images(chat, PICTURE, "What is this?")
        with pytest.raises(UnsupportedFeatureError, match="as markdown"):
            parse_document(chat, PICTURE, form="markdown")
    folder = with_entry(tiny, tmp_path, ["markdown", "attributes", "image tools"])
    with VisionChat.from_pretrained(folder, device="cpu") as chat:
        assert chat.family.model_type == "qwen2_vl"
        assert dict(chat.family.document_prompts)["markdown"].text == "qwenvl markdown"
        assert think_with_images(chat, PICTURE, "What is this?", max_steps=1) is not None
        assert parse_document(chat, PICTURE, form="markdown") is not None
        assert recognize(chat, PICTURE, "shapes") is not None
        with pytest.raises(UnsupportedFeatureError, match="paths"):
            trace_path(chat, PICTURE, "the way to the door")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("markdown", "'markdown'"),
        ([1], "'1'"),
        ({"markdown": True}, repr(str({"markdown": True}))),
        (["markdown", "xml"], "'xml'"),
        (["path "], "'path '"),
        (["point"], "'point'"),
        ([["path"]], repr(str(["path"]))),
        (None, "'None'"),
    ],
)
def test_an_ability_that_is_none_is_named(
    tiny: Path, tmp_path: Path, value: object, named: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_settings(with_entry(tiny, tmp_path, value))
    assert f"was trained for {named}, which is no ability" in caught.value.problem
    assert str(tmp_path / "config.json") in caught.value.problem


def test_an_entry_of_a_million_letters_is_not_repeated(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_settings(with_entry(tiny, tmp_path, ["x" * 10**6]))
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_a_family_loses_nothing_by_what_a_checkpoint_adds(model_type: str) -> None:
    family = FAMILIES[model_type]
    assert trained_for(family, []) == family
    more = trained_for(family, ["markdown", "html", "attributes", "image tools"])
    assert more.places == family.places | {"attributes"}
    assert more.document_prompts[: len(family.document_prompts)] == family.document_prompts
    assert {form for form, _ in more.document_prompts} == {"html", "markdown"}
    assert more.calls_image_tools


def test_transformers_keeps_the_entry_where_it_saves_a_configuration(
    tiny: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = with_entry(tiny, tmp_path / "given", ["attributes"])
    transformers.AutoConfig.from_pretrained(folder).save_pretrained(tmp_path / "saved")
    assert "attributes" in read_settings(tmp_path / "saved").family.places
