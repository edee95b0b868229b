"""What a key can have held where an operation was told only what it did not hold: a refused cas, and a reader that found a key absent.

Theory. Where a refused cas stands in the one order, the key held what some write left, or what it began with; not what the cas expected. A write is
out of the question if another one is known to come between it and the cas, or if it is known to come after the cas. If nothing is left, no order
explains the refusal; if one is left, that one was there, as if the cas had read it. The same holds of an absent key, which some delete left, or
which nobody had written yet.

What comes before what is asked of clocks. A session's commands form a chain, so what is out of the question because of a later write is a
beginning of each session's writes, and what comes after the cas is an end of them.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import attrs

from loadgen.checkers.operation import Operation, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadgen.checkers.causality import Causality, Clock

INITIAL: Final = -1
"""Among what may have been there: what the key held when the history began."""


@attrs.define(eq=False)
class Doubt:
    """Something that an operation was told of a key.

    Attributes:
        reader: who was told.
        key: of what.
        deletes, others: whether it may have been a delete that left what was there; whether it may have been another write.
        initial: whether it may have been what the key began with.
        unlike: the write that was expected, and was not there.
    """

    reader: Operation
    key: bytes
    deletes: bool
    others: bool
    initial: bool
    unlike: Operation | None = None

    @property
    def why(self) -> str:
        """What is wrong if nothing can have been there, in words."""
        key = shown(self.key)
        if self.reader.refused:
            expected = "absent" if self.unlike is None else shown(self.unlike.value)
            return f"a cas that expected key {key} to be {expected} was refused, and nothing else can have been there"
        return f"key {key} was absent although it was written before, and no delete can have come in between"


@attrs.define(eq=False)
class _Row:
    """A session's writes of a key, of one sort: deletes, or all others; also those of which nobody knows whether they took effect."""

    column: int
    places: list[int]
    writes: list[Operation]
    earliest: list[int]  # [place here: the first moment at which this one or a later one was invoked]


class Doubts:
    """All of a history's, and who may explain them.

    Attributes:
        open: those that more than one write may explain, as far as is known.
    """

    def __init__(self, causality: Causality) -> None:
        self._causality = causality
        sources = causality.sources
        self.open: list[Doubt] = []
        for place, sights in sources.sights.items():
            reader = causality.history.operations[place]
            self.open += [
                Doubt(reader, key, deletes=True, others=False, initial=True)
                for key, writer in sights
                if writer is None and key in sources.deletes and key in sources.writes
            ]
        for place, unlike in sources.refusals.items():
            cas, absent = causality.history.operations[place], unlike is None
            self.open.append(Doubt(cas, cas.key, not absent, others=True, initial=not absent or not causality.history.begins_empty, unlike=unlike))
        self._rows: dict[tuple[bytes, bool], list[_Row]] = {}
        if self.open:
            self._sort({doubt.key for doubt in self.open})

    def _sort(self, keys: set[bytes]) -> None:
        causality, never = self._causality, self._never()
        chains: dict[tuple[bytes, bool], dict[int, list[Operation]]] = {}
        for process, own in causality.sessions.items():
            for write in own:
                if write.key in keys and not (write.reads_only or write.failed or write.prior or write.place in never):
                    chains.setdefault((write.key, write.kind == "delete"), {}).setdefault(causality.columns[process], []).append(write)
        for name, rows in chains.items():
            self._rows[name] = [self._row(column, writes) for column, writes in rows.items()]

    def _never(self) -> set[int]:
        """Return the places of cas commands without an answer that cannot have swapped: they expected what nobody wrote, or one of these alone."""
        history, found = self._causality.history, set[int]()
        if not history.begins_empty:
            return found
        changes = [each for each in history.operations if each.value is not None and not each.failed]
        written = {(each.key, each.value) for each in changes}
        waiting = [each for each in changes if each.kind == "cas" and not each.answered and each.expected is not None]
        while lost := [cas for cas in waiting if (cas.key, cas.expected) not in written and cas.place not in found]:
            found |= {cas.place for cas in lost}
            written -= {(cas.key, cas.value) for cas in lost}
        return found

    def _row(self, column: int, writes: list[Operation]) -> _Row:
        places = self._causality.places
        writes.sort(key=lambda write: places[write.place])
        earliest = list(accumulate((write.invoked for write in reversed(writes)), min))[::-1]
        return _Row(column, [places[write.place] for write in writes], writes, earliest)

    def left(self, doubt: Doubt, past: Sequence[Operation], clocks: Sequence[Clock]) -> list[Operation | int]:
        """Return what may have been there, no more than two of it: writes, ``INITIAL``.

        Args:
            doubt: one of them.
            past: each session's last write of the key that is known to come before the reader, and to have taken effect.
            clocks: which commands come before which, by place.
        """
        overwritten = self._overwritten(past, clocks)
        found: list[Operation | int] = [INITIAL] if doubt.initial and not past else []
        for write in self._candidates(doubt, overwritten, clocks):
            found.append(write)
            if len(found) > 1:
                break
        return found

    def _candidates(self, doubt: Doubt, overwritten: Clock, clocks: Sequence[Clock]) -> Iterable[Operation]:
        reader, places, columns = doubt.reader, self._causality.places, self._causality.columns
        number, column = places[reader.place], columns.get(reader.process, 0)  # number 0: a get or a scan, which clocks do not tell
        for deletes in (False, True):
            for row in self._rows.get((doubt.key, deletes), ()) if (doubt.deletes if deletes else doubt.others) else ():
                for at in range(bisect_right(row.places, overwritten[row.column]), len(row.writes)):
                    write = row.writes[at]
                    if row.earliest[at] > reader.returned or (number and clocks[write.place][column] >= number):
                        break  # this one comes after the reader, and so do all behind it
                    if write is not doubt.unlike and write.invoked < reader.returned:
                        yield write

    def _overwritten(self, past: Sequence[Operation], clocks: Sequence[Clock]) -> Clock:
        """Return, for each session, which of its writes of a key come before one of these."""
        places, columns = self._causality.places, self._causality.columns
        found = [0] * len(columns)
        for write in past:
            found = list(map(max, found, clocks[write.place]))
        for write in past:
            column = columns[write.process]
            if found[column] == places[write.place]:
                others = (clocks[other.place][column] for other in past if other is not write)
                found[column] = max([places[write.place] - 1, *others])
        return found

    def passed(self, doubt: Doubt, past: Sequence[Operation], clocks: Sequence[Clock]) -> list[tuple[Operation, Operation]]:
        """Return each session's last write that is out of the question because of one of these, and that one."""
        found: list[tuple[Operation, Operation]] = []
        overwritten = self._overwritten(past, clocks)
        for deletes in (False, True):
            for row in self._rows.get((doubt.key, deletes), ()) if (doubt.deletes if deletes else doubt.others) else ():
                at = bisect_right(row.places, overwritten[row.column])
                if at:
                    by = next(each for each in past if each is not row.writes[at - 1] and clocks[each.place][row.column] >= row.places[at - 1])
                    found.append((row.writes[at - 1], by))
        return found
