"""The held-out questions as a benchmark of `qwenvl_kit.evaluation`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from qwenvl_kit import ImagePart, Message, VideoPart
from qwenvl_kit.evaluation import Benchmark, EvaluationItem, ItemScore
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.place_parser import parse_places

from .heldout import Example
from .samples import Turn

MIN_OVERLAP = 0.5
"""Of a box with the right one, as intersection over union, to count as found."""
MAX_APART = 60
"""Of a point from the right one, in thousandths of each side, to count as found."""
LIST = re.compile(r"[\[(](\d+(?:, \d+)+)[\])]")
"""Coordinates in JSON and in comments."""


class HeldOut(Benchmark):
    """Questions about drawn pictures, with the groups "task", "split" and "language".

    An answer is right if it is the right one letter by letter; boxes if each lies where it should.
    Questions about one picture make a cluster.

    Args:
        examples: the questions.
    """

    title = "held-out questions of the embedded model"
    max_new_tokens = 224

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = {str(at): example for at, example in enumerate(examples)}
        pictures = {id(shown): shown for each in examples for shown in (*each.images, *each.frames)}
        numbers = {key: str(number) for number, key in enumerate(pictures)}
        super().__init__(
            [
                {
                    "id": name,
                    "question": example.question,
                    "answer": example.answer,
                    "task": example.task,
                    "split": example.split,
                    "language": "en" if example.is_english else "zh",
                    "picture": _first(example, numbers),
                }
                for name, example in self._examples.items()
            ],
            groups=("task", "split", "language"),
            cluster="picture",
        )

    def messages(self, item: EvaluationItem) -> list[Message]:
        """The conversation, with the system message and the earlier turns that some have."""
        return list(messages_of(self._examples[item.id]))

    def score(self, item: EvaluationItem, answer: str) -> ItemScore:
        """Exactly the right answer; for places those of the right boxes."""
        is_found = is_right(item.groups["task"], item.targets[0], answer)
        return ItemScore(float(is_found), answer.strip())


def _first(example: Example, numbers: Mapping[int, str]) -> str:
    """The number of the first picture of an example; empty if it has none."""
    shown = (*example.images, *example.frames)
    return numbers[id(shown[0])] if shown else ""


def messages_of(example: Example) -> tuple[Message, ...]:
    """The conversation of an example, pictures first."""
    if example.script:
        return tuple(_turn(example, turn) for turn in example.script)
    media: list[ImagePart | VideoPart] = [ImagePart(image) for image in example.images]
    if example.frames:
        media.append(VideoPart(example.frames, fps=example.fps))
    messages = [Message.system(example.system)] if example.system else []
    for question, answer in example.earlier:
        messages += [Message.user(*media, question), Message.assistant(answer)]
        media = []
    return (*messages, Message.user(*media, example.question))


def _turn(example: Example, turn: Turn) -> Message:
    """One turn of a conversation that has its own course."""
    if turn.role == "user":
        return Message.user(
            *(ImagePart(example.images[p]) if isinstance(p, int) else p for p in turn.parts)
        )
    text = "".join(str(part) for part in turn.parts)
    return Message.system(text) if turn.role == "system" else Message.assistant(text)


def is_right(task: str, wanted: str, got: str) -> bool:
    """Whether an answer is the right one: places if each lies where it should, words exactly."""
    if task.startswith("locate") and "<|box_start|>" in wanted:
        right, found = (boxes_of(text) for text in (wanted, got))
        return len(right) == len(found) and all(
            box.overlap(other) >= MIN_OVERLAP for box, other in zip(right, found)
        )
    if LIST.sub("", got.strip()) != LIST.sub("", wanted):
        return False
    return all(map(_is_near, LIST.findall(wanted), LIST.findall(got)))


def _is_near(wanted: str, got: str) -> bool:
    right, found = ([int(number) for number in text.split(", ")] for text in (wanted, got))
    if len(right) != len(found):
        return False
    if len(right) == 4:
        x1, y1, x2, y2 = right
        box = Box("", x1, y1, x2, y2)
        x1, y1, x2, y2 = found
        return box.overlap(Box("", x1, y1, x2, y2)) >= MIN_OVERLAP
    return all(abs(a - b) <= MAX_APART for a, b in zip(right, found))


def characters_right(wanted: str, got: str) -> float:
    """One less the edits that make one text of the other, over the length of the right one."""
    before = list(range(len(got) + 1))
    for at, character in enumerate(wanted, 1):
        row = [at]
        for other, read in enumerate(got, 1):
            row.append(min(before[other] + 1, row[-1] + 1, before[other - 1] + (character != read)))
        before = row
    return max(0.0, 1 - before[-1] / max(len(wanted), 1))


def boxes_of(text: str) -> list[Box]:
    """The boxes of an answer, in thousandths of the picture's sides."""
    places = (place.numbers for place in parse_places(text).places)
    return [Box("", *numbers) for numbers in places if len(numbers) == 4]
