"""The benchmarks by their names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmark import Benchmark
from qwenvl_kit.tables import Table

OWN = "own"
"""The name for questions of one's own."""


def benchmarks() -> Mapping[str, type[Benchmark]]:
    """Return the published benchmarks by their names: those that the room exports."""
    from qwenvl_kit import evaluation

    exported = (getattr(evaluation, name) for name in evaluation.__all__)
    found = {
        _key(each.__name__): each
        for each in exported
        if isinstance(each, type) and issubclass(each, Benchmark) and each is not Benchmark
    }
    return dict(sorted(found.items()))


def benchmark_named(name: str) -> type[Benchmark]:
    """Return the class of a benchmark; "own" is `Benchmark` itself.

    Args:
        name: its name; case, blanks and hyphens do not matter.

    Raises:
        EvaluationError: there is no such benchmark; it names near ones.
    """
    known: dict[str, type[Benchmark]] = {**benchmarks(), OWN: Benchmark}
    if (key := _key(name)) in known:
        return known[key]
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    raise EvaluationError(
        f"there is no benchmark {name!r}",
        expected=f"one of {', '.join(known)}",
        hint=" or ".join(near) if near else f"{OWN}, with a file and a scorer of your own",
    )


def benchmarks_table() -> Table:
    """Return the table of the benchmarks with their prompts, the default first."""
    rows = [(name, each.title, ", ".join(each.prompts)) for name, each in benchmarks().items()]
    rows.append((OWN, "a file of your own", ", ".join(Benchmark.prompts)))
    notes = ["a prompt may also be a text with {question} in it; the first is the default"]
    return Table(("--benchmark", "title", "prompts"), rows, notes)


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()
