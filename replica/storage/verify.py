"""Looks a data folder over without changing anything: a stopped replica's, or a copy.

It reads as a start would read, and reports what a start would refuse. Of a folder that is in use it may report a torn tail, or a gap between
segments, that is only a write or a removal under way.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from replica.storage.disk import PARTIAL, OsDisk
from replica.storage.errors import StorageError
from replica.storage.folder import FACTS, Identity, is_locked, read_checked, read_identity
from replica.storage.records import scan
from replica.storage.recovery import read_segment, survey
from replica.storage.segments import segment_name, segment_numbers
from replica.storage.snapshots import SnapshotReader, snapshot_indexes, snapshot_name

if TYPE_CHECKING:
    from replica.storage.disk import Disk


@attrs.frozen
class SegmentReport:
    """What a segment holds by itself.

    Attributes:
        file: its name.
        records: how many can be read.
        first: position of the first; 0 if there is none.
        last: position of the last; 0 if there is none.
        end_bytes: where the readable part ends.
        torn_at: offset of what cannot be read, in bytes; None if there is nothing of the kind.
    """

    file: str
    records: int
    first: int
    last: int
    end_bytes: int
    torn_at: int | None


@attrs.frozen
class SnapshotReport:
    """What a snapshot holds.

    Attributes:
        file: its name.
        index: of the last log entry in it.
        chunks: how many it says it has.
        content_bytes: of them.
    """

    file: str
    index: int
    chunks: int
    content_bytes: int


@attrs.define
class Report:
    """What a folder holds.

    Attributes:
        path: the folder.
        locked: a process has it open; then what follows is no more than an impression.
        identity: whose it is; None if nothing readable tells.
        segments: in order.
        snapshots: in order; those whose header and footer can be read.
        torn_tail: the file and the offset in bytes from where on the next start will cut the log; None if it will not. A crash leaves one
            behind, and damage to the very last writes, where nothing behind them says that they were durable, looks like one.
        unfinished: files that the next start will remove.
        problems: one line each, with the file, and the offset if it has one; with any of them a start is refused or a snapshot is of no use.
    """

    path: str
    locked: bool
    identity: Identity | None = None
    segments: list[SegmentReport] = attrs.Factory(list)
    snapshots: list[SnapshotReport] = attrs.Factory(list)
    torn_tail: tuple[str, int] | None = None
    unfinished: list[str] = attrs.Factory(list)
    problems: list[str] = attrs.Factory(list)


def verify_folder(path: str | Path) -> Report:
    """Look a data folder over; damage and unreadable files are reported, never raised.

    Raises:
        NotADirectoryError: there is no such folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise NotADirectoryError(str(folder))
    disk = OsDisk(folder)
    report = Report(str(folder), is_locked(folder))
    report.unfinished = [name for name in disk.names() if name.endswith(PARTIAL)]
    _verify_identity(disk, report)
    _verify_log(disk, report)
    _verify_snapshots(disk, report)
    return report


def _verify_identity(disk: Disk, report: Report) -> None:
    try:
        report.identity = read_identity(disk)
        if report.identity is None:
            report.problems.append(f"{disk.path}: byte 0: no IDENTITY; this is no data folder")
        else:
            read_checked(disk, FACTS)
    except StorageError as error:
        report.problems.append(str(error))


def _verify_log(disk: Disk, report: Report) -> None:
    """Each segment by itself, so that damage to one does not hide the others; then all of them as a start would take them."""
    unreadable = False
    for number in segment_numbers(disk):
        try:
            data, header = read_segment(disk, number)
        except StorageError as error:
            report.problems.append(str(error))
            unreadable = True
            continue
        result = scan(data, header, None)
        first, last = (result.records[0].position, result.records[-1].position) if result.records else (0, 0)
        torn_at = result.end if result.fault else None
        report.segments.append(SegmentReport(segment_name(number), len(result.records), first, last, result.end, torn_at))
    if unreadable:
        return
    try:
        found = survey(disk)
    except StorageError as error:
        report.problems.append(str(error))
        return
    if found.hole is not None:
        report.torn_tail = (found.segments[found.hole.place].name, found.hole.offset)


def _verify_snapshots(disk: Disk, report: Report) -> None:
    for index in snapshot_indexes(disk):
        try:
            reader = SnapshotReader(disk, index)
        except StorageError as error:
            report.problems.append(str(error))
            continue
        report.snapshots.append(SnapshotReport(snapshot_name(index), index, reader.chunks, reader.content_bytes))
        try:
            for _ in reader:
                pass
        except StorageError as error:
            report.problems.append(str(error))
        finally:
            reader.close()
