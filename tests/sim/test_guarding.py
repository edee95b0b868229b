"""Whoever's state rots leaves service, nobody else does, and the others go on; and every world is about a change of the leader."""

from __future__ import annotations

import pytest

from tests.sim.guarding import LINGER_SECONDS
from tests.sim.history import Violation
from tests.sim.options import draw
from tests.sim.planted import plant
from tests.sim.run import draw_world, play
from tests.sim.world import World


def test_a_state_that_rots_is_found_out_and_the_others_go_on() -> None:
    with plant("rot"):
        world = World(draw_world(8, None, None))
        report = play(world)
    assert report.failure == ""
    assert dict(report.struck)["states altered"] == 1
    (rotten,) = world.guards.rotten
    gone = [actor for actor in world.replicas if actor.out_of_service]
    assert [actor.id for actor in gone] == [rotten]
    assert not gone[0].alive
    sound = [actor for actor in world.replicas if actor.id != rotten]
    assert all(actor.alive and not actor.core.divergence.verdict for actor in sound)
    assert all(set(actor.core.divergence.divergent) <= {rotten} for actor in sound)
    assert world.now > LINGER_SECONDS, "as long as a difference may stay open"


def test_who_is_sound_may_not_be_named_or_leave() -> None:
    world = World(draw(1))
    actor = world.replicas[1]
    actor.core.divergence.divergent[2] = 5
    with pytest.raises(Violation, match="I-SAME: r1 names r2, whose state is sound"):
        world.guards._judge(actor)
    actor.core.divergence.divergent.clear()
    actor.core.divergence.verdict = "because"
    with pytest.raises(Violation, match="I-SAME: r1 is sound and leaves service: because"):
        world.guards._judge(actor)


@pytest.mark.parametrize("seed", [20, 33])
def test_where_no_fault_makes_another_replica_lead_the_leader_hands_over(seed: int) -> None:
    world = World(draw(seed))
    report = play(world)
    assert report.failure == ""
    assert report.leader_changes > 0
    assert any(fault.kind == "hand over" for fault in world.strikes.done)
