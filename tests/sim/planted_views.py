"""Wrong elections, recoveries and disks, planted like those of ``planted``; each loses what a client was promised, or lets two views mix.

They are looked for in ``storms``: elsewhere a recovery seldom has anything to recover.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from replica.core import messages as m
from replica.core import recovery as recovery_module
from replica.core import restoring
from replica.core.client import Client
from replica.core.election import Election
from replica.core.follower import Follower
from replica.core.journal import Durable, Journal
from replica.core.leader import Leader
from replica.core.node import Node
from replica.core.peers import Peers
from replica.core.quorum import majority
from replica.core.reads import StrongReads
from replica.core.recovery import Recovery, Report
from replica.core.session import Session
from replica.core.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = tuple[Any, str, Any]

# ------------------------------------------------------------------------------------------------------------------------- recovery


def majority_recovers() -> list[Patch]:
    """Recovery wants a majority of all voters for a command, not what a fast quorum leaves among those heard."""
    return [(recovery_module, "recovery_threshold", lambda voters, heard: majority(voters))]  # noqa: ARG005 - the signature is the core's


def refused_recovers() -> list[Patch]:
    """D7: recovery counts commands that are held, accepted or not."""
    add, own = Report.add, recovery_module.own_report

    def count_held(self: Any, state: Any) -> None:
        add(self, state)
        for session, runs in self.runs.items():
            self.anchored[session] = runs[-1].last

    def own_held(witness: Any) -> Any:
        report = own(witness)
        for session, runs in report.runs.items():
            report.anchored[session] = runs[-1].last
        return report

    return [(Report, "add", count_held), (recovery_module, "own_report", own_held)]


def recovers_own_only() -> list[Patch]:
    """A new leader trusts its own witness and asks nobody."""

    def alone(self: Any) -> bool:
        for session, runs in recovery_module.own_report(self.node.witness).runs.items():
            self._recover(session, runs[-1].last, [recovery_module.own_report(self.node.witness)])
        self.leader.serve()
        return True

    return [(Recovery, "finish", alone)]


def recovers_others_only() -> list[Patch]:
    """A new leader forgets to count its own witness."""
    return [(recovery_module, "own_report", lambda witness: Report())]  # noqa: ARG005 - the signature is the core's


def causal_first() -> list[Patch]:
    """Recovery logs causal writes that somebody holds before what may have completed."""
    recover = Recovery._recover

    def causal_before(self: Any, session: int, upto: int, reports: Any) -> None:
        if not self.leader.draft.sessions:
            for other in sorted({session for report in reports for session in report.runs}):
                self._add_causal(other, reports)
        recover(self, session, upto, reports)

    return [(Recovery, "_recover", causal_before)]


def no_gate() -> list[Patch]:
    """A new leader speculates over its applied state at once, as if what it recovered were applied."""

    def lay_nothing(self: Any, *what: Any) -> None:
        """Leave the tail as it is."""

    def applied(self: Any, entry: Any) -> None:
        for key in entry.keys:
            if self.writes.get(key) and self.writes[key][0][3] == entry.index:
                del self.writes[key][0]
                if not self.writes[key]:
                    del self.writes[key]
            if self.rogue.get(key) == entry.index:
                del self.rogue[key]

    return [(Leader, "open", property(lambda self: self.serving)), (Tail, "lay", lay_nothing), (Tail, "applied", applied)]


def votes_without_joining() -> list[Patch]:
    """A voter elects a new leader and tells it what it holds, and goes on acknowledging in the old view until the new leader speaks."""
    on_message = Peers.on_message
    promised: dict[tuple[int, int], int] = {}

    def stay(self: Any, source: int, message: Any) -> None:
        node = self.node
        if isinstance(message, m.Collect) and message.view > node.view:
            for state in recovery_module.witness_states(node, message):
                node.send(source, _of_view(state, message.view))
        elif isinstance(message, m.Vote) and not message.trial and message.view > node.view:
            current = (message.last_view, message.last_index) >= (node.log.last_view, node.log.last_index)
            granted = current and not node.leads and promised.setdefault((node.config.id, message.view), source) == source
            node.send(source, m.VoteReply(1, node.view, message.view, trial=False, granted=granted))
        else:
            on_message(self, source, message)

    return [(Peers, "on_message", stay)]


def _of_view(state: Any, view: int) -> Any:
    state.view = view
    return state


def logs_its_tail_again() -> list[Patch]:
    """D49: a new leader does not look into its own log for what sessions have there."""
    rebuild = Leader._rebuild

    def forgetful(self: Any) -> None:
        rebuild(self)
        self.logged.clear()

    return [(Leader, "_rebuild", forgetful)]


# ------------------------------------------------------------------------------------------------------------------- views at clients


def mixed_views() -> list[Patch]:
    """D8: acks of different views are counted together."""

    new_view = Session.new_view

    def keep(self: Any) -> None:
        """Go on with the tallies of the old view, if there are any."""
        if len(self.held) != len(self.client.place):
            new_view(self)

    def any_view(_self: Any, _view: int) -> bool:
        return True

    return [(Session, "new_view", keep), (Client, "same_view", any_view)]


def old_speculation() -> list[Patch]:
    """Outcomes that the leader of an older view speculated are good in the new one."""
    new_view = Session.new_view

    def keep_outcomes(self: Any) -> None:
        outcomes, first, last = dict(self.speculated), self.spec_first, self.spec_last
        new_view(self)
        self.speculated.update(outcomes)
        self.spec_first, self.spec_last = first, last

    return [(Session, "new_view", keep_outcomes)]


def reads_before_gate() -> list[Patch]:
    """A new leader answers strong reads before what it recovered is committed."""
    wait_index = StrongReads._wait_index

    def eager(self: Any, session: int, dependency: int) -> int:
        wait = wait_index(self, session, dependency)
        return 0 if wait > 0 and not self.leader.open else wait

    def clean(self: Any, tail: Any, queries: Any) -> bool:
        return not self.leader.open or untouched(self, tail, queries)

    untouched = StrongReads._untouched
    return [(StrongReads, "_wait_index", eager), (StrongReads, "_untouched", clean)]


def index_is_commit() -> list[Patch]:
    """A read by the long way takes the commit index: it misses what completed fast and is not committed."""

    def committed(self: Any, source: Any, read: Any) -> None:
        with_index = self.leader
        before = with_index.node.commit_index
        on_read_index(self, source, read)
        for item in self.indexed:
            item.index = min(item.index, max(before, 0)) if item.round > with_index.round else item.index

    on_read_index = StrongReads.on_read_index
    return [(StrongReads, "on_read_index", committed)]


# -------------------------------------------------------------------------------------------------------------------- elections, logs


def last_index_alone() -> list[Patch]:
    """D38: logs are compared by their length, whatever their last entries' views are."""
    on_vote = Election.on_vote

    def by_length(self: Any, peer: int, vote: Any) -> None:
        longer = vote.last_index >= self.node.log.last_index
        vote.last_view = math.inf if longer else -1
        on_vote(self, peer, vote)

    return [(Election, "on_vote", by_length)]


def votes_for_anybody() -> list[Patch]:
    """A candidate need not have what the voter has."""
    on_vote = Election.on_vote

    def blindly(self: Any, peer: int, vote: Any) -> None:
        vote.last_view = math.inf
        on_vote(self, peer, vote)

    return [(Election, "on_vote", blindly)]


def keeps_conflicting_entries() -> list[Patch]:
    """D42: a follower keeps its entry where the leader has another one."""
    on_accept = Follower.on_accept

    def keep(self: Any, accept: Any) -> None:
        log = self.node.log
        accept.entries = [entry for entry in accept.entries if entry.index > log.last_index]
        if accept.entries and accept.entries[0].index > log.last_index + 1:
            accept.entries = []
        accept.previous_index = min(accept.previous_index, log.last_index)
        accept.previous_view = log.view_at(accept.previous_index)
        on_accept(self, accept)

    return [(Follower, "on_accept", keep)]


def acks_its_own_tail() -> list[Patch]:
    """A follower acknowledges its whole log, entries of an older view's leader included."""
    new_view = Follower.new_view

    def whole(self: Any) -> None:
        new_view(self)
        self.match = self.node.log.last_index

    return [(Follower, "new_view", whole)]


# --------------------------------------------------------------------------------------------------------------------------- the disk


def vote_forgotten() -> list[Patch]:
    """D45: who restarts does not know how it voted."""
    restore = restoring.restore

    def forget(node: Any, durable: Any) -> None:
        restore(node, durable)
        node.voted_for = -1

    return [(restoring, "restore", forget)]


def forgetting_counts() -> list[Patch]:
    """Who comes back with its vote alone votes, and tells what its witness holds, as if it had forgotten nothing."""
    return [(Node, "muted", property(lambda _node: False))]


def ack_before_sync() -> list[Patch]:
    """A follower acknowledges entries that are not on disk yet."""

    def at_once(self: Any) -> Any:
        durable, self.node.journal.durable_index = self.node.journal.durable_index, 1 << 60
        sends = acks(self)
        self.node.journal.durable_index = durable
        return sends

    acks = Follower.acks
    return [(Follower, "acks", at_once)]


def verdict_before_sync() -> list[Patch]:
    """Verdicts, anchors and speculation leave before what they rest on is on disk."""
    return [(Node, "reply_durable", Node.reply)]


def witness_restarts_empty() -> list[Patch]:
    """A witness forgets what it accepted when it restarts."""
    restore = restoring.restore

    def empty(node: Any, durable: Any) -> None:
        bare = Durable(durable.applied, durable.voted, durable.entries, durable.committed)
        restore(node, bare)

    return [(restoring, "restore", empty)]


def witness_forgets_views() -> list[Patch]:
    """A witness begins each view empty."""
    join = Node.join

    def emptied(self: Any, view: int, leader: int, voted_for: int = -1) -> None:
        before = self.view
        join(self, view, leader, voted_for)
        for chain in self.witness.chains.values() if view > before else ():
            if chain.runs:
                self.witness.forget_after(chain, chain.committed, self.promoted)
                self.journal.on_forgotten(chain.session, chain.committed)

    return [(Node, "join", emptied)]


def cut_is_not_written() -> list[Patch]:
    """What a new leader cut off the log comes back with the disk."""

    def unwritten(self: Any, index: int) -> None:
        self.durable_index = min(self.durable_index, index)

    def pile_up(self: Any, entry: Any, base: int) -> None:
        if entry.index - base - 1 >= len(self.entries):
            lay(self, entry, base)

    lay = Durable._lay_entry
    return [(Journal, "on_cut", unwritten), (Durable, "_lay_entry", pile_up)]


VIEW_BUGS: dict[str, Callable[[], list[Patch]]] = {
    bug.__name__: bug
    for bug in (
        majority_recovers, refused_recovers, recovers_own_only, recovers_others_only, causal_first, no_gate, votes_without_joining,
        logs_its_tail_again, mixed_views, old_speculation, reads_before_gate, index_is_commit, last_index_alone, votes_for_anybody,
        keeps_conflicting_entries, acks_its_own_tail, vote_forgotten, forgetting_counts, ack_before_sync, verdict_before_sync, witness_restarts_empty,
        witness_forgets_views, cut_is_not_written,
    )
}  # fmt: skip

VIEW_RECORDED: dict[str, tuple[int, str, str]] = {
    "majority_recovers": (69, "I-LIN", "storm"),
    "refused_recovers": (5, "I-LIN", "storm"),
    "recovers_own_only": (7, "I-LIN", "storm"),
    "recovers_others_only": (9, "I-LIN", "storm"),
    "causal_first": (70, "I-SPEC", "storm"),
    "no_gate": (37, "I-LIN", "storm"),
    "votes_without_joining": (5, "I-COMP", "schism"),
    "logs_its_tail_again": (1, "AssertionError: session", "storm"),
    "mixed_views": (9, "I-LIN", "schism"),
    "old_speculation": (9, "I-FAST", "storm"),
    "reads_before_gate": (7, "read your writes", "storm"),
    "index_is_commit": (1, "I-FAST", "storm"),
    "last_index_alone": (3, "I-COMP", "schism"),
    "votes_for_anybody": (4, "I-COMP", "storm"),
    "keeps_conflicting_entries": (4, "I-MATCH", "storm"),
    "acks_its_own_tail": (1, "ack_beyond_log", "storm"),
    "vote_forgotten": (76, "I-VOTE", "outage"),
    "forgetting_counts": (10, "I-COMP", "amnesia"),
    "ack_before_sync": (9, "I-ORDER", "outage"),
    "verdict_before_sync": (1, "I-ACK", "outage"),
    "witness_restarts_empty": (13, "I-ACK", "outage"),
    "witness_forgets_views": (9, "I-ACK", "storm"),
    "cut_is_not_written": (1, "AssertionError", "outage"),
}
"""``{bug: (a seed that finds it, what its failure says, the storm it is found in)}``."""
