"""What must hold in every state of a scope, and at the end of every run."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from replica.core.quorum import fast_quorum
from tests.scopes.machine import operations_before, settle

if TYPE_CHECKING:
    from replica.core.node import Node
    from tests.scopes.machine import Action, Operation, State

CALM_ROUNDS = 40


class Broken(AssertionError):
    """A promise was broken; the text says which."""


def judge_step(before: State, action: Action, after: State) -> None:
    """Judge what one action changed.

    Raises:
        Broken: something that must hold in every state does not.
    """
    nodes = [part.core.node for place, part in after.parts.items() if isinstance(place, int) and part.core is not None]
    _agree(nodes)
    _lead(after)
    if action[0] == "deliver" and isinstance(action[2], str):
        for number, (old, new) in enumerate(zip(before.facts, after.facts, strict=True)):
            if new.returned and not old.returned and new.fast:
                _safe(after, number, nodes)


def _agree(nodes: list[Node]) -> None:
    """I-MATCH: what is committed in two logs is the same."""
    for place, node in enumerate(nodes):
        for other in nodes[place + 1 :]:
            for index in range(max(node.log.first_index, other.log.first_index), min(node.commit_index, other.commit_index) + 1):
                if node.log.get(index) != other.log.get(index):
                    raise Broken(f"I-MATCH: entry {index} is {node.log.get(index)} and {other.log.get(index)}")


def _lead(state: State) -> None:
    """I-VIEW: one leader of a view; I-COMP: it has what is committed anywhere in older ones."""
    cores = [part.core for place, part in state.parts.items() if isinstance(place, int) and part.core is not None]
    leaders = [core for core in cores if core.leader is not None]
    if len({core.node.view for core in leaders}) < len(leaders):
        raise Broken("I-VIEW: two leaders of one view")
    for core in leaders:
        if not core.leader.serving:
            continue
        for other in cores:
            if other.node.view > core.node.view:
                continue
            for index in range(max(core.node.log.first_index, other.node.log.first_index), other.node.commit_index + 1):
                if core.node.log.view_at(index) != other.node.log.view_at(index):
                    raise Broken(f"I-COMP: replica {core.node.config.id} leads view {core.node.view} without entry {index}")


def _safe(state: State, number: int, nodes: list[Node]) -> None:
    """I-FAST: a fast quorum holds what completed fast, or it is committed."""
    name, place = _owner(state, number)
    session = next(iter(state.parts[name].core.sessions))
    command = sum(operation.value is not None for operation in state.scope.programs[name][: place + 1])
    chains = [chain for node in nodes if (chain := node.witness.chains.get(session)) is not None]
    if sum(chain.accepted >= command for chain in chains) < fast_quorum(3) and all(chain.committed < command for chain in chains):
        raise Broken(f"I-FAST: too few hold operation {number}")


def _owner(state: State, number: int) -> tuple[str, int]:
    for name, operations in state.scope.programs.items():
        first = operations_before(state.scope, name)
        if first <= number < first + len(operations):
            return name, number - first
    raise KeyError(number)


def judge_end(state: State) -> None:
    """Judge a run that is over: let time pass until everything is complete, and see whether the answers make sense together.

    Raises:
        Broken: something never completes, or no order of the operations explains the answers.
    """
    state = _calm(state)
    operations = [operation for program in state.scope.programs.values() for operation in program]
    left = [number for number, fact in enumerate(state.facts) if not fact.returned]
    if left:
        raise Broken(f"operations {left} never complete")
    if not any(_explains(state, operations, order) for order in permutations(range(len(operations)))):
        raise Broken(f"no order explains {[(operation, fact) for operation, fact in zip(operations, state.facts, strict=True)]}")
    _once(state)


def _calm(state: State) -> State:
    for _ in range(CALM_ROUNDS):
        state = settle(state)
        dead = [place for place, part in state.parts.items() if part.core is None]
        if dead and state.budget[4] == state.scope.deaths:
            state = settle(state.after(("restart", dead[0])))
        cores = [part.core for place, part in state.parts.items() if isinstance(place, int) and part.core is not None]
        if not any(core.leader is not None for core in cores):
            state.budget = (1, *state.budget[1:])
            best = max(cores, key=lambda core: (core.node.log.last_view, core.node.log.last_index))
            state = settle(state.after(("elect", best.node.config.id)))
        state = settle(state.pass_time(0.3))
        waiting = [action for action in state.actions() if action[0] == "invoke"]
        if waiting:
            state = state.after(waiting[0])
        elif all(fact.returned for fact in state.facts) and not any(core.node.witness.commands for core in cores):
            return state
    return state


def _explains(state: State, operations: list[Operation], order: tuple[int, ...]) -> bool:
    """Whether the answers are those of the operations one by one in this order, which respects sessions and, among strong ones, real time."""
    places = {number: place for place, number in enumerate(order)}
    for number, fact in enumerate(state.facts):
        for earlier in fact.before:
            strong = not operations[earlier].causal and not operations[number].causal
            if strong and places[earlier] > places[number]:
                return False
    for name, program in state.scope.programs.items():
        first = operations_before(state.scope, name)
        if any(places[first + place] > places[first + place + 1] for place in range(len(program) - 1)):
            return False
    values: dict[bytes, bytes] = {}
    for number in order:
        operation = operations[number]
        if operation.value is not None:
            values[operation.key] = operation.value
        elif state.facts[number].result != values.get(operation.key):
            return False
    return True


def _once(state: State) -> None:
    """Exactly once: each command is in the log once."""
    cores = [part.core for place, part in state.parts.items() if isinstance(place, int) and part.core is not None]
    node = next(core.node for core in cores if core.leader is not None)
    for session, record in node.sessions.table.items():
        name = next(name for name in state.scope.programs if session in state.parts[name].core.sessions)
        commands = sum(operation.value is not None for operation in state.scope.programs[name])
        if record.applied != commands:
            raise Broken(f"session {name} applied {record.applied} of {commands} commands")
