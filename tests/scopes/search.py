"""Depth-first search over the states of a scope.

Two actions are independent if they step different cores: in either order they lead to the same state.  *Sleep sets* (Godefroid, LNCS 1032, chapter 5)
leave out the second order, and keep every state; a state that is met again with less asleep is gone on with there.  What is left out beyond that is
in ``forms`` (states that stand for others) and ``choice`` (actions that can wait), each rule by its name and with the reason why nothing is missed.
A state is remembered by a digest of 16 bytes.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from time import process_time
from typing import TYPE_CHECKING

import attrs

from tests.scopes.choice import Choice
from tests.scopes.forms import Forms
from tests.scopes.judge import Broken, Judge
from tests.scopes.machine import world

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scopes.judge import Outcome
    from tests.scopes.machine import Action, State, World
    from tests.scopes.scope import Scope

RULES = frozenset({"past", "again", "inert", "listen", "late", "quiet", "order"})
"""What is left out (``forms``, ``choice``); without them a search explores everything."""
TELL_EVERY = 1 << 16
Path = tuple["Path", int] | None
"""(the way before, the last action)."""


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
    steps: int = 0
    """Steps of single cores that were computed; the others were known."""
    outcomes: int = 0
    """Different answers and values at the end."""
    shrunk: str = ""
    """What the scope leaves out."""


def independent(one: Action, other: Action) -> bool:
    """Whether two actions lead to the same state in either order, and neither makes the other impossible."""
    one, other = sorted((one, other), key=_kind)
    match one, other:
        case (("begin" | "deliver", source, place), ("begin" | "deliver", another, elsewhere)):
            return (
                place != elsewhere
                and (one[0] != "begin" or (source != another and isinstance(elsewhere, int)))
                and source != elsewhere
                and place != another
            )
        case (("begin" | "deliver", _, place), ("elect", elsewhere)):
            return bool(place != elsewhere)
        case (("begin", source, _), ("invoke", another)):
            return bool(source != another)
        case (("deliver", _, place), ("invoke", _)):
            return isinstance(place, int)  # what reaches a client may complete an operation, which an invocation takes note of
        case (("elect", _), ("invoke", _)) | (("invoke", _), ("invoke", _)):
            return one != other
        case _:
            return False


def _kind(action: Action) -> str:
    return str(action[0])


def search(scope: Scope, states_max: int = 1 << 62, tell: Callable[[Found], None] = lambda _: None, rules: frozenset[str] = RULES) -> Found:
    """Explore a scope to its end, or until something is broken or ``states_max`` states are seen.

    Args:
        scope: what may happen.
        states_max: give up beyond it: the search is not complete then.
        tell: told now and then how far it is.
        rules: what may be left out.
    """
    return Search(world(scope), rules, states_max, tell).run()


@attrs.define(eq=False)
class Search:
    """One search of one world."""

    world: World
    rules: frozenset[str] = RULES
    states_max: int = 1 << 62
    tell: Callable[[Found], None] = lambda _: None
    found: Found = attrs.field(init=False)
    _judge: Judge = attrs.field(init=False)
    _choice: Choice = attrs.field(init=False)
    _forms: Forms = attrs.field(init=False)
    _apart: list[int] = attrs.field(init=False)
    """For each action those that are independent of it."""
    _changed: list[int] = attrs.field(init=False)
    """For each action whom it changes, -1: several."""
    _asleep: dict[bytes, int] = attrs.Factory(dict)
    # {digest of a state: what need not be done there}
    _stack: list[tuple[State, int, int, Path, int]] = attrs.Factory(list)
    """(state, what is to be done there, what need not be done there, the way to it, its length)."""

    def __attrs_post_init__(self) -> None:
        world, actions = self.world, self.world.actions
        self.found = Found(world.scope.name, shrunk=world.scope.shrunk)
        self._judge, self._choice, self._forms = Judge(world), Choice(world, self.rules), Forms(world, self.rules)
        self._apart = [sum(1 << number for number, other in enumerate(actions) if independent(action, other)) for action in actions]
        self._changed = [place if kind in {"deliver", "duplicate"} else -1 for kind, _, place in world.plan]

    def run(self) -> Found:
        """Explore."""
        began, found = process_time(), self.found
        try:
            self._explore(began)
        except AssertionError as error:
            found.failure = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
        self._count(began)
        return found

    def _count(self, began: float) -> None:
        self.found.seconds = process_time() - began
        self.found.steps = len(self.world.cores.steps)
        self.found.outcomes = len(self._judge.outcomes)

    @property
    def outcomes(self) -> set[Outcome]:
        """How runs ended."""
        return self._judge.outcomes

    def _explore(self, began: float) -> None:
        found, stack, first = self.found, self._stack, self.world.first
        self._asleep[digest(first)] = 0
        found.states = 1
        stack.append((first, self._choice.chosen(first), 0, None, 0))
        told = 0
        while stack and found.states < self.states_max:
            state, wanted, sleeping, path, depth = stack.pop()
            self._do_all(state, wanted, sleeping, path, depth + 1)
            if found.transitions - told > TELL_EVERY:
                told = found.transitions
                self._count(began)
                self.tell(found)
        found.complete = not stack

    def _do_all(self, state: State, wanted: int, sleeping: int, path: Path, depth: int) -> None:
        """Do what is wanted in a state, judge it, and go on where that leads."""
        world, found, asleep = self.world, self.found, self._asleep
        while wanted:
            bit = wanted & -wanted
            wanted ^= bit
            action = bit.bit_length() - 1
            way = (path, action)
            try:
                after, fast = world.after(state, action)
                self._judge.judge_step(after, fast)
                formed = self._forms.normal(after, self._changed[action])
                woken = 0 if formed == after else self._forms.woken(after, formed)
                after = formed
                key = digest(after)
                before = asleep.get(key)
                if before is None and world.over(after):
                    found.ends += 1
                    self._judge.judge_end(after)
            except AssertionError:
                found.path = spell(world, way)
                raise
            found.transitions += 1
            inherited = sleeping & self._apart[action] & ~woken
            sleeping |= bit
            if before is None:
                asleep[key] = inherited
                found.states += 1
                found.depth = max(found.depth, depth)
                self._stack.append((after, self._choice.chosen(after) & ~inherited, inherited, way, depth))
            elif before & ~inherited:
                asleep[key] = before & inherited
                self._stack.append((after, self._choice.chosen(after) & before & ~inherited, before & inherited, way, depth))


def digest(state: State) -> bytes:
    """Return 16 bytes for a state: two of billions of states have the same ones with less than a chance of 10 ** -18."""
    return blake2b(array("I", state).tobytes(), digest_size=16).digest()


def spell(world: World, path: Path) -> tuple[Action, ...]:
    """Return the actions of a way."""
    found: list[Action] = []
    while path is not None:
        path, action = path
        found.append(world.actions[action])
    return tuple(reversed(found))
