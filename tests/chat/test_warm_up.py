"""`from_pretrained(warm_up=True)`: the budget's shapes run while loading, and leave no trace."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit import PixelBudget, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    GenerationError,
    ModelLoadError,
    OutOfMemoryError,
    PlacementError,
    QwenVLKitError,
)
from qwenvl_kit.options import BudgetChoice, as_budget
from qwenvl_kit.pipeline.warm_up import NUM_ROWS, warm_up_pipeline
from qwenvl_kit.plans import ImagePlan
from qwenvl_kit.testing import build_tiny_model


class Watched(ScriptedBackend):
    """Answers anything, and tells if it was closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


def warmed(budget: BudgetChoice, context_tokens: int = 4096) -> tuple[VisionChat, ImagePlan]:
    """A chat without a model, and the picture that its warm-up showed."""
    backend = Watched(lambda request: "yes", context_tokens=context_tokens)
    chat = VisionChat(backend, budget=budget)
    warm_up_pipeline(chat._pipeline)
    return chat, backend.requests[0].plan.images[0]


@pytest.mark.parametrize(
    ("budget", "most"),
    [
        ("native", 1280),
        ("quick", 512),
        (PixelBudget(max_tokens=100), 100),
        (PixelBudget(max_tokens=1), 1),
        (PixelBudget.from_pixels(max_pixels=300 * 28 * 28), 300),
        (PixelBudget(max_tokens=900, total_tokens=200), 200),
        (PixelBudget(max_long_edge_px=280), 100),
    ],
)
def test_the_picture_is_as_large_as_the_budget_allows_and_no_larger(
    budget: BudgetChoice, most: int
) -> None:
    chat, image = warmed(budget)
    assert 0.9 * most <= image.tokens <= most
    large = PIL.Image.new("RGB", (1500, 1500))
    assert image.tokens >= 0.9 * chat.plan("What?", large).images[0].tokens
    assert as_budget(budget) == chat._pipeline.budget


def test_a_context_that_is_smaller_than_the_budget_bounds_the_picture() -> None:
    _, image = warmed("native", context_tokens=150)
    assert 50 < image.tokens < 150


def test_a_batch_runs_as_well_as_a_single_request() -> None:
    chat, _ = warmed("quick")
    backend = chat._backend
    assert isinstance(backend, Watched)
    assert len(backend.requests) == 1 + NUM_ROWS
    assert len({request.messages[0].text for request in backend.requests}) == 1 + NUM_ROWS


def test_the_report_tells_how_long_it_took_and_what_ran() -> None:
    chat, image = warmed("quick")
    told = chat.report()["warm_up"]
    assert told.endswith(
        f" s: a picture of 484 visual tokens ({image.resized}), and 4 questions at once"
    )
    assert "warm_up" not in VisionChat(Watched(["yes"])).report()


def test_no_reply_of_it_is_counted() -> None:
    chat, _ = warmed("quick")
    assert chat.stats().num_replies == 0
    assert not chat._backend.load().num_running


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OutOfMemoryError("the device is full"), PlacementError),
        (GenerationError("the model failed"), ModelLoadError),
        (ModelLoadError("it was closed"), ModelLoadError),
    ],
)
@pytest.mark.parametrize("at", [0, NUM_ROWS])
def test_its_failure_is_the_loads_failure_and_closes_the_model(
    raised: QwenVLKitError, expected: type[ModelLoadError], at: int
) -> None:
    answers = iter(range(99))

    def answer(_: object) -> str:
        if next(answers) >= at:
            raise raised
        return "yes"

    backend = Watched(answer)
    with pytest.raises(expected, match=raised.problem) as caught:
        warm_up_pipeline(VisionChat(backend, budget="quick")._pipeline)
    assert type(caught.value) is expected
    assert backend.is_closed


def test_an_argument_that_is_no_truth_value_is_refused_before_the_model_is_loaded() -> None:
    with pytest.raises(ModelLoadError, match="warm_up='native' was given; expected True or False"):
        VisionChat.from_pretrained("./no-such-folder", warm_up="native")  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_5"])
def test_a_warm_chat_keeps_nothing_and_answers_as_a_cold_one(family: str, tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "model", family)
    picture = PIL.Image.new("RGB", (90, 60), "red")
    told = []
    for warm_up in (False, True):
        with VisionChat.from_pretrained(
            folder, budget="quick", warm_up=warm_up, max_queued_requests=1
        ) as chat:
            assert ("warm_up" in chat.report()) is warm_up
            assert chat.cache_info().used_bytes == 0
            reply = chat.ask("What is this?", picture, sampling=Sampling(max_new_tokens=8))
            told.append(reply.tokens or ())
    cold, warm = told
    assert [token.token_id for token in cold] == [token.token_id for token in warm]
    assert [token.logprob for token in cold] == pytest.approx([token.logprob for token in warm])


def test_a_model_that_replaces_another_may_be_warm(tiny_folder: Path) -> None:
    chat = VisionChat(Watched(["yes"]), budget=PixelBudget(max_tokens=16))
    chat.reload(tiny_folder, warm_up=True)
    assert isinstance(chat._backend, LocalBackend)
    assert "16 visual tokens" in chat.report()["warm_up"]
    chat.close()
