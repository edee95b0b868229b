"""A disk with fault points, and the virtual time its syncs take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from transport.fault_points import reach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.storage.disk import Buffer, Disk, File


def checked_seconds(sync_seconds: float) -> float:
    """Return the seconds that a sync takes.

    Raises:
        ValueError: nothing can take so long.
    """
    if not 0 <= sync_seconds < math.inf:
        raise ValueError(f"a sync cannot take {sync_seconds} s")
    return sync_seconds


class SyncClock:
    """Seconds as the log measures its syncs with: they pass only while one runs."""

    def __init__(self, sync_seconds: float) -> None:
        self.sync_seconds = checked_seconds(sync_seconds)
        self._now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self._now

    def sync(self) -> None:
        """Let a sync take its time."""
        self._now += self.sync_seconds


class PointedFile:
    """A file of a ``PointedDisk``; see ``File``."""

    def __init__(self, file: File, disk: PointedDisk) -> None:
        self._file = file
        self._disk = disk
        self.read, self.settle, self.size_bytes, self.close = file.read, file.settle, file.size_bytes, file.close

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """See ``File``."""
        if not self._disk.cut:
            reach("disk.write")
            self._file.write(offset, buffers)

    def sync(self) -> None:
        """See ``File``."""
        reach("disk.sync")
        self._disk.clock.sync()
        self._file.sync()


class PointedDisk:
    """A disk that reaches a fault point before each change; see ``Disk``.

    Attributes:
        clock: passes while a sync runs.
        cut: the process that writes is dead: nothing more of it comes to its files.
    """

    def __init__(self, disk: Disk, clock: SyncClock) -> None:
        self._disk = disk
        self.clock = clock
        self.cut = False
        self.names = disk.names

    @property
    def path(self) -> str:
        """See ``Disk``."""
        return self._disk.path

    def open(self, name: str, *, writable: bool = False) -> PointedFile:
        """See ``Disk``."""
        return PointedFile(self._disk.open(name, writable=writable), self)

    def create(self, name: str, size_bytes: int = 0) -> PointedFile:
        """See ``Disk``."""
        reach("disk.create")
        return PointedFile(self._disk.create(name, size_bytes), self)

    def rename(self, old: str, new: str) -> None:
        """See ``Disk``."""
        reach("disk.rename")
        self._disk.rename(old, new)

    def remove(self, name: str) -> None:
        """See ``Disk``."""
        reach("disk.remove")
        self._disk.remove(name)

    def sync_folder(self) -> None:
        """See ``Disk``."""
        reach("disk.sync_folder")
        self._disk.sync_folder()
