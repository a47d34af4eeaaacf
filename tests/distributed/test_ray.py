"""A data set is answered row by row, whoever dies meanwhile."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import PIL.Image
import psutil
import pytest

from qwenvl_kit import Message, VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    GenerationError,
    InputError,
    JournalError,
    ModelLoadError,
    OutOfMemoryError,
    QwenVLKitError,
)
from qwenvl_kit.media.encoding import source_url
from qwenvl_kit.media.policy import DEFAULT_POLICY

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytest.importorskip("ray.data", reason="Ray Data is not installed")

import pyarrow  # noqa: E402
import pyarrow.parquet  # noqa: E402

from qwenvl_kit.distributed import ask_dataset  # noqa: E402
from qwenvl_kit.distributed.error_mapping import translated_errors  # noqa: E402
from qwenvl_kit.distributed.parquet_output import Output  # noqa: E402

from .clusters import running_cluster  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with running_cluster():
        yield


def factory(log: str | None = None, most: int | None = None) -> Callable[[], VisionChat]:
    """Chats that say what was asked; each request is a line of the log.

    Once the log has `most` lines, no chat answers any more.
    """

    def make() -> VisionChat:
        def answer(request: BackendRequest) -> str:
            text = request.messages[-1].text
            if log is not None:
                with open(log, "a") as lines:
                    lines.write(f"{text}\n")
            while most is not None and Path(log or "").read_text().count("\n") > most:
                time.sleep(0.05)
            return text

        return VisionChat(ScriptedBackend(answer))

    return make


def ask(row: Mapping[str, Any]) -> Message:
    return Message.user(f"row {row['id']}")


def rows(count: int) -> Any:
    given = [{"id": at, "image": None} for at in range(count)]
    return ray.data.from_items(given, override_num_blocks=4)


def ids_in(folder: Path) -> list[int]:
    """What is in the files of an output, in order, read without Ray."""
    return sorted(pyarrow.parquet.read_table(folder).column("id").to_pylist())


@pytest.mark.long
def test_each_row_of_a_table_has_its_reply_beside_it(tmp_path: Path) -> None:
    said = [[{"role": "user", "content": f"row {n}"}] for n in range(20)]
    for part in (range(12), range(12, 20)):
        table = pyarrow.table({"id": list(part), "messages": [said[n] for n in part]})
        pyarrow.parquet.write_table(table, tmp_path / f"{part.start}.parquet")
    given = ray.data.read_parquet(str(tmp_path))
    asked = ask_dataset(given, factory(), lambda row: row["messages"], num_actors=2, batch_size=3)
    answers = asked.take_all()
    assert {row["id"]: row["reply_text"] for row in answers} == {n: f"row {n}" for n in range(20)}
    assert all(row["error"] is None for row in answers)


def test_a_row_that_fails_has_its_error_in_its_columns(tmp_path: Path) -> None:
    picture = PIL.Image.new("RGB", (56, 56), "red")
    picture.save(tmp_path / "red.png")
    given = [
        {"id": "path", "image": str(tmp_path / "red.png")},
        {"id": "missing", "image": str(tmp_path / "none.png")},
        {"id": "url", "image": source_url(picture, DEFAULT_POLICY)},
        {"id": "none", "image": None},
    ]
    answers = ask_dataset(ray.data.from_items(given), factory(), question="What?").take_all()
    errors = {row["id"]: row["error"] for row in answers}
    assert errors == {"path": None, "missing": "MediaNotFoundError", "url": None, "none": None}
    assert "image" not in answers[0]


@pytest.mark.long
def test_a_row_of_which_no_request_can_be_made_costs_itself_alone() -> None:
    answers = ask_dataset(rows(3), factory(), lambda row: [1 / row["id"]]).take_all()
    assert {row["error"] for row in answers} == {"InputError", "MessageError"}


@pytest.mark.long
def test_a_run_that_is_called_again_asks_for_nothing_twice(tmp_path: Path) -> None:
    log = tmp_path / "log"
    output = tmp_path / "out"
    for count in (10, 25, 25):
        answers = ask_dataset(rows(count), factory(str(log)), ask, output=output, batch_size=4)
    assert sorted(row["id"] for row in answers.take_all()) == ids_in(output) == list(range(25))
    assert sorted(log.read_text().split("\n")[:-1]) == sorted(f"row {n}" for n in range(25))


@pytest.mark.long
def test_a_run_that_is_called_again_asks_for_what_failed_and_for_nothing_else(
    tmp_path: Path,
) -> None:
    log, repaired, output = tmp_path / "log", tmp_path / "repaired", tmp_path / "out"

    def once_repaired(row: Mapping[str, Any]) -> Message:
        if row["id"] >= 3 and not repaired.is_file():
            raise ValueError("not yet")
        return ask(row)

    for _ in range(2):
        ask_dataset(rows(8), factory(str(log)), once_repaired, output=output, batch_size=2)
        table = pyarrow.parquet.read_table(output)
        assert sorted(table.column("id").to_pylist()) == list(range(8))
        assert table.column("error").null_count == (8 if repaired.is_file() else 3)
        repaired.touch()
    assert sorted(log.read_text().split()[1::2]) == [str(at) for at in range(8)]


def test_a_file_of_the_output_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    Output(tmp_path / "out", "id").open({})
    for content in (b"", b"PAR1 and no more"):
        (tmp_path / "out" / "0.parquet").write_bytes(content)
        with pytest.raises(JournalError, match=r"0\.parquet"):
            Output(tmp_path / "out", "id").without_done(rows(1))
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "out" / "0.parquet")
    with pytest.raises(JournalError, match=r"0\.parquet"):
        Output(tmp_path / "out", "id").without_done(rows(1))


def test_a_run_that_lost_its_folder_to_another_writes_no_more(tmp_path: Path) -> None:
    batch, answers = pyarrow.table({"id": [1]}), pyarrow.table({"id": [1], "error": ["x"]})
    older, newer = Output(tmp_path, "id"), Output(tmp_path, "id")
    older.open({})
    newer.open({})
    with pytest.raises(JournalError, match="another run"):
        older.write(batch, answers)
    assert not older.files
    newer.write(batch, answers)
    assert ids_in(tmp_path) == [1]


@pytest.mark.long
def test_a_row_without_an_id_fails_and_is_asked_for_again(tmp_path: Path) -> None:
    given = ray.data.from_items([{"id": 1}, {"id": None}])
    for _ in range(2):
        answers = ask_dataset(given, factory(), ask, output=tmp_path, batch_size=1)
        table = pyarrow.parquet.read_table(tmp_path)
        assert sorted(map(str, table.column("id").to_pylist())) == ["1", "None"]
        assert table.column("error").to_pylist().count("InputError") == 1
    assert answers.count() == 2


@pytest.mark.long
def test_of_no_rows_there_are_no_answers(tmp_path: Path) -> None:
    none = pyarrow.table({"id": pyarrow.array([], "int64")})
    answers = ask_dataset(ray.data.from_arrow(none), factory(), ask, output=tmp_path / "out")
    assert answers.take_all() == []


@pytest.mark.long
def test_other_questions_do_not_go_into_the_same_folder(tmp_path: Path) -> None:
    ask_dataset(rows(2), factory(), question="What?", output=tmp_path)
    with pytest.raises(JournalError, match="other questions"):
        ask_dataset(rows(2), factory(), question="Why?", output=tmp_path)


def until(is_so: Callable[[], object], ended: Callable[[], object]) -> None:
    """Waits for a condition while what brings it about goes on; a busy machine may take long."""
    deadline = time.monotonic() + 900
    while not is_so() and not ended() and time.monotonic() < deadline:
        time.sleep(0.02)


def eight_answers(released: Path) -> Callable[[], VisionChat]:
    """Chats that answer eight requests each until they are released, and then all."""

    def make() -> VisionChat:
        asked = itertools.count(1)

        def answer(request: BackendRequest) -> str:
            at = next(asked)
            while at > 8 and not released.exists():
                time.sleep(0.05)
            return request.messages[-1].text

        return VisionChat(ScriptedBackend(answer))

    return make


def actors() -> list[psutil.Process]:
    """Those of this cluster: others may run beside it."""
    return [at for at in psutil.Process().children(recursive=True) if is_actor(at)]


def is_actor(process: psutil.Process) -> bool:
    try:
        return "ray::MapWorker" in " ".join(process.cmdline())
    except psutil.Error:  # it has ended meanwhile
        return False


@pytest.mark.long
def test_actors_that_are_killed_lose_and_double_nothing(tmp_path: Path) -> None:
    output, released, ended = Output(tmp_path / "out", "id"), tmp_path / "go", threading.Event()
    killed = set()

    def kill_some() -> None:
        for num_files in (1, 3, 5):
            until(partial(has_files, num_files), ended.is_set)
            for process in actors()[:1]:
                process.kill()
                process.wait()
                killed.add(process.pid)
        released.touch()

    def has_files(count: int) -> bool:
        return len(output.files) >= count and bool(actors())

    killer = threading.Thread(target=kill_some)
    killer.start()
    try:
        chats = eight_answers(released)
        ask_dataset(rows(60), chats, ask, output=output.folder, num_actors=2, batch_size=4)
    finally:
        ended.set()
        killer.join()
    assert len(killed) == 3
    assert ids_in(output.folder) == list(range(60))


@pytest.mark.long
def test_a_driver_that_is_killed_leaves_what_was_answered(tmp_path: Path) -> None:
    program = (
        "from tests.distributed.test_ray import *\n"
        "with running_cluster():\n"
        f"    chats = factory({str(tmp_path / 'log')!r}, most=24)\n"
        "    ask_dataset(rows(60), chats, ask, batch_size=4, "
        f"output={str(tmp_path / 'out')!r})"
    )
    output = Output(tmp_path / "out", "id")
    driver = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    until(lambda: len(output.files) >= 3, lambda: driver.poll() is not None)
    driver.kill()
    driver.wait()
    assert 3 <= len(output.files) < 15
    ask_dataset(rows(60), factory(), ask, output=output.folder, batch_size=4)
    assert ids_in(output.folder) == list(range(60))


@pytest.mark.long
def test_what_keeps_a_chat_from_starting_is_raised_as_it_is(tmp_path: Path) -> None:
    def broken() -> VisionChat:
        raise ModelLoadError("there is no such model")

    with pytest.raises(ModelLoadError, match="no such model"):
        ask_dataset(rows(2), broken, ask, output=tmp_path / "out")


@pytest.mark.long
def test_what_makes_no_chat_is_refused(tmp_path: Path) -> None:
    number: Any = lambda: 5  # noqa: E731
    with pytest.raises(InputError, match="made a int"):
        ask_dataset(rows(2), number, ask, output=tmp_path / "out")


@pytest.mark.long
def test_a_column_that_no_row_has_fails_each_row_by_its_name() -> None:
    hidden = rows(2).map(lambda row: {"id": row["id"]})
    answers = ask_dataset(hidden, factory(), question="?").take_all()
    assert {row["error"] for row in answers} == {"InputError"}
    assert all("'image'" in row["error_message"] for row in answers)


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (ray.exceptions.ObjectStoreFullError("no room"), OutOfMemoryError, "batch_size"),
        (ray.exceptions.OutOfDiskError("no room"), OutOfMemoryError, "batch_size"),
        (ray.exceptions.RayActorError(), GenerationError, "Ray failed"),
        (InputError("told before"), InputError, "told before"),
    ],
)
def test_what_ray_raises_is_an_error_of_the_kit(
    raised: Exception, kind: type[QwenVLKitError], said: str
) -> None:
    with pytest.raises(kind, match=said), translated_errors():
        raise raised


def test_columns_that_answers_would_have_twice_are_refused() -> None:
    answered = ray.data.from_items([{"id": 1, "image": None, "error": None, "reply_text": "x"}])
    with pytest.raises(InputError):
        ask_dataset(answered, factory(), question="?")


@pytest.mark.parametrize(
    "options",
    [
        {"question": None},
        {"to_request": ask},
        {"question": 5},
        {"question": None, "to_request": "row['messages']"},
        {"chat_factory": None},
        {"dataset": [1, 2]},
        {"image_column": "picture"},
        {"image_column": 7},
        {"output": "x", "id_column": "name"},
        {"output": 5},
        {"num_actors": 0},
        {"batch_size": 2.5},
        {"num_cpus": -1},
        {"num_cpus": "two"},
        {"num_cpus": True},
        {"num_cpus": float("nan")},
        {"num_gpus": 1.5},
        {"sampling": "hot"},
        {"budget": "huge"},
        {"fit": "stretch"},
    ],
    ids=", ".join,
)
def test_arguments_that_cannot_be_used_are_refused_before_anything_starts(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"dataset": rows(2), "chat_factory": factory(), "question": "?", **options}
    with pytest.raises(InputError):
        ask_dataset(**given)
    assert not any(tmp_path.iterdir())


@pytest.mark.long
def test_a_benchmark_has_the_same_score_on_a_cluster_as_in_one_process(tmp_path: Path) -> None:
    from qwenvl_kit.distributed import evaluate_on_ray
    from qwenvl_kit.evaluation import Benchmark, evaluate

    given = [
        {"id": str(at), "question": f"row {at}", "answer": f"row {at % 7}", "half": str(at % 2)}
        for at in range(20)
    ]
    benchmark = Benchmark(given, groups=("half",))
    here = evaluate(factory()(), benchmark, progress=False)
    options: Any = {"num_actors": 2, "batch_size": 3}
    there = evaluate_on_ray(factory(), benchmark, tmp_path / "out", **options)
    again = evaluate_on_ray(factory(), benchmark, tmp_path / "out", **options)
    for other in (there, again):
        assert (other.score, other.interval) == (here.score, here.interval)
        assert other.by_group == here.by_group
        assert other.record.model == here.record.model


@pytest.mark.long
def test_boxes_in_pixels_of_what_a_model_saw_are_refused_before_anything_is_asked(
    tmp_path: Path,
) -> None:
    from qwenvl_kit.distributed import evaluate_on_ray
    from qwenvl_kit.errors import EvaluationError
    from qwenvl_kit.evaluation import RefCOCO

    row = {
        "index": 0,
        "question": "the cup",
        "answer": "[1, 2, 30, 40]",
        "image": PIL.Image.new("RGB", (56, 56), "red"),
    }
    for family in ("qwen2_5_vl", None):
        benchmark = RefCOCO([row], family=family, box_format="xyxy")
        with pytest.raises(EvaluationError):
            evaluate_on_ray(factory(), benchmark, tmp_path / "out")
    assert not (tmp_path / "out").exists()
