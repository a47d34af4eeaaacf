"""The rows of RefCOCO's files: sentences, boxes and splits, in the columns of each maker."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.refcoco_boxes import BoxFormat
from qwenvl_kit.evaluation.columns import ColumnNames, cell, named
from qwenvl_kit.evaluation.data.cells import list_cell, text_cell
from qwenvl_kit.evaluation.data.rows import Row

_CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")

_DESCRIBES = "this sentence describes:"
"""The words before the sentence in the questions of VLMEvalKit's file, which has it in `<ref>`."""

_SPLIT = re.compile(r"(RefCOCO[+g]?)\s+(val|test)[\s_-]*([AB]?)$", re.IGNORECASE)


def sentences_of(row: Row, names: ColumnNames, given: Mapping[str, str]) -> list[str]:
    """Return the sentences of a row, each of which is a question.

    Args:
        row: the row.
        names: its columns.
        given: the columns that the caller named.

    Raises:
        EvaluationError: there is no sentence, or it stands in a question of an unknown form.
    """
    is_coco = named(row, names.targets) == "bbox" and "answer" in row and "sent" not in row
    if is_coco and "question" not in given:
        found = list_cell(row["answer"], row.where, "answer")
    else:
        found = [_sentence(text_cell(cell(row, names.question), row.where, "question"), row.where)]
    kept = [sentence.strip() for sentence in found if sentence.strip()]
    if not kept:
        raise EvaluationError("the row has no sentence", expected="a sentence", where=row.where)
    return kept


def numbers_of(row: Row, names: ColumnNames) -> list[float]:
    """Return the four numbers of the right box of a row.

    Raises:
        EvaluationError: a cell is no number.
    """
    name = named(row, names.targets)
    cells = [row.get(corner) for corner in _CORNERS] if name == _CORNERS[0] else row[name]
    texts = list_cell(cells, row.where, name)
    if len(texts) == 1:
        texts = texts[0].strip("()[] ").split(",")
    try:
        return [float(text) for text in texts]
    except ValueError:
        raise EvaluationError(
            f"{name} is {texts!r}", expected="four numbers", where=row.where
        ) from None


def form_of(row: Row, names: ColumnNames, given: BoxFormat | None) -> BoxFormat:
    """Return the meaning of the numbers of a box, by the columns of a row.

    Args:
        row: the row.
        names: its columns.
        given: the form that the caller named; None for that of the columns.

    Raises:
        EvaluationError: the columns do not tell.
    """
    if given is not None:
        return given
    name = named(row, names.targets)
    if name == "bbox" and ("sent" in row or "answer" in row):
        return "xyxy" if "sent" in row else "xywh"
    if name in (_CORNERS[0], "answer"):
        return "fractions" if name == "answer" else "xyxy"
    raise EvaluationError(
        f"the columns do not tell the form of the boxes in {name!r}",
        expected="box_format='xywh', 'xyxy' or 'fractions'",
        where=row.where,
    )


def split_of(row: Row) -> str:
    """Return the split of a row, such as "RefCOCO+_testA"; empty if it has none.

    VLMEvalKit's file has it as "RefCOCO+ test-A" in the column `category`.
    """
    for name in ("split", "category", "dataset"):
        text = text_cell(row.get(name), row.where, name).strip()
        if text:
            found = _SPLIT.match(text)
            return f"{found[1]}_{found[2].lower()}{found[3].upper()}" if found else text
    return ""


def _sentence(text: str, where: str) -> str:
    tagged, end, _ = text.partition("<ref>")[2].partition("</ref>")
    if end:
        return tagged
    if _DESCRIBES in text:
        return text.partition(_DESCRIBES)[2].strip()
    if "bounding box" in text.lower():
        raise EvaluationError(
            f"the question {text!r:.120} has its sentence in an unknown form",
            expected='"... this sentence describes: <ref>...</ref>", or the sentence alone',
            hint="columns={'question': ...} names a column of sentences",
            where=where,
        )
    return text
