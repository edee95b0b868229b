"""What every voter does for clients, leader or not: the witness step, anchors, causal reads.

The witness step is one atomic step of the core: check, store, anchor and the view of the ack belong together (docs/protocol.md, "Witnesses").
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from replica.core.draft import Speculation
from replica.core.early import EarlyRecords
from replica.core.messages import (
    Anchor,
    AnchorAck,
    Applied,
    CausalRead,
    CausalReadReply,
    Home,
    Record,
    RecordAck,
)  # fmt: skip
from replica.core.node import BUSY, GAP, Node
from replica.core.queries import LARGE_BYTES, pieces, query
from replica.core.tail import CLOSED
from replica.core.witness import CAUSAL_KINDS, Chain, Run

if TYPE_CHECKING:
    from replica.core.effects import Source
    from replica.core.leader import Leader
    from replica.core.messages import Query

LOG_LOOK_ENTRIES = 256
"""A gap in a chain is not looked for in the log if more entries than these wait to be applied: who is so far behind catches up first."""


@attrs.define(eq=False)
class WaitingRead:
    """A run of causal reads whose floor is not applied here yet."""

    source: Source
    session: int
    first: int
    floor: int
    queries: list[Query]
    until: float


@attrs.define(eq=False)
class Voter:
    """The witness' and the home's part of a replica."""

    node: Node
    early: EarlyRecords = attrs.field(init=False)
    early_homes: dict[int, Source] = attrs.Factory(dict)
    # {session not opened here yet: the link that binds it}; beyond ``sessions_max`` a session has no home until it is bound again
    waiting: deque[WaitingRead] = attrs.Factory(deque)
    waiting_count: int = 0
    """Reads that wait, each query for itself."""

    def __attrs_post_init__(self) -> None:
        self.early = EarlyRecords(self.node.witness.commands_max, self.node.witness.bytes_max)

    def on_home(self, source: Source, message: Home) -> None:
        """Bind sessions to this replica, or release them."""
        for session in message.sessions:
            chain = self.node.witness.chains.get(session)
            if chain is not None:
                chain.link, chain.home = source, message.home
            elif not message.home:
                self.early_homes.pop(session, None)
            elif session > self.node.applied_position and len(self.early_homes) < self.node.config.sessions_max:
                self.early_homes[session] = source

    def on_record(self, source: Source, record: Record, leader: Leader | None, *, forwarded: bool = False) -> None:
        """Hold, accept and (at the leader) append and speculate; answer with cumulative verdicts."""
        node = self.node
        chains, config = node.witness.chains, node.config
        kinds, keys, values = record.kinds, record.keys, record.values
        acked: list[Chain] = []
        refusals: list[list[int]] = []
        again: list[tuple[Chain, Run]] = []
        speculation = Speculation()
        unseen = leader is None and config.mode == "ht"  # commands that are not shown to witnesses are no hole in a chain here
        end = 0
        for session, first, count, previous, incomplete in zip(
            record.sessions, record.firsts, record.counts, record.previous, record.incomplete, strict=True
        ):
            start, end = end, end + count
            chain = chains.get(session)
            if chain is None:
                if not forwarded:  # that comes again
                    self._refuse_unknown(source, record, (session, start, end, first, previous, incomplete), refusals)
                continue
            if not forwarded:  # else whoever it came from is not the session's client, and may go on when that is gone
                chain.link, chain.heard_at = source, node.now
            last = first + count - 1
            whole = end - start == len(keys)
            run = Run(first, last, kinds, keys, values, incomplete) if whole else Run(
                first, last, kinds[start:end], keys[start:end], values[start:end], incomplete)  # fmt: skip
            refused = self._hold(chain, run, previous if unseen else first - 1, leader, again)
            if not refused and leader is not None and not leader.append(chain, speculation):
                refused = GAP
            if refused:
                refusals.append([session, refused])
            if chain.home or refused or (leader is None and run.kinds.rstrip(CAUSAL_KINDS)) or (leader is not None and config.mode == "ht"):
                acked.append(chain)
        if forwarded:
            return
        if acked or refusals:
            held, accepted = node.held_levels(acked), [chain.accepted for chain in acked]
            node.reply_durable(source, RecordAck(node.configuration.number, node.view, [chain.session for chain in acked], held, accepted, refusals))
        if speculation.sessions:
            node.reply_durable(source, speculation.reply(node))
        if again:
            self._answer_again(source, again, leader)

    def _hold(self, chain: Chain, run: Run, previous: int, leader: Leader | None, again: list[tuple[Chain, Run]]) -> int:
        """Give a run to the witness; return why not, or 0."""
        if 0 < run.first <= chain.committed:
            again.append((chain, run))
        if run.last <= chain.held:
            return 0
        if previous > chain.held and leader is None:
            self._hold_logged(chain, previous)
            if run.last <= chain.held:
                return 0
        if run.first <= chain.held:
            run = run.after(chain.held)
        elif previous > chain.held:
            return GAP
        # Behind a session's end nothing of it is logged (docs/protocol.md, "Exactly once"): its client is told when the end is applied.
        if self._full(chain, run) or (leader is not None and (leader.busy() or leader.logged_number(chain.session) == CLOSED)):
            return BUSY
        self._take(chain, run)
        return 0

    def _full(self, chain: Chain, run: Run) -> bool:
        """Whether nothing more is held for the session, or for anybody."""
        full = self.node.witness.full(len(run.keys))
        if chain.held > chain.committed:  # one run is taken whole, however long, or it would be refused for ever
            full = full or run.last - chain.committed > self.node.config.commands_in_flight_max
        return full or self.node.draining or self.node.muted

    def _hold_logged(self, chain: Chain, upto: int) -> None:
        """Hold what a chain lacks up to a command and the log has: that is what the client sent the leader (docs/protocol.md, section 4).

        A client does not send again what it knows to be committed.  While this replica applies it later than the client hears of it, what follows
        would be refused as long as the client goes on, and no command of its session be fast.
        """
        log, index = self.node.log, self.node.applied_index
        if log.last_index - index > LOG_LOOK_ENTRIES or self.node.config.mode == "ht":  # what witnesses are not shown there is no hole
            return
        while chain.held < upto and index < log.last_index:
            index += 1
            entry = log.get(index)
            if chain.session not in entry.sessions:
                continue
            end = 0
            for session, first, count, incomplete in zip(entry.sessions, entry.firsts, entry.counts, entry.incomplete, strict=True):
                start, end = end, end + count
                if session == chain.session and first <= chain.held + 1 and first + count - 1 > chain.held:
                    run = Run(first, first + count - 1, entry.kinds[start:end], entry.keys[start:end], entry.values[start:end], incomplete)
                    run = run.after(chain.held)
                    if self._full(chain, run):
                        return
                    self._take(chain, run)

    def _take(self, chain: Chain, run: Run) -> None:
        """Hold what follows a chain, and have it on disk before anything is said of it."""
        accepted = chain.accepted
        self.node.witness.hold(chain, run, self.node.now)
        self.node.journal.on_held(chain.session, run)
        if chain.accepted > accepted:
            self.node.journal.on_level(chain)

    def _refuse_unknown(self, source: Source, record: Record, place: tuple[int, int, int, int, int, int], refusals: list[list[int]]) -> None:
        """Keep the record of a session whose opening is still on its way here, or say why it cannot be served."""
        session, start, end, first, previous, incomplete = place
        reason = self.node.refusal(session)
        if reason == GAP:
            part = Record(
                [session], [first], [end - start], [previous], [incomplete],
                record.kinds[start:end], record.keys[start:end], record.values[start:end],
            )  # fmt: skip
            if self.early.add(source, part):
                return
        refusals.append([session, reason])

    def _answer_again(self, source: Source, again: list[tuple[Chain, Run]], leader: Leader | None) -> None:
        """A resent command that is applied already: say so, with its result (the first answer may be lost).

        Not with all results that its session keeps: those of many commands, for each frame of a long resend, would be more than clients take.
        """
        node, table = self.node, self.node.sessions.table
        results = [
            [chain.session, number, int(kept[number])]
            for chain, run in again if (kept := table[chain.session].results)
            for number in range(run.first, min(run.last, chain.committed) + 1) if number in kept
        ]  # fmt: skip
        node.reply(
            source,
            Applied(
                node.configuration.number, node.view, leader is not None, node.applied_position, [chain.session for chain, _ in again],
                [chain.committed for chain, _ in again], results,
            ),
        )  # fmt: skip

    def retry_early(self, leader: Leader | None) -> list[int]:
        """Take the bindings and records of sessions that are open here now; returns whose records."""
        for session in [session for session in self.early_homes if session <= self.node.applied_position]:
            self.on_home(self.early_homes.pop(session), Home([session], home=True))
        taken = self.early.take(self.node.applied_position)
        for records in taken.values():
            for source, record in records:
                self.on_record(source, record, leader)
        return list(taken)

    def on_anchor(self, source: Source, anchor: Anchor) -> None:
        """Confirm the view and pin each session's chain up to its strong reads' dependency."""
        node = self.node
        if node.muted:
            return
        chains, pin = node.witness.chains, node.witness.anchor
        levels: list[int] = []
        for session, dependency in zip(anchor.sessions, anchor.dependencies, strict=True):
            chain = chains.get(session)
            if chain is None:
                levels.append(0)
            elif dependency <= chain.anchored:
                levels.append(chain.anchored)
            else:
                before = chain.anchored
                levels.append(pin(chain, dependency))
                if chain.anchored > before:
                    node.journal.on_level(chain)
        node.reply_durable(source, AnchorAck(node.configuration.number, node.view, anchor.sessions, anchor.reads, levels))

    def on_causal_read(self, source: Source, read: CausalRead) -> None:
        """Answer from the applied prefix; what needs a longer prefix waits for it."""
        node = self.node
        if node.applied_position >= max(read.floors, default=0):
            self._answer(source, read)
            return
        now = CausalRead([], [], [], [], [])
        end = 0
        for session, first, count, floor in zip(read.sessions, read.firsts, read.counts, read.floors, strict=True):
            start, end = end, end + count
            if floor <= node.applied_position:
                _add(now, session, first, floor, read.queries[start:end])
            elif not self.waiting or self.waiting_count + count <= node.config.reads_waiting_max:  # one run is taken whole
                until = node.now + node.config.read_wait_seconds
                self.waiting_count += count
                self.waiting.append(WaitingRead(source, session, first, floor, list(read.queries[start:end]), until))
        if now.sessions:
            self._answer(source, now)

    def _refuse_ended(self, source: Source, ended: set[int], read: CausalRead) -> CausalRead:
        """Tell a client that sessions of its have ended here, and return what the others read.

        A client lays its own writes over an answer unless that says they are applied; of a session that has ended nobody can say so any more.
        """
        node = self.node
        refusals = [[session, node.refusal(session)] for session in sorted(ended)]
        node.reply(source, RecordAck(node.configuration.number, node.view, [], [], [], refusals))
        rest = CausalRead([], [], [], [], [])
        end = 0
        for session, first, count, floor in zip(read.sessions, read.firsts, read.counts, read.floors, strict=True):
            start, end = end, end + count
            if session not in ended:
                _add(rest, session, first, floor, read.queries[start:end])
        return rest

    def _answer(self, source: Source, read: CausalRead) -> None:
        node = self.node
        chains, position = node.witness.chains, node.applied_position
        ended = {session for session in read.sessions if session not in chains and session <= position}
        if ended:
            read = self._refuse_ended(source, ended, read)
            if not read.sessions:
                return
        values, versions = query(node.store, position, read.queries)
        for some, starts, lengths, found, versions_found, size in pieces(read.sessions, read.firsts, read.counts, values, versions):
            applied = [chain.committed if chain is not None else 0 for chain in map(chains.get, some)]
            answer = CausalReadReply(position, node.store.horizon, some, starts, lengths, applied, found, versions_found, [])
            if size < LARGE_BYTES:
                node.reply(source, answer)
            else:
                node.reply_large(source, answer, size)

    def retry_waiting(self, now: float) -> None:
        """Answer the causal reads whose floor is applied by now, and say LAGGING to those that waited long enough."""
        if not self.waiting:
            return
        position = self.node.applied_position
        rest: deque[WaitingRead] = deque()
        for read in self.waiting:
            if read.floor <= position:
                self._answer(read.source, CausalRead([read.session], [read.first], [len(read.queries)], [read.floor], read.queries))
            elif read.until <= now:
                lagging = [[read.session, read.first, len(read.queries)]]
                self.node.reply(read.source, CausalReadReply(position, self.node.store.horizon, [], [], [], [], [], [], lagging))
            else:
                rest.append(read)
        self._wait(rest)

    def _wait(self, reads: deque[WaitingRead]) -> None:
        self.waiting, self.waiting_count = reads, sum([len(read.queries) for read in reads])

    def forget_link(self, source: Source) -> None:
        """A client's link is gone: its waiting reads too."""
        self._wait(deque(read for read in self.waiting if read.source != source))
        self.early_homes = {session: link for session, link in self.early_homes.items() if link != source}
        self.early.forget_link(source)

    def deadline(self) -> float:
        """When the first waiting read must be answered."""
        return self.waiting[0].until if self.waiting else float("inf")


def _add(reads: CausalRead, session: int, first: int, floor: int, queries: list[Query]) -> None:
    reads.sessions.append(session)
    reads.firsts.append(first)
    reads.counts.append(len(queries))
    reads.floors.append(floor)
    reads.queries.extend(queries)
