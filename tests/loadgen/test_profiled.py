from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from loadgen.profiled import profiled_load
from loadgen.progress import Progress
from loadgen.settings import LoadSettings
from replica.cluster_file import ClusterFile
from replica.config import SettingError

if TYPE_CHECKING:
    from replica.profiling.recording import Recording

SETTINGS = LoadSettings(clients=2, threads=1, pendings=8, seconds=0.7, warmup_seconds=0.1, key_space=1000)
SILENT = Progress(2, 0.7, 0, None)


def functions(recording: Recording) -> set[str]:
    return {frame.function for frame in recording.frames}


async def test_clients_are_sampled_within_the_window_and_replicas_while_it_is_open(cluster: ClusterFile) -> None:
    times: list[float] = []

    async def sample_all() -> None:
        times.append(trio.current_time())
        await trio.sleep(0.1)

    began = trio.current_time()
    result, recordings = await profiled_load(SETTINGS, cluster, SILENT, sample_all, 250.0)
    assert len(times) == 1
    assert began + 0.1 < times[0] < trio.current_time() - 0.5
    assert result["operations"] > 0
    assert len(recordings) == 2
    for recording in recordings:
        assert recording.usage.wall_seconds == pytest.approx(0.7, abs=0.3)
        assert recording.cpu_ns <= recording.usage.cpu_seconds * 1e9 * 1.01
    assert "Hub._serve" in functions(recordings[0]) | functions(recordings[1])


async def test_a_cluster_without_the_wanted_addresses_is_refused() -> None:
    with pytest.raises(SettingError, match="the cluster has no such addresses"):
        await profiled_load(SETTINGS, ClusterFile(replicas=()), SILENT, trio.lowlevel.checkpoint, 100.0)
