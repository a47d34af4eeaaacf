"""Tables and charts, read as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MissingPackageError
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tables import Table
from qwenvl_kit.tasks.extract import Extraction, extract
from qwenvl_kit.tasks.prompts import Language, chosen_prompt

if TYPE_CHECKING:
    import pandas

TABLE_PROMPTS = MappingProxyType(
    {
        "en": "Read the table in this image as JSON, with the headings of its columns and all rows:"
        "\n{fields}",
        "zh": "以JSON格式读出图中的表格，包括各列标题和所有行：\n{fields}",
    }
)
CHART_PROMPTS = MappingProxyType(
    {
        "en": "Read the numbers of this chart as a table in JSON, with the headings of its columns "
        "and a row for each point or bar:\n{fields}",
        "zh": "以JSON格式将此图表中的数据读成表格，包括各列标题，每个点或柱一行：\n{fields}",
    }
)
_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "columns": {"type": "array", "items": {"type": "string"}},
        "rows": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
    },
    "required": ["columns", "rows"],
}
_MAX_TOKENS = 2048


@dataclass(frozen=True)
class ReadTable:
    """The rows of a table, under their headings. `str(table)` is the table as text.

    Attributes:
        columns: the headings.
        rows: the cells of each row, as many as there are headings.
        warnings: messages about rows that had to be corrected.
        extraction: the answer, with a confidence for each cell (`rows[0][1]`).
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...]
    extraction: Extraction[Any]

    def __str__(self) -> str:
        return self._table().to_text()

    def _repr_html_(self) -> str:
        return self._table().to_html()

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a pandas data frame; all cells are strings.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingPackageError(
                "pandas is not installed", hint="pip install pandas"
            ) from error
        return pandas.DataFrame(list(self.rows), columns=list(self.columns))

    def _table(self) -> Table:
        return Table(self.columns or ("",), self.rows, self.warnings)


def read_table(
    chat: VisionChat,
    image: Media,
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> ReadTable:
    """Read the table that a picture shows.

    Example:
        print(read_table(chat, "prices.png").to_pandas())

    Args:
        chat: the model to ask.
        image: the picture.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{fields}` in it is replaced by the fields of the answer.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of the picture, or a preset such as "quick"; small print needs a
            larger one.

    Returns:
        The headings as `columns` and the cells as `rows`; all cells are strings.

    Raises:
        AnswerError: the answer is no table, or is longer than `sampling` allows; the error has the
            `reply`.
        InputError: the picture cannot be used.
    """
    wording = chosen_prompt(TABLE_PROMPTS, language, prompt)
    return _read(chat, image, wording=wording, language=language, sampling=sampling, budget=budget)


def chart_to_table(
    chat: VisionChat,
    image: Media,
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> ReadTable:
    """Read the numbers of a chart as a table, one row for each point or bar.

    Arguments and errors are those of `read_table`.
    """
    wording = chosen_prompt(CHART_PROMPTS, language, prompt)
    return _read(chat, image, wording=wording, language=language, sampling=sampling, budget=budget)


def _read(
    chat: VisionChat,
    image: Media,
    *,
    wording: str,
    language: Language,
    sampling: Sampling | None,
    budget: BudgetChoice | None,
) -> ReadTable:
    found: Extraction[Any] = extract(
        chat,
        image,
        _SCHEMA,
        language=language,
        prompt=wording,
        sampling=sampling or Sampling(max_new_tokens=_MAX_TOKENS),
        budget=budget,
    )
    columns = tuple(found.value["columns"])
    given = found.value["rows"]
    width = len(columns) or max(map(len, given), default=0)
    rows = tuple(tuple([*row, *[""] * width][:width]) for row in given)
    odd = sum(len(row) != width for row in given)
    cells = "1 cell" if width == 1 else f"{width} cells"
    warned = f"{odd} of {len(given)} rows have more or fewer than {cells}"
    warnings = (warned,) if odd else ()
    return ReadTable(columns or ("",) * width, rows, warnings, found)
