"""The result of an evaluation: its score with an interval, every item, tables and files."""

from __future__ import annotations

import os
from dataclasses import dataclass

from qwenvl_kit.evaluation.reports.csv_files import write_csv
from qwenvl_kit.evaluation.reports.html_page import write_html
from qwenvl_kit.evaluation.reports.result_files import read_run, save_result
from qwenvl_kit.evaluation.reports.tables import result_table
from qwenvl_kit.evaluation.scored_run import ScoredRun
from qwenvl_kit.tables import Table


@dataclass(frozen=True)
class EvaluationResult(ScoredRun):
    """The result of an evaluation. `print(result)` shows its table.

    Scores are in [0, 1]; tables show them times 100, as publications do. Items that failed have
    no score: they are in no mean, and are counted in `num_failed`. An answer that could not be read
    is wrong, and is counted in `num_unread` as well.

    Attributes:
        record: the conditions, from which the evaluation can be repeated.
        items: the items with their answers and scores, in the order of the data.
        metrics: the metrics of the benchmark; the first is the score.
    """

    def table(self) -> Table:
        """Return the table of its metrics, groups and counts."""
        return result_table(self)

    def __str__(self) -> str:
        return self.table().to_text()

    def _repr_html_(self) -> str:
        return self.table().to_html()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result as JSON, with the record and every item; `load_result` reads it.

        Raises:
            EvaluationError: the file cannot be written.
        """
        save_result(self, path)

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the items as CSV, a line each.

        Raises:
            EvaluationError: the file cannot be written.
        """
        write_csv(self, path)

    def write_html(self, path: str | os.PathLike[str], *, num_hardest: int = 20) -> None:
        """Write a report as one page of HTML: tables, and the hardest items with their pictures.

        Args:
            path: the file.
            num_hardest: the most items that it shows.

        Raises:
            EvaluationError: the file cannot be written.
        """
        write_html(self, path, num_hardest)


def load_result(path: str | os.PathLike[str]) -> EvaluationResult:
    """Return a result that `EvaluationResult.save` has written.

    Its items have no media, which are read from the data, and no replies, so that it cannot be
    calibrated; all else is there.

    Raises:
        EvaluationError: it is no such file, or of another version; the error says where in it.
    """
    run = read_run(path)
    return EvaluationResult(run.record, run.items, run.metrics)
