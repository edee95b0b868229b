from __future__ import annotations

import math

import attrs

from replica.core.messages import TakeOver
from replica.core.node import BUSY
from tests.replica.core.seat import Seat
from tests.scenarios.cluster import Cluster


def orders(seat: Seat) -> list[int]:
    """Take what was sent to peers; returns who is told to take over."""
    sends, seat.node.peer_sends = seat.node.peer_sends, []
    return [peer for peer, sections in sends for section in sections if isinstance(section, TakeOver)]


def behind(*lacking: int) -> Seat:
    """A leader whose followers have its log, but for one entry that some of them lack."""
    seat = Seat(voters=5)
    (session,) = seat.open(b"t")
    seat.puts(session, b"k")
    seat.turn()
    seat.ack(*(peer for peer in seat.leader.progress if peer not in lacking))
    return seat


def test_who_has_the_whole_log_is_told_at_once() -> None:
    seat = behind()
    assert seat.leader.hand_over(3)
    seat.turn()
    assert orders(seat) == [3]


def test_who_lacks_something_is_told_when_it_has_that_and_once() -> None:
    seat = behind(3)
    assert seat.leader.hand_over(3)
    seat.turn()
    assert orders(seat) == []
    seat.ack(3)
    seat.turn()
    seat.turn()
    assert orders(seat) == [3]


def test_nobody_in_particular_is_who_has_most_and_the_first_of_them() -> None:
    for lacking, chosen in (((), 1), ((1,), 2), ((1, 2, 4), 3)):
        seat = behind(*lacking)
        assert seat.leader.hand_over()
        seat.turn()
        assert orders(seat) == [chosen]


def test_only_a_linked_follower_can_take_over() -> None:
    seat = behind()
    seat.leader.link_down(1)
    assert not seat.leader.hand_over(1)
    assert not seat.leader.hand_over(0), "the leader itself"
    assert not seat.leader.hand_over(9), "nobody"
    assert not seat.leader.busy()
    assert seat.leader.hand_over()
    seat.turn()
    assert orders(seat) == [2]


def test_who_is_linked_and_says_nothing_is_not_chosen() -> None:
    """It hangs: while it is waited for nothing is taken, and a leader that was removed would wait for it for ever."""
    seat = behind()
    seat.now = seat.node.now = seat.node.config.election_seconds
    seat.turn()
    seat.ack(2, 3, 4)
    assert not seat.leader.hand_over(1)
    assert seat.leader.hand_over()
    seat.turn()
    assert orders(seat) == [2]


def test_a_replica_alone_cannot_hand_over() -> None:
    assert not Seat(voters=1, linked=False).leader.hand_over()


def test_who_recovers_hands_nothing_over() -> None:
    seat = behind()
    seat.leader.serving = False
    assert not seat.leader.hand_over()


def test_it_is_given_up_after_an_election_s_time_and_nothing_was_decided() -> None:
    seat = behind(3)
    limit = seat.node.config.election_seconds
    assert seat.leader.hand_over(3)
    assert seat.leader.deadline() <= limit
    seat.now = seat.node.now = limit * 0.9
    seat.turn()
    assert seat.leader.busy()
    seat.now = seat.node.now = limit
    seat.turn()
    assert not seat.leader.busy()
    seat.ack(3)
    seat.turn()
    assert orders(seat) == []


def test_no_command_is_taken_meanwhile() -> None:
    cluster = Cluster(3, election_seconds=0.5)
    (session,) = cluster.open("s")
    cluster.cut(0, 2)
    cluster.put(session, b"a", b"1", "before")
    cluster.link(0, 2)
    assert cluster.replicas[0].hand_over(2)
    before = cluster.logged()
    cluster.put(session, b"b", b"2", "after")
    cluster.deliver("c", 0, 2)
    refusals = [refusal for message in cluster.waiting(0, "c") for refusal in getattr(message, "refusals", [])]
    assert [session.id, BUSY] in refusals
    assert [key for _, _, key in cluster.logged() if key == b"b"] == [key for _, _, key in before if key == b"b"] == []
    cluster.run(2.0, delay=0.02)
    assert cluster.replicas[2].roles.name == "leader"
    assert cluster.completed("after")


def test_who_is_told_leads_the_next_view_at_once_with_all_that_was_there() -> None:
    cluster = Cluster(3, election_seconds=0.5)
    (session,) = cluster.open("s")
    cluster.put(session, b"a", b"1", "put")
    cluster.run(0.05)
    began = cluster.now
    assert cluster.replicas[0].hand_over(1)
    cluster.turn(0)
    cluster.settle()
    assert (cluster.replicas[1].roles.name, cluster.replicas[0].roles.name, cluster.now) == ("leader", "follower", began)
    cluster.strong_read(session, b"a", handle="read")
    cluster.run(0.2)
    assert cluster.values("read") == [b"1"]


def test_a_session_that_opens_after_the_order_does_not_defeat_it() -> None:
    cluster = Cluster(3, election_seconds=1.0)
    cluster.open("s")
    cluster.run(0.05)
    assert cluster.replicas[0].hand_over(1)
    cluster.turn(0)
    opened = cluster.clients["c"].core.open_session(b"another", "another")
    cluster.turn("c")
    cluster.deliver("c", 0, len(cluster.queues["c", 0]))
    cluster.deliver(0, 2, len(cluster.queues[0, 2]))
    cluster.settle()
    assert cluster.replicas[1].roles.name == "leader"
    cluster.run(0.9)
    assert opened.id > 0


def test_a_follower_hands_nothing_over() -> None:
    cluster = Cluster(3, election_seconds=math.inf)
    assert not cluster.replicas[1].hand_over(2)


def test_an_attempt_that_cannot_be_made_ends_no_other() -> None:
    seat = behind(3)
    assert seat.leader.hand_over(3)
    assert not seat.leader.hand_over(9)
    seat.ack(3)
    seat.turn()
    assert orders(seat) == [3]


def test_who_does_not_vote_cannot_lead() -> None:
    seat = behind()
    seat.node.configuration = attrs.evolve(seat.node.configuration, voters=(0, 1), learners=(2, 3, 4))
    assert not seat.leader.hand_over(2)
    assert seat.leader.hand_over()
    seat.turn()
    assert orders(seat) == [1]
