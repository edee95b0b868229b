"""One replica, sans-IO: events and the time go in, effects come out.

This module only dispatches.  A driver (or a simulator) calls ``step`` for each event, ``expire`` when ``deadline`` has come, ``apply`` until it
is told that nothing is left, and ``take_persist`` and ``take_effects`` once a turn.  A peer's or client's nonsense becomes a drop with a reason; an
assertion error is our own bug and must end the process.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self, assert_never

import attrs

from replica.core import restoring
from replica.core.checkpoint import checkpoint
from replica.core.clients import Clients
from replica.core.divergence import Divergence
from replica.core.effects import Effects, Event, LinkDown, LinkUp, Persisted, Received
from replica.core.freezing import Frozen, freeze_parts
from replica.core.node import Node
from replica.core.peers import Peers
from replica.core.roles import Roles
from replica.core.voter import Voter

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.core.config import CoreConfig
    from replica.core.election import Election
    from replica.core.follower import Follower
    from replica.core.journal import Durable, JournalRecord
    from replica.core.leader import Leader
    from replica.core.messages import Entry, Message
    from replica.core.reads import StrongReads
    from replica.core.reconfiguration import Reconfiguration
    from replica.core.recovery import Recovery


@attrs.define(eq=False, init=False)
class Replica:
    """The protocol core of one replica."""

    node: Node
    voter: Voter
    roles: Roles
    peers: Peers
    divergence: Divergence
    clients: Clients
    _notes_due: float

    def __init__(self, config: CoreConfig, durable: Durable | None = None, jitter: Callable[[], float] = lambda: 0.5, *, now: float = 0.0) -> None:
        """Begin.

        Args:
            config: who we are.
            durable: what the disk holds; None for a replica that never ran: it begins in the first view, whose leader is appointed.
            jitter: a number from 0 to 1 at each call, for the times of elections.
            now: the time, seconds, by the clock of ``step``: nobody is given up before an election's time has passed from here.
        """
        node = self.node = Node(config, now=now)
        node.on_applied = self._on_applied
        self.voter = Voter(node)
        self.roles = Roles(node, jitter)
        self.divergence = Divergence(node)
        self.peers = Peers(node, self.voter, self.roles, self.divergence)
        self.clients = Clients(node, self.voter, self.roles)
        self.roles.on_changed = self.clients.on_roles_changed
        self._notes_due = float("inf")
        if durable is not None:
            restoring.restore(node, durable)
            self.follower.new_view()
        elif not config.joins:
            node.view, node.leader = config.view, config.leader  # the same for all who never ran: nothing to write down
        self.election.heard_leader()
        if node.leads:
            self.roles.lead().start()

    @property
    def leader(self) -> Leader | None:
        """The leading part, if this replica leads."""
        return self.roles.leader

    @property
    def reads(self) -> StrongReads | None:
        """A leader's waiting reads."""
        return self.roles.reads

    @property
    def recovery(self) -> Recovery | None:
        """A new leader's recovery, until it serves."""
        return self.roles.recovery

    @property
    def reconfiguration(self) -> Reconfiguration | None:
        """A leader's part in changes of the members."""
        return self.roles.leader.reconfiguration if self.roles.leader is not None else None

    @property
    def follower(self) -> Follower:
        """The following part."""
        return self.roles.follower

    @property
    def election(self) -> Election:
        """The part in elections."""
        return self.roles.election

    # ------------------------------------------------------------------------------------------------------------------ events

    def step(self, event: Event, now: float) -> None:
        """Handle one event at time ``now`` (seconds, any origin, never decreasing)."""
        self.node.now = now
        match event:
            case Received(source=int() as source, messages=messages):
                for message in messages:
                    self.peers.on_message(source, message)
            case Received(source=source, messages=messages):
                for message in messages:
                    self.clients.on_message(source, message)
            case LinkUp(source=source, peer=peer):
                if peer:
                    assert isinstance(source, int), source
                    self.roles.link_up(source)
                else:
                    self.clients.link_up(source)
            case LinkDown(source=int() as source):
                self.roles.link_down(source)
            case LinkDown(source=source):
                self.clients.link_down(source)
            case Persisted(batch=batch):
                self.roles.on_persisted(batch)
            case _:
                assert_never(event)

    # ------------------------------------------------------------------------------------------------------------------ the turn

    def apply(self, commands_max: int) -> bool:
        """Apply committed entries, about ``commands_max`` commands at most; return whether some are left."""
        node = self.node
        left = node.apply(commands_max)
        if self.voter.early.records or self.voter.early_homes:
            opened = self.voter.retry_early(self.leader)
            if self.reads is not None:
                self.reads.on_appended(opened)
        if node.promoted:
            node.flush_promotions()
        if self.voter.waiting:
            self.voter.retry_waiting(node.now)
        if self.reads is not None:
            self.reads.on_confirmed()
        return left

    def _on_applied(self, entry: Entry) -> None:
        self.divergence.on_applied(entry.base)
        if self.leader is not None and self.reads is not None:
            self.leader.on_applied(entry)
            self.reads.on_applied(entry)

    def take_persist(self, now: float) -> tuple[int, list[JournalRecord]]:
        """Close the turn's entry and hand over what must be on disk before the turn's replies leave.

        Returns:
            (number of the batch, its records); when they are on disk the core is told ``Persisted``. No records: nothing to write.
        """
        self.node.now = now
        if self.leader is not None:
            self.leader.end_turn()
        records = self.node.journal.take()
        return self.node.journal.batch - 1, records

    def take_effects(self, now: float) -> Effects:
        """End the turn: make this turn's frames, and hand everything over; comes after ``take_persist``, if anything is ever to be on disk."""
        node = self.node
        node.now = now
        sends: list[tuple[int, list[Message]]] = []
        if self.leader is not None:
            self.leader.close_turn()
            if node.commit_index > node.applied_index and self.leader.alone:
                self.apply(node.log.last_position)  # all of it: nobody's acknowledgement begins another turn
            sends += self.leader.accepts(now)
            if self.reads is not None and self.leader.alone:
                self.reads.on_confirmed()
            self.leader.trim()
        else:
            sends += self.follower.acks()
            sends += self.follower.forwards(now)
            self.follower.trim()
        sends += node.take_sends()
        self._flush_notes(now)
        if node.held_replies:
            node.release_replies()
        replies = node.take_replies()
        applied, node.applied_commands = node.applied_commands, 0
        drops, node.drops = node.drops, []
        return Effects(sends, replies, applied, drops)

    def _flush_notes(self, now: float) -> None:
        node = self.node
        if not node.notes:
            self._notes_due = float("inf")  # also when a link took its notes with it
            return
        left = node.flush_notes(urgent=node.leads or now >= self._notes_due)
        self._notes_due = min(self._notes_due, now + node.config.note_seconds) if left else float("inf")

    def expire(self, now: float) -> None:
        """Run what is due; the turn that follows sends it."""
        self.node.now = now
        self.voter.retry_waiting(now)
        self.roles.expire()

    def deadline(self) -> float:
        """When ``expire`` (and a turn) is needed next, ``inf`` if never."""
        return min(self._notes_due, self.voter.deadline(), self.roles.deadline())

    def hand_over(self, peer: int = -1) -> bool:
        """Let another replica lead, if this one does and there is one that can; see ``Leader.hand_over``."""
        return self.roles.leader is not None and self.roles.leader.hand_over(peer)

    def checkpoint(self) -> list[JournalRecord]:
        """Tell what a journal must tell beyond the state that is applied at this moment, to begin anew with a snapshot of that state."""
        return checkpoint(self.node)

    # ------------------------------------------------------------------------------------------------------------------ looking at it

    def status(self) -> dict[str, object]:
        """Return what an operator wants to know (positions, not indices)."""
        node = self.node
        commit = node.log.view_at(node.commit_index)
        return {
            "id": node.config.id,
            "role": self.roles.name,
            "view": node.view,
            "leader": node.leader,
            "commit": self._commit_position() if commit is not None else node.applied_position,
            "applied": node.applied_position,
            "config_id": node.configuration.number,
            "mode": node.config.mode,
            "muted": node.muted,
            "home_sessions": sum(chain.home for chain in node.witness.chains.values()),
            "sessions": len(node.witness.chains),
            "held_commands": node.witness.commands,
            "log_bytes": node.log.size_bytes,
            "keys": node.store.live,
        }

    def _commit_position(self) -> int:
        node = self.node
        if node.commit_index < node.log.first_index:
            return node.applied_position
        entry = node.log.get(node.commit_index)
        return entry.base + len(entry.system) + len(entry.kinds)

    def check_invariants(self) -> None:
        """Assert the cheap invariants.

        Raises:
            AssertionError: our own bug.
        """
        node = self.node
        assert node.applied_index <= node.commit_index <= node.log.last_index, (node.applied_index, node.commit_index, node.log.last_index)
        if self.leader is not None:
            assert not self.leader.tail.writes or node.applied_index < self.leader.next_index

    def clone(self) -> Self:
        """Return an independent copy; settings, entries and runs, which never change, are shared."""
        node = self.node
        shared: list[object] = [node.config, *node.log.entries, *(run for chain in node.witness.chains.values() for run in chain.runs)]
        shared += [configuration for _, configuration in node.configurations.told]
        return copy.deepcopy(self, {id(item): item for item in shared})

    def freeze(self) -> Frozen:
        """Return the state in canonical form: equal states of different histories are equal."""
        node, roles, leader = self.node, self.roles, self.roles.leader
        parts = [node, node.journal, node.log, node.witness, self.voter, roles, roles.follower, roles.election, roles.receiving]
        if leader is not None:
            parts += [leader, leader.tail, leader.tracker, leader.registrar, leader.reconfiguration, roles.reads, roles.recovery]
        return freeze_parts([*parts, self.clients.postponed])
