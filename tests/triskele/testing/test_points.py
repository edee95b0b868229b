from __future__ import annotations

from triskele.testing import fault_points
from triskele.testing.points import POINTS


def test_points_are_named_with_the_moment_they_stand_for() -> None:
    assert fault_points() == list(POINTS)
    assert "turn.before_send" in fault_points()
    assert all(POINTS.values())
