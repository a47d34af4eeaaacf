"""RefCOCO, RefCOCO+ and RefCOCOg (Kazemzadeh et al. 2014): the box of what a sentence names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmark import Benchmark, PathLike
from qwenvl_kit.evaluation.benchmarks.media_facts import picture_size
from qwenvl_kit.evaluation.benchmarks.refcoco_boxes import (
    BoxFormat,
    check_format,
    right_box,
    to_right_units,
    whole_picture,
)
from qwenvl_kit.evaluation.benchmarks.refcoco_rows import (
    form_of,
    numbers_of,
    sentences_of,
    split_of,
)
from qwenvl_kit.evaluation.columns import ColumnNames, cell
from qwenvl_kit.evaluation.data.cells import media_of, text_cell
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem, ItemScore, MediaPart
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.prompting import Prompt
from qwenvl_kit.evaluation.scoring.places import box_score
from qwenvl_kit.families import Family, family_of
from qwenvl_kit.geometry import PixelMap, Size
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat

_SOURCE = "QwenLM/Qwen-VL, eval_mm/evaluate_grounding.py"


def _qwen2(item: EvaluationItem) -> str:
    """The prompt of Qwen2-VL (QwenLM/Qwen3-VL, issue 342)."""
    return f"Find {item.question} in this image with grounding."


def _qwen2_5(item: EvaluationItem) -> str:
    """The prompt by which Qwen2.5-VL was evaluated (QwenLM/Qwen3-VL, issue 991)."""
    return f"Locate {item.question} in this image and output the bbox coordinates in JSON format."


def _qwen3(item: EvaluationItem) -> str:
    """The prompt by which Qwen3-VL was evaluated (QwenLM/Qwen3-VL, issue 1721)."""
    return (
        f'Locate every object that matches the description "{item.question}" in the image. '
        "Report bbox coordinates in JSON format."
    )


def _qwen(item: EvaluationItem) -> str:
    """The prompt of the family that is asked."""
    family: Family = item.facts["family"]
    if family.box_format == "box tokens":
        return _qwen2(item)
    return _qwen3(item) if family.coordinates == "thousandths" else _qwen2_5(item)


def _vlmevalkit(item: EvaluationItem) -> str:
    """The question of VLMEvalKit's file (open-compass/VLMEvalKit, pull request 1305)."""
    return (
        "Please provide the bounding box coordinate of the region this sentence describes: "
        f"<ref>{item.question}</ref>"
    )


@explains_wrong_arguments
class RefCOCO(Benchmark):
    """RefCOCO, RefCOCO+ or RefCOCOg: a sentence, a picture, and the box of what it names.

        RefCOCO("RefCOCO.tsv")                                   # VLMEvalKit's file
        RefCOCO("testA.parquet")                                 # lmms-lab/RefCOCO
        RefCOCO("refcoco_val.jsonl", folder="coco")              # Qwen-VL's own files

    An answer is right if its first box overlaps the right one by at least a half (intersection over
    union); the strict figure wants no other box. Boxes are read in the units of the family that
    answers, thousandths or pixels of the picture that it saw, and never in both. A row with several
    sentences is a question for each. The prompt "qwen" is that by which the family was evaluated.

    The form of the right boxes follows from the columns: `bbox` beside a list of sentences in
    `answer` is COCO's x, y, width and height; `bbox` beside `sent`, and `bbox_x1` to `bbox_y2`, are
    corners in pixels; four numbers in `answer` are corners as fractions of the sides.

    Args:
        data: see `Benchmark`.
        box_format: the form of the right boxes, "xywh", "xyxy" or "fractions"; None takes that of
            the columns, and is refused for others than these.
        family: the family whose answers are scored, such as "qwen3_vl"; None takes that of the
            chat.
        prompt: see `Benchmark`.
        name: see `Benchmark`.
        columns: see `Benchmark`.
        groups: see `Benchmark`.
        cluster: see `Benchmark`.
        folder: see `Benchmark`.
        split: see `Benchmark`.

    Raises:
        EvaluationError: as `Benchmark`; or a box has not the numbers of its form.
        UnknownFamilyError: there is no such family.
    """

    title: ClassVar[str] = "RefCOCO"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": _qwen,
        "qwen2": _qwen2,
        "qwen2_5": _qwen2_5,
        "qwen3": _qwen3,
        "vlmevalkit": _vlmevalkit,
    }
    max_new_tokens: ClassVar[int] = 512
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("question_id", "index", "id"),
        question=("sent", "question"),
        targets=("bbox", "bbox_x1", "answer"),
        image=("image", "image_path"),
        cluster=("file_name", "image_id"),
        optional=("id", "choices", "video", "cluster"),
    )

    def __init__(
        self,
        data: Any,
        *,
        box_format: BoxFormat | None = None,
        family: str | None = None,
        prompt: str | Callable[[EvaluationItem], str] | None = None,
        name: str | None = None,
        columns: Mapping[str, str] | None = None,
        groups: Sequence[str] = (),
        cluster: str | None = None,
        folder: PathLike | None = None,
        split: str | None = None,
    ) -> None:
        check_format(box_format)
        self._form = box_format
        self._given = dict(columns or {})
        self.family: Family | None = None if family is None else family_of(family)
        super().__init__(
            data,
            prompt=prompt,
            name=name,
            columns=columns,
            groups=groups,
            cluster=cluster,
            folder=folder,
            split=split,
        )

    def items_of(self, row: Row) -> Sequence[EvaluationItem]:
        """Return an item for each sentence of a row."""
        sentences = sentences_of(row, self._names, self._given)
        item = self.item(row)
        if len(sentences) == 1:
            return (replace(item, question=sentences[0]),)
        return [
            replace(item, question=sentence, id=f"{item.id}/{at}")
            for at, sentence in enumerate(sentences)
        ]

    def item(self, row: Row) -> EvaluationItem:
        """Return the item of a row without its sentence."""
        names, where = self._names, row.where
        box = right_box(numbers_of(row, names), form_of(row, names, self._form), where)
        own, split = text_cell(cell(row, names.id), where, "id") or where, split_of(row)
        told = {name: text_cell(cell(row, of), where, name) for name, of in names.groups.items()}
        return EvaluationItem(
            id=f"{split}_{own}" if split else own,
            question="",
            targets=(box.text,),
            groups={**({"split": split} if split else {}), **told},
            cluster=text_cell(cell(row, names.cluster), where, "cluster"),
            facts={"is_fraction": box.is_fraction},
            where=where,
            load_media=partial(_one_picture, row, names.image),
        )

    def check(self) -> None:
        """Refuse an empty benchmark; of several splits the mean is the score."""
        super().check()
        figures: tuple[Metric, ...] = (
            Metric(name="accuracy", source=_SOURCE),
            Metric(name="strict accuracy", is_strict=True),
        )
        if len({item.groups.get("split") for item in self}) > 1:
            source = "open-compass/VLMEvalKit, dataset/refcoco.py"
            figures = (Metric(name="mean over splits", over="split", source=source), *figures)
        self.metrics = figures

    def for_chat(self, chat: VisionChat) -> Benchmark:
        """Return the benchmark with the family of a chat, if none was given."""
        if self.family is not None:
            return self
        found = copy(self)
        found.family = chat.family
        return found

    @property
    def conditions(self) -> Mapping[str, str]:
        """The family in whose units boxes are read."""
        return {} if self.family is None else {"family": self.family.model_type}

    def prompt_text(self, item: EvaluationItem) -> str:
        """Return the text that asks an item of the family."""
        facts = {
            **item.facts,
            "family": self._known_family() if self.prompt_name == "qwen" else None,
        }
        return super().prompt_text(replace(item, facts=facts))

    def score_reply(self, item: EvaluationItem, reply: Reply) -> ItemScore:
        """Score the first box of a reply, in the units of its family."""
        return self._scored(item, reply.text, reply.plan.images[0].pixel_map)

    def score(self, item: EvaluationItem, answer: str) -> ItemScore:
        """Score the first box of an answer that has no plan of its picture.

        Raises:
            EvaluationError: the family writes pixels of a picture whose size is not known, or no
                family was given.
        """
        self.check_without_reply()
        size = _HUNDREDS
        if not item.facts["is_fraction"]:
            (picture,) = item.media
            size = picture_size(picture)
        return self._scored(item, answer, whole_picture(size))

    def check_without_reply(self) -> None:
        """Refuse a family that writes pixels of the picture that it saw; see `score`."""
        family = self._known_family()
        if family.coordinates != "thousandths":
            raise EvaluationError(
                f"boxes of {family.model_type} are pixels of the picture that it saw, and the size "
                "of that is not part of the answer",
                expected="answers of a family that writes thousandths",
                hint="evaluate(chat, benchmark) knows the size",
            )

    def _scored(self, item: EvaluationItem, answer: str, pixels: PixelMap) -> ItemScore:
        is_fraction = item.facts["is_fraction"]
        to_targets = to_right_units(self._known_family(), pixels, is_fraction=is_fraction)
        return box_score(answer, item.targets, to_targets=to_targets)

    def _known_family(self) -> Family:
        if self.family is None:
            raise EvaluationError(
                "the family that answers is not known",
                expected="family=..., such as 'qwen3_vl'",
                hint="evaluate(chat, benchmark) takes the chat's",
            )
        return self.family


def _one_picture(row: Row, names: Sequence[str]) -> tuple[MediaPart, ...]:
    """The picture of a row, in which its box lies.

    Raises:
        EvaluationError: there is none, or there are several.
    """
    found = media_of(row, names, ())
    if len(found) != 1:
        raise EvaluationError(
            f"the row has {len(found)} pictures", expected="the one of its box", where=row.where
        )
    return found


_HUNDREDS = Size(height_px=100, width_px=100)
"""Any size: fractions of a picture's sides do not depend on it."""
