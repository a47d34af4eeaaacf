"""Answers that a program can act on: `python examples/typed_answers.py`.

Labels with probabilities, numbers, truths, answers in a form, and what to do with one that is not
sure enough. The model is the small one that is part of the package.
"""

from __future__ import annotations

from pathlib import Path

from qwenvl_kit import VisionChat
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.tasks import ask_number, ask_yes_no, classify, describe, judge_description

PICTURES = Path(__file__).parent / "pictures"
RECEIPT, SHAPES = PICTURES / "receipt.png", PICTURES / "shapes.png"


def main() -> None:
    chat = VisionChat.from_pretrained()

    question = "What kind of document is this?"
    found = classify(chat, RECEIPT, ["invoice", "receipt", "ticket"], question=question)
    for label, probability in found.probabilities.items():
        print(f"{probability:.4f} {label}")
    print(f"any of them at all: {found.scores.coverage:.3f}")

    number = ask_number(chat, "How many shapes are there?", SHAPES, whole=True)
    print(f"\n{number.value} shapes, confidence {number.confidence:.3f}")

    pair = (PICTURES / "before.png", PICTURES / "after.png")
    same = ask_yes_no(chat, "Are the two images the same?", *pair, prompt="{question}")
    print(f"the same: {bool(same)}, probability {same.probability:.3f}")

    amount = Constraint.from_regex(r"[0-9]+\.[0-9]{2}")
    total = chat.ask("What is the total?", RECEIPT, constraint=amount, num_samples=5)
    print(f"\ntotal {float(total.text):.2f}, agreement {total.agreement}")

    careful = chat.ask("What is the name?", SHAPES, abstain_below=0.95)
    print("to be looked at:" if careful.is_abstained else "sure:", careful.text)

    text = describe(chat, SHAPES).text
    judged = judge_description(chat, SHAPES, text)
    print(f"\n{text!r}: accuracy {judged.accuracy:.2f}, coherence {judged.coherence:.2f}")


if __name__ == "__main__":
    main()
