"""The requests of a turn: columns that grow while sessions submit, and the one frame for each replica that they become.

Sections that several replicas get are one object, so that they are encoded once.  Who gets what is the mode's matter: in ``ho`` and ``curp`` all
voters get all logged commands, in ``ht`` only the leader gets causal ones, in ``paxos`` nobody else gets any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core import messages as m

if TYPE_CHECKING:
    from replica.core.config import Mode
    from replica.core.flights import ReadFlight
    from replica.core.messages import Message, Query, Value
    from replica.core.witness import Run


@attrs.define(eq=False)
class Records:
    """A ``Record`` while it grows."""

    sessions: list[int] = attrs.Factory(list)
    firsts: list[int] = attrs.Factory(list)
    counts: list[int] = attrs.Factory(list)
    previous: list[int] = attrs.Factory(list)
    incomplete: list[int] = attrs.Factory(list)
    kinds: list[bytes] = attrs.Factory(list)
    keys: list[bytes] = attrs.Factory(list)
    values: list[Value] = attrs.Factory(list)

    def add(self, session: int, run: Run, previous: int) -> None:
        """Add a run; one that continues the last one is merged with it."""
        if self.sessions and self.sessions[-1] == session and previous == run.first - 1 == self.firsts[-1] + self.counts[-1] - 1:
            self.counts[-1] += len(run.keys)
        else:
            self.sessions.append(session)
            self.firsts.append(run.first)
            self.counts.append(len(run.keys))
            self.previous.append(previous)
            self.incomplete.append(run.incomplete)
        self.kinds.append(run.kinds)
        self.keys += run.keys
        self.values += run.values

    def message(self) -> m.Record:
        """Make the section."""
        return m.Record(self.sessions, self.firsts, self.counts, self.previous, self.incomplete, b"".join(self.kinds), self.keys, self.values)


@attrs.define(eq=False)
class Reads:
    """A read section while it grows; ``last`` is the column of dependencies or floors."""

    sessions: list[int] = attrs.Factory(list)
    firsts: list[int] = attrs.Factory(list)
    counts: list[int] = attrs.Factory(list)
    last: list[int] = attrs.Factory(list)
    queries: list[Query] = attrs.Factory(list)

    def add(self, session: int, flight: ReadFlight, last: int) -> None:
        """Add a submission, or what of it has no answer yet."""
        for place, count in flight.missing():
            self.sessions.append(session)
            self.firsts.append(flight.first + place)
            self.counts.append(count)
            self.last.append(last)
            self.queries += flight.queries if count == flight.count else flight.queries[place : place + count]


@attrs.define(eq=False)
class Target:
    """One replica as this client sees it."""

    linked: bool = False
    queued_bytes: int = 0
    """What its link has yet to send, as was told last."""
    again_bytes: int = 0
    """What is sent again in this turn."""
    owed: dict[int, int] = attrs.Factory(dict)
    # {session whose commands are sent again when there is less on the link: those up to here are left out}
    extra: list[Message] = attrs.Factory(list)
    """Sections for this replica alone, before those for all."""
    late: list[Message] = attrs.Factory(list)
    """Likewise, behind them."""
    causal: Reads = attrs.Factory(Reads)
    """Causal reads of the sessions at home there."""

    def unlink(self) -> None:
        """Forget what was to be said: the link is gone."""
        self.linked, self.queued_bytes, self.again_bytes = False, 0, 0
        self.owed.clear()
        self.extra, self.late, self.causal = [], [], Reads()


@attrs.define(eq=False)
class Requests:
    """What one client process will say to all replicas at the end of its turn."""

    mode: Mode
    targets: dict[int, Target]
    records: Records = attrs.Factory(Records)
    witness_records: Records = attrs.Factory(Records)
    """Mode ``ht``: what followers get."""
    strong_reads: Reads = attrs.Factory(Reads)
    anchors: dict[int, tuple[int, int]] = attrs.Factory(dict)
    # {session: (dependency, last read)}

    def add_strong_read(self, session: int, flight: ReadFlight) -> None:
        """Add strong reads: their queries for the leader, their anchor for the others."""
        self.strong_reads.add(session, flight, flight.dependency)
        self.anchors[session] = (flight.dependency, flight.first + flight.count - 1)

    def take(self, leader: int) -> list[tuple[int, list[Message]]]:
        """Make one frame for each replica that has something to be told; equal sections are the same objects."""
        shared: list[Message] = []
        witness: list[Message] = []
        mode = self.mode
        if self.records.sessions:
            shared.append(self.records.message())
            self.records = Records()
        if mode == "ht":
            if self.witness_records.sessions:
                witness.append(self.witness_records.message())
                self.witness_records = Records()
        elif mode != "paxos":
            witness = list(shared)
        leader_only: list[Message] = []
        if self.anchors:
            reads, self.strong_reads = self.strong_reads, Reads()
            leader_only.append(m.StrongRead(reads.sessions, reads.firsts, reads.counts, reads.last, reads.queries))
            levels = self.anchors.values()
            witness.append(m.Anchor(list(self.anchors), [level[0] for level in levels], [level[1] for level in levels]))
            self.anchors = {}
        sends = []
        for replica, target in self.targets.items():
            sections = [*shared, *leader_only] if replica == leader else witness
            if target.extra or target.late or target.causal.sessions:
                sections = [*target.extra, *sections, *target.late]
                target.extra, target.late, target.again_bytes = [], [], 0
                if target.causal.sessions:
                    causal, target.causal = target.causal, Reads()
                    sections.append(m.CausalRead(causal.sessions, causal.firsts, causal.counts, causal.last, causal.queries))
            if sections and target.linked:
                sends.append((replica, sections))
        return sends
