"""What operators may ask of a running replica beyond looking at it: to hand over, and to tell its state as a snapshot.

A snapshot is the applied state of one moment, made in slices between turns while its reader takes it; the store keeps what was written over
since (``statemachine.moment``), so there is one at a time, and one that is not taken is given up (``admin_http``).  It is told without sessions:
those are between this cluster and its clients, and whoever had the file could speak in their name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.admin import Page, Stream, json_page, text_page
from replica.journal_codec import encode_metadata, snapshot_chunks
from replica.snapshot_file import encode_snapshot
from statemachine.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from replica.core.replica import Replica

SNAPSHOT = "application/octet-stream"
CONFLICT, UNAVAILABLE = 409, 503


@attrs.define(eq=False)
class Operations:
    """The operations of one replica, as pages.

    Attributes:
        core: The replica.
        hand_over: Lets a follower lead (-1: the one that is furthest) and ends the turn; tells whether there is one that can.
    """

    core: Replica
    hand_over: Callable[[int], bool]
    _telling: bool = False  # a snapshot is on its way

    @property
    def routes(self) -> dict[str, Callable[[Mapping[str, str]], Page | Stream]]:
        """What a GET asks for."""
        return {"/snapshot": self.snapshot}

    @property
    def actions(self) -> dict[str, Callable[[Mapping[str, str]], Page]]:
        """What a POST does."""
        return {"/transfer-leader": self.transfer_leader}

    # ------------------------------------------------------------------------------------------------------------------ handing over

    def transfer_leader(self, query: Mapping[str, str]) -> Page:
        """Begin to hand over to the follower ``to``, without it to the one that is furthest; whether it takes over shows in the view.

        Returns:
            200 with ``{"from": id, "to": id}``; 409 and why it cannot begin; 400 for a ``to`` that is no id.
        """
        text = query.get("to", "")
        if text and not (text.isascii() and text.isdigit()):
            return text_page(f"to {text}: must be the id of a replica\n", 400)
        peer = int(text) if text else -1
        reason = self._obstacle(peer)
        if not reason and not self.hand_over(peer):
            reason = "no follower is linked to the leader"
        leader = self.core.leader
        if reason or leader is None:
            return text_page(f"{reason}\n", CONFLICT)
        chosen = leader.handing_over.peer if leader.handing_over is not None else None
        return json_page({"from": self.core.node.config.id, "to": chosen})

    def _obstacle(self, peer: int) -> str:
        """Say why this replica cannot hand over; nothing if it may be tried."""
        node, leader = self.core.node, self.core.leader
        own = node.config.id
        if leader is None:
            return f"replica {own} does not lead; " + (f"replica {node.leader} does" if node.leader >= 0 else "it knows no leader")
        if not leader.serving:
            return f"replica {own} leads view {node.view} and does not serve yet"
        if leader.handing_over is not None:
            return f"replica {own} is handing over to replica {leader.handing_over.peer} already"
        if peer == own:
            return f"replica {own} leads already"
        if peer >= 0 and peer not in leader.progress:
            return f"the cluster has no replica {peer}"
        if peer >= 0 and not leader.progress[peer].linked:
            return f"replica {peer} is not linked to the leader, replica {own}"
        return ""

    # ---------------------------------------------------------------------------------------------------------------------- snapshots

    def snapshot(self, _query: Mapping[str, str]) -> Page | Stream:
        """Tell the state that is applied at this moment as the content of a snapshot file; 503 while another is told."""
        if self._telling:
            return text_page("another snapshot is being told; one at a time\n", UNAVAILABLE)
        pieces = self._pieces()
        next(pieces)  # from here on closing it ends it
        return Stream(SNAPSHOT, pieces)

    def _pieces(self) -> Generator[bytes, None, None]:
        """Yield nothing when the moment is taken, then the file's bytes."""
        node = self.core.node
        index, view = node.applied_index, node.log.view_at(node.applied_index)
        assert view is not None, index
        sessions = Sessions().snapshot()
        metadata = encode_metadata(index, view, node.applied_position, len(sessions))
        chunks = snapshot_chunks(node.store.snapshot(), sessions)
        self._telling = True
        try:
            yield b""
            yield from encode_snapshot(index, metadata, chunks)
        finally:
            self._telling = False
