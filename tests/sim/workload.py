"""Programs: what each session does, drawn command by command from the world's randomness.

Few keys and unique values: everything that could be confused is there to be confused, and every value names its writer.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import attrs

from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, DELETE, PUT
from tests.sim.guarding import ROT_KEY
from tests.sim.plan import Asked

if TYPE_CHECKING:
    import random

    from replica.core.messages import Query, Value
    from replica.core.session import Session
    from tests.sim.history import Operation, Track
    from tests.sim.options import Options
    from tests.sim.plan import Plan
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
    rng: random.Random = attrs.field(default=attrs.Factory(lambda self: self.world.rng, takes_self=True))
    encore_rng: random.Random = attrs.field(default=attrs.Factory(lambda self: self.world.rng, takes_self=True))
    partings_rng: random.Random = attrs.field(default=attrs.Factory(lambda self: self.world.rng, takes_self=True))
    session: Session | None = None
    opened: bool = False
    left: int = 0
    """Commands still to be submitted."""
    encore: int = 0
    """Strong puts still to be submitted when the world is calm, in a pipeline that never runs dry: first on a key that all sessions write,
    then on an own one."""
    wave: int = 0
    """Which of its bursts of activity it is in."""
    next_at: float = 0.0
    known: dict[bytes, tuple[bytes | None, int]] = attrs.Factory(dict)
    # {key: (value, version) as last seen by this session}
    asked: list[Asked] = attrs.Factory(list)
    """What it submitted, without the encore."""
    script: deque[Asked] | None = None
    """What it shall submit, and when; None: that is drawn."""
    absent: bool = False
    """It takes no part: its session is never opened."""
    parts: str = ""
    """It is about to close its session: ``"at once"``, or when it is ``"idle"``."""

    @property
    def index(self) -> int:
        """Which program of the run it is."""
        return self.track.program

    def follow(self, plan: Plan) -> None:
        """Submit what a plan says, instead of drawing it."""
        self.script = deque(asked for asked in plan.asked if asked.session == self.index)
        self.left = sum(map(len, self.script))
        self.absent = self.index not in plan.sessions
        self._wait_for_script()

    def _wait_for_script(self) -> None:
        self.next_at = self.script[0].at if self.script else 0.0

    @property
    def done(self) -> bool:
        """Whether it has submitted everything."""
        return self.left <= 0 and self.encore <= 0

    def run(self, now: float) -> float:
        """Submit what is due; return when to be asked again (``inf``: when something completes)."""
        session, options = self.session, self.world.options
        if not self.opened or session is None or self.track.dead:
            return math.inf
        if self.done:
            if session.lost and not self.track.left:
                self.world.observer.registry.on_lost(self.track, session.lost)
                self.track.left = True
            return math.inf
        for _ in range(TAILS_MAX):
            if session.lost or self.parts:
                return self._part(session)
            room = options.depth - session.in_flight
            if self.left <= 0:
                return self._encore(session, now)
            if room <= 0:
                return math.inf
            if now < self.next_at:
                return self.next_at
            if self.script is not None:
                if room < len(self.script[0]):
                    return math.inf
                self._submit(session, self.script.popleft(), now)
                self.world.values += sum(value is not None for value in self.asked[-1].values)
                self._wait_for_script()
                continue
            self._submit(session, self._draw(min(room, self.rng.randint(1, options.burst)), now), now)
            pause = options.think_seconds
            self.next_at = now + (self.rng.expovariate(1 / pause) if pause and self.rng.random() < 0.7 else 0.0)
            if options.waves > 1:
                self._await_wave(options)
        return now

    def _part(self, session: Session) -> float:
        """Leave a session and open another one, as soon as that may be."""
        if self.parts == "idle" and session.in_flight:
            return math.inf
        client = session.client
        if session.lost:
            self.world.observer.registry.on_lost(self.track, session.lost)
        client.close_session(session)
        self.track.left = True
        self.track, self.parts, self.opened = self.world.history.begin(self.track.client, self.index), "", False
        self.session = client.open_session(self.track.token, self)
        return math.inf

    def _await_wave(self, options: Options) -> None:
        wave = (options.commands - self.left) * options.waves // options.commands
        if wave > self.wave:
            self.wave = wave
            self.next_at = max(self.next_at, options.fault_seconds * (wave + self.rng.random()) / options.waves)

    def _encore(self, session: Session, now: float) -> float:
        begins = self.world.calm_at + ENCORE_PAUSE_SECONDS
        if self.encore <= 0 or now < begins:
            return begins if self.encore > 0 else math.inf
        if now < self.next_at:
            return self.next_at
        count = min(self.encore_rng.randint(1, 3), self.encore, ENCORE_DEPTH - session.in_flight)
        if count > 0:
            key = b"hot" if 4 * self.encore > 3 * self.world.options.encore else b"own%d" % self.track.index
            self._record(session, bytes(count), [key] * count, [self._value(b"w") for _ in range(count)], now)
            self.encore -= count
            self.next_at = now + self.world.options.delays[0] * self.encore_rng.uniform(0.2, 0.6)
            return self.next_at
        return math.inf

    def _value(self, letter: bytes = b"v") -> bytes:
        """Make a value that nobody else writes; letters tell apart what a plan names from what it leaves to chance."""
        self.world.values += 1
        return b"%b%d" % (letter, self.world.values)

    def _record(self, session: Session, kinds: bytes, keys: list[bytes], values: list[Value], now: float) -> None:
        world = self.world
        handle = world.history.record(self.track, kinds, keys, values, world.stamp(), now)
        first = session.record(kinds, keys, list(values), handle, now)
        assert first == handle.operations[0].number
        for operation in handle.operations:
            world.tell(f"c{self.track.client}", operation)

    def _draw(self, count: int, now: float) -> Asked:
        """Draw a submission."""
        rng = self.rng
        if self.world.options.faults.rot and not self.index and not self.asked:
            return Asked(now, 0, bytes([PUT]), (ROT_KEY,), (self._value(),))
        keys = tuple(rng.choice(self.world.keys) for _ in range(count))
        what = rng.choices(range(4), self.weights)[0]
        asked = Asked(now, self.index, strong=what == 2, parts=self._draw_parting(count))
        if what <= 1:
            commands = [self._command(rng, key, causal=what == 1) for key in keys]
            asked = attrs.evolve(asked, kinds=bytes(kind for kind, _ in commands), keys=keys, values=tuple(value for _, value in commands))
        else:
            queries = tuple(self._scan(rng) if rng.random() < 0.2 else key for key in keys)
            asked = attrs.evolve(asked, queries=queries, versioned=what == 2 and rng.random() < 0.1)
        return attrs.evolve(asked, flushes=rng.random() < 0.02)

    def _draw_parting(self, count: int) -> str:
        """Draw whether the session is closed behind so many commands: ``partings`` times, in even parts of them all."""
        options = self.world.options
        size, submitted = options.commands // (options.partings + 1), options.commands - self.left
        if not options.partings or self.left <= count or submitted // size == (submitted + count) // size:
            return ""
        return self.partings_rng.choice(("at once", "idle"))

    def _submit(self, session: Session, asked: Asked, now: float) -> None:
        world = self.world
        self.left -= len(asked)
        self.asked.append(asked)
        if asked.keys:
            self._record(session, asked.kinds, list(asked.keys), list(asked.values), now)
        else:
            queries = list(asked.queries)
            handle = world.history.read(self.track, queries, world.stamp(), now, strong=asked.strong)
            for operation in handle.operations:
                world.tell(f"c{self.track.client}", operation)
            if asked.strong:
                session.strong_read(queries, handle, now, versioned=asked.versioned)
            else:
                session.causal_read(queries, handle, now)
        if asked.flushes:
            session.flush((self.track, len(self.track.logged)))
        self.parts = asked.parts

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
        if self.world.options.faults.rot:
            end = end or b"l"  # below the key that rots
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
