"""All access to files goes through one small protocol, so that a simulated disk can stand in for the real one.

A ``Disk`` is one flat folder.  What its methods promise is what POSIX promises and no more; a simulated disk takes back whatever is not
promised:

* what was written to a file is durable once ``File.sync`` came back, and until then any of its sectors may or may not be;
* that a name was created, renamed or removed is durable once ``sync_folder`` came back;
* a sector (512 bytes) is written whole or not at all, and a write leaves the other bytes of its sectors alone.

Methods raise ``OSError`` and nothing else; who calls them knows what the file means and turns it into a ``StorageError``.

``create`` writes real zeros.  A file of the right size whose blocks are all written needs no metadata when it is written over, so that
``fdatasync`` waits for one write of the device and not for the file system's journal too.  Rejected: ``fallocate`` alone (its extents are
marked unwritten, and each first write has to unmark them in the journal), files that grow (size and extents change with every sync), and
``O_DIRECT`` (alignment would pad each small batch to a block; the page cache does that for us).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

Buffer = bytes | bytearray | memoryview

IOV_MAX: Final = 1024
"""Most buffers one ``pwritev`` takes (Linux)."""

ZEROS: Final = bytes(1 << 20)
"""A MiB of nothing: files are filled, and compared, with it piece by piece."""

PARTIAL: Final = ".partial"
"""Ends the name of a file that is still being written; one that is found at a start was never finished."""


class File(Protocol):
    """An open file of a disk. ``sync`` may be called in one thread while ``write`` is called in another."""

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Read so many bytes; fewer only at the end of the file."""

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write buffers one behind the other, all of them; on an error any part of them may have been written."""

    def sync(self) -> None:
        """Wait until everything written so far is durable, and the size if it changed (``fdatasync``)."""

    def settle(self) -> None:
        """Make reads tell what the device holds: sync everything, then forget what memory holds of the file."""

    def size_bytes(self) -> int:
        """Size of the file."""

    def close(self) -> None:
        """Give the descriptor back; syncs nothing. May be called twice."""


class Disk(Protocol):
    """One folder; names are plain file names in it."""

    @property
    def path(self) -> str:
        """What errors call the folder."""

    def names(self) -> list[str]:
        """List the files, sorted."""

    def open(self, name: str, *, writable: bool = False) -> File:
        """Open a file that exists."""

    def create(self, name: str, size_bytes: int = 0) -> File:
        """Make a file of zeros that are durable (its name is not), open for writing; one of that name loses its content."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in the place of a file that had it."""

    def remove(self, name: str) -> None:
        """Remove a file."""

    def sync_folder(self) -> None:
        """Wait until all names are durable."""


class OsFile:
    """A file of the operating system; see ``File``."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, offset: int, size_bytes: int) -> bytes:
        """See ``File``."""
        data = os.pread(self._fd, size_bytes, offset)
        if len(data) == size_bytes or not data:
            return data
        pieces = [data]  # the kernel gives at most 2 GiB at once
        while data:
            offset += len(data)
            size_bytes -= len(data)
            data = os.pread(self._fd, size_bytes, offset)
            pieces.append(data)
        return b"".join(pieces)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """See ``File``."""
        for low in range(0, len(buffers), IOV_MAX):
            some = buffers[low : low + IOV_MAX]
            size = sum(map(len, some))
            written = os.pwritev(self._fd, some, offset)
            offset += written
            if written < size:
                offset = self._write_rest(offset, memoryview(b"".join(some))[written:])

    def _write_rest(self, offset: int, rest: memoryview) -> int:
        """Go on after a partial write; a full disk then says so."""
        while rest:
            written = os.pwrite(self._fd, rest, offset)
            offset += written
            rest = rest[written:]
        return offset

    def sync(self) -> None:
        """See ``File``."""
        os.fdatasync(self._fd)

    def settle(self) -> None:
        """See ``File``. A page whose write failed counts as clean and still shows what never reached the device; dropping it shows the truth."""
        os.fsync(self._fd)
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def size_bytes(self) -> int:
        """See ``File``."""
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        """See ``File``."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class OsDisk:
    """A folder of the operating system; see ``Disk``.

    Args:
        path: the folder; it exists.
    """

    def __init__(self, path: str | Path) -> None:
        self._folder = Path(path)

    @property
    def path(self) -> str:
        """See ``Disk``."""
        return str(self._folder)

    def names(self) -> list[str]:
        """See ``Disk``."""
        return sorted(os.listdir(self._folder))  # noqa: PTH208 - names are wanted, not paths

    def open(self, name: str, *, writable: bool = False) -> OsFile:
        """See ``Disk``."""
        return OsFile(os.open(self._folder / name, os.O_RDWR if writable else os.O_RDONLY))

    def create(self, name: str, size_bytes: int = 0) -> OsFile:
        """See ``Disk``."""
        fd = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        file = OsFile(fd)
        try:
            if size_bytes:
                os.posix_fallocate(fd, 0, size_bytes)  # one piece of the disk, and a full one is noticed before it is filled
                fill_zeros(file, 0, size_bytes)
                os.fsync(fd)
        except OSError:
            file.close()
            raise
        return file

    def rename(self, old: str, new: str) -> None:
        """See ``Disk``."""
        (self._folder / old).rename(self._folder / new)

    def remove(self, name: str) -> None:
        """See ``Disk``."""
        (self._folder / name).unlink()

    def sync_folder(self) -> None:
        """See ``Disk``."""
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def fill_zeros(file: File, low: int, high: int) -> None:
    """Write zeros over the bytes from ``low`` up to ``high``; syncs nothing."""
    for at in range(low, high, len(ZEROS)):
        file.write(at, [memoryview(ZEROS)[: min(len(ZEROS), high - at)]])


def read_file(disk: Disk, name: str) -> bytes:
    """Read a whole file."""
    file = disk.open(name)
    try:
        return file.read(0, file.size_bytes())
    finally:
        file.close()


def replace_file(disk: Disk, name: str, content: bytes) -> None:
    """Give a file new content, durably: a crash at any moment leaves the old one or the new one."""
    partial = name + PARTIAL
    file = disk.create(partial)
    try:
        file.write(0, [content])
        file.sync()
    finally:
        file.close()
    disk.rename(partial, name)
    disk.sync_folder()


def remove_partials(disk: Disk, prefix: str) -> None:
    """Remove the files that a crash kept from being finished, of those whose names begin so."""
    partials = [name for name in disk.names() if name.startswith(prefix) and name.endswith(PARTIAL)]
    for name in partials:
        disk.remove(name)
    if partials:
        disk.sync_folder()
