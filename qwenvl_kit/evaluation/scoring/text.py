"""Rules that compare texts: exact match, MTVQA's, OCRBench's, and ANLS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qwenvl_kit.evaluation.scoring.edit_distance import edit_distance


def exact_match(answer: str, targets: Sequence[str], *, keeps_case: bool = False) -> float:
    """Return 1.0 if an answer is one of the right ones, white space around them left out.

    Source: open-compass/VLMEvalKit, vlmeval/dataset/utils/vqa_eval.py, method "accuracy".

    Args:
        answer: the answer.
        targets: the right answers.
        keeps_case: True if "Dog" is not "dog".
    """
    said = answer.strip() if keeps_case else answer.strip().lower()
    given = (each.strip() if keeps_case else each.strip().lower() for each in targets)
    return float(said in given)


def contains(answer: str, targets: Sequence[str]) -> float:
    """Return 1.0 if an answer holds a right one, both without case and full stops (MTVQA).

    Source: Tang et al. 2024, "MTVQA: Benchmarking Multilingual Text-Centric Visual Question
    Answering" (arXiv:2405.11985); open-compass/VLMEvalKit, vlmeval/dataset/image_vqa.py,
    `MTVQADataset.evaluate`. A right answer of full stops alone would be in every answer there; here
    it is only in one of full stops.
    """
    return _holds(_without_stops(answer), map(_without_stops, targets))


def ocrbench(answer: str, targets: Sequence[str], *, is_formula: bool = False) -> float:
    """Return 1.0 if an answer holds a right one, without case and line breaks (OCRBench).

    Source: Liu et al. 2023, "OCRBench: On the Hidden Mystery of OCR in Large Multimodal Models"
    (arXiv:2305.07895); open-compass/VLMEvalKit, vlmeval/dataset/image_vqa.py, `OCRBench.evaluate`.

    Args:
        answer: the answer.
        targets: the right answers.
        is_formula: True for handwritten formulas (HME100k), which are compared without spaces, and
            with their case.
    """
    tidied = _as_formula if is_formula else _as_line
    return _holds(tidied(answer), map(tidied, targets))


def anls(answer: str, targets: Sequence[str], threshold: float = 0.5) -> float:
    """Return the normalised Levenshtein similarity with the nearest right answer (ANLS).

    It is 1 - distance / length, and 0 below the threshold. The distance is that of the texts
    without case and repeated white space, the length that of the longer text as it was written. The
    average over questions makes the A of its name.

    Source: Biten et al. 2019, "Scene Text Visual Question Answering" (arXiv:1905.13648), equation
    1; Mathew et al. 2021, DocVQA (arXiv:2007.00398), section 5; code: QwenLM/Qwen-VL,
    eval_mm/infographicsvqa_eval.py, which is the organisers'. In the paper a similarity of exactly
    the threshold is 0; in the organisers' code it counts, and so it does here.

    Args:
        answer: the answer.
        targets: the right answers.
        threshold: the least similarity that counts, in [0, 1].
    """
    return max((_similarity(answer, target, threshold) for target in targets), default=0.0)


def _similarity(answer: str, target: str, threshold: float) -> float:
    length = max(len(answer.upper()), len(target.upper()))  # "ß" counts as two, as published
    if not length:
        return 1.0
    limit = int(length * (1 - threshold)) + 1
    distance = edit_distance(_without_case(answer), _without_case(target), limit)
    similarity = 1 - distance / length
    return similarity if similarity >= threshold else 0.0


def _holds(said: str, wanted: Iterable[str]) -> float:
    return float(any(each in said if each else not said for each in wanted))


def _without_stops(text: str) -> str:
    return text.strip().lower().replace(".", "")


def _without_case(text: str) -> str:
    return " ".join(text.lower().split())


def _as_line(text: str) -> str:
    return text.lower().strip().replace("\n", " ")


def _as_formula(text: str) -> str:
    return text.strip().replace("\n", " ").replace(" ", "")
