"""Real cores of replicas and clients, and between them frames that move only when a test says so.

Places are replicas (their ids) and client processes (their names). What a turn sends waits in a queue for each pair of places, first in, first
out, until it is delivered or dropped; time stands still until it is advanced. Nothing is random: nobody asks for votes by itself unless the
cluster has an ``election_seconds``, and ``campaign`` has it done. Disks take at once what they are given, or when they are told to.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

import attrs

from replica.core.client import Client, ClientConfig
from replica.core.config import CoreConfig, Mode
from replica.core.effects import LinkDown, LinkUp, Persisted, Received, Source
from replica.core.flights import Completion, CompletionKind
from replica.core.journal import Durable
from replica.core.replica import Replica
from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, DELETE, PUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from replica.core.journal import JournalRecord
    from replica.core.messages import Message, Query, Value
    from replica.core.session import Session

Place = int | str
"""A replica's id or a client's name."""
Frame = list["Message"]

TURNS_MAX = 10_000
"""Turns of one ``settle``: more are a loop."""
COMMANDS_PER_APPLY = 1 << 30


@attrs.define(eq=False)
class Process:
    """A client process."""

    core: Client
    done: list[Completion] = attrs.Factory(list)
    """Everything that completed, in order."""


@attrs.define(eq=False)
class Disk:
    """A replica's disk."""

    records: list[JournalRecord] = attrs.Factory(list)
    """What is on it: what a start finds."""
    batches: deque[tuple[int, list[JournalRecord]]] = attrs.Factory(deque)
    """What it was given and has not taken yet."""
    slow: bool = False
    """It takes nothing before it is told to."""


class Cluster:
    """Replicas ``0 .. voters - 1`` and clients, all linked unless told otherwise.

    Attributes:
        now: the time everybody is told, seconds.
        queues: ``{(from, to): frames on their way}``.
        journal: every frame that was sent, ``(from, to, sections)``.
        disks: ``{replica: its disk}``.
        dead: replicas that do nothing until they are restarted, and clients that never do again.
        jitter: ``{replica: what chance tells it}``; the lower, the sooner it asks for votes.
        drops: what replicas refused, ``(replica, source, reason)``; a test that expects some empties it.
    """

    def __init__(
        self, voters: int = 3, mode: Mode = "ho", *, clients: str = "c", linked: bool = True, client: dict[str, Any] | None = None, **core: Any
    ) -> None:
        ids = tuple(range(voters))
        core.setdefault("election_seconds", math.inf)
        self.now = 0.0
        self.mode = mode
        self.jitter = {place: place / voters for place in ids}
        self.core = core
        self.configs = {place: CoreConfig(id=place, voters=ids, mode=mode, **core) for place in ids}
        self.disks = {place: Disk() for place in ids}
        self.dead: set[Place] = set()
        self.replicas = {place: self._replica(place, None) for place in ids}
        self.clients = {name: Process(Client(ClientConfig(voters=ids, mode=mode, **(client or {})))) for name in clients}
        self.queues: dict[tuple[Place, Place], deque[Frame]] = {}
        self.drops: list[tuple[int, Source, str]] = []
        self.links: dict[tuple[str, int], Source] = {}  # {(client, replica): the live link's name at the replica}
        self.peers: set[tuple[int, int]] = set()
        self.journal: list[tuple[Place, Place, Frame]] = []
        self._connections = 0
        if linked:
            begun = sorted(ids, key=lambda place: place != self.configs[place].leader)  # who hears no leader answers no ping
            for count, place in enumerate(begun):
                for other in begun[:count]:
                    self.link(place, other)
                for name in clients:
                    self.link(name, place)
            self.settle()

    def _replica(self, place: int, durable: Durable | None) -> Replica:
        return Replica(self.configs[place], durable, lambda: self.jitter[place])

    def join(self, place: int) -> None:
        """Start a replica that no configuration knows, linked to everybody who lives."""
        self.jitter[place] = 0.5
        self.configs[place] = CoreConfig(id=place, voters=self.configs[0].voters, mode=self.mode, joins=True, **self.core)
        self.disks[place] = Disk()
        self.replicas[place] = self._replica(place, None)
        self.rejoin(place)

    # ----------------------------------------------------------------------------------------------------------------------- links

    def link(self, one: Place, other: Place) -> None:
        """Bring the link between two places up; who seemed dead and is linked without a restart only stood still."""
        self.dead -= {one, other}
        if isinstance(one, int) and isinstance(other, int):
            self.peers |= {(one, other), (other, one)}
            self.replicas[one].step(LinkUp(other, peer=True), self.now)
            self.replicas[other].step(LinkUp(one, peer=True), self.now)
        else:
            name, place = _client_first(one, other)
            self._connections += 1
            link = self.links[name, place] = (name, self._connections)
            self.replicas[place].step(LinkUp(link, peer=False), self.now)
            self.clients[name].core.link_up(place, self.now)
        self.turn(one)
        self.turn(other)

    def cut(self, one: Place, other: Place) -> None:
        """Break the link between two places: what was on its way is lost, and both notice."""
        self.queues.pop((one, other), None)
        self.queues.pop((other, one), None)
        if isinstance(one, int) and isinstance(other, int):
            self.peers -= {(one, other), (other, one)}
            for place, peer in ((one, other), (other, one)):
                if place not in self.dead:
                    self.replicas[place].step(LinkDown(peer), self.now)
        else:
            name, place = _client_first(one, other)
            link = self.links.pop((name, place))
            if place not in self.dead:
                self.replicas[place].step(LinkDown(link), self.now)
            self.clients[name].core.link_down(place, self.now)
        self.turn(one)
        self.turn(other)

    def linked(self, one: Place, other: Place) -> bool:
        """Whether there is a link between two places."""
        return (one, other) in self.peers or (one, other) in self.links or (other, one) in self.links

    def isolate(self, place: Place) -> None:
        """Break all links of a replica or a client."""
        for other in self.places():
            if self.linked(place, other):
                self.cut(place, other)

    def rejoin(self, place: Place) -> None:
        """Bring up the links between a replica and everybody who lives."""
        for other in self.places():
            if other not in {place, *self.dead} and not self.linked(place, other):
                self.link(place, other)

    def kill(self, place: Place) -> None:
        """A replica or a client dies: all its links break, and what its disk has not taken is lost."""
        self.dead.add(place)
        if isinstance(place, int):
            self.disks[place].batches.clear()
        self.isolate(place)

    def restart(self, place: int, *, linked: bool = True) -> None:
        """A dead replica comes back with what its disk holds."""
        durable = Durable()
        durable.replay(self.disks[place].records)
        self.dead.remove(place)
        self.replicas[place] = self._replica(place, durable)
        self.replicas[place].node.now = self.now
        self.replicas[place].election.heard_leader()
        self.turn(place)
        if linked:
            self.rejoin(place)

    def campaign(self, place: int) -> None:
        """A replica has waited for its leader long enough."""
        self.replicas[place].election.at = self.now
        self.turn(place)

    def sync(self, place: int) -> None:
        """A slow disk takes everything it was given."""
        disk, core = self.disks[place], self.replicas[place]
        while disk.batches:
            batch, records = disk.batches.popleft()
            disk.records += records
            core.step(Persisted(batch), self.now)
        self.turn(place)

    def places(self) -> list[Place]:
        """Return everybody."""
        return [*self.replicas, *self.clients]

    # ----------------------------------------------------------------------------------------------------------------------- turns

    def turn(self, place: Place) -> None:
        """End a place's turn: run what is due, complete, apply, and queue what it sends."""
        if place in self.dead:
            return
        if isinstance(place, str):
            process = self.clients[place]
            if process.core.deadline() <= self.now:
                process.core.expire(self.now)
            process.done += process.core.take_completions(self.now)
            for replica, sections in process.core.take_sends():
                if (place, replica) in self.links:
                    self._send(place, replica, sections)
            return
        core = self.replicas[place]
        if core.deadline() <= self.now:
            core.expire(self.now)
        self._apply_and_write(place, core)
        effects = core.take_effects(self.now)
        core.check_invariants()
        self.drops += [(place, source, reason) for source, reason in effects.drops]
        for peer, sections in effects.sends:
            if (place, peer) in self.peers:
                self._send(place, peer, sections)
        for link, sections in effects.replies:
            for (name, replica), live in self.links.items():
                if replica == place and live == link:
                    self._send(place, name, sections)

    def _apply_and_write(self, place: int, core: Replica) -> None:
        """Apply what is committed and write what is new, until there is neither: an own sync may be the last that a commit waits for."""
        disk = self.disks[place]
        while True:
            while core.apply(COMMANDS_PER_APPLY):
                pass
            batch, records = core.take_persist(self.now)
            if not records:
                return
            disk.batches.append((batch, records))
            if disk.slow:
                return
            disk.batches.popleft()
            disk.records += records
            core.step(Persisted(batch), self.now)

    def _send(self, source: Place, place: Place, frame: Frame) -> None:
        self.queues.setdefault((source, place), deque()).append(frame)
        self.journal.append((source, place, frame))

    def receive(self, place: Place, source: Place, *messages: Message) -> None:
        """Give a place one frame as if ``source`` had sent it, and end its turn."""
        if isinstance(place, str):
            assert isinstance(source, int)
            self.clients[place].core.step(source, list(messages), self.now)
        else:
            link: Source = source if isinstance(source, int) else self.links[source, place]
            self.replicas[place].step(Received(link, list(messages)), self.now)
        self.turn(place)

    def deliver(self, source: Place, place: Place, frames: int = 1) -> list[Frame]:
        """Deliver the oldest frames on their way from one place to another, each in a turn of its own."""
        delivered = [self.queues[source, place].popleft() for _ in range(frames)]
        for frame in delivered:
            self.receive(place, source, *frame)
        return delivered

    def drop(self, source: Place, place: Place) -> list[Frame]:
        """Lose everything on its way from one place to another."""
        return list(self.queues.pop((source, place), ()))

    def waiting(self, source: Place, place: Place) -> list[Message]:
        """Return the sections on their way from one place to another."""
        return [message for frame in self.queues.get((source, place), ()) for message in frame]

    def settle(self, *places: Place) -> None:
        """Deliver everything, oldest first, until nothing is on its way; with ``places``, only what moves among them."""
        for _ in range(TURNS_MAX):
            pair = next((pair for pair, frames in self.queues.items() if frames and (not places or set(pair) <= set(places))), None)
            if pair is None:
                return
            self.deliver(*pair)
        raise AssertionError("it never settles")

    def settle_replicas(self) -> None:
        """Deliver everything that goes to replicas until nothing does; what goes to clients waits."""
        for _ in range(TURNS_MAX):
            pair = next((pair for pair, frames in self.queues.items() if frames and isinstance(pair[1], int)), None)
            if pair is None:
                return
            self.deliver(*pair)
        raise AssertionError("it never settles")

    def advance(self, seconds: float) -> None:
        """Let time pass, then end everybody's turn; nothing is delivered."""
        self.now += seconds
        for place in self.places():
            self.turn(place)

    def run(self, seconds: float, *, delay: float = 0.0005) -> None:
        """Let time pass in steps of ``delay``, delivering everything."""
        end = self.now + seconds
        while self.now < end:
            self.advance(min(delay, end - self.now) or delay)
            self.settle()

    # -------------------------------------------------------------------------------------------------------------------- programs

    def open(self, *names: str, client: str = "c") -> list[Session]:
        """Open sessions, one for each name, and let everybody learn of it."""
        core = self.clients[client].core
        sessions = [core.open_session(f"{client}-{name}".encode(), name) for name in names]
        self.turn(client)
        self.run(0.01)
        assert all(session.id for session in sessions), "no leader opened the sessions"
        return sessions

    def owner(self, session: Session) -> str:
        """Return the client process a session belongs to."""
        return next(name for name, process in self.clients.items() if process.core is session.client)

    def record(self, session: Session, kinds: bytes, keys: list[bytes], values: list[Value], handle: object = None) -> int:
        """Submit logged commands and end the client's turn."""
        first = session.record(kinds, keys, values, handle, self.now)
        self.turn(self.owner(session))
        return first

    def put(self, session: Session, key: bytes, value: bytes, handle: object = None, *, causal: bool = False) -> int:
        """Submit one put."""
        return self.record(session, bytes([PUT | CAUSAL if causal else PUT]), [key], [value], handle)

    def delete(self, session: Session, key: bytes, handle: object = None, *, causal: bool = False) -> int:
        """Submit one delete."""
        return self.record(session, bytes([DELETE | CAUSAL if causal else DELETE]), [key], [None], handle)

    def cas(self, session: Session, key: bytes, expected: bytes | int | None, new: bytes, handle: object = None) -> int:
        """Submit one compare-and-swap: on a version if ``expected`` is a number."""
        return self.record(session, bytes([CAS_VERSION if isinstance(expected, int) else CAS_VALUE]), [key], [[expected, new]], handle)

    def strong_read(self, session: Session, *queries: Query, handle: object = None, versioned: bool = False) -> None:
        """Submit strong reads and end the client's turn."""
        session.strong_read(list(queries), handle, self.now, versioned=versioned)
        self.turn(self.owner(session))

    def causal_read(self, session: Session, *queries: Query, handle: object = None) -> None:
        """Submit causal reads and end the client's turn."""
        session.causal_read(list(queries), handle, self.now)
        self.turn(self.owner(session))

    def answers(self, handle: object) -> list[Completion]:
        """Return the completions of one submission."""
        return [completion for process in self.clients.values() for completion in process.done if completion.handle == handle]

    def completed(self, handle: object) -> bool:
        """Whether anything of a submission completed."""
        return bool(self.answers(handle))

    def values(self, handle: object) -> list[Any]:
        """Return the values of a submission that must be complete: of reads, or outcomes of cas."""
        found = sorted(self.answers(handle), key=lambda completion: completion.first)
        assert found, f"{handle!r} is not complete"
        assert all(completion.kind is not CompletionKind.FAILED for completion in found), found
        return [value for completion in found for value in completion.values or [None] * completion.count]

    def fast(self, handle: object) -> bool:
        """Whether all of a submission completed by the fast path."""
        found = self.answers(handle)
        assert found, f"{handle!r} is not complete"
        return all(completion.fast for completion in found)

    def logged(self, place: int = 0) -> list[tuple[int, int, bytes]]:
        """Return what a replica's log holds, ``(session, number, key)`` in order."""
        found = []
        for entry in self.replicas[place].node.log.entries:
            runs = zip(entry.sessions, entry.firsts, entry.counts, strict=True)
            numbers = [(session, number) for session, first, count in runs for number in range(first, first + count)]
            found += [(*number, key) for number, key in zip(numbers, entry.keys, strict=True)]
        return found

    def states(self) -> Iterator[object]:
        """Yield each replica's applied state in canonical form."""
        for replica in self.replicas.values():
            yield replica.node.store.freeze(), replica.node.sessions.freeze()


def _client_first(one: Place, other: Place) -> tuple[str, int]:
    name, place = (one, other) if isinstance(one, str) else (other, one)
    assert isinstance(name, str)
    assert isinstance(place, int)
    return name, place
