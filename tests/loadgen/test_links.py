"""A process's drivers: one for all streams or one for each, over one hub, with or without a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from loadgen.links import open_drivers
from loadgen.trace import Trace
from replica.client_driver import Unreachable
from triskele.cli.framework import only_error

if TYPE_CHECKING:
    from replica.cluster_file import ClusterFile


@pytest.mark.parametrize(("count", "traced"), [(1, False), (3, False), (2, True)])
async def test_every_driver_reaches_the_cluster(cluster: ClusterFile, count: int, traced: bool) -> None:
    trace = Trace() if traced else None
    if trace:
        trace.active = True
    opened: list[Any] = []
    all_opened = trio.Event()

    def on_completions(completions: list[Any], now: float) -> None:
        assert now > 0
        opened.extend(completion.handle for completion in completions)
        if len(opened) == count:
            all_opened.set()

    async with open_drivers(cluster.addresses(), count, connect_seconds=10.0, on_completions=on_completions, trace=trace) as drivers:
        assert len(drivers) == count
        assert len({id(driver.hub) for driver in drivers}) == 1
        for place, driver in enumerate(drivers):
            driver.client.open_session(b"links-%d-%d-%d" % (count, traced, place), place)
            driver.wake()
        with trio.fail_after(10):
            await all_opened.wait()
    assert sorted(opened) == list(range(count))
    if trace:
        assert sum(direction["frames"] for direction in trace.as_json()["sent"].values()) >= 2


@pytest.mark.parametrize("count", [1, 2])
async def test_nobody_there_is_said(count: int) -> None:
    with pytest.raises((Unreachable, ExceptionGroup)) as raised:
        async with open_drivers(["127.0.0.1:1"], count, connect_seconds=0.2, on_completions=lambda _completions, _now: None):
            pass
    error = only_error(raised.value)
    assert isinstance(error, Unreachable)
    assert "cannot reach the cluster at 127.0.0.1:1 within 0.2 s" in str(error)
