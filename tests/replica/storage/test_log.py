from __future__ import annotations

import errno
import threading
from random import Random
from typing import TYPE_CHECKING

import pytest

from replica.storage.disk import OsDisk
from replica.storage.errors import CorruptLog, DiskFailed
from replica.storage.log import DurableLog
from replica.storage.records import HEAD_BYTES, SEGMENT_HEADER_BYTES, Record
from replica.storage.segments import segment_name
from tests.replica.storage.crashing_disk import CrashingDisk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def disk() -> CrashingDisk:
    return CrashingDisk(Random(1))


def open_log(disk: CrashingDisk, segment_bytes: int = 2048, **options: bool) -> tuple[DurableLog, list[Record]]:
    return DurableLog.open(disk, segment_bytes=segment_bytes, entropy=disk.rng.randbytes, clock=lambda: 0.0, **options)


def put(log: DurableLog, *payloads: bytes) -> None:
    for payload in payloads:
        log.append(1, payload)
    log.write()
    log.sync()


def payloads(records: list[Record]) -> list[bytes]:
    return [record.payload for record in records]


def test_a_new_log_is_empty(disk: CrashingDisk) -> None:
    log, records = open_log(disk)
    assert (records, log.appended, log.written, log.synced, log.segment, log.oldest_segment) == ([], 0, 0, 0, 1, 1)


def test_a_log_that_should_be_there_is_not_begun_anew(disk: CrashingDisk) -> None:
    with pytest.raises(CorruptLog, match="has no log, but there was one"):
        open_log(disk, create=False)
    assert disk.names() == []


def test_positions_run_over_appends_writes_and_restarts(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    assert [log.append(1, b"a"), log.append(2, [b"b", b"", b"c"])] == [1, 2]
    assert (log.appended, log.written, log.synced, log.queued_bytes) == (2, 0, 0, 3)
    log.write()
    assert (log.appended, log.written, log.synced, log.queued_bytes) == (2, 2, 0, 0)
    assert log.sync_wanted
    log.sync()
    assert (log.written, log.synced, log.syncs, log.sync_wanted) == (2, 2, 1, False)
    log.close()
    log, records = open_log(disk)
    assert records == [Record(1, 1, 1, b"a"), Record(1, 2, 2, b"bc")]
    assert log.append(1, b"d") == 3
    assert log.synced == 2


def test_a_sync_covers_what_was_written_when_it_began(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    log.append(1, b"a")
    log.write()
    job = log.begin_sync()
    log.append(1, b"b")
    log.write()
    assert log.sync_wanted
    job.run()
    assert (log.finish_sync(job), log.synced, log.written) == (1, 1, 2)
    assert log.sync() == 0.0
    assert log.synced == 2


def test_a_sync_makes_nothing_durable_that_is_only_queued(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    log.append(1, b"written")
    log.write()
    log.append(1, b"queued")
    log.sync()
    assert (log.appended, log.written, log.synced) == (2, 1, 1)
    assert not log.sync_wanted
    disk.crash(Random(1))
    assert payloads(open_log(disk)[1]) == [b"written"]


def test_a_sync_in_a_thread_holds_up_neither_appends_nor_writes_nor_a_roll(tmp_path: Path) -> None:
    log, _ = DurableLog.open(OsDisk(tmp_path), segment_bytes=8192)
    begun, go_on = threading.Event(), threading.Event()
    log.append(1, b"a" * 100)
    log.write()
    job = log.begin_sync()
    run: Callable[[], None] = job.run

    def slow() -> None:
        begun.set()
        assert go_on.wait(10)
        run()

    thread = threading.Thread(target=slow)
    thread.start()
    assert begun.wait(10)
    for _ in range(10):
        log.append(1, b"b" * 3000)
        log.write()
    assert log.segment > 2
    assert log.synced == 0
    go_on.set()
    thread.join(10)
    assert log.finish_sync(job) == 1
    assert log.sync_seconds > 0
    log.sync()
    log.close()
    log, records = DurableLog.open(OsDisk(tmp_path), segment_bytes=8192)
    assert payloads(records) == [b"a" * 100, *[b"b" * 3000] * 10]
    log.close()


def test_a_full_segment_leads_to_the_next_one_and_a_batch_may_span_many(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    wanted = [bytes([number]) * 400 for number in range(20)]
    put(log, *wanted)
    assert log.segment == 7
    assert disk.open_files == 1
    log.close()
    assert disk.open_files == 0
    log, records = open_log(disk)
    assert payloads(records) == wanted
    assert [record.segment for record in records] == [1 + number // 3 for number in range(20)]


def test_a_record_that_fills_a_segment_to_the_last_byte_stays_in_it(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    put(log, b"x" * (2048 - SEGMENT_HEADER_BYTES - HEAD_BYTES - 5), b"y")
    assert log.segment == 2
    log.close()
    assert [record.segment for record in open_log(disk)[1]] == [1, 2]


@pytest.mark.parametrize("prepared", [False, True])
def test_a_record_larger_than_a_segment_gets_one_of_its_own(disk: CrashingDisk, *, prepared: bool) -> None:
    log, _ = open_log(disk)
    if prepared:
        log.prepare().run()
    large = disk.rng.randbytes(10_000)
    put(log, b"a", large, b"b")
    log.close()
    log, records = open_log(disk)
    assert payloads(records) == [b"a", large, b"b"]
    assert [record.segment for record in records] == [1, 2, 3]
    assert disk.names() == [segment_name(number) for number in (1, 2, 3)]


def test_a_checkpoint_larger_than_a_segment_lies_in_the_one_that_was_begun_for_it(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    put(log, b"old")
    segment = log.roll()
    put(log, b"checkpoint" * 1000)
    log.discard_below(segment)
    disk.crash(disk.rng)
    assert open_log(disk)[1] == [Record(segment, 2, 1, b"checkpoint" * 1000)]


def test_the_next_segment_is_made_ahead_once_half_of_this_one_is_full(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    wanted = [log.prepare_wanted]
    put(log, b"x" * 1000)
    wanted.append(log.prepare_wanted)
    job = log.prepare()
    assert log.prepare() is job
    assert [*wanted, log.prepare_wanted] == [False, True, False]
    job.run()
    created = disk.operations["create"]
    put(log, b"x" * 1000)
    assert log.segment == 2
    assert disk.operations["create"] == created


def test_what_does_not_wait_for_a_segment_stays_queued_until_it_is_made(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    put(log, b"a" * 1000)
    created = disk.operations["create"]
    for payload in (b"b" * 400, b"c" * 5000, b""):
        log.append(1, payload)
    assert not log.write(waits=False)
    assert (log.written, log.queued_bytes, log.segment, log.prepare_wanted) == (2, 5000, 1, True)
    assert log.sync() == 0.0
    assert (log.synced, log.sync_wanted, disk.operations["create"]) == (2, False, created)
    log.prepare().run()
    assert not log.write(waits=False)
    assert (log.written, log.queued_bytes, log.segment, log.prepare_wanted) == (3, 0, 2, True)
    log.prepare().run()
    assert log.write(waits=False)
    assert (log.written, log.segment, log.prepare_wanted) == (4, 3, False)
    log.sync()
    log.close()
    assert [(record.segment, len(record.payload)) for record in open_log(disk)[1]] == [(1, 1000), (1, 400), (2, 5000), (3, 0)]


def test_a_segment_made_ahead_is_used_by_the_next_process(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    put(log, b"a")
    log.prepare().run()
    log.close()
    log, _ = open_log(disk)
    created = disk.operations["create"]
    assert log.segment == 1
    assert log.roll() == 2
    assert disk.operations["create"] == created


def test_a_roll_begins_a_segment_once(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    assert log.roll() == 1
    log.append(1, b"a")
    assert log.roll() == 2  # what was queued went to the old one
    assert log.roll() == 2
    put(log, b"b")
    assert [record.segment for record in open_log(disk)[1]] == [1, 2]


def test_old_segments_are_dropped_behind_a_durable_checkpoint(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    put(log, *[b"old" * 100] * 10)
    segment = log.roll()
    put(log, b"checkpoint")
    assert log.size_bytes(segment) == SEGMENT_HEADER_BYTES + HEAD_BYTES + 5 + 10
    assert log.size_bytes() > 3000
    log.discard_below(segment)
    assert log.oldest_segment == segment
    assert log.size_bytes() == log.size_bytes(segment)
    assert disk.names() == [segment_name(segment)]
    disk.crash(disk.rng)
    log, records = open_log(disk)
    assert records == [Record(segment, 11, 1, b"checkpoint")]
    assert log.append(1, b"") == 12


@pytest.mark.parametrize("written", [False, True])
def test_segments_are_not_dropped_for_one_that_holds_nothing_durable(disk: CrashingDisk, *, written: bool) -> None:
    log, _ = open_log(disk)
    put(log, b"a")
    segment = log.roll()
    if written:
        log.append(1, b"b")
        log.write()
    with pytest.raises(AssertionError, match="holds nothing durable"):
        log.discard_below(segment)


@pytest.mark.parametrize(("operation", "number"), [("write", errno.ENOSPC), ("write", errno.EIO), ("sync", errno.EIO), ("create", errno.ENOSPC)])
def test_after_a_failure_nothing_is_tried_again(disk: CrashingDisk, operation: str, number: int) -> None:
    log, _ = open_log(disk)
    put(log, b"kept")
    log.append(1, b"x" * 1800)
    disk.fail_next(number, operation)
    with pytest.raises(DiskFailed, match="log-"):
        put(log)
    before = dict(disk.operations)
    steps: list[Callable[[], object]] = [lambda: log.append(1, b""), log.write, log.sync, log.begin_sync, log.roll, log.seal, log.prepare]
    steps.append(lambda: log.discard_below(1))
    for step in steps:
        with pytest.raises(DiskFailed, match="log-"):
            step()
    assert disk.operations == before
    assert log.synced == 1
    log.close()
    assert payloads(open_log(disk)[1])[:1] == [b"kept"]


def test_a_failed_sync_promises_nothing_even_when_the_job_after_it_would_succeed(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    log.append(1, b"a" * 1000)
    log.write()
    disk.fail_next(errno.EIO, "sync")
    job = log.begin_sync()
    job.run()
    with pytest.raises(DiskFailed, match="sync failed"):
        log.finish_sync(job)
    assert (log.synced, log.syncs) == (0, 0)


def test_what_a_failed_sync_left_in_memory_alone_is_not_served_after_a_restart() -> None:
    """The next process reads what the device holds; else it would promise records that the next loss of power takes away."""
    lost = 0
    for seed in range(40):
        disk = CrashingDisk(Random(seed))
        log, _ = open_log(disk)
        put(log, b"kept")
        log.append(1, b"a" * 1200)
        log.write()
        disk.fail_next(errno.EIO, "sync")
        with pytest.raises(DiskFailed):
            log.sync()
        disk.kill()
        served = payloads(open_log(disk)[1])
        disk.crash(disk.rng)
        assert payloads(open_log(disk)[1]) == served
        lost += len(served) == 1
    assert 0 < lost < 40


def test_a_failed_removal_is_fatal_and_leaves_no_gap(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    put(log, *[b"old" * 100] * 20)
    segment = log.roll()
    put(log, b"checkpoint")
    disk.fail_next(errno.EIO, "remove", after=2)
    job = log.begin_discard(segment)
    job.run()
    with pytest.raises(DiskFailed):
        log.finish_discard(job)
    with pytest.raises(DiskFailed):
        log.append(1, b"")
    disk.crash(disk.rng)
    _, records = open_log(disk)
    assert records[0].segment == 3
    assert payloads(records)[-1] == b"checkpoint"


def test_a_failed_preparation_is_raised_when_its_segment_is_needed(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    put(log, b"a")
    disk.fail_next(errno.ENOSPC, "create")
    log.prepare().run()
    put(log, b"b")
    with pytest.raises(DiskFailed, match="No space left"):
        log.roll()


def test_a_seal_is_written_once_and_only_when_it_tells_something(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    log.seal()
    put(log, b"a")
    before = log.size_bytes()
    log.seal()
    log.seal()
    assert log.size_bytes() == before + HEAD_BYTES
    put(log, b"b" * (2048 - log.size_bytes() - HEAD_BYTES - 5))
    log.seal()  # no room: the next batch tells
    assert log.size_bytes() == 2048


@pytest.mark.parametrize("killed", [False, True])
def test_damage_to_the_last_records_of_a_rested_log_is_refused(disk: CrashingDisk, *, killed: bool) -> None:
    log, _ = open_log(disk)
    put(log, b"a" * 100, b"b" * 100)
    if killed:
        log.seal()
        disk.kill()
    else:
        log.close()
    whole = disk.content(segment_name(1))
    for at in range(SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + HEAD_BYTES + 210):
        disk.alter(segment_name(1), whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(CorruptLog, match="byte 512: position 1 was durable"):
            open_log(disk)


def test_a_closed_log_takes_nothing_and_can_be_closed_again(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    put(log, b"a")
    log.append(1, b"lost")
    log.close()
    log.close()
    with pytest.raises(DiskFailed, match="the log is closed"):
        log.append(1, b"")
    assert payloads(open_log(disk)[1]) == [b"a"]


def test_misuse_is_caught(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    with pytest.raises(AssertionError, match="kind 256"):
        log.append(256, b"")
    log.begin_sync()
    with pytest.raises(AssertionError, match="one sync at a time"):
        log.begin_sync()
    with pytest.raises(AssertionError, match="there is no segment 9"):
        log.begin_discard(9)


def test_what_was_found_at_a_start_is_from_then_on_known_to_be_durable(disk: CrashingDisk) -> None:
    log, _ = open_log(disk)
    put(log, b"a" * 100)
    disk.kill()
    open_log(disk)
    disk.crash(disk.rng)
    whole = disk.content(segment_name(1))
    disk.alter(segment_name(1), whole[:600] + b"?" + whole[601:])
    with pytest.raises(CorruptLog, match="position 1 was durable"):
        open_log(disk)
