"""Causal convergence of all operations, by looking for bad patterns.

A history in which every value is written once is causally convergent if and only if it shows none of these (Bouajjani, Enea, Guerraoui & Hamza,
"On verifying causal consistency", POPL'17):

- *CyclicCO*: session order and "saw" make a circle.
- *ThinAirRead*: a value was read that nobody had written.
- *WriteCOInitRead*: a key was absent although a write of it comes causally before.
- *WriteCORead*: an older value was read although a newer write comes causally before the read.
- *CyclicCF*: two reads saw writes in orders that contradict each other and causality, so that no one order of the writes explains all.

It includes the four session guarantees, and causality across sessions and keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadgen.checkers.causality import LABELS, OVERWRITES, SAW, Causality, Graph, joined
from loadgen.checkers.operation import Operation, shown
from loadgen.checkers.verdict import Arrow, Counterexample, Verdict, judged

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from loadgen.checkers.sources import Reading

PROPERTY: Final = "causal"


def check_causal(causality: Causality) -> Verdict:
    """Look for each pattern in turn."""
    checked = sum(map(len, causality.sessions.values()))
    return judged(PROPERTY, checked, _violation(causality))


def _violation(causality: Causality) -> Counterexample | None:
    if causality.sources.thin_air:
        return thin_air(causality.sources.thin_air[0], causality)
    if not causality.acyclic:
        return cyclic(causality)
    edges, found = conflicts(causality)
    if found is not None:
        return found
    graph = Graph(causality.history.operations, [list(before) for before in causality.graph.before])
    for a, b in edges:
        graph.edge(a, b, OVERWRITES)
    if graph.order() is None:
        why = "no one order of the writes explains what was read"
        return in_order("CyclicCF", why, graph.cycle())
    return None


def conflicts(causality: Causality, among: AbstractSet[int] | None = None) -> tuple[set[tuple[int, int]], Counterexample | None]:
    """Return which writes must come before which others because a read saw the others (places), and a stale read if there is one.

    Args:
        causality: of the history.
        among: places of the readers to look at; None: all.
    """
    operations, edges = causality.history.operations, set[tuple[int, int]]()
    for place, sights in causality.sources.sights.items():
        if among is not None and place not in among:
            continue
        reader, clock = operations[place], causality.clocks[place]
        for key, writer in sights:
            if writer is not None and key not in causality.contested:
                continue
            missed: list[Operation] = []
            for write in causality.latest(key, clock, reader):
                if write is writer:
                    continue
                if writer is None:
                    if write.kind != "delete" and not causality.explains_absence(key, reader, clock):
                        missed.append(write)
                elif causality.precedes(writer, write):
                    missed.append(write)
                else:
                    edges.add((write.place, writer.place))
            if missed:
                return set(), min((_stale(causality, reader, writer, write) for write in missed[:_TRIES]), key=lambda each: len(each.operations))
    return edges, None


_TRIES: Final = 8
"""Writes that a read missed, of which the one with the shortest story is told."""


def cyclic(causality: Causality) -> Counterexample:
    """Tell a cycle of the causal order."""
    return in_order("CyclicCO", "what was seen goes round in a circle", causality.graph.cycle())


def thin_air(reading: Reading, causality: Causality) -> Counterexample:
    """Tell a value from nowhere."""
    reader, key, value, _ = reading
    later = [write for write in causality.history.operations if write.key == key and write.value == value and write.value is not None]
    why = f"{shown(value)} was read of key {shown(key)}, and " + ("was written only later" if later and not later[0].failed else "nobody wrote it")
    return Counterexample("ThinAirRead", why, [reader, *later[:1]])


def in_order(pattern: str, why: str, arrows: list[Arrow]) -> Counterexample:
    """Tell a violation by its arrows alone."""
    operations = {operation.place: operation for a, b, _ in arrows for operation in (a, b)}
    return Counterexample(pattern, why, list(operations.values()), arrows)


def _stale(causality: Causality, reader: Operation, writer: Operation | None, write: Operation) -> Counterexample:
    graph, key = causality.graph, shown(write.key)
    if writer is None:
        why = f"key {key} was absent although {shown(write.value)} comes causally before"
        return in_order("WriteCOInitRead", why, graph.path(write.place, reader.place))
    why = f"{shown(writer.value)} was read of key {key} although the newer {shown(write.value)} comes causally before"
    arrows = joined(graph.path(writer.place, write.place), graph.path(write.place, reader.place), [(writer, reader, LABELS[SAW])])
    return in_order("WriteCORead", why, arrows)
