from __future__ import annotations

import pytest

from replica.core.config import MODES, Mode
from replica.core.flights import CompletionKind
from replica.core.messages import (
    CloseSession,
    Record,
    RecordAck,
)
from replica.core.node import NOSESSION
from statemachine.command import PUT
from tests.scenarios.cluster import Cluster

# --------------------------------------------------------------------------------------------------------------------- all modes


@pytest.mark.parametrize("voters", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("mode", MODES)
def test_commands_complete_and_all_replicas_agree(mode: Mode, voters: int) -> None:
    cluster = Cluster(voters, mode, clients="cd")
    (one,), (other,) = cluster.open("s"), cluster.open("t", client="d")
    cluster.put(one, b"x", b"1", "put")
    cluster.put(one, b"y", b"2", "causal", causal=True)
    cluster.cas(other, b"x", b"1", b"3", "cas")
    cluster.cas(other, b"x", b"1", b"4", "again")
    cluster.delete(other, b"y", "delete", causal=True)
    cluster.run(0.1)
    cluster.strong_read(one, b"x", b"y", [b"", None, 10], handle="strong")
    cluster.causal_read(other, b"x", handle="causal read")
    cluster.run(0.1)
    assert cluster.values("cas") == [True]
    assert cluster.values("again") == [False]
    assert [cluster.values(handle) for handle in ("put", "causal", "delete")] == [[None]] * 3
    value, gone, page = cluster.values("strong")
    assert isinstance(page, list)
    assert isinstance(page[0], list)
    assert (value, gone, [row[:2] for row in page[0]]) == (b"3", None, [[b"x", b"3"]])
    assert cluster.values("causal read") == [b"3"]
    assert len(set(cluster.states())) == 1
    assert all(replica.node.witness.commands == 0 for replica in cluster.replicas.values()), "pools are empty at rest"
    assert cluster.drops == []


@pytest.mark.parametrize(("mode", "fast"), [("paxos", False), ("curp", True), ("ht", True), ("ho", True)])
def test_a_strong_command_without_conflict_takes_one_round_trip_where_the_mode_has_a_fast_path(mode: Mode, fast: bool) -> None:
    cluster = Cluster(mode=mode)
    (session,) = cluster.open("s")
    cluster.put(session, b"x", b"1", "put")
    for replica in cluster.replicas:
        if cluster.waiting("c", replica):
            cluster.deliver("c", replica)
    for replica in cluster.replicas:
        if cluster.waiting(replica, "c"):
            cluster.deliver(replica, "c")
    assert cluster.completed("put") == fast


@pytest.mark.parametrize("voters", [3, 5, 7])
def test_the_fast_path_needs_the_leader_and_all_but_one_of_its_quorum(voters: int) -> None:
    needed = {3: 2, 5: 3, 7: 5}[voters]
    cluster = Cluster(voters)
    (session,) = cluster.open("s")
    cluster.put(session, b"x", b"1", "put")
    for replica in range(voters):
        cluster.deliver("c", replica)
    cluster.deliver(0, "c")
    for replica in range(1, needed + 1):
        assert not cluster.completed("put")
        cluster.deliver(replica, "c")
    assert cluster.fast("put")


@pytest.mark.parametrize("mode", ["curp", "ht", "ho"])
def test_without_one_of_three_the_slow_path_goes_on(mode: Mode) -> None:
    cluster = Cluster(mode=mode)
    (session,) = cluster.open("s")
    cluster.kill(2)
    cluster.put(session, b"x", b"1", "put")
    cluster.run(0.1)
    assert cluster.completed("put")
    assert not cluster.fast("put")


def test_with_one_of_five_dead_the_fast_path_is_still_there() -> None:
    cluster = Cluster(5)
    (session,) = cluster.open("s")
    cluster.kill(3)
    cluster.put(session, b"x", b"1", "put")
    cluster.settle("c", *range(5))
    assert cluster.fast("put")


def test_without_a_majority_nothing_completes_and_nothing_is_lost() -> None:
    cluster = Cluster()
    (session,) = cluster.open("s")
    cluster.kill(1)
    cluster.kill(2)
    cluster.put(session, b"x", b"1", "put")
    cluster.run(3.0, delay=0.05)
    assert not cluster.completed("put")
    cluster.link(0, 1)
    cluster.run(0.2)
    assert cluster.values("put") == [None]


# ----------------------------------------------------------------------------------------------------------- nothing happens twice


@pytest.mark.parametrize("mode", MODES)
def test_a_storm_of_resends_has_one_effect(mode: Mode) -> None:
    """Every frame of the client is delivered five times, at every replica, in order and late."""
    cluster = Cluster(mode=mode)
    (session,) = cluster.open("s")
    cluster.cas(session, b"x", None, b"1", "one")
    cluster.cas(session, b"x", b"1", b"2", "two")
    cluster.put(session, b"y", b"1", "three", causal=True)
    frames = {place: list(cluster.queues.get(("c", place), ())) for place in cluster.replicas}
    for _ in range(5):
        for place, kept in frames.items():
            for frame in kept:
                cluster.receive(place, "c", *frame)
        cluster.run(0.02)
    assert (cluster.values("one"), cluster.values("two"), cluster.values("three")) == ([True], [True], [None])
    assert [len(cluster.answers(handle)) for handle in ("one", "two", "three")] == [1, 1, 1]
    assert cluster.logged() == [(session.id, 1, b"x"), (session.id, 2, b"x"), (session.id, 3, b"y")]
    assert len(set(cluster.states())) == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_client_that_sees_nothing_for_long_resends_and_changes_nothing(mode: Mode) -> None:
    cluster = Cluster(mode=mode)
    (session,) = cluster.open("s")
    cluster.cas(session, b"x", None, b"1", "cas")
    for _ in range(20):
        cluster.settle_replicas()
        for place in cluster.replicas:
            cluster.drop(place, "c")
        cluster.advance(0.3)
    assert cluster.clients["c"].core.resent >= 3
    cluster.run(9.0, delay=0.1)  # the pause doubles up to 32 times
    assert cluster.values("cas") == [True]
    assert cluster.logged() == [(session.id, 1, b"x")]


# ----------------------------------------------------------------------------------------------------------------------- forwards


def test_commands_whose_client_lost_the_leader_reach_it_through_a_follower() -> None:
    cluster = Cluster()
    (session,) = cluster.open("s")
    cluster.cut("c", 0)
    cluster.put(session, b"x", b"1", "put")
    cluster.run(1.0)
    assert cluster.logged() == [(session.id, 1, b"x")]
    assert cluster.completed("put"), "its home tells it"


def test_in_ht_a_forward_that_lacks_a_hidden_causal_write_closes_nothing() -> None:
    """The leader must hear all of the session: what it took with a hole could never be filled again."""
    cluster = Cluster(mode="ht")
    (session,) = cluster.open("s")
    cluster.cut("c", 0)
    cluster.put(session, b"x", b"1", "causal", causal=True)
    cluster.put(session, b"y", b"2", "strong")
    cluster.run(1.0)
    assert cluster.logged() == []
    cluster.link("c", 0)
    cluster.run(0.2)
    assert (cluster.values("causal"), cluster.values("strong")) == ([None], [None])
    assert cluster.logged() == [(session.id, 1, b"x"), (session.id, 2, b"y")]


# ----------------------------------------------------------------------------------------------------------------- the end of sessions


def test_a_command_behind_the_end_of_its_session_is_refused_and_breaks_nothing() -> None:
    """Whatever a client sends, no replica may fail to apply what it logged."""
    cluster = Cluster()
    (session,) = cluster.open("s")
    late = Record([session.id], [1], [1], [0], [1], bytes([PUT]), [b"x"], [b"1"])
    cluster.receive(0, "c", CloseSession([session.id], [0]), late)
    cluster.receive(1, "c", late)
    cluster.run(0.1)
    assert all(not replica.node.sessions.table for replica in cluster.replicas.values())
    cluster.receive(0, "c", late)
    (ack,) = (message for message in cluster.waiting(0, "c") if isinstance(message, RecordAck))
    assert ack.refusals == [[session.id, NOSESSION]]
    assert cluster.logged() == []


def test_a_session_that_ended_elsewhere_fails_what_is_in_flight_by_name() -> None:
    cluster = Cluster()
    (session,) = cluster.open("s")
    cluster.receive(0, "c", CloseSession([session.id], [0]))
    cluster.run(0.1)
    cluster.put(session, b"x", b"1", "put")
    cluster.run(0.1)
    (failed,) = cluster.answers("put")
    assert (failed.kind, failed.reason, session.lost) == (CompletionKind.FAILED, "nosession", "nosession")
