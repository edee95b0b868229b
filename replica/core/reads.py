"""Strong reads at the leader: without a log entry, in one round trip.

The leader answers from its applied state with the session's own uncommitted writes laid over it; the client counts the answer only with
enough voters' confirmations of the same view (``AnchorAck``).  A read whose key has an uncommitted write of another session waits for that
write's commit: its value might be lost, or have been seen already.  In mode ``paxos`` nothing completes before its commit, so foreign
uncommitted writes are not there yet.  ``ReadIndex`` is the long way (Raft dissertation, section 6.4), with the last index rather than the
commit index: a fast-completed write may be uncommitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.messages import Entry, Query, ReadIndex, RecordAck, StrongRead, StrongReadReply, Value
from replica.core.node import GAP
from replica.core.queries import LARGE_BYTES, pieces, query
from replica.core.tail import CLOSED, Outcome, Write
from statemachine.command import CLOSE, EXPIRE

if TYPE_CHECKING:
    from replica.core.effects import Source
    from replica.core.leader import Leader
    from replica.core.node import Node

READS_TOGETHER_MAX = 32
"""Reads that waited and are answered in one section (or one longer run): a frame has thousands of sections, and is refused with too many reads."""


@attrs.define(eq=False)
class Parked:
    """Consecutive reads of one session that wait for an index to be applied; then the applied state answers them."""

    source: Source
    session: int
    first: int
    queries: list[Query]


@attrs.define(eq=False)
class IndexRead:
    """A read by the long way: waits for its round to be confirmed, then for its index."""

    round: int
    index: int
    reads: Parked


@attrs.define(eq=False)
class Answers:
    """A ``StrongReadReply`` while it grows."""

    sessions: list[int] = attrs.Factory(list)
    firsts: list[int] = attrs.Factory(list)
    counts: list[int] = attrs.Factory(list)
    values: list[Value] = attrs.Factory(list)
    versions: list[int] = attrs.Factory(list)

    def add(self, session: int, first: int, values: list[Value], versions: list[int]) -> None:
        """Add consecutive reads of one session."""
        self.sessions.append(session)
        self.firsts.append(first)
        self.counts.append(len(values))
        self.values += values
        self.versions += versions

    def send(self, node: Node, link: Source, *, indexed: bool = False) -> None:
        """Answer a link, in as many sections as the values need."""
        for some, starts, lengths, values, versions, size in pieces(self.sessions, self.firsts, self.counts, self.values, self.versions):
            answer = StrongReadReply(node.configuration.number, node.view, indexed, node.store.horizon, some, starts, lengths, values, versions)
            if not node.journal.clear or node.held_replies:
                node.reply_durable(link, answer)  # it may rest on commands of its session that are not on disk yet
            elif size < LARGE_BYTES:
                node.reply(link, answer)
            else:
                node.reply_large(link, answer, size)


@attrs.define(eq=False)
class StrongReads:
    """The leader's waiting reads."""

    node: Node
    leader: Leader
    parked: dict[int, list[Parked]] = attrs.Factory(dict)
    # {index: reads that its application answers}
    awaiting: dict[int, list[tuple[Source, int, int, list[Query]]]] = attrs.Factory(dict)
    # {session: (link, first, dependency, queries) whose dependency is not logged yet}
    indexed: list[IndexRead] = attrs.Factory(list)
    count: int = 0
    """Reads that wait, each query for itself."""

    def on_strong_read(self, source: Source, read: StrongRead) -> None:
        """Answer what can be answered now and park the rest."""
        tail = self.leader.tail.writes
        queries = read.queries
        answers = Answers()
        values, versions = query(self.node.store, self.node.applied_position, queries)
        quick = self._untouched(tail, queries)
        end = 0
        for session, first, count, dependency in zip(read.sessions, read.firsts, read.counts, read.dependencies, strict=True):
            start, end = end, end + count
            wait = self._wait_index(session, dependency)
            if wait < 0:
                self._await(source, session, first, dependency, queries[start:end])
            elif wait:
                self._park(wait, Parked(source, session, first, queries[start:end]))
            elif quick or self._untouched(tail, queries[start:end]):
                answers.add(session, first, values[start:end], versions[start:end])
            else:
                reads = Parked(source, session, first, queries[start:end])
                self._answer_over_tail(reads, dependency, values[start:end], versions[start:end], answers)
        if answers.sessions:
            answers.send(self.node, source)

    def _untouched(self, tail: dict[bytes, list[Write]], queries: list[Query]) -> bool:
        """Whether no query meets an uncommitted write (C speed for keys; any scan over a non-empty tail is looked at closely)."""
        if not tail:
            return True
        try:
            return tail.keys().isdisjoint(queries)
        except TypeError:  # a scan among them
            return False

    def _wait_index(self, session: int, dependency: int) -> int:
        """Say what a session's reads must wait for: 0 nothing, an index to be applied, or -1 for the dependency to be logged."""
        leader, node = self.leader, self.node
        chain = node.witness.chains.get(session)
        if chain is None:
            return -1
        if dependency <= chain.committed:
            if not leader.open:
                return leader.open_index
            # Who applied more than we did may have told clients so: in the other modes the tail holds back what is not applied here.
            return node.commit_index if node.config.mode == "paxos" and node.applied_index < node.commit_index else 0
        logged = leader.logged.get(session)
        if logged is None or logged.number < dependency or logged.number == CLOSED:
            return -1  # behind its end nothing of a session is logged, whatever witnesses hold (docs/protocol.md, "Exactly once")
        if not leader.speculates or node.config.mode == "paxos" or logged.blocked > chain.committed or logged.unwitnessed > chain.committed:
            return leader.next_index
        anchored = chain.anchored
        if anchored < dependency:
            anchored = node.witness.anchor(chain, dependency)
            node.journal.on_level(chain)
        return 0 if anchored >= dependency else leader.next_index

    def _answer_over_tail(self, reads: Parked, dependency: int, values: list[Value], versions: list[int], answers: Answers) -> None:
        """Lay the tail over a run's answers from the applied state, parking each read that touches somebody else's uncommitted write.

        Args:
            reads: the run.
            dependency: its session's last command before it.
            values: the answers from the applied state; changed where an own write is newer.
            versions: likewise.
            answers: gets what is answered now.
        """
        if self.node.config.mode == "paxos":
            answers.add(reads.session, reads.first, values, versions)
            return
        writes = self.leader.tail.writes
        begun = 0
        for place, item in enumerate(reads.queries):
            if isinstance(item, list):
                wait = self._last_write_in(item)
            elif item in writes:
                wait, values[place], versions[place] = _over(writes[item], reads.session, dependency, values[place], versions[place])
            else:
                continue
            if wait:
                self._park(wait, Parked(reads.source, reads.session, reads.first + place, [item]))
                if begun < place:
                    answers.add(reads.session, reads.first + begun, values[begun:place], versions[begun:place])
                begun = place + 1
        if begun == 0:
            answers.add(reads.session, reads.first, values, versions)
        elif begun < len(values):
            answers.add(reads.session, reads.first + begun, values[begun:], versions[begun:])

    def _last_write_in(self, scan: list[object]) -> int:
        """Return the index of the last uncommitted write that a scan would see, 0 if there is none."""
        start, end = scan[0], scan[1]
        touched = [rows[-1][3] for key, rows in self.leader.tail.writes.items() if start <= key and (end is None or key < end)]  # type: ignore[operator]
        return max(touched, default=0)

    def _await(self, source: Source, session: int, first: int, dependency: int, queries: list[Query]) -> None:
        if not self._refuse_ended(source, session) and self._takes(queries):
            self.awaiting.setdefault(session, []).append((source, first, dependency, queries))

    def _park(self, index: int, reads: Parked) -> None:
        if self._takes(reads.queries):
            self.parked.setdefault(index, []).append(reads)

    def _takes(self, queries: list[Query]) -> bool:
        """Count a run's reads, if there is room; one run is taken whole, however long, or it would be refused for ever."""
        room = not self.count or self.count + len(queries) <= self.node.config.reads_waiting_max
        self.count += len(queries) if room else 0
        return room

    def _refuse_ended(self, source: Source, session: int) -> bool:
        """Tell the client of a session that ended; what its reads would wait for never comes."""
        node = self.node
        reason = GAP if session in node.witness.chains else node.refusal(session)
        if reason != GAP:
            node.reply(source, RecordAck(node.configuration.number, node.view, [], [], [], [[session, reason]]))
        return reason != GAP

    def on_read_index(self, source: Source, read: ReadIndex) -> None:
        """Take the index that these reads must see and ask for a round that confirms our leadership."""
        leader = self.leader
        end = 0
        for session, first, count, dependency in zip(read.sessions, read.firsts, read.counts, read.dependencies, strict=True):
            start, end = end, end + count
            chain, logged = self.node.witness.chains.get(session), leader.logged.get(session)
            if self._refuse_ended(source, session):
                continue
            known = max(chain.committed if chain else 0, logged.number if logged and logged.number != CLOSED else 0)
            if known < dependency or not self._takes(read.queries[start:end]):
                continue  # its commands come first: the client sends both again
            self.indexed.append(IndexRead(leader.round + 1, leader.next_index, Parked(source, session, first, read.queries[start:end])))
            leader.round_wanted = True

    def on_appended(self, sessions: list[int]) -> None:
        """Look again at reads whose dependency may be logged now."""
        if not self.awaiting:
            return
        for session in sessions:
            for source, first, dependency, queries in self.awaiting.pop(session, ()):
                self.count -= len(queries)
                self.on_strong_read(source, StrongRead([session], [first], [len(queries)], [dependency], queries))

    def on_applied(self, entry: Entry) -> None:
        """Answer from the applied state what waited for an entry: later uncommitted writes are concurrent with these reads.

        Those of one link are answered together: many short runs wait for the same entry.
        """
        if entry.system and self.awaiting:
            self._forget_ended(entry)
            self.on_appended([session for session in self.awaiting if entry.base < session <= entry.base + len(entry.system)])  # open here now
        parked = self.parked.pop(entry.index, None)
        if parked is None:
            return
        self.count -= sum([len(reads.queries) for reads in parked])
        by_link: dict[Source, list[Parked]] = {}
        for reads in parked:
            runs = by_link.setdefault(reads.source, [])
            if sum([len(other.queries) for other in runs]) + len(reads.queries) > READS_TOGETHER_MAX and runs:
                self._answer_applied(runs, indexed=False)
                runs.clear()
            runs.append(reads)
        for runs in by_link.values():
            self._answer_applied(runs, indexed=False)

    def _forget_ended(self, entry: Entry) -> None:
        """What the reads of a session wait for never comes once it has ended; their room is needed."""
        for command in entry.system:
            if command[0] in {CLOSE, EXPIRE}:
                session = command[1]
                assert isinstance(session, int)
                waited = self.awaiting.pop(session, [])
                self.count -= sum([len(queries) for *_, queries in waited])
                for source in dict.fromkeys(source for source, *_ in waited):
                    self._refuse_ended(source, session)

    def on_confirmed(self) -> None:
        """Answer index reads whose round and index are reached."""
        if not self.indexed:
            return
        rest = []
        for item in self.indexed:
            if item.round <= self.leader.confirmed and item.index <= self.node.applied_index:
                self.count -= len(item.reads.queries)
                self._answer_applied([item.reads], indexed=True)
            else:
                rest.append(item)
        self.indexed = rest

    def _answer_applied(self, runs: list[Parked], *, indexed: bool) -> None:
        """Answer runs of one link from the applied state."""
        queries = [item for reads in runs for item in reads.queries]
        values, versions = query(self.node.store, self.node.applied_position, queries)
        counts = [len(reads.queries) for reads in runs]
        answers = Answers([reads.session for reads in runs], [reads.first for reads in runs], counts, values, versions)
        answers.send(self.node, runs[0].source, indexed=indexed)

    def forget_link(self, source: Source) -> None:
        """A client's link is gone: its waiting reads too."""
        self.parked = {index: left for index, items in self.parked.items() if (left := [item for item in items if item.source != source])}
        self.awaiting = {session: kept for session, items in self.awaiting.items() if (kept := [item for item in items if item[0] != source])}
        self.indexed = [item for item in self.indexed if item.reads.source != source]
        waiting = [reads.queries for items in self.parked.values() for reads in items] + [item.reads.queries for item in self.indexed]
        self.count = sum(map(len, waiting)) + sum([len(queries) for items in self.awaiting.values() for *_, queries in items])


def _over(rows: list[Write], session: int, dependency: int, value: Value, version: int) -> tuple[int, Value, int]:
    """Lay a session's own uncommitted writes up to ``dependency`` over a key's applied entry.

    Returns:
        (index to wait for or 0, value, version; 0 where the value is uncommitted).
    """
    found = value
    wait = 0
    for owner, number, written, index in rows:
        if owner != session or (number <= dependency and written is Outcome.UNKNOWN):
            wait = index
        elif number <= dependency:
            if wait:
                wait = index  # our own write above a foreign one: its commit answers
            if written is not Outcome.FAILED:
                found, version = written, 0  # type: ignore[assignment]
    return wait, found, version
