"""A follower that is spoken to by hand: clients' frames, and the leader's log entry by entry."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from replica.core.config import CoreConfig, Mode
from replica.core.effects import LinkDown, LinkUp, Received
from replica.core.messages import (
    Accept,
    CausalRead,
    Entry,
    Message,
    Record,
    RecordAck,
)
from replica.core.replica import Replica
from statemachine.command import CAUSAL, DELETE, OPEN, PUT

if TYPE_CHECKING:
    from replica.core.messages import Query, Value

Told = dict[object, list["Message"]]
LINK, OTHER = ("link", 1), ("link", 2)
A, B = 1, 2


class Stand:
    """Replica 1 of three, a follower, spoken to by hand; sessions 1 and 2 are open."""

    def __init__(self, mode: Mode = "ho", *, sessions: int = 2, **config: Any) -> None:
        self.replica = Replica(CoreConfig(id=1, voters=(0, 1, 2), mode=mode, **{"election_seconds": math.inf, **config}))
        self.now = 0.0
        self.entries = 0
        self.position = 0
        for link in (LINK, OTHER):
            self.step(LinkUp(link, peer=False))
        self.turn()
        if sessions:
            self.log(system=[[OPEN, b"%d" % number, 30.0] for number in range(sessions)])

    def step(self, event: Received | LinkUp | LinkDown) -> None:
        self.replica.step(event, self.now)

    def say(self, *messages: Message, link: object = LINK) -> list[Message]:
        """Send a frame from a client; returns what it is answered in that turn."""
        self.step(Received(link, list(messages)))
        return self.turn().get(link, [])

    def turn(self) -> Told:
        if self.replica.deadline() <= self.now:
            self.replica.expire(self.now)
        while self.replica.apply(1 << 30):
            pass
        effects = self.replica.take_effects(self.now)
        self.replica.check_invariants()
        self.replica.node.witness.check_invariants()
        return dict(effects.replies)

    def log(
        self, session: int = 0, first: int = 0, *commands: tuple[int, bytes], system: list[list[object]] | None = None, commit: bool = True
    ) -> dict[object, list[Message]]:
        """The leader's log brings an entry, which may be committed by then; returns what clients are told in that turn."""
        previous, self.entries = self.entries, self.entries + 1
        kinds, keys, values = columns(*commands)
        runs = ([session], [first], [len(kinds)], [1]) if kinds else ([], [], [], [])
        entry = Entry(self.entries, 1, self.position, system or [], *runs, kinds, keys, values)
        self.position += len(entry.system) + len(kinds)
        accept = Accept(1, 1, previous, 1 if previous else 0, self.entries if commit else 0, 0, [entry])
        self.step(Received(0, [accept]))
        return self.turn()

    def levels(self, session: int = A) -> tuple[int, int, int]:
        chain = self.replica.node.witness.chains[session]
        return chain.committed, chain.accepted, chain.held


def columns(*commands: tuple[int, bytes]) -> tuple[bytes, list[bytes], list[Value]]:
    values: list[Value] = [b"v" if kind & ~CAUSAL == PUT else None if kind & ~CAUSAL == DELETE else [b"v", b"w"] for kind, _ in commands]
    return bytes(kind for kind, _ in commands), [key for _, key in commands], values


def record(session: int, first: int, *commands: tuple[int, bytes], previous: int = -1) -> Record:
    return Record([session], [first], [len(commands)], [first - 1 if previous < 0 else previous], [1], *columns(*commands))


def causal_read(session: int, first: int, floor: int, *queries: Query) -> CausalRead:
    return CausalRead([session], [first], [len(queries)], [floor], list(queries))


def ack(session: int, held: int, accepted: int) -> RecordAck:
    return RecordAck(1, 1, [session], [held], [accepted], [])


def refusal(session: int, reason: int) -> RecordAck:
    return RecordAck(1, 1, [], [], [], [[session, reason]])
