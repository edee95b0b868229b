"""Wrong ends of sessions, planted like the bugs of ``planted`` and looked for where sessions come and go: *partings*."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replica.core import reads
from replica.core.follower import Follower
from replica.core.leader import Leader
from replica.core.registrar import Registrar
from replica.core.voter import Voter
from statemachine.command import EXPIRE

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = tuple[Any, str, Any]


def commands_behind_the_end() -> list[Patch]:
    """A leader does not remember that a session's end is in its log, and takes more of its commands."""
    number = Leader.logged_number

    def forgetful(self: Any) -> None:
        over = self._over()
        self.leader.draft.system.extend([EXPIRE, session] for session in over)

    def as_if_it_went_on(self: Any, session: int) -> int:
        return min(number(self, session), self.node.witness.chains[session].committed if session in self.node.witness.chains else 0)

    return [(Registrar, "expire_sessions", forgetful), (Leader, "logged_number", as_if_it_went_on)]


def witness_counts_leases() -> list[Patch]:
    """A follower ends a session by its own clock: what it promised for recovery is gone while the leader goes on with the session."""
    forwards = Follower.forwards

    def and_ends(self: Any, now: float) -> Any:
        node = self.node
        for session, record in node.sessions.table.items():
            chain = node.witness.chains.get(session)
            if chain is not None and now - max(chain.heard_at, self.leader_seen_at - 1.0) > record.lease_seconds / 3:
                node.witness.close(session, node.promoted)
        return forwards(self, now)

    return [(Follower, "forwards", and_ends)]


# ----------------------------------------------------------------------------------------------------- found here, and mended since


def closed_as_known() -> list[Patch]:
    """A leader closes a session behind what it knows of it: what only the home holds yet, and has acknowledged, is lost."""
    close = Registrar.on_close_session

    def behind_what_is_here(self: Any, lasts: dict[int, int]) -> None:
        close(self, dict.fromkeys(lasts, 0))

    return [(Registrar, "on_close_session", behind_what_is_here)]


def reads_behind_the_end() -> list[Patch]:
    """A leader takes what a session says behind its logged end for logged, and answers strong reads that come after it."""
    return [(reads, "CLOSED", -1)]


def reads_in_ended_sessions() -> list[Patch]:
    """A replica answers causal reads of a session that has ended there, and its client lays all its old writes over newer ones."""

    def none_has(self: Any, source: Any, ended: Any, read: Any) -> Any:  # noqa: ARG001 - the signature is the core's
        return read

    return [(Voter, "_refuse_ended", none_has)]


END_BUGS: dict[str, Callable[[], list[Patch]]] = {
    bug.__name__: bug for bug in (commands_behind_the_end, witness_counts_leases, closed_as_known, reads_behind_the_end, reads_in_ended_sessions)
}

END_RECORDED: dict[str, tuple[int, str, str]] = {
    "commands_behind_the_end": (2, "AssertionError", "partings"),
    "witness_counts_leases": (1, "I-END", "partings"),
    "closed_as_known": (1, "I-END", "partings"),
    "reads_behind_the_end": (5, "I-LOSS", "lapse"),
    "reads_in_ended_sessions": (10, "causal answer", "lapse"),
}
"""``{bug: (a seed that finds it, what its failure says, the world it is found in)}``."""
