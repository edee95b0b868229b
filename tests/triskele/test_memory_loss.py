"""When a cluster in memory is lost for good, and when that must not be said."""

from __future__ import annotations

from typing import Any

import pytest

from triskele.memory_loss import SURE_SECONDS, MemoryLoss, lost


def says(role: str = "candidate", *, muted: bool = False, config_id: int = 1) -> dict[str, Any]:
    return {"role": role, "muted": muted, "config_id": config_id}


FORGOT = says(muted=True)


@pytest.mark.parametrize(
    ("told", "dead", "voters", "line"),
    [
        ({0: says(), 1: FORGOT, 2: FORGOT}, (), 3, "replicas 1 and 2 forgot what .*, and what replica 0 still has is no majority's: it is lost"),
        ({0: says("follower"), 1: FORGOT}, (2,), 3, "replicas 1 and 2 forgot"),
        ({1: FORGOT, 2: FORGOT}, (0,), 3, "replicas 0 and 1 and 2 forgot what .*, and nobody has it: it is lost, and the cluster cannot serve again"),
        ({0: says(), 3: says(), 1: FORGOT, 2: FORGOT, 4: FORGOT}, (), 5, "what replicas 0 and 3 still have is no majority's"),
    ],
)
def test_who_forgot_and_what_that_means_is_said(told: dict[int, dict[str, Any]], dead: tuple[int, ...], voters: int, line: str) -> None:
    import re

    assert re.search(line, lost(told, dead, range(voters)))


@pytest.mark.parametrize(
    ("told", "dead", "voters"),
    [
        pytest.param({0: says("follower"), 1: says("follower"), 2: FORGOT}, (), 3, id="a majority remembers"),
        pytest.param({0: says("leader"), 1: FORGOT, 2: FORGOT}, (), 3, id="one leads, and what it sent may come"),
        pytest.param({0: says("recovering"), 1: FORGOT, 2: FORGOT}, (), 3, id="one is about to lead"),
        pytest.param({1: FORGOT, 2: FORGOT}, (), 3, id="one does not answer: it may be paused"),
        pytest.param({0: says(), 1: FORGOT}, (), 3, id="one that was started again has not said that it forgot"),
        pytest.param({0: says(config_id=3), 1: FORGOT, 2: FORGOT}, (), 3, id="others may have come who are not ours"),
        pytest.param({0: says(), 1: FORGOT, 2: {**FORGOT, "config_id": 2}}, (), 3, id="a change of members is under way"),
        pytest.param({0: says(), 1: says(), 2: says(), 3: FORGOT, 4: FORGOT}, (), 5, id="a majority of five remembers"),
    ],
)
def test_where_it_may_come_back_nothing_is_said(told: dict[int, dict[str, Any]], dead: tuple[int, ...], voters: int) -> None:
    assert lost(told, dead, range(voters)) == ""


def test_it_is_certain_only_when_it_is_seen_again_and_stays_so() -> None:
    loss = MemoryLoss()
    looks = [("lost", 0.0), ("lost", SURE_SECONDS - 0.1), ("", SURE_SECONDS), ("lost", SURE_SECONDS + 1), ("lost", 2 * SURE_SECONDS)]
    assert [loss.look(*look) for look in looks] == [False] * 5
    assert loss.look("lost", 2 * SURE_SECONDS + 1)
    assert loss.look("", 100.0)
    assert loss.verdict == "lost"


def test_two_looks_that_see_different_things_are_not_the_same() -> None:
    loss = MemoryLoss()
    assert not any(loss.look(suspected, at * SURE_SECONDS) for at, suspected in enumerate(["one", "other", "one"]))
