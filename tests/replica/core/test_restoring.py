"""What a node takes over from its disk or from a leader's snapshot, and how it adds to its log from there."""

from __future__ import annotations

import attrs
import pytest

from replica.core.config import CoreConfig
from replica.core.configuration import Configuration
from replica.core.journal import Applied, Cut, Durable, Held, Voted
from replica.core.messages import Applied as AppliedNote
from replica.core.messages import Entry, Members, Pong, RecordAck, VoteReply
from replica.core.messages import Leader as LeaderNews
from replica.core.node import Node
from replica.core.restoring import restore
from replica.core.witness import Run
from statemachine.command import CLOSE, EXPIRE, OPEN
from statemachine.sessions import Sessions
from statemachine.store import Store
from tests.replica.core.lone import noop

LINK, OTHER = ("link", 1), ("link", 2)
CONFIG = CoreConfig(id=1, voters=(0, 1, 2), durable=True)
A, B, GONE = 3, 4, 5


def applied(index: int = 6, **numbers: int) -> Applied:
    """A state at the end of an entry, at position 20; sessions ``A`` and ``B`` are open, with so many commands applied."""
    sessions = Sessions()
    for session, token in ((A, b"a"), (B, b"b")):
        sessions.open(session, token, 30.0)
        if numbers.get(token.decode()):
            sessions.record(session, 1, numbers[token.decode()], None, 1)
    return Applied(Store(), sessions, index, 2, 20)


def run(first: int, *keys: bytes) -> Run:
    return Run(first, first + len(keys) - 1, bytes(len(keys)), list(keys), [b"v"] * len(keys), 1)


def entry(index: int, base: int, session: int, first: int, count: int, view: int = 2) -> Entry:
    return Entry(index, view, base, [], [session], [first], [count], [1], bytes(count), [b"e"] * count, [b"v"] * count)


def restored(durable: Durable) -> Node:
    node = Node(CONFIG)
    restore(node, durable)
    node.witness.check_invariants()
    return node


def levels(node: Node) -> dict[int, tuple[int, int, int, int]]:
    return {session: (chain.committed, chain.anchored, chain.accepted, chain.held) for session, chain in node.witness.chains.items()}


# ----------------------------------------------------------------------------------------------------------------------- from the disk


def test_view_and_vote_come_back_and_nobody_is_known_to_lead() -> None:
    node = restored(Durable(voted=Voted(7, 2)))
    assert (node.view, node.voted_for, node.leader) == (7, 2, -1)
    assert restored(Durable()).view == CONFIG.view, "who comes back is in the first view at least"


def test_the_log_goes_on_behind_the_snapshot() -> None:
    node = restored(Durable(applied(), entries=[entry(7, 20, A, 1, 2)], committed=99))
    assert (node.applied_index, node.applied_position, node.commit_index, node.log.last_index, node.log.last_position) == (6, 20, 7, 7, 22)
    assert (node.log.view_at(6), node.journal.durable_index) == (2, 7)
    node.apply(100)
    assert node.sessions.applied(A) == 2


def test_a_commit_below_the_snapshot_is_known_to_be_more() -> None:
    assert restored(Durable(applied(), committed=2)).commit_index == 6


def test_chains_come_back_above_what_is_committed() -> None:
    chains = {A: Held([run(1, b"x", b"y"), run(3, b"z")], 3, 3), B: Held([run(1, b"q")], 1, 1)}
    node = restored(Durable(applied(a=1), entries=[entry(7, 20, A, 2, 1)], committed=7, chains=chains))
    assert levels(node) == {A: (1, 3, 3, 3), B: (0, 1, 1, 1)}
    assert [(part.first, part.keys) for part in node.witness.chains[A].runs] == [(3, [b"z"])], "command 2 is committed"
    node.apply(100)
    node.witness.check_invariants()
    assert levels(node)[A] == (2, 3, 3, 3)


def test_what_was_refused_is_judged_again_and_told_to_the_journal() -> None:
    node = restored(Durable(applied(), chains={A: Held([run(1, b"x")], 1, 1), B: Held([run(1, b"y")], 0, 0)}))
    assert levels(node)[B] == (0, 1, 1, 1)
    assert (list(node.journal.levels), node.promoted) == ([B], {})
    assert not node.journal.clear, "nothing of it is told before it is on disk"


@pytest.mark.parametrize("end", [CLOSE, EXPIRE])
def test_a_session_whose_end_is_committed_and_not_applied_yet_has_no_chain(end: int) -> None:
    """Its key was given to another session after it had ended: that one's place must not fall when the end is applied again."""
    ends = Entry(7, 2, 20, [[end, A]], [], [], [], [], b"", [], [])
    chains = {B: Held([run(1, b"x")], 1, 1), A: Held([run(1, b"x")], 1, 1)}
    node = restored(Durable(applied(), entries=[ends], committed=7, chains=chains))
    assert sorted(node.witness.chains) == [A, B]
    assert (levels(node)[A], levels(node)[B]) == ((0, 0, 0, 0), (0, 1, 1, 1))
    node.apply(100)
    assert sorted(node.witness.chains) == [B]
    node.witness.check_invariants()
    assert list(node.witness.anchored) == [b"x"]


def test_chains_of_sessions_that_ended_are_dropped_and_of_those_that_open_later_kept() -> None:
    later = 21
    node = restored(
        Durable(
            applied(),
            entries=[Entry(7, 2, 20, [[OPEN, b"later", 30.0]], [], [], [], [], b"", [], [])],
            committed=7,
            chains={GONE: Held([run(1, b"x")], 1, 1), later: Held([run(1, b"y")], 1, 1)},
        )
    )
    assert sorted(node.witness.chains) == [A, B, later]
    node.apply(100)
    assert levels(node)[later] == (0, 1, 1, 1)


# -------------------------------------------------------------------------------------------------------------- a leader's snapshot


def test_a_snapshot_replaces_the_state_and_begins_the_log_anew() -> None:
    node = restored(Durable(entries=[noop(1, 1), noop(2, 1)]))
    state = applied()
    node.install(state)
    assert (node.store, node.sessions) == (state.store, state.sessions)
    assert (node.applied_index, node.commit_index, node.applied_position) == (6, 6, 20)
    assert (node.log.first_index, node.log.last_index, node.log.last_view, node.log.last_position) == (7, 6, 2, 20)
    node.append_entry(entry(7, 20, A, 1, 1))


def test_one_that_brings_nothing_new_is_our_bug() -> None:
    node = restored(Durable(applied()))
    with pytest.raises(AssertionError):
        node.install(applied(index=6))


def test_sessions_at_home_here_are_told_what_the_snapshot_brought() -> None:
    node = restored(Durable(applied()))
    for session, home in ((A, True), (B, False)):
        node.witness.chains[session].link, node.witness.chains[session].home = LINK, home
    node.install(applied(index=9, a=4, b=4))
    node.flush_notes(urgent=True)
    assert node.outbox[LINK] == [AppliedNote(1, 1, False, 20, [A], [4], [])]


def test_with_memory_durability_a_snapshot_is_safe_at_once() -> None:
    node = Node(CoreConfig(id=1, voters=(0, 1, 2)))
    node.install(applied())
    assert (node.journal.durable_index, node.journal.take()) == (6, [])


@pytest.mark.parametrize(("forgotten", "muted"), [(1, False), (2, True), (5, True)])
def test_a_snapshot_that_ends_in_a_higher_view_than_what_was_forgotten_is_a_commit_of_that_view(forgotten: int, muted: bool) -> None:
    """Its last entry is of view 2: nobody needs to wait for another one."""
    node = restored(Durable(voted=Voted(forgotten, -1), forgotten=True))
    node.install(applied())
    assert node.muted == muted


# ------------------------------------------------------------------------------------------------------------------------- the log


def test_entries_and_cuts_are_recorded() -> None:
    node = restored(Durable())
    node.append_entry(noop(1, 1))
    node.append_entry(noop(2, 1))
    node.cut_log(1)
    node.append_entry(noop(2, 2))
    assert node.journal.take() == [noop(1, 1), noop(2, 1), Cut(1), noop(2, 2)]
    assert [part.view for part in node.log.entries] == [1, 2]


def test_a_committed_entry_is_never_cut_and_a_commit_never_taken_back() -> None:
    node = restored(Durable(entries=[noop(1, 1), noop(2, 1)]))
    node.commit(1)
    for step, index in ((node.cut_log, 0), (node.commit, 0), (node.commit, 3)):
        with pytest.raises(AssertionError):
            step(index)
    node.cut_log(1)
    assert node.log.last_index == 1


# ------------------------------------------------------------------------------------------------------- what waits for the disk


def test_what_rests_on_the_disk_waits_for_it_and_keeps_its_order() -> None:
    node = restored(Durable())
    node.clients[LINK] = None
    node.reply_durable(LINK, Pong(1))
    assert node.take_replies() == [(LINK, [Pong(1)])]
    node.append_entry(noop(1, 1))
    node.reply_durable(LINK, Pong(2))
    node.journal.take()
    node.reply_durable(LINK, Pong(3))
    node.reply_durable(OTHER, Pong(4))
    node.release_replies()
    assert node.take_replies() == []
    node.journal.on_persisted(1)
    node.release_replies()
    assert node.take_replies() == [(LINK, [Pong(2), Pong(3)])], "the other link is gone"


def test_a_higher_view_takes_back_what_names_the_old_one() -> None:
    node = restored(Durable())
    node.clients[LINK] = None
    verdict = RecordAck(1, 1, [A], [1], [1], [])
    node.reply(LINK, verdict)
    node.reply(LINK, Pong(1))
    node.send(2, VoteReply(1, 1, 1, trial=False, granted=False))
    node.append_entry(noop(1, 1))
    node.reply_durable(LINK, verdict)
    node.join(2, -1)
    assert (node.outbox, list(node.held_replies), node.peer_sends) == ({LINK: [Pong(1)]}, [], [])


def test_peers_are_told_nothing_before_the_view_is_on_disk() -> None:
    node = restored(Durable())
    node.join(2, -1)
    node.send(2, VoteReply(1, 2, 2, trial=False, granted=False))
    node.journal.take()
    assert node.take_sends() == []
    node.journal.on_persisted(1)
    assert node.take_sends() == [(2, [VoteReply(1, 2, 2, trial=False, granted=False)])]
    assert node.take_sends() == []


def test_clients_learn_who_leads_once() -> None:
    node = restored(Durable())
    node.clients[LINK] = None
    node.join(2, -1)
    node.join(2, 0)
    node.join(2, 0)
    assert [message for _, _, message in node.held_replies] == [LeaderNews(1, 2, 0)]


def test_a_view_is_never_left_for_a_lower_one() -> None:
    node = restored(Durable(voted=Voted(5, -1)))
    with pytest.raises(AssertionError):
        node.join(4, -1)


# ------------------------------------------------------------------------------------------------------------------ configurations

FIRST = Configuration(1, (0, 1, 2))
SECOND = FIRST.with_learner(3, "host:7003")
THIRD = SECOND.with_voter(3)


def change(index: int, base: int, configuration: Configuration) -> Entry:
    return Entry(index, 2, base, [configuration.command("ho")], [], [], [], [], b"", [], [])


def in_snapshot(configuration: Configuration) -> Applied:
    state = applied()
    state.configuration = configuration
    return state


def test_the_configuration_of_a_snapshot_comes_back_and_those_of_the_log_above_it() -> None:
    node = restored(Durable(in_snapshot(SECOND)))
    assert (node.configuration, node.configurations.told) == (SECOND, [(6, SECOND)])
    node = restored(Durable(in_snapshot(SECOND), entries=[entry(7, 20, A, 1, 1), change(8, 21, THIRD)]))
    assert (node.configuration, node.configurations.told) == (THIRD, [(6, SECOND), (8, THIRD)])


def test_without_a_snapshot_the_cluster_file_s_counts_until_the_log_tells() -> None:
    assert restored(Durable()).configuration == restored(Durable(applied())).configuration == FIRST
    assert restored(Durable(entries=[change(1, 0, FIRST), change(2, 1, SECOND)])).configuration == SECOND


def test_who_joins_knows_nobody_until_it_is_told() -> None:
    node = Node(CoreConfig(id=3, voters=(0, 1, 2), durable=True, joins=True))
    assert (node.configuration.number, node.configuration.members, node.votes, node.may_lead) == (0, (), False, False)
    node.install(in_snapshot(THIRD))
    assert (node.configuration, node.votes) == (THIRD, True)


def test_a_snapshot_s_configuration_replaces_what_the_log_told() -> None:
    node = restored(Durable(entries=[change(1, 0, FIRST), change(2, 1, SECOND)]))
    node.clients[LINK] = None
    node.install(in_snapshot(THIRD))
    assert (node.configuration, node.configurations.told) == (THIRD, [(6, THIRD)])
    assert [message for _, _, message in node.held_replies] + node.outbox.get(LINK, []) == [Members(node.view, False, THIRD.items())]


def test_one_that_tells_nobody_leaves_it_at_what_is_known() -> None:
    node = restored(Durable(entries=[change(1, 0, SECOND)]))
    node.install(applied())
    assert node.configuration == SECOND


def test_a_change_counts_while_it_is_in_the_log_and_clients_are_told_both_times() -> None:
    node = restored(Durable(entries=[change(1, 0, FIRST)]))
    node.clients[LINK] = None
    node.append_entry(change(2, 1, SECOND))
    node.append_entry(noop(3, 2))
    assert node.configuration == SECOND
    node.cut_log(2)
    assert node.configuration == SECOND
    node.cut_log(1)
    assert node.configuration == FIRST
    told = [message for _, _, message in node.held_replies]
    assert told == [Members(node.view, False, SECOND.items()), Members(node.view, False, FIRST.items())]


def test_who_was_a_voter_before_a_change_that_may_not_be_committed_may_lead() -> None:
    """It may be the only one that has it: nobody who lacks it gets its vote."""
    node = restored(Durable(entries=[change(1, 0, FIRST), change(2, 1, FIRST.without(1))], committed=1))
    assert (node.votes, node.may_lead) == (False, True)
    node.commit(2)
    assert not node.may_lead
    learner = Node(attrs.evolve(CONFIG, id=3))
    restore(learner, Durable(entries=[change(1, 0, SECOND), change(2, 1, SECOND.without(3))], committed=1))
    assert not learner.may_lead
