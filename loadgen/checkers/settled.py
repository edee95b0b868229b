"""What is known of a history once doubts are settled: more was seen, and more took effect, than anybody was told.

If one write alone can explain what an operation was told, that one took effect whatever became of it, and was seen. So it has all the consequences
that it would have had if somebody had been told: a cas that took effect saw what it expected, a strong reader that found the key as it began comes
before the write, and the causal past of whoever saw it is larger than session order and answers alone tell.

Only what was seen enlarges a causal past. The other edges of the one order (real time, versions, what was overwritten) are no visibility, so that
there are clocks for each of both.
"""

from __future__ import annotations

from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING

import attrs

from loadgen.checkers.causality import BEFORE, SAW, Causality, Graph
from loadgen.checkers.doubts import Doubt
from loadgen.checkers.sources import expectation, values_by_version

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from loadgen.checkers.operation import Operation
    from loadgen.checkers.sources import Written

Edge = tuple["Operation", "Operation", int]
"""What comes before what, and why."""


class Settled:
    """A causality that grows.

    Attributes:
        causality: of all that is known by now; its clocks are those of ``look_again``.
        raised: doubts that came up since somebody took them: of cas commands that are known now to have swapped, and found the key absent.
        happened: places of writes that are known since then to have taken effect.
    """

    def __init__(self, causality: Causality) -> None:
        self.causality = copy(causality)
        self.causality.sources = attrs.evolve(causality.sources, sights=dict(causality.sources.sights))
        self.causality.contested, self.causality.chains = set(causality.contested), dict(causality.chains)
        self.raised: list[Doubt] = []
        self.happened: set[int] = set()
        self._known = {write.place for writes in causality.sources.writes.values() for write in writes}
        self._as_it_began: dict[bytes, list[Operation]] = {}
        self._seen: set[int] = set()  # places of those whose causal past has grown since the clocks were made
        self._copied = False

    def found_as_it_began(self, reader: Operation, key: bytes) -> Iterator[Edge]:
        """Take note that a strong operation found a key as it began; yield what follows."""
        self._as_it_began.setdefault(key, []).append(reader)
        for _, _, writes in self.causality.chains.get(key, ()):
            yield from ((reader, write, BEFORE) for write in writes if write is not reader)

    def saw(self, reader: Operation, write: Operation) -> Iterator[Edge]:
        """Take note that an operation saw a write, that it took effect therefore, and what that one saw if it is a cas; yield what follows."""
        waiting = [(reader, write)]
        sights = self.causality.sources.sights
        for by, seen in waiting:  # the list grows meanwhile
            key = seen.key
            told = [sight for sight in sights.get(by.place, ()) if sight != (key, None)]  # which delete it was is known now
            sights[by.place] = [*told, (key, seen)]
            self._edge(seen, by)
            yield seen, by, SAW
            if self._takes_effect(seen):
                yield from ((each, seen, BEFORE) for each in self._as_it_began.get(key, ()) if each is not seen)
                if seen.kind == "cas":
                    expected = yield from self._expected(seen)
                    waiting += [(seen, each) for each in expected]

    def _takes_effect(self, write: Operation) -> bool:
        """Return whether that is new."""
        if write.prior or write.place in self._known:
            return False
        self._known.add(write.place)
        self.happened.add(write.place)
        causality, key = self.causality, write.key
        causality.contested.add(key)
        causality.chains[key] = causality.chained([*(each for _, _, writes in causality.chains.get(key, ()) for each in writes), write])
        return True

    def _expected(self, cas: Operation) -> Generator[Edge, None, list[Operation]]:
        """Return whose value a cas replaced that has turned out to have swapped; where it found no value, yield what follows."""
        found = expectation(cas, self._by_version)
        if found is None:  # nobody knows whose the version is
            return []
        key, value = cas.key, found[2]
        if value is not None:
            writer = self._writers.get((key, value))
            return [] if writer is None else [writer]  # nobody: it was there before the history
        sources = self.causality.sources
        sources.sights[cas.place] = [(key, None)]
        if key in sources.deletes:
            self.raised.append(Doubt(cas, key, deletes=True, others=False, initial=True))
        else:
            yield from self.found_as_it_began(cas, key)
        return []

    def _edge(self, write: Operation, reader: Operation) -> None:
        causality = self.causality
        if not self._copied:
            causality.graph = Graph(causality.history.operations, [list(before) for before in causality.graph.before])
            causality.clocks, self._copied = list(causality.clocks), True
        causality.graph.edge(write.place, reader.place, SAW)
        self._seen.add(reader.place)

    def look_again(self) -> set[int]:
        """Compute the clocks again after something was seen; return the places of which they may be others now.

        Where what was seen goes round in a circle they stay as they are: the one order has the same circle.
        """
        changed, self._seen = self._seen, set()
        order = self.causality.graph.order() if changed else None
        if order is not None:
            self.causality.clocks_over(self.causality.graph, order, self.causality.clocks, changed)
        return changed

    @cached_property
    def _by_version(self) -> dict[tuple[bytes, int], bytes]:
        return values_by_version(self.causality.history)

    @cached_property
    def _writers(self) -> Written:
        operations = self.causality.history.operations
        return {(each.key, each.value): each for each in operations if each.value is not None and not each.failed}
