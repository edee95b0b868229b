"""The faults of a soak: the same from the same seed, each kind in its turn, each over long before its cycle is."""

from __future__ import annotations

import pytest

from tests.chaos.faults import DECK, draw
from tests.chaos.soaking import CLOSES, PEAK_OF_CYCLE
from triskele.chaos.disks import can_trace

FIT = [card for card in DECK if card[0] != "slow-disk" or can_trace()]


def test_a_seed_gives_the_same_faults() -> None:
    assert draw(7, 40, 60.0) == draw(7, 40, 60.0)
    assert draw(7, 40, 60.0) != draw(8, 40, 60.0)


def test_every_kind_comes_once_before_one_comes_again() -> None:
    faults = draw(3, 2 * len(FIT), 60.0)
    for deal in (faults[: len(FIT)], faults[len(FIT) :]):
        assert sorted((fault.nemesis, fault.target) for fault in deal) == sorted(FIT)
    assert {fault.nemesis for fault in draw(3, 5, 60.0, [("kill", "leader")])} == {"kill"}


@pytest.mark.parametrize("every", [10.0, 60.0])
def test_a_fault_begins_after_the_peak_was_measured_and_leaves_half_of_the_cycle_to_get_over_it(every: float) -> None:
    for fault in draw(1, 200, every):
        assert PEAK_OF_CYCLE * every < fault.at
        assert fault.ends < (CLOSES - 0.4) * every
