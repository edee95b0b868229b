"""The slow parts of the log's work as jobs that a thread may run while the log goes on.

A job is begun and finished by the log, in the log's own thread. In between ``run`` touches descriptors and names and nothing of the log's
bookkeeping, so it needs no lock. It raises nothing: what went wrong is told to whoever finishes the job, in the thread that can act on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replica.storage.errors import DiskFailed, words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replica.storage.disk import Disk
    from replica.storage.segments import Segment


class Job:
    """Something slow to be done once.

    Attributes:
        done: ``run`` has come to its end.
        failure: what went wrong in it; None if nothing did.
    """

    __slots__ = ("done", "failure")

    def __init__(self) -> None:
        self.done = False
        self.failure: DiskFailed | None = None


class SyncJob(Job):
    """A sync of the segments that were written since the one before.

    Attributes:
        upto: position up to which the log is durable when it succeeded.
        segments: to be synced, in order.
        seconds: how long it took.
    """

    __slots__ = ("_clock", "_path", "seconds", "segments", "upto")

    def __init__(self, path: str, segments: Sequence[Segment], upto: int, clock: Callable[[], float]) -> None:
        super().__init__()
        self._path = path
        self._clock = clock
        self.segments = segments
        self.upto = upto
        self.seconds = 0.0

    def run(self) -> None:
        """Sync, in any thread."""
        began = self._clock()
        for segment in self.segments:
            assert segment.file is not None
            try:
                segment.file.sync()
            except OSError as error:
                self.failure = DiskFailed(f"{self._path}/{segment.name}", f"sync failed: {words(error)}")
                break
        self.seconds = self._clock() - began
        self.done = True


class DiscardJob(Job):
    """The removal of old segments; see ``DurableLog.begin_discard``."""

    __slots__ = ("_disk", "_names")

    def __init__(self, disk: Disk, names: Sequence[str]) -> None:
        super().__init__()
        self._disk = disk
        self._names = names

    def run(self) -> None:
        """Remove the files, in any thread: the oldest first, each durably, so that a crash never leaves a gap between segments."""
        for name in self._names:
            try:
                self._disk.remove(name)
                self._disk.sync_folder()
            except OSError as error:
                self.failure = DiskFailed(f"{self._disk.path}/{name}", words(error))
                break
        self.done = True
