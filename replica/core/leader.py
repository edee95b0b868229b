"""The leader: puts commands into the log, speculates over its tail, replicates, commits.

Raft's replication (Ongaro & Ousterhout, ATC'14, section 5.3) with one entry and one accept per turn, and CURP's speculative execution
(Park & Ousterhout, NSDI'19, section 3.3): a strong command that conflicts with nothing uncommitted of another session is answered at once,
and the answer counts in this view only.

What must not live here: what followers do, how clients count, reads (``reads``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from replica.core.draft import Draft, Speculation
from replica.core.handover import HandingOver, hand_over
from replica.core.messages import Accept, AcceptAck, AcceptNack, Entry, Message, SnapshotAck
from replica.core.progress import Progress, Tracker
from replica.core.reconfiguration import NEVER, Reconfiguration
from replica.core.registrar import Registrar
from replica.core.tail import CLOSED, Logged, Tail
from replica.core.witness import CAUSAL, Chain, Run
from statemachine.command import CLOSE, EXPIRE, NOOP

if TYPE_CHECKING:
    from replica.core.configuration import Configuration
    from replica.core.node import Node

ENTRY_COMMANDS_MAX = 4096
"""Commands in one entry; a turn that brings more makes several."""
ENTRY_BYTES_MAX = 4 << 20
"""Bytes of values in one entry."""
WINDOW_ENTRIES_MAX = 1024
"""Entries sent to a follower beyond what it acknowledged; beyond this it is caught up as it acknowledges."""
TRIM_ENTRIES = 256
"""Entries forgotten in one step: a step for each would move the whole list each time."""


@attrs.define(eq=False)
class Leader:
    """The leading replica's own state; made when it becomes leader, dropped when it ceases to be."""

    node: Node
    tail: Tail = attrs.field(init=False)
    draft: Draft = attrs.Factory(Draft)
    logged: dict[int, Logged] = attrs.Factory(dict)
    # {session: what is in the log}
    tracker: Tracker = attrs.field(init=False)
    open_index: int = NEVER
    """The view is open for speculation when this index is applied; unknown until the view has its first entry."""
    closed_before: int = 0
    """Nothing is speculative before this index is applied: the configuration changes (``reconfiguration``)."""
    serving: bool = False
    """Recovery is done: commands enter the log."""
    handing_over: HandingOver | None = None
    reconfiguration: Reconfiguration = attrs.field(init=False)
    registrar: Registrar = attrs.field(init=False)
    round: int = 0
    confirmed: int = 0
    """The latest round that a majority acknowledged: we led when it was sent."""
    round_wanted: bool = False
    told_commit: int = 0
    heartbeat_at: float = 0.0
    flush_at: float = math.inf

    def __attrs_post_init__(self) -> None:
        node = self.node
        self.tail = Tail(node.store, node.witness)
        self.tracker = Tracker(node)
        self.tracker.configure()
        self.registrar = Registrar(node, self, node.now)
        self.reconfiguration = Reconfiguration(node, self)
        self._rebuild()

    @property
    def progress(self) -> dict[int, Progress]:
        """The other members' progress."""
        return self.tracker.progress

    @property
    def alone(self) -> bool:
        """Whether this replica decides by itself."""
        return not self.tracker.others

    def start(self) -> None:
        """Begin a new cluster."""
        assert self.node.log.last_index == 0
        self.serve()

    def serve(self) -> None:
        """Begin the view's own log; nothing is speculative before its first entry is committed (docs/protocol.md, "Recovery"). The log's first entry
        of all names the configuration.

        Entries of older views commit with that one (Raft section 5.4.2), and so does all that was recovered.
        """
        if self.node.log.last_index == 0:
            self.draft.system.append(self.node.configuration.command(self.node.config.mode))
        self.draft.system.append([NOOP])
        self.open_index = self.node.log.last_index + 1
        self.serving = True
        self.registrar.begin()
        for chain in [chain for chain in self.node.witness.chains.values() if chain.runs]:
            self.append(chain, Speculation())

    def _rebuild(self) -> None:
        """Lay the uncommitted log of older views over the applied state; nothing in it is speculative."""
        node = self.node
        for index in range(node.applied_index + 1, node.log.last_index + 1):
            entry = node.log.get(index)
            for command in entry.system:
                if command[0] in {CLOSE, EXPIRE}:
                    assert isinstance(command[1], int)
                    self.logged[command[1]] = Logged(CLOSED)
            start = 0
            for session, first, count, incomplete in zip(entry.sessions, entry.firsts, entry.counts, entry.incomplete, strict=True):
                end = start + count
                run = Run(first, first + count - 1, entry.kinds[start:end], entry.keys[start:end], entry.values[start:end], incomplete)
                self.tail.lay(session, run, index)
                self.logged[session] = Logged(run.last, blocked=run.last)
                start = end

    def logged_number(self, session: int) -> int:
        """Tell the last number of a session in this log; ``CLOSED`` when its end is there, or was applied."""
        logged = self.logged.get(session)
        if logged is not None:
            return logged.number
        chain = self.node.witness.chains.get(session)
        if chain is not None:
            return chain.committed
        return CLOSED if session <= self.node.applied_position else 0

    def recover(self, session: int, run: Run) -> None:
        """Put commands that may have completed into the log, in the order of their session; none of them is speculative in this view."""
        logged = self.logged.get(session)
        if logged is None:
            logged = self.logged[session] = Logged(self.logged_number(session))
        assert run.first == logged.number + 1, (session, run.first, logged.number)
        self.draft.add(session, run)
        self.tail.lay(session, run, self.node.log.last_index + 1)
        logged.number = logged.blocked = run.last
        self._close_if_full()

    @property
    def open(self) -> bool:
        """Whether this view may answer speculatively."""
        return self.node.applied_index >= self.open_index

    @property
    def next_index(self) -> int:
        """Index of the entry that grows in this turn, or of the newest one if none does."""
        return self.node.log.last_index + (1 if self.draft.sessions or self.draft.system else 0)

    @property
    def speculates(self) -> bool:
        """Whether this view may answer speculatively now: it is open, no change of the configuration is under way, and the leader is a witness of it:
        no leader that leaves."""
        return self.node.applied_index >= max(self.open_index, self.closed_before) and self.node.votes

    def log_configuration(self, wanted: Configuration) -> None:
        """Log the next configuration in an entry of its own; it counts from now on, and the fast path is back when it is applied."""
        self.close_turn()
        self.draft.system.append(wanted.command(self.node.config.mode))
        self.closed_before = self.node.log.last_index + 1
        self.close_turn()
        self.advance()

    def busy(self) -> bool:
        """Whether nothing more is taken (clients are told BUSY): the log is full, or another is about to take over."""
        return self.node.log.size_bytes > self.node.config.log_bytes_max or self.handing_over is not None

    def hand_over(self, peer: int = -1) -> bool:
        """Let a follower take over as soon as it has the whole log; see ``HandingOver``.

        Args:
            peer: which; -1 for the one that is furthest.

        Returns:
            Whether there is such a follower; whether it takes over shows in the view.
        """
        begun = hand_over(self, peer)
        self.handing_over = begun or self.handing_over
        return begun is not None

    def append(self, chain: Chain, speculation: Speculation) -> bool:
        """Put what the session's chain holds beyond the log into this turn's entry, in order, and speculate.

        Returns:
            False when the chain has a hole before what it holds (the client must resend).
        """
        if not self.serving:
            return True  # what may have completed in older views comes first
        logged = self.logged.get(chain.session)
        if logged is None:
            logged = self.logged[chain.session] = Logged(chain.committed)
        if chain.held <= logged.number:
            return True
        newest = chain.runs[-1]
        runs = [newest] if newest.first == logged.number + 1 else [run.after(logged.number) for run in chain.runs if run.last > logged.number]
        for run in runs:
            if run.first != logged.number + 1:
                return False
            self._append_run(logged, chain, run, self.node.log.last_index + 1, speculation)
            self._close_if_full()  # after each: a new leader may hold very many, and its entries must fit frames
        return True

    def _close_if_full(self) -> None:
        if len(self.draft.keys) >= ENTRY_COMMANDS_MAX or self.draft.size_bytes >= ENTRY_BYTES_MAX:
            self.close_turn()

    def _append_run(self, logged: Logged, chain: Chain, run: Run, index: int, speculation: Speculation) -> None:
        self.draft.add(chain.session, run)
        self.node.journal.urgent |= self.node.journal.durable
        mode = self.node.config.mode
        logged.number = run.last
        free, results = self.tail.append(logged, chain, run, index)
        if mode == "paxos":
            return
        committed = chain.committed
        if mode == "ht" and max(run.kinds) >= CAUSAL:
            logged.unwitnessed = run.last
        if not self.speculates:
            logged.blocked = run.last
        elif free and logged.blocked <= committed and logged.unwitnessed <= committed and min(run.kinds) < CAUSAL:
            speculation.add(chain.session, run, results)

    def on_applied(self, entry: Entry) -> None:
        """Follow the apply step: the entry's writes leave the tail, and who waited for its sessions is answered."""
        if entry.kinds:
            self.tail.applied(entry)
        self.registrar.on_applied(entry)

    def on_accept_ack(self, peer: int, ack: AcceptAck) -> None:
        """Count a follower's log; commit what a majority holds, if it is of this view (Raft section 5.4.2)."""
        progress = self.progress[peer]
        progress.on_heard(self.node.now)
        if ack.heard:
            self.registrar.on_heard(ack.heard)
        progress.round = max(progress.round, ack.round)
        if ack.match_index > progress.match:
            progress.match = ack.match_index
            progress.next = max(progress.next, progress.match + 1)
            if progress.sending is not None and progress.match >= progress.sending.index:
                progress.sending = None
            self.advance()
        self._confirm()

    def on_accept_nack(self, peer: int, nack: AcceptNack) -> None:
        """Back up to where the follower's log may still agree."""
        progress = self.progress[peer]
        progress.on_heard(self.node.now)
        progress.round = max(progress.round, nack.round)
        progress.next = max(progress.match + 1, min(nack.hint_index + 1, progress.next))
        self._confirm()
        if progress.next < self.node.log.first_index and progress.sending is None and self.node.applied_index:
            self.tracker.begin_sending(peer)

    def on_snapshot_ack(self, peer: int, ack: SnapshotAck) -> None:
        """A follower has more of a snapshot; when it has all, the log goes on behind it."""
        self.progress[peer].on_heard(self.node.now)
        self.tracker.on_snapshot_ack(peer, ack)

    def _confirm(self) -> None:
        self.confirmed = self.tracker.confirmed(self.round)

    def advance(self) -> None:
        """Commit what a majority has on disk, the leader itself included, if it is of this view (Raft section 5.4.2) and not before its own first
        entry: whoever hears of a commit in this view takes all that was recovered for committed (``Node.muted``)."""
        index = self.tracker.stored()
        if index > self.node.commit_index and index >= self.open_index:
            self.node.commit(index)

    def link_up(self, peer: int) -> None:
        """A peer's link is fresh."""
        self.tracker.link_up(peer)
        self.heartbeat_at = 0.0

    def link_down(self, peer: int) -> None:
        """A peer's link is gone."""
        self.tracker.link_down(peer)

    def end_turn(self) -> None:
        """Make this turn's entry, and go on with a change of the configuration."""
        self.close_turn()
        self.reconfiguration.go_on()

    def close_turn(self) -> None:
        """Make this turn's entry of the draft."""
        node, draft = self.node, self.draft
        if not (draft.sessions or draft.system):
            return
        log = node.log
        entry = Entry(
            log.last_index + 1, node.view, log.last_position, draft.system, draft.sessions, draft.firsts, draft.counts, draft.incomplete,
            b"".join(draft.kinds), draft.keys, draft.values,
        )  # fmt: skip
        node.append_entry(entry)
        if node.configuration is not self.tracker.told:
            self.tracker.configure()
        self.draft = Draft()
        if self.alone:
            self.advance()

    def accepts(self, now: float) -> list[tuple[int, list[Message]]]:
        """Make this turn's frames to the followers: new entries, or a heartbeat when one is due."""
        node = self.node
        if self.handing_over is not None and not self.handing_over.go_on(now):
            self.handing_over = None
        if now >= self.tracker.sending_at:
            self.tracker.go_on_sending()
        last = node.log.last_index
        if self.alone:
            self.confirmed = self.round = self.round + 1
        if not node.journal.view_safe:  # only who decides alone leads a view that is not on disk yet: after a crash it would lead that view again
            self._told(now)
            return []
        if node.commit_index > self.told_commit and self.flush_at == math.inf:
            self.flush_at = now + node.config.commit_flush_seconds
        everyone = now >= self.heartbeat_at or now >= self.flush_at or self.round_wanted
        behind = [peer for peer, progress in self.progress.items() if progress.linked and (everyone or self._takes_entries(progress, last))]
        if not behind:
            if everyone:
                self._told(now)
            return []
        self.round += 1
        made: dict[tuple[int, int], list[Message]] = {}  # {(from, upto): the one message for all who need just that}
        sends: list[tuple[int, list[Message]]] = []
        for peer in behind:
            progress = self.progress[peer]
            sends.append((peer, self._accept(progress, made)))
        if everyone or len(behind) == len(self.progress):
            self._told(now)
        return sends

    def _takes_entries(self, progress: Progress, last: int) -> bool:
        """Whether a follower lacks entries and can take them: one that waits for a snapshot, or acknowledges too little of what it was sent, hears
        heartbeats only. Its answers make turns here, and what those sent it would be answered again: they would never end."""
        return self.node.log.first_index <= progress.next <= last and progress.sending is None and self._has_room(progress)

    def _has_room(self, progress: Progress) -> bool:
        """Whether a follower may be sent more before it acknowledges something."""
        if progress.next - progress.match > WINDOW_ENTRIES_MAX:
            return False
        return self.node.log.bytes_between(progress.match, progress.next) < self.node.config.window_bytes_max

    def _told(self, now: float) -> None:
        self.heartbeat_at = now + self.node.config.heartbeat_seconds
        self.flush_at, self.told_commit, self.round_wanted = math.inf, self.node.commit_index, False

    def _accept(self, progress: Progress, made: dict[tuple[int, int], list[Message]]) -> list[Message]:
        node, log = self.node, self.node.log
        if progress.next < log.first_index or progress.sending is not None:
            self._snapshot_again(progress)
            return self._heartbeat(made)  # left behind the kept log: a snapshot must come first
        lacks = progress.next <= log.last_index and self._has_room(progress)
        entries = log.since(progress.next, node.config.accept_bytes_max) if lacks else []
        key = (progress.next, len(entries))
        sections = made.get(key)
        if sections is None:
            view = log.view_at(progress.next - 1)
            assert view is not None
            accept = Accept(node.configuration.number, node.view, progress.next - 1, view, node.commit_index, self.round, entries)
            sections = made[key] = [accept]
        progress.next += len(entries)
        return sections

    def _snapshot_again(self, progress: Progress) -> None:
        """A snapshot of which nothing is heard for long is sent again; asked at every heartbeat."""
        sending = progress.sending
        if sending is not None and self.node.now - sending.asked_at > self.node.config.election_seconds:
            sending.again()

    def _heartbeat(self, made: dict[tuple[int, int], list[Message]]) -> list[Message]:
        """Make an accept for a follower that cannot take entries: it says who leads."""
        node, log = self.node, self.node.log
        key = (log.last_index + 1, 0)
        if key not in made:
            made[key] = [Accept(node.configuration.number, node.view, log.last_index, log.last_view, node.commit_index, self.round, [])]
        return made[key]

    def deadline(self) -> float:
        """When the next heartbeat or commit notice is due."""
        if not self.progress:
            return self.registrar.look_at
        handing_over = self.handing_over.until if self.handing_over is not None else math.inf
        return min(self.heartbeat_at, self.flush_at, handing_over, self.registrar.look_at, self.tracker.sending_at)

    def trim(self) -> None:
        """Forget entries that every follower has and that are applied here; past half the limit, slow followers are left behind."""
        log, applied, enough = self.node.log, self.node.applied_index, self.node.config.log_bytes_max // 2
        held = min([progress.match for progress in self.progress.values()] + [applied])
        if held - log.first_index >= TRIM_ENTRIES or log.size_bytes > enough:
            log.discard_upto(held)
        if log.size_bytes > enough:
            # Who gets a snapshot needs what follows it; if that is too much as well, another snapshot.
            pinned = min([progress.sending.index for progress in self.progress.values() if progress.sending is not None] + [applied])
            log.discard_upto(pinned if log.size_bytes <= self.node.config.log_bytes_max else applied)
