"""The load under which replicas are killed: workers in several sessions, each command in the ledger before it is sent.

Each worker has registers of its own and does one thing after the other on them; a few hundred of them make the few hundred commands in flight.
Beside them a probe sends a strong put at a steady pace whatever becomes of the others, so that a silence is measured to its pace: closed
loops fall silent themselves when nobody answers.
"""

from __future__ import annotations

import random
from collections import Counter as Tally
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from tests.chaos.ledger import Attempt, Command, Ledger, Outcome, Register, SessionLedger, Write, step_of
from triskele.client import CAUSAL, Store, Unavailable, Unknown, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

COUNTERS = 4


@attrs.frozen(kw_only=True)
class Shape:
    """How much load.

    Attributes:
        sessions: Sessions with workers of all kinds of commands.
        causal_sessions: More sessions, with workers that never send a strong command: what a strong one showed, or changed, a home may not have
            yet, and causal reads wait for it.
        workers: In each session.
        registers: Of each worker.
        drivers: Client processes' worth of links that the sessions share.
        pause_seconds: A worker's mean pause between two commands.
        probe_seconds: From one probe to the next.
        probes: On their way at most; beyond it the probe skips.
        timeout: Of each command, seconds.
    """

    sessions: int = 6
    causal_sessions: int = 2
    workers: int = 40
    registers: int = 3
    drivers: int = 2
    pause_seconds: float = 0.3
    probe_seconds: float = 0.01
    probes: int = 512
    timeout: float = 10.0


@attrs.define(eq=False)
class ClientSession:
    """A session, and what the ledger knows of it."""

    store: Store
    ledger: Ledger
    seen: SessionLedger
    _number: int = 0  # the cluster's id of the session

    @property
    def home(self) -> int:
        """Its home at the moment; the library does not tell, so this looks inside."""
        session = self.store._live._session
        return session.home if session is not None else -1

    def invoke(
        self, kind: str, register: Register | None = None, write: Write | None = None, covers: tuple[tuple[Register, int], ...] = ()
    ) -> Command:
        """Note a command that is sent now."""
        self.look()
        return self.ledger.invoke(Command(kind, self.seen, self.home, trio.current_time(), register, write, covers=covers))

    def look(self) -> None:
        """Take note when the library had to open another session."""
        session = self.store._live._session
        number = session.id if session is not None else self._number
        if number != self._number:
            if self._number:
                self.seen.renewed()
            self._number = number

    async def write(self, command: Command, sending: Awaitable[object]) -> bool:
        """Wait for a command that is no read, and note what came of it; return whether it is done."""
        try:
            result = await sending
        except (Unknown, Unavailable) as error:
            self.look()
            self.ledger.failed(command, outcome_of(error), trio.current_time())
            return False
        self.look()
        if result is False:
            self.ledger.cas_failed(command, trio.current_time())
        else:
            self.ledger.done(command, trio.current_time())
        return True

    async def read(self, register: Register, kind: str, covers: tuple[tuple[Register, int], ...] = (), *, versioned: bool = False) -> bool:
        """Read a register and judge what it shows; return whether an answer came."""
        command = self.invoke(kind, register, covers=covers)
        value: bytes | None
        version = 0
        try:
            if versioned:
                value, version = await self.store.get(register.key, with_version=True)
            elif command.strong:
                value = await self.store.get(register.key)
            else:
                value = await self.store.get(register.key, consistency=CAUSAL)
        except Unavailable as error:
            self.look()
            self.ledger.failed(command, outcome_of(error), trio.current_time())
            return False
        self.look()
        self.ledger.read(command, value, trio.current_time(), version=version)
        return True


def outcome_of(error: Unknown | Unavailable) -> Outcome:
    """Return what an error says of a command's effect."""
    return Outcome.UNKNOWN if isinstance(error, Unknown) else Outcome.NOTHING


class Worker:
    """Does one command after the other; its registers are written by nobody else."""

    def __init__(self, session: ClientSession, name: str, count: int, chance: random.Random, *, causal: bool = False) -> None:
        self._session = session
        self._name = name.encode()
        self._chance = chance
        self._own = [session.ledger.register(b"%s.%d" % (self._name, number), session.seen) for number in range(count)]
        self._all = list[Register]()
        self._unflushed: dict[Register, int] = {}  # causal writes acknowledged and not promised yet
        self._attempts = 0
        self._weights = (0, 0, 0, 40, 55, 5, 0) if causal else (32, 10, 16, 16, 15, 5, 6)

    async def step(self) -> None:
        """Do one thing, drawn by chance."""
        deeds = (self._put, self._cas, self._get, self._causal_put, self._causal_get, self._burst, self._count)
        await self._chance.choices(deeds, weights=self._weights)[0]()

    def _write(self, register: Register) -> Write:
        seen = self._session.seen.seen
        return self._session.ledger.next_write(register, [(other, seen[other]) for other in self._own if other in seen])

    def _covers(self) -> tuple[tuple[Register, int], ...]:
        return tuple(self._unflushed.items())

    def _covered(self, command: Command) -> None:
        for register, place in command.covers:
            if self._unflushed.get(register) == place:
                del self._unflushed[register]

    async def _put(self) -> None:
        register = self._chance.choice(self._own)
        write = self._write(register)
        command = self._session.invoke("put", register, write, self._covers())
        if await self._session.write(command, self._session.store.put(register.key, write.value)):
            self._covered(command)

    async def _cas(self) -> None:
        """Replace the last value; while it is not certain which that is, put instead."""
        register = self._chance.choice(self._own)
        before = register.settled
        if before is None and register.writes:
            await self._put()
            return
        write = self._write(register)
        command = self._session.invoke("cas", register, write, self._covers())
        sending = self._session.store.cas(register.key, write.value, expected=before.value if before is not None else None)
        if await self._session.write(command, sending):
            self._covered(command)

    def _any(self) -> Register:
        if not self._all or self._chance.random() < 0.4:
            self._all = list(self._session.ledger.registers.values())
            return self._chance.choice(self._own)
        return self._chance.choice(self._all)

    async def _get(self) -> None:
        await self._session.read(self._any(), "get", self._covers(), versioned=self._chance.random() < 0.1)

    async def _causal_get(self) -> None:
        await self._session.read(self._any(), "causal get")

    async def _causal_put(self) -> None:
        register = self._chance.choice(self._own)
        write = self._write(register)
        command = self._session.invoke("causal put", register, write)
        if await self._session.write(command, self._session.store.put(register.key, write.value, consistency=CAUSAL)):
            self._unflushed[register] = write.place

    async def _burst(self) -> None:
        """Send causal puts together, then have them all committed."""
        session = self._session
        sent = []
        async with session.store.pipeline() as batch:
            for register in self._own:
                write = self._write(register)
                command = session.invoke("causal put", register, write)
                sent.append((command, batch.put(register.key, write.value, consistency=CAUSAL)))
        session.look()
        now = trio.current_time()
        for command, result in sent:
            try:
                result.get()
            except (Unknown, Unavailable) as error:
                session.ledger.failed(command, outcome_of(error), now)
                continue
            session.ledger.done(command, now)
            assert command.register is not None
            assert command.write is not None
            self._unflushed[command.register] = command.write.place
        await self.flush()

    async def flush(self) -> None:
        """Wait until all that was acknowledged is committed."""
        command = self._session.invoke("flush", covers=self._covers())
        if await self._session.write(command, self._session.store.flush()):
            self._covered(command)

    async def _count(self) -> None:
        """Read a counter and take it a step on, unless somebody else does."""
        session, counter = self._session, self._session.ledger.counter(b"counter.%d" % self._chance.randrange(COUNTERS))
        floor, reading = counter.shown, session.invoke("get")
        try:
            value = await session.store.get(counter.key)
        except Unavailable as error:
            session.ledger.failed(reading, outcome_of(error), trio.current_time())
            return
        session.ledger.done(reading, trio.current_time())
        step = step_of(value)
        if step < floor:
            session.ledger.broken(f"stale strong read of {counter.key!r}: {step}, but {floor} was known before, returned {reading.returned:.6f}")
        counter.shown = max(counter.shown, step)
        self._attempts += 1
        attempt = counter.attempt(step + 1, b"%d/%s/%d" % (step + 1, self._name, self._attempts))
        await self._try(session.invoke("cas"), attempt, session.store.cas(counter.key, attempt.value, expected=value))
        if attempt.outcome is Outcome.DONE:
            counter.shown = max(counter.shown, attempt.step)

    async def _try(self, command: Command, attempt: Attempt, sending: Awaitable[bool]) -> None:
        ledger = self._session.ledger
        try:
            won = await sending
        except (Unknown, Unavailable) as error:
            ledger.failed(command, outcome_of(error), trio.current_time())
            attempt.outcome = command.outcome
            return
        ledger.done_without_effect(command, trio.current_time())
        attempt.outcome = Outcome.DONE if won else Outcome.NOTHING


class Load:
    """All workers and the probe; can be held, so that the store may be looked at while it is still.

    Attributes:
        sessions: With workers; the last one is the probe's.
        checker: Reads the store for checks.
        stalls: ``(when, seconds late)``, whenever this process was late by more than a probe.
    """

    def __init__(self, ledger: Ledger, shape: Shape, sessions: list[ClientSession], checker: Store, seed: int) -> None:
        self.ledger = ledger
        self.sessions = sessions
        self.checker = checker
        self.stalls: list[tuple[float, float]] = []
        self._shape = shape
        self._chance = random.Random(seed)
        self._open = trio.Event()
        self._busy = 0
        self._still = trio.Event()
        *others, self._prober = sessions
        self._workers = [
            Worker(session, f"{session.seen.name}w{number}", shape.registers, random.Random(self._chance.random()), causal=session.seen.causal)
            for session in others
            for number in range(shape.workers)
        ]

    async def run(self) -> None:
        """Run all workers and the probe until cancelled."""
        self._open.set()
        async with trio.open_nursery() as nursery:
            for worker in self._workers:
                nursery.start_soon(self._work, worker)
            nursery.start_soon(self._probe, nursery)

    async def _work(self, worker: Worker) -> None:
        while True:
            await trio.sleep(self._chance.random() * 2 * self._shape.pause_seconds)
            await self._open.wait()
            with self._counted():
                await worker.step()

    async def _probe(self, nursery: trio.Nursery) -> None:
        free = [self.ledger.register(b"probe.%d" % number, self._prober.seen) for number in range(self._shape.probes)]

        async def put(register: Register) -> None:
            write = self.ledger.next_write(register, ())
            with self._counted():
                command = self._prober.invoke("put", register, write)
                await self._prober.write(command, self._prober.store.put(register.key, write.value))
            free.append(register)

        while True:
            await self._open.wait()
            if free:
                nursery.start_soon(put, free.pop(0))
            due = trio.current_time() + self._shape.probe_seconds
            await trio.sleep_until(due)
            late = trio.current_time() - due
            if late > self._shape.probe_seconds:
                self.stalls.append((trio.current_time(), late))

    def _counted(self) -> _Busy:
        return _Busy(self)

    def enter(self) -> None:
        """A command begins."""
        self._busy += 1

    def leave(self) -> None:
        """A command is over."""
        self._busy -= 1
        if not self._busy:
            self._still.set()
            self._still = trio.Event()

    @property
    def in_flight(self) -> int:
        """Commands on their way."""
        return self._busy

    async def hold(self) -> None:
        """Let no command begin, and wait until none is on its way and all causal writes are committed."""
        self._open = trio.Event()
        while self._busy:
            await self._still.wait()
        async with trio.open_nursery() as nursery:
            for worker in self._workers:
                nursery.start_soon(worker.flush)

    def go_on(self) -> None:
        """End ``hold``."""
        self._open.set()

    def homes(self) -> Tally[int]:
        """Return ``{replica: sessions at home there}``."""
        return Tally(session.home for session in self.sessions)


@attrs.frozen
class _Busy:
    """Counts a command for the length of a block."""

    load: Load

    def __enter__(self) -> None:
        self.load.enter()

    def __exit__(self, *_error: object) -> None:
        self.load.leave()


@asynccontextmanager
async def open_load(addresses: str, ledger: Ledger, shape: Shape, seed: int) -> AsyncIterator[Load]:
    """Open all sessions; ``Load.run`` starts the commands.

    Args:
        addresses: Of all replicas, as ``connect`` takes them.
        ledger: Takes every command.
        shape: How much.
        seed: Of what the workers do; when they do it is the machine's affair.
    """
    async with AsyncExitStack() as stack:
        drivers = [await stack.enter_async_context(connect(addresses, timeout=shape.timeout)) for _ in range(shape.drivers)]
        sessions = []
        for number in range(shape.causal_sessions + shape.sessions + 1):
            store = await stack.enter_async_context(drivers[number % len(drivers)].session())
            sessions.append(ClientSession(store, ledger, SessionLedger(f"s{number}", causal=number < shape.causal_sessions)))
        yield Load(ledger, shape, sessions, drivers[0], seed)
