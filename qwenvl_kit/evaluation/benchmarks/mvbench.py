"""MVBench (Li et al. 2024, arXiv:2311.17005): 20 tasks about time in short films."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import Any, ClassVar

from qwenvl_kit.errors import QwenVLKitWarning
from qwenvl_kit.evaluation.benchmark import PathLike
from qwenvl_kit.evaluation.benchmarks.film_folders import FilmFolder
from qwenvl_kit.evaluation.benchmarks.film_parts import Film
from qwenvl_kit.evaluation.benchmarks.films import FilmBenchmark
from qwenvl_kit.evaluation.benchmarks.mvbench_files import (
    FRAME_RATE,
    cut_times,
    default_folder,
    parents_of,
    rows_of_json,
    task_name,
)
from qwenvl_kit.evaluation.benchmarks.option_questions import letter_of, qwen_video_prompt
from qwenvl_kit.evaluation.columns import ColumnNames, cell
from qwenvl_kit.evaluation.data.cells import text_cell
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.prompting import Prompt, lettered
from qwenvl_kit.messages.message import Message

SYSTEM = (
    "Carefully watch the video and pay attention to the cause and sequence of events, the detail "
    "and movement of objects, and the action and pose of persons. Based on your observations, "
    "select the best option that accurately addresses the question.\n"
)
"""The text before the film (mvbench.ipynb of MVBench's makers; VLMEvalKit, dataset/mvbench.py)."""


def _published(item: EvaluationItem) -> str:
    """The text of MVBench's makers, as VLMEvalKit sends it to Qwen's models: in one turn."""
    options = lettered(item, "({letter}) {choice}")
    question = f"Question: {item.question}\nOptions:\n{options}\n"
    return f"{SYSTEM}{question}Only give the best option.Best option:("


def _lmms_eval(item: EvaluationItem) -> str:
    """The text of lmms-eval, tasks/mvbench/utils.py."""
    options = lettered(item, "({letter}) {choice}")
    return f"Question:{item.question}\nOption:\n{options}\nOnly give the best option.\n"


class MVBench(FilmBenchmark):
    """MVBench: the films of its data set in a folder, questions in its files.

        MVBench("json", folder="video")            # the folder of 20 JSON files
        MVBench("MVBench.tsv", folder=".")         # VLMEvalKit's file, also MVBench_MP4.tsv
        MVBench("test.json", folder=".")           # all tasks in one file

    The score is the mean of the accuracies of the tasks. Films that are given with a start and an
    end are cut; those whose names say that they are cut already are not. The film of Episodic
    Reasoning may be a folder of frames, 3 a second. The films of Fine-grained Pose (NTU RGB+D) are
    not part of the data set: `missing="fail"` asks the other tasks. Where the right answer is
    among the options twice, its first letter is right, and a warning tells the items. Qwen has
    published no prompt for it: "qwen" asks as its code for Video-MME does.
    """

    title: ClassVar[str] = "MVBench"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": qwen_video_prompt,
        "vlmevalkit": _published,
        "lmms_eval": _lmms_eval,
    }
    metrics: Sequence[Metric] = (
        Metric(name="mean over tasks", over="task", source="arXiv:2311.17005, table 2"),
        Metric(name="accuracy"),
    )
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("index",),
        targets=("answer",),
        choices=("candidates",),
        video=("video",),
        groups={"task": ("task_type", "task")},
        optional=("id", "image", "cluster"),
    )

    def given(self, data: Any, folder: PathLike | None) -> tuple[Any, PathLike | None]:
        """Return the rows of MVBench's own JSON, and the folder of films beside it."""
        return rows_of_json(data), default_folder(data) if folder is None else folder

    def film(self, row: Row, films: FilmFolder) -> Film | None:
        """Return the film of a row, in the folder of its task, cut to the times of the row."""
        name = self.film_name(row)
        path = films.find(name, parents_of(row, self._task(row)))
        if path is None:
            return None
        start, end = cut_times(row, name)
        return Film(path, start, end, frames_per_second=FRAME_RATE)

    def film_item(self, row: Row) -> EvaluationItem:
        """Return the item of a row, with the letter of the option that is its answer."""
        found = super().film_item(row)
        letter = letter_of(found.targets[0], found.choices, found.where)
        return replace(found, targets=(letter,), groups={**found.groups, "task": self._task(row)})

    def messages(self, item: EvaluationItem) -> list[Message]:
        """Return the conversation that asks an item; some prompts begin before the film."""
        text = self.prompt_text(item)
        if not text.startswith(SYSTEM):
            return [Message.user(*item.media, text)]
        return [Message.user(SYSTEM, *item.media, text.removeprefix(SYSTEM))]

    def check(self) -> None:
        """Refuse missing films; warn of items whose right answer is among the options twice."""
        super().check()
        doubled = [item.id for item in self if _is_doubled(item)]
        if doubled:
            warnings.warn(
                f"the right answer is among the options twice in {len(doubled):,} of {len(self):,} "
                f"items, such as {doubled[0]}; its first letter counts as right",
                QwenVLKitWarning,
                stacklevel=2,
            )

    def _task(self, row: Row) -> str:
        return task_name(text_cell(cell(row, self._names.groups["task"]), row.where, "task"))


def _is_doubled(item: EvaluationItem) -> bool:
    right = item.choices[ascii_uppercase.index(item.targets[0])]
    return item.choices.count(right) > 1
