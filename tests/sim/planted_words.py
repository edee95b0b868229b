"""Wrong words, planted like the bugs of ``planted``: what is told, or counted, that nobody has, and what nobody is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replica.core import messages as m
from replica.core.clients import Clients
from replica.core.leader import Leader
from replica.core.node import Node
from replica.core.progress import Tracker
from replica.core.registrar import Registrar
from replica.core.settled import Settled
from replica.core.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = tuple[Any, str, Any]
EVERYTHING = 1 << 61


def counts_cut_links() -> list[Patch]:
    """A leader takes a follower that it does not hear for one that has its whole log."""

    def stored(self: Any) -> Any:
        matches = [progress.match if progress.linked else self.node.log.last_index for progress in self.voting]
        if self.node.votes:
            matches.append(self.node.journal.durable_index)
        return min(sorted(matches, reverse=True)[self.told.majority - 1], self.node.log.last_index)

    return [(Tracker, "stored", stored)]


def counts_dead_voters() -> list[Patch]:
    """A client takes a voter that it does not hear for one that has accepted everything."""
    fast_level = Tallies.fast_level

    def with_the_dead(self: Any, accepted: list[int]) -> int:
        client = self.client
        down = [place for replica, place in client.place.items() if replica not in client.members.linked]
        return fast_level(self, [EVERYTHING if place in down[:1] else level for place, level in enumerate(accepted)])

    return [(Tallies, "fast_level", with_the_dead)]


def anchors_before_sync() -> list[Patch]:
    """A witness tells that it has anchored a session's commands before that is on disk."""
    reply_durable = Node.reply_durable

    def at_once(self: Any, link: Any, message: Any) -> None:
        (self.reply if isinstance(message, m.AnchorAck) else lambda *said: reply_durable(self, *said))(link, message)

    return [(Node, "reply_durable", at_once)]


def deaf_to_keep_alives() -> list[Patch]:
    """A leader counts leases from commands alone: it ends sessions whose clients it hears."""
    return [(Registrar, "on_heard", lambda _registrar, _sessions: None)]


def silent_about_ends() -> list[Patch]:
    """Nobody answers a keep-alive: a client that was away does not learn that its session has ended."""

    def count_only(self: Any, _source: Any, alive: Any) -> None:
        (self.roles.follower if self.roles.leader is None else self.roles.leader.registrar).on_heard(alive.sessions)

    return [(Clients, "_on_keep_alive", count_only)]


def takes_commands_while_handing_over() -> list[Patch]:
    """A leader that hands over takes commands: who is to take over is refused, for its log is shorter."""
    return [(Leader, "busy", lambda self: self.node.log.size_bytes > self.node.config.log_bytes_max)]


def commits_of_any_view() -> list[Patch]:
    """A strong read completes when what it follows is committed, by whichever leader: a later one may commit it behind what the read has not seen."""

    return [(Settled, "hear", lambda self, upto, _view, _present: setattr(self, "upto", max(self.upto, upto)))]


WORD_BUGS: dict[str, Callable[[], list[Patch]]] = {
    bug.__name__: bug
    for bug in (
        counts_cut_links,
        counts_dead_voters,
        anchors_before_sync,
        deaf_to_keep_alives,
        silent_about_ends,
        takes_commands_while_handing_over,
        commits_of_any_view,
    )
}

WORD_RECORDED: dict[str, tuple[int, str, str | None]] = {
    "counts_cut_links": (2, "I-ORDER", "amnesia"),
    "counts_dead_voters": (1, "I-FAST", "amnesia"),
    "anchors_before_sync": (1, "I-ACK", "outage"),
    "deaf_to_keep_alives": (1, "I-END", "lapse"),
    "silent_about_ends": (1, "liveness: session", "lapse"),
    "takes_commands_while_handing_over": (3, "handing over", None),
    "commits_of_any_view": (2, "I-FAST", "hearsay"),
}
"""``{bug: (a seed that finds it, what its failure says, the world it is found in)}``."""
