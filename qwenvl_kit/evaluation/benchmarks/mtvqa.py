"""MTVQA (Tang et al. 2024, arXiv:2405.11985): text in pictures, in nine languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.pictures import QWEN, QWEN3, PictureBenchmark
from qwenvl_kit.evaluation.columns import ColumnNames
from qwenvl_kit.evaluation.data.record_cells import records_cell
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.data.tables import PICTURE
from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.prompting import Prompt

_PAIRS = "qa_pairs"


class MTVQA(PictureBenchmark):
    """MTVQA: test has 2,116 pictures with 6,778 questions in nine languages.

        MTVQA("MTVQA_TEST.tsv")                                  # VLMEvalKit's file
        MTVQA("MTVQA/data", split="test")                        # ByteDance/MTVQA, Parquet

    An answer is right if it holds the right one, both without case and full stops. The score is the
    mean over all questions, as VLMEvalKit has it. Intervals are drawn by pictures.
    """

    title: ClassVar[str] = "MTVQA"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": QWEN,
        "vlmevalkit": "{question}\nAnswer the question using a word or phrase in the language of "
        "the question.",
        "qwen3": QWEN3,
    }
    metrics: Sequence[Metric] = (
        Metric(name="accuracy", source="VLMEvalKit, vlmeval/dataset/image_vqa.py, MTVQADataset"),
        Metric(name="mean over languages", over="language"),
    )
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("index", "id"),
        question=("question", _PAIRS),
        targets=("answer", _PAIRS),
        cluster=(PICTURE,),
        groups={"language": ("lang", "language", "category")},
        optional=("id", "choices", "video", "cluster"),
    )
    rule: ClassVar[str] = "contains"

    def items_of(self, row: Row) -> Iterator[EvaluationItem]:
        """Return the items of a row, one for each of its pairs of question and answer."""
        if _PAIRS not in row:
            yield self.item(row)
            return
        pairs = records_cell(row[_PAIRS], row.where, _PAIRS)
        for at, pair in enumerate(pairs):
            item = self.item(row.with_cells(_checked(pair, row.where)))
            yield replace(item, id=f"{item.id}_{at}", cluster=item.cluster or item.id)


def _checked(pair: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """A pair of question and answer."""
    if not {"question", "answer"} <= pair.keys():
        raise EvaluationError(
            f"a pair has the keys {', '.join(map(repr, pair))}",
            expected="'question' and 'answer'",
            where=where,
        )
    return {name: pair[name] for name in ("question", "answer")}
