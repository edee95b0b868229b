"""What operators may ask of a running replica beyond looking at it: to hand over, and to tell its state as a snapshot.

A snapshot is the applied state of one moment, made in slices between turns while its reader takes it; the store keeps what was written over
since (``statemachine.moment``), so there is one at a time, and one that is not taken is given up (``admin_http``).  It is told without sessions:
those are between this cluster and its clients, and whoever had the file could speak in their name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.address import AddressError, address_to_find, is_number
from replica.admin import Page, Stream, json_page, text_page
from replica.cluster_file import REPLICA_ID_MAX
from replica.core.reconfiguration import ChangeRefused
from replica.journal_codec import encode_metadata, snapshot_chunks
from replica.snapshot_file import encode_snapshot
from statemachine.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from replica.core.reconfiguration import Reconfiguration
    from replica.core.replica import Replica
    from replica.whereabouts import Whereabouts

SNAPSHOT = "application/octet-stream"
CONFLICT, UNAVAILABLE = 409, 503


@attrs.define(eq=False)
class Operations:
    """The operations of one replica, as pages.

    Attributes:
        core: The replica.
        hand_over: Lets a follower lead (-1: the one that is furthest) and ends the turn; tells whether there is one that can.
        wake: Ends the turn.
        whereabouts: Knows where the members listen.
    """

    core: Replica
    hand_over: Callable[[int], bool]
    wake: Callable[[], None]
    whereabouts: Whereabouts
    _telling: bool = False  # a snapshot is on its way

    @property
    def routes(self) -> dict[str, Callable[[Mapping[str, str]], Page | Stream]]:
        """What a GET asks for."""
        return {"/snapshot": self.snapshot, "/members": self.members}

    @property
    def actions(self) -> dict[str, Callable[[Mapping[str, str]], Page]]:
        """What a POST does."""
        return {"/transfer-leader": self.transfer_leader, "/members/add": self.add_member, "/members/remove": self.remove_member}

    @property
    def parameters(self) -> dict[str, frozenset[str]]:
        """What each takes."""
        return {
            "/snapshot": frozenset(), "/members": frozenset(), "/transfer-leader": frozenset({"to"}),
            "/members/add": frozenset({"id", "address", "replaces"}), "/members/remove": frozenset({"id"}),
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------------------------------ handing over

    def transfer_leader(self, query: Mapping[str, str]) -> Page:
        """Begin to hand over to the follower ``to``, without it to the one that is furthest; whether it takes over shows in the view.

        Returns:
            200 with ``{"from": id, "to": id}``; 409 and why it cannot begin; 400 for a ``to`` that is no id.
        """
        text = query.get("to", "")
        peer = _number(text) if text else -1
        if peer is None:
            return text_page(f"to {text}: must be the id of a replica\n", 400)
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

    # ------------------------------------------------------------------------------------------------------------------------ members

    def members(self, _query: Mapping[str, str]) -> Page:
        """Tell who belongs to the cluster, as this replica's log has it, and, from a leader, how far each is."""
        return json_page(describe_members(self.core, self.whereabouts))

    def add_member(self, query: Mapping[str, str]) -> Page:
        """Begin to add the learner ``id`` at ``address``, in place of the voter ``replaces`` if that is given; see ``Reconfiguration.add``.

        Returns:
            200 with what ``/members`` tells; 409 and why it cannot be; 400 for what is no id or address.
        """
        member, replaces = _number(query.get("id", "")), _number(query.get("replaces", ""))
        address = query.get("address", "")
        if member is None or (query.get("replaces") and replaces is None):
            return text_page("id and replaces must be ids of replicas: whole numbers from 0 to 65535\n", 400)
        try:
            address = address_to_find(address)
        except AddressError as error:
            return text_page(f"address {address}: {error}\n", 400)
        holder = self.whereabouts.holder(address)
        told = self.core.node.configuration
        if holder not in (None, replaces) and member not in told.members + told.removed:  # a lost one leaves its address to who takes its place
            return text_page(f"replica {holder} listens at {address} already\n", CONFLICT)
        return self._change(lambda change: change.add(member, address, -1 if replaces is None else replaces))

    def remove_member(self, query: Mapping[str, str]) -> Page:
        """Begin to remove the voter or learner ``id``; see ``Reconfiguration.remove``. Answers as ``add_member`` does."""
        member = _number(query.get("id", ""))
        if member is None:
            return text_page("id must be the id of a replica: a whole number from 0 to 65535\n", 400)
        return self._change(lambda change: change.remove(member))

    def _change(self, begin: Callable[[Reconfiguration], None]) -> Page:
        node, reconfiguration = self.core.node, self.core.reconfiguration
        if reconfiguration is None:
            reason = f"replica {node.config.id} does not lead; " + (f"replica {node.leader} does" if node.leader >= 0 else "it knows no leader")
            return text_page(f"{reason}\n", CONFLICT)
        try:
            begin(reconfiguration)
        except ChangeRefused as refused:
            return text_page(f"{refused}\n", CONFLICT)
        self.wake()
        return json_page(describe_members(self.core, self.whereabouts))

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


def describe_members(core: Replica, whereabouts: Whereabouts) -> dict[str, object]:
    """Return the configuration in a replica's log as plain items; ``pending``: a change that is not committed yet."""
    node, leader = core.node, core.leader
    told = node.configuration
    rows = []
    for member in told.members:
        place = whereabouts.of(member)
        row: dict[str, object] = {"id": member, "role": "voter" if member in told.voters else "learner"}
        row |= {"address": place.address, "websocket": place.websocket, "admin": place.admin}
        progress = leader.progress.get(member) if leader is not None else None
        if progress is not None:
            row |= {"linked": progress.linked, "behind": node.log.last_index - progress.match}
        rows.append(row)
    pending = node.configurations.index > node.commit_index or (leader is not None and leader.reconfiguration.wanted is not None)
    return {
        "id": node.config.id, "leader": node.leader, "view": node.view, "config_id": told.number, "pending": pending, "members": rows,
        "replacing": [list(pair) for pair in told.replacing], "removed": list(told.removed),
    }  # fmt: skip


def _number(text: str) -> int | None:
    return int(text) if is_number(text) and int(text) <= REPLICA_ID_MAX else None
