"""A leader whose kept log does not reach replica 2, and the parts of its state on their way there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replica.core.configuration import Configuration
from replica.core.messages import AcceptAck, AcceptNack, SnapshotAck, SnapshotPart
from statemachine.sessions import Sessions
from statemachine.store import Store
from tests.replica.core.seat import Seat

if TYPE_CHECKING:
    import pytest

FOLLOWER = 2


def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a snapshot have one chunk for each two keys."""
    monkeypatch.setattr(Store.snapshot, "__defaults__", (2, 1 << 20))


class Transfer(Seat):
    """Replica 0 leads; its session 1 wrote ``keys`` keys, one an entry, and the log forgot them all.

    Attributes:
        parts: those sent to replica 2 so far, in order.
    """

    def __init__(self, keys: int = 8, window: int = 3, pace: float = 0.0) -> None:
        super().__init__(snapshot_parts_in_flight_max=window, snapshot_part_seconds=pace, election_seconds=0.5)
        self.parts: list[SnapshotPart] = []
        (self.session,) = self.open(b"t")
        for number in range(keys):
            self.puts(self.session, b"k%d" % number)
            self.turn()
            self.leader.on_accept_ack(1, self.acknowledgement())
            self.apply()
        self.node.log.discard_upto(self.node.applied_index)
        progress = self.leader.progress[FOLLOWER]
        progress.match = progress.next = 0

    def acknowledgement(self) -> AcceptAck:
        """Make the ack of who has the whole log."""
        return AcceptAck(1, 1, self.node.log.last_index, self.leader.round, [])

    def sent(self) -> list[int]:
        """Take what was sent since this was asked last; returns the numbers of its parts."""
        sends, self.node.peer_sends = self.node.peer_sends, []
        new = [section for peer, sections in sends for section in sections if isinstance(section, SnapshotPart) and peer == FOLLOWER]
        self.parts += new
        return [part.part for part in new]

    def begin(self) -> list[int]:
        """The follower says that it has nothing."""
        self.leader.on_accept_nack(FOLLOWER, AcceptNack(1, 1, 0, 0))
        return self.sent()

    def passes(self, seconds: float) -> list[int]:
        """Time passes, and a turn ends."""
        self.now += seconds
        self.node.now = self.now
        self.leader.accepts(self.now)
        return self.sent()

    def ack_parts(self, upto: int, index: int = -1) -> list[int]:
        """The follower has all parts below ``upto``."""
        self.leader.on_snapshot_ack(FOLLOWER, SnapshotAck(1, 1, index if index >= 0 else self.node.applied_index, upto))
        return self.sent()


def parts_of(
    index: int, entry_view: int, view: int, position: int = 0, *, store: Store | None = None, sessions: Sessions | None = None
) -> list[SnapshotPart]:
    """Make the parts of a state as the leader of ``view`` sends them."""
    table = (sessions or Sessions()).snapshot()
    chunks = [*table, *(store or Store()).snapshot()]
    last, members = len(chunks) - 1, Configuration(1, (0, 1, 2)).items()
    return [
        SnapshotPart(1, view, index, entry_view, position or index, number, len(table), number == last, members, chunk)
        for number, chunk in enumerate(chunks)
    ]
