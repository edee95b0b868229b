"""What must be on disk, and what may be said only when it is there.

Everything durable of one replica is one sequence of *journal records*: commands its witness holds, levels of its chains, log entries and cuts,
views and votes.  One sequence, so that one sync covers a whole turn.  Records gather in a *batch*, which a turn closes and hands to the driver;
when the driver says that a batch is persisted, what waited for it is free to go.  The order that this keeps (docs/protocol.md, "What is on disk"):

- a view and a vote before any message of that view;
- entries before the ack that covers them, at the leader before it counts itself for a commit;
- held commands and levels before the verdict, the speculation or the read that rests on them.

With ``memory`` durability only views and votes are records: a replica that comes back must know how it voted, whatever else it lost.

What must not live here: files, syncs, bytes (``replica.storage``, ``replica.journal_codec``).  Source: Raft (Ongaro & Ousterhout, ATC'14, figure 2)
for what is persistent; holding replies back until the log is synced is group commit (DeWitt et al., SIGMOD'84).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from replica.core import messages as m
from replica.core.held_records import as_record, join_records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attrs import frozen as message

    from replica.core.configuration import Configuration
    from replica.core.witness import Chain, Run
    from statemachine.sessions import Sessions
    from statemachine.store import Store
else:
    message = attrs.define(eq=True)  # as in ``messages``


@message
class Voted:
    """The view joined, and who was voted for in it (-1: nobody)."""

    view: int
    voted_for: int


@message
class Cut:
    """Every entry above ``index`` is gone: a newer view's leader has others there."""

    index: int


@message
class Committed:
    """Entries up to ``index`` are committed: a hint that shortens the next start, and never forces a sync."""

    index: int


@message
class Installed:
    """The state machine was replaced by a leader's snapshot at the end of entry ``index``, and the log began anew: what follows rests on a snapshot
    on disk of that entry or a later one."""

    index: int
    view: int
    position: int


@message
class Began:
    """The journal begins anew beside a snapshot at the end of entry ``index``: what follows tells everything beyond that state, and what was written
    before it, of which parts may be gone already, does not matter if there is a snapshot of that entry or a later one."""

    index: int


@message
class Levels:
    """How far chains are accepted and anchored."""

    sessions: list[int]
    accepted: list[int]
    anchored: list[int]


@message
class Forgotten:
    """A new leader in mode ``ht`` gave up the chain of ``session`` above ``number``: a causal write is missing there (``recovery``)."""

    session: int
    number: int


JournalRecord = m.Record | m.Entry | Voted | Cut | Committed | Levels | Forgotten | Installed | Began


class JournalError(Exception):
    """A journal tells no state: something in it is missing. Whoever keeps it is to blame."""


@attrs.define(eq=False)
class Held:
    """One session's chain as the journal tells it."""

    runs: list[Run] = attrs.Factory(list)
    accepted: int = 0
    anchored: int = 0

    def forget_after(self, number: int) -> None:
        """Drop everything above ``number``."""
        self.runs = [run.upto(number) for run in self.runs if run.first <= number]
        self.accepted, self.anchored = min(self.accepted, number), min(self.anchored, number)


@attrs.define(eq=False)
class Applied:
    """A state machine at the end of some entry: a snapshot, or the beginning."""

    store: Store
    sessions: Sessions
    index: int = 0
    view: int = 0
    position: int = 0
    configuration: Configuration | None = None
    """None: the cluster's first."""


@attrs.define(eq=False)
class Durable:
    """What a replica finds when it starts again: a snapshot, and what its journal says beyond it."""

    applied: Applied | None = None
    """None: no snapshot yet, everything is in the log."""
    voted: Voted = attrs.Factory(lambda: Voted(0, -1))
    entries: list[m.Entry] = attrs.Factory(list)
    """Consecutive, from just above the snapshot."""
    committed: int = 0
    chains: dict[int, Held] = attrs.Factory(dict)
    # {session: what its chain held}
    forgotten: bool = False
    """With ``memory`` durability only the vote was kept: what this replica acknowledged in views up to that one is forgotten."""

    def replay(self, records: Iterable[JournalRecord], *, whole: bool = True) -> bool:
        """Lay records over this state, in the order in which they were written; a record that is laid twice changes nothing.

        Args:
            records: of the journal, from the first one that is left.
            whole: whether that is the first one that was ever written; those before it went because a snapshot stood for them.

        Returns:
            Whether all of them count; else a leader's snapshot that was installed never came to disk, and what follows was promised to nobody.

        Raises:
            JournalError: an entry is missing, or the snapshot that stood for what went.
        """
        from replica.core.witness import Run

        base = self.applied.index if self.applied is not None else 0
        for record in _since_last_beginning(list(records), base, whole=whole):
            if isinstance(record, Installed) and base < record.index:
                return False
            match record:
                case m.Entry():
                    self._lay_entry(record, base)
                case m.Record():
                    first = 0
                    for session, number, count, incomplete in zip(record.sessions, record.firsts, record.counts, record.incomplete, strict=True):
                        upto = first + count
                        chain = self.chains.get(session)
                        if chain is None:
                            chain = self.chains[session] = Held()
                        runs = chain.runs
                        if not runs or number > runs[-1].last:
                            kinds, keys, values = record.kinds[first:upto], record.keys[first:upto], record.values[first:upto]
                            runs.append(Run(number, number + count - 1, kinds, keys, values, incomplete))
                        first = upto
                case Levels():
                    for session, accepted, anchored in zip(record.sessions, record.accepted, record.anchored, strict=True):
                        held = self.chains.setdefault(session, Held())
                        held.accepted, held.anchored = max(held.accepted, accepted), max(held.anchored, anchored)
                case Forgotten():
                    self.chains.setdefault(record.session, Held()).forget_after(record.number)
                case Voted():
                    self.voted = record
                case Cut():
                    self._cut(record.index, base)
                case Began():
                    pass  # beside a snapshot that never came: then all that came before it is there
                case Installed():
                    self.entries.clear()  # the log began anew there
                case Committed():
                    self.committed = max(self.committed, record.index)
        return True

    def records(self) -> list[JournalRecord]:
        """Tell this state, beyond the snapshot, as records of a journal that begins anew."""
        base = self.applied.index if self.applied is not None else 0
        records: list[JournalRecord] = [Began(base), self.voted, *self.entries, Committed(self.committed)]
        for session, held in self.chains.items():
            records += [as_record(session, run) for run in held.runs]
        chains = self.chains.values()
        records.append(Levels(list(self.chains), [chain.accepted for chain in chains], [chain.anchored for chain in chains]))
        return records

    def _lay_entry(self, entry: m.Entry, base: int) -> None:
        place = entry.index - base - 1
        if place < 0:
            return  # in the snapshot
        if place < len(self.entries):
            if self.entries[place].view == entry.view:
                return
            self._cut(entry.index - 1, base)
        if place > len(self.entries):
            raise JournalError(f"entry {entry.index} follows entry {base + len(self.entries)}")
        self.entries.append(entry)

    def _cut(self, index: int, base: int) -> None:
        del self.entries[max(index - base, 0) :]


def _since_last_beginning(records: list[JournalRecord], base: int, *, whole: bool) -> list[JournalRecord]:
    """Return the records from the last beginning on that a snapshot of entry ``base`` allows; all if there is none and nothing went."""
    for place in range(len(records) - 1, -1, -1):
        record = records[place]
        if isinstance(record, Began) and record.index <= base:
            return records[place:]
    first = records[0] if records else None
    if isinstance(first, Began):
        raise JournalError(f"the log begins beside a snapshot of entry {first.index}, which is not there")
    if not whole:
        raise JournalError("the log's first records are gone, and no snapshot that is there stands for them")
    return records


@attrs.define(eq=False)
class Journal:
    """The records of one replica on their way to disk."""

    durable: bool
    """Everything is recorded; else views and votes only."""
    records: list[JournalRecord] = attrs.Factory(list)
    """Of the batch that gathers."""
    levels: dict[int, Chain] = attrs.Factory(dict)
    # {session: chain whose levels rose in this batch}
    batch: int = 1
    """Number of the batch that gathers."""
    persisted: int = 0
    """Every batch up to this one is on disk."""
    urgent: bool = False
    """Something of this batch is waited for: it wants a sync."""
    view_batch: int = 0
    """The batch that holds the newest view."""
    marks: deque[tuple[int, int]] = attrs.Factory(deque)
    """(batch, index of the last entry written in it or before), oldest first, of batches that are not persisted."""
    durable_index: int = 0
    """Every entry of the log up to this one is on disk, as it is now."""

    @property
    def clear(self) -> bool:
        """Whether nothing that was recorded waits for the disk: what is said now may leave now."""
        return not self.urgent and self.persisted == self.batch - 1

    @property
    def view_safe(self) -> bool:
        """Whether the view is on disk: messages may name it."""
        return self.persisted >= self.view_batch

    def on_voted(self, view: int, voted_for: int) -> None:
        """Record a view and a vote."""
        self.records.append(Voted(view, voted_for))
        self.urgent = True
        self.view_batch = self.batch

    def on_held(self, session: int, run: Run) -> None:
        """Record commands that the witness took."""
        if self.durable:
            self.records.append(as_record(session, run))
            self.urgent = True

    def on_level(self, chain: Chain) -> None:
        """Record that a chain is accepted or anchored further."""
        if self.durable:
            self.levels[chain.session] = chain
            self.urgent = True

    def on_forgotten(self, session: int, number: int) -> None:
        """Record that a chain was given up above ``number``."""
        if self.durable:
            self.records.append(Forgotten(session, number))
            self.urgent = True

    def on_entry(self, entry: m.Entry) -> None:
        """Record an entry appended to the log."""
        if not self.durable:
            self.durable_index = entry.index
            return
        self.records.append(entry)
        self.urgent = True
        if self.marks and self.marks[-1][0] == self.batch:
            self.marks[-1] = (self.batch, entry.index)
        else:
            self.marks.append((self.batch, entry.index))

    def on_cut(self, index: int) -> None:
        """Record that the log ends at ``index`` now."""
        self.durable_index = min(self.durable_index, index)
        self.marks = deque((batch, min(last, index)) for batch, last in self.marks)
        if self.durable:
            self.records.append(Cut(index))
            self.urgent = True

    def on_installed(self, index: int, view: int, position: int) -> None:
        """Record that a snapshot replaced the state machine, and maybe the log: what is recorded from now on rests on it."""
        self.durable_index = min(self.durable_index, index)  # what lay above was another log's
        self.marks = deque((batch, min(last, index)) for batch, last in self.marks)
        if not self.durable:
            self.durable_index = index
            return
        self.records.append(Installed(index, view, position))
        self.marks.append((self.batch, index))
        self.urgent = True

    def on_committed(self, index: int) -> None:
        """Note a commit; it goes to disk with what goes anyway."""
        if self.durable:
            self.records.append(Committed(index))

    def take(self) -> list[JournalRecord]:
        """Close the batch, if it is worth a write: returns its records, none if everything stays as it is."""
        if not self.urgent:
            return []
        records, self.records, self.urgent = join_records(self.records), [], False
        if self.levels:
            chains, self.levels = self.levels, {}
            records.append(Levels(list(chains), [chain.accepted for chain in chains.values()], [chain.anchored for chain in chains.values()]))
        if records:
            self.batch += 1
        return records

    def on_persisted(self, batch: int) -> None:
        """Every batch up to ``batch`` is on disk."""
        assert self.persisted <= batch < self.batch, (self.persisted, batch, self.batch)
        self.persisted = batch
        while self.marks and self.marks[0][0] <= batch:
            self.durable_index = max(self.durable_index, self.marks.popleft()[1])
