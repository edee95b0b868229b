"""A ledger of every command of a run, and the promises it can hold the store to.

Each *register* is a key that one worker alone writes, one write after the other, every value unique; a session's commands take effect in the order
of their numbers.  So the writes of a register have places 0, 1, 2 …, a value that is read says its place, and a promise about a read is a
least place: whoever could know of place 7 must not be shown place 6.  That makes "lost" and "stale" decidable without searching for an order.

What is held against what is read, ``floor`` of a read:

- strong: the last place that a completed strong command, a flush or a read of somebody else had shown before the read was invoked;
- strong and causal: the last place the own session has acknowledged or seen (read your writes, monotonic reads), and whatever the writers of
  values it saw had written before these (causality).

*Counters* are written by everybody with cas; every step must have been won by exactly one of those who tried it.

``forget`` drops what cannot matter any more, so that a ledger can be kept for hours: commands that have returned, writes that every session has seen
the like of, or a later one, and steps of counters that are behind.  No promise is held less for it.

What must not live here: clients, clocks, processes (``load``, ``kills``).  Times are given in.
"""

from __future__ import annotations

from collections import Counter as Tally
from enum import Enum
from typing import TYPE_CHECKING

import attrs

from tests.chaos.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Iterable

STRONG = ("put", "cas", "get")
"""Kinds of strong commands."""
VALUE_BYTES = 64
BREAKS_MAX = 1000
"""Broken promises kept; a store that breaks them all must not fill the memory."""


class Outcome(Enum):
    """What is known of a command, and of a write's effect."""

    OPEN = "open"
    DONE = "done"
    UNKNOWN = "unknown"  # it may have taken effect, or may still
    NOTHING = "nothing"  # it had no effect: Unavailable, or a cas that found something else


@attrs.define(eq=False)
class Write:
    """One write of a register. ``past``: what its worker had acknowledged elsewhere before, ``(register, place)``."""

    place: int
    value: bytes
    past: tuple[tuple[Register, int], ...] = ()
    outcome: Outcome = Outcome.OPEN


@attrs.define(eq=False)
class Register:
    """A key with one writer.

    Attributes:
        key: The key.
        owner: The writer's session.
        writes: By place.
        promised: Last place that must outlive any crash, -1 for none.
        shown: Last place that a strong read invoked from now on must show.
        version: ``(place, version)`` that a read told last: positions of what is committed never change.
    """

    key: bytes
    owner: SessionLedger
    writes: Tail[Write] = attrs.Factory(Tail)
    promised: int = -1
    shown: int = -1
    version: tuple[int, int] = (-1, 0)

    def value(self, place: int) -> bytes:
        """Return the value that is written at a place."""
        return (self.key + b"/%d/" % place).ljust(VALUE_BYTES, b".")

    def show(self, place: int) -> None:
        """Everybody who asks strongly from now on must see this place."""
        self.shown = max(self.shown, place)

    def promise(self, place: int) -> None:
        """Whatever dies from now on, this place is in the store."""
        self.promised = max(self.promised, place)
        self.show(place)

    @property
    def settled(self) -> Write | None:
        """The last write, if it is the one the store must hold; None if that is not certain."""
        last = next((write for write in reversed(self.writes) if write.outcome is not Outcome.NOTHING), None)
        return last if last is not None and last.outcome is Outcome.DONE else None


@attrs.define(eq=False)
class Attempt:
    """One cas that tries to take a counter to ``step``."""

    step: int
    value: bytes
    outcome: Outcome = Outcome.OPEN


@attrs.define(eq=False)
class Counter:
    """A key that everybody counts up with cas.

    Attributes:
        key: The key.
        attempts: ``{step: who tried it}``.
        shown: Step that a strong read invoked from now on must show.
    """

    key: bytes
    attempts: dict[int, list[Attempt]] = attrs.Factory(dict)
    shown: int = 0

    def attempt(self, step: int, value: bytes) -> Attempt:
        """Note a cas that is about to be sent."""
        made = Attempt(step, value)
        self.attempts.setdefault(step, []).append(made)
        return made

    def forget(self) -> None:
        """Drop the attempts at steps before the last one that is known to have been won: later ones cannot be without it."""
        for step in [step for step in self.attempts if step < self.shown]:
            del self.attempts[step]

    def faults(self, value: bytes | None) -> list[str]:
        """Return what is wrong with the counter's final value."""
        final, found = step_of(value), []
        for step in sorted(self.attempts):
            won = [attempt for attempt in self.attempts[step] if attempt.outcome is Outcome.DONE]
            maybe = [attempt for attempt in self.attempts[step] if attempt.outcome in (Outcome.OPEN, Outcome.UNKNOWN)]
            if len(won) > 1:
                found.append(f"counter {self.key!r}: {len(won)} cas won step {step}")
            if won and step > final:
                found.append(f"LOST: counter {self.key!r} is at {final}, but the cas to {step} was acknowledged")
            if step <= final and not won and not maybe:
                found.append(f"counter {self.key!r} passed step {step}, which nobody won")
        known = self.attempts.get(final, [])
        if final and value not in [attempt.value for attempt in known if attempt.outcome is not Outcome.NOTHING]:
            found.append(f"counter {self.key!r} holds {value!r}, which nobody wrote")
        return found


@attrs.define(eq=False)
class SessionLedger:
    """What one session has acknowledged or seen: ``{register: place}``.

    Attributes:
        name: For messages.
        causal: It never sends a strong command.
        seen: The least place it may be shown from now on.
        generation: How often the cluster ended the session and the library opened another.
    """

    name: str
    causal: bool = False
    seen: dict[Register, int] = attrs.Factory(dict)
    generation: int = 0

    def see(self, register: Register, place: int) -> None:
        """Take note of a place, and of all that its writer had written before."""
        if place <= self.seen.get(register, -1):
            return
        self.seen[register] = place
        for other, before in register.writes[place].past:
            if before > self.seen.get(other, -1):
                self.seen[other] = before

    def renewed(self) -> None:
        """The session was lost: causal writes that nothing had promised may be gone with it."""
        self.generation += 1
        for register, place in self.seen.items():
            if register.owner is self:
                self.seen[register] = min(place, register.promised)
                for write in register.writes[register.promised + 1 :]:
                    if write.outcome is Outcome.DONE:
                        write.outcome = Outcome.UNKNOWN


@attrs.define(eq=False)
class Command:
    """One command, from its invocation on. Times by the run's clock, seconds.

    Attributes:
        kind: ``put``, ``cas``, ``get``, ``causal put``, ``causal get`` or ``flush``.
        session: Whose.
        home: The session's home when it was invoked.
        generation: The session's.
        floor: For reads, the least place.
        covers: What is promised when it is done: the worker's causal writes before it.
    """

    kind: str
    session: SessionLedger
    home: int
    invoked: float
    register: Register | None = None
    write: Write | None = None
    floor: int = -1
    covers: tuple[tuple[Register, int], ...] = ()
    generation: int = 0
    returned: float = 0.0
    outcome: Outcome = Outcome.OPEN

    @property
    def strong(self) -> bool:
        """Whether it was a strong command."""
        return self.kind in STRONG

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.returned - self.invoked


@attrs.define(eq=False)
class Ledger:
    """All of a run.

    Attributes:
        registers: ``{key: register}``.
        counters: ``{key: counter}``.
        commands: In the order of their invocation.
        forgotten: How many commands of each outcome are not among them any more.
        breaks: Broken promises, a line each.
    """

    registers: dict[bytes, Register] = attrs.Factory(dict)
    counters: dict[bytes, Counter] = attrs.Factory(dict)
    commands: Tail[Command] = attrs.Factory(Tail)
    forgotten: Tally[Outcome] = attrs.Factory(Tally)
    breaks: list[str] = attrs.Factory(list)

    def register(self, key: bytes, owner: SessionLedger) -> Register:
        """Make a register."""
        return self.registers.setdefault(key, Register(key, owner))

    def counter(self, key: bytes) -> Counter:
        """Make a counter, or return the one there is."""
        return self.counters.setdefault(key, Counter(key))

    def broken(self, line: str) -> None:
        """Note a broken promise."""
        if len(self.breaks) < BREAKS_MAX:
            self.breaks.append(line)

    # ------------------------------------------------------------------------------------------------------------------ commands

    def invoke(self, command: Command) -> Command:
        """Note a command that is about to be sent; for a read, say what it must show."""
        command.generation = command.session.generation
        register = command.register
        if register is not None and command.write is None:
            command.floor = max(command.session.seen.get(register, -1), register.shown if command.strong else -1)
        self.commands.append(command)
        return command

    def next_write(self, register: Register, past: Iterable[tuple[Register, int]]) -> Write:
        """Make a register's next write, its value with it."""
        place = len(register.writes)
        write = Write(place, register.value(place), tuple(past))
        register.writes.append(write)
        return write

    def done(self, command: Command, now: float) -> None:
        """A command that is no read is done: what it promises holds from now on."""
        command.returned, command.outcome = now, Outcome.DONE
        same = command.generation == command.session.generation
        if same:
            for covered, place in command.covers:
                covered.promise(place)
        write, register = command.write, command.register
        if write is None or register is None:
            return
        write.outcome = Outcome.DONE
        if command.strong:
            register.promise(write.place)
        if same or command.strong:
            command.session.see(register, write.place)

    def failed(self, command: Command, outcome: Outcome, now: float) -> None:
        """A command was answered Unknown, or had no effect."""
        command.returned, command.outcome = now, outcome
        if command.write is not None:
            command.write.outcome = outcome

    def cas_failed(self, command: Command, now: float) -> None:
        """A cas on the worker's own register found something else than the last acknowledged value: nobody else writes there."""
        assert command.register is not None
        assert command.write is not None
        self.done_without_effect(command, now)
        before = command.write.place - 1
        self.broken(f"LOST: cas of {command.register.key!r} did not find its value, acknowledged before (place {before}), {_span(command)}")

    def done_without_effect(self, command: Command, now: float) -> None:
        """A cas is done and wrote nothing."""
        command.returned, command.outcome = now, Outcome.DONE
        if command.write is not None:
            command.write.outcome = Outcome.NOTHING

    def read(self, command: Command, value: bytes | None, now: float, *, version: int = 0) -> None:
        """A read of a register is done: judge it, and note what it shows."""
        register, session = command.register, command.session
        assert register is not None
        floor = command.floor if command.generation == session.generation else -1
        self.done(command, now)
        place = self._place(register, value, _span(command))
        if place is None:
            return
        if place < floor:
            kind = "stale strong read" if command.strong else "session guarantee broken: causal read"
            self.broken(f"{kind} of {register.key!r} by {session.name}: place {place}, but {floor} was known before, {_span(command)}")
        if version:
            self._judge_version(register, place, version)
        if command.strong or register.owner is not session:
            register.promise(place)  # a causal read of another's write: applied at a home, so committed; an own one may be laid over
        if place >= 0:
            session.see(register, place)

    def _place(self, register: Register, value: bytes | None, span: str) -> int | None:
        """Return the place of a value, -1 for none; note and return None if nobody wrote it."""
        if value is None:
            return -1
        key, number, _ = value.split(b"/", 2) if value.count(b"/") >= 2 else (b"", b"", b"")
        place = int(number) if number.isdigit() else -1
        if key != register.key or not 0 <= place < len(register.writes) or register.value(place) != value:
            self.broken(f"{register.key!r} holds {value!r}, which nobody wrote, {span}")
            return None
        if place >= register.writes.first and register.writes[place].outcome is Outcome.NOTHING:
            self.broken(f"{register.key!r} holds place {place}, which was reported to have had no effect, {span}")
        return place

    def _judge_version(self, register: Register, place: int, version: int) -> None:
        """Hold a version to those that were told before: of one write one, of a later write a greater one."""
        known_place, known = register.version
        if (place == known_place and version != known) or (place > known_place and version <= known):
            self.broken(f"{register.key!r}: place {place} has version {version}, but place {known_place} had {known}")
        if place > known_place:
            register.version = (place, version)

    # ------------------------------------------------------------------------------------------------------------------ the whole

    def judge_register(self, register: Register, value: bytes | None, version: int) -> None:
        """Hold what is in the store, when nothing is on its way, to what was promised."""
        place = self._place(register, value, "at a check")
        if place is None:
            return
        if place < register.promised:
            lost = register.promised - place
            self.broken(f"LOST: {register.key!r} is at place {place}, but {register.promised} was acknowledged: {lost} writes gone")
        if version:
            self._judge_version(register, place, version)
        if place >= 0:
            register.promise(place)

    def judge_counter(self, counter: Counter, value: bytes | None) -> None:
        """As ``judge_register``."""
        for fault in counter.faults(value):
            self.broken(fault)

    def count(self, outcome: Outcome) -> int:
        """Return how many commands have an outcome."""
        return self.forgotten[outcome] + sum(command.outcome is outcome for command in self.commands)

    # ------------------------------------------------------------------------------------------------------------------ forgetting

    def forget(self, sessions: Iterable[SessionLedger]) -> None:
        """Drop what cannot matter any more; to be called when no command is on its way.

        Args:
            sessions: All that will ever read again.
        """
        everybody = list(sessions)
        for register in self.registers.values():
            register.writes.forget(min([register.promised, *(session.seen.get(register, -1) for session in everybody)]))
        for counter in self.counters.values():
            counter.forget()
        self.forgotten.update(command.outcome for command in self.commands.forget(len(self.commands)))


def step_of(value: bytes | None) -> int:
    """Return the step a counter's value stands for, 0 for none."""
    return int(value.split(b"/", 1)[0]) if value else 0


def _span(command: Command) -> str:
    return f"invoked {command.invoked:.6f}, returned {command.returned:.6f}"
