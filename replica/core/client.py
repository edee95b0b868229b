"""All sessions of one client process, sans-IO: they share one link, one frame a turn, to each replica.

Requests gather as columns while the process runs its turn; ``take_sends`` makes one frame for each replica of them, with sections that
several replicas get shared (and encoded once).  Answers are counted per session (``session``) and completed together at the end of the turn.

What must not live here: what a command costs or returns to a program (``triskele.client``), links, clocks, randomness.
"""

from __future__ import annotations

import copy
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

import attrs

from replica.core import messages as m
from replica.core.freezing import Frozen, freeze
from replica.core.homes import MOVES_AFTER, PINGS_FIRST, SPREAD_AT_ONCE, Homes, Line
from replica.core.members import Members
from replica.core.openings import Openings
from replica.core.requests import Reads, Requests, Target
from replica.core.resending import BACKOFF_MAX, Resending
from replica.core.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from replica.core.config import Mode
    from replica.core.flights import Completion, ReadFlight
    from replica.core.messages import Message
    from replica.core.session import Session
    from replica.core.witness import Run

KEEP_ALIVE_AT_ONCE = 1000
"""So many sessions are kept alive with every ping; of more, a part."""


@attrs.frozen
class ClientConfig:
    """What a client must know. Times in seconds."""

    voters: tuple[int, ...]
    """As the first replica told them, of ``configuration``."""
    configuration: int = 1
    """Only the first one is certain whoever tells it: later ones count when a leader has told them."""
    mode: Mode = "ho"
    lease_seconds: float = 30.0
    resend_seconds: float = 0.25
    """A session without progress for this long sends again what is not answered (doubling up to 32 times)."""
    refused_seconds: float = 0.02
    """A replica that answered GAP or BUSY is sent the session's commands again after this long."""
    ping_seconds: float = 1.0


@attrs.define(eq=False)
class Client:
    """The protocol core of one client process."""

    config: ClientConfig
    view: int = 0
    leader: int = -1
    members: Members = attrs.field(init=False)
    tallies: Tallies = attrs.field(init=False)
    now: float = 0.0
    sessions: dict[int, Session] = attrs.Factory(dict)
    openings: Openings = attrs.field(init=False)
    completions: list[Completion] = attrs.Factory(list)
    targets: dict[int, Target] = attrs.field(init=False)
    place: dict[int, int] = attrs.field(init=False)
    # {replica id: its place in the sessions' tallies}
    moved: int = 0
    """Times a session changed its home."""
    resent: int = 0
    """Times a session's commands were sent again."""
    homes: Homes = attrs.Factory(Homes)
    resending: Resending = attrs.field(init=False)
    _requests: Requests = attrs.field(init=False)
    touched: dict[int, Session] = attrs.Factory(dict)
    _again: dict[tuple[int, int, int], tuple[float, int]] = attrs.Factory(dict)
    # {(replica, session, 0): when to send it the session's commands again, and above which; or
    #  (-1, session, first of causal reads): when to ask the leader, and 0}
    _ping_at: float = math.inf
    _spoke_at: int = 0  # the ping's time that was last spoken for
    _steps: dict[type, Callable[[int, Any], None]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.targets, self.place = {}, {}
        self.openings = Openings(self)
        self.resending = Resending(self)
        self.tallies = Tallies(self)
        self.members = Members(self, self.config.configuration, self.config.voters)
        self._requests = Requests(self.config.mode, self.targets)
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
        return self.openings.begin(token, handle)

    def close_session(self, session: Session) -> None:
        """End a session in the log, behind its commands; what is on its way fails now, for nobody asks for it again. One that is not open yet is
        not asked for any more, and ended should it be opened all the same.
        """
        if session.lost:
            return
        target = self.targets.get(self.leader)
        if session.id and target is not None and target.linked:
            target.extra.append(m.CloseSession([session.id], [session.number]))
        self.lose(session, "closed")
        self.openings.give_up(session)

    def queue_record(self, session: Session, run: Run, *, causal: bool) -> None:
        """Put a numbered run into this turn's frames (called by the session)."""
        self._requests.records.add(session.id, run, run.first - 1)
        if self.config.mode == "ht" and not causal:
            self._requests.witness_records.add(session.id, run, session.witnessed)
            session.witnessed = run.last
        self.resending.arm()

    def queue_strong_read(self, session: Session, flight: ReadFlight) -> None:
        """Put strong reads into this turn's frames (called by the session)."""
        self._requests.add_strong_read(session.id, flight)
        self.resending.arm()

    def queue_index_read(self, session: Session, flight: ReadFlight) -> None:
        """Put strong reads that go the long way into this turn's frame to the leader."""
        target = self.targets.get(self.leader)
        if target is not None and target.linked:
            reads = Reads()
            reads.add(session.id, flight, flight.dependency)
            target.late.append(m.ReadIndex(reads.sessions, reads.firsts, reads.counts, reads.last, reads.queries))
        self.resending.arm()

    def queue_causal_read(self, session: Session, flight: ReadFlight) -> None:
        """Put causal reads into this turn's frame to the session's home (called by the session)."""
        self.targets[session.home].causal.add(session.id, flight, flight.floor)
        self.resending.arm()

    # ------------------------------------------------------------------------------------------------------------------ events

    def link_up(self, replica: int, now: float) -> None:
        """A link is fresh: bind sessions again and send what the replica may not have."""
        self.now = now
        self.members.linked[replica] = None
        if replica in self.targets:
            self.greet(replica)

    def greet(self, replica: int) -> None:
        """A voter is linked."""
        target = self.targets[replica]
        target.linked = True
        self.homes.lines[replica] = Line()
        self._ping(replica)
        self._ping_at = min(self._ping_at, self.now + self.config.ping_seconds)
        if homes := [session.id for session in self.sessions.values() if session.home == replica]:
            target.extra.append(m.Home(homes, home=True))
        for session in self.sessions.values():
            self.resending.commands(session, replica)
            self.resending.reads(session, replica)
            if session.home not in self.targets or not self.targets[session.home].linked:
                self._move(session)  # its home went when no other link was up
        if replica == self.leader:
            self.openings.ask_again()

    def link_down(self, replica: int, now: float) -> None:
        """A link is gone: sessions at home there move, and whatever it held it may hold no more when it comes back."""
        self.now = now
        self.members.linked.pop(replica, None)
        if replica in self.targets:
            self.targets[replica].unlink()
            for session in self.sessions.values():  # without a disk it forgets (docs/protocol.md, "What a crash can do to a causal write")
                session.held[self.place[replica]] = 0
            self.leave(replica)

    def leave(self, replica: int) -> None:
        """Let no session be at home with a replica."""
        self.homes.lines.pop(replica, None)
        for session in self.sessions.values():
            if session.home == replica:
                self._move(session)

    def step(self, replica: int, messages: list[Message], now: float) -> None:
        """Take one frame's sections from a replica."""
        self.now = now
        for message in messages:
            steps = self._steps if replica in self.targets else self.members.steps
            step = steps.get(type(message))
            if step is not None:  # a newer replica may say more than we know
                step(replica, message)

    def _steps_of_replicas(self) -> dict[type, Callable[[int, Any], None]]:
        tallies = self.tallies
        return self.members.steps | {
            m.RecordAck: tallies.on_record_ack,
            m.SpecReply: tallies.on_spec_reply,
            m.AnchorAck: tallies.on_anchor_ack,
            m.StrongReadReply: tallies.on_strong_read_reply,
            m.CausalReadReply: tallies.on_causal_read_reply,
            m.Applied: tallies.on_applied,
            m.SessionOpened: self.openings.on_opened,
            m.Pong: self._on_pong,
        }

    def on_view(self, view: int, leader: int) -> None:
        """Follow who leads a newer view; everything unanswered is sent again to whom it concerns now.

        A majority voted for a leader, so no later one leads a lower view.  A view that nobody leads yet may be one that nobody ever will: of a
        replica that campaigns alone, cut off or removed, while the leader of a lower view serves.
        """
        if leader < 0 or view <= self.view:
            return
        self.view, self.leader = view, leader
        self.send_everything(newer=True)

    def same_view(self, view: int) -> bool:
        """Tell whether an answer of this view counts: those of different views never combine."""
        return view == self.view

    def send_everything(self, *, newer: bool) -> None:
        """Send everything unanswered again; ``newer``: what was counted so far does not count any more."""
        for session in self.sessions.values():
            if newer:
                session.new_view()
            self.resending.everything(session)
        self.openings.ask_again()

    def from_leader(self, replica: int, config: int, view: int) -> bool:
        """Tell whether an answer that only leaders give counts: its configuration's voters are known. It tells who leads, should that news have been
        lost."""
        if view > self.view:
            self.on_view(view, replica)
        return self.same_view(view) and replica == self.leader and self.members.known(config)

    def send_again(self, replica: int, session: Session, held: int) -> None:
        """Send a replica that answered GAP or BUSY the session's commands above ``held`` again, a little later; the later, the longer nothing of the
        session completes: what has no room is not made more by sending it.
        """
        wait = self.config.refused_seconds * (1 << min(session.backoff, BACKOFF_MAX))
        self._again.setdefault((replica, session.id, 0), (self.now + wait, held))

    def ask_leader(self, session: int, first: int) -> None:
        """Ask the leader for causal reads that another replica lags behind, a little later: once, however many answers say so."""
        self._again.setdefault((-1, session, first), (self.now + self.config.refused_seconds, 0))

    def lose(self, session: Session, reason: str) -> None:
        """The session has ended: complete what is known to be complete, and fail the rest."""
        for known in (self.sessions, self.touched, self.homes.worse):
            known.pop(session.id, None)
        session.complete_strong(self.now)
        session.complete_causal(self.now)
        session.complete_reads(self.now)
        session.fail(reason)

    # ------------------------------------------------------------------------------------------------------------------ homes

    def _ping(self, replica: int) -> None:
        self.targets[replica].extra.append(m.Ping(self.homes.ping(replica, self.now)))

    def _on_pong(self, replica: int, pong: m.Pong) -> None:
        measured = self.homes.on_pong(replica, pong.nonce, self.now)
        if 0 < measured < PINGS_FIRST:
            self._ping(replica)
        elif measured == PINGS_FIRST:
            self._measure_homes(MOVES_AFTER)

    def _measure_homes(self, measurements: int = 1) -> None:
        """Move the sessions whose home measured worse than the best often enough, and those that are not spread over the best though these stay."""
        equals = self.homes.equals()
        for session in self.sessions.values():
            if self.homes.is_worse(session.id, session.home, measurements, equals):
                self._move(session)
        if self.homes.may_spread(equals):
            apart = [session for session in self.sessions.values() if session.home in equals and session.home != equals[session.id % len(equals)]]
            self.homes.spread = len(apart) <= SPREAD_AT_ONCE
            for session in apart[:SPREAD_AT_ONCE]:
                self._move(session)

    def _move(self, session: Session) -> None:
        """Bind a session to another home; it keeps its floor and sends its commands there again."""
        old = session.home
        session.home = self.homes.choose(session.id, list(self.targets))
        if session.home == old:
            return
        self.moved += 1
        session.applied_home = 0
        if old in self.targets and self.targets[old].linked:
            self.targets[old].extra.append(m.Home([session.id], home=False))
        self.targets[session.home].extra.append(m.Home([session.id], home=True))
        self.resending.commands(session, session.home)
        for flight in session.causal_reads.values():
            self.targets[session.home].causal.add(session.id, flight, flight.floor)

    # ------------------------------------------------------------------------------------------------------------------ the turn

    def take_completions(self, now: float) -> list[Completion]:
        """Complete what this turn's frames allow and hand it over."""
        self.now = now
        if self.touched:
            touched, self.touched = self.touched, {}
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
        sends = self._requests.take(self.leader)
        return sends + self.members.take_questions() if self.members.questions_due else sends

    def expire(self, now: float, queued_bytes: Mapping[int, int] = MappingProxyType({})) -> None:
        """Run what is due: resends, pings, openings.

        Args:
            now: the time.
            queued_bytes: what links have yet to send, ``{replica: bytes}``; of others, nothing.
        """
        self.now = now
        for replica, target in self.targets.items():
            target.queued_bytes = queued_bytes.get(replica, 0)
        if now >= self.resending.at:
            self.resending.check(now)
        if self._again:
            for key in [key for key, (due, _) in self._again.items() if due <= now]:
                _, held = self._again.pop(key)
                self.resending.refused(*key, held)
        if now >= self._ping_at:
            self._ping_at = now + self.config.ping_seconds
            self._measure_homes()
            for replica, target in self.targets.items():
                if target.linked:
                    self._ping(replica)
            self.members.questions_due = True
            self._keep_alive()
        if now >= self.openings.deadline():
            self.openings.ask_again()

    def _keep_alive(self) -> None:
        """Say that the sessions are alive: to the leader, which counts leases, and to their homes, in case it is out of reach.

        Of many, each ping speaks for a part, a late one for those it missed too, and for all within a third of a lease: replicas go one by one.
        """
        sessions, upto = list(self.sessions.values()), int(self.now / self.config.ping_seconds)
        if len(sessions) > KEEP_ALIVE_AT_ONCE:
            parts = max(1, int(self.config.lease_seconds / (3 * self.config.ping_seconds)))
            sessions = [session for session in sessions if (upto - session.id) % parts < upto - self._spoke_at]
        self._spoke_at = upto
        for replica, target in self.targets.items():
            alive = [session.id for session in sessions if replica in (self.leader, session.home)]
            if alive and target.linked:
                target.extra.append(m.KeepAlive(alive))

    def clone(self) -> Self:
        """Return an independent copy, handles of callers included."""
        flights = [flight for session in self.sessions.values() for flight in session.log]
        shared: list[object] = [self.config, *(flight.run for flight in flights)]
        return copy.deepcopy(self, {id(item): item for item in shared})

    def freeze(self) -> Frozen:
        """Return the state in canonical form: equal states of different histories are equal."""
        waiting = (self.now, self.touched, self.completions, self.resending, self._requests, self._again, self._ping_at)
        return freeze((self.view, self.members, self.leader, self.sessions, self.openings, self.homes, self._spoke_at, *waiting), (id(self),))

    def deadline(self) -> float:
        """When ``expire`` is needed next."""
        return min(self.resending.at, self._ping_at, self.openings.deadline(), *[due for due, _ in self._again.values()])
