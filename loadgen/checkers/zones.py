"""The few operations that show why a register is not linearizable, found at once where every value was written once and nobody compares.

Theory (Gibbons & Korach, "Testing shared memories", SIAM J. Comput. 1997). A value's *zone* lies between the first return and the last invocation
among its write and its reads. If the first return comes first, the key must hold the value all that time (a forward zone); else all of them
overlap, and one moment between is enough (a backward zone). There is no linearization if and only if a read returns before its write is
invoked, two forward zones overlap, or a backward zone lies within a forward one. Two values and at most three operations of each show it.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadgen.checkers.operation import Operation
    from loadgen.checkers.steps import Need, Step

_BEGINNING = -1
"""When an absent key was "written"."""


@attrs.define(eq=False)
class Zone:
    """A value's zone: from ``returned`` to ``invoked`` if it is a forward one, else from ``invoked`` to ``returned``."""

    returned: int
    invoked: int
    operations: tuple[Operation, ...]
    """The write, who returned first, who was invoked last; each once."""


def suspects(steps: Sequence[Step]) -> Iterator[list[Operation]]:
    """Yield small sets of operations that may not be linearizable; nothing where values repeat or somebody compares.

    Args:
        steps: of one group, as ``steps_of`` returns them.
    """
    zones = _zones(steps)
    forward = sorted((zone for zone in zones if zone.returned < zone.invoked), key=lambda zone: zone.returned)
    for a, b in pairwise(forward):
        if b.returned < a.invoked:
            yield [*a.operations, *b.operations]
    starts = [zone.returned for zone in forward]
    for zone in zones:
        if zone.invoked <= zone.returned:
            at = bisect_left(starts, zone.invoked) - 1
            if at >= 0 and zone.returned < forward[at].invoked:
                yield [*forward[at].operations, *zone.operations]


def _zones(steps: Sequence[Step]) -> list[Zone]:
    writers: dict[Need, Step] = {}
    members: dict[Need, list[Step]] = {}
    for step in steps:
        if step.refuses is not None or step.appends or len(step.needs) + (step.writes is not None) != 1:
            return []
        value = step.writes if step.writes is not None else step.needs[0]
        if step.writes is not None and (value in writers or value[1] is None):
            return []
        if step.writes is not None:
            writers[value] = step
        members.setdefault(value, []).append(step)
    zones = []
    for value, own in members.items():
        first = min(own, key=lambda step: (step.returned, step.writes is not None))  # a write without an end ends with its first read
        last = max(own, key=lambda step: step.invoked)
        chosen = [step for step in (writers.get(value), first, last) if step is not None]
        operations = tuple({step.operation.place: step.operation for step in chosen}.values())
        returned = _BEGINNING if value[1] is None else first.returned
        zones.append(Zone(returned, last.invoked, operations))
    return zones
