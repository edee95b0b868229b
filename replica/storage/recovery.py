"""What the segments of a log hold after a crash: which records count, where a torn tail begins, or that the log is damaged.

``records`` says how an honest tail is told from damage inside a segment; here the segments are put together. The first hole in the order of
positions is looked for: a batch that is not whole, or a segment that begins later than the one before it ended. Nothing behind it counts. If
a head anywhere behind it was written when the hole's position was durable, the log is damaged; else the tail is torn there, and opening the
log removes it (``remove_tail``), from the last segment back to the hole, so that a crash on the way leaves a torn tail again.

``survey`` changes nothing; an offline check uses it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import attrs

from replica.storage.disk import fill_zeros
from replica.storage.errors import CorruptLog, ForeignFolder, disk_errors
from replica.storage.records import SEGMENT_HEADER_BYTES, VERSION, decode_segment_header, find_proof, scan
from replica.storage.segments import Segment, segment_name, segment_numbers

if TYPE_CHECKING:
    from replica.storage.disk import Disk
    from replica.storage.records import Record, Scan, SegmentHeader


class Hole(NamedTuple):
    """Where a torn tail begins: the place of its segment in the list, the offset there, the position that is missing."""

    place: int
    offset: int
    position: int


@attrs.define
class Survey:
    """What a log holds.

    Attributes:
        segments: all of them, also those behind a hole; ``end_bytes`` is where what counts ends.
        records: those that count, in order.
        next_position: the one behind the last record.
        hole: where the torn tail begins; None if there is none.
    """

    segments: list[Segment]
    records: list[Record]
    next_position: int = 1
    hole: Hole | None = None


def survey(disk: Disk, *, settle: bool = False) -> Survey:
    """Read a whole log.

    Args:
        disk: where it is.
        settle: make sure first that what is read is what the device holds. A killed process leaves writes that memory has and the device not.

    Raises:
        CorruptLog: it holds what no crash leaves behind.
        ForeignFolder: another format version wrote it.
        DiskFailed: it could not be read.
    """
    found = Survey([], [])
    numbers = segment_numbers(disk)
    if numbers and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        missing = next(number for number in range(numbers[0], numbers[-1]) if number not in numbers)
        raise CorruptLog(f"{disk.path}/{segment_name(missing)}", 0, "the segment is missing, but later ones are there")
    if settle:
        for number in numbers:
            _settle(disk, segment_name(number))
    for number in numbers:
        data, header = read_segment(disk, number)
        found.segments.append(Segment(header))
        if found.hole is None:
            _add(disk, found, data, header)
        if found.hole is not None:
            _look_behind(disk, found, data, header)
    return found


def _settle(disk: Disk, name: str) -> None:
    with disk_errors(f"{disk.path}/{name}"):
        file = disk.open(name, writable=True)
        try:
            file.settle()
        finally:
            file.close()


def read_segment(disk: Disk, number: int) -> tuple[bytes, SegmentHeader]:
    """Read a segment's bytes and header.

    Raises:
        CorruptLog: its header or its size is wrong.
        ForeignFolder: another format version wrote it.
        DiskFailed: it could not be read.
    """
    path = f"{disk.path}/{segment_name(number)}"
    with disk_errors(path):
        file = disk.open(segment_name(number))
        try:
            data = file.read(0, file.size_bytes())
        finally:
            file.close()
    header = decode_segment_header(data)
    if header is None:
        raise CorruptLog(path, 0, "the segment's header is cut or altered")
    if header.version != VERSION:
        advice = "run the version of this program that wrote it"
        raise ForeignFolder(path, f"format version {header.version}", f"format version {VERSION}", advice)
    if header.number != number:
        raise CorruptLog(path, 0, f"the header is that of segment {header.number}")
    if header.size_bytes != len(data):
        raise CorruptLog(path, min(len(data), header.size_bytes), f"the file has {len(data)} bytes, its header says {header.size_bytes}")
    return data, header


def _add(disk: Disk, found: Survey, data: bytes, header: SegmentHeader) -> None:
    """Take a segment in whose predecessors have no hole; note the hole it has or shows."""
    place = len(found.segments) - 1
    segment = found.segments[place]
    path = f"{disk.path}/{segment.name}"
    leads = place == 0 and header.number > 1  # what came before was discarded, so its first record is durable and tells its position
    expected = None if leads else found.next_position
    result = scan(data, header, expected)
    if leads and result.next_position is None:
        raise CorruptLog(path, SEGMENT_HEADER_BYTES, result.fault or "the log begins with an empty segment")
    if result.misplaced:
        _judge_misplaced(found, data, result, path)
        return
    segment.end_bytes = result.end
    segment.first = result.records[0].position if result.records else 0
    found.records += result.records
    found.next_position = result.next_position or found.next_position
    if result.fault:
        found.hole = Hole(place, result.end, found.next_position)


def _judge_misplaced(found: Survey, data: bytes, result: Scan, path: str) -> None:
    """A whole batch has a position that does not follow: honest only at a segment's start, if what is missing was lost with the one before."""
    place = len(found.segments) - 1
    begins_with = scan(data, found.segments[place].header, None).first or 0
    if not place or result.end > SEGMENT_HEADER_BYTES or begins_with < found.next_position:
        raise CorruptLog(path, result.end, result.fault)
    found.hole = Hole(place - 1, found.segments[place - 1].end_bytes, found.next_position)


def _look_behind(disk: Disk, found: Survey, data: bytes, header: SegmentHeader) -> None:
    """Refuse the log if this segment, behind the hole or with it inside, proves that what is missing was durable."""
    assert found.hole is not None
    hole = found.segments[found.hole.place]
    start = found.hole.offset if hole.number == header.number else SEGMENT_HEADER_BYTES
    proof = find_proof(data, header.salt, start, found.hole.position)
    if proof is not None:
        why = f"position {found.hole.position} was durable ({segment_name(header.number)} says so at byte {proof}) and cannot be read any more"
        raise CorruptLog(f"{disk.path}/{hole.name}", found.hole.offset, why)


def remove_tail(disk: Disk, found: Survey) -> None:
    """Remove what stands behind the hole, durably, and more than one empty segment at the end; the survey tells what is left.

    Raises:
        DiskFailed: the disk did not do it.
    """
    segments = found.segments
    filled = max((place for place, segment in enumerate(segments) if not segment.empty), default=0)
    keep = found.hole.place if found.hole is not None else filled + 1
    while len(segments) > keep + 1:
        gone = segments.pop()
        with disk_errors(f"{disk.path}/{gone.name}"):
            disk.remove(gone.name)
            disk.sync_folder()  # one by one: were a later one to stay, the log would have a gap
    if found.hole is None:
        return
    torn = segments[found.hole.place]
    with disk_errors(f"{disk.path}/{torn.name}"):
        file = disk.open(torn.name, writable=True)
        try:
            fill_zeros(file, found.hole.offset, torn.header.size_bytes)
            file.sync()
        finally:
            file.close()
    found.hole = None
