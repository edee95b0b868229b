"""Clocks that begin anywhere and run too fast or too slowly: each its own, never back, and right where a world has no drift."""

from __future__ import annotations

import math
from random import Random

import attrs
import pytest

from tests.sim.clocks import CALM_DRIFT, START_MAX, Clock
from tests.sim.options import draw
from tests.sim.run import play
from tests.sim.world import World


@attrs.define
class Times:
    now: float = 0.0
    calm: bool = False


def clock(time: Times, drift: float, seed: int = 1) -> Clock:
    made = Clock(time, drift, Random(seed))
    made.begin()
    return made


@pytest.mark.parametrize("seed", range(20))
def test_a_clock_begins_anywhere_and_never_goes_back(seed: int) -> None:
    time = Times()
    drifting = clock(time, 2.0, seed)
    begun = drifting.now()
    assert 0.0 <= begun <= START_MAX
    assert 0.5 <= drifting.rate <= 2.0
    time.now = 3.0
    assert drifting.now() - begun == pytest.approx(3.0 * drifting.rate)
    before = drifting.now()
    drifting.calm_down()
    assert drifting.now() == before
    time.now = 13.0
    assert drifting.now() - before == pytest.approx(10.0, rel=CALM_DRIFT)


@pytest.mark.parametrize("seed", range(20))
def test_a_deadline_has_come_when_it_is_due(seed: int) -> None:
    """Else a core that is asked then would find nothing to do, and be asked again at the same moment, for ever."""
    time, random = Times(), Random(seed)
    drifting = clock(time, 2.0, seed)
    for _ in range(200):
        deadline = drifting.now() + random.uniform(0.0, 0.3)
        due = drifting.when(deadline)
        assert due == pytest.approx(time.now + (deadline - drifting.now()) / drifting.rate)
        time.now = max(due, time.now)
        assert drifting.now() >= deadline
    assert drifting.when(math.inf) == math.inf


def test_without_drift_it_is_the_world_s_time_to_the_last_bit() -> None:
    time = Times(0.1 + 0.2)
    right = clock(time, 1.0)
    right.calm_down()
    assert (right.now(), right.when(0.7)) == (0.1 + 0.2, 0.7)


def test_the_clocks_of_a_world_differ_and_its_promises_hold() -> None:
    world = World(attrs.evolve(draw(2), drift=2.0))
    assert play(world).failure == ""
    shown = [actor.core.node.now for actor in world.replicas]
    assert len(set(shown)) == len(shown)
    assert max(shown) > 1000 > world.now
