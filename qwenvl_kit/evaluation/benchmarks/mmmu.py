"""MMMU (Yue et al. 2024, arXiv:2311.16502): questions of thirty subjects, with up to 7 pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.image_places import with_pictures
from qwenvl_kit.evaluation.benchmarks.mmmu_answers import open_score
from qwenvl_kit.evaluation.benchmarks.mmmu_subjects import discipline_of, subject_of
from qwenvl_kit.evaluation.benchmarks.option_questions import with_letter, without_answer
from qwenvl_kit.evaluation.benchmarks.pictures import Answers, PictureBenchmark
from qwenvl_kit.evaluation.columns import ColumnNames, cell
from qwenvl_kit.evaluation.data.cells import media_of, text_cell
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem, ItemScore, MediaPart
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.prompting import Prompt, lettered
from qwenvl_kit.evaluation.scoring.reading import without_thoughts
from qwenvl_kit.messages.message import Message

_NUMBERED = tuple(f"image_{number}" for number in range(1, 8))
"""The columns of pictures on Hugging Face."""


def _qwen(item: EvaluationItem) -> str:
    """The text of QwenLM/Qwen3-VL, evaluation/mmmu/run_mmmu.py, `build_mmmu_prompt`."""
    hint = item.facts["hint"]
    asked = f"Hint: {hint}\n" if hint else ""
    asked += f"Question: {item.question}\n"
    if item.choices:
        asked += f"Options:\n{lettered(item)}\n"
        asked += "Please select the correct answer from the options above."
    return asked.rstrip()


def _published(item: EvaluationItem) -> str:
    """The text of MMMU's makers (mmmu/configs/llava1.5.yaml); lmms-eval, tasks/mmmu, has it too."""
    if item.choices:
        ask = "Answer with the option's letter from the given choices directly."
        return f"{item.question}\n{lettered(item)}\n\n{ask}"
    return f"{item.question}\n\nAnswer the question using a single word or phrase."


class MMMU(PictureBenchmark):
    """MMMU's validation split, from a file.

        MMMU("MMMU_DEV_VAL.tsv")         # VLMEvalKit's file: its rows of the validation split
        MMMU("validation.parquet")       # the columns of MMMU/MMMU on Hugging Face

    Of data with a column `split` the rows of "validation" are asked, unless `split` names another.
    Questions with options are scored by their letters; a letter is never guessed. Open answers are
    scored by the published rule, and a strict figure stands beside it. With the prompt "qwen" all
    pictures stand before the text, as in Qwen's own code; with "vlmevalkit" and "lmms_eval" they
    stand at their places, such as `<image 1>`, in questions and options.
    """

    title: ClassVar[str] = "MMMU"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": _qwen,
        "vlmevalkit": _qwen,
        "lmms_eval": _published,
    }
    metrics: Sequence[Metric] = (
        Metric(name="accuracy", source="MMMU-Benchmark/MMMU, mmmu/utils/eval_utils.py"),
        Metric(name="strict accuracy", is_strict=True),
    )
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("id", "index"),
        targets=("answer",),
        choices=("options",),
        image=("image", "image_path", *_NUMBERED),
        optional=("id", "targets", "choices", "cluster", "video"),
    )
    rule: ClassVar[str] = "option"
    answers: ClassVar[Answers] = "any"
    hidden_answers: ClassVar[str] = (
        "the answers of MMMU's test split are kept by its makers, who score what is sent to their "
        "challenge on eval.ai; the validation split has its answers"
    )

    def __init__(self, data: Any, *, split: str | None = None, **options: Any) -> None:
        self._part = None if split else "validation"
        self._others: set[str] = set()
        super().__init__(data, split=split, **options)

    def items_of(self, row: Row) -> Sequence[EvaluationItem]:
        """Return the item of a row; nothing for a row of another split."""
        part = text_cell(row.get("split"), row.where, "split")
        if self._part is None or part in ("", self._part):
            return (self.item(row),)
        self._others.add(part)
        return ()

    def check(self) -> None:
        """Refuse data without a row of the split that is asked."""
        if not len(self) and self._others:
            raise EvaluationError(
                f"no row has the split {self._part!r}",
                expected=f"split={' or split='.join(map(repr, sorted(self._others)))}",
            )
        super().check()

    def check_item(self, item: EvaluationItem) -> None:
        """Refuse an item with options whose right answer is none of them."""
        if item.choices:
            super().check_item(item)

    def item(self, row: Row) -> EvaluationItem:
        """Return the item of a row: its subject and discipline, and all of its pictures."""
        found = super().item(row)
        told = text_cell(cell(row, ("category", "subject")), row.where, "category")
        subject = subject_of(found.id) or told
        groups = {
            "discipline": discipline_of(subject),
            "subject": subject,
            "kind": "multiple choice" if found.choices else "open",
        }
        return replace(
            with_letter(found) if found.choices else found,
            groups={**{name: value for name, value in groups.items() if value}, **found.groups},
            facts={"hint": text_cell(row.get("hint"), row.where, "hint")},
            load_media=partial(_pictures, row, self._names.image),
        )

    def targets_of(self, row: Row) -> tuple[str, ...]:
        """Return the right answers of a row: a letter, or texts; "?" stands for a hidden one."""
        found = super().targets_of(row)
        if found == ("?",):
            raise without_answer(row, self.hidden_answers)
        return found

    def messages(self, item: EvaluationItem) -> list[Message]:
        """Return the conversation that asks an item: pictures before the text, or in it."""
        text, pictures = self.prompt_text(item), item.media
        if self.prompt_name == "qwen":
            return [Message.user(*pictures, text)]
        return [Message.user(*with_pictures(text, pictures))]

    def score(self, item: EvaluationItem, answer: str) -> ItemScore:
        """Score an answer: its letter, or what an open answer says."""
        if item.choices:
            return super().score(item, answer)
        return open_score(without_thoughts(answer), item.targets)


def _pictures(row: Row, names: Sequence[str]) -> tuple[MediaPart, ...]:
    """The pictures of a row: a list in one column, or numbered columns in their order.

    Raises:
        EvaluationError: a number is left out, so that places in the text would show others.
    """
    numbered = [name for name in _NUMBERED if name in row]
    if not numbered:
        return media_of(row, [name for name in names if name not in _NUMBERED], ())
    found = [media_of(row, (name,), ()) for name in numbered]
    filled = [bool(each) for each in found]
    if filled != sorted(filled, reverse=True):
        raise EvaluationError(
            f"the column {numbered[filled.index(False)]!r} is empty, and a later one is not",
            expected="pictures in the first columns",
            where=row.where,
        )
    return tuple(part for each in found for part in each)
