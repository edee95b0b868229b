"""Replicas are killed under load, briefly: nothing acknowledged is missing and the cluster is back in time; and the figures are those of the kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from replica.config import Settings
from tests.chaos.figures import Kill, figures_of, silence
from tests.chaos.kills import report, run
from tests.chaos.ledger import Command, Outcome, SessionLedger
from tests.chaos.load import Shape
from tests.chaos.rounds import Plan, Victim

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

DISK = Settings().changed("--durability", durability="disk")
SMALL = Shape(sessions=2, causal_sessions=1, workers=8, pause_seconds=0.1, probe_seconds=0.05)
BACK_SECONDS = 10.0


ORDER: tuple[Victim, ...] = ("leader", "all", "follower", "leader", "all")


async def test_nothing_acknowledged_is_lost_and_the_cluster_is_back(tmp_path: Path, looks: Counter[str]) -> None:
    plan = Plan(
        rounds=len(ORDER), victim="mix", order=ORDER, settings=DISK, between_seconds=0.0, after_seconds=0.2, steady_seconds=0.5,
        restart_seconds=0.1, back_seconds=BACK_SECONDS, shape=SMALL,
    )  # fmt: skip
    with trio.fail_after(150):
        result = await run(plan, tmp_path)
    assert result.ledger.breaks == []
    checks = ORDER.count("all") + 1  # and at the end
    assert looks["judge_register"] >= checks * SMALL.workers
    assert looks["judge_counter"] >= checks
    assert looks["compare_states"] == checks
    assert [row.victim for row in result.rows] == list(ORDER)
    assert all(row.again is not None for row in result.rows)
    assert result.ledger.count(Outcome.DONE) > 100
    assert "lost: 0; promises broken: 0" in report(plan, result)


def test_what_cannot_be_asked_is_refused() -> None:
    memory = Settings().changed("--durability", durability="memory")
    assert Plan(rounds=1, victim="all", settings=memory).refusal()
    assert Plan(rounds=1, victim="leader", settings=DISK, replicas=1).refusal()
    assert not Plan(rounds=1, victim="leader", settings=memory).refusal()


# --------------------------------------------------------------------------------------------------------------------------- figures


def test_a_silence_touches_what_is_looked_at() -> None:
    ends = [0.0, 1.0, 1.5, 4.0, 4.5, 9.0]
    assert silence(ends, 2.0, 4.2) == (2.5, 1.5)
    assert silence(ends, 2.0, 5.0) == (4.5, 4.5)
    assert silence([], 0.0, 1.0) == (0.0, 0.0)


def test_the_figures_are_those_of_commands_invoked_after_the_kill() -> None:
    session = SessionLedger("s")

    def done(kind: str, invoked: float, returned: float, home: int = 0) -> Command:
        return Command(kind, session, home, invoked, returned=returned, outcome=Outcome.DONE)

    commands = [
        done("put", 8.0, 8.5),
        done("put", 9.9, 10.2),
        done("get", 10.1, 11.0),
        done("causal put", 10.1, 10.5, 1),
        done("causal get", 10.1, 12.0),
    ]
    kill = Kill(number=1, victim="leader", killed=(0,), at=10.0, back=13.0, until=15.0, first_command=0, in_flight=1, started=1.0, ready=0.5)
    row = figures_of(kill, commands, [(11.0, 0.2), (20.0, 3.0)])
    assert row.again == pytest.approx(1.0)
    assert (row.silence, row.strong_longest, row.put_longest, row.get_longest) == pytest.approx((1.7, 0.9, 0.4, None))
    assert (row.rate_before, row.stall) == (0.5, 0.2)
