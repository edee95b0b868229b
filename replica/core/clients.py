"""What clients say: each section to who handles it, and a redirection where only a leader can.

While a new leader recovers, what it cannot answer yet waits here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from replica.core import messages as m
from replica.core.node import GAP

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.core.effects import Source
    from replica.core.messages import Message
    from replica.core.node import Node
    from replica.core.roles import Roles
    from replica.core.voter import Voter

    Step = Callable[[Source, Any], None]

POSTPONED = (m.OpenSession, m.CloseSession, m.StrongRead, m.ReadIndex)
"""What a leader cannot answer before it has recovered."""


@attrs.define(eq=False)
class Clients:
    """The side of a replica that clients speak to."""

    node: Node
    voter: Voter
    roles: Roles
    postponed: list[tuple[Source, Message]] = attrs.Factory(list)
    """Requests that wait until a new leader serves."""
    _steps: dict[type, Step] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._steps = self._steps_for_clients()

    def link_up(self, source: Source) -> None:
        """A client is linked: it must know who leads."""
        self.node.clients[source] = None
        self._redirect(source)

    def link_down(self, source: Source) -> None:
        """A client's link broke: nothing of it is waited for any more."""
        self.node.forget_link(source)
        self.voter.forget_link(source)
        if self.roles.reads is not None:
            self.roles.reads.forget_link(source)

    def on_message(self, source: Source, message: Message) -> None:
        """Give a section to its handler; one that no client says is dropped by name."""
        if self.roles.recovery is not None and isinstance(message, POSTPONED):
            if len(self.postponed) < self.node.config.postponed_max:
                self.postponed.append((source, message))
            return
        step = self._steps.get(type(message))
        if step is None:
            self.node.drops.append((source, f"unexpected_{type(message).__name__}"))
        else:
            step(source, message)

    def on_roles_changed(self) -> None:
        """Take up what was postponed: the leader serves now, or somebody else does."""
        postponed, self.postponed = self.postponed, []
        for source, message in postponed:
            if source in self.node.clients:
                self.on_message(source, message)

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
        if self.roles.reads is None:
            self._redirect(source)
        else:
            self.roles.reads.on_strong_read(source, read)

    def _on_read_index(self, source: Source, read: m.ReadIndex) -> None:
        if self.roles.reads is None:
            self._redirect(source)
        else:
            self.roles.reads.on_read_index(source, read)

    def _on_ping(self, source: Source, ping: m.Ping) -> None:
        """Answer, unless no leader is heard, or what it says is not applied in time: such a home knows nothing new, and is better left as if it were
        silent.
        """
        self._redirect(source)  # who missed the news of a new leader learns it here
        if self.roles.election.hears_leader() and (self.node.leads or self.roles.follower.keeps_up()):
            self.node.reply(source, m.Pong(ping.nonce))

    def _on_open_session(self, source: Source, opening: m.OpenSession) -> None:
        if self.roles.leader is None:
            self._redirect(source)
        else:
            self.roles.leader.registrar.on_open_session(source, opening)

    def _on_close_session(self, source: Source, closing: m.CloseSession) -> None:  # noqa: ARG002 - one signature for all
        if self.roles.leader is not None:
            self.roles.leader.registrar.on_close_session(dict(zip(closing.sessions, closing.lasts, strict=True)))

    def _on_keep_alive(self, source: Source, alive: m.KeepAlive) -> None:
        """Count leases anew, or let the leader do it: a client may be cut off from that, and not from us.

        Sessions that ended are told of: who was away for long learns it before it has a command that nobody can say the outcome of.
        """
        if self.roles.leader is not None:
            self.roles.leader.registrar.on_heard(alive.sessions)
        else:
            self.roles.follower.on_heard(alive.sessions)
        node = self.node
        unknown = [session for session in alive.sessions if session not in node.witness.chains]
        if ended := [[session, reason] for session in unknown if (reason := node.refusal(session)) != GAP]:
            node.reply(source, m.RecordAck(node.configuration.number, node.view, [], [], [], ended))

    def _on_record(self, source: Source, record: m.Record) -> None:
        self.voter.on_record(source, record, self.roles.leader)
        if self.roles.reads is not None:
            self.roles.reads.on_appended(record.sessions)

    def _redirect(self, source: Source) -> None:
        self.node.reply_durable(source, m.Leader(self.node.configuration.number, self.node.view, self.node.leader))
        if self.node.configuration.number > 1:  # of the first one the hello told
            self.node.tell_members(source)
