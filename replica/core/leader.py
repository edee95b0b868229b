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

from replica.core.log import commands_bytes
from replica.core.messages import Accept, AcceptAck, AcceptNack, Entry, Message, OpenSession, SessionOpened, SpecReply
from replica.core.quorum import majority
from replica.core.tail import Logged, Tail
from replica.core.witness import CAUSAL, Chain, Run
from statemachine.command import CLOSE, CONFIG, EXPIRE, NOOP, OPEN

if TYPE_CHECKING:
    from replica.core.effects import Source
    from replica.core.messages import Value
    from replica.core.node import Node

ENTRY_COMMANDS_MAX = 4096
"""Commands in one entry; a turn that brings more makes several."""
ENTRY_BYTES_MAX = 4 << 20
"""Bytes of values in one entry."""
WINDOW_ENTRIES_MAX = 1024
"""Entries sent to a follower beyond what it acknowledged; beyond this it is caught up as it acknowledges."""
CLOSED = 1 << 62
"""Number of a session whose end is in the log: none of its commands enters the log any more."""
TRIM_ENTRIES = 256
"""Entries forgotten in one step: a step for each would move the whole list each time."""


@attrs.define(eq=False)
class Progress:
    """One follower as the leader sees it (etcd raft's ``tracker``)."""

    match: int = 0
    """Everything up to this index is in its log."""
    next: int = 1
    """The next index to send."""
    round: int = 0
    """The latest round it acknowledged."""
    linked: bool = False


@attrs.define(eq=False)
class Draft:
    """The entry of this turn, while it grows."""

    system: list[list[object]] = attrs.Factory(list)
    sessions: list[int] = attrs.Factory(list)
    firsts: list[int] = attrs.Factory(list)
    counts: list[int] = attrs.Factory(list)
    incomplete: list[int] = attrs.Factory(list)
    kinds: list[bytes] = attrs.Factory(list)
    keys: list[bytes] = attrs.Factory(list)
    values: list[Value] = attrs.Factory(list)
    size_bytes: int = 0
    """Bytes of keys and values."""

    def add(self, session: int, run: Run) -> None:
        """Add a run; one that continues the last one is merged with it."""
        if self.sessions and self.sessions[-1] == session:
            self.counts[-1] += len(run.keys)
            self.incomplete[-1] = run.incomplete
        else:
            self.sessions.append(session)
            self.firsts.append(run.first)
            self.counts.append(len(run.keys))
            self.incomplete.append(run.incomplete)
        self.kinds.append(run.kinds)
        self.keys += run.keys
        self.values += run.values
        self.size_bytes += commands_bytes(run.keys, run.values)


@attrs.define(eq=False)
class Speculation:
    """A ``SpecReply`` while it grows: what one frame's commands were answered."""

    sessions: list[int] = attrs.Factory(list)
    firsts: list[int] = attrs.Factory(list)
    counts: list[int] = attrs.Factory(list)
    results: list[list[int]] = attrs.Factory(list)
    total: int = 0

    def add(self, session: int, run: Run, results: list[list[int]]) -> None:
        """Add a run that is answered speculatively, with the outcomes of its cas by place in the run."""
        self.sessions.append(session)
        self.firsts.append(run.first)
        self.counts.append(len(run.keys))
        for place, succeeded in results:
            self.results.append([self.total + place, succeeded])
        self.total += len(run.keys)

    def reply(self, node: Node) -> SpecReply:
        """Make the section."""
        return SpecReply(node.config.config, node.view, node.applied_position, self.sessions, self.firsts, self.counts, self.results)


@attrs.define(eq=False)
class Leader:
    """The leading replica's own state; made when it becomes leader, dropped when it ceases to be."""

    node: Node
    tail: Tail = attrs.field(init=False)
    draft: Draft = attrs.Factory(Draft)
    logged: dict[int, Logged] = attrs.Factory(dict)
    # {session: what is in the log}
    progress: dict[int, Progress] = attrs.Factory(dict)
    # {peer: its log as we know it}
    opening: dict[bytes, Source] = attrs.Factory(dict)
    # {token: the link that asked}
    closing: dict[int, None] = attrs.Factory(dict)
    # {session: it ends when its last command is applied}
    open_index: int = 0
    """The view is open for speculation when this index is applied."""
    round: int = 0
    confirmed: int = 0
    """The latest round that a majority acknowledged: we led when it was sent."""
    round_wanted: bool = False
    told_commit: int = 0
    heartbeat_at: float = 0.0
    flush_at: float = math.inf

    def __attrs_post_init__(self) -> None:
        self.tail = Tail(self.node.store, self.node.witness)

    def start(self) -> None:
        """Begin the view: its first entry names the configuration; nothing is speculative before that is committed."""
        node = self.node
        for peer in node.config.voters:
            if peer != node.config.id:
                self.progress[peer] = Progress(next=node.log.last_index + 1)
        config = node.config
        self.draft.system.append([CONFIG, config.config, config.mode, list(config.voters)])
        self.draft.system.append([NOOP])
        self.open_index = node.log.last_index + 1

    @property
    def open(self) -> bool:
        """Whether this view may answer speculatively."""
        return self.node.applied_index >= self.open_index

    @property
    def next_index(self) -> int:
        """Index of the entry that grows in this turn, or of the newest one if none does."""
        return self.node.log.last_index + (1 if self.draft.sessions or self.draft.system else 0)

    def busy(self) -> bool:
        """Whether the log is too full to take more (clients are told BUSY)."""
        return self.node.log.size_bytes > self.node.config.log_bytes_max

    def append(self, chain: Chain, speculation: Speculation) -> bool:
        """Put what the session's chain holds beyond the log into this turn's entry, in order, and speculate.

        Returns:
            False when the chain has a hole before what it holds (the client must resend).
        """
        logged = self.logged.get(chain.session)
        if logged is None:
            logged = self.logged[chain.session] = Logged(chain.committed)
        if chain.held <= logged.number:
            return True
        newest = chain.runs[-1]
        runs = [newest] if newest.first == logged.number + 1 else [run.after(logged.number) for run in chain.runs if run.last > logged.number]
        index = self.node.log.last_index + 1
        for run in runs:
            if run.first != logged.number + 1:
                return False
            self._append_run(logged, chain, run, index, speculation)
        if len(self.draft.keys) >= ENTRY_COMMANDS_MAX or self.draft.size_bytes >= ENTRY_BYTES_MAX:
            self.close_turn()
        return True

    def _append_run(self, logged: Logged, chain: Chain, run: Run, index: int, speculation: Speculation) -> None:
        self.draft.add(chain.session, run)
        mode = self.node.config.mode
        logged.number = run.last
        free, results = self.tail.append(logged, chain, run, index)
        if mode == "paxos":
            return
        committed = chain.committed
        if mode == "ht" and max(run.kinds) >= CAUSAL:
            logged.unwitnessed = run.last
        if not self.open:
            logged.blocked = run.last
        elif free and logged.blocked <= committed and logged.unwitnessed <= committed and min(run.kinds) < CAUSAL:
            speculation.add(chain.session, run, results)

    def on_open_session(self, source: Source, message: OpenSession) -> None:
        """Log the opening of sessions; a token that is open already is answered at once."""
        node = self.node
        tokens, sessions = [], []
        for token in message.tokens:
            known = node.sessions.tokens.get(token)
            if known is None and token not in self.opening:
                if len(node.witness.chains) + len(self.opening) >= node.config.sessions_max:
                    known = 0
                else:
                    self.draft.system.append([OPEN, token, float(message.lease_seconds)])
            if known is None:
                self.opening[token] = source
            else:
                tokens.append(token)
                sessions.append(known)
        if tokens:
            node.reply(source, SessionOpened(tokens, sessions))

    def on_close_session(self, sessions: list[int]) -> None:
        """Log the end of sessions as soon as their commands are all applied; nothing of theirs enters the log behind it."""
        for session in sessions:
            chain, logged = self.node.witness.chains.get(session), self.logged.get(session)
            if chain is None or (logged is not None and logged.number == CLOSED):
                continue
            if chain.held == chain.committed and (logged is None or logged.number == chain.committed):
                self.logged[session] = Logged(CLOSED)
                self.draft.system.append([CLOSE, session])
            else:
                self.closing[session] = None

    def on_applied(self, entry: Entry) -> None:
        """Follow the apply step: the entry's writes leave the tail, and who waited for its openings is answered."""
        if entry.kinds:
            self.tail.applied(entry)
            if self.closing:
                self.on_close_session([session for session in entry.sessions if session in self.closing])
        for command in entry.system:
            if command[0] in {CLOSE, EXPIRE}:
                session = command[1]
                assert isinstance(session, int)
                self.logged.pop(session, None)
                self.closing.pop(session, None)
            if command[0] == OPEN:
                token = command[1]
                assert isinstance(token, bytes)
                link = self.opening.pop(token, None)
                if link is not None:
                    self.node.reply(link, SessionOpened([token], [self.node.sessions.tokens[token]]))

    def on_accept_ack(self, peer: int, ack: AcceptAck) -> None:
        """Count a follower's log; commit what a majority holds, if it is of this view (Raft section 5.4.2)."""
        progress = self.progress[peer]
        progress.round = max(progress.round, ack.round)
        if ack.match_index > progress.match:
            progress.match = ack.match_index
            progress.next = max(progress.next, progress.match + 1)
            self._advance()
        self._confirm()

    def on_accept_nack(self, peer: int, nack: AcceptNack) -> None:
        """Back up to where the follower's log may still agree."""
        progress = self.progress[peer]
        progress.round = max(progress.round, nack.round)
        progress.next = max(progress.match + 1, min(nack.hint_index + 1, progress.next))
        self._confirm()

    def _confirm(self) -> None:
        rounds = sorted((progress.round for progress in self.progress.values()), reverse=True)
        self.confirmed = rounds[majority(len(self.node.config.voters)) - 2] if rounds else self.round

    def _advance(self) -> None:
        node = self.node
        matches = sorted([progress.match for progress in self.progress.values()] + [node.log.last_index], reverse=True)
        index = matches[majority(len(node.config.voters)) - 1]
        if index > node.commit_index and node.log.view_at(index) == node.view:
            node.commit_index = index

    def link_up(self, peer: int) -> None:
        """A follower's link is fresh: what was in flight may be lost, so send again from what it acknowledged."""
        progress = self.progress[peer]
        progress.linked = True
        progress.next = progress.match + 1
        self.heartbeat_at = 0.0

    def link_down(self, peer: int) -> None:
        """Send nothing to a follower without a link."""
        self.progress[peer].linked = False

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
        log.append(entry)
        self.draft = Draft()
        if not self.progress:
            self._advance()

    def accepts(self, now: float) -> list[tuple[int, list[Message]]]:
        """Make this turn's frames to the followers: new entries, or a heartbeat when one is due."""
        node = self.node
        last = node.log.last_index
        if not self.progress:
            self.confirmed = self.round = self.round + 1
        if node.commit_index > self.told_commit and self.flush_at == math.inf:
            self.flush_at = now + node.config.commit_flush_seconds
        everyone = now >= self.heartbeat_at or now >= self.flush_at or self.round_wanted
        behind = [peer for peer, progress in self.progress.items() if progress.linked and (everyone or progress.next <= last)]
        if not behind:
            if everyone:
                self._told(now)
            return []
        self.round += 1
        made: dict[tuple[int, int], list[Message]] = {}  # {(from, upto): the one message for all who need just that}
        sends: list[tuple[int, list[Message]]] = []
        for peer in behind:
            progress = self.progress[peer]
            sections = self._accept(progress, made)
            if sections is not None:
                sends.append((peer, sections))
        if everyone or len(behind) == len(self.progress):
            self._told(now)
        return sends

    def _told(self, now: float) -> None:
        self.heartbeat_at = now + self.node.config.heartbeat_seconds
        self.flush_at, self.told_commit, self.round_wanted = math.inf, self.node.commit_index, False

    def _accept(self, progress: Progress, made: dict[tuple[int, int], list[Message]]) -> list[Message] | None:
        node, log = self.node, self.node.log
        if progress.next < log.first_index:
            return None  # left behind the kept log: needs a snapshot
        room = progress.next - progress.match <= WINDOW_ENTRIES_MAX
        room = room and log.bytes_between(progress.match, progress.next) < node.config.window_bytes_max
        entries = log.since(progress.next, node.config.accept_bytes_max) if room and progress.next <= log.last_index else []
        key = (progress.next, len(entries))
        sections = made.get(key)
        if sections is None:
            view = log.view_at(progress.next - 1)
            assert view is not None
            accept = Accept(node.config.config, node.view, progress.next - 1, view, node.commit_index, self.round, entries)
            sections = made[key] = [accept]
        progress.next += len(entries)
        return sections

    def deadline(self) -> float:
        """When the next heartbeat or commit notice is due."""
        if not self.progress:
            return math.inf
        return min(self.heartbeat_at, self.flush_at)

    def trim(self) -> None:
        """Forget entries that every follower has and that are applied here; past half the limit, slow followers are left behind."""
        log, applied, enough = self.node.log, self.node.applied_index, self.node.config.log_bytes_max // 2
        held = min([progress.match for progress in self.progress.values()] + [applied])
        if held - log.first_index >= TRIM_ENTRIES or log.size_bytes > enough:
            log.discard_upto(held)
        if log.size_bytes > enough:
            log.discard_upto(applied)
