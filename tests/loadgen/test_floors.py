"""Both floors measured beside a recorded run, with real processes."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import pytest

from loadgen import floors
from loadgen.coordinator import run_load
from loadgen.floors import measure_floor, measure_floors, plan_of
from loadgen.observer import Observer
from loadgen.progress import Progress
from loadgen.runner import LoadFailed
from loadgen.settings import LoadSettings
from replica.cluster_file import ClusterFile

QUICK = LoadSettings(clients=1, threads=2, pendings=8, seconds=0.5, warmup_seconds=0.2, key_space=200)


async def test_a_recorded_run_becomes_floors(cluster: ClusterFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "WARMUP_SECONDS", 0.1)
    monkeypatch.setattr(floors, "FLOOR_SECONDS", 0.3)
    observer = Observer(cluster)
    gathered = await run_load(QUICK, cluster.addresses(), observer, Progress(1, 0.0, 0, None), Path(), trace=True)
    plan = plan_of(QUICK, gathered, observer)
    assert plan.commands_in_flight == 16
    assert all(0 < share <= 1 for share in plan.request_share.values())
    assert all(0.1 < replies < 4 for replies in plan.replies.values())  # a busy machine answers several frames in one
    assert 0 < plan.accepts < 4
    found = await measure_floors(QUICK, plan, ("turn", 0.0))
    assert found["wire_per_second"] > found["codec_per_second"] * 0.5 > 100


def test_a_recording_without_a_leader_is_refused() -> None:
    observer = Observer(ClusterFile(replicas=()))
    with pytest.raises(LoadFailed, match="none leads"):
        plan_of(QUICK, None, observer)  # type: ignore[arg-type]  # not looked at
    observer.last = {0: {"role": "leader", "frames_out": 1}}
    with pytest.raises(LoadFailed, match="replica 0 did not answer"):
        plan_of(QUICK, None, observer)  # type: ignore[arg-type]  # not looked at


def test_a_recording_in_which_a_replica_was_restarted_is_refused() -> None:
    observer = Observer(ClusterFile(replicas=()))
    observer.first, observer.last = {0: {"role": "leader", "frames_out": 2}}, {0: {"role": "leader", "frames_out": 1}}
    with pytest.raises(LoadFailed, match="replica 0 was restarted in the recorded run"):
        plan_of(QUICK, None, observer)  # type: ignore[arg-type]  # not looked at


async def test_a_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.loadgen.test_floor_plan import plan

    monkeypatch.setattr(floors, "FLOOR_PROGRAM", (sys.executable, "-c", "import sys; sys.stdin.readline(); sys.exit(4)"))
    with pytest.raises(LoadFailed, match="ended with status 4"):
        await measure_floor(attrs.evolve(QUICK, clients=1), plan(), ("turn", 0.0), 0.1, codec=False)
