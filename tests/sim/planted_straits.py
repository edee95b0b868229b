"""Bugs that show where limits are met, planted like those of ``planted`` and looked for in *straits* and *rapids*. All were found there, and mended
since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replica.core.catchup import Sending
from replica.core.client import Client
from replica.core.leader import Leader
from replica.core.reads import StrongReads

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = tuple[Any, str, Any]


def talks_to_full_windows() -> list[Patch]:
    """A follower that can take no entries is sent an empty frame in each turn, and its answer makes the next turn."""

    def lacks_entries(self: Any, progress: Any, last: int) -> bool:
        return self.node.log.first_index <= progress.next <= last and progress.sending is None

    return [(Leader, "_takes_entries", lacks_entries)]


def reads_outlive_sessions() -> list[Patch]:
    """Strong reads wait for a command of a session that has ended, and others find no room."""

    def keep(self: Any, entry: Any) -> None:
        """Forget nothing."""

    return [(StrongReads, "_forget_ended", keep)]


def forgets_what_it_sent() -> list[Patch]:
    """A follower that has more parts of a snapshot than were sent since it was begun anew, for an answer of its own that came late, is ignored."""
    return [(Sending, "sent", property(lambda self: self.acked + len(self.made)))]


def follows_lone_candidates() -> list[Patch]:
    """A client takes a view that nobody leads, and drops what the leader of a lower one answers: a removed replica may campaign for ever."""
    on_view, same_view = Client.on_view, Client.same_view

    def follow(self: Any, view: int, leader: int) -> None:
        if view > self.view and leader < 0:
            self.view, self.leader = view, leader
            self.send_everything(newer=True)
        elif view == self.view and self.leader < 0 <= leader:
            self.leader = leader
            self.send_everything(newer=False)
        else:
            on_view(self, view, leader)

    def adopt(self: Any, view: int) -> bool:
        follow(self, view, -1)
        return same_view(self, view)

    return [(Client, "on_view", follow), (Client, "same_view", adopt)]


STRAITS_BUGS: dict[str, Callable[[], list[Patch]]] = {
    bug.__name__: bug for bug in (talks_to_full_windows, reads_outlive_sessions, forgets_what_it_sent, follows_lone_candidates)
}

STRAITS_RECORDED: dict[str, tuple[int, str, str]] = {
    "talks_to_full_windows": (15, "liveness: 300001 events", "straits"),
    "reads_outlive_sessions": (492, "liveness: session", "straits"),
    "forgets_what_it_sent": (20, "liveness", "rapids"),
    "follows_lone_candidates": (102, "liveness", "rapids"),
}
"""``{bug: (a seed that finds it, what its failure says, the world it is found in)}``."""
