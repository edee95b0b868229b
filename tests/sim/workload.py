"""Programs: what each session does, drawn command by command from the world's randomness.

Few keys and unique values: everything that could be confused is there to be confused, and every value names its writer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, DELETE, PUT

if TYPE_CHECKING:
    import random

    from replica.core.messages import Query, Value
    from replica.core.session import Session
    from tests.sim.history import Operation, Track
    from tests.sim.world import World

ENCORE_PAUSE_SECONDS = 0.5
ENCORE_DEPTH = 15
TAILS_MAX = 4
"""Submissions of one turn, at most."""


@attrs.define(eq=False)
class Program:
    """One session's program."""

    world: World
    track: Track
    weights: tuple[int, int, int, int]
    """Strong commands, causal writes, strong reads, causal reads."""
    session: Session | None = None
    opened: bool = False
    left: int = 0
    """Commands still to be submitted."""
    encore: int = 0
    """Strong puts still to be submitted when the world is calm, in a pipeline that never runs dry: first on a key that all sessions write,
    then on an own one."""
    next_at: float = 0.0
    known: dict[bytes, tuple[bytes | None, int]] = attrs.Factory(dict)
    # {key: (value, version) as last seen by this session}

    @property
    def done(self) -> bool:
        """Whether it has submitted everything."""
        return self.left <= 0 and self.encore <= 0

    def run(self, now: float) -> float:
        """Submit what is due; return when to be asked again (``inf``: when something completes)."""
        session, options = self.session, self.world.options
        if not self.opened or session is None or self.done or self.track.dead:
            return math.inf
        for _ in range(TAILS_MAX):
            room = options.depth - session.in_flight
            if self.left <= 0:
                return self._encore(session, now)
            if room <= 0:
                return math.inf
            if now < self.next_at:
                return self.next_at
            self._submit(session, min(room, self.world.rng.randint(1, options.burst)), now)
            pause = options.think_seconds
            self.next_at = now + (self.world.rng.expovariate(1 / pause) if pause and self.world.rng.random() < 0.7 else 0.0)
        return now

    def _encore(self, session: Session, now: float) -> float:
        begins = self.world.calm_at + ENCORE_PAUSE_SECONDS
        if self.encore <= 0 or now < begins:
            return begins if self.encore > 0 else math.inf
        if now < self.next_at:
            return self.next_at
        count = min(self.world.rng.randint(1, 3), self.encore, ENCORE_DEPTH - session.in_flight)
        if count > 0:
            key = b"hot" if 4 * self.encore > 3 * self.world.options.encore else b"own%d" % self.track.index
            self._record(session, bytes(count), [key] * count, [self._value() for _ in range(count)], now)
            self.encore -= count
            self.next_at = now + self.world.options.delays[0] * self.world.rng.uniform(0.2, 0.6)
            return self.next_at
        return math.inf

    def _value(self) -> bytes:
        self.world.values += 1
        return b"v%d" % self.world.values

    def _record(self, session: Session, kinds: bytes, keys: list[bytes], values: list[Value], now: float) -> None:
        world = self.world
        handle = world.history.record(self.track, kinds, keys, values, world.stamp(), now)
        first = session.record(kinds, keys, list(values), handle, now)
        assert first == handle.operations[0].number
        for operation in handle.operations:
            world.tell(f"c{self.track.client}", operation)

    def _submit(self, session: Session, count: int, now: float) -> None:
        world, rng = self.world, self.world.rng
        self.left -= count
        keys = [rng.choice(world.keys) for _ in range(count)]
        what = rng.choices(range(4), self.weights)[0]
        if what <= 1:
            commands = [self._command(rng, key, causal=what == 1) for key in keys]
            self._record(session, bytes(kind for kind, _ in commands), keys, [value for _, value in commands], now)
        else:
            queries: list[Query] = [self._scan(rng) if rng.random() < 0.2 else key for key in keys]
            handle = world.history.read(self.track, queries, world.stamp(), now, strong=what == 2)
            for operation in handle.operations:
                world.tell(f"c{self.track.client}", operation)
            if what == 2:
                session.strong_read(queries, handle, now, versioned=rng.random() < 0.1)
            else:
                session.causal_read(queries, handle, now)
        if rng.random() < 0.02:
            session.flush((self.track, len(self.track.logged)))

    def _command(self, rng: random.Random, key: bytes, *, causal: bool) -> tuple[int, Value]:
        """Draw a kind and its item."""
        bit = CAUSAL if causal else 0
        roll = rng.random()
        if roll < 0.15:
            return DELETE | bit, None
        if causal or roll < 0.5:
            return PUT | bit, self._value()
        value, version = self.known.get(key, (None, 0))
        if roll < 0.85:
            expected = value if rng.random() < 0.8 else rng.choice((None, b"v%d" % max(1, self.world.values - rng.randint(0, 5))))
            return CAS_VALUE, [expected, self._value()]
        return CAS_VERSION, [version if rng.random() < 0.8 else rng.randint(0, 30), self._value()]

    def _scan(self, rng: random.Random) -> Query:
        start = rng.choice((b"", rng.choice(self.world.keys)))
        end = rng.choice((None, b"l", rng.choice(self.world.keys)))
        return [start, end, rng.choice((1, 2, 10))]

    def learn(self, operations: list[Operation]) -> None:
        """Remember what was seen, for a later cas to expect it."""
        for operation in operations:
            if operation.key is not None and not (operation.is_cas and not operation.result):
                value = operation.value[1] if isinstance(operation.value, list) else operation.value
                assert value is None or isinstance(value, bytes)
                self.known[operation.key] = (value, 0)
            elif isinstance(operation.query, bytes):
                assert operation.result is None or isinstance(operation.result, bytes)
                self.known[operation.query] = (operation.result, operation.version)
