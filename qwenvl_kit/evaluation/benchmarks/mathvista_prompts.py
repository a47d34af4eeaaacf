"""The prompts of MathVista: its hints, and the question by which a judge extracts a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.prompting import lettered

_HINTS: Mapping[tuple[str, int | None], str] = {
    (
        "multi_choice",
        None,
    ): "Hint: Please answer the question and provide the correct option letter, "
    "e.g., A, B, C, D, at the end.",
    (
        "integer",
        None,
    ): "Hint: Please answer the question requiring an integer answer and provide the "
    "final value, e.g., 1, 2, 3, at the end.",
    ("float", 1): "Hint: Please answer the question requiring a floating-point number with one "
    "decimal place and provide the final value, e.g., 1.2, 1.3, 1.4, at the end.",
    ("float", 2): "Hint: Please answer the question requiring a floating-point number with two "
    "decimal places and provide the final value, e.g., 1.23, 1.34, 1.45, at the end.",
    ("list", None): "Hint: Please answer the question requiring a Python list as an answer and "
    "provide the final list, e.g., [1, 2, 3], [1.2, 1.3, 1.4], at the end.",
}
"""The hint by the kind of question and the decimal places. Source: lupantech/MathVista,
evaluation/build_query.py, `create_one_query`; the data's column "query" is made by it."""

_DIRECT: Mapping[tuple[str, int | None], str] = {
    ("multi_choice", None): "Answer with the option's letter from the given choices directly.",
    ("integer", None): "Answer the question using a single integer number.",
    (
        "float",
        1,
    ): "Answer the question using a single floating-point number with one decimal place.",
    (
        "float",
        2,
    ): "Answer the question using a single floating-point number with two decimal places.",
    ("list", None): "Answer the question using a Python list.",
}
"""Source: lmms-eval, tasks/mathvista/mathvista_evals.py, the form "format-prompt"."""

_QUERY = re.compile(r"Hint: .*?\nQuestion: (?P<question>.*?)(?:\nChoices:\n.*)?", re.DOTALL)

_EXTRACTION = """An answer to a question is given. Write the value that it gives, and nothing else:
the letter of an option, a whole number, a number with decimal places, or a list, as the hint of the
question says. Do not solve the question yourself. Examples:

{examples}

{query}

Model response: {answer}

Extracted answer:"""
"""The question for a judge, after lupantech/MathVista, evaluation/prompts/ext_ans.py, in words of
our own; like it, it shows an example of each kind of answer."""

_EXAMPLES = (
    ("integer", None, "Question: How many bars are higher than 10?", "Four bars, those of A, B, D "
     "and E, are higher than 10, so there are 4.", "4"),
    ("float", 1, "Question: What is the average height? (Unit: m)", "(1.2 + 1.6) / 2 gives an "
     "average height of 1.4 m.", "1.4"),
    ("float", 2, "Question: How much are both pens? (Unit: $)", "Both pens cost $2.35.", "2.35"),
    ("list", None, "Question: In which two years do the lines cross?", "The lines cross in 1998 "
     "and in 2003.", "[1998, 2003]"),
    ("multi_choice", None, "Question: How long is AB?\nChoices:\n(A) 3\n(B) 4\n(C) 5", "By the "
     "theorem of Pythagoras AB is 5, which is option (C).", "C"),
)  # fmt: skip


def published_query(item: EvaluationItem) -> str:
    """Return the question with its hint and its options, as MathVista's data have it ("query")."""
    options = f"Choices:\n{lettered(item, '({letter}) {choice}')}" if item.choices else ""
    hint = _HINTS.get(_kind(item.facts), "")
    return "\n".join(filter(None, (hint, f"Question: {_with_unit(item)}", options)))


def bare_question(question: str) -> str:
    """Return a question without the hint before it and the options behind it.

    VLMEvalKit's file has them in one text; any other question is returned as it is.
    """
    found = _QUERY.fullmatch(question.strip())
    return question if found is None else found["question"].strip()


def lmms_eval_query(item: EvaluationItem) -> str:
    """Return the question as lmms-eval asks it in its form "format-prompt"."""
    options = lettered(item)
    return "\n".join(filter(None, (_with_unit(item), options, _DIRECT.get(_kind(item.facts), ""))))


def extraction_prompt(query: str, answer: str) -> str:
    """Return the text that asks a judge for the value of an answer.

    Args:
        query: the question with its hint and options.
        answer: the answer of the model.
    """
    examples = "\n\n".join(
        f"{_HINTS[kind, places]}\n{question}\n\nModel response: {said}\n\nExtracted answer: {value}"
        for kind, places, question, said, value in _EXAMPLES
    )
    head, middle = _EXTRACTION.split("{query}")
    between, tail = middle.split("{answer}")
    return f"{head.replace('{examples}', examples)}{query}{between}{answer}{tail}"


def _kind(facts: Mapping[str, Any]) -> tuple[str, int | None]:
    """The kind of a question, and the decimal places of a float."""
    if facts["question_type"] == "multi_choice":
        return "multi_choice", None
    return facts["answer_type"], facts["precision"] if facts["answer_type"] == "float" else None


def _with_unit(item: EvaluationItem) -> str:
    unit = item.facts.get("unit")
    is_said = not unit or f"(Unit: {unit})" in item.question
    return item.question if is_said else f"{item.question} (Unit: {unit})"
