"""Depth-first search over all states of a scope.

Two actions are independent if they step different cores: in either order they lead to the same state.  *Sleep sets* (Godefroid, LNCS 1032, chapter 5)
leave out the second order, and keep every state; a state that is met again with less asleep is gone on with there.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import attrs

from tests.scopes.judge import Broken, judge_end, judge_step
from tests.scopes.machine import begin

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scopes.machine import Action, Scope, State

TELL_EVERY = 2000
Asleep = frozenset["Action"]


@attrs.define
class Found:
    """What a search saw."""

    scope: str
    states: int = 0
    transitions: int = 0
    ends: int = 0
    depth: int = 0
    seconds: float = 0.0
    complete: bool = False
    failure: str = ""
    path: tuple[Action, ...] = ()


def independent(one: Action, other: Action) -> bool:
    """Whether two actions lead to the same state in either order, and neither makes the other impossible."""
    kinds = {one[0], other[0]}
    if kinds <= {"deliver"}:
        return bool(one[2] != other[2])
    if kinds == {"deliver", "elect"}:
        delivered, elected = (one, other) if one[0] == "deliver" else (other, one)
        return bool(delivered[2] != elected[1])
    if kinds == {"deliver", "invoke"}:
        delivered = one if one[0] == "deliver" else other
        return isinstance(delivered[2], int)  # what reaches a client may complete an operation, which an invocation takes note of
    return kinds == {"invoke", "elect"}


def search(scope: Scope, states_max: int = 1 << 62, tell: Callable[[Found], None] = lambda _: None) -> Found:
    """Explore a scope to its end, or until something is broken or ``states_max`` states are seen.

    Args:
        scope: what may happen.
        states_max: give up beyond it: the search is not complete then.
        tell: told now and then how far it is.
    """
    began = monotonic()
    found = Found(scope.name)
    first = begin(scope)
    asleep: dict[int, Asleep] = {first.key(): frozenset()}  # {state: what need not be done there}
    stack: list[tuple[State, list[Action], Asleep]] = [(first, first.actions(), frozenset())]
    found.states = 1
    while stack and found.states < states_max:
        state, wanted, sleeping = stack.pop()
        try:
            stack += _successors(state, wanted, sleeping, asleep, found)
        except AssertionError as error:
            found.failure = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
            break
        if found.transitions % TELL_EVERY == 0:
            found.seconds = monotonic() - began
            tell(found)
    else:
        found.complete = not stack
    found.seconds = monotonic() - began
    return found


def _successors(
    state: State, wanted: list[Action], sleeping: Asleep, asleep: dict[int, Asleep], found: Found
) -> list[tuple[State, list[Action], Asleep]]:
    """Do what is wanted in a state, judge it, and return where to go on."""
    fresh = []
    for action in wanted:
        found.path = (*state.path, action)
        after = state.after(action)
        found.transitions += 1
        judge_step(state, action, after)
        inherited = frozenset(other for other in sleeping if independent(action, other))
        sleeping |= {action}
        key, actions = after.key(), after.actions()
        before = asleep.get(key)
        if before is None:
            asleep[key] = inherited
            found.states += 1
            found.depth = max(found.depth, len(after.path))
            if all(other[0] not in {"invoke", "deliver", "restart"} for other in actions):
                found.ends += 1
                judge_end(after)
            fresh.append((after, [other for other in actions if other not in inherited], inherited))
        elif not before <= inherited:
            asleep[key] = before & inherited
            fresh.append((after, [other for other in actions if other in before and other not in inherited], before & inherited))
    found.path = ()
    return fresh
