from __future__ import annotations

import errno
import threading
from random import Random
from typing import TYPE_CHECKING

import pytest

from replica.storage.disk import PARTIAL, OsDisk
from replica.storage.errors import DiskFailed
from replica.storage.records import SegmentHeader, decode_segment_header
from replica.storage.segments import Preparation, create_segment, draw_header, segment_name, segment_numbers
from tests.replica.storage.crashing_disk import CrashingDisk

if TYPE_CHECKING:
    from pathlib import Path

HEADER = SegmentHeader(3, b"saltsalt", 2048)


def test_segments_are_found_by_their_names_and_in_order(tmp_path: Path) -> None:
    for name in (segment_name(10), segment_name(9), segment_name(8) + ".partial", "log-7.segment", "LOCK"):
        (tmp_path / name).touch()
    assert segment_numbers(OsDisk(tmp_path)) == [9, 10]


def test_a_salt_is_never_zeros() -> None:
    draws = iter([bytes(8), b"12345678"])
    assert draw_header(1, 512, lambda _size: next(draws)) == SegmentHeader(1, b"12345678", 512)


@pytest.mark.parametrize("seed", range(60))
def test_a_segment_that_has_its_name_is_whole_whenever_the_power_fails(seed: int) -> None:
    rng = Random(seed)
    disk = CrashingDisk(rng)
    operation = rng.choice(["write", "sync", "rename", "sync_folder", ""])
    if operation:
        disk.fail_next(errno.EIO, operation)
        with pytest.raises(OSError, match="Input/output"):
            create_segment(disk, HEADER)
    else:
        assert create_segment(disk, HEADER).empty
    disk.crash(rng)
    if segment_numbers(disk) or not operation:
        content = disk.content(segment_name(3))
        assert decode_segment_header(content) == HEADER
        assert len(content) == HEADER.size_bytes


def test_a_preparation_is_made_by_whoever_comes_first() -> None:
    disk = CrashingDisk(Random(1))
    preparation = Preparation(disk, HEADER)
    segment = preparation.take()
    assert segment.file is not None
    preparation.run()  # the thread comes too late
    assert disk.operations["create"] == 1


def test_who_needs_the_segment_waits_for_the_thread_that_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = CrashingDisk(Random(1))
    begun, go_on = threading.Event(), threading.Event()
    create = disk.create

    def slow_create(name: str, size_bytes: int = 0) -> object:
        begun.set()
        assert go_on.wait(10)
        return create(name, size_bytes)

    monkeypatch.setattr(disk, "create", slow_create)
    preparation = Preparation(disk, HEADER)
    maker = threading.Thread(target=preparation.run)
    maker.start()
    assert begun.wait(10)
    taken: list[object] = []
    taker = threading.Thread(target=lambda: taken.append(preparation.take()))
    taker.start()
    assert not preparation.done
    go_on.set()
    maker.join(10)
    taker.join(10)
    assert len(taken) == 1
    assert disk.operations["create"] == 1


def test_what_goes_wrong_is_told_to_whoever_needs_the_segment() -> None:
    disk = CrashingDisk(Random(1))
    disk.fail_next(errno.ENOSPC, "create")
    preparation = Preparation(disk, HEADER)
    preparation.run()
    assert preparation.done
    for _ in range(2):
        with pytest.raises(DiskFailed, match=r"log-0000000000000003\.segment: No space left"):
            preparation.take()


def test_an_abandoned_preparation_makes_nothing_and_holds_nothing() -> None:
    disk = CrashingDisk(Random(1))
    preparation = Preparation(disk, HEADER)
    preparation.abandon()
    preparation.run()
    assert disk.names() == []
    made = Preparation(disk, HEADER)
    made.run()
    made.abandon()
    assert disk.open_files == 0


LARGER = SegmentHeader(3, b"saltsalt", 8192)


def test_a_segment_that_turned_out_too_small_gives_way_to_a_larger_one() -> None:
    disk = CrashingDisk(Random(1))
    small = Preparation(disk, HEADER)
    small.run()
    large = Preparation(disk, LARGER, smaller=small)
    segment = large.take()
    assert (segment.header, disk.names(), disk.open_files) == (LARGER, [segment_name(3)], 1)
    disk.crash(disk.rng)
    assert decode_segment_header(disk.content(segment_name(3))) == LARGER


@pytest.mark.parametrize("operation", ["create", "write", "sync"])
def test_a_smaller_segment_is_handed_over_where_there_is_no_room_for_a_larger_one(operation: str) -> None:
    disk = CrashingDisk(Random(1))
    small = Preparation(disk, HEADER)
    small.run()
    disk.fail_next(errno.ENOSPC, operation)
    large = Preparation(disk, LARGER, smaller=small)
    segment = large.take()
    assert large.failure is not None
    assert (segment.header, large.size_bytes, disk.names(), disk.open_files) == (HEADER, 2048, [segment_name(3)], 1)


@pytest.mark.parametrize("operation", ["rename", "sync_folder"])
def test_a_segment_whose_name_another_one_may_have_is_never_handed_over(operation: str) -> None:
    """What is written to it would be found under no name."""
    disk = CrashingDisk(Random(1))
    small = Preparation(disk, HEADER)
    small.run()
    disk.fail_next(errno.EIO, operation)
    large = Preparation(disk, LARGER, smaller=small)
    with pytest.raises(DiskFailed, match="Input/output"):
        large.take()
    assert disk.open_files == 0


def test_what_could_not_be_filled_takes_no_room() -> None:
    disk = CrashingDisk(Random(1))
    disk.fail_next(errno.ENOSPC, "write")
    with pytest.raises(OSError, match="No space left"):
        create_segment(disk, HEADER)
    assert (disk.names(), disk.open_files) == ([], 0)
    disk.create(segment_name(3) + PARTIAL).close()
    disk.fail_next(errno.ENOSPC, "create")
    with pytest.raises(OSError, match="No space left"):
        create_segment(disk, HEADER)
    assert disk.names() == []
