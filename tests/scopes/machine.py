"""A small cluster: real cores, frames on their way, programs; and what may happen next.

Time stands still, so no timer fires; what timers do in reality (elections) is an event that may happen at any moment.  Links deliver in order.
A state is a tuple of numbers: of each core, of each link's queue, of what the programs know, of what may still go wrong, of the links' lives; what
has a number is in one of the world's tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from tests.scopes.cores import REPLICAS, Cores
from tests.scopes.scope import Fact, Scope

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from tests.scopes.cores import Event, Outcome
    from tests.scopes.scope import Operation

Action = tuple[Any, ...]
"""``("deliver", source, place)``, ``("elect", place)`` …; clients are named in it."""
State = tuple[int, ...]
ELECTIONS, CRASHES, LOSSES, DUPLICATES, DEATHS = range(5)


@attrs.define(eq=False)
class Numbers:
    """Things by number."""

    things: list[Any] = attrs.Factory(list)
    numbers: dict[Hashable, int] = attrs.Factory(dict)

    def add(self, thing: Hashable) -> int:
        """Return the number of a thing, a new one if it is new."""
        number = self.numbers.setdefault(thing, len(self.things))
        if number == len(self.things):
            self.things.append(thing)
        return number


@attrs.define(eq=False)
class World:
    """The rules of one scope's world."""

    scope: Scope
    cores: Cores
    names: list[int | str] = attrs.field(init=False)
    """Of the places: replicas by id, then clients."""
    channels: list[tuple[int, int]] = attrs.field(init=False)
    """(from, to) of each queue."""
    queues: Numbers = attrs.Factory(Numbers)
    """(first frame, number of the rest); 0: empty."""
    facts: Numbers = attrs.Factory(Numbers)
    budgets: Numbers = attrs.Factory(Numbers)
    lives: Numbers = attrs.Factory(Numbers)
    """(how often each replica came back)."""
    actions: list[Action] = attrs.Factory(list)
    """Everything that may ever happen; a set of actions is an integer with their bits."""
    first: State = attrs.field(init=False)
    """Everybody is linked, each client has a session, and nothing is on its way."""
    now: float = 0.0
    bits_on: list[int] = attrs.field(init=False)
    """What can be done with the first frame of each channel."""
    mending: bool = True
    """Every link works: before a run begins, and when it is over."""
    first_operation: dict[int, int] = attrs.field(init=False)
    # {client: number of its first operation}
    _channel: dict[tuple[int, int], int] = attrs.field(init=False)
    _pushed: dict[tuple[int, int], int] = attrs.Factory(dict)
    plan: list[tuple[str, int, int]] = attrs.Factory(list)
    """(kind, place or channel, place) of each action."""
    _invocable: dict[int, tuple[int, ...]] = attrs.Factory(dict)
    # {facts: for each client its next operation, -1: none}
    _programs: dict[int, tuple[Operation, ...]] = attrs.field(init=False)
    # {client: what it does}
    _finished: dict[tuple[int, int], bool] = attrs.Factory(dict)
    # {(client's core, facts): whether it is finished}
    _bits: dict[str, int] = attrs.Factory(dict)
    # {kind: the first of its bits}

    def __attrs_post_init__(self) -> None:
        self.names = [*range(REPLICAS), *self.scope.programs]
        places = range(len(self.names))
        self.channels = [(one, other) for one in places for other in places if one != other and min(one, other) < REPLICAS]
        self._channel = {pair: number for number, pair in enumerate(self.channels)}
        self.queues.add((-1, -1))
        self._programs = dict(enumerate(self.scope.programs.values(), REPLICAS))
        self.first_operation, first = {}, 0
        for client, program in self._programs.items():
            self.first_operation[client] = first
            first += len(program)
        self._add_actions()
        alike = [(1 << bit, one) for bit, (kind, one, _) in enumerate(self.plan) if kind in {"deliver", "lose", "duplicate"}]
        self.bits_on = [sum(bit for bit, one in alike if one == channel) for channel in range(len(self.channels))]
        self.first = self._begin()
        self.mending = False

    def _add_actions(self) -> None:
        scope, names = self.scope, self.names
        clients = range(REPLICAS, len(names))
        kinds: list[tuple[str, Iterable[tuple[int, int]]]] = [
            ("invoke", [(place, place) for place in clients]),
            ("deliver", [(number, place) for number, (_, place) in enumerate(self.channels)]),
        ]
        kinds.append(("begin", [(number, place) for number, (source, place) in enumerate(self.channels) if place < REPLICAS <= source]))
        alone = [(place, place) for place in range(REPLICAS)]
        kinds += [(kind, alone) for kind, may in (("elect", scope.elections), ("crash", scope.crashes), ("die", scope.deaths)) if may]
        kinds += [("restart", alone)] if scope.crashes else []
        kinds += [(kind, kinds[1][1]) for kind, may in (("lose", scope.losses), ("duplicate", scope.duplicates)) if may]
        for kind, what in kinds:
            self._bits[kind] = len(self.actions)
            for one, place in what:
                self.plan.append((kind, one, place))
                pair = self.channels[one] if kind in {"deliver", "begin", "lose", "duplicate"} else (one,)
                self.actions.append((kind, *[names[place] for place in pair]))

    def _begin(self) -> State:
        scope, cores = self.scope, self.cores
        budget = (scope.elections, scope.crashes, scope.losses, scope.duplicates, scope.deaths)
        facts = (Fact(),) * len(scope.operations)
        parts = [cores.begin(place) for place in range(len(self.names))]
        cells = [*parts, *[0] * len(self.channels), self.facts.add(facts), self.budgets.add(budget), self.lives.add((0,) * REPLICAS)]
        for place in range(REPLICAS):
            for other in range(REPLICAS):
                if other != place:
                    self._step(cells, place, ("up", other, 0))
            for client in range(REPLICAS, len(self.names)):
                self._step(cells, place, ("up", client, 0))
                self._step(cells, client, ("up", place, 0))
        state = self.settle(tuple(cells))
        for client in range(REPLICAS, len(self.names)):
            cells = list(state)
            self._step(cells, client, ("open", str(self.names[client]).encode()))
            state = self.settle(tuple(cells))
        return self.settle(self.pass_time(state, 0.05))

    # ------------------------------------------------------------------------------------------------------------- what may happen

    def enabled(self, state: State) -> int:
        """Return everything that may happen next."""
        places, parts, bits = len(self.names), self.cores.parts, self._bits
        facts, budget, _ = state[-3:]
        found = pending = 0
        for number, queue in enumerate(state[places:-3]):
            if queue:
                pending |= 1 << number
        found = pending << bits["deliver"]
        for number, operation in enumerate(self.invocable(facts)):
            if operation >= 0:
                found |= 1 << number
        if not self.scope.faults:
            return found
        elections, crashes, losses, duplicates, deaths = self.budgets.things[budget]
        for place in range(REPLICAS):
            seen = parts[state[place]].seen
            if seen is not None:
                if elections and not seen.named and place in self.scope.candidates:
                    found |= 1 << (bits["elect"] + place)
                if crashes and place in self.scope.victims:
                    found |= 1 << (bits["crash"] + place)
                if deaths:
                    found |= 1 << (bits["die"] + place)
            elif "restart" in bits:
                found |= 1 << (bits["restart"] + place)
        if losses:
            found |= pending << bits["lose"]
        if duplicates:
            found |= pending << bits["duplicate"]
        return found

    def invocable(self, facts: int) -> tuple[int, ...]:
        """Return the operation that each client may invoke, -1 for none."""
        found = self._invocable.get(facts)
        if found is None:
            known, first, some = self.facts.things[facts], 0, []
            for program in self.scope.programs.values():
                numbers = range(first, first + len(program))
                number = next((number for number in numbers if not known[number].invoked), -1)
                if number > first:
                    before = known[number - 1]
                    number = number if (before.returned if program[number - first].waits else before.invoked) else -1
                some.append(number)
                first += len(program)
            found = self._invocable[facts] = tuple(some)
        return found

    # ------------------------------------------------------------------------------------------------------------ how far things are

    def frames_of(self, queue: int) -> list[int]:
        """Return the frames of a queue."""
        frames = []
        while queue:
            frame, queue = self.queues.things[queue]
            frames.append(frame)
        return frames

    def reads(self, client: int) -> bool:
        """Tell whether a client has reads to do."""
        return any(operation.value is None for operation in self._programs[client])

    def writes_causally(self, client: int) -> bool:
        """Tell whether a client has causal writes to do."""
        return any(operation.causal for operation in self._programs[client])

    def has_begun_all(self, client: int, facts: int) -> bool:
        """Tell whether a client has invoked all its operations."""
        return bool(self.facts.things[facts][self.first_operation[client] + len(self._programs[client]) - 1].invoked)

    def finished(self, client: int, part: int, facts: int) -> bool:
        """Tell whether all of a client's operations are complete, and it knows them to be committed."""
        found = self._finished.get((part, facts))
        if found is None:
            first, known = self.first_operation[client], self.facts.things[facts]
            done = all(fact.returned for fact in known[first : first + len(self._programs[client])])
            found = self._finished[part, facts] = done and self.cores.parts[part].idle
        return found

    def is_steady(self, state: State) -> bool:
        """Tell whether nothing can go wrong any more but that frames are lost or come twice, and everybody is alive."""
        parts, budget = self.cores.parts, self.budgets.things[state[-2]]
        faults = budget[ELECTIONS] or budget[CRASHES] or budget[DEATHS]
        return not faults and all(parts[part].seen is not None for part in state[:REPLICAS])

    def view(self, state: State) -> int:
        """Return the highest view."""
        return max(seen.view for part in state[:REPLICAS] if (seen := self.cores.parts[part].seen) is not None)

    def unaware(self, state: State) -> list[int]:
        """Return the clients that do not know who leads the highest view, and would send something if they did."""
        view, parts = self.view(state), self.cores.parts
        clients = range(REPLICAS, len(self.names))
        unaware = [client for client in clients if parts[state[client]].view < view or parts[state[client]].leader < 0]
        return [client for client in unaware if not self.finished(client, state[client], state[-3])]

    def over(self, state: State) -> bool:
        """Tell whether nothing can happen any more but what goes wrong."""
        dead = "restart" in self._bits and any(self.cores.parts[part].seen is None for part in state[:REPLICAS])
        return not any(state[len(self.names) : -3]) and max(self.invocable(state[-3])) < 0 and not dead

    # ------------------------------------------------------------------------------------------------------------------- happening

    def after(self, state: State, action: int) -> tuple[State, tuple[int, ...]]:
        """Let an action happen.

        Returns:
            (the state after it, the operations that completed fast in it).
        """
        kind, one, place = self.plan[action]
        cells = list(state)
        fast: tuple[int, ...] = ()
        if kind == "deliver":
            fast = self._deliver(cells, one, place, keep=False)
        elif kind == "invoke":
            self._invoke(cells, place)
        elif kind == "begin":
            self._invoke(cells, self.channels[one][0])
            fast = self._deliver(cells, one, place, keep=False)
        elif kind == "duplicate":
            self._spend(cells, DUPLICATES)
            fast = self._deliver(cells, one, place, keep=True)
        elif kind == "lose":
            self._spend(cells, LOSSES)
            queue = len(self.names) + one
            cells[queue] = self.queues.things[cells[queue]][1]
        elif kind == "elect":
            self._spend(cells, ELECTIONS)
            self._step(cells, place, ("elect",))
        elif kind == "restart":
            self._restart(cells, place)
        else:
            self._spend(cells, CRASHES if kind == "crash" else DEATHS)
            fast = self._kill(cells, place)
        return tuple(cells), fast

    def _spend(self, cells: list[int], which: int) -> None:
        left = list(self.budgets.things[cells[-2]])
        left[which] -= 1
        cells[-2] = self.budgets.add(tuple(left))

    def _deliver(self, cells: list[int], channel: int, place: int, *, keep: bool) -> tuple[int, ...]:
        queue = len(self.names) + channel
        assert cells[queue]
        frame, rest = self.queues.things[cells[queue]]
        if not keep:
            cells[queue] = rest
        source = self.channels[channel][0]
        life = self.lives.things[cells[-1]][place] if place < REPLICAS <= source else 0
        return self._step(cells, place, ("frame", source, life, frame))

    def _step(self, cells: list[int], place: int, event: Event) -> tuple[int, ...]:
        """Let one core take an event; returns which operations completed fast."""
        outcome = self.cores.step(cells[place], event, self.now)
        cells[place] = outcome.part
        places, parts = len(self.names), self.cores.parts
        for to, frame in outcome.sends:
            if to >= REPLICAS or (parts[cells[to]].seen is not None and (self.mending or (place, to) not in self.scope.cut)):
                queue = places + self._channel[place, to]
                cells[queue] = self.push(cells[queue], frame)
        return self._complete(cells, outcome) if outcome.done else ()

    def push(self, queue: int, frame: int) -> int:
        """Return the number of a queue with one more frame."""
        longer = self._pushed.get((queue, frame))
        if longer is None:
            first, rest = self.queues.things[queue]
            longer = self.queues.add((frame, 0) if not queue else (first, self.push(rest, frame)))
            self._pushed[queue, frame] = longer
        return longer

    def _complete(self, cells: list[int], outcome: Outcome) -> tuple[int, ...]:
        facts = list(self.facts.things[cells[-3]])
        for number, result, _ in outcome.done:
            facts[number] = attrs.evolve(facts[number], returned=True, result=result)
        cells[-3] = self.facts.add(tuple(facts))
        return tuple([number for number, _, fast in outcome.done if fast])

    def _invoke(self, cells: list[int], place: int) -> None:
        number = self.invocable(cells[-3])[place - REPLICAS]
        facts, operations, before = list(self.facts.things[cells[-3]]), self.scope.operations, []
        if not operations[number].causal:
            own = self._owners()
            strong = [other for other, operation in enumerate(operations) if not operation.causal and own[other] != own[number]]
            before = [other for other in strong if facts[other].returned]
        facts[number] = Fact(tuple(before), invoked=True)
        cells[-3] = self.facts.add(tuple(facts))
        self._step(cells, place, ("invoke", number))

    def _owners(self) -> list[str]:
        return [name for name, program in self.scope.programs.items() for _ in program]

    # ------------------------------------------------------------------------------------------------------------ dying, coming back

    def _kill(self, cells: list[int], place: int) -> tuple[int, ...]:
        cells[place] = self.cores.step(cells[place], ("crash",), self.now).part
        for number, pair in enumerate(self.channels, len(self.names)):
            if place in pair:
                cells[number] = 0
        fast: tuple[int, ...] = ()
        for other in range(len(self.names)):
            if other >= REPLICAS or self.cores.parts[cells[other]].seen is not None:
                fast += self._step(cells, other, ("down", place))
        return fast

    def _restart(self, cells: list[int], place: int) -> None:
        lives = list(self.lives.things[cells[-1]])
        lives[place] += 1
        cells[-1] = self.lives.add(tuple(lives))
        self._step(cells, place, ("restart", place))
        for other in range(len(self.names)):
            if other == place or (other < REPLICAS and self.cores.parts[cells[other]].seen is None):
                continue
            self._step(cells, place, ("up", other, lives[place]))
            self._step(cells, other, ("up", place, lives[place]))

    # ------------------------------------------------------------------------------------------------------------------------ calm

    def restart(self, state: State, place: int) -> State:
        """Let a replica come back."""
        cells = list(state)
        self._restart(cells, place)
        return tuple(cells)

    def elect(self, state: State, place: int) -> State:
        """Let a replica ask for votes."""
        cells = list(state)
        self._step(cells, place, ("elect",))
        return tuple(cells)

    def invoke(self, state: State, client: int) -> State:
        """Let a client invoke what it may."""
        cells = list(state)
        self._invoke(cells, client)
        return tuple(cells)

    def pass_time(self, state: State, seconds: float) -> State:
        """Let time pass: everybody does what is due."""
        self.now += seconds
        cells = list(state)
        for place in range(len(self.names)):
            if place >= REPLICAS or self.cores.parts[cells[place]].seen is not None:
                self._step(cells, place, ("time",))
        return tuple(cells)

    def settle(self, state: State) -> State:
        """Deliver everything, oldest links first, until nothing is on its way."""
        places, cells = len(self.names), list(state)
        while any(cells[places:-3]):
            for channel, (_, place) in enumerate(self.channels):
                while cells[places + channel]:
                    self._deliver(cells, channel, place, keep=False)
        return tuple(cells)


def world(scope: Scope, *, doubtful: bool = False) -> World:
    """Make a scope's world."""
    return World(scope, Cores(scope, doubtful))
