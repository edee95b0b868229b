"""What a linearizability search works with: for each group of keys that must be judged together, steps that read, compare and write.

Keys are independent (Horn & Kroening, FORTE'15) but for scans, which tie the keys that they cover together. Causal reads are no part of it. A
causal write takes effect at some moment after its invocation, so it is a step without an end, as one whose outcome is unknown.

What is known of a step without an end closes it: if its value can come from it alone and was read, it took effect before that read returned.
If nobody read the value it may as well never have happened, unless a cas that did not swap could have been refused because of it. Neither holds of
a key whose value somebody appends to: a read tells then who was there before, and one value may come about in several ways.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

from loadgen.checkers.operation import NEVER, History, Operation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Need = tuple[bytes, bytes | None]
"""A key and the value it must have."""


@attrs.define(eq=False)
class Step:
    """One operation in a search.

    Attributes:
        returned: it takes effect before this moment.
        optional: it may never take effect.
        needs: what it read.
        refuses: what a refused cas did not find.
        writes: what it leaves; None for reads.
        appends: it adds to what is there instead.
        idle: a plain write whose value nobody read, and nobody compared with: it disturbs nobody right before another write.
    """

    operation: Operation
    invoked: int
    returned: int
    optional: bool
    needs: list[Need]
    refuses: Need | None = None
    writes: Need | None = None
    appends: bool = False
    idle: bool = False

    @property
    def reads_only(self) -> bool:
        """Whether it changes nothing."""
        return self.writes is None


Group = list[Operation]
"""Operations on keys that must be judged together."""


def groups_of(history: History) -> list[Group]:
    """Return the operations that linearizability is about, by keys that must be judged together; small groups first."""
    relevant = [operation for operation in history.operations if _matters(operation)]
    keys = sorted({key for operation in relevant for key in _named(operation)})
    scans = [operation for operation in relevant if operation.kind == "scan"]
    joints = [0] * (len(keys) + 1)  # [place of a key: scans that tie it to the next one, more than to the one before]
    for scan in scans:
        covered = scan.covered(keys)
        if covered:
            joints[covered.start] += 1
            joints[covered.stop - 1] -= 1
    numbers: dict[bytes, int] = {}
    number = ties = 0
    for key, more in zip(keys, joints, strict=False):
        numbers[key] = number
        ties += more
        number += not ties
    groups: list[Group] = [[] for _ in range(number + len(scans))]
    for operation in relevant:
        if operation.kind != "scan":
            groups[numbers[operation.key]].append(operation)
        elif covered := operation.covered(keys):
            groups[numbers[keys[covered.start]]].append(operation)
        else:  # a scan of nothing stands alone
            groups[number].append(operation)
            number += 1
    return sorted(filter(None, groups), key=len)


def _named(operation: Operation) -> Iterable[bytes]:
    return (key for key, _, _ in operation.rows) if operation.kind == "scan" else (operation.key,)


def _matters(operation: Operation) -> bool:
    if operation.refused:
        return True
    if operation.failed or (operation.prior and not operation.strong):
        return False
    return not operation.reads_only or (operation.answered and operation.strong)


def steps_of(group: Iterable[Operation], versions: dict[tuple[bytes, int], bytes]) -> list[Step]:
    """Return the steps of a group, what is known of them taken into account.

    Args:
        group: operations, in order of invocation.
        versions: {(key, version): value}, as ``sources.values_by_version`` returns it.
    """
    group = list(group)
    keys = sorted({operation.key for operation in group if operation.kind != "scan"})
    repeated = _repeated(group)
    steps = [step for operation in group if (step := _step(operation, keys, versions, repeated)) is not None]
    writers = writers_of(steps)
    readers: dict[Need, list[Step]] = {}
    for step in steps:
        for need in step.needs:
            readers.setdefault(need, []).append(step)
    compared = {step.refuses[0] for step in steps if step.refuses is not None}
    compared |= growing(steps)
    _close(steps, writers, readers)
    kept = []
    for step in steps:
        seen = step.writes in readers
        if step.writes is not None and not seen and step.writes[0] not in compared:
            if step.optional:
                continue
            step.idle = not step.needs
        kept.append(step)
    return kept


def _repeated(group: Group) -> set[Need]:
    """Return values with which a refusal by version says nothing of the value: several operations write them, each with a version of its own."""
    if not any(operation.refused and operation.expected_version is not None for operation in group):
        return set()
    count = Counter((operation.key, operation.value) for operation in group if not operation.reads_only and not operation.failed)
    return {need for need, writers in count.items() if writers > 1}


def _step(operation: Operation, keys: list[bytes], versions: dict[tuple[bytes, int], bytes], repeated: set[Need]) -> Step | None:
    key = operation.key
    lasting = operation.strong or operation.reads_only
    ends = operation.answered and lasting
    step = Step(operation, operation.invoked, operation.returned if ends or operation.refused else NEVER, not (ends or operation.refused), [])
    if operation.kind == "get":
        step.needs.append((key, operation.seen))
    elif operation.kind == "scan":
        shown = {row[0]: row[1] for row in operation.rows}
        step.needs.extend(shown.items())
        step.needs.extend((keys[place], None) for place in operation.covered(keys) if keys[place] not in shown)
    elif operation.kind == "cas":
        expected, known = operation.expected, True
        if operation.expected_version is not None:
            known = (key, operation.expected_version) in versions
            expected = versions.get((key, operation.expected_version))
        if operation.refused:
            if not known or (operation.expected_version is not None and (key, expected) in repeated):
                return None  # the version that it wanted is nobody's that we know, or its value may have been there with another version
            step.refuses = (key, expected)
            return step
        if known:
            step.needs.append((key, expected))
        step.writes = (key, operation.value)
    else:
        step.writes, step.appends = (key, operation.value), operation.kind == "append"
    return step


def _close(steps: list[Step], writers: Counter[Need], readers: dict[Need, list[Step]]) -> None:
    """Give steps the end that their readers give them, until nothing moves (a cas is a reader too)."""
    moved = True
    while moved:
        moved = False
        for step in reversed(steps):
            if step.writes is None or step.appends or not is_unique(step.writes, writers):
                continue
            for reader in readers.get(step.writes, ()):
                if not reader.optional and (step.optional or reader.returned < step.returned):
                    step.returned, step.optional, moved = min(step.returned, reader.returned), False, True


def growing(steps: Iterable[Step]) -> set[bytes]:
    """Return the keys whose value somebody appends to."""
    return {step.writes[0] for step in steps if step.appends and step.writes is not None}


def writers_of(steps: Sequence[Step]) -> Counter[Need]:
    """Return how many steps may leave a value; of a key whose value somebody appends to always several, since nobody knows."""
    keys, writers = growing(steps), Counter(step.writes for step in steps if step.writes is not None)
    for need in writers if keys else ():
        if need[0] in keys:
            writers[need] += 1
    return writers


def is_unique(need: Need, writers: Counter[Need]) -> bool:
    """Whether a key has this value for one stretch of time at most: one write leaves it, or it is what the key begins with.

    Args:
        need: a key and a value.
        writers: as ``writers_of`` returns it.
    """
    return writers[need] + (need[1] is None) == 1
