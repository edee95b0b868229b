from __future__ import annotations

import errno
import os
from random import Random
from typing import TYPE_CHECKING

import pytest

from replica.storage.disk import IOV_MAX, OsDisk, fill_zeros, read_file, remove_partials, replace_file
from tests.replica.storage.crashing_disk import CrashingDisk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from replica.storage.disk import Buffer, Disk


@pytest.fixture(params=["system", "memory"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return OsDisk(tmp_path) if request.param == "system" else CrashingDisk(Random(1))


def test_a_created_file_is_zeros_of_its_size(disk: Disk) -> None:
    file = disk.create("a", 3 * (1 << 20) + 5)
    assert file.size_bytes() == 3 * (1 << 20) + 5
    assert not any(file.read(0, file.size_bytes()))
    file.close()
    file.close()
    assert disk.names() == ["a"]


def test_buffers_are_written_one_behind_the_other(disk: Disk) -> None:
    file = disk.create("a", 10)
    file.write(3, [b"ab", memoryview(b"cd"), bytearray(b"e")])
    file.sync()
    assert file.read(0, 10) == b"\0\0\0abcde\0\0"
    assert file.read(8, 100) == b"\0\0"
    file.settle()
    assert file.read(3, 5) == b"abcde"
    file.close()


def test_more_buffers_than_one_call_takes_are_written(disk: Disk) -> None:
    buffers = [b"%06d" % number for number in range(2 * IOV_MAX + 3)]
    file = disk.create("a")
    file.write(1, buffers)
    assert file.read(1, file.size_bytes()) == b"".join(buffers)
    file.close()


def test_a_partial_write_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwritev, pwrite = os.pwritev, os.pwrite

    def stingy_v(fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        return pwritev(fd, [b"".join(buffers)[:3]], offset)

    def stingy(fd: int, data: Buffer, offset: int) -> int:
        return pwrite(fd, data[:2], offset)

    monkeypatch.setattr(os, "pwritev", stingy_v)
    monkeypatch.setattr(os, "pwrite", stingy)
    file = OsDisk(tmp_path).create("a")
    file.write(2, [b"%d" % (number % 10) for number in range(IOV_MAX + 9)])
    assert file.read(2, 5000) == b"".join(b"%d" % (number % 10) for number in range(IOV_MAX + 9))
    file.close()


def test_a_read_that_the_system_cuts_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = OsDisk(tmp_path).create("a")
    file.write(0, [b"0123456789"])
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: pread(fd, min(size, 3), offset))
    assert file.read(1, 8) == b"12345678"
    assert file.read(5, 80) == b"56789"
    file.close()


def test_what_memory_holds_of_a_file_is_written_before_it_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is not written cannot be dropped: a read would go on to show what the device may never get."""
    called: list[str] = []
    fsync, fadvise = os.fsync, os.posix_fadvise

    def sync(fd: int) -> None:
        called.append("sync")
        fsync(fd)

    def drop(fd: int, offset: int, size: int, advice: int) -> None:
        called.append("drop")
        fadvise(fd, offset, size, advice)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "posix_fadvise", drop)
    file = OsDisk(tmp_path).create("a")
    file.write(0, [b"kept"])
    called.clear()
    file.settle()
    assert (called, file.read(0, 9)) == (["sync", "drop"], b"kept")
    file.close()


def test_a_full_disk_is_noticed_when_the_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _offset: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        OsDisk(tmp_path).create("a", 4096)


def test_names_move_and_go(disk: Disk) -> None:
    disk.create("b").close()
    disk.create("a").close()
    disk.rename("b", "c")
    disk.sync_folder()
    assert disk.names() == ["a", "c"]
    disk.remove("a")
    assert disk.names() == ["c"]
    with pytest.raises(FileNotFoundError):
        disk.open("a")


def test_a_file_is_replaced_whole(disk: Disk) -> None:
    replace_file(disk, "a", b"one")
    replace_file(disk, "a", b"")
    assert read_file(disk, "a") == b""
    assert disk.names() == ["a"]


@pytest.mark.parametrize("seed", range(40))
def test_a_crash_during_a_replacement_leaves_the_old_or_the_new(seed: int) -> None:
    rng = Random(seed)
    disk = CrashingDisk(rng)
    replace_file(disk, "a", b"old" * 1000)
    disk.fail_next(errno.EIO, rng.choice(["create", "write", "sync", "rename", "sync_folder"]))
    with pytest.raises(OSError, match="Input/output"):
        replace_file(disk, "a", b"new" * 1000)
    disk.crash(rng)
    assert read_file(disk, "a") in {b"old" * 1000, b"new" * 1000}
    assert disk.open_files == 0


def test_unfinished_files_are_removed(disk: Disk) -> None:
    for name in ("log-1.partial", "log-1", "other.partial"):
        disk.create(name).close()
    remove_partials(disk, "log-")
    assert disk.names() == ["log-1", "other.partial"]


def test_zeros_are_written_where_they_are_wanted(disk: Disk) -> None:
    file = disk.create("a")
    file.write(0, [b"x" * 2_500_000])
    fill_zeros(file, 10, 2_400_000)
    content = file.read(0, 2_500_000)
    assert content == b"x" * 10 + bytes(2_400_000 - 10) + b"x" * 100_000
    file.close()
