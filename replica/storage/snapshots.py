"""Snapshot files: one large state, written and read as a stream of chunks that are each checked.

::

    header    "<8sIQII" magic, version, index, bytes of the metadata, CRC-32 of the header so far and the metadata; the metadata
    chunk     "<II" bytes (at least 1), CRC-32 of number, bytes and content; the content
    ...
    footer    "<IIQQI" 0, CRC-32 of all chunks' checksums, chunks, bytes of their contents, CRC-32 of the footer

A file has its final name only when it is whole and durable, so one that is cut or altered was not left so by a crash. The footer is looked at
first: a file that was cut is refused before any chunk of it is believed. Chunks are read one by one: a snapshot is never held whole.

What must not live here: what a chunk means, which snapshot is needed.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final
from zlib import crc32

from replica.storage.disk import PARTIAL, remove_partials
from replica.storage.errors import CorruptSnapshot, DiskFailed, ForeignFolder, disk_errors, disk_failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from replica.storage.disk import Disk

MAGIC: Final = b"TSKSNAP\n"
VERSION: Final = 1
CHUNK_BYTES_MAX: Final = 64 * 1024 * 1024
"""A larger chunk is a bug: readers hold a chunk whole."""
METADATA_BYTES_MAX: Final = 16 * 1024 * 1024

_PREFIX: Final = "snapshot-"
_NAME = re.compile(r"snapshot-(\d{16})\.chunks")
_HEADER = struct.Struct("<8sIQI")
_CHUNK = struct.Struct("<II")
_FOOTER = struct.Struct("<IIQQ")
_NUMBERED = struct.Struct("<QI")
_CRC = struct.Struct("<I")
_HEADER_BYTES = _HEADER.size + _CRC.size
_FOOTER_BYTES = _FOOTER.size + _CRC.size


def snapshot_name(index: int) -> str:
    """Name the file of a snapshot."""
    return f"{_PREFIX}{index:016d}.chunks"


def snapshot_indexes(disk: Disk) -> list[int]:
    """List the snapshots in a folder, in order."""
    with disk_errors(disk.path):
        return sorted(int(found[1]) for name in disk.names() if (found := _NAME.fullmatch(name)))


def latest(disk: Disk) -> int | None:
    """Tell the index of the newest snapshot that was committed; None if there is none."""
    return max(snapshot_indexes(disk), default=None)


def discard_below(disk: Disk, index: int) -> None:
    """Remove the snapshots of lower indexes, durably. One that is being read stays readable to the end."""
    with disk_errors(disk.path):
        gone = [found for found in snapshot_indexes(disk) if found < index]
        for found in gone:
            disk.remove(snapshot_name(found))
        if gone:
            disk.sync_folder()


def remove_unfinished(disk: Disk) -> None:
    """Remove the snapshots that a crash kept from being finished; to be called at a start, before any writer is made."""
    with disk_errors(disk.path):
        remove_partials(disk, _PREFIX)


def _checksum(number: int, chunk: bytes) -> int:
    return crc32(chunk, crc32(_NUMBERED.pack(number, len(chunk))))


class SnapshotWriter:
    """Writes one snapshot, in any thread; nothing is there until ``commit``.

    Args:
        disk: where.
        index: of the last log entry in it; names the file.
        metadata: the caller's, up to ``METADATA_BYTES_MAX``.

    Attributes:
        chunks: written so far.
        content_bytes: of them.

    Raises:
        DiskFull: there is no room.
        DiskFailed: the disk refused.
    """

    def __init__(self, disk: Disk, index: int, metadata: bytes) -> None:
        assert len(metadata) <= METADATA_BYTES_MAX, f"metadata of {len(metadata)} bytes"
        self._disk = disk
        self._name = snapshot_name(index)
        self._path = f"{disk.path}/{self._name}"
        self._crc = 0  # of all chunks' checksums
        self._at = 0
        self._failure: DiskFailed | None = None
        self.chunks = 0
        self.content_bytes = 0
        try:
            self._file = disk.create(self._name + PARTIAL)
        except OSError as error:
            raise disk_failed(self._path, error) from error
        head = _HEADER.pack(MAGIC, VERSION, index, len(metadata))
        try:
            self._put([head, _CRC.pack(crc32(metadata, crc32(head))), metadata])
        except DiskFailed:
            self.abort()
            raise

    def write(self, chunk: bytes) -> None:
        """Write the next chunk, 1 to ``CHUNK_BYTES_MAX`` bytes; a MiB or more reads fastest.

        Raises:
            DiskFull: there is no room for it; the writer can only be aborted.
            DiskFailed: the disk refused; likewise.
        """
        assert 0 < len(chunk) <= CHUNK_BYTES_MAX, f"a chunk of {len(chunk)} bytes"
        crc = _checksum(self.chunks, chunk)
        self._put([_CHUNK.pack(len(chunk), crc), chunk])
        self._crc = crc32(_CRC.pack(crc), self._crc)
        self.chunks += 1
        self.content_bytes += len(chunk)

    def commit(self) -> None:
        """Make the snapshot durable and give it its name: it is there, whole, or not at all. Takes as long as the disk needs for all of it.

        Raises:
            DiskFull: there is no room for all of it; the snapshot does not exist.
            DiskFailed: the disk refused; nobody knows whether the snapshot has its name.
        """
        footer = _FOOTER.pack(0, self._crc, self.chunks, self.content_bytes)
        self._put([footer, _CRC.pack(crc32(footer))])
        try:
            self._file.sync()
            self._file.close()
            self._disk.rename(self._name + PARTIAL, self._name)
        except OSError as error:
            raise self._fail(error) from error
        with disk_errors(self._path):
            self._disk.sync_folder()

    def abort(self) -> None:
        """Give up, and remove what was written. A disk that refuses this leaves the file to the next start."""
        self._file.close()
        try:
            self._disk.remove(self._name + PARTIAL)
        except OSError as error:
            self._fail(error)

    def _put(self, buffers: list[bytes]) -> None:
        if self._failure is not None:
            raise type(self._failure)(self._failure.file, self._failure.why)
        try:
            self._file.write(self._at, buffers)
        except OSError as error:
            raise self._fail(error) from error
        self._at += sum(map(len, buffers))

    def _fail(self, error: OSError) -> DiskFailed:
        self._file.close()
        self._failure = disk_failed(self._path, error)
        return self._failure


class SnapshotReader:
    """Reads one snapshot; header and footer at once, chunks when they are asked for.

    Args:
        disk: where.
        index: of the snapshot.

    Attributes:
        metadata: the writer's.
        chunks: how many there are.
        content_bytes: of them.

    Raises:
        CorruptSnapshot: the file was cut or altered.
        ForeignFolder: another format version wrote it.
        DiskFailed: it could not be read.
    """

    def __init__(self, disk: Disk, index: int) -> None:
        self.index = index
        self._path = f"{disk.path}/{snapshot_name(index)}"
        with disk_errors(self._path):
            self._file = disk.open(snapshot_name(index))
        try:
            with disk_errors(self._path):
                self._end = self._file.size_bytes() - _FOOTER_BYTES  # where the footer begins
            self.metadata = self._read_header()
            self._start = _HEADER_BYTES + len(self.metadata)
            self._crc, self.chunks, self.content_bytes = self._read_footer()
        except BaseException:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks in order, each checked; none may be trusted with the whole before the last one came.

        Raises:
            CorruptSnapshot: the file was altered; names the chunk's offset.
            DiskFailed: it could not be read.
        """
        at, crc_of_all = self._start, 0
        for number in range(self.chunks):
            size, crc = _CHUNK.unpack(self._read(at, _CHUNK.size))
            if not 0 < size <= CHUNK_BYTES_MAX or at + _CHUNK.size + size > self._end:
                raise CorruptSnapshot(self._path, at, f"chunk {number} cannot have {size} bytes")
            chunk = self._read(at + _CHUNK.size, size)
            if crc != _checksum(number, chunk):
                raise CorruptSnapshot(self._path, at, f"chunk {number} does not match its checksum")
            crc_of_all = crc32(_CRC.pack(crc), crc_of_all)
            at += _CHUNK.size + size
            if number + 1 == self.chunks and (at != self._end or crc_of_all != self._crc):
                raise CorruptSnapshot(self._path, at, "the chunks are not those that the footer counts")
            yield chunk

    def close(self) -> None:
        """Give the descriptor back."""
        self._file.close()

    def _read(self, offset: int, size_bytes: int) -> bytes:
        with disk_errors(self._path):
            data = self._file.read(offset, size_bytes)
        if len(data) < size_bytes:
            raise CorruptSnapshot(self._path, offset + len(data), "the file ends too early")
        return data

    def _read_header(self) -> bytes:
        head = self._read(0, _HEADER.size)
        (crc,) = _CRC.unpack(self._read(_HEADER.size, _CRC.size))
        magic, version, index, size = _HEADER.unpack(head)
        if magic != MAGIC or size > METADATA_BYTES_MAX or _HEADER_BYTES + size > self._end:
            raise CorruptSnapshot(self._path, 0, "the header is cut or altered")
        metadata = self._read(_HEADER_BYTES, size)
        if crc != crc32(metadata, crc32(head)):
            raise CorruptSnapshot(self._path, 0, "header and metadata do not match their checksum")
        if version != VERSION:
            advice = "run the version of this program that wrote it"
            raise ForeignFolder(self._path, f"format version {version}", f"format version {VERSION}", advice)
        if index != self.index:
            raise CorruptSnapshot(self._path, 0, f"the header is that of snapshot {index}")
        return metadata

    def _read_footer(self) -> tuple[int, int, int]:
        footer = self._read(self._end, _FOOTER.size)
        (crc,) = _CRC.unpack(self._read(self._end + _FOOTER.size, _CRC.size))
        mark, crc_of_all, chunks, content_bytes = _FOOTER.unpack(footer)
        if crc != crc32(footer) or mark:
            raise CorruptSnapshot(self._path, self._end, "the footer is cut or altered")
        if self._start + content_bytes + chunks * _CHUNK.size != self._end:
            raise CorruptSnapshot(self._path, self._end, f"{chunks} chunks of {content_bytes} bytes do not fill the file")
        return crc_of_all, chunks, content_bytes
