from __future__ import annotations

from triskele.testing import fault_points
from triskele.testing.points import POINTS, SHARED_POINTS


def test_points_are_named_with_the_moment_they_stand_for() -> None:
    assert fault_points() == list(POINTS)
    assert "turn.before_send" in fault_points()
    replicas, clients = {*fault_points(client=False)}, {*fault_points(client=True)}
    assert (replicas | clients, replicas & clients) == (set(POINTS), set(SHARED_POINTS))
    assert "client.turn_begin" in clients - replicas
    assert all(POINTS.values())
