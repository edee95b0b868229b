"""In-memory links beside their contract: virtual time, faults, and bugs that stay in their own nursery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.transport.link_pairs import open_pair
from tests.transport.mesh_nodes import Node
from transport.batch import FixedPolicy
from transport.fabric import Fabric
from transport.handshake import Identity
from transport.limits import Limits

if TYPE_CHECKING:
    from trio.testing import MockClock


async def test_delay_passes_in_virtual_time(autojump_clock: MockClock) -> None:
    async with open_pair("memory") as pair:
        pair.fabric.delay(100, 100)
        pair.left.link.send([b"slow"])
        pair.left.link.flush()
        await trio.sleep(99)
        assert pair.right.frames == []
        await trio.sleep(2)
        assert pair.right.frames == [b"slow"]
    assert autojump_clock.current_time() >= 101


async def test_a_fixed_delay_is_exact_in_virtual_time(autojump_clock: MockClock) -> None:
    async with open_pair("memory", policy=FixedPolicy(0.000150)) as pair:
        started = autojump_clock.current_time()
        pair.left.link.send([b"held"])
        pair.left.link.flush()
        await pair.right.until_frames(1)
        assert autojump_clock.current_time() - started == pytest.approx(0.000150)


async def test_a_burst_is_handed_up_in_slices_of_the_budget() -> None:
    async with open_pair("memory", limits=Limits(burst_frames_max=10)) as pair:
        for n in range(35):
            pair.left.link.send([b"%d" % n])
        pair.left.link.flush()
        assert await pair.right.until_frames(35) == [b"%d" % n for n in range(35)]
        assert pair.right.bursts == [10, 10, 10, 5]


def fail(*_: object) -> None:
    raise ZeroDivisionError


async def test_a_receivers_bug_ends_its_nursery_and_not_the_senders() -> None:
    fabric = Fabric()
    async with trio.open_nursery() as world:
        client = Node("peer c", fabric).start(world)
        with pytest.raises(ExceptionGroup) as caught:
            async with trio.open_nursery() as process:
                server = Node("peer server", fabric).start(process)
                server.mesh._on_frames = fail
                bound = await process.start(server.mesh.listen, "memory:server")
                world.start_soon(client.mesh.dial, Identity("server", exclusive=True), bound)
                await client.until(lambda: bool(client.ups))
                link = client.mesh.link_to("server")
                assert link is not None
                client.post(link, b"poison")
                await trio.sleep(20)
        assert caught.group_contains(ZeroDivisionError)
        await client.until(lambda: client.downs == [("server", "closed_by_peer")])
        world.cancel_scope.cancel()


async def test_a_partition_silences_and_its_end_lets_new_frames_pass() -> None:
    async with open_pair("memory") as pair:
        pair.fabric.partition({"left"}, {"right"})
        pair.left.link.send([b"lost"])
        pair.left.link.flush()
        pair.fabric.heal()
        pair.left.link.send([b"heard"])
        pair.left.link.flush()
        assert await pair.right.until_frames(1) == [b"heard"]
        assert pair.left.closed == pair.right.closed == []


async def test_a_clogged_link_fills_up_and_drops_whole_frames() -> None:
    async with open_pair("memory", limits=Limits(frame_bytes_max=1000, hello_bytes_max=1000, out_queue_bytes_max=10_000)) as pair:
        pair.fabric.clog("left", "right")
        taken = [pair.left.link.send([bytes(1000)]) for _ in range(12)]
        pair.left.link.flush()
        assert taken == [True] * 10 + [False] * 2
        pair.fabric.unclog("left", "right")
        await pair.right.until_frames(10)
        assert pair.left.link.queued_bytes == 0
        assert pair.left.link.send([bytes(1000)])


async def test_a_half_open_link_is_closed_at_one_end_only() -> None:
    async with open_pair("memory") as pair:
        pair.fabric.half_open("left", "right")
        assert await pair.right.until_closed() == "closed_by_peer"
        pair.left.link.send([b"anybody?"])
        pair.left.link.flush()
        await trio.testing.wait_all_tasks_blocked()
        assert (pair.left.closed, pair.left.link.queued_bytes) == ([], 0)
