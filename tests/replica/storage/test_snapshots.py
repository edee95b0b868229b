from __future__ import annotations

import errno
import struct
import zlib
from random import Random
from typing import TYPE_CHECKING

import pytest

from replica.storage.disk import OsDisk
from replica.storage.errors import CorruptSnapshot, DiskFailed, DiskFull, ForeignFolder
from replica.storage.snapshots import SnapshotReader, SnapshotWriter, discard_below, latest, remove_unfinished, snapshot_indexes, snapshot_name
from tests.replica.storage.crashing_disk import CrashingDisk

if TYPE_CHECKING:
    from pathlib import Path

    from replica.storage.disk import Disk

CHUNKS = [b"a" * 50, b"b", bytes(30), b"a" * 50]


def store(disk: Disk, index: int, metadata: bytes = b"meta", chunks: list[bytes] = CHUNKS) -> None:
    writer = SnapshotWriter(disk, index, metadata)
    for chunk in chunks:
        writer.write(chunk)
    assert (writer.chunks, writer.content_bytes) == (len(chunks), sum(map(len, chunks)))
    writer.commit()


def load(disk: Disk, index: int) -> tuple[bytes, list[bytes]]:
    reader = SnapshotReader(disk, index)
    try:
        return reader.metadata, list(reader)
    finally:
        reader.close()


@pytest.fixture
def disk() -> CrashingDisk:
    return CrashingDisk(Random(1))


@pytest.mark.parametrize("chunks", [[], [b"x"], CHUNKS])
@pytest.mark.parametrize("metadata", [b"", b"meta"])
def test_a_snapshot_comes_back(tmp_path: Path, metadata: bytes, chunks: list[bytes]) -> None:
    disk = OsDisk(tmp_path)
    store(disk, 12, metadata, chunks)
    assert disk.names() == ["snapshot-0000000000000012.chunks"]
    assert load(disk, 12) == (metadata, chunks)


def test_a_reader_can_be_gone_through_twice_and_tells_the_sizes_first(disk: CrashingDisk) -> None:
    store(disk, 1)
    reader = SnapshotReader(disk, 1)
    assert (reader.index, reader.chunks, reader.content_bytes) == (1, 4, 131)
    assert list(reader) == list(reader) == CHUNKS
    reader.close()
    assert disk.open_files == 0


def test_chunks_are_read_when_they_are_asked_for(disk: CrashingDisk) -> None:
    store(disk, 1)
    reader = SnapshotReader(disk, 1)
    before = disk.operations["read"]
    assert next(iter(reader)) == CHUNKS[0]
    assert disk.operations["read"] == before + 2


def test_nothing_is_there_before_the_commit_and_nothing_stays_of_what_was_aborted(disk: CrashingDisk) -> None:
    writer = SnapshotWriter(disk, 5, b"")
    writer.write(b"x")
    assert latest(disk) is None
    writer.abort()
    assert (disk.names(), disk.open_files) == ([], 0)


def test_the_newest_is_found_and_older_ones_go(disk: CrashingDisk) -> None:
    for index in (7, 100, 20):
        store(disk, index)
    assert snapshot_indexes(disk) == [7, 20, 100]
    assert latest(disk) == 100
    discard_below(disk, 20)
    discard_below(disk, 20)
    disk.crash(disk.rng)
    assert snapshot_indexes(disk) == [20, 100]


def test_one_that_is_being_read_stays_readable(tmp_path: Path) -> None:
    disk = OsDisk(tmp_path)
    store(disk, 1)
    reader = SnapshotReader(disk, 1)
    discard_below(disk, 2)
    assert list(reader) == CHUNKS
    reader.close()


@pytest.mark.parametrize("seed", range(60))
def test_a_crash_leaves_all_of_a_snapshot_or_none(seed: int) -> None:
    rng = Random(seed)
    disk = CrashingDisk(rng)
    store(disk, 1)
    operation = rng.choice(["create", "write", "sync", "rename", "sync_folder", ""])
    if operation:
        disk.fail_next(errno.EIO, operation, rng.randrange(3) if operation == "write" else 0)
        with pytest.raises(DiskFailed, match="snapshot-0000000000000002"):
            store(disk, 2)
    else:
        store(disk, 2)
    assert disk.open_files == 0
    disk.crash(rng)
    remove_unfinished(disk)
    assert latest(disk) in ({1, 2} if operation else {2})
    for index in snapshot_indexes(disk):
        assert load(disk, index) == (b"meta", CHUNKS)
    assert all(not name.endswith(".partial") for name in disk.names())


def test_after_a_failure_a_writer_can_only_be_aborted(disk: CrashingDisk) -> None:
    writer = SnapshotWriter(disk, 1, b"")
    disk.fail_next(errno.ENOSPC, "write")
    with pytest.raises(DiskFailed, match="No space left"):
        writer.write(b"x")
    with pytest.raises(DiskFailed, match="No space left"):
        writer.write(b"x")
    with pytest.raises(DiskFailed, match="No space left"):
        writer.commit()
    disk.fail_next(errno.EIO, "remove")
    writer.abort()
    assert disk.names() == [snapshot_name(1) + ".partial"]
    remove_unfinished(disk)
    assert disk.names() == []


def write_or_abort(disk: CrashingDisk) -> None:
    writer = SnapshotWriter(disk, 1, b"meta")
    try:
        for chunk in CHUNKS:
            writer.write(chunk)
        writer.commit()
    except DiskFailed:
        writer.abort()
        raise


@pytest.mark.parametrize("operation", ["create", "write", "sync", "rename"])
def test_a_snapshot_that_finds_no_room_leaves_none_of_it_and_the_one_before(disk: CrashingDisk, operation: str) -> None:
    write_or_abort(disk)
    disk.fail_next(errno.ENOSPC, operation)
    with pytest.raises(DiskFull, match=r"snapshot-0000000000000001\.chunks: No space left"):
        write_or_abort(disk)
    assert (disk.names(), disk.open_files) == ([snapshot_name(1)], 0)
    assert load(disk, 1) == (b"meta", CHUNKS)


def test_a_name_that_may_not_be_durable_is_no_want_of_room(disk: CrashingDisk) -> None:
    """Nobody knows then what else the folder lacks."""
    disk.fail_next(errno.ENOSPC, "sync_folder")
    with pytest.raises(DiskFailed) as caught:
        write_or_abort(disk)
    assert not isinstance(caught.value, DiskFull)


def test_a_snapshot_that_is_cut_anywhere_is_refused_before_a_chunk_is_read(disk: CrashingDisk) -> None:
    store(disk, 3)
    content = disk.content(snapshot_name(3))
    for size in range(len(content)):
        disk.alter(snapshot_name(3), content[:size])
        with pytest.raises(CorruptSnapshot, match=r"^memory/snapshot-0000000000000003\.chunks: byte \d+: "):
            SnapshotReader(disk, 3)
    assert disk.open_files == 0


def test_a_snapshot_that_is_altered_anywhere_is_refused(disk: CrashingDisk) -> None:
    store(disk, 3)
    content = disk.content(snapshot_name(3))
    for at in range(len(content)):
        for bit in range(8):
            disk.alter(snapshot_name(3), content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            with pytest.raises(CorruptSnapshot) as caught:
                load(disk, 3)
            assert caught.value.offset <= at


def test_bytes_behind_the_end_are_refused(disk: CrashingDisk) -> None:
    store(disk, 3)
    disk.alter(snapshot_name(3), disk.content(snapshot_name(3)) + b"\0")
    with pytest.raises(CorruptSnapshot):
        SnapshotReader(disk, 3)


def test_chunks_that_changed_places_are_refused(disk: CrashingDisk) -> None:
    store(disk, 3, b"", [b"aaaa", b"bbbb"])
    content = disk.content(snapshot_name(3))
    start = len(content) - 28 - 24
    swapped = content[:start] + content[start + 12 : start + 24] + content[start : start + 12] + content[start + 24 :]
    disk.alter(snapshot_name(3), swapped)
    with pytest.raises(CorruptSnapshot, match="chunk 0 does not match"):
        load(disk, 3)


def test_a_chunk_of_another_snapshot_is_refused(disk: CrashingDisk) -> None:
    """It has the right number, the right size and a right checksum of its own; only the footer's tells."""
    store(disk, 1)
    store(disk, 2, chunks=[b"z" * 50, *CHUNKS[1:]])
    own, other = disk.content(snapshot_name(1)), disk.content(snapshot_name(2))
    at = own.index(CHUNKS[0]) - 8  # with its size and checksum
    disk.alter(snapshot_name(1), own[:at] + other[at : at + 58] + own[at + 58 :])
    with pytest.raises(CorruptSnapshot, match="not those that the footer counts"):
        load(disk, 1)


def test_a_snapshot_under_another_s_name_is_refused(disk: CrashingDisk) -> None:
    store(disk, 3)
    disk.alter(snapshot_name(4), disk.content(snapshot_name(3)))
    with pytest.raises(CorruptSnapshot, match="the header is that of snapshot 3"):
        SnapshotReader(disk, 4)


def test_another_format_version_is_foreign(disk: CrashingDisk) -> None:
    store(disk, 3, b"")
    content = disk.content(snapshot_name(3))
    head = content[:8] + struct.pack("<I", 2) + content[12:24]
    disk.alter(snapshot_name(3), head + struct.pack("<I", zlib.crc32(head)) + content[28:])
    with pytest.raises(ForeignFolder, match="found format version 2"):
        SnapshotReader(disk, 3)


def test_a_disk_that_cannot_be_read_is_not_taken_for_a_damaged_snapshot(disk: CrashingDisk) -> None:
    store(disk, 3)
    reader = SnapshotReader(disk, 3)
    disk.fail_next(errno.EIO, "read")
    with pytest.raises(DiskFailed, match="Input/output"):
        list(reader)
    with pytest.raises(DiskFailed, match="No such file"):
        SnapshotReader(disk, 4)
