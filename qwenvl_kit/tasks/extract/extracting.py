"""Extraction: typed values that are read from pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, overload

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import InputError
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.extract.evidence import EvidencedExtraction
from qwenvl_kit.tasks.extract.evidence_search import extract_with_evidence
from qwenvl_kit.tasks.extract.extraction import Extraction
from qwenvl_kit.tasks.extract.form import DEFAULT_SAMPLING, Form
from qwenvl_kit.tasks.prompts import Language
from qwenvl_kit.tasks.task_input import as_media

_Value = TypeVar("_Value")


@overload
def extract(
    chat: VisionChat,
    image: Media | Sequence[Media],
    wanted: type[_Value] | Mapping[str, Any],
    *,
    evidence: Literal[True],
    verify: bool = ...,
    language: Language = ...,
    prompt: str | None = ...,
    sampling: Sampling | None = ...,
    budget: BudgetChoice | None = ...,
) -> EvidencedExtraction[_Value]: ...


@overload
def extract(
    chat: VisionChat,
    image: Media | Sequence[Media],
    wanted: type[_Value] | Mapping[str, Any],
    *,
    evidence: bool = ...,
    verify: bool = ...,
    language: Language = ...,
    prompt: str | None = ...,
    sampling: Sampling | None = ...,
    budget: BudgetChoice | None = ...,
) -> Extraction[_Value]: ...


def extract(
    chat: VisionChat,
    image: Media | Sequence[Media],
    wanted: type[_Value] | Mapping[str, Any],
    *,
    evidence: bool = False,
    verify: bool = False,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Extraction[_Value]:
    """Read a typed value from one picture or several.

    The model can write only JSON of that type. An answer that grows too long is completed in the
    shortest way that the type allows; the `finish_reason` of its reply is then still "stop".

    Example:
        @dataclass
        class Receipt:
            total: float
            date: str | None
        extract(chat, "receipt.png", Receipt).value.total
        found = extract(chat, "receipt.png", Receipt, evidence=True)
        found.evidence["total"].box, found.missing, found.draw()

    With `evidence=True` each value comes with its page and its box. Families that write boxes in
    JSON (Qwen2.5-VL and later) write them beside the values, in the same constrained answer. For
    Qwen2-VL each value is located afterwards, in one batch. A value without a place is in
    `missing`.

    Args:
        chat: the model to ask.
        image: the picture, or a list of pictures that are read as one; a PDF or TIFF as a path,
            URL, bytes or `DocumentPart` is read with all its pages.
        wanted: the type: a dataclass, a TypedDict, a pydantic model, or a JSON schema as a dict.
            Fields may be optional, nested, lists and enums; the model is shown the descriptions of
            fields.
        evidence: True gives an `EvidencedExtraction`, with the place of each value.
        verify: True takes a second look at each place: the box is cut out of the original, its
            text is read, and `Evidence.is_confirmed` tells if that holds the value (the rule is
            `is_printed`). Needs `evidence=True`.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{fields}` in it is replaced by the names and types of the fields.
            The request for evidence is added to it.
        sampling: the generation settings of the answer with the values; None is greedy.
        budget: the `PixelBudget` of each picture, or a preset such as "quick".

    Returns:
        The value, with a confidence for each value inside it, and its evidence if asked for.

    Raises:
        SchemaError: the type is not supported: it is recursive, or has rules that cannot be
            enforced.
        AnswerError: the answer is not of the type; the error has the `reply`.
        InputError: a picture cannot be used, or `verify=True` was given without evidence.
        UnsupportedFeatureError: evidence was asked for in a video.
    """
    if evidence:
        return extract_with_evidence(
            chat,
            image,
            wanted,
            verify=verify,
            language=language,
            prompt=prompt,
            sampling=sampling,
            budget=budget,
        )
    if verify:
        raise InputError("verify=True was given without evidence", expected="evidence=True")
    form = Form(wanted, language, prompt)
    reply = chat.ask(
        form.prompt,
        *as_media(image),
        sampling=sampling or DEFAULT_SAMPLING,
        budget=budget,
        constraint=form.constraint,
    )
    return form.extraction(reply)
