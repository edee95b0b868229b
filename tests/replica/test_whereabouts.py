from __future__ import annotations

from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.core.config import CoreConfig
from replica.core.configuration import Configuration
from replica.core.replica import Replica
from replica.whereabouts import Whereabouts

CLUSTER = ClusterFile(
    replicas=(ReplicaPlace(id=0, address="a:1", websocket="ws://a:2", admin="http://a:3"), ReplicaPlace(id=1, address="b:1"), ReplicaPlace(id=2))
)


def whereabouts(told: Configuration | None = None) -> Whereabouts:
    core = Replica(CoreConfig(id=2, voters=(0, 1, 2)))
    if told is not None:
        core.node.configuration = told
    return Whereabouts(core, CLUSTER, ("c:1", "c:2", "c:3"))


def test_founders_are_where_the_file_says_whatever_they_say() -> None:
    made = whereabouts()
    made.core.peers.contacts[0] = ("x:1", "x:2", "x:3")
    assert made.of(0) == CLUSTER.replica(0)


def test_what_the_file_leaves_out_they_tell_themselves() -> None:
    made = whereabouts()
    assert made.of(1) == CLUSTER.replica(1)
    made.core.peers.contacts[1] = ("b:1", "b:2", "[::1]:3")
    assert made.of(1) == ReplicaPlace(id=1, address="b:1", websocket="ws://b:2", admin="http://[::1]:3")


def test_a_replica_knows_where_it_listens_itself() -> None:
    assert whereabouts().of(2) == ReplicaPlace(id=2, address="c:1", websocket="ws://c:2", admin="http://c:3")


def test_who_came_by_a_change_is_where_the_log_says_and_where_its_admin_is_it_says() -> None:
    made = whereabouts(Configuration(1, (0, 1, 2)).with_learner(7, "d:1"))
    assert made.of(7) == ReplicaPlace(id=7, address="d:1")
    made.core.peers.contacts[7] = ("0.0.0.0:1", "0.0.0.0:2", "[::]:3")
    assert made.of(7) == ReplicaPlace(id=7, address="d:1", websocket="ws://d:2", admin="http://d:3"), "by the host that others know"


def test_nonsense_is_no_address() -> None:
    made = whereabouts()
    made.core.peers.contacts[1] = ("b:1", "nonsense", "b:99999")
    assert made.of(1) == ReplicaPlace(id=1, address="b:1")


def test_who_holds_an_address_is_known_for_members_only() -> None:
    made = whereabouts()
    assert [made.holder(address) for address in ("a:1", "a:2", "a:3", "b:1", "c:3", "d:1")] == [0, 0, 0, 1, 2, None]
    made.core.node.configuration = made.core.node.configuration.without(0)
    assert made.holder("a:1") is None
