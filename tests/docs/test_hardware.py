"""README's table of hardware is what the kit's arithmetic gives."""

from __future__ import annotations

import json

import pytest

from tests.docs import hardware
from tests.docs.blocks import ROOT

SIDE_FILES = ROOT.parent / "shared" / "checkpoints"


@pytest.mark.long
def test_the_table_of_hardware_is_what_the_arithmetic_gives() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{hardware.BEGIN}{hardware.table()}{hardware.END}" in text


@pytest.mark.long
@pytest.mark.parametrize("name", hardware.MODELS)
def test_a_model_of_the_table_has_the_parameters_that_its_publisher_counts(name: str) -> None:
    count = hardware.num_parameters(name)
    assert round(count / 1e9, 1) == hardware.MODELS[name].billions


@pytest.mark.parametrize("name", [n for n, m in hardware.MODELS.items() if m.is_among_side_files])
def test_the_sizes_of_the_table_are_those_of_the_published_config(name: str) -> None:
    path = SIDE_FILES / name / "config.json"
    if not path.exists():
        pytest.skip(f"the side files of published checkpoints are not in {SIDE_FILES}")
    config, model = json.loads(path.read_text()), hardware.MODELS[name]
    published = {**config, **config.get("text_config", {})}
    vision = config["vision_config"]
    vision.setdefault("in_channels", vision.get("in_chans"))
    assert {key: published[key] for key in model.text} == model.text
    assert {key: vision[key] for key in model.vision} == model.vision
    assert published["max_position_embeddings"] == model.context_tokens
