"""RealWorldQA (xAI 2024): questions about photographs, many of them from cars."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from string import ascii_uppercase
from typing import ClassVar

from qwenvl_kit.evaluation.benchmarks.pictures import PictureBenchmark
from qwenvl_kit.evaluation.columns import ColumnNames
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem, ItemScore
from qwenvl_kit.evaluation.prompting import Prompt, lettered
from qwenvl_kit.evaluation.scoring.by_name import scorer_named

_OPTION = re.compile(r"^([A-Z])[.)] +(\S.*)$", re.MULTILINE)
_CHINESE = re.compile("[\u4e00-\u9fff]")
_LETTER = scorer_named("option")


def _asked(item: EvaluationItem, english: str, chinese: str) -> str:
    options = f"Options:\n{lettered(item)}\n" if item.choices else ""
    hint = f"Hint: {item.facts['hint']}\n" if item.facts.get("hint") else ""
    text = f"{hint}Question: {item.question}\n{options}"
    if not item.choices:
        return text.rstrip()
    return text + (chinese if _CHINESE.search(text) else english)


def _qwen(item: EvaluationItem) -> str:
    """The text of VLMEvalKit, vlmeval/vlm/qwen2_vl/prompt.py, `_build_mcq_prompt`."""
    ask = "Please select the correct answer from the options above."
    return _asked(item, ask, "请直接回答选项字母。")


def _vlmevalkit(item: EvaluationItem) -> str:
    """The text of VLMEvalKit, vlmeval/dataset/image_mcq.py, and of Qwen3-VL's own evaluation."""
    ask = "Please select the correct answer from the options above. \n"
    return _asked(item, ask, ask)


def _qwen3(item: EvaluationItem) -> str:
    """The text of VLMEvalKit, vlmeval/vlm/qwen3_vl/prompt.py, `_build_mcq_prompt`."""
    ask = "Answer with the option letter only."
    return _asked(item, ask, ask)


class RealWorldQA(PictureBenchmark):
    """RealWorldQA: 765 questions, most of them with options; the score is accuracy.

        RealWorldQA("RealWorldQA.tsv")                           # VLMEvalKit's file
        RealWorldQA("RealWorldQA/data", split="test")            # lmms-lab or xAI, Parquet

    In the makers' data the options are lines of the question; here they are taken from it, so that
    each prompt can write them. The prompt "lmms_eval" is the question as the makers wrote it.
    Questions without options are right if the answer is the right word or number, without case.
    """

    title: ClassVar[str] = "RealWorldQA"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": _qwen,
        "vlmevalkit": _vlmevalkit,
        "lmms_eval": "{written}",
        "qwen3": _qwen3,
    }
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("index", "id"),
        targets=("answer",),
        facts={"hint": ("hint",)},
        optional=("id", "choices", "video", "cluster", "hint"),
    )

    def item(self, row: Row) -> EvaluationItem:
        """Return the item of a row, with its options apart from its question."""
        found = super().item(row)
        facts = {**found.facts, "written": found.question}
        if found.choices:
            return replace(found, facts=facts)
        question, choices = split_options(found.question)
        return replace(found, question=question, choices=choices, facts=facts)

    def score(self, item: EvaluationItem, answer: str) -> ItemScore:
        """Score the letter of an option; without options the whole answer."""
        if item.choices:
            return _LETTER(answer, item)
        return super().score(item, answer.strip().removesuffix("."))


def split_options(question: str) -> tuple[str, tuple[str, ...]]:
    """Return a question without the lines of its options and what follows them, and the options.

    A question whose lines do not begin with A, B, ... in this order is returned as it is.
    """
    found = list(_OPTION.finditer(question))
    letters = "".join(each[1] for each in found)
    if len(found) < 2 or not ascii_uppercase.startswith(letters):
        return question, ()
    return question[: found[0].start()].strip(), tuple(each[2].strip() for each in found)
