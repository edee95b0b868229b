"""Which write each read saw, told by its value: no two writes of a key may have written the same one.

A *sight* is what an operation saw of one key: the write it saw, or none where the key was absent. An absent key was never written, or was
deleted; which of these, a history does not tell, so that a sight of an absent key counts against a promise only if no delete explains it.

A cas that swapped saw what it expected. One whose outcome is unknown did swap if its value was seen, so that it saw what it expected as well;
what it saw had been written by the time at which its own value was known. Versions are kept as they were told, the first for each write.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

from loadgen.checkers.operation import NEVER, History, Operation, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

Sight = tuple[bytes, Operation | None]
"""A key, and the write that was seen of it; None: the key was absent."""

Reading = tuple[Operation, bytes, bytes | None, int]
"""An operation, and what it was told: key, value, version (0 where not told)."""

Written = dict[tuple[bytes, bytes], Operation]
"""{(key, value): who wrote it}"""


@attrs.define(eq=False)
class Sources:
    """Who saw what of whom.

    Attributes:
        writes: {key: what changed it or may have, in order of invocation}. What has an unknown outcome and was never seen is not among them, nor is
            what was there before the history.
        prior: {key: how many writes of it tell what was there before, or may have been}.
        deletes: {key: what left it absent or may have; also what has an unknown outcome, since nobody can see who it was}.
        sights: {place of an operation: what it saw}.
        refusals: {place of a refused cas: the write that it expected and did not find; None: it expected an absent key}. Those that expected what
            nobody wrote are not among them.
        versions: {place of a write: its version}, where some read told it.
        thin_air: readings of values that nobody had written by then.
        effects_of_failed: readings of values that only a failed write wrote, with that write.
    """

    writes: dict[bytes, list[Operation]] = attrs.Factory(dict)
    prior: Counter[bytes] = attrs.Factory(Counter)
    deletes: dict[bytes, list[Operation]] = attrs.Factory(dict)
    sights: dict[int, list[Sight]] = attrs.Factory(dict)
    refusals: dict[int, Operation | None] = attrs.Factory(dict)
    versions: dict[int, int] = attrs.Factory(dict)
    thin_air: list[Reading] = attrs.Factory(list)
    effects_of_failed: list[tuple[Reading, Operation]] = attrs.Factory(list)


def sources_of(history: History) -> Sources:
    """Find the source of every read.

    Raises:
        Unreadable: two writes of a key wrote the same value.
    """
    writers: dict[tuple[bytes, bytes], Operation] = {}
    failed: dict[tuple[bytes, bytes], Operation] = {}
    for operation in history.operations:
        if operation.kind == "append":
            raise Unreadable(operation.line, "append: only linearizability can be checked where values grow")
        if operation.value is None:
            continue
        name = (operation.key, operation.value)
        if operation.failed:
            failed[name] = operation
        elif (other := writers.setdefault(name, operation)) is not operation:
            raise Unreadable(operation.line, f"writes the same value to the same key as line {other.line}: causal checks need values of their own")
    sources = Sources()
    known = _trace(history, sources, writers, failed)
    for operation in history.operations:
        if operation.reads_only or operation.failed:
            continue
        if operation.prior:
            sources.prior[operation.key] += 1
            continue
        if operation.answered or operation.place in known:
            sources.writes.setdefault(operation.key, []).append(operation)
        if operation.kind == "delete":
            sources.deletes.setdefault(operation.key, []).append(operation)
    _add_refusals(history, sources, writers)
    _add_absent(history, sources)
    return sources


def _trace(history: History, sources: Sources, writers: Written, failed: Written) -> dict[int, int]:
    """Fill in the sights of all readings, and of each cas whose value was seen; return {place of a write that was seen: the moment it was known}."""
    by_version = values_by_version(history)
    known: dict[int, int] = {}
    waiting = [(reading, reading[0].returned) for reading in readings(history, by_version)]
    while waiting:
        seen: list[Operation] = []  # each cas without an answer of which is new that it swapped, or that it did so earlier
        for reading, moment in waiting:
            operation, key, value, version = reading
            if value is None:
                _add_sight(sources, operation, (key, None))
                continue
            writer = writers.get((key, value))
            if writer is None or writer.invoked > moment:
                failure = failed.get((key, value))
                if writer is None and failure is not None:
                    sources.effects_of_failed.append((reading, failure))
                sources.thin_air.append(reading)
                continue
            _add_sight(sources, operation, (key, writer))
            if version:
                sources.versions.setdefault(writer.place, version)
            if moment < known.get(writer.place, NEVER + 1):
                known[writer.place] = moment
                if writer.kind == "cas" and not writer.answered:
                    seen.append(writer)
        waiting = [(expected, known[cas.place]) for cas in seen if (expected := expectation(cas, by_version)) is not None]
    return known


def _add_sight(sources: Sources, operation: Operation, sight: Sight) -> None:
    """Add a sight; that of a cas is found again when its value is found to have been known earlier."""
    sights = sources.sights.setdefault(operation.place, [])
    if operation.kind != "cas" or not sights:
        sights.append(sight)


def values_by_version(history: History) -> dict[tuple[bytes, int], bytes]:
    """Return {(key, version): value} as reads told it; made only where a cas compares versions."""
    if not any(operation.expected_version for operation in history.operations):
        return {}
    return {(key, version): value for _, key, value, version in readings(history, {}) if version and value is not None}


def readings(history: History, by_version: dict[tuple[bytes, int], bytes]) -> Iterable[Reading]:
    """Yield what answered operations were told, in order of invocation; a cas was told what it expected."""
    for operation in history.operations:
        if operation.kind == "get":
            if operation.answered:
                yield operation, operation.key, operation.seen, operation.version
        elif operation.kind == "cas":
            expected = expectation(operation, by_version) if operation.answered else None
            if expected is not None:
                yield expected
        elif operation.kind == "scan" and operation.answered:
            for key, value, version in operation.rows:
                yield operation, key, value, version


def expectation(cas: Operation, by_version: dict[tuple[bytes, int], bytes]) -> Reading | None:
    """Return what a cas that swapped was told; None: nobody knows whose the version is that it expected."""
    version = cas.expected_version
    if version is None:
        return cas, cas.key, cas.expected, 0
    value = by_version.get((cas.key, version))
    return None if value is None else (cas, cas.key, value, version)


def _add_refusals(history: History, sources: Sources, writers: Written) -> None:
    """Add what each refused cas did not find."""
    by_version = values_by_version(history)
    for cas in history.operations:
        expected = expectation(cas, by_version) if cas.refused else None
        if expected is None:
            continue
        value = expected[2]
        if value is None:
            sources.refusals[cas.place] = None
        elif (cas.key, value) in writers:
            sources.refusals[cas.place] = writers[cas.key, value]


def _add_absent(history: History, sources: Sources) -> None:
    """Add what scans saw of keys that they did not show."""
    keys = sorted(sources.writes)
    for scan in history.operations:
        if scan.kind != "scan" or not scan.answered:
            continue
        shown = {key for key, _, _ in scan.rows}
        sights = sources.sights.setdefault(scan.place, [])
        sights.extend((keys[place], None) for place in scan.covered(keys) if keys[place] not in shown)
