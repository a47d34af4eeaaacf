"""The code in an answer: the right one of its fences, with what was odd about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.safe_text import plain
from qwenvl_kit.tasks.coding.checked import MOST_CHARACTERS, Checked
from qwenvl_kit.tasks.coding.fences import Fence, read_fences
from qwenvl_kit.tasks.coding.forms import FORMS, FormFacts
from qwenvl_kit.tasks.coding.html_check import check_html
from qwenvl_kit.tasks.coding.mermaid_check import check_mermaid
from qwenvl_kit.tasks.coding.python_check import check_python
from qwenvl_kit.tasks.coding.svg_check import check_svg

CHECKS: Mapping[str, Callable[[str], Checked]] = MappingProxyType(
    {
        "html": check_html,
        "svg": check_svg,
        "matplotlib": check_python,
        "mermaid": check_mermaid,
    }
)
"""The check of each form."""


@dataclass(frozen=True)
class FoundCode:
    """The code of an answer.

    Attributes:
        text: the code; empty if there is none.
        language: the tag of its fence, or the language of the form if it has none.
        start: its index in the answer.
        problems: sentences on what is wrong with it.
        notes: sentences on what is odd about it.
        imports: the packages that it imports, if it is Python.
    """

    text: str
    language: str
    start: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    imports: tuple[str, ...] = ()


def read_code(answer: str, form: str) -> FoundCode:
    """Find code of a form in an answer, and check it.

    Of several fences the last one with a tag of the form is taken, as Qwen's notebook does; one
    that does not end is taken only where no other is there. A fence without a tag, or with another,
    is taken if its code begins as the form does. Without fences the code is what stands from the
    first words of the form to the last.

    Args:
        answer: the answer, without thoughts.
        form: the form, a key of `FORMS`.
    """
    facts = FORMS[form]
    fences = read_fences(answer)
    candidates = _of_form(fences, facts)
    if not candidates:
        return _unfenced(answer, form, facts, len(fences))
    whole = [fence for fence in candidates if fence.is_closed] or candidates
    chosen, text, start = whole[-1], whole[-1].text, whole[-1].start
    if form == "svg":
        text, cut = _only_drawing(text)
        start += cut
    checked = check(text, form)
    problems = () if chosen.is_closed else ("the fence is not closed: the code may be cut off",)
    return FoundCode(
        text,
        chosen.tag or facts.language,
        start,
        (*problems, *checked.problems),
        (*_fence_notes(fences, candidates, chosen, facts), *checked.notes),
        checked.imports,
    )


def check(text: str, form: str) -> Checked:
    """Check code of a form; see the check of each form in `CHECKS`."""
    if not text.strip():
        return Checked(("there is no code",))
    if len(text) > MOST_CHARACTERS:
        return Checked((f"the code has more than {MOST_CHARACTERS:,} characters: not checked",))
    return CHECKS[form](text)


def _of_form(fences: tuple[Fence, ...], facts: FormFacts) -> list[Fence]:
    """The fences that can hold the form: by their tag, else by their code."""
    begun = [fence for fence in fences if facts.begins.search(fence.text[:4096])]
    tagged = [fence for fence in fences if fence.tag in facts.tags]
    if facts.language == "svg":  # xml and html may hold anything
        tagged = [fence for fence in tagged if fence.tag == "svg" or fence in begun]
    return tagged or begun or [fence for fence in fences if not fence.tag and len(fences) == 1]


def _fence_notes(
    fences: tuple[Fence, ...], candidates: list[Fence], chosen: Fence, facts: FormFacts
) -> tuple[str, ...]:
    notes: list[str] = []
    if chosen.tag and chosen.tag not in facts.tags:
        notes.append(f"the fence says {plain(chosen.tag)[:40]}, the code is {facts.language}")
    if len(candidates) > 1:
        number = candidates.index(chosen) + 1
        notes.append(f"the answer has {len(candidates)} such fences: number {number} was taken")
    others = [fence.tag for fence in fences if fence not in candidates]
    beside = [tag for tag in others if tag in ("css", "javascript", "js")]
    if facts.language == "html" and beside:
        notes.append(f"the page has parts in fences of their own: {', '.join(beside[:3])}")
    return tuple(notes)


def _only_drawing(text: str) -> tuple[str, int]:
    """A drawing without what stands around it, and the length of what stood before it."""
    begun = FORMS["svg"].begins.search(text)
    start = begun.start() if begun else 0
    end = text.rfind("</svg>")
    return text[start : end + 6 if end >= start else len(text)], start


def _unfenced(answer: str, form: str, facts: FormFacts, num_fences: int) -> FoundCode:
    """The code of an answer without a fence for it."""
    begun = facts.begins.search(answer)
    if begun is None:
        where = f"in its {num_fences} fences" if num_fences else "and no fence"
        return FoundCode("", facts.language, 0, (f"the answer has no code {where}",), ())
    start = begun.start()
    end = answer.rfind(facts.ends) + 1 if facts.ends else len(answer)
    text = answer[start : max(end, start)] or answer[start:]
    if form == "svg":
        text, cut = _only_drawing(text)
        start += cut
    checked = check(text.rstrip(), form)
    notes = ("the code stands in no fence", *checked.notes)
    return FoundCode(text.rstrip(), facts.language, start, checked.problems, notes, checked.imports)
