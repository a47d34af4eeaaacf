"""DocVQA (Mathew et al. 2021, arXiv:2007.00398): questions about pages of documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from qwenvl_kit.evaluation.benchmarks.pictures import (
    ONE_WORD,
    QWEN,
    QWEN3,
    Answers,
    PictureBenchmark,
)
from qwenvl_kit.evaluation.columns import ColumnNames
from qwenvl_kit.evaluation.data.tables import PICTURE
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.prompting import Prompt


class DocVQA(PictureBenchmark):
    """DocVQA: validation has 5,349 questions; the score is ANLS.

        DocVQA("DocVQA_VAL.tsv")                                    # VLMEvalKit's file
        DocVQA("DocVQA", split="validation")                        # lmms-lab/DocVQA, Parquet
        DocVQA("val_v1.0_withQT.json", folder="spdocvqa_images")    # the organisers' file

    Results are told by the type of question where the data have it; a question may have several.
    Intervals are drawn by documents, or by pictures where the data name no document. The test split
    has no answers: the portal of the Robust Reading Competition scores answers to it.
    """

    title: ClassVar[str] = "DocVQA"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": QWEN,
        "vlmevalkit": ONE_WORD,
        "qwen3": QWEN3,
    }
    metrics: Sequence[Metric] = (Metric(name="ANLS", source="arXiv:2007.00398, section 5"),)
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("questionId", "question_id", "index"),
        targets=("answers", "answer"),
        cluster=("ucsf_document_id", "docId", PICTURE),
        tags={"question type": ("question_types",)},
        optional=("id", "targets", "choices", "video", "cluster", "question type"),
    )
    max_new_tokens: ClassVar[int] = 128
    rule: ClassVar[str] = "anls"
    answers: ClassVar[Answers] = "list"
    hidden_answers: ClassVar[str] = (
        "the validation split has answers; answers to the test split are scored at the portal of "
        "the Robust Reading Competition (rrc.cvc.uab.es, challenge 17, task 1)"
    )
