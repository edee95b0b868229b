"""Checks the data folder of a stopped replica, down to what its records and snapshots mean; changes nothing.

``replica.storage.verify`` judges files, checksums and order.  Here everything is also decoded and laid together as a start would do it, so that
what has a right checksum and makes no sense is found before a replica has to be started to find it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replica.core.journal import Durable, JournalError
from replica.home_folder import judge_facts
from replica.journal_codec import decode_record, restore
from replica.storage.disk import OsDisk
from replica.storage.errors import Corrupt, StorageError, words
from replica.storage.folder import FACTS, IDENTITY, read_checked
from replica.storage.records import HEAD_BYTES, RECORD_OVERHEAD_BYTES, SEGMENT_HEADER_BYTES, read_head
from replica.storage.recovery import read_segment, survey
from replica.storage.segments import segment_name, segment_numbers
from replica.storage.snapshots import SnapshotReader, snapshot_indexes, snapshot_name
from replica.storage.verify import verify_folder
from statemachine.sessions import EXPIRED_MAX

if TYPE_CHECKING:
    from pathlib import Path

    from replica.core.journal import Applied, JournalRecord
    from replica.storage.records import Record
    from replica.storage.verify import Report

LOG_FACT = "log"
"""Remembered by a folder that has had a log."""


class NoDataFolder(Exception):
    """What was given is no data folder, or cannot be read; the message names it."""

    exit_status = 2


def check_folder(path: Path) -> Report:
    """Check a data folder; damage is reported, never raised.

    Takes as long as a start, and as much memory: the whole state and the whole log.

    Returns:
        What ``verify_folder`` says, with the problems that only show in what is told.

    Raises:
        NoDataFolder: There is no such folder, it is none of a replica's, or it cannot be read.
    """
    try:
        _require_data_folder(path)
        report = verify_folder(path)
    except OSError as error:
        raise NoDataFolder(f"{path}: {words(error)}") from None
    disk = OsDisk(path)
    _check_facts(disk, report)
    sound_so_far = not report.problems
    applied = _check_snapshots(disk, report)
    records = _check_records(disk, report)
    if sound_so_far and not report.problems:
        _check_together(disk, report, applied, records)
    return report


def _require_data_folder(path: Path) -> None:
    """Refuse what was never a replica's folder; one that lost its IDENTITY is a damaged one."""
    names = sorted(entry.name for entry in path.iterdir())
    disk = OsDisk(path)
    if IDENTITY in names or segment_numbers(disk) or snapshot_indexes(disk):
        return
    inside = [name for name in names if (path / name / IDENTITY).is_file()]
    hint = f"; a cluster lives in it: give {path / inside[0]} or another of its replicas" if inside else ""
    raise NoDataFolder(f"{path}: not a replica's data folder{hint}")


def _add(report: Report, problem: str) -> None:
    if problem not in report.problems:  # the files were looked over before
        report.problems.append(problem)


def _check_facts(disk: OsDisk, report: Report) -> None:
    """Look for what keeps every start from the folder, however sound its files are."""
    try:
        judge_facts(disk.path, read_checked(disk, FACTS).get)
    except StorageError as error:
        _add(report, str(error))


def _check_snapshots(disk: OsDisk, report: Report) -> Applied | None:
    """Build the state that each snapshot tells; return the newest one's, from which a start begins."""
    applied = None
    for index in snapshot_indexes(disk):
        applied = None
        try:
            reader = SnapshotReader(disk, index)
            try:
                applied = restore(reader.metadata, reader, EXPIRED_MAX, f"{disk.path}/{snapshot_name(index)}")
            finally:
                reader.close()
        except StorageError as error:
            _add(report, str(error))
    return applied


def _check_records(disk: OsDisk, report: Report) -> list[JournalRecord]:
    """Decode every record that counts."""
    try:
        found = survey(disk)
    except StorageError as error:
        _add(report, str(error))
        return []
    decoded: list[JournalRecord] = []
    for record in found.records:
        try:
            decoded.append(decode_record(record.kind, record.payload, ""))
        except Corrupt as error:
            file = f"{disk.path}/{segment_name(record.segment)}"
            _add(report, f"{file}: byte {offset_of(disk, record)}: record {record.position}: {error.why}; {error.advice}")
    return decoded


def offset_of(disk: OsDisk, record: Record) -> int:
    """Tell where a record's payload begins in its segment, in bytes.

    Args:
        disk: The folder.
        record: Of a segment that could be read to there.
    """
    data, header = read_segment(disk, record.segment)
    at = SEGMENT_HEADER_BYTES
    while (head := read_head(data, at, header.salt)) is not None and record.position >= head.first + head.records:
        at += HEAD_BYTES + head.body_bytes
    assert head is not None, record.position
    before = record.position - head.first
    sizes = (int.from_bytes(data[place : place + 4], "little") for place in range(at + HEAD_BYTES, at + HEAD_BYTES + 4 * before, 4))
    return at + HEAD_BYTES + head.records * RECORD_OVERHEAD_BYTES + sum(sizes)


def _check_together(disk: OsDisk, report: Report, applied: Applied | None, records: list[JournalRecord]) -> None:
    """Lay the log over the newest snapshot, as a start does."""
    if read_checked(disk, FACTS).get(LOG_FACT) and not segment_numbers(disk):
        _add(report, f"{disk.path}/{segment_name(1)}: byte 0: the folder has no log, but there was one")
    try:
        Durable(applied).replay(records, whole=segment_numbers(disk)[:1] in ([], [1]))
    except JournalError as error:
        _add(report, f"{disk.path}: byte 0: {error}: a snapshot or a segment of the log is missing")
