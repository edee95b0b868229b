"""All sessions of one client process, sans-IO: they share one link, one frame a turn, to each replica.

Requests gather as columns while the process runs its turn; ``take_sends`` makes one frame for each replica of them, with sections that
several replicas get shared (and encoded once).  Answers are counted per session (``session``) and completed together at the end of the turn.

What must not live here: what a command costs or returns to a program (``triskele.client``), links, clocks, randomness.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import attrs

from replica.core import messages as m
from replica.core.node import BUSY, GAP, REFUSALS
from replica.core.quorum import fast_quorum, majority
from replica.core.session import Completion, CompletionKind, ReadFlight, Session
from replica.core.witness import CAUSAL, Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from replica.core.config import Mode
    from replica.core.messages import Message, Query, Value

HOME_SLACK_SHARE, HOME_SLACK_SECONDS = 1.2, 100e-6
"""Round trips within this of the best one count as equal: sessions are spread over equals."""
HOME_MOVES_AFTER = 3
"""Worse measurements in a row before a session moves."""
PINGS_KEPT = 8
PINGS_FIRST = 4
"""A fresh link is measured so often at once: its first round trip says more about a starting process than about the line."""
BACKOFF_MAX = 5
LOST_READ_RESENDS = 8
"""A read without an answer for so many times ``resend_seconds`` is asked again although its session goes on."""


@attrs.frozen
class ClientConfig:
    """What a client must know. Times in seconds."""

    voters: tuple[int, ...]
    mode: Mode = "ho"
    lease_seconds: float = 30.0
    resend_seconds: float = 0.25
    """A session without progress for this long sends again what is not answered (doubling up to 32 times)."""
    refused_seconds: float = 0.02
    """A replica that answered GAP or BUSY is sent the session's commands again after this long."""
    ping_seconds: float = 1.0


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
        return m.Record(
            self.sessions, self.firsts, self.counts, self.previous, self.incomplete, b"".join(self.kinds), self.keys, self.values
        )


@attrs.define(eq=False)
class Reads:
    """A read section while it grows; ``last`` is the column of dependencies or floors."""

    sessions: list[int] = attrs.Factory(list)
    firsts: list[int] = attrs.Factory(list)
    counts: list[int] = attrs.Factory(list)
    last: list[int] = attrs.Factory(list)
    queries: list[Query] = attrs.Factory(list)

    def add(self, session: int, flight: ReadFlight, last: int) -> None:
        """Add a submission."""
        self.sessions.append(session)
        self.firsts.append(flight.first)
        self.counts.append(flight.count)
        self.last.append(last)
        self.queries += flight.queries


@attrs.define(eq=False)
class Target:
    """One replica as this client sees it."""

    linked: bool = False
    extra: list[Message] = attrs.Factory(list)
    """Sections for this replica alone, before those for all."""
    late: list[Message] = attrs.Factory(list)
    """Likewise, behind them."""
    causal: Reads = attrs.Factory(Reads)
    pings: deque[float] = attrs.Factory(lambda: deque(maxlen=PINGS_KEPT))
    """Latest round trips, seconds."""
    pinged: dict[int, float] = attrs.Factory(dict)
    # {nonce: sent at}

    @property
    def round_trip(self) -> float:
        """The best of the latest round trips; infinite for an unmeasured or unlinked replica."""
        return min(self.pings) if self.linked and self.pings else math.inf


@attrs.define(eq=False)
class Client:
    """The protocol core of one client process."""

    config: ClientConfig
    view: int = 0
    config_id: int = 0
    leader: int = -1
    now: float = 0.0
    sessions: dict[int, Session] = attrs.Factory(dict)
    opening: dict[bytes, Session] = attrs.Factory(dict)
    # {token: session that is not open yet}
    completions: list[Completion] = attrs.Factory(list)
    targets: dict[int, Target] = attrs.field(init=False)
    place: dict[int, int] = attrs.field(init=False)
    # {replica id: its place in the sessions' tallies}
    moved: int = 0
    """Times a session changed its home."""
    resent: int = 0
    """Times a session's commands were sent again."""
    _records: Records = attrs.Factory(Records)
    _witness_records: Records = attrs.Factory(Records)
    _strong_reads: Reads = attrs.Factory(Reads)
    _anchors: dict[int, tuple[int, int]] = attrs.Factory(dict)
    # {session: (dependency, last read)} of this turn
    _touched: dict[int, Session] = attrs.Factory(dict)
    _again: dict[tuple[int, int], float] = attrs.Factory(dict)
    # {(replica, session): when to send it the session's commands again}
    _check_at: float = math.inf
    _ping_at: float = math.inf
    _open_at: float = math.inf
    _worse: dict[int, int] = attrs.Factory(dict)
    # {session: worse measurements of its home in a row}
    _nonce: int = 0
    _fast_others: int = attrs.field(init=False)
    _majority_others: int = attrs.field(init=False)
    _steps: dict[type, Callable[[int, Any], None]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        voters = self.config.voters
        self.targets = {voter: Target() for voter in voters}
        self.place = {voter: place for place, voter in enumerate(voters)}
        self._fast_others = fast_quorum(len(voters)) - 1
        self._majority_others = majority(len(voters)) - 1
        self._steps = self._steps_of_replicas()

    @property
    def causal_mode(self) -> bool:
        """Whether the mode has causal commands of its own; elsewhere they are executed as strong ones."""
        return self.config.mode in ("ho", "ht")

    # ------------------------------------------------------------------------------------------------------------------ submitting

    def open_session(self, token: bytes, handle: object) -> Session:
        """Begin a session; it may be used when its OPENED completion has come.

        Args:
            token: unique for all time (16 random bytes, say); opening is retried under it.
            handle: the caller's own, returned with the completion.
        """
        voters = len(self.config.voters)
        session = Session(self, token, handle)
        session.held, session.accepted = [0] * voters, [0] * voters
        session.confirmed, session.anchored = [0] * voters, [0] * voters
        self.opening[token] = session
        self._send_openings([token])
        return session

    def _send_openings(self, tokens: list[bytes]) -> None:
        self._open_at = self.now + self.config.resend_seconds
        target = self.targets.get(self.leader)
        if target is not None and target.linked:
            target.extra.append(m.OpenSession(tokens, self.config.lease_seconds))

    def close_session(self, session: Session) -> None:
        """End a session in the log; its commands must be complete."""
        self.sessions.pop(session.id, None)
        self.opening.pop(session.token, None)
        target = self.targets.get(self.leader)
        if session.id and not session.lost and target is not None and target.linked:
            target.extra.append(m.CloseSession([session.id]))
        session.lost = session.lost or "closed"

    def queue_record(self, session: Session, run: Run, *, causal: bool) -> None:
        """Put a numbered run into this turn's frames (called by the session)."""
        self._records.add(session.id, run, run.first - 1)
        mode = self.config.mode
        if mode == "ht" and not causal:
            self._witness_records.add(session.id, run, session.witnessed)
            session.witnessed = run.last
        self._arm()

    def queue_strong_read(self, session: Session, flight: ReadFlight) -> None:
        """Put strong reads into this turn's frames (called by the session)."""
        self._strong_reads.add(session.id, flight, flight.dependency)
        self._anchors[session.id] = (flight.dependency, flight.first + flight.count - 1)
        self._arm()

    def queue_index_read(self, session: Session, flight: ReadFlight) -> None:
        """Put strong reads that go the long way into this turn's frame to the leader."""
        target = self.targets.get(self.leader)
        if target is not None and target.linked:
            reads = Reads()
            reads.add(session.id, flight, flight.dependency)
            target.late.append(m.ReadIndex(reads.sessions, reads.firsts, reads.counts, reads.last, reads.queries))
        self._arm()

    def queue_causal_read(self, session: Session, flight: ReadFlight) -> None:
        """Put causal reads into this turn's frame to the session's home (called by the session)."""
        self.targets[session.home].causal.add(session.id, flight, flight.floor)
        self._arm()

    def _arm(self) -> None:
        if self._check_at == math.inf:
            self._check_at = self.now + self.config.resend_seconds / 2

    # ------------------------------------------------------------------------------------------------------------------ counting

    def fast_level(self, accepted: list[int]) -> int:
        """Return up to which number enough voters beside the leader accepted a session's strong commands."""
        wanted = self._fast_others
        if wanted == 0:
            return 1 << 62
        leader = self.place.get(self.leader, -1)
        others = sorted((level for place, level in enumerate(accepted) if place != leader), reverse=True)
        return others[wanted - 1]

    def reads_confirmed(self, session: Session, flight: ReadFlight) -> bool:
        """Tell whether strong reads may complete with the leader's values.

        ``k - 1`` voters pinned the chain up to their dependency in this view; or it is committed, and a majority with the leader confirmed
        the view (docs/protocol.md, "Strong reads").
        """
        last, dependency, leader = flight.first + flight.count - 1, flight.dependency, self.place.get(self.leader, -1)
        confirmed = anchored = 0
        for place, read in enumerate(session.confirmed):
            if read >= last and place != leader:
                confirmed += 1
                if session.anchored[place] >= dependency:
                    anchored += 1
        if anchored >= self._fast_others:
            return True
        return confirmed >= self._majority_others and (dependency <= session.committed or self.config.mode == "paxos")

    def causal_place(self, session: Session) -> int:
        """Return whose HELD completes a causal write: the home's (``ho``), or the leader's (``ht``)."""
        return self.place.get(self.leader if self.config.mode == "ht" else session.home, 0)

    # ------------------------------------------------------------------------------------------------------------------ events

    def link_up(self, replica: int, now: float) -> None:
        """A link is fresh: bind sessions again and send what the replica may not have."""
        self.now = now
        target = self.targets[replica]
        target.linked = True
        target.pings.clear()
        self._ping(replica)
        self._ping_at = min(self._ping_at, now + self.config.ping_seconds)
        homes = [session.id for session in self.sessions.values() if session.home == replica]
        if homes:
            target.extra.append(m.Home(homes, home=True))
        for session in self.sessions.values():
            self._resend(session, replica)
            self._read_again(session, replica)
            if not self.targets[session.home].linked:
                self._move(session)  # its home went when no other link was up
        if replica == self.leader and self.opening:
            self._send_openings(list(self.opening))

    def link_down(self, replica: int, now: float) -> None:
        """A link is gone: sessions at home there move."""
        self.now = now
        self.targets[replica] = Target()
        for session in self.sessions.values():
            if session.home == replica:
                self._move(session)

    def step(self, replica: int, messages: list[Message], now: float) -> None:
        """Take one frame's sections from a replica."""
        self.now = now
        steps = self._steps
        for message in messages:
            step = steps.get(type(message))
            if step is not None:  # a newer replica may say more than we know
                step(replica, message)

    def _steps_of_replicas(self) -> dict[type, Callable[[int, Any], None]]:
        return {
            m.RecordAck: self._on_record_ack,
            m.SpecReply: self._on_spec_reply,
            m.AnchorAck: self._on_anchor_ack,
            m.StrongReadReply: self._on_strong_read_reply,
            m.CausalReadReply: self._on_causal_read_reply,
            m.Applied: self._on_applied,
            m.SessionOpened: self._on_session_opened,
            m.Leader: self._on_leader,
            m.Pong: self._on_pong,
        }

    def _on_leader(self, replica: int, news: m.Leader) -> None:  # noqa: ARG002 - one signature for all
        self._on_view(news.config, news.view, news.leader)

    def _on_view(self, config: int, view: int, leader: int) -> None:
        """Adopt a newer view; everything unanswered is sent again to whom it concerns now."""
        if (config, view) < (self.config_id, self.view) or (config, view, leader) == (self.config_id, self.view, self.leader):
            return
        newer = (config, view) > (self.config_id, self.view)
        if not newer and leader < 0:
            return
        self.config_id, self.view, self.leader = config, view, leader
        for session in self.sessions.values():
            if newer:
                session.new_view()
            self._resend_all(session)
        if self.opening:
            self._send_openings(list(self.opening))

    def _same_view(self, config: int, view: int) -> bool:
        if (config, view) > (self.config_id, self.view):
            self._on_view(config, view, -1)
        return config == self.config_id and view == self.view

    def _on_record_ack(self, replica: int, ack: m.RecordAck) -> None:
        same, place = self._same_view(ack.config, ack.view), self.place[replica]
        sessions, touched = self.sessions, self._touched
        for number, held, accepted in zip(ack.sessions, ack.held, ack.accepted, strict=True):
            session = sessions.get(number)
            if session is not None:
                session.on_verdict(place, held, accepted, same_view=same)
                touched[number] = session
        for number, reason in ack.refusals:
            session = sessions.get(number)
            if session is None:
                continue
            if reason in (GAP, BUSY):
                self._again.setdefault((replica, number), self.now + self.config.refused_seconds)
            else:
                self._lose(session, REFUSALS.get(reason, "refused"))

    def _on_spec_reply(self, replica: int, reply: m.SpecReply) -> None:
        if not self._same_view(reply.config, reply.view) or replica != self.leader:
            return
        sessions, touched = self.sessions, self._touched
        starts: list[tuple[int, Session | None, int]] = []
        start = 0
        for number, first, count in zip(reply.sessions, reply.firsts, reply.counts, strict=True):
            session = sessions.get(number)
            if session is not None:
                session.on_speculated(first, first + count - 1)
                touched[number] = session
            if reply.results:
                starts.append((start, session, first))
                start += count
        at = 0
        for place, succeeded in reply.results:
            while at + 1 < len(starts) and starts[at + 1][0] <= place:
                at += 1
            start, session, first = starts[at]
            if session is not None and first + place - start > session.strong_done:
                session.speculated[first + place - start] = bool(succeeded)
                session.seen = max(session.seen, reply.position)

    def _on_anchor_ack(self, replica: int, ack: m.AnchorAck) -> None:
        if not self._same_view(ack.config, ack.view):
            return
        place, sessions, touched = self.place[replica], self.sessions, self._touched
        for number, read, anchored in zip(ack.sessions, ack.reads, ack.anchored, strict=True):
            session = sessions.get(number)
            if session is not None:
                if read > session.confirmed[place]:  # noqa: PLR1730 - one call less for each session
                    session.confirmed[place] = read
                if anchored > session.anchored[place]:  # noqa: PLR1730 - likewise
                    session.anchored[place] = anchored
                touched[number] = session

    def _on_strong_read_reply(self, replica: int, reply: m.StrongReadReply) -> None:
        if not self._same_view(reply.config, reply.view) or replica != self.leader:
            return
        end = 0
        for number, first, count in zip(reply.sessions, reply.firsts, reply.counts, strict=True):
            start, end = end, end + count
            session = self.sessions.get(number)
            if session is not None:
                session.on_strong_values(
                    first, reply.values[start:end], reply.versions[start:end], indexed=reply.indexed, horizon=reply.horizon, now=self.now
                )
                self._touched[number] = session

    def _on_causal_read_reply(self, replica: int, reply: m.CausalReadReply) -> None:
        end = 0
        for number, first, count, applied in zip(reply.sessions, reply.firsts, reply.counts, reply.applied, strict=True):
            start, end = end, end + count
            session = self.sessions.get(number)
            if session is not None:
                session.on_causal_values(
                    first, reply.values[start:end], reply.versions[start:end], applied=applied, horizon=reply.horizon,
                    position=reply.position, from_home=session.home == replica, now=self.now,
                )  # fmt: skip
                self._touched[number] = session
        for number, first, _count in reply.lagging:
            session = self.sessions.get(number)
            flight = session.causal_reads.get(first) if session is not None else None
            other = self.targets.get(self.leader)
            if session is not None and flight is not None and other is not None and other.linked:
                other.causal.add(number, flight, flight.floor)

    def _on_applied(self, replica: int, note: m.Applied) -> None:
        for number, command, succeeded in note.results if note.leader else ():
            session = self.sessions.get(number)
            if session is not None and command > session.strong_done:
                session.results[command] = bool(succeeded)
                session.seen = max(session.seen, note.position)
        for number, upto in zip(note.sessions, note.upto, strict=True):
            session = self.sessions.get(number)
            if session is not None:
                session.on_applied(upto, note.position, at_home=session.home == replica)
                self._touched[number] = session

    def _on_session_opened(self, replica: int, opened: m.SessionOpened) -> None:  # noqa: ARG002 - one signature for all
        for token, number in zip(opened.tokens, opened.sessions, strict=True):
            session = self.opening.pop(token, None)
            if session is None:
                continue
            if number == 0:
                session.lost = "too many sessions"
                self.completions.append(Completion(session, session.handle, CompletionKind.FAILED, 0, 1, reason=session.lost))
                continue
            session.id = session.floor = number
            self.sessions[number] = session
            session.home = self._choose_home(session)
            self.targets[session.home].extra.append(m.Home([number], home=True))
            self.completions.append(Completion(session, session.handle, CompletionKind.OPENED, 0, 1))

    def _lose(self, session: Session, reason: str) -> None:
        """The session ended in the log: complete what is known to be complete, and fail the rest."""
        self.sessions.pop(session.id, None)
        self._touched.pop(session.id, None)
        session.complete_strong(self.now)
        session.complete_causal(self.now)
        session.complete_reads(self.now)
        session.fail(reason)

    # ------------------------------------------------------------------------------------------------------------------ homes

    def _ping(self, replica: int) -> None:
        target = self.targets[replica]
        self._nonce += 1
        if len(target.pinged) < PINGS_KEPT:
            target.pinged[self._nonce] = self.now
            target.extra.append(m.Ping(self._nonce))

    def _on_pong(self, replica: int, pong: m.Pong) -> None:
        target = self.targets[replica]
        sent = target.pinged.pop(pong.nonce, None)
        if sent is None:
            return
        target.pings.append(self.now - sent)
        if len(target.pings) < PINGS_FIRST:
            self._ping(replica)
        elif len(target.pings) == PINGS_FIRST:
            self._measure_homes(HOME_MOVES_AFTER)

    def _equals(self) -> list[int]:
        """Return the replicas whose round trip counts as the best."""
        linked = [replica for replica, target in self.targets.items() if target.linked]
        if not linked:
            return list(self.targets)
        best = min(self.targets[replica].round_trip for replica in linked)
        slack = best * HOME_SLACK_SHARE + HOME_SLACK_SECONDS
        return [replica for replica in linked if self.targets[replica].round_trip <= slack] or linked

    def _choose_home(self, session: Session) -> int:
        equals = self._equals()
        return equals[session.id % len(equals)]

    def _move(self, session: Session) -> None:
        """Bind a session to another home; it keeps its floor and sends its commands there again."""
        old = session.home
        session.home = self._choose_home(session)
        if session.home == old:
            return
        self.moved += 1
        session.applied_home = 0
        if self.targets[old].linked:
            self.targets[old].extra.append(m.Home([session.id], home=False))
        self.targets[session.home].extra.append(m.Home([session.id], home=True))
        self._resend(session, session.home)
        for flight in session.causal_reads.values():
            self.targets[session.home].causal.add(session.id, flight, flight.floor)

    def _measure_homes(self, measurements: int = 1) -> None:
        """Count how often each session's home measured worse than the best, and move those for whom it was often enough."""
        best = set(self._equals())
        for session in self.sessions.values():
            if session.home in best or not self.targets[session.home].pings:
                self._worse.pop(session.id, None)
                continue
            worse = self._worse[session.id] = self._worse.get(session.id, 0) + measurements
            if worse >= HOME_MOVES_AFTER:
                del self._worse[session.id]
                self._move(session)

    # ------------------------------------------------------------------------------------------------------------------ resending

    def _resend(self, session: Session, replica: int) -> None:
        """Send one replica the session's uncommitted commands again, under their numbers; the leader also those whose outcome is not known."""
        mode, leads = self.config.mode, replica == self.leader
        if not session.log or (mode == "paxos" and not leads):
            return
        records = Records()
        previous = session.committed
        for flight in session.log:
            run = flight.run.after(min(flight.done, session.committed) if leads else session.committed)
            if not run.keys or (flight.causal and mode == "ht" and not leads):
                continue
            records.add(session.id, run, run.first - 1 if leads or mode != "ht" else previous)
            previous = run.last
        if records.sessions:
            self.targets[replica].extra.append(records.message())
            self.resent += 1

    def _resend_all(self, session: Session) -> None:
        """Send everything unanswered again: commands to all voters, reads to whom they belong."""
        for replica, target in self.targets.items():
            if target.linked:
                self._resend(session, replica)
                self._read_again(session, replica)

    def _read_again(self, session: Session, replica: int) -> None:
        """Ask a replica again for the reads that wait for its answer: strong ones the long way."""
        if replica == self.leader:
            for flight in session.strong_reads:
                flight.sent_at = self.now
                self.queue_index_read(session, flight)
        if replica == session.home:
            for flight in session.causal_reads.values():
                flight.sent_at = self.now
                self.queue_causal_read(session, flight)

    # ------------------------------------------------------------------------------------------------------------------ the turn

    def take_completions(self, now: float) -> list[Completion]:
        """Complete what this turn's frames allow and hand it over."""
        self.now = now
        if self._touched:
            touched, self._touched = self._touched, {}
            for session in touched.values():
                if session.strong:
                    session.complete_strong(now)
                if session.causal:
                    session.complete_causal(now)
                if session.strong_reads:
                    session.complete_reads(now)
                if session.late_reads and not session.lost:
                    session.ask_again()
        completions, self.completions = self.completions, []
        return completions

    def take_sends(self) -> list[tuple[int, list[Message]]]:
        """Make one frame for each replica that has something to be told; equal sections are the same objects."""
        shared: list[Message] = []
        witness: list[Message] = []
        mode = self.config.mode
        if self._records.sessions:
            shared.append(self._records.message())
            self._records = Records()
        if mode == "ht":
            if self._witness_records.sessions:
                witness.append(self._witness_records.message())
                self._witness_records = Records()
        elif mode != "paxos":
            witness = list(shared)
        leader_only: list[Message] = []
        if self._anchors:
            reads, self._strong_reads = self._strong_reads, Reads()
            leader_only.append(m.StrongRead(reads.sessions, reads.firsts, reads.counts, reads.last, reads.queries))
            levels = self._anchors.values()
            witness.append(m.Anchor(list(self._anchors), [level[0] for level in levels], [level[1] for level in levels]))
            self._anchors = {}
        sends = []
        for replica, target in self.targets.items():
            sections = [*shared, *leader_only] if replica == self.leader else witness
            if target.extra or target.late or target.causal.sessions:
                sections = [*target.extra, *sections, *target.late]
                target.extra, target.late = [], []
                if target.causal.sessions:
                    causal, target.causal = target.causal, Reads()
                    sections.append(m.CausalRead(causal.sessions, causal.firsts, causal.counts, causal.last, causal.queries))
            if sections and target.linked:
                sends.append((replica, sections))
        return sends

    def expire(self, now: float) -> None:
        """Run what is due: resends, pings, openings."""
        self.now = now
        if now >= self._check_at:
            self._check_progress(now)
        if self._again:
            for replica, number in [key for key, due in self._again.items() if due <= now]:
                del self._again[replica, number]
                session = self.sessions.get(number)
                if session is not None and self.targets[replica].linked:
                    self._resend(session, replica)
        if now >= self._ping_at:
            self._ping_at = now + self.config.ping_seconds
            self._measure_homes()
            for replica, target in self.targets.items():
                if target.linked:
                    self._ping(replica)
            idle = [session.id for session in self.sessions.values() if session.idle]
            target = self.targets.get(self.leader, Target())
            if idle and target.linked:
                target.extra.append(m.KeepAlive(idle))
        if self.opening and now >= self._open_at:
            self._send_openings(list(self.opening))

    def _check_progress(self, now: float) -> None:
        """Send again for sessions that wait without progress; a timer may resend, it never decides anything."""
        busy = False
        for session in self.sessions.values():
            if session.idle:
                session.backoff = 0
                continue
            busy = True
            if session.progress_at > session.resent_at:
                session.backoff = 0
            wait = self.config.resend_seconds * (1 << min(session.backoff, BACKOFF_MAX))
            if now - session.progress_at >= wait:
                session.backoff += 1
                session.progress_at = session.resent_at = now
                self._resend_all(session)
            elif now - session.oldest_read >= self.config.resend_seconds * LOST_READ_RESENDS:
                for replica in {self.leader: None, session.home: None}:
                    self._read_again(session, replica)
        self._check_at = now + self.config.resend_seconds / 2 if busy else math.inf

    def deadline(self) -> float:
        """When ``expire`` is needed next."""
        due = min(self._check_at, self._ping_at, *self._again.values(), math.inf)
        return min(due, self._open_at) if self.opening else due


def causal(kinds: bytes) -> bytes:
    """Return the kinds with the causal bit set."""
    return bytes(kind | CAUSAL for kind in kinds)
