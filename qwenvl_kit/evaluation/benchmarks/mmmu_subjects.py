"""The subjects of MMMU and their disciplines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

SUBJECTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Art and Design": ("Art", "Art_Theory", "Design", "Music"),
        "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
        "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
        "Health and Medicine": (
            "Basic_Medical_Science",
            "Clinical_Medicine",
            "Diagnostics_and_Laboratory_Medicine",
            "Pharmacy",
            "Public_Health",
        ),
        "Humanities and Social Science": ("History", "Literature", "Sociology", "Psychology"),
        "Tech and Engineering": (
            "Agriculture",
            "Architecture_and_Engineering",
            "Computer_Science",
            "Electronics",
            "Energy_and_Power",
            "Materials",
            "Mechanical_Engineering",
        ),
    }
)
"""The 30 subjects by discipline (MMMU-Benchmark/MMMU, mmmu/utils/data_utils.py,
`DOMAIN_CAT2SUB_CAT`)."""

_ID = re.compile(r"(?:dev|validation|test)_(.+)_\d+$")


def subject_of(item_id: str) -> str:
    """Return the subject in an id, such as "Art_Theory" of `validation_Art_Theory_12`.

    Args:
        item_id: the id; of another form, it has no subject, and the result is empty.
    """
    found = _ID.match(item_id)
    return found[1] if found else ""


def discipline_of(subject: str) -> str:
    """Return the discipline of a subject; empty if it is no subject of MMMU."""
    name = re.sub(r"[\s-]+", "_", subject.strip())
    return next((each for each, subjects in SUBJECTS.items() if name in subjects), "")
