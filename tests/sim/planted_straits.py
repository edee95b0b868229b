"""Bugs that show where limits are met, planted like those of ``planted`` and looked for in *straits*. All were found there, and mended since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replica.core import recovery as recovery_module
from replica.core.leader import Leader
from replica.core.reads import StrongReads

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = tuple[Any, str, Any]


def recovers_what_was_hidden() -> list[Patch]:
    """In mode ``ht`` a new leader takes causal writes that the old one tells for a part of the chains that witnesses accepted."""

    def all_of_it(run: Any) -> int:
        return len(run.kinds)

    return [(recovery_module, "_strong_before_causal", all_of_it)]


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


STRAITS_BUGS: dict[str, Callable[[], list[Patch]]] = {
    bug.__name__: bug for bug in (recovers_what_was_hidden, talks_to_full_windows, reads_outlive_sessions)
}

STRAITS_RECORDED: dict[str, tuple[int, str, str]] = {
    "recovers_what_was_hidden": (222, "I-SPEC", "straits"),
    "talks_to_full_windows": (15, "liveness: 300001 events", "straits"),
    "reads_outlive_sessions": (97, "liveness: session", "straits"),
}
"""``{bug: (a seed that finds it, what its failure says, the world it is found in)}``."""
