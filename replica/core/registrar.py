"""The beginnings and ends of sessions, which are entries of the log like everything that all replicas must agree on.

A session that nobody speaks for as long as its *lease* is ends.  Only the leader's clock counts, from when it last heard of a client: by what came on
the client's link, or by a keep-alive that a follower tells on (a command that it forwards may be old).  A new leader begins all leases
anew.  No witness drops a session's commands by a timer of its own: what recovery counts on must not depend on clocks.

While the leader hands over, the log must not grow: openings are asked for again, and ends wait until that has come to something, or to nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from replica.core.messages import SessionOpened
from replica.core.tail import CLOSED, Logged
from statemachine.command import CLOSE, EXPIRE, OPEN

if TYPE_CHECKING:
    from replica.core.effects import Source
    from replica.core.leader import Leader
    from replica.core.messages import Entry, OpenSession
    from replica.core.node import Node

LOOK_SECONDS = 1.0
"""How often leases are looked at; they are much longer."""
LOOK_SESSIONS = 4096
"""As many leases are looked at in one turn: 100,000 would take 30 ms, and their ends, once a client of that many is gone, much longer."""
MORE_SECONDS = 1 / 32
"""When the next ones are looked at, if there are more."""


@attrs.define(eq=False)
class Registrar:
    """The leader's part in it."""

    node: Node
    leader: Leader
    began_at: float
    """When all leases began anew, seconds."""
    look_at: float = math.inf
    """When to look at leases, seconds."""
    unseen: list[int] = attrs.Factory(list)
    """Sessions whose leases are to be looked at before all are looked at again."""
    opening: dict[bytes, Source] = attrs.Factory(dict)
    # {token: the link that asked}
    closing: dict[int, int] = attrs.Factory(dict)
    # {session: its last command; it ends when that is applied}

    def begin(self) -> None:
        """Begin all leases: the leader serves."""
        self.began_at = self.node.now
        self.look_at = self.node.now + LOOK_SECONDS

    def on_heard(self, sessions: list[int]) -> None:
        """Clients spoke for these sessions."""
        for chain in filter(None, map(self.node.witness.chains.get, sessions)):
            chain.heard_at = self.node.now

    def _over(self) -> list[int]:
        """Return those of the next sessions whose lease is over."""
        node = self.node
        chains, table, began = node.witness.chains, node.sessions.table, self.began_at
        unseen = self.unseen or list(table)
        seen, self.unseen = unseen[:LOOK_SESSIONS], unseen[LOOK_SESSIONS:]
        self.look_at = node.now + (MORE_SECONDS if self.unseen else LOOK_SECONDS)
        return [
            session for session in seen
            if session in table and node.now - max(chains[session].heard_at, began) > table[session].lease_seconds
        ]  # fmt: skip

    def on_open_session(self, source: Source, message: OpenSession) -> None:
        """Log the opening of sessions; a token that is open already is answered at once."""
        node = self.node
        tokens, sessions = [], []
        for token in message.tokens:
            known = node.sessions.tokens.get(token)
            if known is None and token not in self.opening:
                if self.leader.handing_over is not None:
                    continue
                if len(node.witness.chains) + len(self.opening) >= node.config.sessions_max:
                    known = 0
                else:
                    self.leader.draft.system.append([OPEN, token, float(message.lease_seconds)])
            if known is None:
                self.opening[token] = source
            else:
                tokens.append(token)
                sessions.append(known)
        if tokens:
            node.reply(source, SessionOpened(tokens, sessions))

    def on_close_session(self, lasts: dict[int, int]) -> None:
        """Log the end of sessions as soon as all up to their last commands is applied; nothing of theirs enters the log behind it.

        What their homes acknowledged may not have come here yet: they forward it, or the lease ends the session (docs/protocol.md, section 11).

        Args:
            lasts: ``{session: its last command}``.
        """
        for session, last in lasts.items():
            chain, logged = self.node.witness.chains.get(session), self.leader.logged.get(session)
            if chain is None or (logged is not None and logged.number == CLOSED):
                continue
            done = last <= chain.held == chain.committed and (logged is None or logged.number == chain.committed)
            if done and self.leader.handing_over is None:
                self.leader.logged[session] = Logged(CLOSED)
                self.leader.draft.system.append([CLOSE, session])
            else:
                self.closing[session] = last

    def expire_sessions(self) -> None:
        """Log the end of the sessions whose leases are over, and of those that were closed while the leader handed over."""
        if self.leader.handing_over is not None:
            self.look_at = self.node.now + MORE_SECONDS
            return
        self.on_close_session(dict(self.closing))
        over = self._over()
        if not set(over).isdisjoint(self.leader.draft.sessions):
            self.leader.close_turn()  # an entry's system commands are applied first: what a session said in this turn stands before its end
        for session in over:
            logged = self.leader.logged.get(session)
            if logged is None or logged.number != CLOSED:
                self.leader.logged[session] = Logged(CLOSED)
                self.leader.draft.system.append([EXPIRE, session])

    def on_applied(self, entry: Entry) -> None:
        """Follow the apply step: who waited for its openings is answered, and who waited for their last command ends."""
        if self.closing:
            self.on_close_session({session: self.closing[session] for session in entry.sessions if session in self.closing})
        for command in entry.system:
            if command[0] in {CLOSE, EXPIRE}:
                session = command[1]
                assert isinstance(session, int)
                self.leader.logged.pop(session, None)
                self.closing.pop(session, None)
            if command[0] == OPEN:
                token = command[1]
                assert isinstance(token, bytes)
                link = self.opening.pop(token, None)
                if link is not None:
                    self.node.reply(link, SessionOpened([token], [self.node.sessions.tokens[token]]))
