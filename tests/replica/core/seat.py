"""A leader on its node, without links: what it would send is returned, and its followers answer when a test says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replica.core.config import CoreConfig, Mode
from replica.core.draft import Speculation
from replica.core.leader import Leader
from replica.core.messages import Accept, AcceptAck, OpenSession
from replica.core.node import Node
from replica.core.witness import Run
from statemachine.command import CAUSAL, PUT

if TYPE_CHECKING:
    from replica.core.messages import Value

CLIENT, OTHER = ("link", 1), ("link", 2)


class Seat:
    """A leader on its node, without links: what would be sent is returned."""

    def __init__(self, voters: int = 3, mode: Mode = "ho", *, opened: bool = True, linked: bool = True, **config: Any) -> None:
        self.node = Node(CoreConfig(id=0, voters=tuple(range(voters)), mode=mode, **config), view=1, leader=0)
        self.leader = Leader(self.node)
        self.node.on_applied = self.leader.on_applied
        self.now = 0.0
        self.leader.start()
        if linked:
            for peer in self.leader.progress:
                self.leader.link_up(peer)
        if opened:
            self.commit()

    def turn(self) -> dict[int, Accept]:
        """End the turn; returns the accept of each follower."""
        self.leader.end_turn()
        sent = {}
        for peer, (accept,) in self.leader.accepts(self.now):
            assert isinstance(accept, Accept)
            sent[peer] = accept
        return sent

    def ack(self, *peers: int, match: int = -1) -> None:
        """Followers have the log up to ``match`` (all of it)."""
        for peer in peers or self.leader.progress:
            self.leader.on_accept_ack(peer, AcceptAck(1, 1, match if match >= 0 else self.node.log.last_index, self.leader.round, []))

    def commit(self) -> None:
        """End the turn, have all followers acknowledge, and apply."""
        self.turn()
        self.ack()
        self.apply()

    def apply(self) -> None:
        while self.node.apply(1 << 30):
            pass

    def open(self, *tokens: bytes) -> list[int]:
        self.leader.registrar.on_open_session(CLIENT, OpenSession([*tokens], 30.0))
        self.commit()
        return [self.node.sessions.tokens[token] for token in tokens]

    def hold(self, session: int, kinds: bytes, *keys: bytes) -> None:
        """The leader's own witness takes a session's next commands."""
        chain = self.node.witness.chains[session]
        values: list[Value] = [b"v" if kind & ~CAUSAL == PUT else [None, b"w"] for kind in kinds]
        self.node.witness.hold(chain, Run(chain.held + 1, chain.held + len(kinds), kinds, list(keys), values, 1), self.now)

    def append(self, session: int, kinds: bytes, *keys: bytes) -> Speculation:
        """A session's next commands come to the leader."""
        self.hold(session, kinds, *keys)
        speculation = Speculation()
        assert self.leader.append(self.node.witness.chains[session], speculation)
        return speculation

    def puts(self, session: int, *keys: bytes) -> Speculation:
        return self.append(session, bytes(len(keys)), *keys)

    def replies(self, link: object) -> list[object]:
        return list(self.node.outbox.pop(link, []))
