"""One client session, sans-IO: numbering, tallies, the fast and the slow path, causal context.

Logged commands carry consecutive numbers; numbering and queueing are one step, and a numbered command stays in the session until its fate is
known.  Verdicts are cumulative, so a session's tally is two numbers for each voter.  A strong command completes

- fast, when the leader of a view speculated it and ``k - 1`` other voters accepted it in the same view (CURP, NSDI'19, section 3.3), or
- slowly, when a replica applied it; nothing else, no majority of acks and no timer, completes it.

A causal write completes when the home holds it; a causal read is answered by the home at or above the session's *floor*, with the session's own
pending writes laid over it.  Strong commands complete in the order of their numbers, and so do causal writes.

What must not live here: links, leaders' identities, frames (``client``).
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import attrs

from replica.core.flights import Completion, CompletionKind, Flight, Part, ReadFlight
from replica.core.own_writes import OwnWrites
from replica.core.settled import Settled
from replica.core.witness import CAUSAL, Run
from statemachine.command import CAS_VALUE, CAS_VERSION, DELETE, PUT

if TYPE_CHECKING:
    from replica.core.client import Client
    from replica.core.messages import Query, Value

BLIND = bytes([PUT, DELETE, PUT | CAUSAL, DELETE | CAUSAL])


@attrs.define(eq=False)
class Session:
    """One session; made by ``Client.open_session``."""

    client: Client
    token: bytes
    handle: object
    id: int = 0
    """0 until it is open."""
    lost: str = ""
    """Why the session ended, if it did."""
    number: int = 0
    read_number: int = 0
    home: int = -1
    floor: int = 0
    """Causal reads must see at least this position."""
    least: int = 0
    """Answers below this position lack own writes that are not laid over any more."""
    seen: int = 0
    """What the outcomes of own cas that came so far rest on, a position."""
    committed: int = 0
    settled: Settled = attrs.Factory(Settled)
    applied_home: int = 0
    strong_done: int = 0
    spec_first: int = 1
    spec_last: int = 0
    held: list[int] = attrs.Factory(list)
    # [voter place: held up to]
    accepted: list[int] = attrs.Factory(list)
    # [voter place: accepted up to, in the present view]
    confirmed: list[int] = attrs.Factory(list)
    # [voter place: last strong read confirmed, in the present view]
    anchored: list[int] = attrs.Factory(list)
    # [voter place: anchored up to, in the present view]
    log: deque[Flight] = attrs.Factory(deque)
    """Submissions with uncommitted or incomplete commands, in order: what a resend sends."""
    strong: deque[Flight] = attrs.Factory(deque)
    causal: deque[Flight] = attrs.Factory(deque)
    strong_reads: deque[ReadFlight] = attrs.Factory(deque)
    causal_reads: dict[int, ReadFlight] = attrs.Factory(dict)
    # {number of its first read: flight}
    late_reads: dict[int, ReadFlight] = attrs.Factory(dict)
    # {number of its first read: flight that must be asked again}
    own: OwnWrites = attrs.Factory(OwnWrites)
    """Own writes not yet applied at home."""
    speculated: dict[int, bool] = attrs.Factory(dict)
    # {number: outcome of a cas in the present view, good for the fast path only}
    results: dict[int, bool] = attrs.Factory(dict)
    # {number: outcome of a committed cas that is not complete yet}
    flushes: deque[tuple[int, object]] = attrs.Factory(deque)
    """Who waits for commits: (number, handle)."""
    witnessed: int = 0
    """Last command that was sent to witnesses."""
    progress_at: float = 0.0
    """When something completed, or what there is was sent (again)."""
    resent_at: float = -1.0
    backoff: int = 0
    """Resends since something completed."""

    # ------------------------------------------------------------------------------------------------------------------ submitting

    def record(self, kinds: bytes, keys: list[bytes], values: list[Value], handle: object, now: float) -> int:
        """Submit logged commands, all strong or all causal (by the causal bit of every kind).

        Returns:
            The number of the first one.
        """
        client = self.client
        first = self.number + 1
        last = self.number = self.number + len(keys)
        causal = kinds[0] >= CAUSAL
        if causal and not client.causal_mode:
            kinds, causal = bytes(kind & ~CAUSAL for kind in kinds), False
        blind = not kinds.strip(BLIND)
        run = Run(first, last, kinds, keys, values, self._first_incomplete(first))
        flight = Flight(run, handle, causal, blind, first - 1, now)
        if not self.log and not self.strong_reads and not self.causal_reads:
            self.progress_at = now
        self.log.append(flight)
        (self.causal if causal else self.strong).append(flight)
        if client.causal_mode:  # elsewhere there are no causal reads to lay own writes over
            (self.own.note if blind else self.own.note_each)(run)
        client.queue_record(self, run, causal=causal)
        return first

    def _first_incomplete(self, first: int) -> int:
        strong = self.strong[0].done + 1 if self.strong else first
        return min(strong, self.causal[0].done + 1) if self.causal else strong

    def flush(self, handle: object) -> None:
        """Ask for a FLUSHED completion when everything submitted so far is committed."""
        if self.committed >= self.number:
            self.client.completions.append(Completion(self, handle, CompletionKind.FLUSHED, 0, 1))
        else:
            self.flushes.append((self.number, handle))

    def strong_read(self, queries: list[Query], handle: object, now: float, *, versioned: bool = False) -> None:
        """Submit strong reads: each sees every command of this session submitted before it.

        Args:
            queries: keys and scans.
            handle: the caller's own.
            now: the time.
            versioned: go the long way (two round trips), where every value has its version.
        """
        first = self.read_number + 1
        self.read_number += len(queries)
        flight = ReadFlight(first, len(queries), queries, handle, self.number, now, left=len(queries))
        if not self.log and not self.strong_reads and not self.causal_reads:
            self.progress_at = now
        self.strong_reads.append(flight)
        if versioned:
            self.client.queue_index_read(self, flight)
        else:
            self.client.queue_strong_read(self, flight)

    def causal_read(self, queries: list[Query], handle: object, now: float) -> None:
        """Submit causal reads to the session's home."""
        if not self.client.causal_mode:
            self.strong_read(queries, handle, now)
            return
        first = self.read_number + 1
        self.read_number += len(queries)
        flight = ReadFlight(first, len(queries), queries, handle, self.number, now, floor=self.floor, left=len(queries))
        if not self.log and not self.strong_reads and not self.causal_reads:
            self.progress_at = now
        self.causal_reads[first] = flight
        self.client.queue_causal_read(self, flight)

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return not (self.log or self.strong_reads or self.causal_reads)

    @property
    def in_flight(self) -> int:
        """Commands that are not complete."""
        logged = sum(flight.run.last - flight.done for flights in (self.strong, self.causal) for flight in flights)
        return logged + sum(flight.left for flight in self.strong_reads) + sum(flight.left for flight in self.causal_reads.values())

    @property
    def oldest_read(self) -> float:
        """When the oldest read without an answer was asked (again), seconds; infinite without one."""
        strong = self.strong_reads[0].sent_at if self.strong_reads else math.inf
        return min(strong, next(iter(self.causal_reads.values())).sent_at) if self.causal_reads else strong

    @property
    def oldest_command(self) -> float:
        """When the oldest command that is not complete was sent (again), seconds; infinite without one."""
        return min((flights[0].sent_at for flights in (self.strong, self.causal) if flights), default=math.inf)

    # ------------------------------------------------------------------------------------------------------------------ completing

    def fail(self, reason: str) -> None:
        """End the session: what is in flight may or may not have taken effect."""
        self.lost = reason
        failed: list[tuple[object, int, int]] = [(handle, 0, 1) for _, handle in self.flushes]
        for flight in (*self.strong, *self.causal):
            failed += [(flight.handle, flight.done + 1 - flight.run.first, flight.run.last - flight.done)]
        for read in (*self.strong_reads, *self.causal_reads.values()):
            nothing: list[Value] = [None] * read.count
            failed += [(read.handle, place, len(values)) for place, values, _ in read.fresh([(0, nothing, [0] * read.count)])]
        for handle, first, count in failed:
            self.client.completions.append(Completion(self, handle, CompletionKind.FAILED, first, count, reason=reason))
        for gone in (self.log, self.strong, self.causal, self.flushes, self.strong_reads, self.causal_reads, self.late_reads):
            gone.clear()

    def new_view(self) -> None:
        """Start the tallies of a new view: acks of different views never combine."""
        voters = len(self.client.place)
        self.held, self.accepted, self.confirmed, self.anchored = [0] * voters, [0] * voters, [0] * voters, [0] * voters
        self.spec_first, self.spec_last = self.number + 1, 0
        self.speculated.clear()
        self.settled.enter(self.client.view)
        for flight in self.strong_reads:
            flight.parts.clear()

    def on_verdict(self, place: int, held: int, accepted: int, *, same_view: bool) -> None:
        """Count a voter's cumulative verdict.

        What a home holds it holds in any view; in mode ``ht`` the leader must, and was a follower with holes in its chains before.
        """
        if held > self.held[place] and (same_view or self.client.config.mode != "ht"):
            self.held[place] = held
        if same_view and accepted > self.accepted[place]:
            self.accepted[place] = accepted

    def on_speculated(self, first: int, last: int) -> None:
        """Note what the leader of the present view answered speculatively.

        A gap with strong commands in it means that the leader saw them commit first, and its note of that is on the same link.
        """
        if self.spec_last == 0 or (first > self.spec_last + 1 and self._strong_between(self.spec_last, first)):
            self.spec_first = first
        self.spec_last = max(self.spec_last, last)

    def _strong_between(self, after: int, before: int) -> bool:
        return any(flight.run.first < before and flight.run.last > after for flight in self.strong)

    def complete_strong(self, now: float) -> None:
        """Complete the strong commands that the tallies allow, in order."""
        client = self.client
        fast, waits = 0, False
        if self.spec_last > self.strong_done:
            fast = min(self.spec_last, client.tallies.fast_level(self.accepted))
            if self.strong and self.spec_first > self.strong[0].done + 1 and self._strong_between(self.strong[0].done, self.spec_first):
                fast, waits = 0, True  # what comes before completes by its commit
        upto = max(fast, self.committed)
        strong = self.strong
        while strong and strong[0].done < upto:
            flight = strong[0]
            last = min(flight.run.last, upto)
            if not flight.blind:
                last = flight.known_upto(last, fast, self.results, self.speculated)
                if last <= flight.done:
                    break
            self._complete(flight, last, fast=last <= fast)
            self.progress_at = now
            self.strong_done = last
            if last < flight.run.last:
                break
            strong.popleft()
        self._trim_log()
        if waits and strong and strong[0].done + 1 >= self.spec_first:
            self.complete_strong(now)  # what it waited for is complete

    def _complete(self, flight: Flight, last: int, *, fast: bool) -> None:
        run, first = flight.run, flight.done + 1
        values: list[Value] | None = None
        if not flight.blind:
            values = [self._settle(run, number) for number in range(first, last + 1)]
        flight.done = last
        self.client.completions.append(
            Completion(self, flight.handle, CompletionKind.RECORDED, first - run.first, last - first + 1, values, None, fast)
        )

    def _settle(self, run: Run, number: int) -> Value:
        """Take a command's result; a cas that succeeded is an own write from now on, one that failed was a read."""
        kind, key = run.kinds[number - run.first], run.keys[number - run.first]
        if kind not in (CAS_VALUE, CAS_VERSION):
            return None
        speculated = self.speculated.pop(number, False)
        succeeded = self.results.pop(number, speculated)
        self.floor = max(self.floor, self.seen)
        for flight in self.causal_reads.values():
            if flight.dependency >= number:
                flight.floor = max(flight.floor, self.seen)
        if succeeded and number > self.applied_home and self.client.causal_mode:
            value = run.values[number - run.first]
            assert isinstance(value, list)
            new = value[1]
            assert isinstance(new, bytes)
            self.own.succeed(number, key, new)
        self.own.settle(number, key)
        return succeeded  # type: ignore[return-value]

    def complete_causal(self, now: float) -> None:
        """Complete the causal writes that the home holds (or that are committed), in order."""
        held = max(self.committed, self.held[self.client.tallies.causal_place(self)])
        causal = self.causal
        while causal and causal[0].done < held:
            flight = causal[0]
            last = min(flight.run.last, held)
            self._complete(flight, last, fast=False)
            self.progress_at = now
            if last < flight.run.last:
                break
            causal.popleft()
        self._trim_log()

    def on_applied(self, upto: int, position: int, *, at_home: bool) -> None:
        """Everything up to ``upto`` is committed; applied at the home, it needs no laying over any more."""
        if upto > self.committed:
            self.committed = upto
            self._trim_log()
            while self.flushes and self.flushes[0][0] <= upto:
                handle = self.flushes.popleft()[1]
                self.client.completions.append(Completion(self, handle, CompletionKind.FLUSHED, 0, 1))
        if at_home and upto > self.applied_home:
            self.applied_home = upto
            self.least = max(self.least, position)
            self.floor = max(self.floor, position)  # covers the own writes that are dropped, also at another home
            self.own.drop(upto)

    def _trim_log(self) -> None:
        """Forget submissions that are committed and complete: a committed cas may still lack its outcome, which a resend asks for."""
        log = self.log
        while log and log[0].done == log[0].run.last <= self.committed:
            log.popleft()

    # ------------------------------------------------------------------------------------------------------------------ reads

    def on_strong_values(self, first: int, values: list[Value], versions: list[int], *, indexed: bool, horizon: int, now: float) -> None:
        """Take the leader's answer to consecutive strong reads."""
        for flight in self.strong_reads:
            if flight.first <= first < flight.first + flight.count:
                flight.parts.append((first - flight.first, values, versions))
                self.floor = max(self.floor, horizon, *versions)
                if indexed:
                    self._finish_reads(flight, now)
                return

    def complete_reads(self, now: float) -> None:
        """Complete the strong reads that are answered and confirmed."""
        client = self.client
        for flight in tuple(self.strong_reads):
            if flight.parts and client.tallies.reads_confirmed(self, flight):
                self._finish_reads(flight, now)

    def _finish_reads(self, flight: ReadFlight, now: float) -> None:
        parts, flight.parts = flight.parts, []
        if flight.seen is not None or len(parts[0][1]) < flight.count or len(parts) > 1:
            parts = flight.fresh(parts)
        for place, values, versions in parts:
            flight.left -= len(values)
            self.client.completions.append(Completion(self, flight.handle, CompletionKind.READ, place, len(values), values, versions))
        self.progress_at = now
        if flight.left <= 0:
            self.strong_reads.remove(flight)

    def on_causal_values(
        self, first: int, values: list[Value], versions: list[int], *, applied: int, horizon: int, position: int, from_home: bool, now: float
    ) -> None:
        """Take a replica's answer to a submission of causal reads."""
        flight = self.causal_flight(first)
        if flight is None:
            return
        if position < flight.floor or position < self.least or (self.own.unsure and self.own.unsure_before(flight.dependency)):
            self.late_reads[flight.first] = flight  # too old for what this session knows of its own commands by now, or will know
            return
        if applied > self.applied_home and from_home:
            self.on_applied(applied, position, at_home=True)
        part: Part = (first - flight.first, values, versions)
        whole = len(values) == flight.count and flight.seen is None
        for place, some, some_versions in (part,) if whole else flight.fresh([part]):
            self._finish_causal(flight, (place, some, some_versions), applied, position)
        self.floor = max(self.floor, horizon)
        self.progress_at = now
        if flight.left <= 0:
            del self.causal_reads[flight.first]

    def causal_flight(self, number: int) -> ReadFlight | None:
        """Find the submission with this causal read, at its beginning or in its middle: large answers come in parts."""
        flights = self.causal_reads
        return flights.get(number) or next((flight for flight in flights.values() if flight.first <= number < flight.first + flight.count), None)

    def _finish_causal(self, flight: ReadFlight, part: Part, applied: int, position: int) -> None:
        place, values, versions = part
        queries = flight.queries if len(values) == flight.count else flight.queries[place : place + len(values)]
        scans = False
        if self.own.newest or list in map(type, queries):
            scans = self.own.lay_over(queries, values, versions, applied, flight.dependency)
        self.floor = max(self.floor, position if scans else 0, *versions)
        flight.left -= len(values)
        self.client.completions.append(Completion(self, flight.handle, CompletionKind.READ, place, len(values), values, versions))

    def ask_again(self) -> None:
        """Send causal reads whose answer came too early again, unless an own cas before them still has no outcome."""
        for first, flight in list(self.late_reads.items()):
            if not self.own.unsure_before(flight.dependency):
                del self.late_reads[first]
                if first in self.causal_reads:
                    flight.floor = self.floor
                    self.client.queue_causal_read(self, flight)
