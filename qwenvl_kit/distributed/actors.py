"""Actors: one chat each, and batches of rows, one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.distributed.columns import with_answers
from qwenvl_kit.distributed.parquet_output import Output
from qwenvl_kit.errors import InputError, QwenVLKitError
from qwenvl_kit.options import BudgetChoice, Fit, Sampling
from qwenvl_kit.requests import Request, RequestLike
from qwenvl_kit.results import Failure

if TYPE_CHECKING:
    import pyarrow

ToRequest = Callable[[Mapping[str, Any]], RequestLike]


@dataclass(frozen=True)
class Asked:
    """What is asked of each row, and where the answers go; see `ask_dataset`."""

    to_request: ToRequest | None
    question: str | None
    image_column: str
    sampling: Sampling | None
    budget: BudgetChoice | None
    fit: Fit
    output: Output | None

    def request(self, row: Mapping[str, Any]) -> RequestLike | QwenVLKitError:
        """The request of a row; an error where none can be made of it."""
        if self.output is not None and row[self.output.id_column] is None:
            return InputError(
                f"the row has no {self.output.id_column}", expected="what tells it from others"
            )
        try:
            if self.to_request is not None:
                return self.to_request(row)
            if self.image_column not in row:
                return InputError(
                    f"the row has no column {self.image_column!r}",
                    expected=", ".join(map(str, row)),
                    hint="image_column=..., or to_request=...",
                )
            shown = row[self.image_column]
            media = shown if isinstance(shown, (list, tuple)) else [shown]
            given = [item for item in media if item is not None]
            return Request.about(self.question or "", *given)
        except QwenVLKitError as error:
            return error
        except Exception as error:  # a row may hold anything
            return InputError(
                f"no request can be made of the row ({type(error).__name__}: {error})"
            )

    @property
    def settings(self) -> dict[str, Any]:
        """What answers depend on, for an output to tell others by."""
        return {
            "question": self.question,
            "image_column": self.image_column if self.to_request is None else None,
            "to_request": getattr(self.to_request, "__qualname__", None),
            "sampling": repr(self.sampling),
            "budget": repr(self.budget),
            "fit": self.fit,
        }


class Asker:
    """An actor of Ray.

    Args:
        chat_factory: makes its chat.
        asked: what it asks of each row.
    """

    def __init__(self, chat_factory: Callable[[], VisionChat], asked: Asked) -> None:
        self._chat = chat_factory()
        if not isinstance(self._chat, VisionChat):
            raise InputError(
                f"chat_factory made a {type(self._chat).__name__}", expected="a VisionChat"
            )
        self._asked = asked

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """The rows with their answers; with an output their ids alone, the rest being there."""
        output = self._asked.output
        if output is None:
            return self._answered(table)
        if not output.has(table):  # a batch that is given out once more was answered already
            output.write(table, self._answered(table))
        return table.select([output.id_column])

    def _answered(self, table: pyarrow.Table) -> pyarrow.Table:
        asked = self._asked
        requests = [asked.request(row) for row in table.to_pylist()]
        sent = [request for request in requests if not isinstance(request, QwenVLKitError)]
        settings: Any = {"sampling": asked.sampling, "budget": asked.budget, "fit": asked.fit}
        results = iter(self._chat.ask_many(sent, **settings))
        outcomes = []
        for request in requests:
            result = request if isinstance(request, QwenVLKitError) else next(results)
            outcomes.append(result.error if isinstance(result, Failure) else result)
        kept = [name for name in table.column_names if name != asked.image_column]
        return with_answers(table.select(kept), outcomes)
