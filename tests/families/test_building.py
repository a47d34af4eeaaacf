"""What `build_tiny_model` makes, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.errors import InputError, UnknownFamilyError
from qwenvl_kit.testing import build_tiny_model


@pytest.mark.parametrize(
    "wrong", [{"hidden_size": 10}, {"hidden_size": 0}, {"num_layers": 0}, {"vocabulary_size": 3}]
)
def test_sizes_that_cannot_be_built_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        build_tiny_model(tmp_path / "tiny", **wrong)
    assert not (tmp_path / "tiny").exists()


def test_an_unknown_family_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownFamilyError, match=r"qwen9.*qwen3_5_moe"):
        build_tiny_model(tmp_path, "qwen9")


def test_the_same_seed_builds_the_same_weights(tmp_path: Path) -> None:
    files = [
        build_tiny_model(tmp_path / name, "qwen3_vl", seed=seed) / "model.safetensors"
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    first, again, other = (file.read_bytes() for file in files)
    assert first == again != other
