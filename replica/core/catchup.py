"""Catching up by snapshot: a follower that the kept log does not reach gets the leader's applied state, part by part.

The leader takes a moment of its store (it goes on changing) and sends parts of it within a window; the follower acknowledges what it has, so that a
broken link costs the parts in flight and no more.  Parts are paced: a large state would otherwise fill turn after turn, and commands would wait
behind a follower that nobody waits for.  Another leader begins with a moment of its own.  The follower builds a new state beside its
own and changes to it in one step, so that it is at no time between two states; then the log goes on behind it (Raft section 7).

What must not live here: how a snapshot gets to disk (``replica.persistence``).
"""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Any

import attrs

from replica.core.configuration import Configuration
from replica.core.journal import Applied
from replica.core.messages import SnapshotAck, SnapshotPart
from statemachine.moment import InvalidSnapshot
from statemachine.sessions import Sessions
from statemachine.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from replica.core.node import Node


@attrs.define(eq=False)
class Sending:
    """A leader's snapshot on its way to one follower."""

    node: Node
    peer: int
    index: int
    entry_view: int
    position: int
    configuration: list[object]
    sessions: int
    """Parts that hold the session table."""
    chunks: Iterator[list[object]]
    acked: int = 0
    made: list[SnapshotPart] = attrs.Factory(list)
    """Parts from ``acked`` on, as far as they were sent."""
    ahead: list[object] | None = None
    """The chunk after those: whether there is one tells the last part."""
    earlier: int = 0
    """So many parts were sent before of this very moment, and the follower may have them still."""
    asked_at: float = 0.0
    """When the follower last said anything of it, or it was sent again."""
    paced_until: float = -math.inf
    """When as many parts as were sent may have gone, one after the other at the pace."""

    @property
    def done(self) -> bool:
        """Whether the follower has everything."""
        return self.ahead is None and not self.made

    @property
    def sent(self) -> int:
        """How many parts were sent of this moment."""
        return max(self.earlier, self.acked + len(self.made))

    def fill(self) -> None:
        """Send further parts, as many as may be in flight, and no faster than they are paced."""
        node = self.node
        while node.now >= self.due():
            assert self.ahead is not None
            self.paced_until = max(self.paced_until, node.now) + node.config.snapshot_part_seconds
            chunk, self.ahead = self.ahead, next(self.chunks, None)
            part = SnapshotPart(
                node.configuration.number, node.view, self.index, self.entry_view, self.position, self.acked + len(self.made),
                self.sessions, self.ahead is None, self.configuration, chunk,
            )  # fmt: skip
            self.made.append(part)
            node.send(self.peer, part)

    def due(self) -> float:
        """When the next part may be sent: the pace, a whole window ahead of it; infinite while an ack must come first, and after the last part."""
        config = self.node.config
        if self.ahead is None or len(self.made) >= config.snapshot_parts_in_flight_max:
            return math.inf
        return self.paced_until - (config.snapshot_parts_in_flight_max - 0.5) * config.snapshot_part_seconds

    def on_ack(self, ack: SnapshotAck) -> None:
        """The follower has more."""
        if ack.index == self.index and self.acked <= ack.part <= self.sent:
            more = ack.part - self.acked
            for _ in range(more - len(self.made)):
                self.ahead = next(self.chunks, None)
            del self.made[:more]
            self.acked = ack.part
            self.asked_at = self.node.now
            self.fill()

    def again(self) -> None:
        """Send what is not acknowledged again: the link is fresh, or nothing was heard for long."""
        self.asked_at = self.node.now
        for part in self.made:
            self.node.send(self.peer, part)


def begin(node: Node, peer: int) -> Sending:
    """Take the applied state of this moment for a follower."""
    view = node.log.view_at(node.applied_index)
    assert view is not None
    sessions = node.sessions.snapshot()
    chunks = chain(iter(sessions), node.store.snapshot())
    told = node.configurations.at(node.applied_index).items()
    sending = Sending(node, peer, node.applied_index, view, node.applied_position, told, len(sessions), chunks, ahead=next(chunks), asked_at=node.now)
    sending.fill()
    return sending


@attrs.define(eq=False)
class Receiving:
    """A follower's side: the state that is being built."""

    node: Node
    source: int = -1
    view: int = 0
    index: int = 0
    parts: int = 0
    """Parts that are here."""
    table: list[list[Any]] = attrs.Factory(list)
    store: Store = attrs.Factory(Store)
    missing: int = -1
    """Keys of the store that are still to come; -1 before its first part."""

    def on_part(self, source: int, part: SnapshotPart) -> bool:
        """Take the next part; returns whether the follower has the state and the log up to it now."""
        if self._needless(part):
            # Its answer may have been lost, and a heartbeat beside the part be refused: the leader would send parts for ever, and no entries.
            self.node.send(source, SnapshotAck(self.node.configuration.number, self.node.view, part.index, part.part + 1))
            return True
        if (source, part.view, part.index) != (self.source, self.view, self.index):
            self.source, self.view, self.index = source, part.view, part.index
            self._begin()
        state: Applied | None = None
        if part.part == self.parts:
            try:
                self._take(part)
                state = self._state(part) if part.last else None
            except (InvalidSnapshot, TypeError, ValueError):
                self.node.drops.append((source, "invalid_snapshot"))
                self._begin()
        finished = state is not None
        if state is not None:
            self.node.install(state)
            self._begin()
            self.source = -1
        self.node.send(source, SnapshotAck(self.node.configuration.number, self.node.view, part.index, part.part + 1 if finished else self.parts))
        return finished

    def _needless(self, part: SnapshotPart) -> bool:
        """Whether the log has brought all that the snapshot would: a late one must not drop entries that were acknowledged (Raft section 7)."""
        node = self.node
        if part.index > node.commit_index and node.log.view_at(part.index) == part.entry_view:
            node.commit(part.index)
        return part.index <= node.commit_index

    def _begin(self) -> None:
        self.parts, self.table, self.store, self.missing = 0, [], Store(), -1

    def _take(self, part: SnapshotPart) -> None:
        if part.part < part.sessions:
            self.table.append(part.chunk)
        else:
            self.missing = self.store.load(part.chunk)
        self.parts += 1

    def _state(self, part: SnapshotPart) -> Applied:
        if self.missing != 0:
            raise InvalidSnapshot("store: the snapshot is cut short")
        sessions = Sessions.restore(self.table, self.node.config.tombstone_sessions_max)
        told = Configuration.from_items(part.configuration)
        return Applied(self.store, sessions, part.index, part.entry_view, part.position, told)
