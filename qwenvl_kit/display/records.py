"""Records as a pandas data frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import MissingPackageError

if TYPE_CHECKING:
    import pandas


def to_frame(records: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> pandas.DataFrame:
    """Return records as a data frame, a row each; the columns are there without any record too.

    Raises:
        MissingPackageError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingPackageError("pandas is not installed", hint="pip install pandas") from error
    return pandas.DataFrame([dict(record) for record in records], columns=list(columns))
