"""HallusionBench (Guan et al. 2024, arXiv:2310.14566): yes or no about figures that mislead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.pictures import PictureBenchmark, with_picture
from qwenvl_kit.evaluation.columns import ColumnNames
from qwenvl_kit.evaluation.data.cells import text_cell
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import UNREAD, EvaluationItem, ItemScore
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.prompting import Prompt, fill

_SOURCE = "arXiv:2310.14566, section 3.3; tianyi-lab/HallusionBench, utils.py"
_UNIT = ("category", "subcategory", "set")
_IDS = ("set", "figure", "question")

JUDGE = """Compare an answer with the right answer to a question.
Question: {question}
Right answer: {right}
Answer: {answer}
Reply with one word: "correct" if the answer agrees with the right answer, "incorrect" if it
contradicts it, "unclear" if it decides neither."""
"""The question for a judge, after that of tianyi-lab/HallusionBench, utils.py,
`evaluate_by_chatgpt`, in words of our own."""


class HallusionBench(PictureBenchmark):
    """HallusionBench: the score is the mean of aAcc, fAcc and qAcc, as Qwen's reports give it.

        HallusionBench("HallusionBench.tsv")                     # VLMEvalKit's file: 951 questions
        HallusionBench("HallusionBench/data", split="image")     # lmms-lab, Parquet: the same 951
        HallusionBench("HallusionBench.json", folder="images")   # the makers' file: 1,129

    aAcc counts each question; fAcc a figure, if all questions about it are right; qAcc a question,
    if it is right for all its figures. 178 of the makers' 1,129 questions have no picture; reports
    mostly leave them out, as VLMEvalKit does. Results are told by "input", so that their table
    shows which questions were asked. Questions without a figure are in aAcc and qAcc, and not in
    fAcc.

    The makers let a judge compare each answer. Here the rule reads yes or no, and a judge is asked
    only about answers that it cannot read; to questions without a figure it is right not to know.
    """

    title: ClassVar[str] = "HallusionBench"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": "{question} Please answer yes or no.",
        "vlmevalkit": "{question}",
    }
    metrics: Sequence[Metric] = (
        Metric(name="mean of aAcc, fAcc, qAcc", of=("aAcc", "fAcc", "qAcc")),
        Metric(name="aAcc", source=_SOURCE),
        Metric(name="fAcc", unit=(*_UNIT, "figure"), source=_SOURCE),
        Metric(name="qAcc", unit=(*_UNIT, "question"), source=_SOURCE),
    )
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("index",),
        targets=("gt_answer", "answer"),
        image=("image", "image_path", "filename"),
        groups={"category": ("category",), "subcategory": ("subcategory", "l2-category")},
        facts={
            "set": ("set_id",),
            "figure": ("figure_id",),
            "question": ("question_id",),
            "details": ("gt_answer_details",),
        },
        optional=("id", "choices", "image", "video", "cluster", *_IDS, "details"),
    )
    rule: ClassVar[str] = "yes_no"
    needs_picture: ClassVar[bool] = False

    def item(self, row: Row) -> EvaluationItem:
        """Return the item of a row, with the set, figure and question that its id or columns name.

        Raises:
            EvaluationError: neither its columns nor its id name them.
        """
        found = super().item(row)
        facts: dict[str, Any] = {**found.facts, **_ids_of(found)}
        category = found.groups["category"]
        kind = f"{category}_{found.groups['subcategory'].removeprefix(f'{category}_')}"
        is_text = category == "VS" and facts["figure"] == "0"
        whole = "_".join((kind, *(facts[name] for name in _IDS)))
        groups = {**found.groups, "subcategory": kind}
        return replace(
            found if is_text else with_picture(found),
            id=whole if found.id == found.where else found.id,
            facts={**facts, "figure": None if is_text else facts["figure"]},
            groups={"input": "no picture" if is_text else "picture", **groups},
            cluster=found.cluster or f"{kind}_{facts['set']}",
        )

    def drawn_with(self, item: EvaluationItem) -> str:
        """Return the set of an item, all of whose questions fAcc and qAcc need."""
        return item.cluster

    def judge_prompt(self, item: EvaluationItem, answer: str) -> str:
        """Return the text that asks a judge about an answer that says neither yes nor no."""
        yes = item.targets[0].strip().lower() in ("1", "yes", "true")
        right = f"{'Yes' if yes else 'No'}. {item.facts.get('details') or ''}".strip()
        return fill(JUDGE, {"question": item.question, "right": right, "answer": answer})

    def score_judged(self, item: EvaluationItem, answer: str, judged: str) -> ItemScore:
        """Score an answer by a judge's word; to a question without a figure "unclear" is right."""
        word = judged.strip().strip("\"'.*").lower()
        if word not in ("correct", "incorrect", "unclear"):
            return UNREAD
        is_text = item.facts.get("figure") is None
        return ItemScore(float(word == "correct" or (word == "unclear" and is_text)), word)


def _ids_of(item: EvaluationItem) -> dict[str, str]:
    """The set, figure and question of an item, by its columns, or by the end of its id."""
    given = {name: item.facts.get(name) for name in _IDS}
    if all(value is not None for value in given.values()):
        return {name: text_cell(value, item.where, name) for name, value in given.items()}
    parts = item.id.split("_")
    if len(parts) < 4:
        raise EvaluationError(
            f"the id {item.id!r} names no set, figure and question",
            expected="columns set_id, figure_id and question_id, or an id that ends in "
            "_set_figure_question",
            where=item.where,
        )
    return dict(zip(_IDS, parts[-3:]))
