from __future__ import annotations

import errno
from random import Random

import pytest

from replica.storage.errors import DiskFailed
from replica.storage.records import SEGMENT_HEADER_BYTES
from replica.storage.segment_row import SegmentRow
from replica.storage.segments import segment_name
from tests.replica.storage.crashing_disk import CrashingDisk


@pytest.fixture
def disk() -> CrashingDisk:
    return CrashingDisk(Random(1))


def begun(disk: CrashingDisk) -> SegmentRow:
    row = SegmentRow(disk, [], segment_bytes=2048, entropy=disk.rng.randbytes)
    assert not row.resume()
    row.last.end_bytes += 100
    return row


def test_a_row_begins_with_one_segment_and_goes_on_in_the_next(disk: CrashingDisk) -> None:
    row = begun(disk)
    first = row.last
    assert row.make_room(0) is first
    assert [segment.number for segment in row.segments] == [1, 2]
    assert (row.size_bytes(1), row.size_bytes(2)) == (2 * SEGMENT_HEADER_BYTES + 100, SEGMENT_HEADER_BYTES)


def test_an_empty_segment_is_replaced_by_one_with_more_room(disk: CrashingDisk) -> None:
    row = begun(disk)
    row.make_room(0)
    assert row.make_room(5000) is None
    assert ([segment.number for segment in row.segments], row.last.header.size_bytes) == ([1, 2], 5000)
    assert disk.open_files == 2


def test_a_segment_is_ready_when_one_of_that_room_is_made(disk: CrashingDisk) -> None:
    row = begun(disk)
    told = [row.ready(100)]
    job = row.prepare()
    told.append(row.ready(100))
    job.run()
    told += [row.ready(100), row.ready(2048)]
    assert row.prepare() is job
    larger = row.prepare(2048)
    larger.run()
    told.append(row.ready(2048))
    row.make_room(0)
    told += [row.last.empty, row.ready(2048), row.ready(2049)]
    assert told == [False, False, True, False, True, True, True, False]


def test_a_segment_that_could_not_be_made_is_not_ready(disk: CrashingDisk) -> None:
    row = begun(disk)
    disk.fail_next(errno.ENOSPC, "create")
    row.prepare().run()
    assert not row.ready(0)
    with pytest.raises(DiskFailed, match="No space left"):
        row.make_room(0)
    assert row.prepare().failure is not None, "it is not tried again by itself"
    row.forget_failure()
    assert row.prepare().take().number == 2
    made = row.prepare()
    row.forget_failure()
    assert row.prepare() is made


def test_a_segment_that_an_earlier_process_made_ahead_is_kept_for_later(disk: CrashingDisk) -> None:
    row = begun(disk)
    made = row.prepare().take()
    row.abandon()
    again = SegmentRow(disk, [row.last, made], segment_bytes=2048, entropy=disk.rng.randbytes)
    assert again.resume()
    assert again.last.number == 1
    created = disk.operations["create"]
    again.make_room(0)
    assert (again.last.name, disk.operations["create"]) == (segment_name(2), created)
