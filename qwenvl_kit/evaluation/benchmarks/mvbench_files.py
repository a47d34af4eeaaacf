"""The files of MVBench: its tasks as JSON, the folders of its films, and times at which to cut."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.data.cells import is_empty
from qwenvl_kit.evaluation.data.rows import Row

FOLDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "action_sequence": ("star/Charades_v1_480", "star/Charades_segment"),
        "action_prediction": ("star/Charades_v1_480", "star/Charades_segment"),
        "action_antonym": ("ssv2_video", "ssv2_video_mp4"),
        "fine_grained_action": ("Moments_in_Time_Raw/videos",),
        "unexpected_action": ("FunQA_test/test",),
        "object_existence": ("clevrer/video_validation",),
        "object_interaction": ("star/Charades_v1_480", "star/Charades_segment"),
        "object_shuffle": ("perception/videos",),
        "moving_direction": ("clevrer/video_validation",),
        "action_localization": ("sta/sta_video", "sta/sta_video_segment"),
        "scene_transition": ("scene_qa/video",),
        "action_count": ("perception/videos",),
        "moving_count": ("clevrer/video_validation",),
        "moving_attribute": ("clevrer/video_validation",),
        "state_change": ("perception/videos",),
        "fine_grained_pose": ("nturgbd", "nturgbd_convert"),
        "character_order": ("perception/videos",),
        "egocentric_navigation": ("vlnqa",),
        "episodic_reasoning": ("tvqa/frames_fps3_hq", "tvqa/video_fps3_hq_segment"),
        "counterfactual_inference": ("clevrer/video_validation",),
    }
)
"""The folders of the films of each task: those of the data set's main branch, then of its branch
`video` (mvbench.ipynb of MVBench's makers; lmms-eval, tasks/mvbench/utils.py)."""

FRAME_RATE = 3.0
"""Frames per second in the folders of frames of TVQA (mvbench.ipynb, `read_frame`)."""

_CUT = re.compile(r"_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)$")
_CLOSE = 0.06
"""Seconds by which times in a name may differ from those of a row, as names have one digit."""


def task_name(text: str) -> str:
    """Return the name of a task as its file has it: "fine_grained_pose" for "Fine-grained Pose"."""
    return re.sub(r"[\s-]+", "_", text.strip().lower())


def rows_of_json(data: Any) -> Any:
    """Return the rows in MVBench's own JSON, with their tasks; other data as they are.

    Args:
        data: a folder of JSON files, one a task; a file with all tasks (`meta` and `root`); or a
            dict of rows by task.

    Raises:
        EvaluationError: a file cannot be read, or the folder has no task of MVBench.
    """
    if isinstance(data, Mapping):
        return [row for task, rows in data.items() for row in _of_task(str(task), rows, "")]
    if not isinstance(data, (str, os.PathLike)):
        return data
    path = Path(data)
    if path.is_dir():
        return _of_folder(path)
    if path.suffix.lower() == ".json" and isinstance(found := _read(path), dict):
        return _of_file(found, path)
    return data


def default_folder(data: Any) -> Path | None:
    """Return the folder of the films that belongs to data by the layout of the data set.

    That is `video` beside the folder of JSON files, and the folder of a file.

    Args:
        data: the data, as they were given.
    """
    if not isinstance(data, (str, os.PathLike)):
        return None
    path = Path(data)
    beside = path.parent / "video"
    if path.is_dir():
        return beside if beside.is_dir() else path
    return path.parent


def cut_times(row: Row, name: str) -> tuple[float | None, float | None]:
    """Return the start and the end of the part that is shown, in seconds; None for the whole.

    A film whose name ends with its times, such as `NBMH9_21.4_37.6.mp4`, is that part already.

    Args:
        row: the row, with `start` and `end`.
        name: the name of the film.

    Raises:
        EvaluationError: a time is no number.
    """
    start, end = _seconds(row, "start"), _seconds(row, "end")
    found = _CUT.search(os.path.splitext(name)[0]) or _CUT.search(name)
    if found and start is not None and end is not None:
        is_cut = abs(float(found[1]) - start) < _CLOSE and abs(float(found[2]) - end) < _CLOSE
        if is_cut:
            return None, None
    return start, end


def parents_of(row: Row, task: str) -> tuple[str, ...]:
    """Return the folders in which the film of a row may lie, as ends of paths."""
    prefix = row.get("prefix")
    if is_empty(prefix):
        return FOLDERS.get(task, ())
    given = str(prefix).strip().strip("/").removeprefix("./")
    return (given, given.removeprefix("video/"))


def _of_folder(folder: Path) -> list[dict[str, Any]]:
    files = [folder / f"{task}.json" for task in FOLDERS]
    found = [path for path in files if path.is_file()]
    if not found:
        raise EvaluationError(
            f"the folder {os.fspath(folder)!r} has no task of MVBench",
            expected=f"files such as {files[0].name}",
        )
    return [row for path in found for row in _of_task(path.stem, _read(path), "")]


def _of_file(content: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    tasks = content.get("meta")
    if not isinstance(tasks, dict):
        raise EvaluationError(
            f"{path.name} has the fields {', '.join(map(repr, content))}",
            expected="'meta' with the rows of each task, and 'root' with the folders of films",
        )
    roots = content.get("root") or {}
    return [row for task in tasks for row in _of_task(task, tasks[task], roots.get(task, ""))]


def _of_task(task: str, rows: Any, prefix: str) -> Iterator[dict[str, Any]]:
    """The rows of a task, each with its task, its folder and an id."""
    if not isinstance(rows, Sequence) and not hasattr(rows, "__iter__"):
        raise EvaluationError(f"the task {task!r} is a {type(rows).__name__}", expected="rows")
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise EvaluationError(
                f"row {at} is a {type(row).__name__}", expected="a dict", where=task
            )
        yield {"start": None, "end": None, **row, "index": f"{task_name(task)}/{at}"} | {
            "task": task_name(task),
            "prefix": prefix,
        }


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EvaluationError(f"{os.fspath(path)!r} cannot be read as JSON: {error}") from error


def _seconds(row: Row, name: str) -> float | None:
    value = row.get(name)
    if is_empty(value):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise EvaluationError(
            f"{name} is {value!r}", expected="a number of seconds", where=row.where
        ) from None
