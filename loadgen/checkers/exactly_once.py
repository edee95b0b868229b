"""Exactly once: a command takes effect once however often it was sent, and what was reported as failed took none.

Values are unique and versions are positions in the log, so that a command that took effect twice shows: its value with two versions, one
value that two cas commands replaced, one of a version that nothing had, or a value that a failed command wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadgen.checkers.operation import Operation, shown
from loadgen.checkers.sources import readings
from loadgen.checkers.verdict import Counterexample, Verdict, judged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.checkers.operation import History
    from loadgen.checkers.sources import Sources

PROPERTY: Final = "exactly-once"


def check_exactly_once(history: History, sources: Sources) -> Verdict:
    """Check what reads and cas commands tell of each write."""
    checked = sum(not operation.reads_only for operation in history.operations)
    return judged(PROPERTY, checked, next(_violations(history, sources), None))


def _violations(history: History, sources: Sources) -> Iterator[Counterexample]:
    for (reader, key, value, _), failed in sources.effects_of_failed:
        why = f"{shown(value)} was read of key {shown(key)}, and the command that wrote it was told to have had no effect"
        yield Counterexample("effect of a failed command", why, [failed, reader])
    yield from _versions(history)
    yield from _replaced_twice(history, sources)
    yield from _backwards(history, sources)
    yield from _of_no_version(history, sources)


def _versions(history: History) -> Iterator[Counterexample]:
    """One value has one version, and one version of a key one value."""
    versions: dict[tuple[bytes, bytes], tuple[int, Operation]] = {}
    values: dict[tuple[bytes, int], tuple[bytes, Operation]] = {}
    writers = {(write.key, write.value): write for write in history.operations if write.value is not None and not write.failed}
    for reader, key, value, version in readings(history, {}):
        if not version or value is None or not reader.reads_only:
            continue
        first, other = versions.setdefault((key, value), (version, reader))
        if first != version:
            why = f"{shown(value)} of key {shown(key)} has version {first} here and {version} there: it took effect twice"
            yield Counterexample("two versions of one write", why, [each for each in (writers.get((key, value)), other, reader) if each])
        known, other = values.setdefault((key, version), (value, reader))
        if known != value:
            why = f"version {version} of key {shown(key)} is {shown(known)} here and {shown(value)} there"
            yield Counterexample("two writes of one version", why, [other, reader])


def _replaced_twice(history: History, sources: Sources) -> Iterator[Counterexample]:
    """What a cas replaced never comes back, so that no other cas replaces it."""
    replaced: dict[tuple[bytes, int], Operation] = {}
    for place, sights in sources.sights.items():
        cas = history.operations[place]
        if cas.kind != "cas":
            continue
        for key, writer in sights:
            if writer is None and key in sources.deletes:
                continue  # it may have been absent several times
            other = replaced.setdefault((key, writer.place if writer else -1), cas)
            if other is not cas:
                what = shown(writer.value) if writer else "nothing"
                why = f"both replaced {what} of key {shown(key)}"
                yield Counterexample("one value replaced twice", why, [*([writer] if writer else []), other, cas])


def _backwards(history: History, sources: Sources) -> Iterator[Counterexample]:
    """What a cas left has a greater version than what it replaced."""
    for place, sights in sources.sights.items():
        cas = history.operations[place]
        version = sources.versions.get(place, 0)
        for _, writer in sights if cas.kind == "cas" and version else ():
            if writer is not None and sources.versions.get(writer.place, 0) > version:
                why = f"version {sources.versions[writer.place]} was replaced by version {version}"
                yield Counterexample("a cas that took effect before what it replaced", why, [writer, cas])


def _of_no_version(history: History, sources: Sources) -> Iterator[Counterexample]:
    """What a cas found by its version was written: by a command whose version is known to be that one, or whose version nobody was told.

    A delete leaves no version. Where the store may have held something before, anything may have had it.
    """
    swapped = [write for writes in sources.writes.values() for write in writes if write.expected_version is not None]
    if not swapped or not history.begins_empty:
        return
    told: dict[tuple[bytes, int], list[Operation]] = {}
    untold: dict[bytes, list[Operation]] = {}  # in order of invocation
    for write in history.operations:
        if write.value is None or write.failed:
            continue
        if version := sources.versions.get(write.place):
            told.setdefault((write.key, version), []).append(write)
        else:
            untold.setdefault(write.key, []).append(write)
    for cas in swapped:
        candidates = [*told.get((cas.key, cas.expected_version or 0), ()), *untold.get(cas.key, ())[:2]]  # one of two first ones may be the cas
        if not any(write is not cas and write.invoked < cas.returned for write in candidates):
            why = f"version {cas.expected_version} of key {shown(cas.key)} was replaced, and no write can have had it"
            yield Counterexample("a cas that replaced what nobody wrote", why, [cas])
