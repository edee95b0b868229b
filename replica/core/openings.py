"""A client's sessions that are not open yet: asked for under their tokens, again and again, until the leader answers.

One that is given up before is not asked for any more, or who opens sessions and gives up all through an outage would be owed them all when it ends.
It may be in the log all the same, and is closed when its answer comes; if none does, its lease ends it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from replica.core import messages as m
from replica.core.flights import Completion, CompletionKind
from replica.core.session import Session

if TYPE_CHECKING:
    from replica.core.client import Client


@attrs.define(eq=False)
class Openings:
    """What one client has asked for; see the module."""

    client: Client
    waiting: dict[bytes, Session] = attrs.Factory(dict)
    # {token: session that is not open yet}
    given_up: dict[bytes, float] = attrs.Factory(dict)
    # {token: when the session was given up}, for as long as its lease may keep it open
    at: float = math.inf
    """When to ask again, seconds."""

    def begin(self, token: bytes, handle: object) -> Session:
        """Ask for a session."""
        session = Session(self.client, token, handle)
        session.new_view()
        if not self.waiting:
            self.at = self.client.now + self.client.config.resend_seconds
        self.waiting[token] = session
        self._ask([token])
        return session

    def ask_again(self) -> None:
        """Ask for all that are not open yet."""
        self.at = self.client.now + self.client.config.resend_seconds
        if self.waiting:
            self._ask(list(self.waiting))

    def _ask(self, tokens: list[bytes]) -> None:
        target = self.client.targets.get(self.client.leader)
        if target is not None and target.linked:
            target.extra.append(m.OpenSession(tokens, self.client.config.lease_seconds))

    def give_up(self, session: Session) -> None:
        """Nobody wants a session any more, which may be open already."""
        if self.waiting.pop(session.token, None) is None:
            return
        now, given_up = self.client.now, self.given_up
        given_up[session.token] = now
        while given_up[oldest := next(iter(given_up))] + self.client.config.lease_seconds < now:
            del given_up[oldest]
        self._completed(session, CompletionKind.FAILED, session.lost)

    def on_opened(self, replica: int, opened: m.SessionOpened) -> None:
        """Sessions are open, or refused (number 0)."""
        client = self.client
        for token, number in zip(opened.tokens, opened.sessions, strict=True):
            if self.given_up.pop(token, None) is not None and number:
                client.targets[replica].extra.append(m.CloseSession([number], [0]))
            session = self.waiting.pop(token, None)
            if session is None:
                continue
            if number == 0:
                session.lost = "too many sessions"
                self._completed(session, CompletionKind.FAILED, session.lost)
                continue
            session.id = session.floor = number
            client.sessions[number] = session
            session.home = client.homes.choose(session.id, list(client.targets))
            client.targets[session.home].extra.append(m.Home([number], home=True))
            self._completed(session, CompletionKind.OPENED, "")

    def _completed(self, session: Session, kind: CompletionKind, reason: str) -> None:
        self.client.completions.append(Completion(session, session.handle, kind, 0, 1, reason=reason))

    def deadline(self) -> float:
        """When to ask again."""
        return self.at if self.waiting else math.inf
