from __future__ import annotations

from collections import deque
from enum import Enum
from itertools import pairwise

import attrs
import pytest

from replica.core.config import MODES, Mode
from replica.core.freezing import freeze
from replica.core.tail import Outcome
from tests.scenarios.cluster import Cluster


@attrs.define
class Point:
    x: int
    y: object = None


class Colour(Enum):
    RED = 1
    BLUE = 2


class Own:
    def freeze(self) -> tuple[object, ...]:
        return ("own", 1)


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "text", b"bytes"])
def test_plain_values_stand_for_themselves(value: object) -> None:
    assert freeze(value) == value


def test_sequences_become_tuples() -> None:
    assert freeze([1, (2, deque([3]))]) == (1, (2, (3,)))


def test_the_order_in_which_a_dict_was_filled_does_not_count() -> None:
    assert freeze({1: "a", b"k": [2]}) == freeze({b"k": [2], 1: "a"})
    assert freeze({1: "a"}) != freeze({1: "b"})


def test_an_object_becomes_its_name_and_fields() -> None:
    assert freeze(Point(1, [2])) == ("Point", 1, (2,))
    assert freeze(Point(1)) != freeze(Point(2))


def test_functions_are_left_out() -> None:
    assert freeze(Point(1, len)) == ("Point", 1)


def test_members_of_an_enumeration_are_told_apart() -> None:
    assert freeze([Colour.RED]) == freeze([Colour.RED])
    assert freeze(Colour.RED) != freeze(Colour.BLUE)
    assert freeze(Outcome.UNKNOWN) != freeze(Outcome.FAILED)


def test_what_can_freeze_itself_does() -> None:
    assert freeze(Own()) == ("own", 1)


def test_what_has_no_order_has_no_canonical_form() -> None:
    with pytest.raises(TypeError, match="set"):
        freeze([{1, 2}])


def test_the_result_can_be_hashed() -> None:
    assert len({replica.freeze() for replica in Cluster().replicas.values()}) == 3


# -------------------------------------------------------------------------------------------------------------- replicas, cloned


def busy(mode: Mode = "ho") -> Cluster:
    """A cluster in the middle of everything: commands held, refused, logged, committed; reads that wait."""
    cluster = Cluster(mode=mode, clients="cd")
    (one,), (other,) = cluster.open("s"), cluster.open("t", client="d")
    cluster.put(one, b"x", b"1")
    cluster.settle("c", 0, 1)
    cluster.put(one, b"y", b"1", causal=True)
    cluster.cas(other, b"x", b"1", b"2")
    cluster.settle("d", 0)
    cluster.cas(other, b"z", b"1", b"2")
    cluster.settle("d", 0)
    cluster.strong_read(other, b"y", [b"", None, 10])
    cluster.causal_read(one, b"x")
    cluster.settle("c", "d", 0)
    return cluster


@pytest.mark.parametrize("mode", MODES)
def test_a_clone_is_equal_and_stays_so_when_both_see_the_same(mode: Mode) -> None:
    """Clone a whole cluster's replicas mid-way; both finish alike."""
    cluster, twin = busy(mode), busy(mode)
    twin.replicas = {place: replica.clone() for place, replica in cluster.replicas.items()}
    for place, replica in cluster.replicas.items():
        assert twin.replicas[place].freeze() == replica.freeze()
    for world in (cluster, twin):
        world.run(0.5)
        assert all(process.core.sessions for process in world.clients.values())
    for place, replica in cluster.replicas.items():
        assert twin.replicas[place].freeze() == replica.freeze()
    done = [[(c.kind, c.first, c.count, c.values, c.fast) for c in world.clients["d"].done] for world in (cluster, twin)]
    assert done[0] == done[1]


@pytest.mark.parametrize("mode", MODES)
def test_a_clone_does_not_see_what_happens_to_its_original(mode: Mode) -> None:
    cluster = busy(mode)
    clones = [replica.clone() for replica in cluster.replicas.values()]
    before = [clone.freeze() for clone in clones]
    cluster.run(0.5)
    assert [clone.freeze() for clone in clones] == before
    assert all(clone.freeze() != replica.freeze() for clone, replica in zip(clones, cluster.replicas.values(), strict=True))


def test_every_step_of_a_command_is_another_state() -> None:
    cluster = Cluster()
    (session,) = cluster.open("s")
    states = [cluster.replicas[0].freeze()]
    cluster.put(session, b"x", b"1")
    for source, place in (("c", 0), (0, 1), (1, 0)):
        cluster.deliver(source, place)
        states.append(cluster.replicas[0].freeze())
    del states[2]  # a frame that another replica got
    assert len(states) == 3
    assert all(one != other for one, other in pairwise(states))
