"""A data set by Ray: what actors bring, and what a row costs."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from qwenvl_kit import Message, Request, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from tests.benchmarks.photographs import photograph
from tests.distributed.clusters import running_cluster

ROUNDS = 3
NUM_PHOTOGRAPHS = (16, 272)
NUM_ROWS = (2000, 22000)
BATCH_SIZE = 8
QUESTION = "What?"


def is_possible() -> bool:
    """Whether Ray is installed."""
    return find_spec("ray") is not None


def section() -> list[str]:
    """Seconds of a row: one actor, two, and none."""
    with running_cluster(), tempfile.TemporaryDirectory() as folder:
        photographs, rows = _media_rows(Path(folder)), _row_rows()
    few, many = NUM_PHOTOGRAPHS
    return [
        "Work that is all media: JPEGs of 6 megapixels are opened, judged, decoded and resized to "
        f"the standard budget, and the answer costs nothing. A row's time is that of {many} rows "
        f"less that of {few}, over the {many - few} between them, so that the start of Ray's "
        f"actors, which takes seconds, is left out; median of {ROUNDS} rounds, in turn.",
        "",
        "| | time of a row | against `ask_many` here | spread |",
        "|---|---|---|---|",
        *photographs,
        "",
        "What a row costs beside: no picture, an answer that costs nothing, "
        f"{NUM_ROWS[1]} rows less {NUM_ROWS[0]}, in batches of 200, one actor.",
        "",
        "| | time of a row | spread |",
        "|---|---|---|",
        *rows,
    ]


def scripted() -> VisionChat:
    """A chat whose model costs nothing."""
    return VisionChat(ScriptedBackend(lambda _: "."), budget="standard")


def _media_rows(folder: Path) -> list[str]:
    paths = []
    for seed in range(4):
        path = folder / f"{seed}.jpg"
        photograph(3000, 2000, seed).save(path, quality=92)
        paths.append(str(path))
    sides: dict[str, Callable[[int], None]] = {
        "`ask_many`, no Ray": lambda count: _ask_many(paths, count),
        "one actor": lambda count: _ask_dataset(paths, count, 1),
        "two actors": lambda count: _ask_dataset(paths, count, 2),
    }
    seconds = _seconds_of_a_row(sides, NUM_PHOTOGRAPHS)
    base = seconds["`ask_many`, no Ray"]
    rows = []
    for name, times in seconds.items():
        ratios = sorted(other / mine for other, mine in zip(base, times))
        rows.append(
            f"| {name} | {statistics.median(times) * 1000:.1f} ms | "
            f"**{statistics.median(ratios):.2f}x** | {ratios[0]:.2f} - {ratios[-1]:.2f} |"
        )
    return rows


def _row_rows() -> list[str]:
    sides: dict[str, Callable[[int], None]] = {
        "`ask_many`, no Ray": _ask_many_without_media,
        "`ask_dataset`": lambda count: _ask_dataset_without_media(count, None),
        "`ask_dataset`, with an output": _ask_dataset_with_output,
    }
    seconds = _seconds_of_a_row(sides, NUM_ROWS)
    return [
        f"| {name} | {statistics.median(times) * 1000:.2f} ms | "
        f"{min(times) * 1000:.2f} - {max(times) * 1000:.2f} ms |"
        for name, times in seconds.items()
    ]


def _seconds_of_a_row(
    sides: Mapping[str, Callable[[int], None]], counts: tuple[int, int]
) -> dict[str, list[float]]:
    for side in sides.values():
        side(counts[0])  # not counted
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    few, many = counts
    for _ in range(ROUNDS):
        for name, side in sides.items():
            times = []
            for count in (few, many):
                started = time.perf_counter()
                side(count)
                times.append(time.perf_counter() - started)
            seconds[name].append((times[1] - times[0]) / (many - few))
    return seconds


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
