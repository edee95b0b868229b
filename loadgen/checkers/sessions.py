"""The four session guarantees (Terry et al., PDIS'94), each for itself, so that a violation has the simplest name it can have.

- *Read your writes*: a read sees the last own write of the key, or a newer one.
- *Monotonic reads*: a read sees what an earlier read of its session saw of the key, or something newer.
- *Monotonic writes*: who has seen a write sees what its session wrote before it, or something newer.
- *Writes follow reads*: who has seen a write sees what its session had read before it, or something newer.

*Older* is told by versions where both are known, else by the causal order; an absent key is older than everything unless a delete explains it.
All of these but the order of versions are part of causal convergence, which goes further: it follows what was seen through any number of sessions.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import attrs

from loadgen.checkers.causal import cyclic, in_order
from loadgen.checkers.causality import LABELS, SAW, SESSION, Causality, Chain, Clock, joined
from loadgen.checkers.operation import Operation, Process, shown
from loadgen.checkers.verdict import Counterexample, Verdict, judged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.checkers.verdict import Arrow

PROPERTY: Final = "sessions"
READ_YOUR_WRITES: Final = "read your writes"
MONOTONIC_READS: Final = "monotonic reads"
MONOTONIC_WRITES: Final = "monotonic writes"
WRITES_FOLLOW_READS: Final = "writes follow reads"


def check_sessions(causality: Causality) -> Verdict:
    """Check every session."""
    checked = sum(map(len, causality.sessions.values()))
    found = next(Guarantees(causality).violations(), None) if causality.acyclic else cyclic(causality)
    return judged(PROPERTY, checked, found)


@attrs.define(eq=False)
class Seen:
    """What a session has seen so far.

    Attributes:
        writers: {key: for each write of it that was seen and is not known to be older than another: the write, and who saw it}.
        commands: for each session, the last of its commands of which a write was seen.
        sources: for each session, the last of its commands that the sessions behind those writes had seen when they wrote.
    """

    writers: dict[bytes, list[tuple[Operation, Operation]]]
    commands: Clock
    sources: Clock


class Guarantees:
    """Checks them."""

    def __init__(self, causality: Causality) -> None:
        self._causality = causality
        self._nothing = [0] * len(causality.columns)
        self._read_before: dict[int, Clock] = {}  # {place of a command: what its session had seen when it was issued, directly}
        for process in causality.sessions:
            seen = Seen({}, self._nothing, self._nothing)
            for operation, begins in self._events(process):
                if begins and not operation.reads_only:
                    self._read_before[operation.place] = seen.commands
                if begins != operation.reads_only:
                    seen.commands = self._with_sights(seen.commands, operation)

    def violations(self) -> Iterator[Counterexample]:
        """Yield what is broken, the first of each session's operations first."""
        for process, own in self._causality.sessions.items():
            yield from self._versions(own)
            seen = Seen({}, self._nothing, self._nothing)
            for operation, begins in self._events(process):
                if begins and operation.place in self._causality.sources.sights:
                    yield from self._judge(operation, seen)
                if begins != operation.reads_only:
                    self._learn(operation, seen)

    def _events(self, process: Process) -> list[tuple[Operation, bool]]:
        """Return a session's operations twice, when they were issued (True) and when they returned."""
        own = self._causality.sessions[process]
        events = [(operation.invoked, operation, True) for operation in own]
        events += [(operation.returned, operation, False) for operation in own]
        events.sort(key=lambda event: event[0])
        return [(operation, begins) for _, operation, begins in events]

    def _with_sights(self, clock: Clock, operation: Operation) -> Clock:
        """Return a clock that knows the writes that an operation saw."""
        places, columns = self._causality.places, self._causality.columns
        for _, writer in self._causality.sources.sights.get(operation.place, ()):
            if writer is not None and clock[column := columns[writer.process]] < places[writer.place]:
                clock = clock.copy()
                clock[column] = places[writer.place]
        return clock

    def _with_their_sights(self, clock: Clock, operation: Operation) -> Clock:
        """Return a clock that knows what the sessions behind those writes had seen."""
        for _, writer in self._causality.sources.sights.get(operation.place, ()):
            if writer is not None and (before := self._read_before.get(writer.place)) and before is not self._nothing:
                clock = list(map(max, clock, before))
        return clock

    def _learn(self, operation: Operation, seen: Seen) -> None:
        for key, writer in self._causality.sources.sights.get(operation.place, ()):
            if writer is not None:
                known = seen.writers.get(key, [])
                if all(writer is not other for other, _ in known):
                    seen.writers[key] = [(other, by) for other, by in known if not self._older(other, writer)] + [(writer, operation)]
        seen.commands = self._with_sights(seen.commands, operation)
        seen.sources = self._with_their_sights(seen.sources, operation)

    def _older(self, a: Operation, b: Operation) -> bool:
        """Whether a write of a key is known to come before another one."""
        versions = self._causality.sources.versions
        first, second = versions.get(a.place), versions.get(b.place)
        return first < second if first and second else self._causality.precedes(a, b)

    # ------------------------------------------------------------------------------------------------------------------------ judging

    def _judge(self, reader: Operation, seen: Seen) -> Iterator[Counterexample]:
        causality = self._causality
        sights = [
            (key, writer)
            for key, writer in causality.sources.sights[reader.place]
            if key in causality.contested or (writer is None and key in causality.chains)
        ]
        if not sights:
            return  # nothing else was ever written there
        commands, sources = self._with_sights(seen.commands, reader), self._with_their_sights(seen.sources, reader)
        own = causality.columns.get(reader.process, -1)
        issued = causality.places[reader.place] - 1 if not reader.reads_only else 0
        if (last := causality.last_issued.get(reader.place)) is not None:
            issued = causality.places[last.place]
        for key, writer in sights:
            for before, by in seen.writers.get(key, ()):
                if self._misses(reader, key, writer, before):
                    yield self._told(MONOTONIC_READS, reader, writer, before, [(before, by, LABELS[SAW]), (by, reader, LABELS[SESSION])])
            for chain in causality.chains.get(key, ()):
                if chain[0] == own and (write := _last(chain, issued)) and self._misses(reader, key, writer, write):
                    yield self._told(READ_YOUR_WRITES, reader, writer, write, [(write, reader, LABELS[SESSION])])
                for clock, guarantee in ((commands, MONOTONIC_WRITES), (sources, WRITES_FOLLOW_READS)):
                    write = _last(chain, clock[chain[0]])
                    if write is not None and self._misses(reader, key, writer, write):
                        yield self._told(guarantee, reader, writer, write, causality.graph.path(write.place, reader.place))

    def _misses(self, reader: Operation, key: bytes, saw: Operation | None, expected: Operation) -> bool:
        """Whether a reader saw something older than a write."""
        if expected is saw or expected is reader:
            return False
        if saw is not None:
            return self._older(saw, expected)
        if expected.prior and not expected.strong:
            return False  # only strong operations tell which value was the last one before the history: it may have been deleted then
        return expected.kind != "delete" and not self._causality.explains_absence(key, reader, self._causality.clocks[reader.place])

    def _told(self, guarantee: str, reader: Operation, saw: Operation | None, expected: Operation, arrows: list[Arrow]) -> Counterexample:
        why = f"{shown(saw.value) if saw else 'nothing'} was read of key {shown(expected.key)}, which is older than {shown(expected.value)}"
        older: list[Arrow] = []
        if saw is not None:
            versions = self._causality.sources.versions
            if saw.place in versions and expected.place in versions:
                older = [(saw, expected, f"versions {versions[saw.place]} and {versions[expected.place]}, as others read")]
            else:
                older = self._causality.graph.path(saw.place, expected.place)
            older = joined(older, [(saw, reader, LABELS[SAW])])
        return in_order(guarantee, why, joined(older, arrows))

    def _versions(self, own: list[Operation]) -> Iterator[Counterexample]:
        """Yield a session's writes of one key whose versions are not in its order."""
        versions, by_key = self._causality.sources.versions, dict[bytes, list[Operation]]()
        for operation in own:
            if operation.place in versions and not operation.prior:
                by_key.setdefault(operation.key, []).append(operation)
        for writes in by_key.values():
            writes.sort(key=lambda write: self._causality.places[write.place])
            for a, b in pairwise(writes):
                if versions[a.place] >= versions[b.place]:
                    why = f"the later write has version {versions[b.place]}, the earlier {versions[a.place]}"
                    yield in_order(MONOTONIC_WRITES, why, [(a, b, LABELS[SESSION])])


def _last(chain: Chain, number: int) -> Operation | None:
    """Return a session's last write of the chain's key up to one of its commands."""
    _, places, writes = chain
    at = bisect_right(places, number)
    return writes[at - 1] if at else None
