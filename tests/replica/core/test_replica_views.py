"""A whole replica through several views: what of the old one counts, and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.effects import LinkDown
from replica.core.messages import (
    Accept,
    AcceptAck,
    AcceptNack,
    Applied,
    Collect,
    Entry,
    Leader,
    Message,
    RecordAck,
    SpecReply,
    StrongRead,
    StrongReadReply,
)
from statemachine.command import NOOP
from tests.replica.core.lone import CLIENT, Lone, accept, noop
from tests.replica.core.successor import A, Successor
from tests.scenarios.cluster import Cluster

if TYPE_CHECKING:
    from replica.core.config import Mode

MODES: tuple[Mode, ...] = ("paxos", "curp", "ht", "ho")


def views(replies: dict[object, list[Message]], link: object = CLIENT) -> set[int]:
    return {section.view for section in replies.get(link, []) if isinstance(section, RecordAck | SpecReply | StrongReadReply | Applied)}


def crash_and_elect(cluster: Cluster, old: int, new: int) -> None:
    """The leader dies; another is elected and recovers."""
    cluster.kill(old)
    cluster.campaign(new)
    cluster.settle()
    assert cluster.replicas[new].roles.name == "leader"


# --------------------------------------------------------------------------------------------------------------- what the disk holds back


def test_no_verdict_leaves_before_what_it_rests_on_is_on_disk() -> None:
    successor = Successor()
    successor.slow = True
    successor.holds(A, 1, "s")
    assert successor.replies == {}
    successor.sync()
    assert successor.replies[CLIENT] == [RecordAck(1, 1, [A], [1], [1], [])]


def test_no_entry_is_acknowledged_before_it_is_on_disk() -> None:
    lone = Lone()
    lone.slow = True
    sent = lone.tell(0, accept(1, (0, 0), noop(1, 1), noop(2, 1)))
    assert [section.match_index for _, section in sent if isinstance(section, AcceptAck)] == [0]
    assert [section.match_index for _, section in lone.sync() if isinstance(section, AcceptAck)] == [2]


def test_an_entry_that_replaced_another_counts_only_when_it_is_on_disk_itself() -> None:
    lone = Lone()
    lone.tell(0, accept(1, (0, 0), noop(1, 1), noop(2, 1)))
    lone.slow = True
    lone.tell(2, accept(2, (1, 1), noop(2, 2)))
    acks = [section.match_index for _, section in lone.tell(2, accept(2, (2, 2))) if isinstance(section, AcceptAck)]
    assert acks == []
    assert [section.match_index for _, section in lone.sync() if isinstance(section, AcceptAck)] == [2]


def test_a_leader_counts_itself_when_its_entry_is_on_disk() -> None:
    lone = Lone(0)
    lone.slow = True
    lone.turn()
    lone.tell(1, AcceptAck(1, 1, 1, 1, []))
    assert lone.replica.node.commit_index == 0
    lone.sync()
    assert lone.replica.node.commit_index == 1


def test_a_majority_of_others_commits_without_the_leader_s_own_disk() -> None:
    lone = Lone(0)
    lone.slow = True
    lone.turn()
    for peer in (1, 2):
        lone.tell(peer, AcceptAck(1, 1, 1, 1, []))
    assert lone.replica.node.commit_index == 1


def test_nothing_is_speculated_to_a_client_before_it_is_on_disk() -> None:
    cluster = Cluster(durable=True)
    (session,) = cluster.open("s")
    cluster.disks[0].slow = True
    cluster.put(session, b"x", b"1")
    cluster.deliver("c", 0)
    assert cluster.waiting(0, "c") == []
    cluster.sync(0)
    assert [type(section) for section in cluster.waiting(0, "c")] == [RecordAck, SpecReply]


def test_a_read_waits_for_the_disk_as_far_as_it_rests_on_it() -> None:
    cluster = Cluster(durable=True)
    (session,) = cluster.open("s")
    cluster.disks[0].slow = True
    cluster.put(session, b"x", b"1")
    cluster.strong_read(session, b"x")
    cluster.deliver("c", 0, 2)
    assert cluster.waiting(0, "c") == []
    cluster.sync(0)
    assert StrongReadReply in [type(section) for section in cluster.waiting(0, "c")]


def test_answers_that_wait_for_the_disk_end_with_their_link() -> None:
    successor = Successor()
    successor.slow = True
    successor.holds(A, 1, "s")
    successor.step(LinkDown(CLIENT))
    successor.sync()
    assert successor.replies == {}


# ------------------------------------------------------------------------------------------------------------------------ changing views


def test_answers_of_an_older_view_that_wait_for_the_disk_are_never_given() -> None:
    """Else a voter would acknowledge for a view that it has left."""
    successor = Successor()
    successor.slow = True
    successor.holds(A, 1, "s")
    successor.tell(2, Collect(1, 2, 1))
    successor.sync()
    assert views(successor.replies) == set()
    assert Leader(1, 2, 2) in successor.replies[CLIENT]


def test_verdicts_name_the_view_that_was_joined() -> None:
    successor = Successor()
    successor.tell(2, Collect(1, 2, 1))
    successor.holds(A, 1, "s")
    assert successor.replies[CLIENT] == [RecordAck(1, 2, [A], [1], [1], [])]


def test_the_leader_of_an_older_view_is_told_of_the_present_one() -> None:
    lone = Lone()
    lone.tell(2, Collect(1, 2, 1))
    for message in (accept(1), Collect(1, 1, 1)):
        assert lone.tell(0, message) == [(0, AcceptNack(1, 2, 0, 0))]


def test_acknowledgements_of_an_older_view_are_nothing() -> None:
    successor = Successor()
    successor.takes_over()
    successor.hears(2)
    last = successor.replica.node.log.last_index
    successor.tell(0, AcceptAck(1, 1, last, 99, []))
    assert successor.replica.node.commit_index == 1


def test_a_deposed_leader_forgets_its_tail_and_its_reads() -> None:
    cluster = Cluster()
    (session,) = cluster.open("s")
    cluster.put(session, b"x", b"1")
    cluster.deliver("c", 0)
    cluster.receive(0, 2, Accept(1, 2, 0, 0, 0, 1, []))
    old = cluster.replicas[0]
    assert (old.leader, old.reads, old.recovery, old.roles.name) == (None, None, None, "follower")
    assert isinstance(cluster.waiting(0, 2)[-1], AcceptAck)


def test_entries_of_an_older_view_give_way_where_the_logs_differ_and_only_there() -> None:
    lone = Lone()
    lone.tell(0, accept(1, (0, 0), noop(1, 1), noop(2, 1), noop(3, 1)))
    lone.tell(2, accept(2, (1, 1), noop(2, 1), noop(3, 2)))
    assert [(entry.index, entry.view) for entry in lone.replica.node.log.entries] == [(1, 1), (2, 1), (3, 2)]


def test_a_committed_entry_never_gives_way() -> None:
    lone = Lone()
    lone.tell(0, accept(1, (0, 0), noop(1, 1), noop(2, 1), commit=2))
    with pytest.raises(AssertionError, match="never truncated"):
        lone.tell(2, accept(2, (1, 1), noop(2, 2)))


def test_what_was_in_the_old_leader_s_log_only_is_not_acknowledged_to_the_new_one() -> None:
    """A follower's log may be longer than what it shares with its leader."""
    lone = Lone()
    lone.tell(0, accept(1, (0, 0), noop(1, 1), noop(2, 1), noop(3, 1), commit=1))
    sent = lone.tell(2, accept(2, (1, 1)))
    assert [section.match_index for _, section in sent if isinstance(section, AcceptAck)] == [1]


def test_the_commit_index_of_a_new_leader_reaches_as_far_as_the_logs_agree() -> None:
    lone = Lone()
    lone.tell(0, accept(1, (0, 0), noop(1, 1), noop(2, 1), commit=1))
    lone.tell(2, accept(2, (1, 1), commit=2))
    assert lone.replica.node.commit_index == 1
    lone.tell(2, accept(2, (1, 1), Entry(2, 2, 1, [[NOOP]], [], [], [], [], b"", [], []), commit=2))
    assert lone.replica.node.commit_index == 2


# ----------------------------------------------------------------------------------------------------------------------------- clients


def test_a_client_counts_nothing_that_the_deposed_leader_speculated() -> None:
    cluster = Cluster(durable=True)
    (session,) = cluster.open("s")
    cluster.put(session, b"x", b"1", "put")
    for place in (0, 1, 2):
        cluster.deliver("c", place)
    speculated = cluster.queues["c", 0], list(cluster.queues[0, "c"])
    crash_and_elect(cluster, 0, 1)
    assert cluster.clients["c"].core.view == 2
    before = cluster.completed("put")
    for frame in speculated[1]:
        cluster.clients["c"].core.step(0, frame, cluster.now)
    cluster.turn("c")
    assert cluster.completed("put") == before
    cluster.run(0.1)
    assert not cluster.fast("put")


@pytest.mark.parametrize("mode", MODES)
def test_a_command_has_one_effect_whoever_leads_when_it_is_sent_again(mode: Mode) -> None:
    """The old leader logged it and told nobody; the client sends it to the next one, and to the one after that."""
    cluster = Cluster(5, mode, durable=True, client={"resend_seconds": 0.05})
    (session,) = cluster.open("s")
    cluster.put(session, b"x", b"0")
    cluster.run(0.01)
    cluster.cas(session, b"x", b"0", b"1", "cas")
    cluster.deliver("c", 0)
    cluster.deliver(0, 1)
    crash_and_elect(cluster, 0, 1)
    cluster.run(0.2)
    crash_and_elect(cluster, 1, 2)
    cluster.run(0.2)
    cluster.cas(session, b"x", b"1", b"2", "next")
    cluster.run(0.2)
    assert (cluster.values("cas"), cluster.values("next")) == ([True], [True])
    assert sorted(number for _, number, _ in cluster.logged(2)) == [1, 2, 3]


@pytest.mark.parametrize("mode", MODES)
def test_the_outcome_of_a_cas_is_had_from_any_later_leader(mode: Mode) -> None:
    cluster = Cluster(3, mode, durable=True, client={"resend_seconds": 0.05})
    (session,) = cluster.open("s")
    cluster.cas(session, b"x", b"nothing like it", b"1", "cas")
    for place in (0, 1, 2):
        if cluster.waiting("c", place):
            cluster.deliver("c", place)
    cluster.settle_replicas()
    crash_and_elect(cluster, 0, 1)
    cluster.run(0.2)
    assert cluster.values("cas") == [False]


def test_the_fast_path_is_back_in_the_new_view() -> None:
    cluster = Cluster(5, durable=True)
    (session,) = cluster.open("s")
    crash_and_elect(cluster, 0, 1)
    cluster.run(0.01)
    cluster.put(session, b"x", b"1", "put")
    cluster.run(0.01)
    assert cluster.fast("put")


def test_a_session_is_opened_by_whoever_leads_then() -> None:
    cluster = Cluster(durable=True, client={"resend_seconds": 0.05})
    core = cluster.clients["c"].core
    session = core.open_session(b"token", "s")
    cluster.turn("c")
    cluster.deliver("c", 0)
    cluster.deliver(0, 1)
    crash_and_elect(cluster, 0, 1)
    cluster.run(0.2)
    assert session.id
    assert [entry.system for entry in cluster.replicas[1].node.log.entries].count([[0, b"token", 30.0]]) >= 1
    assert list(cluster.replicas[1].node.sessions.tokens) == [b"token"]


def test_a_read_that_waited_at_a_deposed_leader_is_answered_by_the_next() -> None:
    cluster = Cluster(clients="cd", durable=True, client={"resend_seconds": 0.05})
    (a,), (b,) = cluster.open("a"), cluster.open("b", client="d")
    cluster.put(a, b"x", b"1", "put")
    for place in (0, 1, 2):
        cluster.deliver("c", place)
    cluster.strong_read(b, b"x", handle="read")
    cluster.deliver("d", 0)
    assert cluster.replicas[0].reads is not None
    assert cluster.replicas[0].reads.count == 1
    crash_and_elect(cluster, 0, 1)
    cluster.run(0.3)
    assert cluster.values("read") == [b"1"]


# --------------------------------------------------------------------------------------------------------------------------- restarts


@pytest.mark.parametrize("mode", MODES)
def test_all_replicas_come_back_from_their_disks(mode: Mode) -> None:
    cluster = Cluster(3, mode, durable=True, election_seconds=0.5)
    (session,) = cluster.open("s")
    for number in range(5):
        cluster.put(session, b"k%d" % number, b"v", f"put {number}")
    cluster.run(0.1)
    states = list(cluster.states())
    for place in (0, 1, 2):
        cluster.kill(place)
    for place in (0, 1, 2):
        cluster.restart(place)
    cluster.run(3.0, delay=0.005)
    assert list(cluster.states()) == states
    cluster.put(session, b"x", b"1", "after")
    cluster.run(0.5)
    assert cluster.completed("after")


def test_what_a_witness_acknowledged_it_holds_after_a_restart() -> None:
    successor = Successor()
    successor.holds(A, 1, "cs")
    successor.restart()
    while successor.replica.apply(1 << 30):
        pass
    chain = successor.replica.node.witness.chains[A]
    assert (chain.held, chain.accepted, chain.anchored) == (2, 2, 2)
    assert [run.keys for run in chain.runs] == [[b"1-1", b"1-2"]]


def test_what_was_never_on_disk_is_gone_and_was_told_to_nobody() -> None:
    successor = Successor()
    successor.slow = True
    successor.holds(A, 1, "s")
    assert successor.replies == {}
    successor.restart()
    successor.slow = False
    while successor.replica.apply(1 << 30):
        pass
    assert successor.replica.node.witness.commands == 0


def test_strong_reads_at_who_leads_no_more_are_redirected() -> None:
    successor = Successor()
    successor.tell(2, Collect(1, 2, 1))
    successor.tell(CLIENT, StrongRead([A], [1], [1], [0], [b"x"]))
    assert successor.replies[CLIENT] == [Leader(1, 2, 2)]
