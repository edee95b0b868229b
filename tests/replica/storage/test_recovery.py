from __future__ import annotations

import errno
from contextlib import suppress
from random import Random

import pytest

from replica.storage.errors import CorruptLog, DiskFailed, ForeignFolder
from replica.storage.log import DurableLog
from replica.storage.records import SEGMENT_HEADER_BYTES, Record, decode_segment_header, encode_segment_header
from replica.storage.recovery import remove_tail, survey
from replica.storage.segments import segment_name, segment_numbers
from tests.replica.storage.crashing_disk import CrashingDisk

SEGMENT_BYTES = 2048


def written(*, batches: int = 12, synced: int = 12, payload_bytes: int = 400) -> tuple[CrashingDisk, list[bytes]]:
    """A log of batches of one record each, three to a segment; the first ones synced one by one, the others only written."""
    disk = CrashingDisk(Random(3))
    log, _ = DurableLog.open(disk, segment_bytes=SEGMENT_BYTES, entropy=disk.rng.randbytes)
    payloads = [disk.rng.randbytes(payload_bytes) for _ in range(batches)]
    for number, payload in enumerate(payloads):
        log.append(1, payload)
        log.write()
        if number < synced:
            log.sync()
    return disk, payloads


def reopened(disk: CrashingDisk) -> list[Record]:
    return DurableLog.open(disk, segment_bytes=SEGMENT_BYTES, entropy=disk.rng.randbytes)[1]


def damage(disk: CrashingDisk, segment: int, low: int, high: int) -> None:
    content = disk.content(segment_name(segment))
    disk.alter(segment_name(segment), content[:low] + bytes(high - low) + content[high:])


def test_a_hole_that_a_later_segment_proves_is_damage() -> None:
    disk, _ = written()
    damage(disk, 2, SEGMENT_HEADER_BYTES, SEGMENT_BYTES)  # as if nothing had ever been written to it
    before = disk.snapshot()
    with pytest.raises(CorruptLog, match="position 4 was durable") as caught:
        reopened(disk)
    assert (caught.value.file, caught.value.offset) == (f"memory/{segment_name(2)}", SEGMENT_HEADER_BYTES)
    assert disk.snapshot() == before


@pytest.mark.parametrize("low", [SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + 445, SEGMENT_HEADER_BYTES + 900])
def test_a_hole_over_several_segments_that_nothing_proves_is_cut(low: int) -> None:
    disk, payloads = written(synced=3)
    damage(disk, 2, low, low + 300)
    records = reopened(disk)
    kept = 3 + (low - SEGMENT_HEADER_BYTES) // 445
    assert [record.payload for record in records] == payloads[:kept]
    assert segment_numbers(disk) == [1, 2]
    assert not any(disk.content(segment_name(2))[low if kept > 3 else SEGMENT_HEADER_BYTES :][64:])  # but for the seal


def test_a_segment_that_lost_all_of_its_unsynced_batches_ends_the_log() -> None:
    disk, payloads = written(synced=2)
    damage(disk, 2, SEGMENT_HEADER_BYTES, SEGMENT_BYTES)
    assert [record.payload for record in reopened(disk)] == payloads[:3]
    assert segment_numbers(disk) == [1, 2]  # the second is empty and waits


def test_what_was_cut_never_comes_back() -> None:
    """A batch behind a hole is whole; were it left there, later batches of the same size could lead up to it."""
    disk, payloads = written(batches=3, synced=1)
    damage(disk, 1, SEGMENT_HEADER_BYTES + 445, SEGMENT_HEADER_BYTES + 600)
    log, records = DurableLog.open(disk, segment_bytes=SEGMENT_BYTES, entropy=disk.rng.randbytes)
    assert len(records) == 1
    log.append(1, b"new")
    log.write()
    log.sync()
    disk.crash(disk.rng)
    assert [record.payload for record in reopened(disk)] == [payloads[0], b"new"]


@pytest.mark.parametrize("seed", range(100))
def test_a_crash_while_the_tail_is_removed_leaves_a_tail_to_be_removed(seed: int) -> None:
    disk, payloads = written(synced=3)
    rng = Random(seed)
    damage(disk, 2, SEGMENT_HEADER_BYTES + 445, SEGMENT_HEADER_BYTES + 600)
    for _ in range(2):
        disk.fail_next(errno.EIO, rng.choice(["remove", "write", "sync_folder", "sync", "open"]), rng.randrange(5))
        with suppress(DiskFailed):
            reopened(disk)
        disk.crash(rng)
    assert [record.payload for record in reopened(disk)] == payloads[:4]


@pytest.mark.parametrize("seed", range(8))
def test_a_tail_that_is_removed_is_gone_whenever_the_power_fails_from_then_on(seed: int) -> None:
    """Not only with the next sync: by then a new batch may lead up to what was cut."""
    disk, _ = written(batches=3, synced=1)
    damage(disk, 1, SEGMENT_HEADER_BYTES + 445, SEGMENT_HEADER_BYTES + 600)
    disk.open(segment_name(1), writable=True).sync()
    remove_tail(disk, survey(disk))
    disk.crash(Random(seed))
    assert not any(disk.content(segment_name(1))[SEGMENT_HEADER_BYTES + 445 :])


def test_a_missing_segment_is_named() -> None:
    disk, _ = written()
    disk.remove(segment_name(3))
    with pytest.raises(CorruptLog, match=r"log-0000000000000003\.segment: byte 0: the segment is missing"):
        reopened(disk)


def test_a_log_whose_first_segments_were_taken_away_by_hand_starts_with_the_position_it_has() -> None:
    """It looks like one whose past was discarded; that the first record is a checkpoint is for the caller to see."""
    disk, payloads = written()
    disk.remove(segment_name(1))
    assert reopened(disk)[0] == Record(2, 4, 1, payloads[3])


@pytest.mark.parametrize("how", ["empty", "damaged"])
def test_the_first_record_of_a_discarded_past_must_be_there(how: str) -> None:
    disk, _ = written()
    for number in (1, 2, 3):
        disk.remove(segment_name(number))
    damage(disk, 4, SEGMENT_HEADER_BYTES, SEGMENT_BYTES if how == "empty" else SEGMENT_HEADER_BYTES + 100)
    with pytest.raises(CorruptLog, match="byte 512"):
        reopened(disk)


@pytest.mark.parametrize("size", [0, 100, 511, 512, 1000, 2047, 2049])
def test_a_file_of_another_size_is_refused(size: int) -> None:
    disk, _ = written()
    disk.alter(segment_name(4), disk.content(segment_name(4)).ljust(size, b"\0")[:size])
    with pytest.raises(CorruptLog, match="log-0000000000000004"):
        reopened(disk)


def test_a_header_that_is_altered_anywhere_is_refused() -> None:
    disk, _ = written(batches=1)
    content = disk.content(segment_name(1))
    for at in range(SEGMENT_HEADER_BYTES):
        disk.alter(segment_name(1), content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(CorruptLog, match=r"segment: byte 0: the segment's header is cut or altered"):
            survey(disk)


def test_a_segment_under_another_s_name_is_refused() -> None:
    disk, _ = written()
    disk.alter(segment_name(4), disk.content(segment_name(3)))
    with pytest.raises(CorruptLog, match="the header is that of segment 3"):
        survey(disk)


def test_a_segment_of_another_log_is_refused() -> None:
    disk, _ = written()
    other, _ = written(batches=2)
    header = decode_segment_header(other.content(segment_name(1)))
    assert header is not None
    foreign = encode_segment_header(header._replace(number=4)) + other.content(segment_name(1))[SEGMENT_HEADER_BYTES:]
    disk.alter(segment_name(4), foreign)
    with pytest.raises(CorruptLog, match="a batch begins with position 1 where 10 should follow"):
        survey(disk)


def test_another_format_version_is_foreign() -> None:
    disk, _ = written()
    header = decode_segment_header(disk.content(segment_name(2)))
    assert header is not None
    disk.alter(segment_name(2), encode_segment_header(header._replace(version=2)) + disk.content(segment_name(2))[SEGMENT_HEADER_BYTES:])
    with pytest.raises(ForeignFolder, match="found format version 2, wanted format version 1"):
        survey(disk)


def test_a_disk_that_cannot_be_read_is_not_taken_for_a_damaged_log() -> None:
    for operation in ("read", "open", "sync"):
        disk, _ = written()
        disk.fail_next(errno.EIO, operation)
        with pytest.raises(DiskFailed, match="Input/output"):
            reopened(disk)


def test_a_survey_changes_nothing() -> None:
    disk, _ = written(synced=3)
    damage(disk, 2, SEGMENT_HEADER_BYTES + 445, SEGMENT_HEADER_BYTES + 600)
    before, open_files = disk.snapshot(), disk.open_files
    found = survey(disk)
    assert found.hole is not None
    assert (found.hole.place, found.hole.offset, found.hole.position) == (1, SEGMENT_HEADER_BYTES + 445, 5)
    assert disk.snapshot() == before
    assert disk.open_files == open_files
    remove_tail(disk, found)
    again = survey(disk)
    assert (again.hole, again.records) == (None, found.records)
