"""A thread that syncs, and a caller who waits for it no longer than a turn may.

Nobody knows beforehand that a sync will be slow: the first one of a disk that stalls looks like all those before.  So no sync runs in the turn
itself.  It runs here, the turn waits for it, and when it takes too long the turn goes on without it.

A thread of its own and two locks make a handover of some 20 to 40 µs, there and back; through Trio's thread cache and event loop it costs 150.
"""

from __future__ import annotations

import threading
from typing import Protocol


class Runnable(Protocol):
    """What can be run once and raises nothing, as the jobs of ``jobs``."""

    def run(self) -> None:
        """Do it."""


class JobRunner(Protocol):
    """Runs jobs, one at a time."""

    def run(self, job: Runnable, seconds: float) -> bool:
        """Run a job; returns whether it is done, after so many seconds at most. If not, ``wait`` before the next one."""

    def wait(self) -> None:
        """Wait until the job is done, in any thread."""

    def close(self) -> None:
        """Run nothing any more."""


class InPlace:
    """Runs jobs where it is called, however long that takes: for disks that are in memory."""

    def run(self, job: Runnable, seconds: float) -> bool:  # noqa: ARG002 - the job cannot be left behind
        """See ``JobRunner``."""
        job.run()
        return True

    def wait(self) -> None:
        """See ``JobRunner``."""

    def close(self) -> None:
        """See ``JobRunner``."""


class SyncThread:
    """Runs jobs in a thread of its own; see the module. The thread ends with the process, or with ``close``."""

    def __init__(self) -> None:
        self._job: Runnable | None = None
        self._begin = threading.Lock()  # released when there is a job, or none will come any more
        self._done = threading.Lock()  # released when the job is done
        self._begin.acquire()
        self._done.acquire()
        threading.Thread(target=self._serve, name="sync", daemon=True).start()

    def run(self, job: Runnable, seconds: float) -> bool:
        """See ``JobRunner``."""
        assert self._job is None, "one job at a time"
        self._job = job
        self._begin.release()
        return self._take(seconds)

    def wait(self) -> None:
        """See ``JobRunner``."""
        if self._job is not None:
            self._take(-1)

    def close(self) -> None:
        """See ``JobRunner``. A job under way is not waited for."""
        if self._job is None:
            self._begin.release()

    def _take(self, seconds: float) -> bool:
        """Wait for the job's end; returns whether it came."""
        if not self._done.acquire(timeout=seconds):
            return False
        self._job = None
        return True

    def _serve(self) -> None:
        while True:
            self._begin.acquire()
            job = self._job
            if job is None:
                return
            job.run()
            self._done.release()
