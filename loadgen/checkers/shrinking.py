"""Makes a violation of linearizability small enough to read: the shortest beginning that shows it, then without all that can be left out.

Leaving out must never make a violation: a read can always go; a write goes together with all that may have seen its value, and only where no
refused cas may have been refused because of it.  Where values grow, those are all whose value begins with what was put, or contains what was
appended: whoever else reads the key did so before that write or after another that put something new there.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import attrs

from loadgen.checkers.operation import NEVER, Operation
from loadgen.checkers.search import OutOfTime, is_linearizable
from loadgen.checkers.steps import Group, growing, steps_of
from loadgen.checkers.zones import suspects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadgen.checkers.steps import Step

Versions = dict[tuple[bytes, int], bytes]


class Shrinking:
    """Shrinks one group.

    Args:
        versions: as ``values_by_version`` returns it.
        seconds: to spend; what was reached by then is the result.
    """

    def __init__(self, versions: Versions, seconds: float) -> None:
        self._versions = versions
        self._deadline = monotonic() + seconds

    def shrink(self, group: Group) -> Group:
        """Return a smaller group that is not linearizable either; its operations may be copies without their answer."""
        for few in suspects(steps_of(group, self._versions)):
            few.sort(key=lambda operation: operation.place)
            if self._fails(few):
                return self._without(few, 1)
        group = self._shortest_beginning(group)
        size = max(1, len(group) // 2)
        while group and monotonic() < self._deadline:
            smaller = self._without(group, size)
            if len(smaller) == len(group) and size == 1:
                break
            group, size = smaller, max(1, size // 2)
        return group

    def _fails(self, group: Iterable[Operation]) -> bool:
        try:
            return not is_linearizable(steps_of(group, self._versions), self._deadline)
        except OutOfTime:
            return False

    def _shortest_beginning(self, group: Group) -> Group:
        moments = sorted(operation.returned for operation in group if operation.returned != NEVER)
        low, high = 0, len(moments) - 1
        if high < 0:
            return group
        while low < high:  # the violation is there when all of moments[: high + 1] have passed
            middle = (low + high) // 2
            if self._fails(beginning(group, moments[middle])):
                high = middle
            else:
                low = middle + 1
        found = beginning(group, moments[high])
        return found if self._fails(found) else group

    def _without(self, group: Group, size: int) -> Group:
        """Leave out as many runs of ``size`` operations as possible, the first ones first."""
        at = 0
        while at < len(group) and monotonic() < self._deadline:
            gone = closure(group, group[at : at + size], self._versions)
            if gone and len(gone) < len(group):
                rest = [operation for operation in group if operation.place not in gone]
                if self._fails(rest):
                    at = sum(operation.place not in gone for operation in group[:at])
                    group = rest
                    continue
            at += size
        return group


def beginning(group: Group, moment: int) -> Group:
    """Return what had been invoked by a moment, with the answers that had come."""
    found = []
    for operation in group:
        if operation.invoked > moment:
            break
        if operation.returned <= moment:
            found.append(operation)
        elif not operation.reads_only and not operation.refused:
            found.append(attrs.evolve(operation, returned=NEVER, answered=False))
    return found


def closure(group: Group, chosen: Iterable[Operation], versions: Versions) -> set[int]:
    """Return the places of chosen operations and of all that may have seen what they wrote; empty if these cannot be left out."""
    steps = {step.operation.place: step for step in steps_of(group, versions)}
    grown = growing(steps.values())
    readers: dict[bytes, dict[bytes | None, list[int]]] = {}  # {key: {value: places}}
    for place, step in steps.items():
        for key, value in step.needs:
            readers.setdefault(key, {}).setdefault(value, []).append(place)
    gone: set[int] = set()
    waiting = [operation.place for operation in chosen]
    while waiting:
        place = waiting.pop()
        if place in gone:
            continue
        gone.add(place)
        if place in steps and (step := steps[place]).writes is not None:
            key, value = step.writes
            if key not in grown:
                waiting += readers.get(key, {}).get(value, ())
            elif value:
                waiting += [reader for seen, places in readers.get(key, {}).items() if may_show(step, value, seen) for reader in places]
            else:
                return set()  # every value may have grown from nothing
    written = {step.writes[0] for place, step in steps.items() if place in gone and step.writes is not None}
    return set() if written & {cas.key for cas in group if cas.refused and cas.place not in gone} else gone


def may_show(write: Step, value: bytes, seen: bytes | None) -> bool:
    """Whether what was seen of a key that grows may have a write's value in it, which is not empty."""
    return seen is not None and (value in seen if write.appends else seen.startswith(value))
