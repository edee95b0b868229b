"""Real cores, drivers and meshes in memory; one replica's table is altered behind its back."""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio

from replica.guard import DIVERGED, Diverged, Guard
from replica.storage.folder import DataFolder
from tests.replica.storage.crashing_disk import CrashingDisk
from tests.runtime.cluster import memory_cluster
from triskele.client import CAUSAL, Unknown

if TYPE_CHECKING:
    from trio.testing import MockClock

    from tests.runtime.cluster import MemoryCluster, MemoryReplica
    from triskele.client import Store

EVERY = 64


def guard_of(replica: MemoryReplica, folder: DataFolder | None = None) -> Guard:
    def silence() -> None:
        replica.driver.broken = True
        replica.mesh.close_all("diverged")

    replica.core.divergence.every = EVERY
    replica.core.election.jitter = Random(replica.config.id).random  # else two candidates could split the votes for ever
    return Guard(replica.core.divergence, folder, replica.driver.turns.wake, silence)


def new_folder() -> DataFolder:
    return DataFolder.open_disk(CrashingDisk(Random(0)), cluster_id="c", replica_id=1)


async def write(store: Store, count: int = 2 * EVERY, key: bytes = b"") -> None:
    """Write one key, or some; slowly, so that hashes are done meanwhile."""
    for number in range(count):
        await store.put(key or b"k%d" % (number % 8), b"v%d" % number)
        await trio.sleep(0.02)


def alter(replica: MemoryReplica, value: bytes) -> None:
    """Change the value of "k3" behind the store's back, as a bit that flips would."""
    store = replica.core.node.store
    held, version = store.get_entry(b"k3")
    assert held is not None
    store.entries.put(b"k3", (value, version))


async def guarded(nursery: trio.Nursery, cluster: MemoryCluster, folder: DataFolder) -> dict[int, Guard]:
    """Watch all replicas; the folder is the second one's."""
    guards = {number: guard_of(replica, folder if number == 1 else None) for number, replica in cluster.replicas.items()}
    for guard in guards.values():
        nursery.start_soon(guard.run)
    return guards


async def test_replicas_of_one_state_serve_on(autojump_clock: MockClock, nursery: trio.Nursery) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        folder = new_folder()
        guards = await guarded(nursery, cluster, folder)
        await write(store)
        await trio.sleep(20)
        assert all(len(replica.core.divergence._told) > 0 for replica in cluster.replicas.values()), "they did compare"
        assert [guard.verdict for guard in guards.values()] == [""] * 3
        for guard in guards.values():
            guard.judge_end()
        assert folder.recall(DIVERGED) is None
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("wrong", [0, 1], ids=["the leader", "a follower"])
async def test_one_whose_state_was_altered_serves_no_more_and_the_others_do(
    autojump_clock: MockClock,  # noqa: ARG001 - virtual time
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
    wrong: int,
) -> None:
    async with memory_cluster(election_seconds=0.5) as cluster, cluster.store(timeout=20.0) as store:
        folder = new_folder()
        guards = await guarded(nursery, cluster, folder)
        await write(store)
        alter(cluster.replicas[wrong], b"altered")
        await store.put(b"another", b"value")  # "k3" is not written again
        with caplog.at_level(logging.ERROR):
            await write(store, key=b"other")
            await trio.sleep(5)
        assert [number for number, guard in guards.items() if guard.verdict] == [wrong]
        assert cluster.replicas[wrong].driver.broken
        assert "out of service: its state at position" in caplog.text
        assert caplog.text.count(f"replica {wrong} has another state at position") == 2, "each of the others says so once"
        with pytest.raises(Diverged, match="not that of the majority") as caught:
            guards[wrong].judge_end()
        assert caught.value.exit_status == 4
        assert bool(folder.recall(DIVERGED)) is (wrong == 1), "it is the second one's folder"
        await store.put(b"k3", b"again")
        assert await store.get(b"k3", consistency=CAUSAL) == b"again", "whoever answers, it is not the wrong one"
        nursery.cancel_scope.cancel()


async def test_where_nobody_can_tell_nobody_serves_and_nothing_is_written(
    autojump_clock: MockClock,  # noqa: ARG001 - virtual time
    nursery: trio.Nursery,
) -> None:
    async with memory_cluster() as cluster, cluster.store() as store:
        folder = new_folder()
        guards = await guarded(nursery, cluster, folder)
        await write(store, 8)
        for number in (1, 2):
            alter(cluster.replicas[number], b"altered %d" % number)
        with pytest.raises(Unknown):
            await write(store, EVERY, b"other")
        await trio.sleep(5)
        assert all("nobody can tell which is right" in guard.verdict for guard in guards.values())
        assert folder.recall(DIVERGED) is None
        nursery.cancel_scope.cancel()
