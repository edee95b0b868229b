"""A client process's work, in this process: orders in, answers out."""

from __future__ import annotations

from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from loadgen import worker
from loadgen.runner import LoadFailed
from loadgen.worker import Worker, WorkerSettings, expected_failure
from loadgen.workload import WorkloadSettings
from replica.client_driver import Unreachable
from tests.loadgen.fakes import FakeDriver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SETTINGS = WorkerSettings(
    number=0, streams=3, first_stream=3, tokens=["aa", "bb", "cc"], addresses=["a:1"], per_stream=False, pendings=4, rate=0.0, connect_seconds=2.0,
    drain_seconds=1.0, conflict_seconds=0.1, capture="", trace=False,
    workload=WorkloadSettings(key_space=300, streams=6, conflict_percent=20.0, value_bytes=8),
)  # fmt: skip


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch) -> list[FakeDriver]:
    """The drivers that the worker opens."""
    opened: list[FakeDriver] = []

    @asynccontextmanager
    async def open_drivers(_addresses: list[str], count: int, *, on_completions: Any, **_rest: Any) -> AsyncIterator[list[FakeDriver]]:
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                opened.append(FakeDriver(on_completions, delay_seconds=0.002, clock=monotonic))
                nursery.start_soon(opened[-1].run)
            yield opened
            nursery.cancel_scope.cancel()

    monkeypatch.setattr(worker, "open_drivers", open_drivers)
    monkeypatch.setattr(worker, "_tune_collector", lambda: None)  # the test's own objects are to be collected
    return opened


async def work(settings: WorkerSettings, *words: str, seconds: float | None = 0.3, operations: int = 0) -> list[dict[str, Any]]:
    """Give a worker its orders one after the other; return what it answers."""
    told: list[dict[str, Any]] = []
    send, orders = trio.open_memory_channel[dict[str, Any]](9)

    async def tell(answer: dict[str, object]) -> None:
        await trio.lowlevel.checkpoint()
        told.append(answer)

    for word in words:
        start = monotonic() + 0.2
        end = start + seconds if seconds else None
        await send.send({"do": word, "begin": start - 0.1, "start": start, "end": end, "operations": operations})
    await send.aclose()
    with trio.fail_after(20):
        await Worker(settings, tell).run(orders)
    return told


async def test_preload_and_measure(drivers: list[FakeDriver]) -> None:
    told = await work(SETTINGS, "preload", "measure", "end")
    events = [answer["event"] for answer in told]
    assert [event for event in events if event != "second"] == ["ready", "loaded", "closed", "result"]
    result = told[-1]
    assert result["operations"] > 50
    assert (result["failed"], result["unknown"], result["reasons"]) == (0, 0, {})
    assert len(result["rows"]) == 3
    keys = {key for _, what, keys in drivers[0].asked if what == "strong_write" for key in keys}
    assert len(keys) >= 150  # this process's half of the keys
    assert len(drivers[0].sessions) == 3


async def test_each_stream_has_its_links_if_asked_for(drivers: list[FakeDriver]) -> None:
    told = await work(attrs.evolve(SETTINGS, per_stream=True), "measure", seconds=None, operations=200)
    assert told[-1]["operations"] == 200
    assert [len(driver.sessions) for driver in drivers] == [1, 1, 1]


async def test_an_open_loop_tells_its_backlog(drivers: list[FakeDriver]) -> None:
    """The drivers take 2 ms for a command: three streams of one each do 1,500 of the 5,000 in a second."""
    result = (await work(attrs.evolve(SETTINGS, rate=5000.0, pendings=1), "measure", seconds=0.5))[-1]
    assert 50 < result["operations"] <= 750
    assert result["backlog_max"] >= result["backlog_end"] > 1000
    assert drivers


async def test_a_history_and_a_trace_are_written_if_asked_for(drivers: list[FakeDriver], tmp_path: Path) -> None:
    file = tmp_path / "captured"
    result = (await work(attrs.evolve(SETTINGS, capture=str(file), trace=True), "measure"))[-1]
    assert file.stat().st_size > 1000
    assert result["trace"] == {"sent": {}, "received": {}}  # these drivers have no links
    assert drivers


async def test_a_worker_without_orders_ends(drivers: list[FakeDriver]) -> None:
    assert [answer["event"] for answer in await work(SETTINGS)] == ["ready"]
    assert drivers


def test_only_failures_of_the_world_are_told_as_such() -> None:
    assert expected_failure(ExceptionGroup("", [ExceptionGroup("", [LoadFailed("why")])])) == "why"
    assert expected_failure(Unreachable("nobody")) == "nobody"
    assert expected_failure(ValueError("a bug")) is None
    assert expected_failure(ExceptionGroup("", [LoadFailed("why"), ValueError("a bug")])) is None
