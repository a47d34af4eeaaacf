"""Writes the questions that `VisionChat.self_test` asks the embedded model, with its answers.

    python -m examples.embedded_model.golden

To be run when its weights change. An answer that is wrong is not written.
"""

from __future__ import annotations

import dataclasses
import json

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.embedded import GOLDEN_FILE
from qwenvl_kit.pipeline.self_test import GoldenCase, picture_of_squares

CASES = (
    ("Describe this image.", ("red",), "A red square."),
    ("Describe this image.", ("blue",), "A blue square."),
    ("How many shapes are there?", ("red", "blue"), "2"),
    ("Describe this image.", ("black", "yellow"), "A black square left of a yellow square."),
)
SIDE_PX = 160


def answer(chat: VisionChat, question: str, colours: tuple[str, ...], expected: str) -> GoldenCase:
    """The case that a question makes."""
    picture = picture_of_squares(SIDE_PX, *colours)
    reply = chat.ask(question, picture, sampling=Sampling(max_new_tokens=32))
    if reply.text != expected or reply.end_token is None:
        raise SystemExit(f"{question} {colours}: {reply.text!r} instead of {expected!r}")
    ids = (*(score.token_id for score in reply.tokens or ()), reply.end_token.token_id)
    return GoldenCase(question, SIDE_PX, colours, expected, ids)


def main() -> None:
    """Write the file."""
    chat = VisionChat.from_pretrained(dtype="float32", device="cpu")
    cases = [dataclasses.asdict(answer(chat, *case)) for case in CASES]
    lines = ",\n".join(f"  {json.dumps(case)}" for case in cases)
    GOLDEN_FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(cases)} cases in {GOLDEN_FILE}")


if __name__ == "__main__":
    main()
