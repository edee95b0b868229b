"""Wrong clients, planted like the bugs of ``planted``: what they lay over, what they send again and what they let go."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from replica.core.client import Client
from replica.core.own_writes import OwnWrites
from replica.core.resending import Resending
from replica.core.session import Session
from statemachine.command import CAUSAL

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = tuple[Any, str, Any]
SHORT_BYTES = 1
"""So much of a key is looked at where it is cut short."""


def nothing_laid_over() -> list[Patch]:
    """D19: a causal read shows what its home has, without the session's own writes."""
    return [(OwnWrites, "lay_over", lambda self, queries, values, versions, applied, dependency: False)]  # noqa: ARG005 - the signature is the core's


def own_put_is_none() -> list[Patch]:
    """D20: a session notes the answer of a put instead of its value: a read shows nothing there."""
    note = OwnWrites.note

    def the_answer(self: Any, run: Any) -> None:
        note(self, run)
        for number, key in enumerate(run.keys, run.first):
            self.newest[key] = (number, None)

    return [(OwnWrites, "note", the_answer)]


def keys_cut_short() -> list[Patch]:
    """D11: own writes are looked up by the first bytes of their keys: a read gets another key's value."""
    lay_over = OwnWrites.lay_over

    def by_first_bytes(self: Any, queries: Any, *columns: Any) -> bool:
        newest = self.newest
        short = {key[:SHORT_BYTES]: own for key, own in newest.items()}
        self.newest = {key: short[key[:SHORT_BYTES]] for key in queries if isinstance(key, bytes) and key[:SHORT_BYTES] in short}
        laid: bool = lay_over(self, queries, *columns)
        self.newest = newest
        return laid

    return [(OwnWrites, "lay_over", by_first_bytes)]


def own_writes_stay() -> list[Patch]:
    """D22: own writes are kept when the home has applied them, and hide what others wrote since."""

    def keep(self: Any, upto: int) -> None:
        """Drop nothing."""

    return [(OwnWrites, "drop", keep)]


def causal_writes_stay() -> list[Patch]:
    """D24: a session lets go of strong commands only: one that has causal writes grows."""
    trim = Session._trim_log

    def strong_only(self: Any) -> None:
        if not (self.log and self.log[0].causal):
            trim(self)

    return [(Session, "_trim_log", strong_only)]


def strong_reads_anywhere() -> list[Patch]:
    """D64: a strong read is answered by the home from its state."""
    strong_read = Session.strong_read

    def at_home(self: Any, queries: Any, handle: object, now: float, *, versioned: bool = False) -> None:
        if self.client.causal_mode:
            self.causal_read(queries, handle, now)
        else:
            strong_read(self, queries, handle, now, versioned=versioned)

    return [(Session, "strong_read", at_home)]


def nothing_from_the_dead() -> list[Patch]:
    """D48: when a home dies, the causal reads that wait for it complete with nothing."""
    leave = Client.leave

    def complete(self: Any, replica: int) -> None:
        for session in self.sessions.values():
            for flight in list(session.causal_reads.values()) if session.home == replica else ():
                nothing = [None if isinstance(item, bytes) else [[], False] for item in flight.queries]
                for part in flight.fresh([(0, nothing, [0] * flight.count)]):
                    session._finish_causal(flight, part, 0, 0)
                del session.causal_reads[flight.first]
        leave(self, replica)

    return [(Client, "leave", complete)]


def sends_once() -> list[Patch]:
    """D51: what is lost on the way is not sent again."""

    def never(self: Any, now: float) -> None:  # noqa: ARG001 - the signature is the core's
        self.at = math.inf

    return [(Resending, "check", never)]


def causal_reads_once() -> list[Patch]:
    """D53: causal reads are not asked again."""
    reads = Resending.reads

    def strong_only(self: Any, session: Any, replica: int) -> None:
        causal, session.causal_reads = session.causal_reads, {}
        reads(self, session, replica)
        session.causal_reads = causal

    return [(Resending, "reads", strong_only)]


def causal_writes_once() -> list[Patch]:
    """D47, D62: a new leader of mode ``ht`` is not sent the causal writes that only the old one may have had."""
    commands = Resending.commands

    def without(self: Any, session: Any, replica: int, held: int = 0) -> None:
        if self.client.config.mode != "ht" or any(min(flight.run.kinds) < CAUSAL for flight in session.log):
            commands(self, session, replica, held)

    return [(Resending, "commands", without)]


SESSION_BUGS: dict[str, Callable[[], list[Patch]]] = {
    bug.__name__: bug
    for bug in (
        nothing_laid_over, own_put_is_none, keys_cut_short, own_writes_stay, causal_writes_stay, strong_reads_anywhere, nothing_from_the_dead,
        sends_once, causal_reads_once, causal_writes_once,
    )
}  # fmt: skip

SESSION_RECORDED: dict[str, tuple[int, str, str | None]] = {
    "nothing_laid_over": (2, "read your writes", None),
    "own_put_is_none": (2, "was there at", None),
    "keys_cut_short": (3, "was never there", None),
    "own_writes_stay": (2, "I-GC", None),
    "causal_writes_stay": (2, "I-GC", None),
    "strong_reads_anywhere": (3, "I-FAST", None),
    "nothing_from_the_dead": (3, "was there at", None),
    "sends_once": (1, "liveness", None),
    "causal_reads_once": (10, "liveness", None),
    "causal_writes_once": (2, "liveness", "storm"),
}
"""``{bug: (a seed that finds it, what its failure says, the world it is found in; None: any)}``."""
