"""The open loop: arrivals keep their schedule, latencies count from the intended start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from loadgen.latency import decode, merge, summary
from loadgen.open_loop import OpenRunner
from loadgen.runner import Stream
from loadgen.window import STEPS_PER_SECOND, Window
from loadgen.workload import KeySampler, Operations, Preload, WorkloadSettings
from tests.loadgen.fakes import FakeDriver

if TYPE_CHECKING:
    from trio.testing import MockClock

SAMPLER = KeySampler(1000, 0.9)


async def run(
    clock: MockClock,
    *,
    rate: float = 1000.0,
    pendings: int = 100,
    workload: str = "mix",
    stall: tuple[float, float] = (0.0, 0.0),
    operations: int = 0,
    streams: int = 4,
) -> tuple[OpenRunner, Window]:
    """Warm up for a second, measure two; answers take 5 ms, and none comes during the stall (seconds from the window's opening)."""
    runner = OpenRunner(clock=clock.current_time, pendings=pendings, rate=rate)
    driver = FakeDriver(runner.on_completions, delay_seconds=0.005)
    settings = WorkloadSettings(workload=workload, key_space=1000, streams=streams)
    runner.streams = [Stream(number, driver, Operations(settings, number, SAMPLER)) for number in range(streams)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await runner.open_sessions([b"%d" % number for number in range(streams)], 1)
        await runner.preload([Preload(settings, number) for number in range(streams)], 16)
        begin = runner.clock()
        end = float("inf") if operations else begin + 3
        measured = Window(begin, begin + 1, end, runner.on_open, runner.on_close)

        async def stop_and_go() -> None:
            await trio.sleep(1 + stall[0])
            driver.stalled = stall[1] > stall[0]
            await trio.sleep(stall[1] - stall[0])
            driver.stalled = False
            driver.wake()

        nursery.start_soon(stop_and_go)
        await runner.measure(measured, operations=operations)
        nursery.cancel_scope.cancel()
    return runner, measured


def latency(measured: Window) -> dict[str, float | int | None]:
    latencies = measured.result()["latencies"]
    assert isinstance(latencies, dict)
    return summary(merge(decode(text) for text in latencies.values()), 0)


@pytest.mark.parametrize("workload", ["mix", "ycsb-f"])
async def test_the_rate_is_what_was_asked_for(autojump_clock: MockClock, workload: str) -> None:
    runner, measured = await run(autojump_clock, workload=workload)
    assert sum(row[0] for row in measured.rows) == pytest.approx(2000, abs=4)
    assert runner.submitted == runner.completed
    assert runner.backlog_max <= 4


async def test_latency_counts_from_the_intended_start(autojump_clock: MockClock) -> None:
    _, measured = await run(autojump_clock)
    found = latency(measured)
    # an answer takes 5 ms; an arrival waits up to one tick of 1 ms before it is submitted
    assert 5 <= (found["p50"] or 0) <= 7.1
    assert (found["max"] or 0) <= 7.1


async def test_a_stall_is_paid_by_all_that_should_have_started_during_it(autojump_clock: MockClock) -> None:
    """With 400 places and one second without an answer, 1000 operations are late, not the 400 that were in flight."""
    runner, measured = await run(autojump_clock, stall=(0.5, 1.5))
    found = latency(measured)
    assert found["count"] == pytest.approx(2000, abs=5)
    assert 950 <= (found["max"] or 0) <= 1020
    assert (found["p50"] or 0) < 100  # half of them came outside the stall
    assert 700 < (found["p90"] or 0) < 900  # arrivals spread evenly over the stall waited 0 to 1 s
    assert 550 <= runner.backlog_max <= 650
    assert runner.backlog_end <= 4


async def test_a_stall_over_the_window_s_end_is_told_though_nothing_of_it_counts(autojump_clock: MockClock) -> None:
    """All that starts in the last half second has a place, so nothing is late: only what the drain brings shows that no answer came."""
    runner, measured = await run(autojump_clock, stall=(1.5, 3.0))
    assert runner.backlog_end == pytest.approx(100, abs=8)
    result = measured.result()
    assert (latency(measured)["max"] or 0) <= 7.1
    drained = result["drained"]
    assert isinstance(drained, dict)
    assert drained["operations"] == pytest.approx(400, abs=8)
    assert drained["us_max"] == pytest.approx(1_500_000, abs=10_000)


async def test_never_more_in_flight_than_places_and_the_backlog_is_told(autojump_clock: MockClock) -> None:
    runner, measured = await run(autojump_clock, rate=2000.0, pendings=2)
    # 4 x 2 places of 5 to 6 ms each: at most 1600 a second, and 2000 arrive
    assert sum(row[0] for row in measured.rows) <= 3200
    assert runner.backlog_end == runner.backlog_max > 1000
    assert measured.unknown == 0


async def test_a_number_of_operations_ends_the_schedule(autojump_clock: MockClock) -> None:
    runner, measured = await run(autojump_clock, operations=500)
    assert measured.result()["operations"] == 500
    assert measured.end - measured.start == pytest.approx(0.5, abs=0.02)
    assert runner.submitted == runner.completed


async def test_a_moment_costs_what_arrived_in_it_not_as_many_looks_as_there_are_streams(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred streams at 500 a second: each operation is one look at its stream, and a tenth of a second one at each."""
    looks = 0
    submit = OpenRunner._submit

    def counted(runner: OpenRunner, stream: Stream, moment: float, now: float) -> None:
        nonlocal looks
        looks += 1
        submit(runner, stream, moment, now)

    monkeypatch.setattr(OpenRunner, "_submit", counted)
    runner, measured = await run(autojump_clock, rate=500.0, streams=200)
    arrived = 3 * 500
    assert sum(row[0] for row in measured.rows) == pytest.approx(1000, abs=4)
    assert looks <= 3 * arrived + 200 * 3 * STEPS_PER_SECOND + 5000  # arrivals and completions, ticks, the preload
    assert runner.backlog_max <= 4
