"""Replicas and client processes as the simulator runs them: a core each, driven as the drivers drive it.

A turn: what is due expires, committed entries are applied within a budget, the effects are taken and sent. A turn may gather the frames of
some time; after it the actor sleeps until the core's deadline.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from replica.core.effects import LinkDown, LinkUp, Persisted, Received, Source
from replica.core.flights import Completion, CompletionKind
from replica.core.journal import Installed
from replica.core.replica import Replica
from replica.wire import WireLimits, decode, encode
from tests.sim.clocks import Clock
from tests.sim.disk import Disk, DiskFailed
from tests.sim.history import Submission, Violation
from tests.sim.workload import Program

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from replica.core.client import Client
    from replica.core.config import CoreConfig
    from replica.core.journal import JournalRecord
    from tests.sim.network import Place
    from tests.sim.world import World

LIMITS = WireLimits()
SLOW_SHARE = 0.5
SPINS_MAX = 20
"""Turns in a row at one moment that only a deadline asked for: more and a real driver would burn its processor."""


@attrs.define(eq=False)
class Turns:
    """When an actor's next turn is; only the earliest one asked for counts."""

    world: World
    run: Callable[[], None]
    due: float = math.inf
    serial: int = 0

    def ask(self, when: float) -> None:
        """Make sure that a turn happens at ``when`` or before."""
        if when < self.due:
            self.due = when
            self.serial += 1
            serial = self.serial
            self.world.at(when, lambda: self._come(serial), priority=1)

    def _come(self, serial: int) -> None:
        if serial == self.serial:
            self.due = math.inf
            self.run()


@attrs.define(eq=False)
class ReplicaActor:
    """One replica."""

    id: int
    world: World
    config: CoreConfig
    core: Replica = attrs.field(init=False)
    clock: Clock = attrs.field(init=False)
    """What its core is told the time by; everything else has the world's."""
    disk: Disk = attrs.Factory(Disk)
    down_seconds: float = 0.0
    """If its disk ends it, it is started again after this time."""
    lives: int = 0
    """Times it started."""
    installing: bool = False
    """A leader's snapshot replaced the state and is not on disk yet."""
    synced_at: float = 0.0
    """When the last sync that was begun ends."""
    name: Place = attrs.field(init=False)
    alive: bool = True
    paused: bool = False
    out_of_service: bool = False
    """For good: its state is known to be wrong."""
    late: list[Callable[[], None]] = attrs.Factory(list)
    """What happened while it stood still."""
    sources: dict[Place, Source] = attrs.Factory(dict)
    # {other end: its name in the core}
    places: dict[Source, Place] = attrs.Factory(dict)
    turns: Turns = attrs.field(init=False)
    deadline: float = math.inf
    """By its own clock."""
    spins: int = 0
    links_made: int = 0
    slow: bool = False
    """Its apply step has a small budget; a quick one applies everything at once."""
    rng: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.name = f"r{self.id}"
        self.rng = self.world.streams.of(self.name)
        self.slow = self.rng.random() < SLOW_SHARE
        self.turns = Turns(self.world, self._turn)
        self.clock = Clock(self.world, self.world.options.drift, self.world.streams.apart(f"clock of {self.name}"))
        self.clock.begin()
        self.core = Replica(self.config, None, self.rng.random, now=self.clock.now())

    def start(self) -> None:
        """Run the first turn: the leader's first entry leaves."""
        self.lives += 1
        self.world.guards.start(self)
        self.turns.ask(self.world.now)

    def crash(self) -> None:
        """Die at once, with what the disk had not taken."""
        self.alive = self.paused = False
        self.late.clear()
        self.disk.crash(self.rng)

    def restart(self) -> None:
        """Come back with what the disk holds; links are made anew."""
        durable = self.disk.read()
        durable.forgotten = not self.config.durable
        self.clock.begin()
        self.core = Replica(self.config, durable, self.rng.random, now=self.clock.now())
        self.alive, self.deadline, self.spins, self.synced_at, self.installing = True, math.inf, 0, 0.0, False
        self.sources.clear()
        self.places.clear()
        self.world.observer.on_restart(self)
        self.start()

    def leave_service(self, verdict: str, *, for_good: bool) -> None:
        """Hear and say nothing any more, because of what the guard found out; who is certain to be wrong never starts again."""
        self.out_of_service = for_good
        self.alive = False
        self.late.clear()
        self.world.strikes.silence(self.name, f"{self.name} leaves service: {verdict}")

    def _when_awake(self, do: Callable[[], None]) -> bool:
        """Put something off while standing still; tell whether it was."""
        if self.paused and self.alive:
            self.late.append(do)
        return self.paused or not self.alive

    def on_link_up(self, other: Place) -> None:
        """Give the link its name in the core and tell the core."""
        if self._when_awake(lambda: self.on_link_up(other)):
            return
        peer = other[0] == "r"
        self.links_made += 1
        source: Source = int(other[1:]) if peer else ("link", self.links_made)
        self.sources[other], self.places[source] = source, other
        self.core.step(LinkUp(source, peer=peer), self.clock.now())
        self.wake()

    def on_link_down(self, other: Place) -> None:
        """Tell the core."""
        if self._when_awake(lambda: self.on_link_down(other)):
            return
        source = self.sources.pop(other, None)
        if source is None:
            return  # a link of an earlier life
        del self.places[source]
        self.core.step(LinkDown(source), self.clock.now())
        self.wake()

    def _persisted(self, batch: int, life: int) -> None:
        if self.lives != life or self._when_awake(lambda: self._persisted(batch, life)):
            return
        if self.installing or batch <= self.core.node.journal.persisted:
            return  # no batch is safe yet, or a snapshot made it so
        with self._ending_with_disk():
            self.world.observer.on_synced(self, self.disk.sync(batch))
            self.core.step(Persisted(batch), self.clock.now())
            self.wake()

    def on_frame(self, other: Place, payload: bytes) -> None:
        """Decode a frame and step the core."""
        if self._when_awake(lambda: self.on_frame(other, payload)) or other not in self.sources:
            return
        _incarnation, messages = decode(payload, limits=LIMITS)
        self.world.tell(f"{other} > {self.name}", messages)
        if other[0] == "c":
            self.world.observer.leading.on_frame(self, messages)
        self.core.step(Received(self.sources[other], messages), self.clock.now())
        self.wake()

    def resume(self) -> None:
        """Go on after standing still: everything that came is handled now."""
        self.paused = False
        late, self.late = self.late, []
        for do in late:
            do()
        self.wake()

    def wake(self) -> None:
        """Ask for a turn soon."""
        self.turns.ask(self.world.now + self.world.gather(self.rng))

    def _turn(self) -> None:
        if not self._when_awake(self.wake):
            with self._ending_with_disk():
                self._take_turn()

    @contextmanager
    def _ending_with_disk(self) -> Iterator[None]:
        """End the process if its disk refuses something: nothing more is said to anybody."""
        try:
            yield
        except DiskFailed as failed:
            self.world.strikes.end_with_disk(self, str(failed))

    def _take_turn(self) -> None:
        world, core, now = self.world, self.core, self.clock.now()
        if now >= self.deadline:
            core.expire(now)
        more = core.apply(world.budget(self.rng) if self.slow else 1 << 30)
        batch, records = core.take_persist(now)
        world.observer.on_entries(self)
        if records:
            self._write(batch, records)
        effects = core.take_effects(now)
        self._compact()
        world.observer.on_turn(self, effects)
        for reason in effects.drops:
            raise Violation(f"{self.name} refused an honest sender: {reason}")
        for peer, sections in effects.sends:
            if f"r{peer}" in self.sources:
                world.network.send(self.name, f"r{peer}", encode(0, sections))
        for source, sections in effects.replies:
            place = self.places.get(source)
            if place is not None:
                world.network.send(self.name, place, encode(0, sections))
        self.deadline = core.deadline()
        self.spins = self.spins + 1 if self.deadline <= now else 0
        if self.spins > SPINS_MAX:
            raise Violation(f"{self.name} spins: its deadline {self.deadline} stays behind the time {now}")
        if core.node.journal.urgent:
            self.wake()
        if more:
            self.turns.ask(world.now + self.rng.uniform(0.0, world.options.apply_seconds))
        if self.deadline < math.inf:
            self.turns.ask(self.clock.when(max(self.deadline, now)))

    def _installed(self, life: int) -> None:
        """A leader's snapshot is on disk at last, and all that was written behind it."""
        if self.lives != life or self._when_awake(lambda: self._installed(life)):
            return
        with self._ending_with_disk():
            self.disk.snapshot(self.core.node, self.core.checkpoint())
            self.installing = False
            batch = self.core.node.journal.batch - 1
            self.world.observer.on_synced(self, self.disk.sync(batch))
            self.core.step(Persisted(batch), self.clock.now())
            self.wake()

    def _compact(self) -> None:
        """Replace the journal by a snapshot, now and then."""
        if self.core.node.config.durable and not self.installing and self.rng.random() < self.world.options.snapshot_share:
            self.world.network.count("snapshots")
            self.disk.snapshot(self.core.node, self.core.checkpoint())

    def _write(self, batch: int, records: list[JournalRecord]) -> None:
        """Write a batch and sync it: in this turn, or while others go on."""
        self.disk.write(batch, records)
        life = self.lives
        if any(isinstance(record, Installed) for record in records):
            self.installing = True
            self.world.at(self.world.now + self.world.options.snapshot_seconds, lambda: self._installed(life))
        if self.installing:
            return  # nothing is safe before the snapshot that replaced the state is
        done = max(self.world.now + self.world.sync_seconds(self.rng), self.synced_at)  # syncs end in their order
        if done > self.world.now:
            self.synced_at = done
            self.world.at(done, lambda: self._persisted(batch, life))
        else:
            self.world.observer.on_synced(self, self.disk.sync(batch))
            self.core.step(Persisted(batch), self.clock.now())


@attrs.define(eq=False)
class ClientActor:
    """One client process with its sessions' programs."""

    index: int
    world: World
    core: Client
    name: Place = attrs.field(init=False)
    alive: bool = True
    programs: list[Program] = attrs.Factory(list)
    up: dict[Place, None] = attrs.Factory(dict)
    # {replica linked}
    turns: Turns = attrs.field(init=False)
    deadline: float = math.inf
    spins: int = 0
    rng: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.name = f"c{self.index}"
        self.rng = self.world.streams.of(self.name)
        self.turns = Turns(self.world, self._turn)

    def start(self) -> None:
        """Open the sessions."""
        self.core.now = self.world.now
        for program in self.programs:
            if program.absent:
                continue
            program.session = self.core.open_session(program.track.token, program)
        self.turns.ask(self.world.now)

    def on_link_up(self, other: Place) -> None:
        """Tell the core."""
        if self.alive:
            self.up[other] = None
            self.core.link_up(int(other[1:]), self.world.now)
            self.turns.ask(self.world.now)

    def on_link_down(self, other: Place) -> None:
        """Tell the core."""
        if self.alive:
            del self.up[other]
            self.core.link_down(int(other[1:]), self.world.now)
            self.turns.ask(self.world.now)

    def on_frame(self, other: Place, payload: bytes) -> None:
        """Decode a frame and step the core."""
        if self.alive and other in self.up:
            _incarnation, messages = decode(payload, limits=LIMITS)
            self.world.tell(f"{other} > {self.name}", messages)
            self.core.step(int(other[1:]), messages, self.world.now)
            self.turns.ask(self.world.now + self.world.gather(self.rng))

    def _turn(self) -> None:
        if not self.alive:
            return
        world, core, now = self.world, self.core, self.world.now
        if now >= self.deadline:
            core.expire(now)
        for completion in core.take_completions(now):
            self._complete(completion)
        wanted = math.inf
        for program in self.programs:
            wanted = min(wanted, program.run(now))
        for replica, sections in core.take_sends():
            if f"r{replica}" in self.up:
                world.network.send(self.name, f"r{replica}", encode(0, sections))
        self.deadline = core.deadline()
        self.spins = self.spins + 1 if self.deadline <= now else 0
        if self.spins > SPINS_MAX:
            raise Violation(f"{self.name} spins: its deadline {self.deadline} stays behind the time {now}")
        wanted = min(wanted, now if core.completions else math.inf, max(self.deadline, now))
        if wanted < math.inf:
            self.turns.ask(wanted)

    def _complete(self, completion: Completion) -> None:
        world = self.world
        handle = completion.handle
        if completion.kind is CompletionKind.OPENED:
            assert isinstance(handle, Program)
            handle.opened = handle.session is completion.session
            world.observer.registry.on_opened(handle.track, completion.session.id)
            return
        if isinstance(handle, tuple):
            if completion.kind is CompletionKind.FLUSHED:
                world.observer.on_flushed(*handle)
            return
        operations = world.history.complete(completion, world.stamp(), world.now)
        for operation in operations:
            world.tell(self.name, operation)
        if operations:
            world.observer.on_completed(operations, self.core)
        if operations and isinstance(handle, Submission):
            self.programs[handle.track.program % len(self.programs)].learn(operations)
