"""The closed loop against a client that answers everything."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
import trio

from loadgen.latency import decode, summary
from loadgen.runner import LoadFailed, Runner, Stream
from loadgen.window import Window
from loadgen.workload import HOT_KEY, KeySampler, Operations, Preload, WorkloadSettings
from replica.core.flights import Completion, CompletionKind
from tests.loadgen.fakes import FakeDriver

if TYPE_CHECKING:
    from trio.testing import MockClock

SAMPLER = KeySampler(1000, 0.9)
TOKENS = [b"a", b"b", b"c"]


def set_up(
    clock: MockClock, settings: WorkloadSettings | None = None, *, streams: int = 3, pendings: int = 15, **fake: object
) -> tuple[Runner, FakeDriver]:
    runner = Runner(clock=clock.current_time, pendings=pendings)
    driver = FakeDriver(runner.on_completions, **fake)  # type: ignore[arg-type]
    for number in range(streams):
        runner.streams.append(Stream(number, driver, Operations(settings or WorkloadSettings(key_space=1000), number, SAMPLER)))
    return runner, driver


def window(runner: Runner, warmup: float = 1.0, seconds: float = 2.0) -> Window:
    begin = runner.clock()
    return Window(begin, begin + warmup, begin + warmup + seconds, runner.on_open, runner.on_close)


async def test_every_stream_keeps_its_operations_in_flight(autojump_clock: MockClock) -> None:
    runner, driver = set_up(autojump_clock, delay_seconds=0.01)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await runner.open_sessions(TOKENS, 1)
        await runner.measure(measured := window(runner))
        nursery.cancel_scope.cancel()
    # 3 x 15 operations in flight, each 10 ms: 4500 a second, 45 at a time
    assert sum(row[0] for row in measured.rows) == pytest.approx(9000, abs=45)
    assert {row[0] for row in measured.rows} <= {405, 450, 495}
    assert (runner.submitted, measured.failed, measured.unknown) == (runner.completed, 0, 0)
    sessions = Counter(session for session, _, keys in driver.asked for _ in keys)
    assert set(sessions) == {1, 2, 3}
    assert len(set(sessions.values())) == 1


async def test_a_number_of_operations_is_measured_exactly(autojump_clock: MockClock) -> None:
    runner, driver = set_up(autojump_clock, delay_seconds=0.01)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await runner.open_sessions(TOKENS, 1)
        await runner.measure(measured := window(runner, 1.0, float("inf")), operations=2000)
        nursery.cancel_scope.cancel()
    assert sum(row[0] for row in measured.rows) == 2000
    assert measured.result()["operations"] == 2000
    assert runner.submitted == runner.completed == pytest.approx(4500 + 2000, abs=45)
    assert measured.end - measured.start == pytest.approx(2000 / 4500, abs=0.011)


async def test_latency_and_paths_are_counted_by_class(autojump_clock: MockClock) -> None:
    runner, driver = set_up(autojump_clock, WorkloadSettings(key_space=1000, causal_percent=0, write_percent=100), delay_seconds=0.02, fast=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await runner.open_sessions(TOKENS, 1)
        measured = window(runner)
        await runner.measure(measured)
        nursery.cancel_scope.cancel()
    assert sum(row[1] for row in measured.rows) == 0
    assert [row[2] for row in measured.rows] == [row[0] for row in measured.rows]
    latencies = measured.result()["latencies"]
    assert isinstance(latencies, dict)
    found = {name: summary(decode(text), 0) for name, text in latencies.items()}
    assert [name for name, figures in found.items() if figures["count"]] == ["strong_write"]
    assert found["strong_write"]["p50"] == found["strong_write"]["max"] == pytest.approx(20, rel=2e-3)


async def test_preload_fills_the_store_and_is_not_measured(autojump_clock: MockClock) -> None:
    settings = WorkloadSettings(key_space=1000, streams=3)
    runner, driver = set_up(autojump_clock, settings, delay_seconds=0.01)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await runner.open_sessions(TOKENS, 1)
        await runner.preload([Preload(settings, number) for number in range(3)], 64)
        assert len(driver.store) == 1000
        await runner.measure(measured := window(runner, 0.0))
        nursery.cancel_scope.cancel()
    assert sum(row[0] for row in measured.rows) == pytest.approx(9000 - 45, abs=45)  # the first answers need 10 ms


async def test_a_modification_is_one_operation_of_a_read_and_a_cas(autojump_clock: MockClock) -> None:
    runner, driver = set_up(
        autojump_clock, WorkloadSettings(workload="ycsb-f", key_space=50, causal_percent=0), delay_seconds=0.01, streams=1, pendings=8
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await runner.open_sessions(TOKENS[:1], 1)
        await runner.measure(measured := window(runner))
        nursery.cancel_scope.cancel()
    asked = Counter(dict.fromkeys(("strong_read", "strong_write"), 0))
    for _, what, keys in driver.asked:
        asked[what] += len(keys)
    assert asked["strong_read"] == runner.completed
    assert 0.4 < asked["strong_write"] / runner.completed < 0.6
    counted = sum(row[1] for row in measured.rows)
    assert 0.4 < counted / sum(row[0] for row in measured.rows) < 0.6
    assert len(driver.store) > 40


async def test_conflicts_stop_when_told(autojump_clock: MockClock) -> None:
    runner, driver = set_up(autojump_clock, WorkloadSettings(key_space=1000, conflict_percent=50), delay_seconds=0.01)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await runner.open_sessions(TOKENS, 1)
        measured = window(runner)
        calm_at = measured.start + 1.0
        seen: list[tuple[float, bool]] = []
        driver.asked = Noted(seen)  # type: ignore[assignment]
        await runner.measure(measured, calm_at=calm_at)
        nursery.cancel_scope.cancel()
    assert max(moment for moment, hot in seen if hot) < calm_at
    assert sum(hot for moment, hot in seen if moment < calm_at) > 100


class Noted(list[object]):
    """Notes when a slice was asked for and whether the hot key was in it."""

    def __init__(self, seen: list[tuple[float, bool]]) -> None:
        super().__init__()
        self.seen = seen

    def append(self, item: object) -> None:
        assert isinstance(item, tuple)
        self.seen.append((trio.current_time(), HOT_KEY in item[2]))


async def test_failed_reads_are_failed_and_failed_writes_are_unknown(autojump_clock: MockClock) -> None:
    runner, driver = set_up(autojump_clock, streams=1, pendings=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await runner.open_sessions(TOKENS[:1], 1)
        driver.refuses = "planted"
        await runner.measure(measured := window(runner, 0.0, 1.0))
        nursery.cancel_scope.cancel()
    assert sum(row[0] for row in measured.rows) == 0
    assert measured.failed > measured.unknown > 0
    # what failed is asked again at the next tick, not at once
    assert measured.failed + measured.unknown == runner.reasons["planted"] <= 11 * 10


async def test_what_failed_in_the_warm_up_is_no_reason_of_the_window(autojump_clock: MockClock) -> None:
    runner, driver = set_up(autojump_clock, delay_seconds=0.01)
    seen: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await runner.open_sessions(TOKENS, 1)
        measured = window(runner, 2.0)

        async def refuse(reason: str, at: float) -> None:
            await trio.sleep(at)
            driver.refuses = reason
            await trio.sleep(0.2)
            driver.refuses = ""
            seen.append(runner.reasons[reason])

        nursery.start_soon(refuse, "no leader", 0.5)
        nursery.start_soon(refuse, "busy", 2.5)
        await runner.measure(measured)
        nursery.cancel_scope.cancel()
    assert min(seen) > 0
    assert runner.reasons == {"busy": measured.failed + measured.unknown}


async def test_what_never_completes_is_unknown(autojump_clock: MockClock) -> None:
    runner, driver = set_up(autojump_clock, delay_seconds=0.01)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await runner.open_sessions(TOKENS, 1)
        measured = window(runner)

        async def stall() -> None:
            await trio.sleep(2)
            driver.stalled = True

        nursery.start_soon(stall)
        await runner.measure(measured, drain_seconds=3)
        nursery.cancel_scope.cancel()
    assert measured.unknown == 45
    assert len(measured.rows) == 20
    assert measured.rows[-1] == (0, 0, 0)


async def test_sessions_that_do_not_open_are_told(autojump_clock: MockClock) -> None:
    runner, _ = set_up(autojump_clock)
    with pytest.raises(LoadFailed, match="0 of 3 sessions opened: no leader answered within 2 s"):
        await runner.open_sessions(TOKENS, 2)


async def test_a_refused_session_is_told_at_once(autojump_clock: MockClock) -> None:
    runner, driver = set_up(autojump_clock, streams=1)
    driver.stalled = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)

        async def refuse() -> None:
            await trio.sleep(0.1)
            refused = Completion(driver.sessions[0], (runner.streams[0], -1, 0.0), CompletionKind.FAILED, 0, 1, reason="too many sessions")  # type: ignore[arg-type]
            runner.on_completions([refused], trio.current_time())

        nursery.start_soon(refuse)
        with pytest.raises(LoadFailed, match="too many sessions"):
            await runner.open_sessions(TOKENS[:1], 60)
        nursery.cancel_scope.cancel()


async def test_a_session_that_ended_is_opened_again(autojump_clock: MockClock) -> None:
    runner, driver = set_up(autojump_clock, streams=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await runner.open_sessions(TOKENS[:1], 1)

        async def end() -> None:
            await trio.sleep(1.5)
            driver.refuses = driver.sessions[0].lost = "expired"
            await trio.sleep(0.05)
            driver.refuses = ""

        nursery.start_soon(end)
        driver.delay_seconds = 0.01
        await runner.measure(measured := window(runner))
        nursery.cancel_scope.cancel()
    assert [session.id for session in driver.sessions] == [1, 2]
    assert runner.streams[0].token == b"a'"
    assert runner.reasons["expired"] == 15
    assert measured.rows[-1][0] == 150
