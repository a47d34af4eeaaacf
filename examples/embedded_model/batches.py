"""Samples to tensors: one grid a batch, each picture once, up to four questions branching off it.

The layout is what the chat template and the processor produce, token for token; `checks.py` proves
it against both.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from .drawing.canvas import Grid, Pixels, to_grid
from .pointing import NO_LABEL, Comparisons, Glances, Look, Shown, glances_of, mentions
from .questions.answers import Question
from .questions.places import COORDINATES, PARTS, STEP
from .questions.system import system_message
from .samples import TONGUES, Sample
from .tokenizer import answer_ids

PATCH = 14
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
IGNORED = -100
# Tokens of a picture's questions and answers, so that no row makes the others of its batch wait.
ROOM = 130
# How often a question is chosen, among those a picture allows: what was stuck weighs more.
WEIGHTS = {
    "describe_1": 0.8, "describe_2": 1.2, "describe_3": 1.6, "describe_4": 1.6, "count": 0.5,
    "count_colour": 1.0, "count_shape": 0.9, "shape": 0.7, "colour": 0.7, "relation": 0.6,
    "relation_yes_no": 1.0, "claim_relation": 0.8, "inside": 1.0, "larger": 0.8,
    "which_larger": 0.8, "same_colour": 5.0, "same_shape": 5.0, "read": 1.6, "total": 1.2,
    "tax": 1.0, "number": 1.0, "kind": 0.5, "describe_print": 0.25, "translate": 1.6,
    "translate_zh": 1.2, "price": 1.6, "locate": 1.8, "locate_all": 1.6, "locate_absent": 0.4,
    "locate_word": 1.8, "locate_field": 1.4, "extract": 1.8, "extract_items": 1.2,
    "translate_pairs": 0.9, "choose": 0.5, "claim": 3.0,
    "cannot_tell": 0.5, "when": 1.4, "next_action": 1.0, "locate_button": 1.0,
    "locate_json": 0.8, "locate_points": 0.7, "markdown": 0.9, "markdown_places": 1.2, "table": 0.8,
}  # fmt: skip


@dataclass
class Batch:
    """Tensors of one step. `weights` share each answer's loss among its tokens."""

    kind: str
    grid: Grid
    printed: bool
    patches: Tensor
    ids: Tensor
    positions: Tensor
    segments: Tensor
    targets: Tensor
    weights: Tensor
    where: Tensor
    labels: Tensor
    edges: Tensor
    glances: Glances
    comparisons: Comparisons
    tasks: list[tuple[int, int, str]] = field(default_factory=list)

    def to(self, device: str) -> Batch:
        """The same batch on a device."""
        if device == "cpu":
            return self
        tensors: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        glances, comparisons = self.glances.to(device), self.comparisons.to(device)
        return replace(self, **tensors, glances=glances, comparisons=comparisons)


@dataclass
class _Row:
    """One sequence under construction."""

    ids: list[int] = field(default_factory=list)
    positions: list[tuple[int, int, int]] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    where: list[int] = field(default_factory=list)
    glances: list[Look] = field(default_factory=list)
    comparisons: list[tuple[int, ...]] = field(default_factory=list)
    next_position: int = 0

    def text(self, ids: list[int], segment: int, answer: bool = False) -> None:
        """Appends text; an answer is what the model learns to write."""
        count = len(ids)
        start = self.next_position
        self.ids += ids
        self.positions += [(p, p, p) for p in range(start, start + count)]
        self.segments += [segment] * count
        self.targets += ids if answer else [IGNORED] * count
        self.weights += [count**-0.6 if answer else 0.0] * count
        self.next_position += count

    def vision(self, pad: int, times: int, grid: Grid) -> None:
        """Appends the placeholder of a picture, or of a video with `times` pairs of frames."""
        start = self.next_position
        count = times * grid.cells
        self.where += range(len(self.ids), len(self.ids) + count)
        self.ids += [pad] * count
        self.positions += [
            (start + t, start + row, start + column)
            for t in range(times)
            for row in range(grid.rows)
            for column in range(grid.columns)
        ]
        self.segments += [0] * count
        self.targets += [IGNORED] * count
        self.weights += [0.0] * count
        self.next_position += max(grid.rows, grid.columns)


NAMING = (
    "locate_word", "locate_button", "price", "page_price", "claim", "total", "tax", "date",
    "quantity", "number", "name",
)  # fmt: skip
"""Questions whose words may stand on a printed picture and mean what stands there."""
SAID = {
    answer
    for tongue in TONGUES
    for answer in (tongue.yes, tongue.no, tongue.nothing, tongue.unknown)
}
"""Answers that are read nowhere: a printed "No." is a label."""
FIRST_TOKENS = 3
"""Of an answer that compares: it says what it found in one of them."""
MOST_GLANCES = 16
"""Of a row: names and words whose places are taught, so that long texts do not cost more."""


class Batcher:
    """Builds batches with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, most_questions: int = 4) -> None:
        self.tokenizer = tokenizer
        self.most_questions = most_questions
        self.known: dict[str, list[int]] = {}
        half = len(COORDINATES) // 2
        numbers = [at % half * STEP for at in range(len(COORDINATES))]
        self.coordinates = {
            self.encode(text)[0]: number for text, number in zip(COORDINATES, numbers, strict=True)
        }
        vocabulary = tokenizer.get_vocab()
        steps = range(0, PARTS + 1, STEP)
        self.firsts = {vocabulary[f"{mark}{at}"]: at for mark in "[(" for at in steps}
        self.others = {vocabulary[f",Ġ{at}"]: at for at in steps}
        # A token is spelled with one character a byte; the added ones are ASCII.
        self.bytes = {at: len(token) for token, at in vocabulary.items()}
        mean = torch.tensor(MEAN).view(3, 1) * 255
        self.mean, self.deviation = mean, torch.tensor(STD).view(3, 1) * 255

    def encode(self, text: str) -> list[int]:
        """Token ids, remembered for the wordings that come again and again."""
        if text not in self.known:
            if len(self.known) > 100_000:
                self.known.clear()
            self.known[text] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return self.known[text]

    def written(self, answer: str) -> list[int]:
        """Token ids of an answer and its end, as the model is to write them."""
        return answer_ids(self.tokenizer, answer + "<|im_end|>")

    def choose(self, rng: random.Random, questions: list[Question]) -> list[Question]:
        """Up to `most_questions`, drawn by weight, in random order, as far as there is room."""
        keyed = [(rng.random() ** (1 / WEIGHTS.get(q.task, 0.9)), q) for q in questions]
        keyed.sort(key=lambda pair: -pair[0])
        # Questions about relations are short, and need most of them.
        many = self.most_questions >= 4 and any(q.task == "relation" for q in questions)
        most = self.most_questions + 2 * many
        chosen: list[Question] = []
        room = ROOM
        for _, question in keyed:
            length = len(self.encode(question.text)) + len(self.written(question.answer))
            if len(chosen) < most and (length <= room or not chosen):
                chosen.append(question)
                room -= length
        return chosen

    def _media(self, row: _Row, sample: Sample) -> None:
        start, end = self.encode("<|vision_start|>"), self.encode("<|vision_end|>")
        pad = self.encode("<|video_pad|>" if sample.is_video else "<|image_pad|>")[0]
        times = [len(sample.labels)] if sample.is_video else [1] * len(sample.pictures)
        for count in times:
            row.text(start, 0)
            row.vision(pad, count, sample.grid)
            row.text(end, 0)

    def row(
        self, rng: random.Random, sample: Sample, questions: list[Question], plain: bool
    ) -> tuple[_Row, list[tuple[int, str]]]:
        """The sequence of one sample, and which task each segment asks.

        Unless `plain`, some have a system message, some the question before the picture, and some
        ask a second question after the first was answered.
        """
        if sample.script:
            return self._scripted(sample)
        row = _Row()
        ask = self.encode("<|im_end|>\n<|im_start|>assistant\n")
        if sample.system:
            row.text(self.encode(f"<|im_start|>system\n{sample.system}<|im_end|>\n"), 0)
        elif not plain and rng.random() < 0.12:
            row.text(self.encode(f"<|im_start|>system\n{system_message(rng)}<|im_end|>\n"), 0)
        row.text(self.encode("<|im_start|>user\n"), 0)
        before = not plain and not sample.system and rng.random() < 0.05
        if before:
            row.text(self.encode(questions[0].text), 0)
            questions = questions[:1]
        self._media(row, sample)
        start, tasks = row.next_position, []
        for segment, turns in enumerate(self._branches(rng, questions, plain), 1):
            row.next_position = start
            for turn, question in enumerate(turns):
                if turn:
                    row.text(self.encode("\n<|im_start|>user\n"), segment)
                compared: list[int] = []
                if not before:
                    compared = self._compared(row, question)
                    if not sample.printed or question.task in NAMING:
                        row.glances += self._named(row, question.text, sample.shown)
                    row.text(self.encode(question.text), segment)
                row.text(ask, segment)
                if compared:
                    begun = range(len(row.ids) - 1, len(row.ids) - 1 + FIRST_TOKENS)
                    row.comparisons += [(at, *compared) for at in begun]
                if question.answer not in SAID:
                    row.glances += self._read(row, question.answer, sample.shown)
                row.text(self.written(question.answer), segment, answer=True)
                tasks.append((segment, question.task))
        return row, tasks

    def _named(self, row: _Row, text: str, shown: list[Shown]) -> Iterator[Look]:
        """The last token of each name in a question that is about to be appended."""
        tokens = self._tokens(text, self.encode(text))
        for mention in mentions(text, shown):
            at = next(i for i, (_, end) in enumerate(tokens) if end >= mention.end)
            yield len(row.ids) + at, mention.shown.corners, mention.shown.label

    def _compared(self, row: _Row, question: Question) -> list[int]:
        """The last tokens of both names that a question compares, and of the relation or -1.

        Nothing if one of the names is not there, or more than once.
        """
        text = question.text.casefold()
        names = [name.casefold() for name in question.pair]
        if not names or any(text.count(name) != 1 for name in names[:2]) or names[-1] not in text:
            return []
        tokens = self._tokens(question.text, self.encode(question.text))
        # A claim comes last: a question that begins with 下面 has a direction of its own.
        last = [text.rindex(name) + len(name) for name in names]
        found = [next(i for i, (_, end) in enumerate(tokens) if end >= at) for at in last]
        return [*(len(row.ids) + at for at in found), -1][:3]

    def _read(self, row: _Row, answer: str, shown: list[Shown]) -> Iterator[Look]:
        """Positions before each token of the names in an answer that is about to be appended."""
        tokens = self._tokens(answer, self.written(answer))
        for mention in mentions(answer, shown):
            for at, (start, end) in enumerate(tokens):
                if start < mention.end and mention.start < end:
                    yield len(row.ids) + at - 1, mention.part(start, end), mention.shown.label

    def _tokens(self, text: str, ids: list[int]) -> list[tuple[int, int]]:
        """From which to which character of a text each token goes, all that it has a byte of.

        What is written after the text, such as its end, is nothing of it.
        """
        characters = [at for at, letter in enumerate(text) for _ in letter.encode()]
        ends = accumulate((self.bytes[token] for token in ids), initial=0)
        return [
            (characters[first], characters[min(last, len(characters)) - 1] + 1)
            if first < len(characters)
            else (len(text), len(text))
            for first, last in pairwise(ends)
        ]

    def _scripted(self, sample: Sample) -> tuple[_Row, list[tuple[int, str]]]:
        """The sequence of a conversation that has its own course, all of it one branch."""
        row, tasks = _Row(), []
        start, end = self.encode("<|vision_start|>"), self.encode("<|vision_end|>")
        pad = self.encode("<|image_pad|>")[0]
        for number, turn in enumerate(sample.script):
            if number:
                row.text(self.encode("\n"), 0)
            row.text(self.encode(f"<|im_start|>{turn.role}\n"), 0)
            for part in turn.parts:
                if isinstance(part, int):
                    row.text(start, 0)
                    row.vision(pad, 1, sample.grid)
                    row.text(end, 0)
                elif turn.task:
                    row.text(self.written(part), 0, answer=True)
                    tasks.append((0, turn.task))
                else:
                    row.text(self.encode(part), 0)
            if not turn.task:
                row.text(self.encode("<|im_end|>"), 0)
        return row, tasks[-1:]

    def _branches(
        self, rng: random.Random, questions: list[Question], plain: bool
    ) -> list[list[Question]]:
        """Independent conversations about one picture, a few of them of two or three turns."""
        if not plain and len(questions) > 2 and rng.random() < 0.06:
            return [questions[:3], *([question] for question in questions[3:])]
        if not plain and len(questions) > 1 and rng.random() < 0.15:
            return [questions[:2], *([question] for question in questions[2:])]
        return [[question] for question in questions]

    def patches(self, pictures: list[Pixels], times: int) -> Tensor:
        """Pictures of one size to [N, patches, channels * times * 196], as the processor orders.

        Each 28-pixel cell's four patches follow one another, so that the merger can join them.
        """
        pixels = np.stack(pictures)
        count, height, width = pixels.shape[:3]
        rows, columns = height // PATCH // 2, width // PATCH // 2
        parts = pixels.reshape(count // times, times, rows, 2, PATCH, columns, 2, PATCH, 3)
        parts = parts.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
        shape = (count // times, rows * columns * 4, 3, times * PATCH * PATCH)
        values = torch.from_numpy(np.ascontiguousarray(parts)).reshape(shape).float()
        return ((values - self.mean) / self.deviation).to(torch.bfloat16).flatten(2)

    def build(self, rng: random.Random, samples: list[Sample], plain: bool = False) -> Batch:
        """One batch of samples that share a kind and a grid."""
        first = samples[0]
        rows, tasks = [], []
        pictures: list[Pixels] = []
        for index, sample in enumerate(samples):
            row, asked = self.row(rng, sample, self.choose(rng, sample.questions), plain)
            rows.append(row)
            mark = "unknown" if sample.unknown else ""
            tasks += [(index, segment, mark or task) for segment, task in asked]
            frames = [to_grid(picture, sample.grid) for picture in sample.pictures]
            # A video of an odd number of frames repeats the last one, as the processor does.
            pictures += frames + frames[-1:] * (sample.is_video and len(frames) % 2)
        labels = np.stack([cells for sample in samples for cells in sample.labels])
        edges = np.stack([cells for sample in samples for cells in sample.edges])
        known = [(index, rows[index]) for index, each in enumerate(samples) if not each.unknown]
        looks = [
            (index, *look)
            for index, row in known
            for look in (*self._boxes(row), *_some(rng, row.glances))
        ]
        compared = [(index, *each) for index, row in known for each in row.comparisons]
        return Batch(
            first.kind,
            first.grid,
            first.printed,
            self.patches(pictures, 2 if first.is_video else 1),
            *self._pad(rows),
            torch.tensor([row.where for row in rows]),
            torch.from_numpy(labels),
            torch.from_numpy(edges),
            glances_of(looks, first.grid),
            Comparisons.of(compared),
            tasks,
        )

    def _boxes(self, row: _Row) -> Iterator[Look]:
        """Positions before each coordinate of an answer, with the box that it is one of."""
        at = [i for i, token in enumerate(row.targets) if token in self.coordinates]
        for four in zip(*[iter(at)] * 4, strict=True):
            x1, y1, x2, y2 = (self.coordinates[row.ids[i]] for i in four)
            for i in four:
                yield i - 1, (x1, y1, x2, y2), NO_LABEL
        # In lists and comments: one that begins, and three more.
        for at_first, token in enumerate(row.targets):
            rest = [self.others.get(each, -1) for each in row.targets[at_first + 1 : at_first + 4]]
            if token in self.firsts and len(rest) == 3 and min(rest) >= 0:
                box = (self.firsts[token], rest[0], rest[1], rest[2])
                for step in range(4):
                    yield at_first + step - 1, box, NO_LABEL

    def _pad(self, rows: list[_Row]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        length = -(-max(len(row.ids) for row in rows) // 8) * 8
        count = len(rows)
        ids = torch.full((count, length), self.encode("<|endoftext|>")[0])
        positions = torch.zeros(3, count, length, dtype=torch.long)
        segments = torch.full((count, length), -1)
        targets = torch.full((count, length), IGNORED)
        weights = torch.zeros(count, length)
        for i, row in enumerate(rows):
            end = len(row.ids)
            ids[i, :end] = torch.tensor(row.ids)
            positions[:, i, :end] = torch.tensor(row.positions).T
            segments[i, :end] = torch.tensor(row.segments)
            targets[i, :end] = torch.tensor(row.targets)
            weights[i, :end] = torch.tensor(row.weights)
        return ids, positions, segments, targets, weights


def _some(rng: random.Random, found: list[Look]) -> list[Look]:
    return rng.sample(found, min(MOST_GLANCES, len(found)))
