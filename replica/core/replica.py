"""One replica, sans-IO: events and the time go in, effects come out.

This module only dispatches.  A driver (or a simulator) calls ``step`` for each event, ``expire`` when ``deadline`` has come, ``apply`` until it
is told that nothing is left, and ``take_effects`` once a turn.  A peer's or client's nonsense becomes a drop with a reason; an assertion
error is our own bug and must end the process.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self, assert_never

import attrs

from replica.core import messages as m
from replica.core.effects import Effects, Event, LinkDown, LinkUp, Received, Source
from replica.core.follower import Follower
from replica.core.freezing import Frozen, freeze
from replica.core.leader import Leader
from replica.core.node import Node
from replica.core.reads import StrongReads
from replica.core.voter import Voter

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from replica.core.config import CoreConfig
    from replica.core.messages import Entry, Message

    Step = Callable[[Source, Any], None]


@attrs.define(eq=False, init=False)
class Replica:
    """The protocol core of one replica."""

    node: Node
    voter: Voter
    follower: Follower
    leader: Leader | None
    reads: StrongReads | None
    _notes_due: float
    _client_steps: dict[type, Step]

    def __init__(self, config: CoreConfig) -> None:
        self.node = Node(config, view=config.view, leader=config.leader)
        self.node.on_applied = self._on_applied
        self.voter = Voter(self.node)
        self.follower = Follower(self.node)
        self.leader = None
        self.reads = None
        self._notes_due = float("inf")
        if self.node.leads:
            self._become_leader()
        self._client_steps = self._steps_for_clients()

    def _become_leader(self) -> None:
        assert self.leader is None
        self.leader = Leader(self.node)
        self.reads = StrongReads(self.node, self.leader)
        self.leader.start()

    # ------------------------------------------------------------------------------------------------------------------ events

    def step(self, event: Event, now: float) -> None:
        """Handle one event at time ``now`` (seconds, any origin, never decreasing)."""
        self.node.now = now
        match event:
            case Received(source=source, messages=messages):
                for message in messages:
                    self._on_message(source, message)
            case LinkUp(source=source, peer=peer):
                if not peer:
                    self.node.reply(source, m.Leader(self.node.config.config, self.node.view, self.node.leader))
                elif self.leader is not None:
                    self.leader.link_up(_peer(source))
            case LinkDown(source=source):
                self._on_link_down(source)
            case _:
                assert_never(event)

    def _on_link_down(self, source: Source) -> None:
        if isinstance(source, int):
            if self.leader is not None:
                self.leader.link_down(source)
            return
        self.node.forget_link(source)
        self.voter.forget_link(source)
        if self.reads is not None:
            self.reads.forget_link(source)

    def _on_message(self, source: Source, message: Message) -> None:
        """Give a section to its handler; one that makes no sense from this source is dropped by name."""
        if isinstance(source, int):
            self._on_peer_message(source, message)
            return
        step = self._client_steps.get(type(message))
        if step is None:
            self.node.drops.append((source, f"unexpected_{type(message).__name__}"))
        else:
            step(source, message)

    def _steps_for_clients(self) -> dict[type, Step]:
        """Table of what clients may send; a table, not a match, because it is asked for each section."""
        return {
            m.Record: self._on_record,
            m.Anchor: self.voter.on_anchor,
            m.CausalRead: self.voter.on_causal_read,
            m.StrongRead: self._on_strong_read,
            m.ReadIndex: self._on_read_index,
            m.Home: self.voter.on_home,
            m.Ping: self._on_ping,
            m.OpenSession: self._on_open_session,
            m.CloseSession: self._on_close_session,
            m.KeepAlive: self._on_keep_alive,
        }

    def _on_strong_read(self, source: Source, read: m.StrongRead) -> None:
        if self.reads is None:
            self._redirect(source)
        else:
            self.reads.on_strong_read(source, read)

    def _on_read_index(self, source: Source, read: m.ReadIndex) -> None:
        if self.reads is None:
            self._redirect(source)
        else:
            self.reads.on_read_index(source, read)

    def _on_ping(self, source: Source, ping: m.Ping) -> None:
        self.node.reply(source, m.Pong(ping.nonce))

    def _on_open_session(self, source: Source, opening: m.OpenSession) -> None:
        if self.leader is None:
            self._redirect(source)
        else:
            self.leader.on_open_session(source, opening)

    def _on_close_session(self, source: Source, closing: m.CloseSession) -> None:  # noqa: ARG002 - one signature for all
        if self.leader is not None:
            self.leader.on_close_session(closing.sessions)

    def _on_keep_alive(self, source: Source, alive: m.KeepAlive) -> None:
        """Take note of nothing yet: leases are counted when there are elections."""

    def _on_record(self, source: Source, record: m.Record) -> None:
        self.voter.on_record(source, record, self.leader)
        if self.reads is not None:
            self.reads.on_appended(record.sessions)

    def _redirect(self, source: Source) -> None:
        self.node.reply(source, m.Leader(self.node.config.config, self.node.view, self.node.leader))

    def _on_peer_message(self, source: int, message: Message) -> None:
        if source not in self.node.config.voters or source == self.node.config.id:
            self.node.drops.append((source, "not_a_peer"))
            return
        match message:
            case m.Accept() | m.AcceptAck() | m.AcceptNack():
                if (message.config, message.view) != (self.node.config.config, self.node.view):
                    self.node.drops.append((source, "other_view"))
                elif isinstance(message, m.Accept):
                    if source == self.node.leader:
                        self.follower.on_accept(message)
                    else:
                        self.node.drops.append((source, "not_the_leader"))
                elif self.leader is not None:
                    self._on_acknowledged(self.leader, source, message)
            case m.Forward():
                if self.leader is not None:
                    self.voter.on_record(source, message.record, self.leader, forwarded=True)
                    assert self.reads is not None
                    self.reads.on_appended(message.record.sessions)
            case _:
                self.node.drops.append((source, f"unexpected_{type(message).__name__}"))

    def _on_acknowledged(self, leader: Leader, source: int, message: m.AcceptAck | m.AcceptNack) -> None:
        if isinstance(message, m.AcceptNack):
            leader.on_accept_nack(source, message)
        elif message.match_index > self.node.log.last_index:
            self.node.drops.append((source, "ack_beyond_log"))
        else:
            leader.on_accept_ack(source, message)
        if self.reads is not None:
            self.reads.on_confirmed()

    # ------------------------------------------------------------------------------------------------------------------ the turn

    def apply(self, commands_max: int) -> bool:
        """Apply committed entries, about ``commands_max`` commands at most; return whether some are left."""
        node = self.node
        left = node.apply(commands_max)
        if self.voter.early or self.voter.early_homes:
            self.voter.retry_early(self.leader)
        if node.promoted:
            node.flush_promotions()
        if self.voter.waiting:
            self.voter.retry_waiting(node.now)
        if self.reads is not None:
            self.reads.on_confirmed()
        return left

    def _on_applied(self, entry: Entry) -> None:
        if self.leader is not None and self.reads is not None:
            self.leader.on_applied(entry)
            self.reads.on_applied(entry.index)

    def take_effects(self, now: float) -> Effects:
        """End the turn: make this turn's entry and frames, and hand everything over."""
        node = self.node
        node.now = now
        sends: list[tuple[int, list[Message]]] = []
        if self.leader is not None:
            self.leader.close_turn()
            if node.commit_index > node.applied_index and not self.leader.progress:
                self.apply(node.log.last_position)  # all of it: nobody's acknowledgement begins another turn
            sends += self.leader.accepts(now)
            if self.reads is not None and not self.leader.progress:
                self.reads.on_confirmed()
            self.leader.trim()
        else:
            sends += self.follower.acks()
            sends += self.follower.forwards(now)
            self.follower.trim()
        self._flush_notes(now)
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

    def deadline(self) -> float:
        """When ``expire`` (and a turn) is needed next, ``inf`` if never."""
        due = min(self._notes_due, self.voter.deadline())
        if self.leader is not None:
            return min(due, self.leader.deadline())
        if self.node.witness.commands:
            return min(due, self.follower.forward_at)
        return due

    # ------------------------------------------------------------------------------------------------------------------ looking at it

    def status(self) -> dict[str, object]:
        """Return what an operator wants to know (positions, not indices)."""
        node = self.node
        commit = node.log.view_at(node.commit_index)
        return {
            "id": node.config.id,
            "role": "leader" if node.leads else "follower",
            "view": node.view,
            "leader": node.leader,
            "commit": self._commit_position() if commit is not None else node.applied_position,
            "applied": node.applied_position,
            "config_id": node.config.config,
            "mode": node.config.mode,
            "home_sessions": sum(chain.home for chain in node.witness.chains.values()),
            "sessions": len(node.witness.chains),
            "held_commands": node.witness.commands,
            "log_bytes": node.log.size_bytes,
            "keys": len(node.store.values),
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
        """Return an independent copy; messages and runs, which never change, are shared."""
        return copy.deepcopy(self)

    def freeze(self) -> Frozen:
        """Return the state in canonical form: equal states of different histories are equal."""
        return freeze((self.node, self.voter, self.follower, self.leader, self.reads))


def _peer(source: Source) -> int:
    assert isinstance(source, int), source
    return source
