"""The certificate: the leader's log, replayed by rules of its own, explains every answer, or the run is a failure.

What is judged here, command by command: exactly once and in each session's order; what was submitted is what is logged; the outcome of every
cas; versions; every causal answer against the applied prefix it names; the replicas' final states. What needs an order of all operations is
judged in ``graph``.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import attrs

from statemachine.command import CAS_VALUE, CAUSAL, DELETE
from tests.sim.history import Operation, Violation
from tests.sim.observer import configuration_at_end

if TYPE_CHECKING:
    from replica.core.messages import Entry
    from replica.core.node import Node
    from tests.sim.observer import CausalAnswer
    from tests.sim.world import World


NEVER = 1 << 62
"""Stands for the position of a write that the log will never have."""


@attrs.frozen
class Source:
    """What a read saw of one key: the write at ``position`` (0: none yet)."""

    key: bytes
    position: int
    writer: Operation | None


@attrs.define(eq=False)
class KeyLog:
    """All writes of one key, in log order."""

    positions: list[int] = attrs.Factory(list)
    writers: list[Operation] = attrs.Factory(list)

    def at(self, position: int) -> tuple[int, Operation | None]:
        """Return the last write at or below a position, ``(0, None)`` before the first."""
        place = bisect_right(self.positions, position)
        return (self.positions[place - 1], self.writers[place - 1]) if place else (0, None)

    def after(self, position: int) -> Operation | None:
        """Return the first write above a position."""
        place = bisect_right(self.positions, position)
        return self.writers[place] if place < len(self.positions) else None


def written(operation: Operation | None) -> bytes | None:
    """Return what a write left at its key."""
    if operation is None or operation.kind == DELETE:
        return None
    value = operation.value[1] if isinstance(operation.value, list) else operation.value
    assert isinstance(value, bytes)
    return value


class Certificate:
    """The replayed log.

    Args:
        world: at the end of its run.

    Raises:
        Violation: a promise was broken.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.history = world.history
        self.keys: dict[bytes, KeyLog] = {}
        self.own: dict[tuple[int, bytes], list[Operation]] = {}  # {(track, key): its writes, in order}
        self.by_position: dict[int, Operation] = {}
        self.cas_sources: dict[Operation, Source] = {}
        for entry in world.observer.log:
            self._replay(entry)
        self._all_logged()

    def check(self) -> None:
        """Judge everything that one look at the log can judge."""
        for (session, number), outcome in self.world.observer.outcomes.items():
            operation = self.history.tracks[session].logged[number - 1]
            if outcome != operation.wrote:
                raise Violation(f"I-SPEC: told {outcome}, the log says {operation.wrote}: {operation}")
        observer = self.world.observer
        for (session, number, view), outcome in observer.speculated.items():
            place = observer.places.get((session, number))
            operation = self.history.tracks[session].logged[number - 1]
            if place is not None and observer.log[place[0] - 1].view == view and outcome != operation.wrote:
                raise Violation(f"I-SPEC: speculated {outcome} in view {view}, whose log says {operation.wrote}: {operation}")
        for track in self.history.tracks:
            for operation in track.logged:
                if operation.returned and operation.result != (operation.wrote if operation.is_cas else None):
                    raise Violation(f"I-SPEC: the log says {operation.wrote}: {operation}")
        for answer in self.world.observer.causal_answers:
            self._causal(answer)
        told = configuration_at_end(self.world.observer.log)
        members = told.members if told is not None else self.world.options.voters
        for actor in self.world.replicas:
            if actor.alive and actor.id in members:
                self._state(actor.core.node, next(actor for actor in self.world.replicas if actor.alive and actor.id in members).core.node)

    # --------------------------------------------------------------------------------------------------------------------- replay

    def _replay(self, entry: Entry) -> None:
        position = entry.base + len(entry.system)
        at = 0
        for sid, first, count in zip(entry.sessions, entry.firsts, entry.counts, strict=True):
            track = self.world.observer.registry.tracks[sid]
            for number in range(first, first + count):
                position += 1
                operation = track.logged[number - 1]
                logged = (entry.kinds[at] & ~CAUSAL, entry.keys[at], entry.values[at])
                if logged != (operation.kind, operation.key, operation.value):
                    raise Violation(f"logged as {logged}: {operation}")
                self._apply(operation, position)
                at += 1

    def _apply(self, operation: Operation, position: int) -> None:
        key = operation.key
        assert key is not None
        operation.position = position
        self.by_position[position] = operation
        log = self.keys.setdefault(key, KeyLog())
        operation.wrote = True
        if operation.is_cas:
            before, writer = log.at(position)
            self.cas_sources[operation] = Source(key, before, writer)
            assert isinstance(operation.value, list)
            expected = operation.value[0]
            value = written(writer)
            version = before if value is not None else 0
            operation.wrote = expected == (value if operation.kind == CAS_VALUE else version)
        if operation.wrote:
            log.positions.append(position)
            log.writers.append(operation)
            self.own.setdefault((operation.session, key), []).append(operation)

    def _all_logged(self) -> None:
        """I-LOSS: what was answered is in the log, and so is all that was submitted in a session that has not ended."""
        for track in self.history.tracks:
            for operation in track.logged:
                if not operation.position and ((operation.returned and operation.strong) or not track.ended):
                    raise Violation(f"I-LOSS: not in the log: {operation}")

    # ---------------------------------------------------------------------------------------------------------------- final states

    def _state(self, node: Node, first: Node) -> None:
        """I-CONV: a replica's applied state is the log's."""
        if node.applied_index != len(self.world.observer.log):
            raise Violation(f"I-CONV: replica {node.config.id} applied {node.applied_index} of {len(self.world.observer.log)} entries")
        state = tuple((key, written(log.writers[-1]), log.positions[-1]) for key, log in sorted(self.keys.items()) if log.positions)
        if node.store.freeze() != (0, state):
            raise Violation(f"I-CONV: replica {node.config.id} holds another state than the log's")
        if node.store.state_hash() != first.store.state_hash() or node.sessions.freeze() != first.sessions.freeze():
            raise Violation(f"I-CONV: replica {node.config.id} differs from the leader in its hash or its sessions")

    # ---------------------------------------------------------------------------------------------------------------- causal answers

    def _causal(self, answer: CausalAnswer) -> None:
        """A causal answer is the applied prefix it names, of a session that has not ended in it."""
        track = answer.track
        applied = bisect_right([operation.position for operation in track.logged if operation.position], answer.position)
        ended = self.world.observer.registry.ended_at.get(track.sid)
        if applied != answer.applied or (ended is not None and answer.position >= ended):
            told = f"told {answer.applied} commands of session {track.index} applied at {answer.position}: {applied}, and it ends at {ended}"
            raise Violation(f"causal answer: {answer.replica} {told}")
        reads = [operation for operation in answer.track.operations if not operation.number]
        for place, (value, version) in enumerate(zip(answer.values, answer.versions, strict=True)):
            query = reads[answer.first - 1 + place].query
            if isinstance(query, bytes):
                at, writer = self.keys.get(query, KeyLog()).at(answer.position)
                expected: object = written(writer)
                right = value == expected and version == at
            else:
                assert query is not None
                expected = self.scan_at(query, answer.position)
                right = list(value) == expected  # type: ignore[call-overload]
            if not right:
                told = f"{answer.replica} answered {query!r} of session {answer.track.index} at {answer.position}"
                raise Violation(f"{told}: {value!r} with version {version}, not {expected!r}")

    def scan_at(self, query: list[object], position: int) -> list[object]:
        """Return what a scan of the state at a position must tell: ``[rows, more]``."""
        start, end, limit = query
        assert isinstance(start, bytes)
        assert isinstance(limit, int)
        rows = []
        for key in sorted(self.keys):
            if start <= key and (end is None or key < end):  # type: ignore[operator]
                at, writer = self.keys[key].at(position)
                if (value := written(writer)) is not None:
                    rows.append([key, value, at])
        return [rows[:limit], len(rows) > limit]

    # ----------------------------------------------------------------------------------------------------------------- what reads saw

    def sources(self, operation: Operation) -> list[list[Source]]:
        """Say what a complete read saw: for each key it covers, the writes that may have been what it saw (mostly one)."""
        query = operation.query
        if isinstance(query, bytes):
            assert operation.result is None or isinstance(operation.result, bytes)
            return [self._source(operation, query, operation.result, operation.version)]
        return self._scanned(operation)

    def _source(self, operation: Operation, key: bytes, value: bytes | None, version: int) -> list[Source]:
        if value is not None:
            return [self._by_value(operation, key, value, version)]
        if version:
            writer = self.by_position.get(version)
            if writer is None or writer.key != key or writer.kind != DELETE:
                raise Violation(f"version {version} of {key!r} is no delete's: {operation}")
            return [Source(key, version, writer)]
        return self._absent(operation, key, 0)

    def _by_value(self, operation: Operation, key: bytes, value: bytes, version: int) -> Source:
        writer = self.history.writers.get(value)
        own = writer is not None and writer.session == operation.session and writer.number <= _own_upto(operation)
        if own and writer is not None and not writer.position and not operation.strong and self.history.tracks[writer.session].ended:
            return Source(key, NEVER, writer)  # an own write that ended with its session, and was shown to nobody else
        if writer is None or writer.key != key or not writer.wrote or writer.invoked > operation.returned:
            raise Violation(f"{value!r} was never there ({writer}): {operation}")
        if version != writer.position and (version or not own):
            raise Violation(f"{value!r} has version {writer.position}, not {version}: {operation}")
        return Source(key, writer.position, writer)

    def _absent(self, operation: Operation, key: bytes, position: int) -> list[Source]:
        """Explain that a key was not there: by an own delete above ``position``, or by the state at it."""
        own = [write for write in self.own.get((operation.session, key), ()) if write.position > position]
        before = [write for write in own if write.number <= operation.dependency]
        found = [write for write in own if operation.dependency < write.number <= _own_upto(operation) and write.kind == DELETE]
        if before and before[-1].kind == DELETE:
            found.append(before[-1])
        kept = [Source(key, write.position, write) for write in found]
        track = self.history.tracks[operation.session]
        for write in track.logged[: _own_upto(operation)] if track.ended and not operation.strong else ():
            if not write.position and write.key == key and write.kind == DELETE:
                kept.append(Source(key, NEVER, write))  # noqa: PERF401 - two conditions read better in a loop
        if not before:
            at, writer = self.keys.get(key, KeyLog()).at(position)
            if written(writer) is None:
                kept.append(Source(key, at, writer))
        if not kept:
            raise Violation(f"{key!r} was there at {position}: {operation}")
        return kept

    def _scanned(self, operation: Operation) -> list[list[Source]]:
        query, result, position = operation.query, operation.result, operation.version
        assert isinstance(query, list)
        assert isinstance(result, list)
        rows, more = result
        assert isinstance(rows, list)
        start, end, limit = query
        keys = [row[0] for row in rows]
        if keys != sorted(set(keys)) or len(keys) > limit or any(key < start or (end is not None and key >= end) for key in keys):  # type: ignore[operator]
            raise Violation(f"not a page of the scan: {operation}")
        if more is True and not rows:
            raise Violation(f"more after nothing: {operation}")
        stop = more if isinstance(more, bytes) else rows[-1][0] + b"\0" if more else end
        found = [self._row(operation, row, position) for row in rows]
        absent = [key for key in self.keys if start <= key and (stop is None or key < stop) and key not in keys]  # type: ignore[operator]
        return found + [self._absent(operation, key, position) for key in absent]

    def _row(self, operation: Operation, row: list[object], position: int) -> list[Source]:
        """A row is the state's at the scan's position, or an own write above it."""
        key, value, version = row
        assert isinstance(key, bytes)
        assert isinstance(value, bytes)
        assert isinstance(version, int)
        source = self._by_value(operation, key, value, version)
        assert source.writer is not None
        at, _ = self.keys.get(key, KeyLog()).at(position)  # nobody else wrote it, and the own write ended with its session
        own = source.writer.session == operation.session and source.writer.number <= operation.dependency
        if source.position != at and not (own and source.position > position):
            raise Violation(f"the row of {key!r} is not the state's at {position} (that is {at}): {operation}")
        before = [write for write in self.own.get((operation.session, key), ()) if write.number <= operation.dependency]
        if before and source.position < before[-1].position:
            raise Violation(f"read your writes: {key!r} was written by {before[-1]}: {operation}")
        return [source]


def _own_upto(operation: Operation) -> int:
    """The last command of its own session that a read may show without a version: causal reads of a key are laid over when they are answered."""
    return operation.dependency if operation.strong or isinstance(operation.query, list) else operation.newest_own
