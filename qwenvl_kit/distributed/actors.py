"""The actor of Ray that holds one chat and answers batches of rows, one after another."""

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
class AskOptions:
    """The arguments of `ask_dataset` that an actor needs: questions, settings and output."""

    to_request: ToRequest | None
    question: str | None
    image_column: str
    sampling: Sampling | None
    budget: BudgetChoice | None
    fit: Fit
    output: Output | None

    def request(self, row: Mapping[str, Any]) -> RequestLike | QwenVLKitError:
        """Return the request of a row, or the error if the row cannot be used."""
        if self.output is not None and row[self.output.id_column] is None:
            return InputError(
                f"the row has no {self.output.id_column}", expected="an id that no other row has"
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
                f"the row cannot be made into a request ({type(error).__name__}: {error})"
            )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that answers depend on; an output of other settings is refused."""
        return {
            "question": self.question,
            "image_column": self.image_column if self.to_request is None else None,
            "to_request": getattr(self.to_request, "__qualname__", None),
            "sampling": repr(self.sampling),
            "budget": repr(self.budget),
            "fit": self.fit,
        }


class AskActor:
    """An actor of Ray.

    Args:
        chat_factory: function that makes the chat of the actor.
        options: questions, settings and output.
    """

    def __init__(self, chat_factory: Callable[[], VisionChat], options: AskOptions) -> None:
        self._chat = chat_factory()
        if not isinstance(self._chat, VisionChat):
            raise InputError(
                f"chat_factory made a {type(self._chat).__name__}", expected="a VisionChat"
            )
        self._options = options

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """Answer a batch of rows; with an output folder only the ids are returned."""
        output = self._options.output
        if output is None:
            return self._answered(table)
        if not output.has(table):  # Ray may send a batch again that was answered already
            output.write(table, self._answered(table))
        return table.select([output.id_column])

    def _answered(self, table: pyarrow.Table) -> pyarrow.Table:
        options = self._options
        requests = [options.request(row) for row in table.to_pylist()]
        sent = [request for request in requests if not isinstance(request, QwenVLKitError)]
        settings: Any = {"sampling": options.sampling, "budget": options.budget, "fit": options.fit}
        results = iter(self._chat.ask_many(sent, **settings))
        outcomes = []
        for request in requests:
            result = request if isinstance(request, QwenVLKitError) else next(results)
            outcomes.append(result.error if isinstance(result, Failure) else result)
        kept = [name for name in table.column_names if name != options.image_column]
        return with_answers(table.select(kept), outcomes)
