"""A checkpoint may say that it was trained for more than its family: tasks then are not refused."""

from __future__ import annotations

import json
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


def with_entry(folder: Path, value: object) -> Path:
    path = folder / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content[TRAINED_FOR] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(build_tiny_model(tmp_path_factory.mktemp("tiny"), family="qwen2_vl"))


def test_tasks_that_its_family_refuses_are_run_by_a_checkpoint_that_was_trained_for_them(
    tiny: Path,
) -> None:
    with VisionChat.from_pretrained(tiny, device="cpu") as chat:
        with pytest.raises(UnsupportedFeatureError, match="was not trained to call image tools"):
            think_with_images(chat, PICTURE, "What is this?")
        with pytest.raises(UnsupportedFeatureError, match="as markdown"):
            parse_document(chat, PICTURE, form="markdown")
    folder = with_entry(tiny, ["markdown", "attributes", "image tools"])
    with VisionChat.from_pretrained(folder, device="cpu") as chat:
        assert chat.family.model_type == "qwen2_vl"
        assert dict(chat.family.document_prompts)["markdown"].text == "qwenvl markdown"
        assert think_with_images(chat, PICTURE, "What is this?", max_steps=1) is not None
        assert parse_document(chat, PICTURE, form="markdown") is not None
        assert recognize(chat, PICTURE, "shapes") is not None
        with pytest.raises(UnsupportedFeatureError, match="paths"):
            trace_path(chat, PICTURE, "the way to the door")


@pytest.mark.parametrize("value", ["markdown", [1], {"markdown": True}, ["xml"], ["box "], None])
def test_an_ability_that_is_none_is_named(tiny: Path, value: object) -> None:
    with pytest.raises(CheckpointError, match=r"xml|box |qwenvl_kit_trained_for"):
        read_settings(with_entry(tiny, value))


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_a_family_loses_nothing_by_what_a_checkpoint_adds(model_type: str) -> None:
    family = FAMILIES[model_type]
    assert trained_for(family, []) == family
    more = trained_for(family, ["markdown", "html", "point", "image tools"])
    assert more.places == family.places | {"point"}
    assert more.document_prompts[: len(family.document_prompts)] == family.document_prompts
    assert {form for form, _ in more.document_prompts} == {"html", "markdown"}
    assert more.calls_image_tools


def test_transformers_keeps_the_entry_where_it_saves_a_configuration(
    tiny: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.from_pretrained(with_entry(tiny, ["point"]))
    config.save_pretrained(tmp_path)
    assert "point" in read_settings(tmp_path).family.places
