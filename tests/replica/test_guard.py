"""Real replicas in memory; one's table is altered behind its back."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio

from replica.config import Settings
from replica.guard import DIVERGED, Diverged
from replica.storage.errors import StateDiverged
from tests.replica.storage.crashing_disk import CrashingDisk
from triskele.client import CAUSAL, Unknown
from triskele.testing import cluster as memory_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from replica.server import Server
    from triskele.client import Store
    from triskele.testing import Cluster

EVERY = 64


def compare_often(_cluster: Cluster, server: Server) -> None:
    server.core.divergence.every = EVERY


@asynccontextmanager
async def comparing() -> AsyncIterator[Cluster]:
    disks = [CrashingDisk(Random(number)) for number in range(3)]
    settings = Settings(election_seconds=0.5)
    async with memory_cluster(settings=settings, durability="disk", disk=disks.__getitem__, on_start=compare_often) as running:
        yield running


def verdict_in_folder(cluster: Cluster, replica: int) -> object:
    folder = cluster.servers[replica].home.folder
    assert folder is not None
    return folder.recall(DIVERGED)


async def write(store: Store, count: int = 2 * EVERY, key: bytes = b"") -> None:
    """Write one key, or some; slowly, so that hashes are done meanwhile."""
    for number in range(count):
        await store.put(key or b"k%d" % (number % 8), b"v%d" % number)
        await trio.sleep(0.02)


def alter(server: Server, value: bytes) -> None:
    """Change the value of "k3" behind the store's back, as a bit that flips would."""
    store = server.core.node.store
    held, version = store.get_entry(b"k3")
    assert held is not None
    store.entries.put(b"k3", (value, version))


async def test_replicas_of_one_state_serve_on(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with comparing() as cluster, cluster.store() as store:
        await write(store)
        await trio.sleep(20)
        assert all(len(server.core.divergence._told) > 0 for server in cluster.servers.values()), "they did compare"
        assert [server.guard.verdict for server in cluster.servers.values()] == [""] * 3
        for server in cluster.servers.values():
            server.guard.judge_end()
            assert verdict_in_folder(cluster, server.id) is None


@pytest.mark.parametrize("wrong", [0, 1], ids=["the leader", "a follower"])
async def test_one_whose_state_was_altered_serves_no_more_and_the_others_do(
    autojump_clock: MockClock,  # noqa: ARG001 - virtual time
    caplog: pytest.LogCaptureFixture,
    wrong: int,
) -> None:
    async with comparing() as cluster, cluster.store(timeout=20.0) as store:
        await write(store)
        alter(cluster.servers[wrong], b"altered")
        await store.put(b"another", b"value")  # "k3" is not written again
        with caplog.at_level(logging.ERROR):
            await write(store, key=b"other")
            await trio.sleep(5)
        assert [number for number, server in cluster.servers.items() if server.guard.verdict] == [wrong]
        assert cluster.servers[wrong].driver.broken
        assert "out of service: its state at position" in caplog.text
        assert caplog.text.count(f"replica {wrong} has another state at position") == 2, "each of the others says so once"
        assert [bool(verdict_in_folder(cluster, replica)) for replica in cluster.alive] == [replica == wrong for replica in cluster.alive]
        await store.put(b"k3", b"again")
        assert await store.get(b"k3", consistency=CAUSAL) == b"again", "whoever answers, it is not the wrong one"
        await cluster.stop(wrong)
        ended = cluster.exited(wrong)
        assert isinstance(ended, Diverged)
        assert (ended.exit_status, "not that of the majority" in str(ended)) == (1, True)
        await cluster.restart(wrong)
        assert isinstance(cluster.exited(wrong), StateDiverged), "what is on its disk may be as wrong as what was in memory"


async def test_where_nobody_can_tell_nobody_serves_and_nothing_is_written(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with comparing() as cluster, cluster.store() as store:
        await write(store, 8)
        for number in (1, 2):
            alter(cluster.servers[number], b"altered %d" % number)
        with pytest.raises(Unknown):
            await write(store, EVERY, b"other")
        await trio.sleep(5)
        assert all("nobody can tell which is right" in server.guard.verdict for server in cluster.servers.values())
        assert [verdict_in_folder(cluster, replica) for replica in cluster.alive] == [None] * 3
