from __future__ import annotations

import itertools

import pytest

from triskele.chaos.nemeses import HOLDING, NEMESES
from triskele.chaos.schedule import Fault, Pace, draw

ALL = list(NEMESES)


def drawn(seed: int, seconds: float = 60.0, replicas: int = 3, names: list[str] = ALL, *, forgetful: bool = False) -> list[Fault]:
    return draw(seed, replicas, seconds, names, Pace.within(seconds), forgetful=forgetful)


def test_a_seed_gives_the_same_schedule_again_and_another_one_another() -> None:
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


@pytest.mark.parametrize("seconds", [6.0, 20.0, 60.0, 300.0])
def test_faults_leave_time_before_the_first_and_after_the_last(seconds: float) -> None:
    pace = Pace.within(seconds)
    for seed in range(50):
        faults = drawn(seed, seconds)
        assert faults
        assert faults[0].at == pace.steady
        assert max(fault.ends for fault in faults) <= seconds - pace.tail + 0.002
        assert [fault.number for fault in faults] == list(range(1, len(faults) + 1))


def test_every_kind_comes_once_before_one_comes_again() -> None:
    for seed in range(20):
        names = [fault.nemesis for fault in drawn(seed, 600.0)]
        kinds = len(ALL) - 1  # of three replicas no ring is made
        assert len(set(names[:kinds])) == kinds
        assert "partition-majorities-ring" not in names
        assert len(set(names[kinds : 2 * kinds])) == kinds


def test_some_faults_overlap_and_most_leave_a_calm() -> None:
    faults = [drawn(seed) for seed in range(50)]
    gaps = [later.at - earlier.ends for some in faults for earlier, later in itertools.pairwise(some)]
    assert 0.05 < sum(gap < 0 for gap in gaps) / len(gaps) < 0.4
    assert all(gap < 0 or gap >= 1.4 for gap in gaps)


def test_halves_are_minorities() -> None:
    for replicas in (3, 5, 7):
        for seed in range(20):
            for fault in drawn(seed, replicas=replicas, names=["partition-halves"]):
                assert 1 <= len(set(fault.target.split(","))) <= replicas // 2


def test_replicas_that_forget_never_end_all_at_once_nor_one_while_another_is_gone() -> None:
    for seed in range(50):
        faults = drawn(seed, 200.0, names=["kill"], forgetful=True)
        assert "all" not in {fault.target for fault in faults}
        assert all(later.at > earlier.ends for earlier, later in itertools.pairwise(faults))


def test_one_replica_has_no_faults() -> None:
    assert drawn(1, replicas=1) == []


def test_a_fault_is_told_in_words() -> None:
    assert Fault(number=1, at=1, lasts=2, nemesis="slow-net", target="all", strength=0.12).words() == "slow-net of all, 0.12 s"
    assert Fault(number=1, at=1, lasts=2, nemesis="half-open", target="0", outgoing=False).words() == "half-open of 0, incoming"


def test_what_overlaps_can_be_felt() -> None:
    """On a dead process only what holds new connections up is felt, and where all are dead nothing is."""
    overlapping = 0
    for seed in range(100):
        faults = drawn(seed, 120.0)
        for later in faults:
            on = [fault for fault in faults[: later.number - 1] if fault.ends > later.at]
            overlapping += bool(on)
            if any(NEMESES[fault.nemesis].where != "network" for fault in on):
                assert later.nemesis in HOLDING
                assert "all" not in {fault.target for fault in on if NEMESES[fault.nemesis].where != "network"}
    assert overlapping > 50
