"""Wrong logs, planted like the bugs of ``planted``: what is committed, what new leaders keep of it, and what is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from replica.core import configuration as configuration_module
from replica.core.election import Election
from replica.core.follower import Follower
from replica.core.node import Node
from replica.core.recovery import Recovery
from replica.core.roles import Roles
from replica.core.voter import Voter
from statemachine.command import DELETE
from statemachine.sessions import Sessions
from statemachine.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = tuple[Any, str, Any]


def commits_all_it_has() -> list[Patch]:
    """D27, D28: a follower takes all that it has for committed, and applies it."""
    on_accept = Follower.on_accept

    def and_commit(self: Any, accept: Any) -> None:
        on_accept(self, accept)
        self.node.commit(max(self.node.commit_index, self.match))

    return [(Follower, "on_accept", and_commit)]


def half_is_enough() -> list[Patch]:
    """D36: a majority of four is two."""
    return [(configuration_module, "majority", lambda voters: (voters + 1) // 2)]


def drops_its_tail() -> list[Patch]:
    """D39: a new leader keeps of its log only what it knows to be committed."""
    lead = Roles.lead

    def committed_only(self: Any) -> Any:
        if self.node.log.last_index > self.node.commit_index:
            self.node.cut_log(self.node.commit_index)
        return lead(self)

    return [(Roles, "lead", committed_only)]


def recovers_nothing() -> list[Patch]:
    """D40: a new leader takes what is in its log for all there is: what only witnesses hold is dropped."""

    def drop(self: Any, *what: Any) -> None:
        """Recover nothing."""

    return [(Recovery, "_recover", drop), (Recovery, "_add_causal", drop)]


def numbers_do_not_count() -> list[Patch]:
    """D49: a command that is logged and not yet applied is logged again when it is sent again, and nobody looks at its number when it is applied."""
    hold, record = Voter._hold, Sessions.record

    def log_again(self: Any, chain: Any, run: Any, previous: int, leader: Any, again: Any) -> int:
        if leader is not None and chain.committed < run.first and run.last <= chain.held:
            leader.draft.add(chain.session, run)
            leader.tail._push_all(run, chain.session, self.node.log.last_index + 1)
        return hold(self, chain, run, previous, leader, again)

    def any_number(self: Any, session: int, first: int, *columns: Any) -> None:  # noqa: ARG001 - the signature is the core's
        record(self, session, self.table[session].applied + 1, *columns)

    return [(Voter, "_hold", log_again), (Sessions, "record", any_number)]


def stamps_its_view() -> list[Patch]:
    """D60: a follower notes the sender's view with each entry, not the one that it was made in."""
    on_accept = Follower.on_accept

    def stamp(self: Any, accept: Any) -> None:
        accept.entries = [attrs.evolve(entry, view=accept.view) for entry in accept.entries]
        on_accept(self, accept)

    return [(Follower, "on_accept", stamp)]


def takes_over_at_once() -> list[Patch]:
    """D61: whom the leader hands over to leads at once, in the same view, without a vote."""

    def lead(self: Any, order: Any) -> bool:
        ready = order.view == self.node.view and not self.node.leads and not self.node.muted and self.node.votes
        if ready:
            self.rest()
        return bool(ready)

    return [(Election, "on_take_over", lead)]


def cas_keeps_versions() -> list[Patch]:
    """D25: a cas writes its value and leaves the version as it was."""
    apply_other = Store._apply_other

    def value_only(self: Any, kind: int, key: bytes, item: object, position: int) -> bool | None:
        return apply_other(self, kind, key, item, position if kind == DELETE else self.get_entry(key)[1])

    return [(Store, "_apply_other", value_only)]


def followers_keep_no_outcomes() -> list[Patch]:
    """D50: only who leads keeps the outcomes of cas: they are lost when another one does."""
    apply_runs = Node._apply_runs

    def without(self: Any, entry: Any, outcome: Any) -> None:
        apply_runs(self, entry, outcome if self.leads else None)

    return [(Node, "_apply_runs", without)]


LOG_BUGS: dict[str, Callable[[], list[Patch]]] = {
    bug.__name__: bug
    for bug in (
        commits_all_it_has, half_is_enough, drops_its_tail, recovers_nothing, numbers_do_not_count, stamps_its_view, takes_over_at_once,
        cas_keeps_versions, followers_keep_no_outcomes,
    )
}  # fmt: skip

LOG_RECORDED: dict[str, tuple[int, str, str | None]] = {
    "commits_all_it_has": (2, "I-ORDER", None),
    "half_is_enough": (1, "AssertionError: recovery hears a majority", "upheaval"),
    "drops_its_tail": (1, "I-COMP", "storm"),
    "recovers_nothing": (5, "I-LIN", "storm"),
    "numbers_do_not_count": (3, "I-SESS", None),
    "stamps_its_view": (1, "I-MATCH", "storm"),
    "takes_over_at_once": (2, "I-VIEW", None),
    "cas_keeps_versions": (1, "has version", None),
    "followers_keep_no_outcomes": (1, "I-CONV", "storm"),
}
"""``{bug: (a seed that finds it, what its failure says, the world it is found in; None: any)}``."""
