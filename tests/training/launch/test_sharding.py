"""A training that would stand still, or learn something else, is refused before it begins."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate.utils.deepspeed import HfDeepSpeedConfig

from qwenvl_kit.errors import TrainingError
from qwenvl_kit.training import Example, LoRA, fine_tune
from qwenvl_kit.training.launch import launch_config
from qwenvl_kit.training.launch.sharding import Sharding
from qwenvl_kit.training.launch.shipped import DEEPSPEED_FILES
from qwenvl_kit.training.reports import Quantiles
from tests.training.launch import sharing

ALL_HAVE_PICTURES, SOME_HAVE, NONE_HAS = (Quantiles.of(n) for n in ([4, 9], [0, 9], [0, 0]))


def arguments(*, fsdp: bool = False, deepspeed: str = "") -> Any:
    """What is read of transformers' arguments."""
    config = HfDeepSpeedConfig(str(DEEPSPEED_FILES[deepspeed])) if deepspeed else None
    plugin = SimpleNamespace(hf_ds_config=config) if deepspeed else None
    return SimpleNamespace(fsdp=fsdp, deepspeed_plugin=plugin)


@pytest.fixture(autouse=True)
def nothing_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCELERATE_USE_FSDP", "FSDP_IGNORED_MODULES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fsdp(monkeypatch: pytest.MonkeyPatch) -> Sharding:
    for name, value in sharing.launched(str(launch_config("fsdp"))).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    return Sharding.of(arguments())


def test_whole_weights_forbid_nothing() -> None:
    sharding = Sharding.of(arguments())
    assert sharding == Sharding()
    sharding.check(("language", "vision"), SOME_HAVE)


def test_deepspeed_does_not_wait_for_gradients_that_never_come() -> None:
    sharding = Sharding.of(arguments(deepspeed="zero2"))
    assert sharding.strategy is None
    for fits in (ALL_HAVE_PICTURES, NONE_HAS):
        sharding.check(("language", "vision"), fits)
    sharding.check(("language",), SOME_HAVE)
    with pytest.raises(TrainingError, match="DeepSpeed waits for ever"):
        sharding.check(("language", "vision"), SOME_HAVE)


def test_the_shipped_fsdp_leaves_the_vision_encoder_whole(fsdp: Sharding) -> None:
    assert fsdp == Sharding("fsdp", has_whole_vision=True)
    fsdp.check(("language",), SOME_HAVE)


def test_a_part_whose_gradients_nothing_averages_may_not_learn(fsdp: Sharding) -> None:
    for parts in (("vision",), ("language", "projector")):
        with pytest.raises(TrainingError, match="zero2"):
            fsdp.check(parts, ALL_HAVE_PICTURES)


@pytest.mark.parametrize("options", [{"fsdp": True}, {"deepspeed": "zero3"}])
def test_examples_without_pictures_do_not_go_with_a_shared_vision_encoder(
    options: dict[str, Any],
) -> None:
    sharding = Sharding.of(arguments(**options))
    assert not sharding.has_whole_vision
    for fits in (ALL_HAVE_PICTURES, NONE_HAS):
        sharding.check(("language",), fits)
    with pytest.raises(TrainingError, match="waiting for ever"):
        sharding.check(("language",), SOME_HAVE)


def test_a_training_asks_before_it_loads_a_network(fsdp: Sharding, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}]
    with pytest.raises(TrainingError, match="nothing averages"):
        fine_tune(None, [Example(messages)], tmp_path / "out", method=LoRA(parts=("vision",)))
    assert not (tmp_path / "out").exists()
