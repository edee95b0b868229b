"""The causal order of a history: session order and "saw", closed under transitivity.

Session order (docs/protocol.md): logged commands of a session are ordered by number. A read comes after every command of its session that was
issued before it, and before everything that is issued after it returned; what is issued while it is in flight is concurrent with it.

Theory. Commands of a session form a chain, so the causal past of anything is, for each session, a beginning of its chain: one number for each
session, a clock. Clocks are computed in one pass over a topological order. Reads that returned before an operation was issued are joined by
*moments*, nodes of the graph that stand for "everything of this session that has returned by now", so that the graph stays linear in the
history.

What was there before the history comes before everything that anybody asked for, and has no order of its own; it is no part of clocks.

Rejected: the closure as bit sets (quadratic), comparing versions for each key (it misses causality across keys).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Final

import attrs

from loadgen.checkers.operation import NEVER, History, Operation, Process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from loadgen.checkers.sources import Sources
    from loadgen.checkers.verdict import Arrow

SESSION, SAW, REAL_TIME, OVERWRITES, BEFORE = range(5)
LABELS: Final = ("same session", "saw it", "had returned before it began", "was overwritten by it", "did not see it yet")
"""Why one comes before the other, to be read after ``a before b:``, by kind of edge."""

_KIND_BITS: Final = 3
_KIND: Final = (1 << _KIND_BITS) - 1

Clock = list[int]
"""For each session, how many of its commands come before."""

Chain = tuple[int, list[int], list[Operation]]


@attrs.define(eq=False)
class Graph:
    """A directed graph over operations (nodes below ``len(operations)``) and moments (the rest).

    Edges are packed: ``node << 3 | kind``.
    """

    operations: Sequence[Operation]
    before: list[list[int]] = attrs.Factory(list)
    after: list[list[int]] = attrs.Factory(list)  # the same edges the other way round, without kinds, as of the last call of ``order``

    def node(self) -> int:
        """Add a moment."""
        self.before.append([])
        return len(self.before) - 1

    def edge(self, a: int, b: int, kind: int) -> None:
        """Order a before b."""
        self.before[b].append(a << _KIND_BITS | kind)

    def order(self) -> list[int] | None:
        """Return the nodes in an order that follows all edges, None if there is a cycle."""
        after = self.after = self._turned()
        waiting = [len(edges) for edges in self.before]
        ready = [node for node, count in enumerate(waiting) if not count]
        for node in ready:
            for following in after[node]:
                waiting[following] -= 1
                if not waiting[following]:
                    ready.append(following)  # the list is the queue
        return ready if len(ready) == len(self.before) else None

    def _turned(self) -> list[list[int]]:
        after: list[list[int]] = [[] for _ in self.before]
        for node, edges in enumerate(self.before):
            for edge in edges:
                after[edge >> _KIND_BITS].append(node)
        return after

    def cycle(self) -> list[Arrow]:
        """Return a shortest cycle among those through one of its nodes; there must be one."""
        left = self._on_cycles()
        best: list[Arrow] = []
        for tries, node in enumerate(sorted(left)):
            if node >= len(self.operations) or (best and tries >= _CYCLE_TRIES):
                break
            path = self.path(node, node, left)
            if path and (not best or len(path) < len(best)):
                best = path
        assert best
        return best

    def _on_cycles(self) -> set[int]:
        """Return nodes of which each reaches another one of them, and is reached: cycles and what lies between them."""
        left = set(range(len(self.before)))
        forward = self._turned()
        backward = [[edge >> _KIND_BITS for edge in edges] for edges in self.before]
        for out, into in ((forward, backward), (backward, forward)):
            counts = [sum(other in left for other in out[node]) if node in left else 0 for node in range(len(self.before))]
            dead = [node for node in left if not counts[node]]
            while dead:
                gone = dead.pop()
                left.discard(gone)
                for other in into[gone]:
                    counts[other] -= 1
                    if not counts[other] and other in left:
                        dead.append(other)
        return left

    def path(self, start: int, end: int, within: AbstractSet[int] | None = None) -> list[Arrow]:
        """Return a path with the fewest operations from one to another (or back to itself), empty if there is none.

        Steps through moments are told as one step: of the kind that led into the moments. So are steps along a session, or in real time.
        """
        count = len(self.operations)
        came: dict[int, tuple[int, int]] = {}  # {node: (the next on the way to the end, kind of edge)}
        queue = deque([end])
        while queue:
            node = queue.popleft()
            for edge in self.before[node]:
                previous, kind = edge >> _KIND_BITS, edge & _KIND
                if previous in came or (within is not None and previous not in within):
                    continue
                came[previous] = (node, kind)
                if previous == start:
                    return self._told(start, end, came)
                if previous >= count:
                    queue.appendleft(previous)  # moments are no steps
                else:
                    queue.append(previous)
        return []

    def _told(self, start: int, end: int, came: dict[int, tuple[int, int]]) -> list[Arrow]:
        arrows: list[Arrow] = []
        node, told, kind = start, start, -1
        while node != end or not arrows:
            node, step = came[node]
            kind = step if kind < 0 else kind
            if node < len(self.operations):
                arrows.append((self.operations[told], self.operations[node], LABELS[kind]))
                told, kind = node, -1
        return _merged(arrows)


def _merged(arrows: list[Arrow]) -> list[Arrow]:
    """Make one step of several along an order that is transitive by itself."""
    merged: list[Arrow] = []
    for a, b, why in arrows:
        if merged and merged[-1][2] == why and why in (LABELS[SESSION], LABELS[REAL_TIME]) and merged[-1][0] is not b:
            merged[-1] = (merged[-1][0], b, why)
        else:
            merged.append((a, b, why))
    return merged


_CYCLE_TRIES: Final = 64


class Causality:
    """The causal order of a history's operations.

    Attributes:
        graph: session order and "saw".
        places: [place of an operation: its number in its session's chain, from 1; 0 for what is no command].
        columns: {process: its column in clocks}.
        chains: {key: for each session that writes it: its column, the numbers of its writes of the key, these writes}.
        contested: keys that were written more than once, before the history or in it.
        clocks: [place of an operation: its causal past, itself included], empty if the order has a cycle.
    """

    def __init__(self, history: History, sources: Sources) -> None:
        self.history = history
        self.sources = sources
        operations = history.operations
        self.graph = Graph(operations, [[] for _ in operations])
        self.places = [0] * len(operations)
        self.columns: dict[Process, int] = {}
        self.sessions = _by_process(operations)
        self.last_issued: dict[int, Operation] = {}  # {place of a read: the last command of its session before it}
        for process, own in self.sessions.items():
            if own[0].prior:
                self.columns[process] = len(self.columns)
            else:
                self._session(process, own)
        for place, sights in sources.sights.items():
            for _, writer in sights:
                if writer is not None:
                    self.graph.edge(writer.place, place, SAW)
        self.chains = {key: self.chained(writes) for key, writes in sources.writes.items()}
        keys = chain(sources.writes, sources.prior)
        self.contested = {key for key in keys if len(sources.writes.get(key, ())) + sources.prior.get(key, 0) > 1}
        order = self.graph.order()
        self.acyclic = order is not None
        self.clocks: list[Clock] = self.clocks_over(self.graph, order) if order is not None else []

    def _session(self, process: Process, own: list[Operation]) -> None:
        graph = self.graph
        commands = [operation for operation in own if not operation.reads_only]
        if all(command.number is not None for command in commands):
            commands.sort(key=lambda command: command.number or 0)
        if commands:
            self.columns[process] = len(self.columns)
        for number, command in enumerate(commands, 1):
            self.places[command.place] = number
        for a, b in pairwise(commands):
            graph.edge(a.place, b.place, SESSION)
        returned = sorted((read for read in own if read.reads_only), key=lambda read: read.returned)
        moment, at, last = -1, 0, None
        for operation in own:
            if at < len(returned) and returned[at].returned < operation.invoked:
                following = graph.node()
                if moment >= 0:
                    graph.edge(moment, following, SESSION)
                moment = following
                while at < len(returned) and returned[at].returned < operation.invoked:
                    graph.edge(returned[at].place, moment, SESSION)
                    at += 1
            if moment >= 0:
                graph.edge(moment, operation.place, SESSION)
            if not operation.reads_only:
                last = operation if last is None or self.places[operation.place] > self.places[last.place] else last
            elif last is not None:
                graph.edge(last.place, operation.place, SESSION)
                self.last_issued[operation.place] = last

    def chained(self, writes: Iterable[Operation]) -> list[Chain]:
        """Return writes of one key by session."""
        own: dict[int, list[Operation]] = {}
        for write in writes:
            own.setdefault(self.columns[write.process], []).append(write)
        for chain_ in own.values():
            chain_.sort(key=lambda write: self.places[write.place])
        return [(column, [self.places[write.place] for write in chain_], chain_) for column, chain_ in own.items()]

    def latest(self, key: bytes, clock: Clock, reader: Operation, chains: Mapping[bytes, list[Chain]] | None = None) -> Iterator[Operation]:
        """Yield each session's last write of a key within a clock, the reader itself (a cas) left out; of other chains than ours if there are any."""
        for column, places, writes in (self.chains if chains is None else chains).get(key, ()):
            at = bisect_right(places, clock[column])
            if at and writes[at - 1] is reader:
                at -= 1
            if at:
                yield writes[at - 1]

    def clocks_over(self, graph: Graph, order: Iterable[int], known: list[Clock] | None = None, changed: set[int] | None = None) -> list[Clock]:
        """Compute the clocks of all nodes of a graph. Clocks may be shared: nobody changes one.

        Args:
            graph: acyclic.
            order: its nodes, in an order that follows its edges, as ``graph.order`` has just returned it.
            known: clocks of the same graph without some of its edges; only what may differ is computed again, in place.
            changed: with ``known``: where those edges end; whatever may differ is added.
        """
        nothing = [0] * len(self.columns)
        clocks: list[Clock] = [nothing] * len(graph.before) if known is None else known
        dirty = None if known is None else changed
        places, columns, operations = self.places, self.columns, self.history.operations
        count = len(operations)
        for node in order:
            if dirty is not None and node not in dirty:
                continue
            clock = nothing
            for edge in graph.before[node]:
                other = clocks[edge >> _KIND_BITS]
                if clock is nothing or other is clock:
                    clock = other
                elif other is not nothing:
                    clock = list(map(max, clock, other))
            if node < count and (number := places[node]):
                clock = clock.copy()
                clock[columns[operations[node].process]] = number
            if dirty is not None and clock != clocks[node]:
                dirty.update(graph.after[node])
            clocks[node] = clock
        return clocks

    def explains_absence(self, key: bytes, reader: Operation, clock: Clock) -> bool:
        """Whether some delete may be why a reader with this past found a key absent: one that nothing in that past comes after."""
        past = list(self.latest(key, clock, reader))
        deletes = self.sources.deletes.get(key, [])
        begun = bisect_left(deletes, reader.returned, key=lambda delete: delete.invoked)
        newest_first = (deletes[at] for at in reversed(range(begun)))  # mostly it was one of the last
        return any(not any(self.precedes(delete, write) for write in past) for delete in newest_first)

    def precedes(self, a: Operation, b: Operation) -> bool:
        """Whether a command is in the causal past of another operation."""
        if a.prior or b.prior:
            return a.prior and not b.prior
        return a is not b and self.clocks[b.place][self.columns[a.process]] >= self.places[a.place]


def _by_process(operations: Iterable[Operation]) -> dict[Process, list[Operation]]:
    """Return each process's operations that mean something: no failed ones (but a cas that was refused), no reads without an answer."""
    sessions: dict[Process, list[Operation]] = {}
    for operation in operations:
        if operation.refused or not (operation.failed or (operation.reads_only and operation.returned == NEVER)):
            sessions.setdefault(operation.process, []).append(operation)
    return sessions


def joined(*paths: Sequence[Arrow]) -> list[Arrow]:
    """Return paths one after the other, each step once."""
    found: list[Arrow] = []
    for arrow in chain(*paths):
        if not any(arrow[0] is a and arrow[1] is b for a, b, _ in found):
            found.append(arrow)
    return found
