"""What is read from a disk: segments of the log, journal records, snapshots."""

from __future__ import annotations

import atexit
import shutil
import struct
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from zlib import crc32

import cbor2

from replica.journal_codec import LAYOUTS, decode_record, encode_metadata, snapshot_chunks
from replica.snapshot_file import SnapshotDamaged, encode_snapshot, read_snapshot
from replica.storage.disk import OsDisk
from replica.storage.errors import Corrupt, CorruptLog, ForeignFolder
from replica.storage.log import DurableLog
from replica.storage.records import HEAD_BYTES, SEGMENT_HEADER_BYTES, decode_segment_header
from replica.storage.recovery import survey
from replica.storage.segments import segment_name
from statemachine.command import PUT
from statemachine.sessions import Sessions
from statemachine.store import Store
from tests.fuzz.frames import Chance, make_message

if TYPE_CHECKING:
    from collections.abc import Sequence

SEGMENT_BYTES = 2048
SEALED_CHUNK = b"\n--\n"
"""Stands between the parts of a snapshot that is put together after it was spoiled."""


@cache
def scratch() -> Path:
    """Return a folder for this process, in memory where there is such a place."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="triskele-fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _named(error: Exception, file: Path) -> str:
    """Return the kind of a refusal, which names the file."""
    assert str(file) in str(error)
    return type(error).__name__


# ------------------------------------------------------------------------------------------------------------------------------- log


@cache
def _written() -> tuple[list[bytes], set[tuple[int, int, bytes]]]:
    """Write a few logs; return their segments, each the first of its log, and all records in them."""
    found: list[bytes] = []
    records: set[tuple[int, int, bytes]] = set()
    random = Random("segments")
    for _ in range(6):
        with tempfile.TemporaryDirectory() as folder:
            log, _ = DurableLog.open(OsDisk(folder), segment_bytes=SEGMENT_BYTES, entropy=random.randbytes)
            for _ in range(random.randint(1, 5)):
                for _ in range(random.randint(1, 4)):
                    kind, payload = random.randint(0, 9), random.randbytes(random.randint(0, 60))
                    records.add((log.append(kind, [payload]), kind, payload))
                log.write()
                if random.random() < 0.7:
                    log.sync()
            log.close()
            found.append((Path(folder) / segment_name(1)).read_bytes())
    return found, records


def segments() -> Sequence[bytes]:
    """Return whole segments, each the first of a log."""
    return _written()[0]


def _survey(data: bytes) -> tuple[str, list[tuple[int, int, bytes]]]:
    """Read bytes as a folder's only segment."""
    folder = scratch()
    (folder / segment_name(1)).write_bytes(data)
    try:
        found = survey(OsDisk(folder))
    except (CorruptLog, ForeignFolder) as error:
        return _named(error, folder / segment_name(1)), []
    return "taken" if found.hole is None else "torn tail", [(record.position, record.kind, record.payload) for record in found.records]


def judge_log(data: bytes) -> str:
    """Give bytes to the log's reader; a record that nobody wrote is never among what it returns."""
    verdict, records = _survey(data)
    assert _written()[1].issuperset(records), "a record that nobody wrote"
    return verdict


def judge_sealed_log(data: bytes) -> str:
    """Likewise, where checksums prove nothing."""
    return _survey(data)[0]


def seal_segment(data: bytes) -> bytes:
    """Make the checksums of a segment right, of as many batches as can be found."""
    if len(data) < SEGMENT_HEADER_BYTES:
        return data
    out = bytearray(data)
    struct.pack_into("<I", out, SEGMENT_HEADER_BYTES - 4, crc32(out[: SEGMENT_HEADER_BYTES - 4]))
    header = decode_segment_header(bytes(out))
    if header is None:
        return bytes(out)
    at = SEGMENT_HEADER_BYTES
    while at + HEAD_BYTES <= len(out):
        (body_bytes,) = struct.unpack_from("<I", out, at + 12)
        end = at + HEAD_BYTES + body_bytes
        if out[at : at + 8] != header.salt or end > len(out):
            break
        struct.pack_into("<I", out, at + 8, crc32(out[at + HEAD_BYTES : end]))
        struct.pack_into("<I", out, at + HEAD_BYTES - 4, crc32(out[at : at + HEAD_BYTES - 4]))
        at = end
    return bytes(out)


# --------------------------------------------------------------------------------------------------------------------------- journal


@cache
def journal_records() -> Sequence[bytes]:
    """Return journal records, each behind its kind."""
    choices = Chance(Random("journal"))
    found = []
    for kind, layout in LAYOUTS.items():
        found += [bytes([kind]) + cbor2.dumps(layout.write(make_message(layout, choices))[1:]) for _ in range(6)]
    return found


def judge_journal(data: bytes) -> str:
    """Give bytes to the journal's codec."""
    if not data:
        return "empty"
    try:
        decode_record(data[0], data[1:], "here")
    except Corrupt:
        return "Corrupt"
    return "taken"


# ------------------------------------------------------------------------------------------------------------------------- snapshots


@cache
def _parts() -> list[list[bytes]]:
    """Return the parts of a few snapshots: metadata, then chunks; the first chunk is of sessions."""
    random = Random("snapshots")
    found = []
    for keys in (0, 1, 5, 40):
        store = Store()
        for place in range(1, keys + 1):
            store.apply(bytes([PUT]), [b"key.%d" % place], [random.randbytes(6)], place)
        chunks = snapshot_chunks(store.snapshot(chunk_keys=16), Sessions().snapshot())
        found.append([encode_metadata(3, 2, 7, 1), *chunks])
    return found


@cache
def snapshots() -> Sequence[bytes]:
    """Return snapshot files."""
    return [b"".join(encode_snapshot(3, parts[0], parts[1:])) for parts in _parts()]


@cache
def snapshot_parts() -> Sequence[bytes]:
    """Return the same before they are put together."""
    return [SEALED_CHUNK.join(parts) for parts in _parts()]


def seal_snapshot(data: bytes) -> bytes:
    """Put spoiled parts together as a file whose checksums are right."""
    metadata, *chunks = data.split(SEALED_CHUNK)
    return b"".join(encode_snapshot(3, metadata, [chunk for chunk in chunks if chunk]))


def judge_snapshot(data: bytes) -> str:
    """Give bytes to the reader of snapshot files."""
    file = scratch() / "snapshot"
    file.write_bytes(data)
    try:
        read_snapshot(file).summary()
    except SnapshotDamaged as error:
        return _named(error, file)
    return "taken"
