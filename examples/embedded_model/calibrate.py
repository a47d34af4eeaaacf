"""Calibrates an exported model's confidence, and judges that on questions it was not fitted on.

    python -m examples.embedded_model.calibrate            # the report of what is shipped
    python -m examples.embedded_model.calibrate --fit      # fit anew, save beside the model, report

Fitted and judged on pictures of other seeds, drawn alike: those of all columns of the card, and
photo-like ones, of which no answer is known.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qwenvl_kit import Reply, Request, VisionChat
from qwenvl_kit.calibration import CalibrationReport, Calibrator
from qwenvl_kit.calibration.kinds import KIND_WORDS, Kinds
from qwenvl_kit.embedded import MODEL_FOLDER

from .benchmark import is_right, messages_of
from .heldout import SPLITS, Example, examples

FIT_SEED, TEST_SEED = "calibration", "held out"
MAX_TOKENS = 224
LONG = 20
"""Tokens from which a text is long: its probability as a whole says less about it."""


def questions(seed: str, per_task: int) -> list[Example]:
    """Questions of every kind about pictures of a seed."""
    return [example for split in SPLITS for example in examples(split, per_task, seed)]


def answered(chat: VisionChat, asked: Sequence[Example]) -> tuple[list[Reply], list[bool]]:
    """The replies, and whether each is right."""
    sampling = replace(chat.default_sampling, max_new_tokens=MAX_TOKENS)
    requests = [Request(messages_of(example)) for example in asked]
    replies = chat.ask_many(requests, sampling=sampling, on_error="raise", max_batch_size=32)
    return replies, [
        is_right(example.task, example.answer, reply.text)
        for reply, example in zip(replies, asked, strict=True)
    ]


def by_kind(calibrator: Calibrator, replies: Sequence[Reply], correct: Sequence[bool]) -> str:
    """A table: how well it does on the answers of each kind."""
    kinds = Kinds(places=True, json=True, long_from=LONG)
    lines = ["| answers | number | right | mean confidence | ECE | AUROC |", "|---" * 6 + "|"]
    for kind in kinds.names:
        at = [i for i, reply in enumerate(replies) if kinds.kind_of(reply) == kind]
        if not at:
            continue
        found = calibrator.report([replies[i] for i in at], [correct[i] for i in at])
        sure = [calibrator.confidence(replies[i]) or 0.0 for i in at]
        auroc = "-" if found.auroc is None else f"{found.auroc:.3f}"
        lines.append(
            f"| {KIND_WORDS[kind]} | {len(at)} | {sum(correct[i] for i in at) / len(at):.2f} | "
            f"{sum(sure) / len(sure):.2f} | {found.ece:.3f} | {auroc} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Fit if asked to, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=MODEL_FOLDER, help="the exported model")
    parser.add_argument("--per-task", type=int, default=40, help="questions of a kind in each set")
    parser.add_argument("--fit", action="store_true", help="fit anew and save beside the model")
    parser.add_argument("--plot", type=Path, help="where to draw reliability and risk")
    arguments = parser.parse_args()
    chat = VisionChat.from_pretrained(
        arguments.folder, device="cpu", dtype="float32", calibrator=None
    )
    if arguments.fit:
        asked = answered(chat, questions(FIT_SEED, arguments.per_task))
        fitted = Calibrator.fit(*asked, places_apart=True, json_apart=True, long_from=LONG)
        fitted.save(arguments.folder)
    calibrator = Calibrator.load(arguments.folder)
    replies, correct = answered(chat, questions(TEST_SEED, arguments.per_task))
    found: CalibrationReport = calibrator.report(replies, correct)
    print(f"{found}\n\n{by_kind(calibrator, replies, correct)}")
    if arguments.plot:
        found.plot(arguments.plot)


if __name__ == "__main__":
    main()
