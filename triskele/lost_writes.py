"""Who is still to be told that a session ended with writes that may never be committed.

Several tasks share a session.  When it is lost, each of them that wrote to it must hear of it from its own ``flush``, and one of those that flush
must in any case: who writes and who flushes may be two tasks.  Nobody hears of it twice.
"""

from __future__ import annotations

from weakref import WeakSet

import trio


class LostWrites:
    """What the tasks of one owner of sessions wrote and were told; see the module."""

    def __init__(self) -> None:
        self._writers: WeakSet[trio.lowlevel.Task] = WeakSet()  # wrote to the present session
        self._told: WeakSet[trio.lowlevel.Task] = WeakSet()  # heard that the present session is lost
        self._due: WeakSet[trio.lowlevel.Task] = WeakSet()  # wrote to one that was lost, and did not hear of it
        self._unsaid = False  # nobody heard of the last one that was lost
        self._why = ""

    def wrote(self) -> None:
        """The running task wrote to the present session."""
        self._writers.add(trio.lowlevel.current_task())

    def told(self) -> None:
        """The running task heard that the present session is lost."""
        self._told.add(trio.lowlevel.current_task())

    def replaced(self, why: str) -> None:
        """There is another session; why the one before may never commit all of its writes, empty if nothing is missing."""
        if why:
            self._due |= self._writers - self._told
            self._unsaid = not self._told
            self._why = why
        self._writers, self._told = WeakSet(), WeakSet()

    def take(self) -> str:
        """Return why writes of an earlier session may be lost, if the running task is to be told."""
        task = trio.lowlevel.current_task()
        if not self._unsaid and task not in self._due:
            return ""
        self._due.discard(task)
        self._unsaid = False
        return self._why
