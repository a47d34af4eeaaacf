"""The program that trains the embedded model draws, lays out and computes what it says."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import pytest
import torch

if not hasattr(torch.optim, "Muon"):
    pytest.skip("the training program needs torch >= 2.9", allow_module_level=True)

from examples.embedded_model import checks, evaluate, heldout
from examples.embedded_model.batches import Batcher
from examples.embedded_model.benchmark import HeldOut
from examples.embedded_model.drawing import fonts
from examples.embedded_model.drawing.canvas import Grid
from examples.embedded_model.export import export, make_processor
from examples.embedded_model.samples import KINDS, Options, make_sample
from examples.embedded_model.tokenizer import build_tokenizer
from examples.embedded_model.train import Trainer
from qwenvl_kit import ImagePart, Message, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.families import family_of
from qwenvl_kit.geometry import Size
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.processing.prompt_encoder import PromptEncoder

SMALL = Options(small_fonts=True, outliers=0.0)


def sample_of(kind: str, seed: int):  # type: ignore[no-untyped-def]
    return make_sample(random.Random(seed), kind, Grid(4, 6), SMALL)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_draws_the_same_sample_again(kind: str) -> None:
    first, again, other = sample_of(kind, 1), sample_of(kind, 1), sample_of(kind, 2)
    assert first.questions == again.questions
    for one, two in zip(first.pictures, again.pictures):
        assert np.array_equal(np.asarray(one), np.asarray(two))
    assert np.asarray(first.pictures[0]).tobytes() != np.asarray(other.pictures[0]).tobytes()


@pytest.mark.parametrize("kind", ["scene", "compare", "video", "document"])
def test_the_fast_forward_is_that_of_transformers(kind: str) -> None:
    assert checks.logit_difference(kind) < 1e-4


@pytest.mark.parametrize("kind", ["scene", "compare", "video", "menu"])
def test_training_sees_the_prompts_that_the_package_sends(kind: str) -> None:
    sample = sample_of(kind, 3)
    question = sample.questions[0]
    batcher = Batcher(build_tokenizer())
    row, _ = batcher.row(random.Random(0), sample, [question], plain=True)
    size = Size(sample.grid.rows * 28, sample.grid.columns * 28)
    if sample.is_video:
        times = tuple(range(len(sample.pictures)))
        tokens = len(sample.labels) * sample.grid.cells
        plans = (VideoPlan("", size, size, times, tuple(map(float, times)), tokens),)
        media = [VideoPart(sample.pictures, fps=1)]
    else:
        plans = tuple(ImagePlan("", size, size, sample.grid.cells) for _ in sample.pictures)
        media = [ImagePart(picture) for picture in sample.pictures]
    encoder = PromptEncoder(make_processor(), family_of("qwen2_vl"))
    sent = encoder.encode_prompt([Message.user(*media, question.text)], plans).ids
    assert row.ids == sent + batcher.encode(question.answer + "<|im_end|>")


def arguments_for(folder: Path) -> argparse.Namespace:
    return argparse.Namespace(
        folder=str(folder), workers=1, size='{"vision_depth": 1, "depth": 1}', pictures=9000,
        seed="1",
        new_pictures=None, begin_at=0.0, warm=None, compile=False, rate=1e-3, cost=40.0,
        small_fonts=True, save_every=1e9, measure_every=10**9, device="cpu",
        drawers=0,
    )  # fmt: skip


@pytest.mark.long
def test_a_run_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    first = Trainer(arguments_for(tmp_path), rank=0)
    first.step()
    first.step()
    first.save()
    first.step()  # lost: it was never saved
    again = Trainer(arguments_for(tmp_path), rank=0)
    assert again.state.step == 2
    assert again.state.restarts == 1
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]
    for name, weight in again.network.state_dict().items():
        assert torch.equal(weight, saved[name]), name
    again.step()
    assert again.state.step == 3


@pytest.mark.long
def test_a_small_run_prints_and_measures_with_the_fonts_of_matplotlib_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {path.name: path for path in fonts.ROOTS[-1].glob("*.ttf")}
    monkeypatch.setattr(fonts, "_installed", lambda: there)
    fonts.load.cache_clear()
    fonts.advance.cache_clear()
    monkeypatch.setattr("examples.embedded_model.train.KINDS", ("sign",))
    fonts.require(small=True)
    trainer = Trainer(arguments_for(tmp_path), rank=0)
    trainer.measure()
    assert "EVAL step 0" in (tmp_path / "train.log").read_text()


def test_a_checkpoint_becomes_a_folder_that_the_package_loads(tmp_path: Path) -> None:
    trainer = Trainer(arguments_for(tmp_path), rank=0)
    trainer.save()
    export(tmp_path / "checkpoint.pt", tmp_path / "model")
    chat = VisionChat.from_pretrained(tmp_path / "model")
    reply = chat.ask(
        "What is this?", sample_of("scene", 5).pictures[0], sampling=Sampling(max_new_tokens=3)
    )
    assert reply.usage.completion_tokens >= 1
    arguments = arguments_for(tmp_path / "next")
    arguments.warm = str(tmp_path / "model")
    warmed = Trainer(arguments, rank=0).network.model
    for name, weight in trainer.network.model.state_dict().items():
        torch.testing.assert_close(warmed.state_dict()[name], weight, atol=1e-2, rtol=1e-2)


def test_the_card_gets_the_table_between_its_markers(tmp_path: Path) -> None:
    split = heldout.SPLITS[0]
    asked = HeldOut(
        [heldout.Example((), (), 2.0, "What?", answer, "count", split.name) for answer in "123"]
    )
    with VisionChat(ScriptedBackend(lambda _request: "1")) as chat:
        result = evaluate.measure(chat, asked, journal=None)
    card = tmp_path / "CARD.md"
    card.write_text(f"before\n{evaluate.BEGIN}\nformer\n{evaluate.END}\nafter\n")
    evaluate.write_card(card, evaluate.table(result))
    text = card.read_text()
    assert "| count | 0.95 | 0.33 *" in text
    assert "former" not in text
    assert text.startswith("before")
    assert text.rstrip().endswith("after")
