"""A long system message is computed once for all who ask after it, for every family."""

from __future__ import annotations

import pytest

from qwenvl_kit import Message, Sampling, VisionChat

LONG = "Answer in the words of the house. " * 60
SHORT = Sampling(max_new_tokens=4)


def asked(question: str, system: str = LONG) -> list[Message]:
    return [Message.system(system), Message.user(question)]


def test_the_second_request_with_a_system_message_reuses_it(chat: VisionChat) -> None:
    chat.clear_cache()
    alone = [chat.ask(asked(question), sampling=SHORT) for question in ("Which?",)]
    chat.clear_cache()
    first = chat.ask(asked("What is the weather like?"), sampling=SHORT)
    second = chat.ask(asked("Which?"), sampling=SHORT)
    assert first.usage.reused_tokens == 0
    assert second.usage.reused_tokens > 0.9 * second.usage.prompt_tokens - 32
    assert second.text == alone[0].text
    assert [score.logprob for score in second.scores] == pytest.approx(
        [score.logprob for score in alone[0].scores], abs=2e-4
    )


def test_a_short_system_message_costs_no_pass_of_its_own(
    chat: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qwenvl_kit.backends.local.engine.model_runner import ModelRunner

    prefill, num_passes = ModelRunner.prefill, 0

    def counted(self, *args):  # type: ignore[no-untyped-def]
        nonlocal num_passes
        num_passes += 1
        return prefill(self, *args)

    monkeypatch.setattr(ModelRunner, "prefill", counted)
    chat.clear_cache()
    chat.ask(asked("Which?", "Be brief."), sampling=SHORT)
    assert num_passes == 1
