from __future__ import annotations

import errno
from random import Random

from replica.storage.jobs import DiscardJob, SyncJob
from replica.storage.records import SegmentHeader
from replica.storage.segments import create_segment
from tests.replica.storage.crashing_disk import CrashingDisk


def test_a_sync_measures_itself_and_syncs_every_segment() -> None:
    disk = CrashingDisk(Random(1))
    segments = [create_segment(disk, SegmentHeader(number, b"saltsalt", 1024)) for number in (1, 2)]
    before = disk.operations["sync"]
    times = iter([1.0, 1.25])
    job = SyncJob("memory", segments, 7, lambda: next(times))
    job.run()
    assert (job.done, job.failure, job.seconds, job.upto) == (True, None, 0.25, 7)
    assert disk.operations["sync"] == before + 2


def test_a_failed_sync_is_kept_for_whoever_finishes_it_and_ends_the_job() -> None:
    disk = CrashingDisk(Random(1))
    segments = [create_segment(disk, SegmentHeader(number, b"saltsalt", 1024)) for number in (1, 2)]
    disk.fail_next(errno.EIO, "sync")
    before = disk.operations["sync"]
    job = SyncJob("memory", segments, 7, lambda: 0.0)
    job.run()
    assert job.done
    assert "log-0000000000000001.segment: sync failed: Input/output error" in str(job.failure)
    assert disk.operations["sync"] == before + 1


def test_old_segments_go_one_by_one_and_durably() -> None:
    disk = CrashingDisk(Random(1))
    for name in "abc":
        disk.create(name).close()
    disk.sync_folder()
    job = DiscardJob(disk, ["a", "b"])
    job.run()
    assert (job.done, job.failure, disk.operations["sync_folder"]) == (True, None, 3)
    assert disk.names() == ["c"]


def test_a_removal_that_fails_stops_there() -> None:
    disk = CrashingDisk(Random(1))
    for name in "abc":
        disk.create(name).close()
    disk.fail_next(errno.EIO, "remove", after=1)
    job = DiscardJob(disk, ["a", "b", "c"])
    job.run()
    assert disk.names() == ["b", "c"]
    assert "memory/b" in str(job.failure)
