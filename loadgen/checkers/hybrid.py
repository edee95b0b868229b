"""Hybrid compatibility: one order of the strong operations and all writes that agrees with causality, real time and every answer.

Theory (Attiya & Friedman's hybrid consistency, with causality between all operations; docs/protocol.md has what is promised): each of the
other checkers may be content while no single order satisfies them all. So everything that must come before something else goes into one graph,
and a cycle is a violation:

- the causal order: session order and "saw";
- real time from strong operations to strong ones and to writes: a causal write takes effect after its invocation, at any moment;
- the order of a key's writes as versions tell it, and a strong read before the next of them;
- what follows: a write that must come before a strong read, or causally before a causal one, comes before the write that was read; what must
  come after the write that a strong read saw comes after that read. New edges may have consequences of their own, so this is repeated until
  nothing is new;
- what a refused cas must have found instead, and which delete left a key absent, where only one write can have (``loadgen.checkers.doubts``): it
  took effect, and whoever read it must not read anything older later (``loadgen.checkers.settled``).

A causal read stands only between what it saw and what its session did next: it may be late, so nothing says which writes it precedes.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from loadgen.checkers.causal import conflicts, cyclic, in_order, thin_air
from loadgen.checkers.causality import BEFORE, OVERWRITES, REAL_TIME, Causality, Clock, Graph, joined
from loadgen.checkers.doubts import Doubt, Doubts
from loadgen.checkers.operation import NEVER, Operation
from loadgen.checkers.settled import Settled
from loadgen.checkers.verdict import Counterexample, Verdict, judged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadgen.checkers.settled import Edge

PROPERTY: Final = "hybrid"
NO_ORDER: Final = "no common order"


def check_hybrid(causality: Causality) -> Verdict:
    """Look for a cycle."""
    checked = sum(map(len, causality.sessions.values()))
    return judged(PROPERTY, checked, _violation(causality))


def _violation(causality: Causality) -> Counterexample | None:
    if causality.sources.thin_air:  # no order has an answer that nobody can have given
        return thin_air(causality.sources.thin_air[0], causality)
    if not causality.acyclic:
        return cyclic(causality)
    edges, stale = conflicts(causality)
    if stale is not None:
        return stale
    order = Order(causality)
    for a, b in edges:
        order.add(a, b, OVERWRITES)
    clocks: list[Clock] | None = None
    new: set[int] = set()
    while True:  # each round adds an edge, and there are only so many; two or three rounds are usual
        nodes = order.graph.order()
        if nodes is None:
            return in_order(NO_ORDER, "what must come before what goes round in a circle", order.graph.cycle())
        clocks, first = causality.clocks_over(order.graph, nodes, clocks, new), clocks is None
        new = order.infer(clocks, None if first else new)
        if order.inexplicable is not None:
            return order.inexplicable
        if not new:
            return None


class Order:
    """The graph.

    Attributes:
        graph: itself.
        inexplicable: what no write can explain, once ``infer`` has come across such.
    """

    def __init__(self, causality: Causality) -> None:
        self._causality = causality
        self.graph = Graph(causality.history.operations, [list(before) for before in causality.graph.before])
        self._added: set[tuple[int, int]] = set()
        self._strong = [operation for own in causality.sessions.values() for operation in own if operation.strong]
        self._strong.sort(key=lambda operation: operation.place)
        self.inexplicable: Counterexample | None = None
        self._settled = Settled(causality)
        self._doubts = Doubts(causality)
        self._real_time()
        self._by_version()

    def add(self, a: int, b: int, kind: int) -> bool:
        """Order two operations; return whether that is new."""
        if (a, b) in self._added:
            return False
        self._added.add((a, b))
        self.graph.edge(a, b, kind)
        return True

    def _real_time(self) -> None:
        """Order strong operations before what was invoked after they returned, strong operations and writes, by a chain of moments."""
        returned = sorted((operation for operation in self._strong if operation.returned != NEVER), key=lambda operation: operation.returned)
        timed = [operation for own in self._causality.sessions.values() for operation in own if operation.strong or not operation.reads_only]
        moment, at = -1, 0
        for operation in sorted(timed, key=lambda operation: operation.place):
            if at < len(returned) and returned[at].returned < operation.invoked:
                following = self.graph.node()
                if moment >= 0:
                    self.graph.edge(moment, following, REAL_TIME)
                moment = following
                while at < len(returned) and returned[at].returned < operation.invoked:
                    self.graph.edge(returned[at].place, moment, REAL_TIME)
                    at += 1
            if moment >= 0:
                self.graph.edge(moment, operation.place, REAL_TIME)

    def _by_version(self) -> None:
        """Order each key's writes as versions tell, and strong reads before what they had not seen."""
        sources = self._causality.sources
        following: dict[int, Operation] = {}
        for writes in sources.writes.values():
            known = sorted((write for write in writes if write.place in sources.versions), key=lambda write: sources.versions[write.place])
            for a, b in pairwise(known):
                self.add(a.place, b.place, OVERWRITES)
                following[a.place] = b
        for reader in self._strong:
            for key, writer in sources.sights.get(reader.place, ()):
                if writer is None and key not in sources.deletes:
                    self._follow(self._settled.found_as_it_began(reader, key))
                elif writer is not None and writer.place in following and following[writer.place] is not reader:
                    self.add(reader.place, following[writer.place].place, BEFORE)

    def infer(self, clocks: list[Clock], changed: set[int] | None = None) -> set[int]:
        """Add what follows for strong reads and for doubts; return where the new edges end.

        Args:
            clocks: over the graph as it is.
            changed: places of operations and moments whose clocks may be others than last time; None: all are new.
        """
        causality, new = self._causality, set[int]()
        places, columns, operations = causality.places, causality.columns, causality.history.operations
        moved = {operations[place].key for place in changed or () if place < len(operations) and not operations[place].reads_only}
        self._settle(clocks, new, changed, moved)
        known = self._settled.causality
        for reader in self._strong:
            for key, writer in known.sources.sights.get(reader.place, ()):
                if writer is None or key not in known.contested:
                    continue
                if changed is not None and reader.place not in changed and key not in moved:
                    continue
                past, column, number = clocks[writer.place], columns[writer.process], places[writer.place]
                for write in known.latest(key, clocks[reader.place], reader):
                    told = write is writer or past[columns[write.process]] >= places[write.place]
                    if not told and self.add(write.place, writer.place, OVERWRITES):
                        new.add(writer.place)
                for _, _, writes in known.chains.get(key, ()):
                    at = bisect_left(writes, number, key=lambda write: clocks[write.place][column])
                    at += at < len(writes) and writes[at] is writer
                    if at < len(writes) and writes[at] is not reader and self.add(reader.place, writes[at].place, BEFORE):
                        new.add(writes[at].place)
        return new

    def _settle(self, clocks: list[Clock], new: set[int], changed: set[int] | None, moved: set[bytes]) -> None:
        """Look for doubts that only one write can explain, or none; the edges of the former are new."""
        known, doubts, still = self._settled.causality, self._doubts, list[Doubt]()
        for doubt in doubts.open:
            reader, key = doubt.reader, doubt.key
            if changed is not None and reader.place not in changed and key not in moved:
                still.append(doubt)
                continue
            past = list(known.latest(key, (clocks if reader.strong else known.clocks)[reader.place], reader))
            left = doubts.left(doubt, past, clocks)
            if len(left) > 1:
                still.append(doubt)
            elif left:
                self._explained(doubt, left[0], past, new)
            else:
                self.inexplicable = self._without_reason(doubt, past, clocks)
                return
        doubts.open = still + self._settled.raised
        self._look_again(new)

    def _explained(self, doubt: Doubt, found: Operation | int, past: list[Operation], new: set[int]) -> None:
        """Take note of what was there."""
        reader, key = doubt.reader, doubt.key
        if isinstance(found, Operation):
            new |= self._follow(self._settled.saw(reader, found))
            new |= self._follow((write, found, OVERWRITES) for write in past if write is not found)
        elif reader.strong:
            new |= self._follow(self._settled.found_as_it_began(reader, key))

    def _follow(self, edges: Iterable[Edge]) -> set[int]:
        """Add edges; return where the new ones end."""
        return {b.place for a, b, kind in edges if self.add(a.place, b.place, kind)}

    def _look_again(self, new: set[int]) -> None:
        """Look what follows from what is known to have been seen and to have taken effect, now that doubts are settled."""
        settled = self._settled
        changed = settled.look_again()
        new |= changed | settled.happened
        edges, self.inexplicable = conflicts(settled.causality, None if settled.happened else changed)
        new |= {b for a, b in edges if self.add(a, b, OVERWRITES)}
        settled.happened, settled.raised = set(), []

    def _without_reason(self, doubt: Doubt, past: list[Operation], clocks: list[Clock]) -> Counterexample:
        reader, path = doubt.reader, self.graph.path
        passed = [path(a.place, b.place) for a, b in self._doubts.passed(doubt, past, clocks)]
        arrows = joined(*passed, *(path(write.place, reader.place) for write in past))
        return in_order(NO_ORDER, doubt.why, arrows) if arrows else Counterexample(NO_ORDER, doubt.why, [reader])
