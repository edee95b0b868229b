"""The order of everything: one directed graph that must have no cycle, and the causal past of every read.

Edges of the graph: the log's order of conflicting commands, each session's order, real time from strong commands to later strong ones and later
writes (a causal write takes effect at any moment after its invocation), and reads placed between what they saw and the next write of it (causal
reads only behind what they saw: an order of theirs with writes they have not seen is no promise, by causal convergence). A cycle means that no
order of the strong commands and of all writes explains what clients saw and agrees with causality.

The causal past of a read are the writes that reach it by session order and by what reads saw (and cas commands: they read). In the log's
order, none of them may lie above what the read saw of a key: Bouajjani, Enea, Guerraoui & Hamza, POPL'17, with the log as arbitration.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.sim.history import Operation, Track, Violation

if TYPE_CHECKING:
    from tests.sim.certificate import Certificate, Source

Node = Operation | str
CAUSAL_LABELS = frozenset({"session", "saw"})


class Graph:
    """The graph of one run's certificate; the certificate has judged everything else."""

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.nodes: list[Node] = []
        self.edges: list[list[tuple[int, str]]] = []
        self.reads: list[tuple[Operation, list[list[Source]]]] = []
        tracks = certificate.history.tracks
        operations = [operation for track in tracks for operation in track.operations if operation.returned or operation.position]
        for operation in operations:
            operation.node = self._add(operation)
        for track in tracks:
            self._session(track)
        self._real_time(operations)
        self._log()
        for operation in operations:
            if not operation.number:
                self._read(operation)

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        self.edges.append([])
        return len(self.nodes) - 1

    def _edge(self, a: int, b: int, label: str) -> None:
        self.edges[a].append((b, label))

    def _session(self, track: Track) -> None:
        """Session order: numbers; a read after the commands issued before it, and before all that is issued after it returned."""
        logged = [operation for operation in track.logged if operation.position]
        for a, b in pairwise(logged):
            self._edge(a.node, b.node, "session")
        reads = [operation for operation in track.operations if not operation.number and operation.returned]
        for read in reads:
            if read.strong and read.dependency and not track.logged[read.dependency - 1].position:
                raise Violation(f"I-LOSS: {read}\n    completed behind a command of its session that is lost: {track.logged[read.dependency - 1]}")
            before = next((command for command in reversed(track.logged[: read.dependency]) if command.position), None)
            if before is not None:  # commands that ended with their session have no place
                self._edge(before.node, read.node, "session")
        self._moments(reads, [operation for operation in track.operations if operation.node >= 0], "session")

    def _real_time(self, operations: list[Operation]) -> None:
        strong = [operation for operation in operations if operation.strong and operation.returned]
        self._moments(strong, [operation for operation in operations if operation.strong or operation.number], "real time")

    def _moments(self, earlier: list[Operation], later: list[Operation], label: str) -> None:
        """Order each of ``earlier`` before what of ``later`` was invoked after it returned, by a chain of moments."""
        events = sorted([(operation.returned, 0, operation) for operation in earlier] + [(operation.invoked, 1, operation) for operation in later],
                        key=lambda event: event[:2])  # fmt: skip
        moment = -1
        last = 0
        for stamp, begins, operation in events:
            if not begins:
                if moment < 0 or last != stamp:
                    following = self._add(f"moment {stamp}")
                    if moment >= 0:
                        self._edge(moment, following, label)
                    moment, last = following, stamp
                self._edge(operation.node, moment, label)
            elif moment >= 0:
                self._edge(moment, operation.node, label)

    def _log(self) -> None:
        """Conflict order: a key's writes; a cas behind what it read; one that failed before the next write."""
        for log in self.certificate.keys.values():
            for a, b in pairwise(log.writers):
                self._edge(a.node, b.node, "log")
        for cas, source in self.certificate.cas_sources.items():
            if source.writer is not None:
                self._edge(source.writer.node, cas.node, "saw")
            following = self.certificate.keys[source.key].after(source.position)
            if not cas.wrote and following is not None:
                self._edge(cas.node, following.node, "before")

    def _read(self, operation: Operation) -> None:
        found = self.certificate.sources(operation)
        self.reads.append((operation, found))
        for choices in found:
            if len(choices) > 1:
                continue  # what it saw of this key is not certain: it proves nothing
            source = choices[0]
            if source.writer is not None and source.writer.node >= 0:
                self._edge(source.writer.node, operation.node, "saw")
            log = self.certificate.keys.get(source.key)
            following = log.after(source.position) if log is not None else None
            if operation.strong and following is not None:
                self._edge(operation.node, following.node, "before")

    # --------------------------------------------------------------------------------------------------------------------- cycles

    def check(self) -> None:
        """Look for a cycle, then judge causal pasts.

        Raises:
            Violation: with the cycle, or the read and the write it should have seen.
        """
        order = self._order()
        self._causal(order)

    def _order(self) -> list[int]:
        """Return the nodes in an order that follows every edge (depth first)."""
        state = bytearray(len(self.nodes))  # 0 new, 1 on the path, 2 done
        order: list[int] = []
        for root in range(len(self.nodes)):
            if state[root]:
                continue
            state[root] = 1
            path = [(root, iter(self.edges[root]))]
            while path:
                node, following = path[-1]
                for target, _ in following:
                    if state[target] == 1:
                        raise Violation("I-LIN: a cycle: " + self._tell([at for at, _ in path], target))
                    if not state[target]:
                        state[target] = 1
                        path.append((target, iter(self.edges[target])))
                        break
                else:
                    state[node] = 2
                    order.append(node)
                    path.pop()
        order.reverse()
        return order

    def _tell(self, path: list[int], start: int) -> str:
        cycle = [*path[path.index(start) :], start]
        steps = []
        for a, b in pairwise(cycle):
            label = next(label for target, label in self.edges[a] if target == b)
            steps.append(f"\n    {self.nodes[a]}\n      -- {label} -->")
        return "".join(steps)

    # ---------------------------------------------------------------------------------------------------------------- causal past

    def _causal(self, order: list[int]) -> None:
        """I-CCV: every read saw at least the newest write of its causal past."""
        tracks = len(self.certificate.history.tracks)
        clocks: list[list[int] | None] = [None] * len(self.nodes)
        reads = {operation.node: (operation, found) for operation, found in self.reads}
        for at in order:
            clock = clocks[at] or [0] * tracks
            clocks[at] = None
            node = self.nodes[at]
            if isinstance(node, Operation) and node.number:
                clock[node.session] = max(clock[node.session], node.number)
            if at in reads:
                self._saw_its_past(*reads[at], clock)
            for target, label in self.edges[at]:
                if label in CAUSAL_LABELS:
                    known = clocks[target]
                    clocks[target] = list(clock) if known is None else list(map(max, known, clock))

    def _saw_its_past(self, operation: Operation, found: list[list[Source]], clock: list[int]) -> None:
        own = self.certificate.own
        for choices in found:
            key, newest = choices[0].key, max(choice.position for choice in choices)
            for session, number in enumerate(clock):
                writes = own.get((session, key))
                if number and writes:
                    place = bisect_right(writes, number, key=lambda write: write.number)
                    if place and writes[place - 1].position > newest:
                        raise Violation(f"I-CCV: {operation}\n    did not see {writes[place - 1]}\n    of its causal past, only position {newest}")
