"""Catching up among real cores: what a cluster promised holds whoever was sent a snapshot, and whenever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.messages import SnapshotPart
from tests.replica.core.transfer import small_chunks
from tests.scenarios.cluster import Cluster

if TYPE_CHECKING:
    from replica.core.session import Session

KEYS = 20


@pytest.fixture(autouse=True)
def parts_of_two_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)


def cluster_of(window: int = 8) -> tuple[Cluster, Session]:
    """A cluster whose leader forgets what a slow follower lacks after some fifty small entries."""
    cluster = Cluster(3, "paxos", durable=True, log_bytes_max=30_000, snapshot_parts_in_flight_max=window, snapshot_part_seconds=0.0)
    (session,) = cluster.open("s")
    return cluster, session


def grow(cluster: Cluster, session: Session, first: int = 0) -> None:
    """Write until the leader's log has forgotten its beginning."""
    log = cluster.replicas[0].node.log
    for number in range(first, first + 200):
        cluster.put(session, b"k%d" % (number % KEYS), b"%d" % number)
        cluster.settle()
        if log.first_index > 20 + first:
            return
    raise AssertionError("the log forgets nothing")


def parts_waiting(cluster: Cluster) -> list[int]:
    return [message.part for message in cluster.waiting(0, 2) if isinstance(message, SnapshotPart)]


def equal(cluster: Cluster) -> bool:
    one, *others = cluster.states()
    return all(other == one for other in others)


def test_who_was_cut_off_for_long_gets_the_state_and_goes_on_with_the_log() -> None:
    cluster, session = cluster_of()
    cluster.isolate(2)
    grow(cluster, session)
    cluster.rejoin(2)
    cluster.settle()
    assert cluster.replicas[2].node.log.first_index > 1
    cluster.put(session, b"x", b"1", "put")
    cluster.run(0.1, delay=0.01)
    assert cluster.completed("put")
    assert equal(cluster)


def test_a_link_that_breaks_in_the_middle_costs_the_parts_on_their_way_and_no_more() -> None:
    cluster, session = cluster_of(window=2)
    cluster.isolate(2)
    grow(cluster, session)
    cluster.rejoin(2)
    while 4 not in parts_waiting(cluster):
        step(cluster)
    lacking = min(parts_waiting(cluster))
    cluster.cut(0, 2)
    cluster.link(0, 2)
    assert min(parts_waiting(cluster)) == lacking
    cluster.settle()
    cluster.run(0.1, delay=0.01)
    assert equal(cluster)


def step(cluster: Cluster) -> None:
    """Deliver one frame between the leader and the follower that is behind."""
    pair = (2, 0) if cluster.queues.get((2, 0)) else (0, 2)
    cluster.deliver(*pair)


def test_who_is_started_again_in_the_middle_gets_the_state_from_its_beginning() -> None:
    cluster, session = cluster_of(window=2)
    cluster.isolate(2)
    grow(cluster, session)
    cluster.rejoin(2)
    while 4 not in parts_waiting(cluster):
        step(cluster)
    cluster.kill(2)
    cluster.restart(2)
    cluster.settle()
    for _ in range(3):
        cluster.run(1.0, delay=0.1)
    assert equal(cluster)


def test_a_leader_that_dies_in_the_middle_is_followed_by_one_with_a_state_of_its_own() -> None:
    cluster, session = cluster_of(window=2)
    cluster.isolate(2)
    grow(cluster, session)
    cluster.rejoin(2)
    while 4 not in parts_waiting(cluster):
        step(cluster)
    cluster.kill(0)
    cluster.campaign(1)
    cluster.run(0.5, delay=0.02)
    cluster.restart(0)
    cluster.run(0.5, delay=0.02)
    assert cluster.replicas[1].roles.name == "leader"
    assert equal(cluster)


def test_a_command_that_completed_is_never_lost_to_a_late_snapshot() -> None:
    """The follower's disk is slow and its link broke, so the leader begins a snapshot although the follower has all it needs; the follower's ack of
    the newest command, which makes a majority, and the parts then cross on their way."""
    cluster, session = cluster_of(window=100)
    cluster.disks[2].slow = True
    grow(cluster, session)
    cluster.put(session, b"before", b"1")
    cluster.deliver("c", 0)
    cluster.deliver(0, 1)
    cluster.deliver(0, 2)
    cluster.put(session, b"kept", b"1", "kept")
    cluster.deliver("c", 0)
    cluster.drop(0, 1)
    cluster.deliver(0, 2)
    cluster.deliver(1, 0)
    cluster.cut(0, 2)
    cluster.put(session, b"after", b"1")
    cluster.deliver("c", 0)
    cluster.drop(0, 1)
    cluster.link(0, 2)
    while not parts_waiting(cluster):
        step(cluster)
    assert not cluster.completed("kept")
    cluster.sync(2)
    cluster.disks[2].slow = False
    while cluster.queues.get((2, 0)):
        cluster.deliver(2, 0)
    cluster.settle(0, "c")
    assert cluster.completed("kept"), "with the follower's ack a majority had it"
    while cluster.queues.get((0, 2)):
        cluster.deliver(0, 2)
    cluster.kill(0)
    cluster.settle()
    cluster.campaign(2)
    cluster.run(0.1, delay=0.01)
    assert cluster.replicas[2].roles.name == "leader"
    assert [cluster.replicas[place].node.store.get_entry(b"kept")[0] for place in (1, 2)] == [b"1", b"1"]
