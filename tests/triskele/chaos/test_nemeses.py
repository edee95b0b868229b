from __future__ import annotations

import pytest

from triskele.chaos.nemeses import NEMESES, chosen, effects, lines_of
from triskele.chaos.network import CLIENTS, Effect

STALLED, SWALLOWED = Effect(stalled=True), Effect(swallowed=True)


def stalled(name: str, hit: list[int], replicas: int = 3) -> set[tuple[int, int]]:
    found = effects(name, hit, range(replicas), 0.0, outgoing=True)
    assert set(found.values()) <= {STALLED}
    return set(found)


def test_a_word_names_one_nemesis_or_all_that_begin_with_it() -> None:
    assert chosen(["kill", "flaky", "kill"]) == ["kill", "flaky"]
    assert chosen(["partition"]) == [name for name in NEMESES if name.startswith("partition-")]
    with pytest.raises(ValueError, match="part"):
        chosen(["kill", "part"])


def test_a_partition_divides_those_that_were_hit_from_the_others_and_leaves_clients_alone() -> None:
    assert stalled("partition-one", [1]) == {(1, 0), (0, 1), (1, 2), (2, 1)}
    assert stalled("partition-halves", [0, 3], 5) == {pair for a in (0, 3) for b in (1, 2, 4) for pair in ((a, b), (b, a))}
    assert stalled("partition-clients", [2]) == {(CLIENTS, 2), (2, CLIENTS)}


def test_a_bridge_hears_everybody() -> None:
    assert stalled("bridge", [0]) == {(1, 2), (2, 1)}
    assert stalled("bridge", [4], 5) == {pair for a in (0, 1) for b in (2, 3) for pair in ((a, b), (b, a))}


@pytest.mark.parametrize("replicas", [5, 7, 9])
def test_in_a_ring_each_hears_a_majority_and_no_two_the_same(replicas: int) -> None:
    closed = stalled("partition-majorities-ring", list(range(replicas)), replicas)
    heard = [frozenset(other for other in range(replicas) if (other, one) not in closed) for one in range(replicas)]
    assert all(len(some) > replicas // 2 for some in heard)
    assert len(set(heard)) == replicas


def test_a_half_open_line_swallows_one_direction() -> None:
    assert effects("half-open", [1], range(3), 0.0, outgoing=True) == {(1, 0): SWALLOWED, (1, 2): SWALLOWED}
    assert effects("half-open", [1], range(3), 0.0, outgoing=False) == {(0, 1): SWALLOWED, (2, 1): SWALLOWED}


def test_slow_lines_are_those_of_clients_too() -> None:
    found = effects("slow-net", [0], range(3), 0.1, outgoing=True)
    assert set(found) == lines_of([0], range(3)) == {(0, 1), (1, 0), (0, 2), (2, 0), (0, CLIENTS), (CLIENTS, 0)}
    assert {effect.delay_seconds for effect in found.values()} == {0.05}


@pytest.mark.parametrize("nemesis", NEMESES.values(), ids=list(NEMESES))
def test_every_nemesis_of_the_network_does_something_or_cuts(nemesis: object) -> None:
    name = str(getattr(nemesis, "name", ""))
    works = bool(effects(name, [0], range(5), 0.1, outgoing=True)) or name == "partition-majorities-ring"
    assert works == (NEMESES[name].where == "network" and name != "flaky")
