"""Memory that runs out once, wherever that is, costs no answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from qwenvl_kit import ImagePart, Message, Request, Sampling, VisionChat
from qwenvl_kit.backends.local.engine import decode, model_runner
from tests.by_hand import ids_of, picture

REQUESTS = [
    Request(
        [Message.user(ImagePart(picture(96, 96, seed)), text)],
        sampling=Sampling(max_new_tokens=length),
    )
    for seed, text, length in (
        (1, "what", 5),
        (1, "where is it", 2),
        (2, "why", 3),
        (1, "how " * 60, 4),
    )
]
COPYING = (
    (decode, "join_states"),
    (decode, "select_rows"),
    (model_runner, "read_state"),
    (model_runner, "repeat_row"),
)


@contextmanager
def steps_told(chat: VisionChat, tell: Callable[[str], None]) -> Iterator[None]:
    """Within it, whatever takes memory says so before it does."""
    model = chat._backend.model  # type: ignore[attr-defined]
    modules = {"vision": model.model.visual, "pass": model.model.language_model}
    modules |= {"layer": model.model.language_model.layers[-1], "logits": model.lm_head}
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: tell(name))
        for name, module in modules.items()
    ]

    def telling(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def tell_and_act(*given: Any) -> Any:
            tell(name)
            return act(*given)

        return tell_and_act

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_runner, "_MIN_SAVED", 16)
        for module, name in COPYING:
            patch.setattr(module, name, telling(name, getattr(module, name)))
        yield
    for hook in hooks:
        hook.remove()


@pytest.mark.slow
def test_memory_that_runs_out_once_at_any_step_costs_no_answer(folder: Path) -> None:
    chat = VisionChat.from_pretrained(folder)
    steps: list[str] = []
    due = -1

    def tell(name: str) -> None:
        steps.append(name)
        if len(steps) == due:
            raise torch.OutOfMemoryError("injected")

    def answers() -> list[list[int]]:
        chat.clear_cache()
        steps.clear()
        return [ids_of(reply) for reply in chat.ask_many(REQUESTS, on_error="raise")]

    with steps_told(chat, tell):
        expected = answers()
        num_steps, kinds = len(steps), set(steps)
        assert kinds >= {"vision", "pass", "layer", "logits", "select_rows", "join_states"}
        for due in range(1, num_steps + 1):
            assert answers() == expected, f"step {due}"
    alone = VisionChat.from_pretrained(folder, max_cache_bytes=0)
    assert expected == [
        ids_of(alone.ask_many([request], on_error="raise")[0]) for request in REQUESTS
    ]
