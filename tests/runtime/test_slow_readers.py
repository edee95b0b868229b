"""Who does not read is pushed back within limits, and slows nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

import triskele
from replica.config import Settings
from triskele.testing import cluster

if TYPE_CHECKING:
    from trio.testing import MockClock

    from triskele import Store

QUEUE_BYTES_MAX = 17 << 20
SETTINGS = Settings(frame_bytes_max=16 << 20, out_queue_bytes_max=QUEUE_BYTES_MAX)
LARGE = bytes(400_000)


async def test_a_slow_reader_is_bounded_and_slows_nobody(autojump_clock: MockClock) -> None:
    async with cluster(3, settings=SETTINGS) as c, c.store() as slow, c.store() as quick:
        await slow.put(b"large", LARGE)
        for replica in c.alive:
            c.stall_send(replica, to="client0")
        answered: list[bytes | None] = []

        async def read(store: Store) -> None:
            answered.append(await store.get(b"large", consistency=triskele.CAUSAL, timeout=60))

        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(read, slow)
            await trio.sleep(1)
            began = autojump_clock.current_time()
            for number in range(50):
                await quick.put(b"k", b"%d" % number)
                assert await quick.get(b"k") == b"%d" % number
            assert autojump_clock.current_time() - began < 0.1
            for server in c.servers.values():
                assert max(link.queued_bytes for link in server.mesh.links) <= QUEUE_BYTES_MAX
            assert answered == []
            c.fabric.heal()
        assert answered == [LARGE] * 60


async def test_a_follower_that_reads_nothing_holds_up_neither_commands_nor_memory(autojump_clock: MockClock) -> None:
    async with cluster(3, settings=SETTINGS) as c, c.store() as store:
        c.stall_send(0, to="r2")
        began = autojump_clock.current_time()
        for number in range(60):
            await store.put(b"k%d" % number, LARGE)
        assert autojump_clock.current_time() - began < 1
        window = c.servers[0].core.node.config.window_bytes_max
        assert window // 2 < max(link.queued_bytes for link in c.servers[0].mesh.links) < window + 2 * len(LARGE) < 60 * len(LARGE)
        c.fabric.heal()
        await trio.sleep(2)
        await c.ready()
        with trio.fail_after(20):
            while len({server.core.node.applied_position for server in c.servers.values()}) > 1:  # noqa: ASYNC110 - replicas tell nobody
                await trio.sleep(0.1)
