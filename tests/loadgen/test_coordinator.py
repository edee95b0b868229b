"""A run with real client processes against real replicas, and what becomes of processes that fail."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from loadgen import coordinator
from loadgen.coordinator import run_load, share, worker_settings
from loadgen.history import merge
from loadgen.observer import Observer
from loadgen.progress import Progress
from loadgen.runner import LoadFailed
from loadgen.settings import LoadSettings
from loadgen.worker import WorkerSettings
from replica.cluster_file import ClusterFile

if TYPE_CHECKING:
    from pathlib import Path

QUICK = LoadSettings(clients=2, threads=2, pendings=5, operations=600, warmup_seconds=0.2, key_space=200, value_bytes=20)
SILENT = Progress(2, 0.0, 0, None)


def test_shares_add_up() -> None:
    settings = LoadSettings(clients=7)
    assert sum(share(1000, settings, number) for number in range(7)) == 1000


def test_what_a_process_is_told_survives_the_wire(tmp_path: Path) -> None:
    settings = LoadSettings(clients=2, threads=3, rate=1000.0, links="per-stream")
    told = worker_settings(settings, ["a:1"], 1, [tmp_path / "0", tmp_path / "1"], trace=False)
    assert WorkerSettings.from_json(json.loads(json.dumps(attrs.asdict(told)))) == told
    assert (told.first_stream, told.streams, told.rate, told.per_stream, told.workload.streams) == (3, 3, 500.0, True, 6)
    assert len(set(told.tokens)) == 3
    assert told.workload.unique


async def test_a_run_with_a_history(cluster: ClusterFile, tmp_path: Path) -> None:
    observer = Observer(cluster)
    settings = attrs.evolve(QUICK, history="wanted", workload="ycsb-a")
    gathered = await run_load(settings, cluster.addresses(), observer, SILENT, tmp_path)
    assert [result["operations"] for result in gathered.results] == [300, 300]
    assert [(result["failed"], result["unknown"]) for result in gathered.results] == [(0, 0), (0, 0)]
    assert all(0 < result["cpu_seconds"] < 60 and result["rss_bytes"] > 1 << 20 for result in gathered.results)
    assert set(observer.first) == set(observer.last) == {0, 1, 2}
    events = list(merge(gathered.captures))
    assert len({event["process"] for event in events}) == 4
    assert sum(event["type"] == "invoke" for event in events) == sum(event["type"] == "ok" for event in events) >= 600 + 200


@pytest.mark.parametrize(("links", "transport", "rate"), [("per-stream", "native", 0.0), ("shared", "websocket", 2000.0)])
async def test_other_ways_to_the_same_end(cluster: ClusterFile, tmp_path: Path, links: str, transport: str, rate: float) -> None:
    """Links of their own, the other transport, the open loop; and a window that time closes."""
    settings = attrs.evolve(QUICK, links=links, transport=transport, rate=rate, operations=0, seconds=0.5)
    gathered = await run_load(settings, cluster.addresses(transport), Observer(cluster), SILENT, tmp_path)
    for result in gathered.results:
        assert (result["failed"], result["unknown"], len(result["rows"])) == (0, 0, 5)
        assert result["end"] - result["start"] == pytest.approx(0.5)
        assert result["operations"] > 50


async def test_a_coordinator_that_is_late_for_the_window_watches_the_rest_of_it(
    cluster: ClusterFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(coordinator, "_LEAD_SECONDS", -0.1)
    settings = attrs.evolve(QUICK, operations=0, seconds=0.5, warmup_seconds=0.0, rate=500.0)
    seconds = []

    async def close(_: Observer, second: float) -> None:
        seconds.append(second)
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(Observer, "close", close)
    gathered = await run_load(settings, cluster.addresses(), Observer(cluster), SILENT, tmp_path)
    assert [len(result["rows"]) for result in gathered.results] == [5, 5]
    (watched,) = seconds
    assert 0.2 < watched < 1.2


async def test_an_unreachable_cluster_is_one_clear_line(tmp_path: Path) -> None:
    settings = attrs.evolve(QUICK, connect_seconds=0.3)
    observer = Observer(ClusterFile(replicas=()))
    with pytest.raises(LoadFailed) as raised:
        await run_load(settings, ["127.0.0.1:1"], observer, SILENT, tmp_path)
    assert str(raised.value).startswith("cannot reach the cluster at 127.0.0.1:1 within 0.3 s: nobody answers")
    assert raised.value.exit_status == 1


async def test_a_process_that_dies_ends_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(coordinator, "WORKER_PROGRAM", (sys.executable, "-c", "import sys; sys.stdin.readline(); sys.exit(3)"))
    with trio.fail_after(20), pytest.raises(LoadFailed, match="client process 0 ended with status 3 before its result"):
        await run_load(attrs.evolve(QUICK, clients=1, operations=10), ["127.0.0.1:1"], Observer(ClusterFile(replicas=())), SILENT, tmp_path)


async def test_a_process_ends_with_its_coordinator() -> None:
    """Its standard input ends: so does it, however busy it is."""
    process = await coordinator._start()
    assert process.stdin is not None
    told = worker_settings(attrs.evolve(QUICK, connect_seconds=60.0), ["127.0.0.1:1"], 0, [], trace=False)
    await process.stdin.send_all(json.dumps(attrs.asdict(told)).encode() + b"\n")
    await process.stdin.aclose()
    with trio.fail_after(20):
        assert await process.wait() == 0
