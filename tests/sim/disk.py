"""A replica's disk in a world: batches of journal records, synced or not.

A crash keeps what is synced, and of the rest some beginning; the records of a batch that was being written may be cut anywhere (a torn tail).
A disk that fails takes some of what it was given, and nobody knows how much: its process ends, as in a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.journal import Applied, Durable

if TYPE_CHECKING:
    import random

    from replica.core.journal import JournalRecord
    from replica.core.node import Node


class DiskFailed(Exception):
    """The disk refused; whoever gave it something must end and say nothing more."""


@attrs.define(eq=False)
class Disk:
    """The journal of one replica."""

    base: Applied | None = None
    """The newest snapshot."""
    records: list[JournalRecord] = attrs.Factory(list)
    batches: list[tuple[int, int]] = attrs.Factory(list)
    """(number, records up to its end) of batches that are written and not synced."""
    synced: int = 0
    """Records that are safe."""
    syncs: int = 0
    failing: str = ""
    """What it refuses: the next "write", the next "sync", or, being "full", all writes."""

    def _refuse(self, *what: str) -> None:
        if self.failing in what:
            failed, self.failing = self.failing, "full" if self.failing == "full" else ""
            raise DiskFailed("the disk is full" if failed == "full" else f"a {failed} failed")

    def write(self, batch: int, records: list[JournalRecord]) -> None:
        """Write a batch; it is not safe yet.

        Raises:
            DiskFailed: some of it may be written.
        """
        self.records += records
        self._refuse("write", "full")
        self.batches.append((batch, len(self.records)))

    def sync(self, batch: int) -> list[JournalRecord]:
        """Everything written up to a batch is safe; returns what was not before.

        Raises:
            DiskFailed: any of it may be safe.
        """
        self._refuse("sync")
        self.syncs += 1
        before = self.synced
        while self.batches and self.batches[0][0] <= batch:
            self.synced = self.batches.pop(0)[1]
        return self.records[before : self.synced]

    def crash(self, rng: random.Random) -> None:
        """Lose power: what is not synced survives up to somewhere."""
        del self.records[rng.randint(self.synced, len(self.records)) :]
        self.synced = len(self.records)
        self.batches.clear()

    def snapshot(self, node: Node, checkpoint: list[JournalRecord]) -> None:
        """Put the applied state of this moment on disk, and begin the journal anew.

        Raises:
            DiskFailed: the snapshot before it and the journal are what they were.
        """
        self._refuse("write", "full")
        view = node.log.view_at(node.applied_index)
        assert view is not None
        told = node.configurations.at(node.applied_index)
        self.base = Applied(node.store.clone(), node.sessions.clone(), node.applied_index, view, node.applied_position, told)
        self.records = checkpoint
        self.synced = len(checkpoint)
        self.batches = [(batch, self.synced) for batch, _ in self.batches]

    def read(self) -> Durable:
        """Tell what a start finds."""
        base = self.base
        durable = Durable(base and attrs.evolve(base, store=base.store.clone(), sessions=base.sessions.clone()))
        if not durable.replay(self.records):
            self.records = durable.records()
            self.synced = len(self.records)
        return durable
