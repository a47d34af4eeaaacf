"""A data set by Ray: what actors bring, and what a row costs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from qwenvl_kit import Message, Request, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from tests.benchmarks.measuring import FEW_ROUNDS, Case, Run, Side, at_once, case_table, timed
from tests.benchmarks.photographs import photograph
from tests.distributed.clusters import running_cluster

NUM_PHOTOGRAPHS = (16, 272)
NUM_ROWS = (2000, 22000)
BATCH_SIZE = 8
QUESTION = "What?"


def section() -> list[str]:
    """The time of a row: one actor, two, and none."""
    few, many = NUM_PHOTOGRAPHS
    with running_cluster(), tempfile.TemporaryDirectory() as folder:
        cases = [*_photographs(Path(folder)), *_rows()]
        return [
            "Work that is all media: JPEGs of 6 megapixels are opened, judged, decoded and resized "
            "to the standard budget, and the answer costs nothing. A row's time is that of "
            f"{many} rows less that of {few}, over the {many - few} between them, so that the "
            "start of Ray's actors, which takes seconds, is left out. What a row costs beside: no "
            f"picture, {NUM_ROWS[1]:,} rows less {NUM_ROWS[0]:,}, in batches of 200, one actor.",
            "",
            *case_table(cases, at_once, FEW_ROUNDS),
        ]


def scripted() -> VisionChat:
    """A chat whose model costs nothing."""
    return VisionChat(ScriptedBackend(lambda _: "."), budget="standard")


def _photographs(folder: Path) -> Iterator[Case]:
    paths = []
    for seed in range(4):
        path = folder / f"{seed}.jpg"
        photograph(3000, 2000, seed).save(path, quality=92)
        paths.append(str(path))
    for num_actors, name in ((1, "one actor"), (2, "two actors")):
        yield Case(
            f"a photograph by `ask_dataset`, {name}",
            _of_a_row(lambda n, actors=num_actors: _ask_dataset(paths, n, actors), NUM_PHOTOGRAPHS),  # type: ignore[misc]
            {"`ask_many`, no Ray": _of_a_row(lambda n: _ask_many(paths, n), NUM_PHOTOGRAPHS)},
        )


def _rows() -> Iterator[Case]:
    for name, side in (
        ("`ask_dataset`", lambda count: _ask_dataset_without_media(count, None)),
        ("`ask_dataset` with an output", _ask_dataset_with_output),
    ):
        yield Case(
            f"a row without a picture by {name}",
            _of_a_row(side, NUM_ROWS),
            {"`ask_many`, no Ray": _of_a_row(_ask_many_without_media, NUM_ROWS)},
        )


def _of_a_row(side: Callable[[int], None], counts: tuple[int, int]) -> Side:
    """The time of a row beyond the first ones. Ray's workers are other processes."""
    few, many = counts

    def run() -> Run:
        start, whole = (timed(lambda n=n: side(n)).seconds for n in (few, many))  # type: ignore[misc]
        return Run((whole - start) / (many - few))

    return run


def _ask_many(paths: list[str], count: int) -> None:
    requests = [Request.about(QUESTION, paths[at % len(paths)]) for at in range(count)]
    assert len(list(scripted().ask_many(requests))) == count


def _ask_dataset(paths: list[str], count: int, num_actors: int) -> None:
    import ray

    from qwenvl_kit.distributed import ask_dataset

    rows = [{"id": at, "image": paths[at % len(paths)]} for at in range(count)]
    dataset = ray.data.from_items(rows, override_num_blocks=count // BATCH_SIZE)
    answers = ask_dataset(
        dataset, scripted, question=QUESTION, num_actors=num_actors, batch_size=BATCH_SIZE
    )
    assert sum(row["error"] is None for row in answers.take_all()) == count


def _ask_many_without_media(count: int) -> None:
    requests = [Message.user(f"row {at}") for at in range(count)]
    assert len(list(scripted().ask_many(requests))) == count


def _ask_dataset_without_media(count: int, output: str | None) -> None:
    import ray

    from qwenvl_kit.distributed import ask_dataset

    dataset = ray.data.range(count, override_num_blocks=5)
    answers = ask_dataset(
        dataset,
        scripted,
        lambda row: Message.user(f"row {row['id']}"),
        output=output,
        batch_size=200,
    )
    assert answers.count() == count


def _ask_dataset_with_output(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _ask_dataset_without_media(count, folder)
