"""Replicas that die, clients that stop reading, waits that end: what goes on, and what is said."""

from __future__ import annotations

import signal
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio_websocket

import triskele
from replica.config import Settings
from replica.core import messages as m
from replica.wire import encode
from tests.loopback.conftest import addresses_of, counters_of, resident, status_of
from tests.loopback.garbage import GREETED, framed, hello
from tests.loopback.test_bad_input import dial
from triskele.cluster import local_cluster

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from replica.cluster_file import ClusterFile
    from triskele.cluster import LocalCluster


def question(store: triskele.Store) -> bytes:
    """Ask for the large value in a session that there is: in another one nothing is answered."""
    session = store._live._session
    assert session is not None
    return encode(0, [m.CausalRead([session.id], [1 << 20], [1], [session.floor], [b"large"])])


async def go_on(stores: list[triskele.Store]) -> None:
    """Let every session do a bit of everything."""
    with trio.fail_after(20):
        for number, store in enumerate(stores):
            own = b"own %d" % number
            await store.put(b"k", b"%d" % number)
            assert await store.get(b"k") == b"%d" % number
            assert await store.cas(b"k", b"swapped", expected=b"%d" % number)
            assert await store.get(own, consistency=triskele.CAUSAL) == b"causal"
            await store.put(own, b"again", consistency=triskele.CAUSAL)
            assert await store.get(own, consistency=triskele.CAUSAL) == b"again"
            await store.put(own, b"causal", consistency=triskele.CAUSAL)
            await store.flush()


@pytest.mark.parametrize(("replicas", "dying"), [(3, (2,)), (5, (4, 3))])
async def test_dead_followers_leave_strong_commands_to_the_slow_path_and_their_sessions_move(replicas: int, dying: tuple[int, ...]) -> None:
    async with local_cluster(replicas, Settings(), say=lambda _line: None) as cluster, AsyncExitStack() as stack:
        first = await stack.enter_async_context(triskele.connect(addresses_of(cluster.file)))
        stores = [first, *[await stack.enter_async_context(first.session()) for _ in range(replicas - 1)]]  # one at home with each replica
        for number, store in enumerate(stores):
            await store.put(b"own %d" % number, b"causal", consistency=triskele.CAUSAL)
        await go_on(stores)
        for replica in dying:
            cluster.kill(replica, restart=False)
            await go_on(stores)
            assert replica not in cluster.alive


async def test_nobody_hangs_past_the_timeout_when_a_majority_is_dead(cluster: LocalCluster) -> None:
    async with triskele.connect(addresses_of(cluster.file), timeout=0.5) as store:
        await store.put(b"k", b"v")
        await store.flush()
        cluster.kill(0, restart=False)
        cluster.kill(2, restart=False)
        with trio.fail_after(0.7):
            with pytest.raises(triskele.Unknown):
                await store.put(b"k", b"w")
        for wait in (store.get(b"k"), store.scan()):
            await unavailable(wait)
        with trio.fail_after(0.7):
            async with store.pipeline() as batch:
                put, get = batch.put(b"k", b"x"), batch.get(b"k")
        with pytest.raises(triskele.Unknown):
            put.get()
        with pytest.raises(triskele.Unavailable):
            get.get()
        await unavailable(store.session().__aenter__())
    await unavailable(triskele.connect(addresses_of(cluster.file), timeout=0.5).__aenter__(), 1.5)


async def test_a_dead_leader_is_replaced_and_nothing_acknowledged_is_lost(cluster: LocalCluster) -> None:
    async with triskele.connect(addresses_of(cluster.file), timeout=10) as store:
        await store.put(b"strong", b"v")
        await store.put(b"causal", b"w", consistency=triskele.CAUSAL)
        cluster.kill(0, restart=False)
        with trio.fail_after(10):
            assert await store.get(b"strong") == b"v"
            await store.put(b"strong", b"x")
            await store.flush()
        assert [await store.get(key) for key in (b"strong", b"causal")] == [b"x", b"w"]
        assert await store.get(b"strong", consistency=triskele.CAUSAL) == b"x"


async def unavailable(wait: Awaitable[object], seconds: float = 0.7) -> None:
    with trio.fail_after(seconds), pytest.raises(triskele.Unavailable):
        await wait


async def test_a_paused_leader_holds_nobody_past_the_timeout_and_goes_on(cluster: LocalCluster) -> None:
    process = cluster.children[0].process
    async with triskele.connect(addresses_of(cluster.file), timeout=0.5) as store:
        process.send_signal(signal.SIGSTOP)
        try:
            with trio.fail_after(0.7), pytest.raises(triskele.Unknown):
                await store.put(b"k", b"v")
        finally:
            process.send_signal(signal.SIGCONT)
        with trio.fail_after(5):
            await store.flush(timeout=5)
        assert await store.get(b"k", timeout=5) == b"v"


async def test_cancelling_puts_anywhere_never_stops_later_commands(whole: ClusterFile) -> None:
    async with triskele.connect(addresses_of(whole)) as store:
        for number in range(60):
            with trio.move_on_after(number * 0.0001):
                await store.put(b"cancelled", b"%d" % number)
        with trio.fail_after(10):
            await store.put(b"k", b"after")
            assert await store.get(b"k") == b"after"
            await store.flush()
            value = await store.get(b"cancelled")
            assert value is None or 0 <= int(value) < 60


async def others_go_on(store: triskele.Store) -> None:
    with trio.fail_after(10):
        for number in range(50):
            await store.put(b"k", b"%d" % number)
            assert await store.get(b"k") == b"%d" % number


async def write_large(store: triskele.Store) -> None:
    """Write the value that is asked for, and let the session see where it stands."""
    await store.put(b"large", b"x" * (1 << 20))
    await store.flush()
    assert await store.get(b"large") == b"x" * (1 << 20)


async def test_a_client_that_stops_reading_slows_only_itself(cluster: LocalCluster) -> None:
    whole = cluster.file
    async with triskele.connect(addresses_of(whole)) as store:
        await write_large(store)
        asked, before = framed(question(store)), resident(whole, 0)
        with dial(whole.replica(0).address) as deaf:
            deaf.setblocking(False)
            deaf.send(GREETED)
            for _ in range(3000):  # 3 GB of answers that nobody takes
                try:
                    deaf.send(asked)
                except BlockingIOError:
                    break
            await others_go_on(store)
            assert resident(whole, 0) - before < 100 << 20
            deaf.settimeout(5)
            assert sum(len(deaf.recv(1 << 16)) for _ in range(40)) > 1 << 20, "large answers were waiting for it"


async def test_a_websocket_client_that_stops_reading_slows_only_itself(cluster: LocalCluster) -> None:
    whole = cluster.file
    async with triskele.connect(addresses_of(whole), timeout=30) as store, trio.open_nursery() as nursery:
        await write_large(store)
        asked, before = question(store), resident(whole, 1)
        async with await trio.open_tcp_stream("127.0.0.1", int(whole.replica(1).websocket.rstrip("/").rsplit(":", 1)[1])) as stream:
            deaf = await trio_websocket.wrap_client_stream(
                nursery, stream, "localhost", "/", message_queue_size=1, max_message_size=16 << 20
            )  # its library reads one answer ahead: that must not be one too large for it
            await deaf.send_message(hello())
            with trio.move_on_after(2):
                for _ in range(3000):
                    await deaf.send_message(asked)
            await others_go_on(store)
            assert resident(whole, 1) - before < 150 << 20
            with trio.fail_after(5):
                while len(await deaf.get_message()) < 1 << 20:
                    pass  # large answers were waiting for it, behind its hello's
        nursery.cancel_scope.cancel()


async def test_a_client_that_submits_very_much_at_once_is_served(whole: ClusterFile) -> None:
    async with triskele.connect(addresses_of(whole), timeout=30) as store:
        async with store.pipeline() as batch:
            large = [batch.put(b"large %d" % number, b"x" * (1 << 20)) for number in range(20)]
            small = [batch.put(b"small %d" % number, b"x") for number in range(5000)]
        assert [result.get() for result in large + small] == [None] * 5020
        async with store.pipeline() as batch:
            found = [batch.get(b"large %d" % number, consistency=triskele.CAUSAL) for number in range(20)]
            rows = batch.scan(b"small ", b"small!", limit=10_000)
            for number in range(20):
                batch.delete(b"large %d" % number)
        assert all(len(result.get() or b"") == 1 << 20 for result in found)
        assert len(rows.get()) == 5000
        assert "reply_too_large" not in counters_of(whole, 0)["drops"]


async def test_sigterm_ends_a_replica_in_order_with_status_zero(cluster: LocalCluster) -> None:
    async with triskele.connect(addresses_of(cluster.file)) as store, trio.open_nursery() as nursery:

        async def load() -> None:
            with suppress(triskele.Unknown, triskele.Unavailable):
                while True:
                    await store.put(b"k", b"v", timeout=1)

        for _ in range(10):
            nursery.start_soon(load)
        await trio.sleep(0.2)
        for replica in (2, 0):
            process = cluster.children[replica].process
            with trio.fail_after(5):
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
        assert status_of(cluster.file, 1)["role"] == "leader", "it was handed over to before the leader ended"
        nursery.cancel_scope.cancel()
