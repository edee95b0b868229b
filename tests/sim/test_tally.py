"""Many seeds are summed up, and the sum says when it means little."""

from __future__ import annotations

import attrs
import pytest

from tests.sim.__main__ import vacuity
from tests.sim.run import Report, leader_changes
from tests.sim.storms import STORMS
from tests.sim.tally import JUDGED_MIN, STORM_COMMANDS_MIN, Tally

GOOD = Report(
    1, "ho", 3, "", completed=1200, fast=30, slow=10, conflicts=5, leader_changes=2, faults=9, struck=(("disks failed", 2),), drift=True,
    closed=3, expired=1, faulty=True, sessions=2,
)  # fmt: skip


def tally(report: Report, seeds: int = JUDGED_MIN) -> Tally:
    told = Tally(seeds)
    for _ in range(seeds):
        told.add(report)
    return told


def test_averages_are_in_its_line() -> None:
    told = tally(GOOD)
    told.add(attrs.evolve(GOOD, completed=190, leader_changes=0, failure="I-LIN"))
    assert "101/100 seeds, 1 failed, 0 vacuous; a seed: 1190 commands, 2.0 leader changes (none in 1), 9 faults" in told.line()
    assert "(wrong clocks in 101, disks failed in 101), 3.0 sessions closed and 1.0 expired; 75% of strong" in told.line()
    assert [report.failure for report in told.failed] == ["I-LIN"]


@pytest.mark.parametrize(
    ("worse", "why"),
    [
        ({"completed": 999}, "999 commands"),
        ({"leader_changes": 0}, "0.00 leader changes"),
        ({"faults": 0}, "100 of 100 seeds show little"),
        ({"expired": 0}, "300 sessions were closed and 0 expired"),
        ({"drift": False}, "clocks were wrong in 0 seeds"),
        ({"struck": ()}, "clocks were wrong in 100 seeds and disks failed in 0"),
    ],
)
def test_seeds_that_are_about_little_on_average_are_vacuous(worse: dict[str, int], why: str) -> None:
    assert tally(GOOD).vacuous == ""
    assert tally(attrs.evolve(GOOD, **worse)).vacuous.startswith(why)  # type: ignore[arg-type]
    assert tally(attrs.evolve(GOOD, **worse), JUDGED_MIN - 1).vacuous == "", "few seeds have no average"  # type: ignore[arg-type]


@pytest.mark.parametrize("storm", STORMS)
def test_a_storm_is_judged_however_few_its_seeds(storm: str) -> None:
    """A world that completes next to nothing passes nowhere; wrong clocks, sessions that end and the like are the matter of others."""
    calm = attrs.evolve(GOOD, completed=STORM_COMMANDS_MIN, leader_changes=0, expired=0, drift=False, struck=())
    told = tally(calm, 15)
    assert vacuity(told, storm) == ""
    told.add(attrs.evolve(calm, faults=0))
    assert vacuity(told, storm) == ""
    told.add(attrs.evolve(calm, faults=0))
    assert vacuity(told, storm) == "2 of 17 seeds show little"
    assert vacuity(tally(attrs.evolve(calm, completed=STORM_COMMANDS_MIN - 1), 1), storm) == "299 commands completed on average, 300 are wanted"


def test_a_planted_bug_may_stop_anything() -> None:
    stopped = tally(attrs.evolve(GOOD, completed=0))
    assert vacuity(stopped, None).startswith("0 commands")
    assert vacuity(stopped, "k_majority") == ""


def test_a_leader_that_succeeds_itself_is_no_change() -> None:
    assert leader_changes({}) == 0
    assert leader_changes({1: 0, 2: 0, 5: 2, 4: 0, 7: 0}) == 2
