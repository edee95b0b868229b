"""One state of a small cluster: real cores, frames on their way, programs; and what may happen next.

Time stands still, so no timer fires; what timers do in reality (elections) is an event that may happen at any moment.  Links deliver in order.  A
step changes one core, in a copy; states share all others.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import attrs

from replica.core.client import Client, ClientConfig
from replica.core.config import CoreConfig
from replica.core.effects import LinkDown, LinkUp, Persisted, Received
from replica.core.flights import CompletionKind
from replica.core.freezing import freeze
from replica.core.journal import Durable
from replica.core.replica import Replica
from statemachine.command import CAUSAL, PUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from replica.core.config import Mode
    from replica.core.journal import JournalRecord
    from replica.core.messages import Message

Place = int | str
"""A replica's id, or a client's name, which is its session's too."""
Action = tuple[Any, ...]
NEVER = 1e9


@attrs.frozen
class Operation:
    """One command of a program; ``value`` None: a read."""

    key: bytes
    value: bytes | None = None
    causal: bool = False
    waits: bool = True
    """It is issued when the one before it is complete; else it may be at any moment after that was issued."""


@attrs.frozen
class Scope:
    """What a search explores.

    Attributes:
        name: letters of the list in docs/testing.md.
        programs: ``{client: its operations}``.
        elections: replicas may ask for votes so often.
        crashes: replicas may die so often, and come back with what their disks hold.
        losses: frames may vanish so often.
        duplicates: likewise be delivered twice.
        deaths: likewise for ever.
    """

    name: str
    programs: Mapping[str, tuple[Operation, ...]]
    mode: Mode = "ho"
    elections: int = 0
    crashes: int = 0
    losses: int = 0
    duplicates: int = 0
    deaths: int = 0

    @property
    def faults(self) -> int:
        """Return how much may go wrong."""
        return self.elections + self.crashes + self.losses + self.duplicates + self.deaths


@attrs.frozen
class Fact:
    """What a program knows of one operation."""

    before: tuple[int, ...] = ()
    """Operations that had returned when it was invoked."""
    invoked: bool = False
    returned: bool = False
    result: bytes | None = None
    fast: bool = False


@attrs.define(eq=False)
class Part:
    """One core at one moment, never changed: a step is made in a copy."""

    core: Any
    records: tuple[JournalRecord, ...] = ()
    """What a replica's disk holds."""
    digest: int = 0
    _bytes: bytes = b""

    def __attrs_post_init__(self) -> None:
        self.digest = hash((self.core.freeze() if self.core is not None else None, len(self.records)))

    def copy(self) -> Any:
        """Return a copy of the core."""
        if not self._bytes:
            self._bytes = pickle.dumps(self.core, pickle.HIGHEST_PROTOCOL)
        return pickle.loads(self._bytes)


@attrs.define(eq=False)
class Frame:
    """Sections on their way."""

    messages: list[Message]
    digest: int = 0

    def __attrs_post_init__(self) -> None:
        self.digest = hash(freeze(self.messages))


@attrs.define(eq=False)
class State:
    """Everything at one moment; ``path`` is how it came to that."""

    scope: Scope
    parts: dict[Place, Part]
    queues: dict[tuple[Place, Place], tuple[Frame, ...]]
    links: dict[tuple[str, int], int]
    # {(client, replica): number of the link's life}
    facts: tuple[Fact, ...]
    budget: tuple[int, int, int, int, int]
    """Elections, crashes, losses, duplicates, deaths that may still come."""
    now: float = 0.0
    path: tuple[Action, ...] = ()

    def key(self) -> int:
        """Return what is equal for states that behave alike."""
        queues = [(str(pair), tuple([frame.digest for frame in frames])) for pair, frames in self.queues.items() if frames]
        parts = [part.digest for part in self.parts.values()]
        return hash((tuple(parts), tuple(sorted(queues)), self.facts, self.budget))

    # ------------------------------------------------------------------------------------------------------------- what may happen

    def actions(self) -> list[Action]:
        """Return everything that may happen next."""
        elections, crashes, losses, duplicates, deaths = self.budget
        found: list[Action] = [("invoke", name) for name in self.scope.programs if self._next(name) is not None]
        pairs = [pair for pair, frames in self.queues.items() if frames]
        if not self.scope.faults and not found and all(fact.invoked for fact in self.facts):
            # One view, and nothing more to ask: what clients hear only adds to their tallies, so any order will do.
            pairs = [pair for pair in pairs if isinstance(pair[1], str)][:1] or pairs
        found += [("deliver", *pair) for pair in pairs]
        replicas = [place for place in self.parts if isinstance(place, int)]
        alive = [place for place in replicas if self.parts[place].core is not None]
        if elections:
            found += [("elect", place) for place in alive if not self.parts[place].core.node.leads]
        if crashes:
            found += [("crash", place) for place in alive]
        if deaths:
            found += [("die", place) for place in alive]
        if deaths == self.scope.deaths:  # who died is gone, who crashed comes back
            found += [("restart", place) for place in replicas if self.parts[place].core is None]
        if losses:
            found += [("lose", *pair) for pair in pairs]
        if duplicates:
            found += [("duplicate", *pair) for pair in pairs]
        return found

    def _next(self, name: str) -> int | None:
        """Return which of a client's operations may be invoked."""
        first = operations_before(self.scope, name)
        for place, operation in enumerate(self.scope.programs[name], first):
            if self.facts[place].invoked:
                continue
            ready = place == first or (self.facts[place - 1].returned if operation.waits else self.facts[place - 1].invoked)
            return place if ready else None
        return None

    # ------------------------------------------------------------------------------------------------------------------- happening

    def after(self, action: Action) -> State:
        """Return the state in which an action has happened."""
        state = State(self.scope, dict(self.parts), dict(self.queues), dict(self.links), self.facts, self.budget, self.now, (*self.path, action))
        match action:
            case ("invoke", str() as name):
                place = self._next(name)
                assert place is not None
                state._invoke(name, place)
            case ("deliver", source, place):
                state._receive(source, place, state._pop(source, place))
            case ("duplicate", source, place):
                state._spend(3)
                state._receive(source, place, state.queues[source, place][0])
            case ("lose", source, place):
                state._spend(2)
                state._pop(source, place)
            case ("elect", int() as place):
                state._spend(0)
                core = state.parts[place].copy()
                if core.election.campaign(trial=False, forced=True):
                    core.roles.win()
                state._end_turn(place, core)
            case ("crash" | "die" as kind, int() as place):
                state._spend(1 if kind == "crash" else 4)
                state._kill(place)
            case ("restart", int() as place):
                state._restart(place)
            case _:
                raise AssertionError(f"no such action: {action}")
        return state

    def _spend(self, which: int) -> None:
        left = list(self.budget)
        left[which] -= 1
        self.budget = (left[0], left[1], left[2], left[3], left[4])

    def _pop(self, source: Place, place: Place) -> Frame:
        frame, *rest = self.queues[source, place]
        self.queues[source, place] = tuple(rest)
        return frame

    def _invoke(self, name: str, place: int) -> None:
        operation = self.scope.programs[name][place - operations_before(self.scope, name)]
        before = tuple(number for number, fact in enumerate(self.facts) if fact.returned)
        self._note(place, Fact(before, invoked=True))
        core = self.parts[name].copy()
        session = next(iter(core.sessions.values()))
        if operation.value is None:
            session.strong_read([operation.key], place, self.now)
        else:
            session.record(bytes([PUT | CAUSAL if operation.causal else PUT]), [operation.key], [operation.value], place, self.now)
        self._end_client_turn(name, core)

    def _note(self, place: int, fact: Fact) -> None:
        self.facts = (*self.facts[:place], fact, *self.facts[place + 1 :])

    def _receive(self, source: Place, place: Place, frame: Frame) -> None:
        core = self.parts[place].copy()
        if isinstance(place, str):
            core.step(source, frame.messages, self.now)
            self._end_client_turn(place, core)
        else:
            name = source if isinstance(source, int) else (source, self.links[source, place])
            core.step(Received(name, frame.messages), self.now)
            self._end_turn(place, core)

    def _end_turn(self, place: int, core: Replica) -> None:
        if core.deadline() <= self.now:
            core.expire(self.now)
        records = list(self.parts[place].records)
        while True:
            while core.apply(1 << 30):
                pass
            batch, more = core.take_persist(self.now)
            if not more:
                break
            records += more
            core.step(Persisted(batch), self.now)
        effects = core.take_effects(self.now)
        core.check_invariants()
        assert not effects.drops, effects.drops
        self.parts[place] = Part(core, tuple(records) if core.node.config.durable else ())
        for peer, sections in effects.sends:
            if self.parts[peer].core is not None:
                self._send(place, peer, sections)
        for link, sections in effects.replies:
            assert isinstance(link, tuple)
            if self.links.get((link[0], place)) == link[1]:
                self._send(place, link[0], sections)

    def _end_client_turn(self, name: str, core: Client) -> None:
        if core.deadline() <= self.now:
            core.expire(self.now)
        for completion in core.take_completions(self.now):
            assert completion.kind is not CompletionKind.FAILED, completion
            if isinstance(completion.handle, int):
                result = completion.values[0] if completion.kind is CompletionKind.READ and completion.values else None
                assert result is None or isinstance(result, bytes)
                self._note(completion.handle, attrs.evolve(self.facts[completion.handle], returned=True, result=result, fast=completion.fast))
        sends = core.take_sends()
        self.parts[name] = Part(core)
        for replica, sections in sends:
            if (name, replica) in self.links:
                self._send(name, replica, sections)

    def _send(self, source: Place, place: Place, messages: list[Message]) -> None:
        self.queues[source, place] = (*self.queues.get((source, place), ()), Frame(messages))

    # ------------------------------------------------------------------------------------------------------------ dying, coming back

    def _kill(self, place: int) -> None:
        self.parts[place] = Part(None, self.parts[place].records)
        self.queues = {pair: frames for pair, frames in self.queues.items() if place not in pair}
        for other, part in list(self.parts.items()):
            if part.core is None:
                continue
            core = part.copy()
            if isinstance(other, int):
                core.step(LinkDown(place), self.now)
                self._end_turn(other, core)
            else:
                del self.links[other, place]
                core.link_down(place, self.now)
                self._end_client_turn(other, core)

    def _restart(self, place: int) -> None:
        durable = Durable()
        durable.replay(self.parts[place].records)
        core = Replica(core_config(self.scope, place), durable, middle, now=self.now)
        self._end_turn(place, core)
        for other, part in list(self.parts.items()):
            if other == place or part.core is None:
                continue
            core, peer = self.parts[place].copy(), self.parts[other].copy()
            if isinstance(other, int):
                core.step(LinkUp(other, peer=True), self.now)
                peer.step(LinkUp(place, peer=True), self.now)
                self._end_turn(place, core)
                self._end_turn(other, peer)
            else:
                self.links[other, place] = len(self.path) + 1
                core.step(LinkUp((other, self.links[other, place]), peer=False), self.now)
                self._end_turn(place, core)
                peer.link_up(place, self.now)
                self._end_client_turn(other, peer)

    # ------------------------------------------------------------------------------------------------------------------------ calm

    def pass_time(self, seconds: float) -> State:
        """Return the state in which time has passed: everybody does what is due."""
        state = State(self.scope, dict(self.parts), dict(self.queues), dict(self.links), self.facts, self.budget, self.now + seconds, self.path)
        for place, part in self.parts.items():
            if isinstance(place, str):
                state._end_client_turn(place, part.copy())
            elif part.core is not None:
                state._end_turn(place, part.copy())
        return state


def middle() -> float:
    """Be the chance of elections: none."""
    return 0.5


def operations_before(scope: Scope, name: str) -> int:
    """Return the number of a client's first operation."""
    total = 0
    for client, operations in scope.programs.items():
        if client == name:
            return total
        total += len(operations)
    raise KeyError(name)


def core_config(scope: Scope, place: int) -> CoreConfig:
    """Return the settings of a replica."""
    return CoreConfig(
        id=place, voters=(0, 1, 2), mode=scope.mode, durable=bool(scope.crashes), election_seconds=NEVER, commit_flush_seconds=0.01,
        forward_seconds=NEVER,
    )  # fmt: skip


def begin(scope: Scope) -> State:
    """Return the state in which everybody is linked, each client has a session, and nothing is on its way."""
    total = sum(map(len, scope.programs.values()))
    budget = (scope.elections, scope.crashes, scope.losses, scope.duplicates, scope.deaths)
    parts: dict[Place, Part] = {place: Part(Replica(core_config(scope, place), None, middle)) for place in range(3)}
    config = ClientConfig(voters=(0, 1, 2), mode=scope.mode, ping_seconds=NEVER, resend_seconds=1.0)
    parts |= {name: Part(Client(config)) for name in scope.programs}
    state = State(scope, parts, {}, {}, (Fact(),) * total, budget)
    for place in range(3):
        for other in range(3):
            if other != place:
                core = state.parts[place].copy()
                core.step(LinkUp(other, peer=True), 0.0)
                state._end_turn(place, core)
        for name in scope.programs:
            state.links[name, place] = 0
            core = state.parts[place].copy()
            core.step(LinkUp((name, 0), peer=False), 0.0)
            state._end_turn(place, core)
            client = state.parts[name].copy()
            client.link_up(place, 0.0)
            state._end_client_turn(name, client)
    state = settle(state)
    for name in scope.programs:
        client = state.parts[name].copy()
        client.open_session(name.encode(), name)
        state._end_client_turn(name, client)
        state = settle(state)
    state = settle(state.pass_time(0.05))
    state.path = ()
    return state


def settle(state: State) -> State:
    """Deliver everything, oldest links first, until nothing is on its way."""
    while pair := next((pair for pair, frames in state.queues.items() if frames), None):
        state = state.after(("deliver", *pair))
    return state
