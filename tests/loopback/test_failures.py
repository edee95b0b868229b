"""Replicas that die, clients that stop reading, waits that end: what goes on, and what is said."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest
import trio

import triskele
from replica.core import messages as m
from replica.wire import encode
from tests.loopback.conftest import addresses_of, status_of
from tests.loopback.test_bad_input import GREETED, framed

if TYPE_CHECKING:
    from triskele.cluster import LocalCluster


async def test_a_dead_follower_leaves_strong_commands_to_the_slow_path_and_its_sessions_move(cluster: LocalCluster) -> None:
    async with triskele.connect(addresses_of(cluster)) as store:
        stores = [store]
        async with store.session() as second, store.session() as third:
            stores += [second, third]  # one at home with each replica
            for number, each in enumerate(stores):
                await each.put(b"own %d" % number, b"causal", consistency=triskele.CAUSAL)
            cluster.kill(2)
            with trio.fail_after(20):
                for number, each in enumerate(stores):
                    await each.put(b"k", b"%d" % number)
                    assert await each.get(b"k") == b"%d" % number
                    assert await each.get(b"own %d" % number, consistency=triskele.CAUSAL) == b"causal"
                    await each.put(b"own %d" % number, b"again", consistency=triskele.CAUSAL)
                    assert await each.get(b"own %d" % number, consistency=triskele.CAUSAL) == b"again"
                    await each.flush()


async def test_nobody_hangs_past_the_timeout_when_the_leader_is_dead(cluster: LocalCluster) -> None:
    async with triskele.connect(addresses_of(cluster), timeout=1.0) as store:
        await store.put(b"k", b"v")
        cluster.kill(0)
        with trio.fail_after(10):
            with pytest.raises(triskele.Unknown):
                await store.put(b"k", b"w")
            with pytest.raises(triskele.Unavailable):
                await store.get(b"k")
            assert await store.get(b"k", consistency=triskele.CAUSAL) in (b"v", b"w")
        with pytest.raises(triskele.Unavailable):
            async with triskele.connect(addresses_of(cluster), timeout=0.5):
                pass


async def test_cancelling_puts_anywhere_never_stops_later_commands(cluster: LocalCluster) -> None:
    async with triskele.connect(addresses_of(cluster)) as store:
        for number in range(60):
            with trio.move_on_after(number * 0.0001):
                await store.put(b"cancelled", b"%d" % number)
        with trio.fail_after(10):
            await store.put(b"k", b"after")
            assert await store.get(b"k") == b"after"
            await store.flush()
            value = await store.get(b"cancelled")
            assert value is None or 0 <= int(value) < 60


async def test_a_client_that_stops_reading_slows_only_itself(cluster: LocalCluster) -> None:
    host, port = cluster.file.replica(0).address.rsplit(":", 1)
    async with triskele.connect(addresses_of(cluster)) as store:
        await store.put(b"large", b"x" * (1 << 20))
        before = status_of(cluster, 0)["counters"]["rss_bytes"]
        with socket.create_connection((host, int(port))) as deaf:
            deaf.setblocking(False)
            question = framed(encode(0, [m.CausalRead([1], [1], [1], [0], [b"large"])]))
            deaf.send(GREETED)
            for _ in range(3000):  # 3 GB of answers that nobody takes
                try:
                    deaf.send(question)
                except BlockingIOError:
                    break
            with trio.fail_after(10):
                for number in range(50):
                    await store.put(b"k", b"%d" % number)
                    assert await store.get(b"k") == b"%d" % number
            assert status_of(cluster, 0)["counters"]["rss_bytes"] - before < 200 << 20


async def test_sigterm_ends_a_replica_in_order_with_status_zero(cluster: LocalCluster) -> None:
    async with triskele.connect(addresses_of(cluster)) as store:
        for number in range(100):
            await store.put(b"k%d" % number, b"v")
        process = cluster.children[2].process
        with trio.fail_after(5):
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0


async def test_an_empty_replica_does_not_come_back_under_its_id(cluster: LocalCluster) -> None:
    """It has forgotten what it acknowledged; the others keep it out, by name."""
    from replica.hello import Hello, encode_hello

    file = cluster.file
    place = file.replica(1).address.rsplit(":", 1)
    with socket.create_connection((place[0], int(place[1])), timeout=5) as impostor:
        again = Hello(cluster_id=file.cluster_id, mode="ho", role="replica", id=2, incarnation=1, config=1, voters=(0, 1, 2))
        impostor.sendall(b"TSK1" + framed(encode_hello(again)))
        while impostor.recv(65536):
            pass
    closed = status_of(cluster, 1)["counters"]["links_closed"]
    assert any("forgotten_state" in reason for reason in closed), closed
