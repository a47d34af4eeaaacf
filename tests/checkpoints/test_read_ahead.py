"""Weights are read ahead once and not kept; the thread's error is told, and it ends in time."""

from __future__ import annotations

import errno
import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from qwenvl_kit.checkpoints import read_ahead
from qwenvl_kit.checkpoints.read_ahead import ReadAhead
from qwenvl_kit.errors import WeightsError

CHUNK = 2**16


class Disk:
    """Counts what is read, and fails from a place on; nothing is in its page cache."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails_at: int | None = None) -> None:
        self.starts: list[int] = []
        self._fails_at = fails_at
        self._read_into = read_ahead._read_into
        monkeypatch.setattr(read_ahead, "_CHUNK_BYTES", CHUNK)
        monkeypatch.setattr(read_ahead, "_read_into", self.read_into)
        monkeypatch.setattr(read_ahead, "_is_in_page_cache", lambda file, position: False)

    def read_into(self, buffer: bytearray, file: int, start: int) -> None:
        self.starts.append(start)
        if self._fails_at is not None and start >= self._fails_at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._read_into(buffer, file, start)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(bytes(range(256)) * (10 * CHUNK // 256))
    return tmp_path


def test_each_byte_of_the_weights_is_read_once_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "other.safetensors").write_bytes(bytes(CHUNK))
    disk = Disk(monkeypatch)
    with ReadAhead(folder) as reading:
        reading._thread.join()
    assert disk.starts == list(range(0, 10 * CHUNK, CHUNK))


def test_what_is_in_the_page_cache_is_not_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(
        read_ahead, "_is_in_page_cache", lambda file, position: position < 4 * CHUNK
    )
    with ReadAhead(folder) as reading:
        reading._thread.join()
    assert disk.starts == list(range(4 * CHUNK, 10 * CHUNK, CHUNK))


@pytest.mark.skipif(read_ahead._NO_WAIT is None, reason="the system cannot tell")
def test_a_byte_that_was_just_read_is_in_the_page_cache(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.read_bytes()
    file = os.open(path, os.O_RDONLY)
    try:
        try:
            os.preadv(file, [bytearray(1)], 0, read_ahead._NO_WAIT or 0)
        except OSError as error:
            pytest.skip(f"the file system of {path} cannot tell ({error})")
        assert read_ahead._is_in_page_cache(file, CHUNK)
        assert not read_ahead._is_in_page_cache(file, path.stat().st_size)  # behind the end
    finally:
        os.close(file)


def test_no_more_is_read_than_is_allowed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    with ReadAhead(folder, max_bytes=3 * CHUNK + 1) as reading:
        reading._thread.join()
    assert len(disk.starts) == 3


def test_memory_does_not_grow_with_the_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch)
    tracemalloc.start()
    try:
        with ReadAhead(folder) as reading:
            reading._thread.join()
        assert tracemalloc.get_traced_memory()[1] < 3 * CHUNK
    finally:
        tracemalloc.stop()


def read_until_it_fails(reading: ReadAhead) -> None:
    reading._thread.join()
    reading.check()


def test_a_disk_that_fails_is_the_loads_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch, fails_at=5 * CHUNK)
    with pytest.raises(WeightsError, match="Input/output error") as caught, ReadAhead(folder) as it:
        it._thread.join()
    assert "model.safetensors" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(WeightsError), ReadAhead(folder) as reading:
        read_until_it_fails(reading)


def test_an_error_in_the_thread_that_nobody_foresaw_is_told_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(read_ahead, "bytearray", lambda size: disk.no_such_thing, raising=False)
    with pytest.raises(WeightsError, match="AttributeError"), ReadAhead(folder) as reading:
        reading._thread.join()


def test_the_error_of_a_load_that_fails_meanwhile_comes_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch, fails_at=0)

    def load() -> None:
        with ReadAhead(folder) as reading:
            reading._thread.join()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        load()


def test_the_thread_ends_with_the_load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    has_begun, may_go_on = threading.Event(), threading.Event()

    def read_into(buffer: bytearray, file: int, start: int) -> None:
        disk.starts.append(start)
        has_begun.set()
        may_go_on.wait()

    monkeypatch.setattr(read_ahead, "_read_into", read_into)
    reading = ReadAhead(folder)

    def load() -> None:
        with reading:
            has_begun.wait()
            threading.Timer(0.05, may_go_on.set).start()  # a read that lasts longer than the load
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        load()
    assert disk.starts == [0]
    assert not reading._thread.is_alive()


def test_what_cannot_be_opened_is_left_to_the_loader(tmp_path: Path) -> None:
    """The loader has better words for it, and for a pipe it does not wait."""
    with ReadAhead(tmp_path) as reading:
        reading._thread.join()
    os.mkfifo(tmp_path / "model.safetensors")
    with ReadAhead(tmp_path) as reading:
        reading._thread.join()
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text("{", encoding="utf-8")
    with ReadAhead(tmp_path) as reading:
        reading._thread.join()
