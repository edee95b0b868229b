"""What must hold in every state of a scope, and at the end of every run."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import TYPE_CHECKING

import attrs

from replica.core.quorum import fast_quorum
from tests.scopes.cores import REPLICAS

if TYPE_CHECKING:
    from tests.scopes.cores import Seen
    from tests.scopes.machine import State, World
    from tests.scopes.scope import Fact, Operation

CALM_ROUNDS = 40
Outcome = tuple[tuple[bytes | None, ...], tuple[bytes | None, ...]]
"""(answers of all operations, values of all keys at the end)."""


class Broken(AssertionError):
    """A promise was broken; the text says which."""


@attrs.define(eq=False)
class Judge:
    """Judges the states of one world, the same replicas once."""

    world: World
    outcomes: set[Outcome] = attrs.Factory(set)
    """How runs ended."""
    _good: set[tuple[int, ...]] = attrs.Factory(set)

    def judge_step(self, after: State, fast: tuple[int, ...]) -> None:
        """Judge the state that an action led to.

        Args:
            after: the state.
            fast: operations that completed fast in the action.

        Raises:
            Broken: something that must hold in every state does not.
        """
        replicas = after[:REPLICAS]
        if replicas not in self._good:
            seen = [seen for part in replicas if (seen := self.world.cores.parts[part].seen) is not None]
            _agree(seen)
            _lead(seen)
            self._good.add(replicas)
        for number in fast:
            self._safe(after, number)

    def _safe(self, state: State, number: int) -> None:
        """I-FAST: a fast quorum holds what completed fast, or it is committed."""
        world = self.world
        client = max(client for client, first in world.first_operation.items() if first <= number)
        session = world.cores.parts[state[client]].sessions[0]
        command = sum(operation.value is not None for operation in world.scope.operations[world.first_operation[client] : number + 1])
        holders, done = 0, False
        for part in [world.cores.parts[part] for part in state[:REPLICAS]]:
            if part.seen is not None:
                accepted, committed, _ = part.seen.chains.get(session, (0, 0, 0))
                holders, done = holders + (accepted >= command), done or committed >= command
            else:
                holders += part.kept.get(session, 0) >= command  # it comes back with that
        if holders < fast_quorum(REPLICAS) and not done:
            raise Broken(f"I-FAST: too few hold operation {number}")

    def judge_end(self, state: State) -> None:
        """Judge a run that is over: let time pass until everything is complete, and see whether the answers make sense together.

        Raises:
            Broken: something never completes, or no order of the operations explains the answers.
        """
        world = self.world
        now, world.mending = world.now, True
        try:
            state = self._calm(state)
        finally:
            world.now, world.mending = now, False
        operations, facts = world.scope.operations, world.facts.things[state[-3]]
        left = [number for number, fact in enumerate(facts) if not fact.returned]
        if left:
            raise Broken(f"operations {left} never complete")
        leader = next(part for part in state[:REPLICAS] if (some := world.cores.parts[part].seen) is not None and some.leads)
        store = world.cores.core(leader).node.store
        final = {operation.key: store.get_entry(operation.key)[0] for operation in operations}
        programs = [len(program) for program in world.scope.programs.values()]
        if not any(_explains(facts, operations, programs, order, final) for order in permutations(range(len(operations)))):
            raise Broken(f"no order explains {list(zip(operations, facts, strict=True))} and {final}")
        self._once(state)
        self.outcomes.add((tuple([fact.result for fact in facts]), tuple(final.values())))

    def _calm(self, state: State) -> State:
        world, parts = self.world, self.world.cores.parts
        for _ in range(CALM_ROUNDS):
            state = world.settle(state)
            if world.scope.crashes:
                for place in range(REPLICAS):
                    if parts[state[place]].seen is None:
                        state = world.settle(world.restart(state, place))
            seen = {place: some for place in range(REPLICAS) if (some := parts[state[place]].seen) is not None}
            if not any(some.leads for some in seen.values()):
                state = world.settle(world.elect(state, max(seen, key=lambda place: seen[place].reach)))
            state = world.settle(world.pass_time(state, 0.3))
            waiting = [place for place, number in enumerate(world.invocable(state[-3]), REPLICAS) if number >= 0]
            if waiting:
                state = world.invoke(state, waiting[0])
            elif all(fact.returned for fact in world.facts.things[state[-3]]) and not any(
                some.held for part in state[:REPLICAS] if (some := parts[part].seen) is not None
            ):
                return state
        return state

    def _once(self, state: State) -> None:
        """Exactly once: each command is in the log once."""
        parts = self.world.cores.parts
        leader = next(some for part in state[:REPLICAS] if (some := parts[part].seen) is not None and some.leads)
        owners = {parts[part].sessions[0]: name for part, name in zip(state[REPLICAS:], self.world.scope.programs, strict=False)}
        for session, applied in leader.applied.items():
            commands = sum(operation.value is not None for operation in self.world.scope.programs[owners[session]])
            if applied != commands:
                raise Broken(f"session {owners[session]} applied {applied} of {commands} commands")


def _agree(seen: list[Seen]) -> None:
    """I-MATCH: what is committed in two logs is the same."""
    for one, other in combinations(seen, 2):
        for index in range(max(one.first, other.first), min(one.commit, other.commit) + 1):
            if one.entries[index - one.first] != other.entries[index - other.first]:
                raise Broken(f"I-MATCH: entry {index} is not the same")


def _lead(seen: list[Seen]) -> None:
    """I-VIEW: one leader of a view; I-COMP: it has what is committed anywhere in older ones."""
    leaders = [some for some in seen if some.leads]
    if len({some.view for some in leaders}) < len(leaders):
        raise Broken("I-VIEW: two leaders of one view")
    for leader in leaders:
        if not leader.serving:
            continue
        for other in seen:
            if other.view > leader.view:
                continue
            for index in range(max(leader.first, other.first), other.commit + 1):
                if index > leader.reach[1] or leader.views[index - leader.first] != other.views[index - other.first]:
                    raise Broken(f"I-COMP: the leader of view {leader.view} is without entry {index}")


def _explains(
    facts: tuple[Fact, ...], operations: list[Operation], programs: list[int], order: tuple[int, ...], final: dict[bytes, bytes | None]
) -> bool:
    """Whether answers and final values are those of the operations one by one in this order; it respects sessions and, among strong ones, time."""
    places = {number: place for place, number in enumerate(order)}
    if any(places[earlier] > places[number] for number, fact in enumerate(facts) for earlier in fact.before):
        return False
    first = 0
    for length in programs:
        if any(places[number] > places[number + 1] for number in range(first, first + length - 1)):
            return False
        first += length
    values: dict[bytes, bytes] = {}
    for number in order:
        operation = operations[number]
        if operation.value is not None:
            values[operation.key] = operation.value
        elif facts[number].result != values.get(operation.key):
            return False
    return all(value == values.get(key) for key, value in final.items())
