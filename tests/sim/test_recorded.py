"""Black boxes agree with the certificate on what happened, and notice when what clients saw is another thing."""

from __future__ import annotations

import pytest

from tests.sim.history import Violation
from tests.sim.options import draw
from tests.sim.recorded import check_recorded, recorded
from tests.sim.world import World

SEED = 6


def test_what_clients_saw_is_judged_without_the_log() -> None:
    world = World(draw(SEED, None, None))
    world.run()
    operations = recorded(world.history).operations
    assert len(operations) == sum(len(track.operations) for track in world.history.tracks)
    assert {operation.kind for operation in operations} == {"get", "scan", "put", "delete", "cas"}
    assert any(operation.refused for operation in operations)
    check_recorded(world.history)
    read = next(each for track in world.history.tracks for each in track.operations if isinstance(each.result, bytes))
    read.result = b"from nowhere"
    with pytest.raises(Violation, match="black box: linearizable: no linearization"):
        check_recorded(world.history)
