"""Which write each read saw, told by its value: no two writes of a key may have written the same one.

A *sight* is what an operation saw of one key: the write it saw, or none where the key was absent. An absent key was never written, or was
deleted; which of these, a history does not tell, so that a sight of an absent key counts against a promise only if no delete explains it.

A cas that swapped saw what it expected. Versions are kept as they were told, the first for each write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from loadgen.checkers.operation import History, Operation, Process, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

Sight = tuple[bytes, Operation | None]
"""A key, and the write that was seen of it; None: the key was absent."""

Reading = tuple[Operation, bytes, bytes | None, int]
"""An operation, and what it was told: key, value, version (0 where not told)."""


@attrs.define(eq=False)
class Sources:
    """Who saw what of whom.

    Attributes:
        writes: {key: what changed it or may have, in order of invocation}. What has an unknown outcome and was never seen is not among them.
        deletes: {key: what left it absent or may have; also what has an unknown outcome, since nobody can see who it was}.
        sights: {place of an operation: what it saw}.
        versions: {place of a write: its version}, where some read told it.
        thin_air: readings of values that nobody had written by then.
        effects_of_failed: readings of values that only a failed write wrote, with that write.
    """

    writes: dict[bytes, list[Operation]] = attrs.Factory(dict)
    deletes: dict[bytes, list[Operation]] = attrs.Factory(dict)
    sights: dict[int, list[Sight]] = attrs.Factory(dict)
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
    by_version = values_by_version(history)
    sources = Sources()
    seen: set[int] = set()
    for reading in readings(history, by_version):
        operation, key, value, version = reading
        sights = sources.sights.setdefault(operation.place, [])
        if value is None:
            sights.append((key, None))
            continue
        writer = writers.get((key, value))
        if writer is None or writer.invoked > operation.returned:
            failure = failed.get((key, value))
            if writer is None and failure is not None:
                sources.effects_of_failed.append((reading, failure))
            sources.thin_air.append(reading)
            continue
        sights.append((key, writer))
        seen.add(writer.place)
        if version:
            sources.versions.setdefault(writer.place, version)
    for operation in history.operations:
        if operation.reads_only or operation.failed:
            continue
        if operation.answered or operation.place in seen:
            sources.writes.setdefault(operation.key, []).append(operation)
        if operation.kind == "delete":
            sources.deletes.setdefault(operation.key, []).append(operation)
    _add_absent(history, sources)
    return sources


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
            if not operation.answered:
                continue
            version = operation.expected_version
            if version is None:
                yield operation, operation.key, operation.expected, 0
            elif (operation.key, version) in by_version:
                yield operation, operation.key, by_version[operation.key, version], version
        elif operation.kind == "scan" and operation.answered:
            for key, value, version in operation.rows:
                yield operation, key, value, version


def _add_absent(history: History, sources: Sources) -> None:
    """Add what scans saw of keys that they did not show."""
    keys = sorted(sources.writes)
    for scan in history.operations:
        if scan.kind != "scan" or not scan.answered:
            continue
        shown = {key for key, _, _ in scan.rows}
        sights = sources.sights.setdefault(scan.place, [])
        sights.extend((keys[place], None) for place in scan.covered(keys) if keys[place] not in shown)


def with_prior_state(history: History) -> History:
    """Add, before everything else, writes of the values that were read and that nobody wrote: what was there before the history began."""
    written = {(operation.key, operation.value) for operation in history.operations if operation.value is not None}
    prior: dict[bytes, bytes] = {}
    for _, key, value, _ in readings(history, {}):
        if value is not None and (key, value) not in written:
            prior.setdefault(key, value)
    before: Process = "before"
    operations = [
        Operation(place, 0, before, "put", key, value, strong=True, number=None, invoked=-2, invoked_at=0, returned=-1, answered=True)
        for place, (key, value) in enumerate(prior.items())
    ]
    for operation in history.operations:
        operation.place += len(operations)
    return History(operations + history.operations)
