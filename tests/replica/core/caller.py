"""A client process that is answered by hand: what it sends is looked at, what it hears is written by the test."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from replica.core.client import Client, ClientConfig
from replica.core.messages import AnchorAck, Applied, CausalReadReply, Leader, Message, RecordAck, SessionOpened, SpecReply, StrongReadReply
from statemachine.command import CAS_VALUE, CAUSAL, DELETE, PUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from replica.core.config import Mode
    from replica.core.flights import Completion
    from replica.core.messages import Query, Value
    from replica.core.session import Session

SESSION = 9
"""Its number is a log position too: the floor of its first causal reads."""
LEADER = 0


class Caller:
    """A client of ``voters`` replicas with one open session; replica 0 leads view 1, replica 1 is the session's home."""

    def __init__(self, voters: int = 3, mode: Mode = "ho", *, home: int = 1, **config: Any) -> None:
        self.voters = tuple(range(voters))
        self.client = Client(ClientConfig(voters=self.voters, mode=mode, **config))
        self.now = 0.0
        for replica in self.voters:
            self.client.link_up(replica, self.now)
        self.hear(LEADER, Leader(1, 1, LEADER))
        self.session = self.open(b"t", SESSION)
        if home < voters and self.session.home != home:
            for replica in self.voters:
                if replica != home:
                    self.client.link_down(replica, self.now)
            for replica in self.voters:
                if replica != home:
                    self.client.link_up(replica, self.now)
        self.sent()

    def open(self, token: bytes, number: int) -> Session:
        session = self.client.open_session(token, token)
        (completion,) = self.hear(LEADER, SessionOpened([token], [number]))
        assert completion.session is session
        return session

    # ------------------------------------------------------------------------------------------------------------------- what it hears

    def hear(self, replica: int, *messages: Message) -> list[Completion]:
        """A frame comes from a replica; returns what completes in that turn."""
        self.client.step(replica, list(messages), self.now)
        return self.client.take_completions(self.now)

    def ack(self, replica: int, held: int, accepted: int | None = None, *, view: int = 1, config: int = 1) -> list[Completion]:
        return self.hear(replica, RecordAck(config, view, [SESSION], [held], [held if accepted is None else accepted], []))

    def refuse(self, replica: int, reason: int, held: int | None = None) -> list[Completion]:
        """A replica takes no command; ``held``: it knows the session, and has its commands up to here."""
        levels = [] if held is None else [held]
        return self.hear(replica, RecordAck(1, 1, [SESSION] * len(levels), levels, levels, [[SESSION, reason]]))

    def speculate(self, first: int, last: int, *results: list[int], view: int = 1, replica: int = LEADER, position: int = 0) -> list[Completion]:
        """The leader speculated; ``results`` are ``[number, outcome]``."""
        placed = [[number - first, outcome] for number, outcome in results]
        return self.hear(replica, SpecReply(1, view, position, [SESSION], [first], [last - first + 1], placed))

    def applied(self, replica: int, upto: int, *results: list[int], position: int = 0, view: int = 1) -> list[Completion]:
        """A replica applied the session's commands; ``results`` are ``[number, outcome]``."""
        numbered = [[SESSION, *result] for result in results]
        return self.hear(replica, Applied(1, view, replica == LEADER, position or 10 + upto, [SESSION], [upto], numbered))

    def strong_values(self, first: int, *answers: tuple[Value, int], view: int = 1, indexed: bool = False, horizon: int = 0) -> list[Completion]:
        values, versions = [value for value, _ in answers], [version for _, version in answers]
        return self.hear(LEADER, StrongReadReply(1, view, indexed, horizon, [SESSION], [first], [len(values)], values, versions))

    def confirm(self, replica: int, read: int, anchored: int, *, view: int = 1) -> list[Completion]:
        return self.hear(replica, AnchorAck(1, view, [SESSION], [read], [anchored]))

    def causal_values(
        self, first: int, *answers: tuple[Value, int], replica: int = 1, position: int = 100, applied: int = 0, horizon: int = 0
    ) -> list[Completion]:
        values, versions = [value for value, _ in answers], [version for _, version in answers]
        return self.hear(replica, CausalReadReply(position, horizon, [SESSION], [first], [len(values)], [applied], values, versions, []))

    def lagging(self, first: int, count: int, replica: int = 1) -> list[Completion]:
        return self.hear(replica, CausalReadReply(1, 0, [], [], [], [], [], [], [[SESSION, first, count]]))

    # -------------------------------------------------------------------------------------------------------------------- what it asks

    def put(self, *keys: bytes, causal: bool = False, handle: object = None) -> int:
        kind = PUT | CAUSAL if causal else PUT
        return self.session.record(bytes([kind]) * len(keys), list(keys), [b"v" + key for key in keys], handle, self.now)

    def delete(self, key: bytes, *, causal: bool = False, handle: object = None) -> int:
        return self.session.record(bytes([DELETE | CAUSAL if causal else DELETE]), [key], [None], handle, self.now)

    def cas(self, *keys: bytes, handle: object = None) -> int:
        return self.session.record(bytes([CAS_VALUE]) * len(keys), list(keys), [[b"old", b"new " + key] for key in keys], handle, self.now)

    def strong_read(self, *queries: Query, handle: object = None) -> None:
        self.session.strong_read(list(queries), handle, self.now)

    def causal_read(self, *queries: Query, handle: object = None) -> None:
        self.session.causal_read(list(queries), handle, self.now)

    # -------------------------------------------------------------------------------------------------------------------- what it sends

    def sent(self) -> dict[int, list[Message]]:
        """End the turn; returns the frame for each replica."""
        return dict(self.client.take_sends())

    def sections(self, kind: type, replica: int | None = None) -> list[Any]:
        """End the turn; returns the sections of one kind (to one replica)."""
        return [message for place, frame in self.sent().items() if replica in {None, place} for message in frame if isinstance(message, kind)]

    def wait(self, seconds: float, queued_bytes: Mapping[int, int] = MappingProxyType({})) -> list[Completion]:
        """Time passes, and what is due is run; ``queued_bytes``: what links have yet to send."""
        self.now += seconds
        if self.client.deadline() <= self.now:
            self.client.expire(self.now, queued_bytes)
        return self.client.take_completions(self.now)


def brief(completions: list[Completion]) -> list[tuple[object, int, int, bool]]:
    """Return (handle, first, count, fast) of each."""
    return [(c.handle, c.first, c.count, c.fast) for c in completions]


def results(completions: list[Completion]) -> list[tuple[Any, Any]]:
    """Return (handle, values) of each."""
    return [(c.handle, c.values) for c in completions]


def values_of(completions: list[Completion]) -> list[Any]:
    """Return the values of the one completion."""
    (completion,) = completions
    return list(completion.values or [None] * completion.count)
