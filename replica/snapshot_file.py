"""A snapshot as a file of its own, outside of any data folder: what is saved from one cluster and restored into another.

Its bytes are those of ``replica.storage.snapshots``, which writes and reads files under names of its own, on a disk.  So here are two small disks:
one whose files go nowhere, and give back what was written to them, piece by piece; and one that finds a single file under any name.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs

from replica.journal_codec import restore
from replica.storage.disk import OsDisk, OsFile
from replica.storage.errors import Corrupt, DiskFailed, ForeignFolder, disk_errors
from replica.storage.snapshots import SnapshotReader, SnapshotWriter
from statemachine.sessions import EXPIRED_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from replica.core.journal import Applied
    from replica.storage.disk import Buffer

_INDEX: Final = struct.Struct("<8sIQ")
"""How a file begins: magic, version, index."""


class SnapshotDamaged(Exception):
    """A file is no snapshot, or was cut or altered; the message names the file and the place in it."""

    exit_status = 1


class SnapshotUnreadable(Exception):
    """A file cannot be read; the message names it and says why."""

    exit_status = 2


# ------------------------------------------------------------------------------------------------------------------------- writing


class _Outflow(OsFile):
    """A file that keeps what is written until it is taken."""

    __slots__ = ("_written",)

    def __init__(self) -> None:
        super().__init__(-1)
        self._written: list[Buffer] = []

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:  # noqa: ARG002 - a snapshot is written from its first byte to its last
        self._written += buffers

    def sync(self) -> None:
        """Nothing is anywhere."""

    def take(self) -> bytes:
        """Hand over what was written since the last time."""
        written, self._written = self._written, []
        return b"".join(written)


class _OutflowDisk(OsDisk):
    """A disk on which there is one file, which goes nowhere."""

    def __init__(self) -> None:
        super().__init__("")
        self.file = _Outflow()

    def create(self, name: str, size_bytes: int = 0) -> OsFile:  # noqa: ARG002 - whatever it is called
        return self.file

    def rename(self, old: str, new: str) -> None:
        """It has no name."""

    def sync_folder(self) -> None:
        """It is in no folder."""


def encode_snapshot(index: int, metadata: bytes, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a snapshot file, a piece for each chunk; each chunk is asked for when the piece before was taken.

    Args:
        index: Of the last log entry in it.
        metadata: As ``journal_codec.encode_metadata`` makes it.
        chunks: As ``journal_codec.snapshot_chunks`` makes them.
    """
    disk = _OutflowDisk()
    writer = SnapshotWriter(disk, index, metadata)
    yield disk.file.take()
    for chunk in chunks:
        writer.write(chunk)
        yield disk.file.take()
    writer.commit()
    yield disk.file.take()


# ------------------------------------------------------------------------------------------------------------------------- reading


class _Alias(OsDisk):
    """A folder in which one file goes by every name."""

    def __init__(self, file: Path) -> None:
        super().__init__(file.parent)
        self._name = file.name

    def open(self, name: str, *, writable: bool = False) -> OsFile:  # noqa: ARG002 - whatever it is called; only read
        return super().open(self._name)


@attrs.frozen
class Content:
    """What a snapshot file holds.

    Attributes:
        applied: The state; a reader may change it.
        chunks: Of the file.
        content_bytes: Of them.
    """

    applied: Applied
    chunks: int
    content_bytes: int

    def summary(self) -> dict[str, object]:
        """Tell what operators want to know of it; works the state hash out, about a second for 500 thousand keys."""
        store = self.applied.store
        return {
            "position": self.applied.position,
            "index": self.applied.index,
            "view": self.applied.view,
            "keys": store.live,
            "tombstones": len(store.entries) - store.live,
            "sessions": len(self.applied.sessions),
            "chunks": self.chunks,
            "content_bytes": self.content_bytes,
            "state_hash": f"{store.state_hash():016x}",
        }


def read_snapshot(file: Path) -> Content:
    """Read a snapshot file, check all of it, and build the state that it tells.

    Raises:
        SnapshotDamaged: It is no snapshot, or was cut or altered, or is of another format.
        SnapshotUnreadable: It cannot be read.
    """
    with _told_of(file):
        reader = SnapshotReader(_Alias(file), _read_index(file))
        try:
            applied = restore(reader.metadata, reader, EXPIRED_MAX, str(file))
        finally:
            reader.close()
        if applied.index != reader.index:
            raise Corrupt(str(file), 0, "the metadata are not those of this snapshot")
        return Content(applied, reader.chunks, reader.content_bytes)


def _read_index(file: Path) -> int:
    """Return the index that a file says it has; 0 if it is too short to say any, which the reader will notice."""
    with disk_errors(str(file)), file.open("rb") as stream:
        head = stream.read(_INDEX.size)
    return int(_INDEX.unpack(head)[2]) if len(head) == _INDEX.size else 0


@contextmanager
def _told_of(file: Path) -> Iterator[None]:
    """Turn the storage's errors, which speak of a replica's folder, into errors of this file."""
    try:
        yield
    except Corrupt as error:
        raise SnapshotDamaged(f"{file}: byte {error.offset}: {error.why}") from error
    except ForeignFolder as error:
        raise SnapshotDamaged(f"{file}: found {error.found}, wanted {error.wanted}") from None
    except DiskFailed as error:
        raise SnapshotUnreadable(f"{file}: {error.why}") from None
