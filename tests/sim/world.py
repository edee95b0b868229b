"""The world: a clock, a heap of events, one source of randomness, replicas, clients, links and an observer."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

import attrs

from replica.core.client import Client
from tests.sim.actors import ClientActor, ReplicaActor
from tests.sim.faults import Saboteur
from tests.sim.guarding import Guards
from tests.sim.history import History, Violation
from tests.sim.network import Direction, Link, Network, Place
from tests.sim.observer import Observer
from tests.sim.streams import Streams
from tests.sim.strikes import Strikes
from tests.sim.workload import Program

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.sim.options import Options
    from tests.sim.plan import Plan

STORY_EVENTS = 200
LIVENESS_SECONDS = 30.0
"""Virtual time within which everything must be complete after the faults."""
LOOK_SECONDS = 0.02
EVENTS_MAX = 300_000
"""More, and something talks to itself without end."""


class World:
    """One run.

    Args:
        options: what it is like.
        trace: called with each event's line as it happens.
        streams: where chance comes from; None: from the seed.
        plan: what goes wrong and what is asked for; None: the seed draws it.
    """

    def __init__(
        self, options: Options, trace: Callable[[str], None] | None = None, streams: Streams | None = None, plan: Plan | None = None
    ) -> None:
        self.options = options
        self.trace = trace
        self.streams = streams or Streams(options.seed)
        self.rng = self.streams.shared
        self.plan = plan
        self.now = 0.0
        self.calm_at = options.fault_seconds
        self.calm = False
        self.values = 0
        self.keys = [b"k%d" % number for number in range(options.keys)]
        self.history = History(causal_mode=options.mode in {"ho", "ht"}, sessions_end=options.partings > 0)
        self.story: deque[tuple[float, str, object]] = deque(maxlen=STORY_EVENTS)
        self._heap: list[tuple[float, int, int, Callable[[], None]]] = []
        self._serial = 0
        self._stamp = 0
        self.events = 0
        self.network = Network(self)
        self.strikes = Strikes(self)
        self.replicas = [self._replica(number) for number in (*options.voters, *options.joiners)]
        clients = [self._client(number) for number in range(options.clients)]
        self.clients = [client for client in clients if not all(program.absent for program in client.programs)]
        self.ends: list[ReplicaActor | ClientActor] = [*self.replicas, *self.clients]
        self.places: dict[Place, ReplicaActor | ClientActor] = {actor.name: actor for actor in self.ends}
        self.observer = Observer(self)
        self.guards = Guards(self)
        self._join()

    # ------------------------------------------------------------------------------------------------------------------- making it

    def _replica(self, number: int) -> ReplicaActor:
        return ReplicaActor(number, self, attrs.evolve(self.options.core, id=number, joins=number >= self.options.replicas))

    def _client(self, number: int) -> ClientActor:
        actor = ClientActor(number, self, Client(self.options.client))
        for _ in range(self.options.sessions):
            index = len(self.history.tracks)
            track = self.history.begin(number, index)
            rng, encore_rng = self.streams.of(f"session {index}"), self.streams.of(f"encore {index}")
            weights = rng.choice(((4, 4, 2, 4), (1, 0, 0, 0), (4, 0, 4, 0), (0, 3, 0, 3), (2, 2, 4, 4), (1, 4, 4, 1)))
            program = Program(
                self, track, self.options.weights or weights, rng, encore_rng, self.streams.apart(f"partings {index}"),
                left=self.options.commands, encore=self.options.encore,
            )  # fmt: skip
            if self.plan is not None:
                program.follow(self.plan)
            actor.programs.append(program)
        return actor

    def _join(self) -> None:
        low, high = self.options.delays
        for place, a in enumerate(self.ends):
            for b in self.ends[place + 1 :]:
                if isinstance(a, ReplicaActor):
                    rngs = {end.name: self.streams.of(f"{end.name} > {other.name}") for end, other in ((a, b), (b, a))}
                    ways = {end.name: Direction(self._range(rngs[end.name], low, high), rngs[end.name]) for end in (a, b)}
                    self.network.connect(self.network.join(a, b, ways))
        for actor in self.ends:
            actor.start()

    @staticmethod
    def _range(rng: random.Random, low: float, high: float) -> tuple[float, float]:
        if low == high:
            return low, high
        return tuple(sorted((rng.uniform(low, high), rng.uniform(low, high))))  # type: ignore[return-value]

    # --------------------------------------------------------------------------------------------------------- what actors ask for

    def at(self, when: float, do: Callable[[], None], priority: int = 0) -> None:
        """Do something at a time; of one moment, lower priorities first, then what was asked for first."""
        self._serial += 1
        heapq.heappush(self._heap, (max(when, self.now), priority, self._serial, do))

    def stamp(self) -> int:
        """Return the next moment's number: no two invocations or responses share one."""
        self._stamp += 1
        return self._stamp

    def gather(self, rng: random.Random) -> float:
        """Draw how long a turn waits for more frames."""
        most = self.options.turn_seconds
        return rng.uniform(0.0, most) if most and rng.random() < 0.5 else 0.0

    def sync_seconds(self, rng: random.Random) -> float:
        """Draw how long a sync takes; 0 is within the turn."""
        slowest = self.options.sync_seconds
        return rng.uniform(0.0, slowest) if slowest and rng.random() < 0.8 else 0.0

    def budget(self, rng: random.Random) -> int:
        """Draw the commands that one turn may apply."""
        most = self.options.apply_commands
        return most if most > 1 << 20 else rng.randint(1, most)

    def tell(self, who: str, what: object) -> None:
        """Add to the story."""
        self.story.append((self.now, who, what if self.trace is None else str(what)))
        if self.trace is not None:
            self.trace(line(self.now, who, what))

    def reconnect(self, link: Link) -> None:
        """Bring a link up again, if both its ends live and neither stands still (who stands still answers no dial)."""
        ends = [self.places[link.a.name], self.places[link.b.name]]
        if not all(end.alive for end in ends) or link.up:
            return
        if any(isinstance(end, ReplicaActor) and end.paused for end in ends):
            self.at(self.now + 0.05, lambda: self.reconnect(link))
            return
        self.network.connect(link)

    # ------------------------------------------------------------------------------------------------------------------ running it

    def run_until(self, when: float) -> None:
        """Let events happen up to a time."""
        heap = self._heap
        while heap and heap[0][0] <= when:
            self.now, _, _, do = heapq.heappop(heap)
            self.events += 1
            if self.events > EVENTS_MAX:
                raise Violation(f"liveness: {self.events} events: " + self.observer.what_is_left())
            do()
        self.now = max(self.now, when)

    def run(self) -> None:
        """Run both phases.

        Raises:
            Violation: something that must hold did not, or something is not complete in time.
            AssertionError: a core found a bug in itself.
        """
        network, faults = self.network, self.options.faults
        network.loss, network.duplication, network.reordering = faults.loss, faults.duplication, faults.reordering
        if self.plan is None:
            Saboteur(self).start()
        else:
            for fault in self.plan.faults:
                self.at(fault.at, lambda fault=fault: self.strikes.again(fault), priority=2)  # type: ignore[misc]
        self.run_until(self.calm_at)
        self._calm_down()
        until = self.calm_at + LIVENESS_SECONDS
        while left := self.what_is_left():
            if self.now > until:
                raise Violation(f"liveness: {left}")
            self.run_until(self.now + LOOK_SECONDS)
        self.observer.deep()

    def _calm_down(self) -> None:
        """Faults end: who stands still goes on, links come up, nothing is lost any more."""
        network = self.network
        for actor in self.replicas:
            if actor.alive:
                actor.resume()
            elif not actor.out_of_service:
                self.at(self.now, actor.restart)
            actor.disk.failing = ""
        network.loss = network.duplication = network.reordering = 0.0
        for link in dict.fromkeys(network.links.values()):
            for way in link.ways.values():
                way.blocked, way.slower = False, 1.0
            if not link.up:
                self.at(self.now + 0.05, lambda link=link: self.reconnect(link))  # type: ignore[misc]
        self.calm = True
        for actor in self.replicas:
            actor.clock.calm_down()
        self.tell("world", "calm from now on")

    def what_is_left(self) -> str:
        """Say what is not yet submitted, complete, committed, applied everywhere and told; empty when everything is."""
        return self.observer.what_is_left() or self.guards.what_is_left()

    def told_story(self) -> list[str]:
        """Return the last events as lines."""
        return [line(*event) for event in self.story]


def line(now: float, who: str, what: object) -> str:
    """Make one line of the story."""
    return f"{now * 1000:12.4f} ms  {who:9} {what}"
