"""Whom a replica speaks to follows the configuration in its log."""

from __future__ import annotations

import attrs
import pytest

from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.core.config import CoreConfig
from replica.core.configuration import Configuration
from replica.core.node import Node
from replica.hello import Hello, HelloError, decode_hello, encode_hello
from replica.peering import Peering
from transport.mesh import Mesh
from transport.turns import Turns

CLUSTER = ClusterFile(cluster_id="c", replicas=tuple(ReplicaPlace(id=number, address=f"h:{number}") for number in range(3)))
SECOND = Configuration(2, (0, 1, 2)).with_learner(3, "h:33")
GONE = SECOND.without(1)


def hello(replica_id: int, config: int = 1, voters: tuple[int, ...] = (0, 1, 2)) -> Hello:
    return Hello(cluster_id="c", mode="ho", role="replica", id=replica_id, incarnation=1, config=config, voters=voters)


def peering(replica_id: int, told: Configuration | None = None) -> Peering:
    node = Node(CoreConfig(id=replica_id, voters=(0, 1, 2), joins=told is not None and told.number == 0))
    made = Peering(node, CLUSTER, hello(replica_id))
    made.mesh = Mesh(
        Turns(lambda: None), encode_hello(made.hello), lambda _: pytest.fail("judged"), on_link_up=lambda *_: None,
        on_link_down=lambda *_: None, on_frames=lambda *_: None,
    )  # fmt: skip
    if told is not None:
        node.configuration = told
        made.on_configured()
    return made


def refused(made: Peering, theirs: Hello) -> str:
    """Return why another side is refused; empty if it is let in."""
    try:
        made.judge(theirs)
    except HelloError as error:
        return error.reason
    return ""


def test_members_are_let_in_learners_too() -> None:
    made = peering(0, SECOND)
    assert [refused(made, theirs) for theirs in (hello(1), hello(2, 2), hello(3, 0, ()))] == ["", "", ""]


def test_a_stranger_is_told_how_to_become_a_member() -> None:
    with pytest.raises(HelloError, match="replica 3 is none of 0, 1, 2: add it first"):
        peering(0).judge(hello(3, 0, ()))
    assert refused(peering(0, SECOND), hello(7, 3)) == "unknown_replica"


def test_a_stranger_with_a_newer_configuration_may_have_to_tell_us_of_it() -> None:
    assert refused(peering(0), hello(3, 4, (0, 1, 3))) == ""


def test_who_was_removed_is_told_so_unless_it_still_leads() -> None:
    made = peering(0, GONE)
    with pytest.raises(HelloError, match=r"replica 1 was removed from the cluster \(configuration 4\)"):
        made.judge(hello(1))
    made.node.leader = 1
    assert refused(made, hello(1)) == ""


def test_who_is_told_that_it_was_removed_remembers_why() -> None:
    made = peering(1)
    told: list[str] = []
    for reason in ("wrong_mode", "removed", "removed"):
        made.on_refused(reason, f"{reason}, the {len(told)}th")
        told.append(made.removed)
    assert told == ["", "removed, the 1th", "removed, the 1th"]
    assert made._wanted() == {}, "and dials nobody any more"


def test_the_hello_names_the_present_voters() -> None:
    made = peering(0, GONE)
    assert made.mesh is not None
    assert decode_hello(made.mesh.hello) == attrs.evolve(hello(0), config=GONE.number, voters=(0, 2))


@pytest.mark.parametrize(
    ("own", "told", "wanted"),
    [
        (2, None, {0: "h:0", 1: "h:1"}),
        (2, SECOND, {0: "h:0", 1: "h:1"}),
        (2, GONE, {0: "h:0"}),
        (7, SECOND, {0: "h:0", 1: "h:1", 2: "h:2", 3: "h:33"}),
        (3, Configuration(0, ()), {0: "h:0", 1: "h:1", 2: "h:2"}),
    ],
)
def test_of_two_members_the_one_with_the_higher_id_dials(own: int, told: Configuration | None, wanted: dict[int, str]) -> None:
    assert peering(own, told)._wanted() == wanted
