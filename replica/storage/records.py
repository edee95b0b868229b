"""How records lie in a segment, and what a crash can have done to them. Pure: bytes in, bytes out.

A segment is a file of fixed size, zeros where nothing was written yet::

    header    512 bytes (a sector of its own): magic, version, number, salt, size, CRC-32; durable before the file has its name
    batch     one write: head "<8sIIIQQI" = salt, CRC of the body, bytes of the body, count, first position, synced, CRC of the head
              body: count lengths (u32), count kinds (u8), the payloads one behind the other
    batch     ...
    zeros     to the end: the part that is not written yet

Positions number the records of the whole log from 1, without holes. A batch of no records is a *seal*: it only tells what was synced.

The hard question is what an invalid batch means. After a crash it may be a *torn tail*, a write that nobody was told is durable, and must be
cut. Or it is damage to something that was durable, and cutting it would take back a promise (Alagappan et al., "Protocol-Aware Recovery for
Consensus-Based Storage", FAST 2018: most systems confuse the two). That valid batches follow proves nothing by itself: sectors of writes that
were not synced reach the device in any order, so a later batch may be whole behind a torn one.

So every head carries ``synced``: the position up to which its writer knew the log to be durable. A hole at position p is damage if a head
behind it, here or in a later segment, says ``synced >= p``; else everything from the hole on was never promised, and is cut. Where damage
hits the very last batches and nothing behind them was written, the two cannot be told apart, and the tail is cut; seals, written when the
log rests and when it is closed, keep that window small.

Heads behind a hole are found by searching for the salt, eight random bytes that every segment has of its own: what an earlier file left on
the device, or a client put into a value, is no head. The head has a checksum of its own, so that the length is believed only if it is the
written one (every altered byte is then found, not all but one in 2**32), and so that it can prove something when its body is torn. What was
cut is overwritten with zeros, durably, before anything is written in its place: so no old batch is ever found behind a new one.

Rejected: a checksum and a position per record (nothing is promised per record, and it is Python that each would cost), a commit mark behind
each batch (a second sync, or no proof), padding batches to sectors (three times the bytes for a single small record, where a write leaves the
synced bytes of its first sector as they are), and files that are reused (their old batches would have to be told from the new ones).
"""

from __future__ import annotations

import struct
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from replica.storage.disk import ZEROS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replica.storage.disk import Buffer

MAGIC: Final = b"TSKLOG\r\n"
VERSION: Final = 1
SALT_BYTES: Final = 8
SEGMENT_HEADER_BYTES: Final = 512
JOIN_BYTES_MAX: Final = 64 * 1024
"""Up to this many bytes a batch is copied into one buffer: one checksum and one buffer to write cost less than many small ones."""

_SEGMENT = struct.Struct("<8sIQ8sQ")
_HEAD = struct.Struct("<8sIIIQQ")
_CRC = struct.Struct("<I")
HEAD_BYTES: Final = _HEAD.size + _CRC.size
RECORD_OVERHEAD_BYTES: Final = 5
"""What a record takes in a batch beside its payload."""
SEGMENT_BYTES_MIN: Final = SEGMENT_HEADER_BYTES + HEAD_BYTES + RECORD_OVERHEAD_BYTES
"""A segment of one empty record."""
BATCH_BYTES_MAX: Final = HEAD_BYTES + (1 << 32) - 1
"""A head's field for the bytes of its body has four bytes."""
RECORD_BYTES_MAX: Final = 1 << 30
"""A larger payload is a bug: no record of ours comes near, and four bytes hold its length."""
KIND_MAX: Final = 255


class SegmentHeader(NamedTuple):
    """What a segment says of itself: its number from 1, its salt, its size in bytes with this header."""

    number: int
    salt: bytes
    size_bytes: int
    version: int = VERSION


class Queued(NamedTuple):
    """A record to be written: its kind (0 to 255), its payload in pieces, and how many bytes they have together."""

    kind: int
    parts: Sequence[bytes]
    size_bytes: int


class Record(NamedTuple):
    """A record that was read."""

    segment: int
    position: int
    kind: int
    payload: bytes


class Head(NamedTuple):
    """A batch's head, without salt; ``first`` is the position of its first record, or of the next one if it has none."""

    body_crc: int
    body_bytes: int
    records: int
    first: int
    synced: int


class Scan(NamedTuple):
    """What a scan found from its start on.

    Attributes:
        records: in order.
        first: position that the first batch begins with; None if there is no valid batch.
        next_position: the one behind the last record; None if no batch told.
        end: offset behind the last valid batch.
        fault: what is wrong at ``end``; empty if nothing but zeros follow.
        misplaced: the batch at ``end`` is whole, but another one belongs there, or none that we wrote. No crash does that.
    """

    records: list[Record]
    first: int | None
    next_position: int | None
    end: int
    fault: str
    misplaced: bool


def encode_segment_header(header: SegmentHeader) -> bytes:
    """Encode a header to ``SEGMENT_HEADER_BYTES`` bytes."""
    assert len(header.salt) == SALT_BYTES
    assert any(header.salt)
    fields = _SEGMENT.pack(MAGIC, header.version, header.number, header.salt, header.size_bytes)
    fields = fields.ljust(SEGMENT_HEADER_BYTES - _CRC.size, b"\0")
    return fields + _CRC.pack(crc32(fields))


def decode_segment_header(data: Buffer) -> SegmentHeader | None:
    """Decode the header at the start of a segment; None if it is cut, altered or none. The version is the caller's to judge."""
    if len(data) < SEGMENT_HEADER_BYTES:
        return None
    fields = data[: SEGMENT_HEADER_BYTES - _CRC.size]
    magic, version, number, salt, size_bytes = _SEGMENT.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, SEGMENT_HEADER_BYTES - _CRC.size)
    if magic != MAGIC or crc != crc32(fields):
        return None
    return SegmentHeader(number, salt, size_bytes, version)


def encode_batch(salt: bytes, first: int, synced: int, records: Sequence[Queued]) -> list[Buffer]:
    """Encode one batch as the buffers of one write.

    Args:
        salt: the segment's.
        first: position of the first record.
        synced: position up to which the log is known to be durable; less than ``first``.
        records: none of them makes a seal.
    """
    assert synced < first
    kinds, columns, sizes = zip(*records, strict=True) if records else ((), (), ())
    count = len(records)
    body: list[Buffer] = [struct.pack(f"<{count}I", *sizes) + bytes(kinds)]
    for parts in columns:
        body.extend(parts)
    body_bytes = sum(sizes) + count * RECORD_OVERHEAD_BYTES
    if body_bytes <= JOIN_BYTES_MAX:
        body = [b"".join(body)]
    body_crc = 0
    for buffer in body:
        body_crc = crc32(buffer, body_crc)
    head = _HEAD.pack(salt, body_crc, body_bytes, count, first, synced)
    return [head + _CRC.pack(crc32(head)), *body]


def batch_bytes(payloads: Iterable[bytes]) -> int:
    """Tell how many bytes a batch of records with these payloads takes."""
    return HEAD_BYTES + sum(RECORD_OVERHEAD_BYTES + len(payload) for payload in payloads)


def count_fitting(records: Sequence[Queued], room_bytes: int) -> int:
    """Count the records, from the first on, that fit into so many bytes as one batch."""
    room_bytes = min(room_bytes, BATCH_BYTES_MAX)
    room_bytes -= HEAD_BYTES
    for count, record in enumerate(records):
        room_bytes -= record.size_bytes + RECORD_OVERHEAD_BYTES
        if room_bytes < 0:
            return count
    return len(records)


def read_head(data: Buffer, offset: int, salt: bytes) -> Head | None:
    """Read the head at an offset; None if there is no whole one of this segment."""
    if offset + HEAD_BYTES > len(data):
        return None
    found, *fields = _HEAD.unpack_from(data, offset)
    (crc,) = _CRC.unpack_from(data, offset + _HEAD.size)
    if found != salt or crc != crc32(data[offset : offset + _HEAD.size]):
        return None
    return Head(*fields)


def scan(data: bytes, header: SegmentHeader, position: int | None, start: int = SEGMENT_HEADER_BYTES) -> Scan:
    """Read batches until something else comes.

    Args:
        data: a whole segment.
        header: the segment's.
        position: the one that the first batch must have; None if whatever it has is right.
        start: offset of the first batch in bytes.
    """
    records: list[Record] = []
    first, at = None, start
    fault, misplaced = "", False
    while True:
        head = read_head(data, at, header.salt)
        body_at = at + HEAD_BYTES
        if head is None:
            if not is_zero(data, at):
                fault = "no batch begins here, but something was written"
            break
        end = body_at + head.body_bytes
        if end > len(data):
            fault = "a batch reaches beyond the segment"
        elif crc32(memoryview(data)[body_at:end]) != head.body_crc:
            fault = f"the batch of position {head.first} does not match its checksum"
        elif position is not None and head.first != position:
            fault, misplaced = f"a batch begins with position {head.first} where {position} should follow", True
        found = None if fault else _read_body(data, body_at, head, header.number)
        if found is None:
            if not fault:
                fault, misplaced = f"the batch of position {head.first} does not divide into {head.records} records", True
            break
        if first is None:
            first = head.first
        records += found
        position = head.first + head.records
        at = end
    return Scan(records, first, position, at, fault, misplaced)


def _read_body(data: bytes, at: int, head: Head, number: int) -> list[Record] | None:
    """Divide a body whose checksum is right; None if it is none of ours all the same."""
    overhead = head.records * RECORD_OVERHEAD_BYTES
    if overhead > head.body_bytes:
        return None
    sizes = struct.unpack_from(f"<{head.records}I", data, at)
    if sum(sizes) + overhead != head.body_bytes:
        return None
    kinds_at = at + 4 * head.records
    kinds = data[kinds_at : kinds_at + head.records]
    ends = list(accumulate(sizes, initial=kinds_at + head.records))
    return [
        Record(number, position, kind, data[low:high])
        for position, kind, low, high in zip(range(head.first, head.first + head.records), kinds, ends, ends[1:], strict=False)
    ]


def find_proof(data: bytes, salt: bytes, start: int, position: int) -> int | None:
    """Search a segment from an offset on for a head that was written when ``position`` was durable.

    Returns:
        Its offset; None if there is none.
    """
    at = data.find(salt, start)
    while at >= 0:
        head = read_head(data, at, salt)
        if head is not None and head.synced >= position:
            return at
        at = data.find(salt, at + 1)
    return None


def is_zero(data: bytes, start: int) -> bool:
    """Whether nothing but zeros stand from an offset on."""
    for at in range(start, len(data), len(ZEROS)):
        piece = data[at : at + len(ZEROS)]
        if piece != ZEROS[: len(piece)]:
            return False
    return True
