"""A replica of ``memory`` durability that comes back: it knows its vote and nothing else, and must harm nobody with that."""

from __future__ import annotations

import pytest

from replica.core import leader as leader_module
from replica.core import log as log_module
from replica.core.journal import Durable, Voted
from replica.core.messages import AcceptAck, Anchor, Collect, Entry, Message, Record, RecordAck, Rejoin, TakeOver, Vote, WitnessState
from replica.core.node import BUSY
from replica.core.reconfiguration import NotNow
from replica.core.replica import Replica
from statemachine.command import OPEN
from tests.replica.core.lone import CLIENT, LONG, Lone, accept, asked, noop, vote, votes
from tests.scenarios.cluster import Cluster

A = 1


def back(view: int = 3, **config: float) -> Lone:
    """Replica 1, back with a vote for 2 in ``view``."""
    lone = Lone(1, durable=False, **config)  # type: ignore[arg-type]
    lone.replica = Replica(lone.config, Durable(voted=Voted(view, 2), forgotten=True), lambda: 0.0)
    lone.link(0, 2)
    lone.link_client()
    lone.turn()
    return lone


def opened(view: int) -> Entry:
    return Entry(1, view, 0, [[OPEN, b"a", 30.0]], [], [], [], [], b"", [], [])


def kinds(sent: list[tuple[int, Message]]) -> set[type]:
    return {type(section) for _, section in sent}


def test_in_views_that_it_may_have_acknowledged_in_it_acknowledges_nothing_and_asks_for_a_higher_one() -> None:
    lone = back(3)
    assert lone.tell(0, accept(3, (0, 0), noop(1, 3))) == [(0, Rejoin(1, 3))]
    assert lone.tell(0, accept(3, (5, 5))) == [(0, Rejoin(1, 3))], "not even what it lacks"


def test_in_a_higher_view_its_log_counts_at_once() -> None:
    lone = back(3)
    assert lone.tell(0, accept(4, (0, 0), noop(1, 2))) == [(0, AcceptAck(1, 4, 1, 1, []))]
    assert lone.replica.node.muted, "an entry of an older view says nothing of what it promised since"


@pytest.mark.parametrize("trial", [True, False])
def test_it_gives_no_vote(trial: bool) -> None:
    lone = back(3)
    lone.now = LONG
    lone.replica.election.at = 1e9
    assert votes(lone.tell(2, vote(9, (9, 9), trial=trial))) == [(2, 9, trial, False)]


def test_it_stands_for_no_election() -> None:
    lone = back(3)
    assert asked(lone.wait(10.0)) == []
    lone.tell(0, accept(4))
    assert asked(lone.tell(0, TakeOver(1, 4))) == []
    assert lone.replica.deadline() > lone.now


def test_its_witness_holds_nothing_says_nothing_and_anchors_nothing() -> None:
    lone = back(3)
    lone.tell(0, accept(4, (0, 0), opened(2), commit=1))
    assert WitnessState not in kinds(lone.tell(0, Collect(1, 4, 1)))
    lone.tell(CLIENT, Record([A], [1], [1], [0], [1], b"\0", [b"k"], [b"v"]))
    assert lone.replies[CLIENT] == [RecordAck(1, 4, [A], [0], [0], [[A, BUSY]])]
    lone.tell(CLIENT, Anchor([A], [1], [1]))
    assert CLIENT not in lone.replies


def test_all_of_that_ends_when_an_entry_of_a_higher_view_is_committed_here() -> None:
    lone = back(3)
    lone.tell(0, accept(4, (0, 0), opened(2), noop(2, 4), commit=1))
    assert lone.replica.node.forgotten_view == 3
    lone.tell(0, accept(4, (4, 2), commit=2))
    assert lone.replica.node.forgotten_view == -1
    lone.tell(CLIENT, Record([A], [1], [1], [0], [1], b"\0", [b"k"], [b"v"]))
    assert lone.replies[CLIENT] == [RecordAck(1, 4, [A], [1], [1], [])]
    assert WitnessState in kinds(lone.tell(0, Collect(1, 5, 1)))


@pytest.mark.parametrize("view", [3, 4])
def test_a_commit_of_the_very_view_that_was_forgotten_ends_nothing_whoever_tells_it(view: int) -> None:
    """What it acknowledged in that view may have come after that entry."""
    lone = back(3)
    lone.tell(0, accept(view, (0, 0), noop(1, 3), commit=1))
    assert (lone.replica.node.applied_index, lone.replica.node.forgotten_view) == (1, 3)


def leading() -> Lone:
    lone = Lone(0)
    lone.turn()
    return lone


def test_a_leader_that_is_asked_for_a_higher_view_stands_for_it_by_force() -> None:
    lone = leading()
    sent = lone.tell(1, Rejoin(1, 1))
    assert [(peer, section.view, section.forced) for peer, section in sent if isinstance(section, Vote)] == [(1, 2, True), (2, 2, True)]


def test_it_goes_above_the_highest_view_that_was_forgotten() -> None:
    assert {section.view for _, section in leading().tell(1, Rejoin(1, 6)) if isinstance(section, Vote)} == {7}


def test_a_leader_of_a_higher_view_goes_on() -> None:
    lone = leading()
    lone.tell(1, Rejoin(1, 0))
    assert (lone.role, lone.state()[0]) == ("leader", 1)


def test_who_does_not_lead_makes_nothing_of_it() -> None:
    lone = Lone(1)
    assert lone.tell(2, Rejoin(1, 6)) == []
    assert lone.state() == (1, 0, -1)


def dies_and_comes_back(cluster: Cluster, place: int) -> None:
    """A replica dies, and is there again at once, with its vote; nothing of what was on its way arrives."""
    voted = Voted(cluster.replicas[place].node.view, cluster.replicas[place].node.voted_for)
    cluster.kill(place)
    cluster.replicas[place] = Replica(cluster.configs[place], Durable(voted=voted, forgotten=True), lambda: 0.5, now=cluster.now)
    cluster.queues.clear()
    cluster.rejoin(place)


def takes_next_entry(cluster: Cluster, place: int, leader: int) -> None:
    """A replica gets one entry of the leader's more, and the leader hears of it; what is on its way behind that is lost with the link."""
    log = cluster.replicas[place].node.log
    before = log.last_index
    while log.last_index == before and cluster.replicas[place].node.muted:
        assert cluster.queues.get((leader, place)) or cluster.queues.get((place, leader)), "they have nothing more to say to each other"
        for pair in ((leader, place), (place, leader)):
            if cluster.queues.get(pair):
                cluster.deliver(*pair)
    while cluster.queues.get((place, leader)):
        cluster.deliver(place, leader)
    cluster.cut(place, leader)
    cluster.link(place, leader)


def test_its_witness_counts_again_only_when_all_is_committed_that_was_recovered_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a recovery puts into the log may be several entries; a commit of the first says nothing of those that the new leader alone has."""
    monkeypatch.setattr(leader_module, "ENTRY_COMMANDS_MAX", 1)
    monkeypatch.setattr(log_module, "ENTRIES_PER_ACCEPT_MAX", 1)
    cluster = Cluster(3, durable=False, clients="cdef")
    for client in "cdef":
        cluster.open("s", client=client)
    keys = {"c": b"x", "d": b"y", "e": b"z"}
    for client, key in keys.items():
        (session,) = cluster.clients[client].core.sessions.values()
        cluster.put(session, key, b"1", key)
    for client in keys:
        for place in range(3):
            cluster.settle(client, place)
    assert all(cluster.fast(key) for key in keys.values())
    for client in keys:
        cluster.kill(client)
    dies_and_comes_back(cluster, 0)  # it led, and nobody had got its entries
    cluster.campaign(1)
    while cluster.replicas[1].leader is None or cluster.replicas[1].recovery is not None:
        for pair in ((1, 2), (2, 1)):
            if cluster.queues.get(pair):
                cluster.deliver(*pair)
    while cluster.replicas[0].node.muted:
        takes_next_entry(cluster, 0, 1)
    dies_and_comes_back(cluster, 1)
    cluster.campaign(0)
    cluster.settle()
    (reader,) = cluster.clients["f"].core.sessions.values()
    cluster.strong_read(reader, *keys.values(), handle="read")
    cluster.settle()
    assert cluster.values("read") == [b"1"] * 3


def test_no_voter_is_removed_because_of_one_that_has_just_come_back() -> None:
    """The two that were left would never elect anybody again: one of them has no vote before a leader is elected in a higher view."""
    cluster = Cluster(3, election_seconds=0.5, durable=False)
    cluster.open("s")
    cluster.run(0.5)
    cluster.kill(2)
    cluster.restart(2, linked=False)
    cluster.replicas[2] = Replica(cluster.configs[2], Durable(voted=Voted(1, -1), forgotten=True), lambda: 0.5, now=cluster.now)
    cluster.rejoin(2)
    leader = cluster.replicas[0]
    assert leader.reconfiguration is not None
    with pytest.raises(NotNow):
        leader.reconfiguration.remove(1)
    cluster.run(2.0)
    assert [replica.node.muted for replica in cluster.replicas.values()] == [False] * 3
    assert leader.reconfiguration is not None
    leader.reconfiguration.remove(1)
    cluster.run(0.5)
    assert [replica.node.configuration.voters for replica in (cluster.replicas[0], cluster.replicas[2])] == [(0, 2), (0, 2)]
