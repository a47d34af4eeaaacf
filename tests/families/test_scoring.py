"""Given answers have the scores of asking for each, for every family."""

from __future__ import annotations

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, Message, VisionChat
from qwenvl_kit.structured_output.constraints import Constraint

RED = PIL.Image.new("RGB", (84, 56), "red")


def test_given_answers_are_scored_as_if_each_were_asked_for(chat: VisionChat) -> None:
    answers = ["a cat", "dog", "a longer answer"]
    asked = [Message.user("Which?", ImagePart(RED)), "Which one of them?"]
    for request, replies in zip(asked, chat.score(asked, answers), strict=True):
        for answer, reply in zip(answers, replies, strict=True):
            alone = chat.ask(request, constraint=Constraint.from_choices([answer]))
            assert [score.token_id for score in reply.scores] == [
                score.token_id for score in alone.scores
            ]
            assert [score.logprob for score in reply.scores] == pytest.approx(
                [score.logprob for score in alone.scores], abs=2e-4
            )
