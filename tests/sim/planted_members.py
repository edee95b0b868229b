"""Wrong changes of the members, planted like those of ``planted``: each counts somebody who does not count, or forgets who does.

They are looked for in *upheavals*, where leaders die and are cut off just when they change the members.  Some rules have no mistake here: that a
leader commits an entry of its view before it changes anything (``test_reconfiguration_views`` acts that out), how many witnesses a recovery wants
of four voters and of three (``test_recovery_members``), and that a removed leader speculates on nothing: clients do not listen to it anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replica.core import messages as m
from replica.core import restoring
from replica.core.configuration import Configuration
from replica.core.election import Election, Stage
from replica.core.leader import Leader
from replica.core.members import Members
from replica.core.node import Node
from replica.core.progress import Tracker
from replica.core.reconfiguration import Reconfiguration
from replica.core.recovery import Recovery

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = tuple[Any, str, Any]
LEARNING_SECONDS = 1.5
"""So long faults strike in these worlds."""

# --------------------------------------------------------------------------------------------------------------- when a change counts


def speculates_during_change() -> list[Patch]:
    """A leader answers speculatively under a configuration that is not committed: the next leader may never hear of it."""
    return [(Leader, "speculates", property(lambda self: self.node.applied_index >= self.open_index and self.node.votes))]


def counts_when_committed() -> list[Patch]:
    """A configuration counts when its entry is known to be committed, not from the moment it is in the log."""

    def committed(self: Any) -> Configuration:
        if not hasattr(self, "configurations"):
            return Configuration(1, self.config.voters)
        told: list[tuple[int, Configuration]] = self.configurations.told
        return next((configuration for index, configuration in reversed(told) if index <= self.commit_index), told[0][1])

    commit, end_turn, advance = Node.commit, Leader.end_turn, Leader.advance

    def tell_late(self: Any, index: int) -> None:
        before = self.configuration
        commit(self, index)
        if self.configuration is not before:
            for link in self.clients:
                self.tell_members(link)

    def count_late(self: Any) -> None:
        if self.node.configuration is not self.tracker.told:
            self.tracker.configure()

    def late_end_turn(self: Any) -> None:
        count_late(self)
        end_turn(self)

    def late_advance(self: Any) -> None:
        count_late(self)
        advance(self)

    return [
        (Node, "configuration", property(committed, lambda self, told: None)), (Node, "commit", tell_late),  # noqa: ARG005 - a setter's
        (Leader, "end_turn", late_end_turn), (Leader, "advance", late_advance),
    ]  # fmt: skip


def _at_once() -> Patch:
    """Let a change be logged whatever is uncommitted: who waits for all of that cannot make the next two mistakes."""
    begin = Reconfiguration._begin

    def begin_at_once(self: Any, wanted: Configuration) -> None:
        begin(self, wanted)
        self.drained_at = 0

    return (Reconfiguration, "_begin", begin_at_once)


def two_changes_at_once() -> list[Patch]:
    """A leader begins a change while another one is not committed."""
    obstacle = Reconfiguration.obstacle

    def hasty(self: Any) -> str:
        reason = obstacle(self)
        return "" if reason.startswith("another change") and self.wanted is None else reason

    return [(Reconfiguration, "obstacle", hasty), _at_once()]


# ----------------------------------------------------------------------------------------------------------------------- who counts


def learner_commits() -> list[Patch]:
    """What a learner has counts for the majority that commits."""
    configure = Tracker.configure

    def everybody(self: Any) -> None:
        configure(self)
        self.voting = list(self.progress.values())

    return [(Tracker, "configure", everybody)]


def learner_elects() -> list[Patch]:
    """A candidate asks all members, and counts any vote that it is given."""

    def ask_all(self: Any, *, trial: bool, forced: bool = False) -> bool:
        node, told = self.node, self.node.configuration
        node.configuration = Configuration(told.number, told.members)
        try:
            return campaign(self, trial=trial, forced=forced)
        finally:
            node.configuration = told

    def count_all(self: Any, *, forced: bool) -> bool:
        voters = [voter for voter in self.node.configurations.latest.voters if voter != self.node.config.id]
        if len(self.granted) < (len(voters) + 1) // 2 + 1:
            return False
        if self.stage is Stage.TRIAL:
            return bool(self.campaign(trial=False, forced=forced))
        self.rest()
        return True

    campaign = Election.campaign
    return [(Election, "campaign", ask_all), (Election, "_won_stage", count_all)]


def learner_recovers() -> list[Patch]:
    """A new leader asks learners too what they hold, and counts their answers like a witness'."""
    ask, finish, caught_up = Recovery.ask, Recovery.finish, Reconfiguration._caught_up

    def late(self: Any, learner: int) -> bool:
        """Let learners be there while leaders die; elsewhere they learn for a moment only."""
        return self.node.now > LEARNING_SECONDS and caught_up(self, learner)

    def widened(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(self: Any) -> Any:
            told = self.node.configuration
            everybody = told.voters if step is finish else told.members
            self.node.configuration = Configuration(told.number, everybody)
            try:
                return step(self)
            finally:
                self.node.configuration = told

        return run

    return [(Recovery, "ask", widened(ask)), (Recovery, "finish", widened(finish)), (Reconfiguration, "_caught_up", late)]


# ---------------------------------------------------------------------------------------------------------------------- who is told


def follower_tells_who_counts() -> list[Patch]:
    """A client counts by the highest configuration that it was told, whoever told it."""
    on_members = Members.on_members

    def believe(self: Any, replica: int, told: m.Members) -> None:
        on_members(self, replica, told)
        configuration = Configuration.from_items(told.configuration)
        if configuration.number > self.configuration:
            self._change(configuration.number, self.client.view, configuration.voters)

    return [(Members, "on_members", believe), (Members, "known", lambda self, configuration: True)]  # noqa: ARG005 - the core's signature


def change_is_not_cut() -> list[Patch]:
    """Who cuts a change off its log goes on counting by it."""
    cut_log = Node.cut_log

    def keep(self: Any, index: int) -> None:
        told, counts = list(self.configurations.told), self.configuration
        cut_log(self, index)
        self.configurations.told[:] = told
        self.configuration = counts

    return [(Node, "cut_log", keep)]


def snapshot_without_members() -> list[Patch]:
    """A snapshot, a leader's or one's own, does not tell who belonged to the cluster: who takes it goes on with what it knew."""
    install, restore = Node.install, restoring.restore

    def install_without(self: Any, applied: Any) -> None:
        applied.configuration = None
        install(self, applied)

    def restore_without(node: Any, durable: Any) -> None:
        if durable.applied is not None:
            durable.applied.configuration = None
        restore(node, durable)

    return [(Node, "install", install_without), (restoring, "restore", restore_without)]


# ----------------------------------------------------------------------------------------------------- found here, and mended since


def removed_cannot_stand() -> list[Patch]:
    """Who is removed by a change that nobody else has waits for others to lead, who wait for its vote."""
    return [(Node, "may_lead", property(lambda self: self.votes))]


MEMBER_BUGS: dict[str, Callable[[], list[Patch]]] = {
    bug.__name__: bug
    for bug in (
        speculates_during_change, counts_when_committed, two_changes_at_once, learner_commits, learner_elects,
        learner_recovers, follower_tells_who_counts, change_is_not_cut,
        snapshot_without_members, removed_cannot_stand,
    )
}  # fmt: skip

MEMBER_RECORDED: dict[str, tuple[int, str, str]] = {
    "speculates_during_change": (13, "I-LIN", "upheaval"),
    "counts_when_committed": (41, "I-ORDER", "upheaval"),
    "two_changes_at_once": (1, "I-CFG", "upheaval"),
    "learner_commits": (3, "I-ORDER", "upheaval"),
    "learner_elects": (12, "ack_beyond_log", "upheaval"),
    "learner_recovers": (81, "I-LIN", "upheaval"),
    "follower_tells_who_counts": (5, "I-CFG", "upheaval"),
    "change_is_not_cut": (157, "liveness", "upheaval"),
    "snapshot_without_members": (65, "liveness", "upheaval"),
    "removed_cannot_stand": (32, "liveness: session", "upheaval"),
}
"""``{bug: (a seed that finds it, what its failure says, the world it is found in)}``."""
