from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from replica.core import messages as m
from replica.core.node import EXPIRED
from triskele.calls import BYTES_IN_FLIGHT_MAX, Room
from triskele.client import CAUSAL, STRONG, Refused, Store, Unavailable, Unknown
from triskele.live_session import LiveSessions
from triskele.testing import cluster as memory_cluster

if TYPE_CHECKING:
    from trio.testing import MockClock

    from triskele.client import Result


async def test_commands_of_all_kinds_take_effect_in_their_order(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        cluster.fabric.delay(0.001, 0.003)
        async with store.pipeline() as batch:
            absent = batch.get(b"k")
            put = batch.put(b"k", b"1")
            seen = batch.get(b"k", consistency=CAUSAL)
            causal = batch.put(b"k", b"2", consistency=CAUSAL)
            strong = batch.get(b"k")
            swapped = batch.cas(b"k", b"3", expected=b"2")
            failed = batch.cas(b"k", b"4", version=1)
            fresh = batch.cas(b"new", b"1", version=0)
            rows = batch.scan()
            deleted = batch.delete(b"k", consistency=CAUSAL)
            gone = batch.get(b"k", consistency=CAUSAL)
            left = batch.scan(consistency=CAUSAL)
        assert (absent.get(), put.get(), seen.get(), causal.get(), strong.get()) == (None, None, b"1", None, b"2")
        assert (swapped.get(), failed.get(), fresh.get()) == (True, False, True)
        assert rows.get() == [(b"k", b"3"), (b"new", b"1")]
        assert (deleted.get(), gone.get()) == (None, None)
        assert left.get() == [(b"new", b"1")]


@pytest.mark.parametrize("consistency", [STRONG, CAUSAL])
async def test_more_commands_than_may_be_on_their_way(autojump_clock: MockClock, consistency: object) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        async with store.pipeline() as batch:
            puts = [batch.put(b"%05d" % number, b"%d" % number, consistency=consistency) for number in range(5000)]  # type: ignore[arg-type]
            gets = [batch.get(b"%05d" % number, consistency=consistency) for number in range(5000)]  # type: ignore[arg-type]
        assert [put.get() for put in puts] == [None] * 5000
        assert [get.get() for get in gets] == [b"%d" % number for number in range(5000)]


async def test_a_scan_of_many_pages(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        async with store.pipeline() as batch:
            for number in range(2500):
                batch.put(b"%05d" % number, b"v")
            scans = [batch.scan(limit=limit) for limit in (10, 1000, 2300, 5000)]
        assert [len(scan.get()) for scan in scans] == [10, 1000, 2300, 2500]


async def test_large_values_wait_for_room(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - virtual time
    most, take = 0, Room.take

    def noted(room: Room, commands: int, size_bytes: int) -> None:
        nonlocal most
        take(room, commands, size_bytes)
        most = max(most, room.bytes)

    monkeypatch.setattr(Room, "take", noted)
    async with memory_cluster() as cluster, cluster.store(timeout=30.0) as store:
        async with store.pipeline() as batch:
            puts = [batch.put(b"%d" % number, bytes(1 << 20)) for number in range(40)]
        assert [put.get() for put in puts] == [None] * 40
    assert BYTES_IN_FLIGHT_MAX // 2 < most < BYTES_IN_FLIGHT_MAX + (2 << 20)


async def test_results_are_read_after_the_block() -> None:
    async with memory_cluster() as cluster, cluster.store() as store, store.pipeline() as batch:
        result = batch.put(b"k", b"v")
        with pytest.raises(RuntimeError, match="after its block"):
            result.get()


async def test_a_block_that_raises_sends_nothing(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        with pytest.raises(KeyError):
            async with store.pipeline() as batch:
                batch.put(b"k", b"v")
                raise KeyError
        assert await store.get(b"k") is None


async def test_a_refused_command_fails_alone(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    long: Any = b"k" * 4097
    async with memory_cluster() as cluster, cluster.store() as store:
        async with store.pipeline() as batch:
            before = batch.put(b"a", b"1")
            refused: list[tuple[Result[Any], str]] = [
                (batch.put(long, b"v"), "4096"), (batch.put(b"a", b"v" * 1048577), "1048576"), (batch.get(long), "4096"),
                (batch.get([b"a", None, 5]), "bytes, not list"),  # type: ignore[arg-type]
                (batch.delete(long), "4096"), (batch.cas(b"a", b"v", version=-1), "from 0"), (batch.scan(limit=0), "limit"),
                (batch.put(b"a", b"lost", consistency="foo"), "consistency 'foo'"),  # type: ignore[arg-type]
            ]  # fmt: skip
            with pytest.raises(RuntimeError, match="after its block"):
                refused[0][0].get()
            behind, read = batch.put(b"b", b"2"), batch.get(b"a")
        assert (before.get(), behind.get(), read.get()) == (None, None, b"1")
        for result, why in refused:
            with pytest.raises(Refused, match=why):
                result.get()
        assert await store.scan() == [(b"a", b"1"), (b"b", b"2")]


async def test_what_has_no_answer_in_time_is_known_command_by_command(autojump_clock: MockClock) -> None:
    async with memory_cluster() as cluster, cluster.store() as store:
        await store.put(b"k", b"v")
        cluster.fabric.partition({"client0"}, {"r0", "r1", "r2"})
        begun = autojump_clock.current_time()
        async with store.pipeline(timeout=0.5) as batch:
            put, get, scan = batch.put(b"k", b"w"), batch.get(b"k"), batch.scan(b"x")
            rest = [batch.put(b"r", b"x") for _ in range(1024)]
        assert autojump_clock.current_time() - begun == pytest.approx(0.5)
        with pytest.raises(Unknown):
            put.get()
        with pytest.raises(Unavailable):
            get.get()
        with pytest.raises(Unavailable):
            scan.get()
        with pytest.raises(Unknown):
            rest[0].get()
        with pytest.raises(Unavailable):
            rest[-1].get()  # there was no room for it any more: it was not sent
        cluster.fabric.heal()
        assert (await store.get(b"k"), await store.get(b"r")) == (b"w", b"x")


async def test_what_a_cancelled_block_had_sent_is_known_command_by_command(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    """Who cancelled it asks what became of its commands: nobody else can say."""
    async with memory_cluster() as cluster, cluster.store() as store:
        cluster.fabric.clog("client0", "r0")
        with trio.move_on_after(0.5) as scope:
            async with store.pipeline() as batch:
                reads: list[Result[Any]] = [batch.get(b"k"), batch.scan(b"y")]
                sent = batch.put(b"x", b"1")
                late = batch.put(b"k", b"1")  # it waits for the reads
                refused = batch.put(b"k" * 5000, b"1")
        assert scope.cancelled_caught
        for read in (*reads, late):  # none of them sent, or none that changes anything
            with pytest.raises(Unavailable):
                read.get()
        with pytest.raises(Unknown, match=r"no answer within 0.5 s: the command may have taken effect"):
            sent.get()
        with pytest.raises(Refused):
            refused.get()
        cluster.fabric.unclog("client0", "r0")
        assert await store.get(b"x") == b"1"
        assert sent.get() is None, "its answer came"


async def test_a_scan_whose_pages_did_not_all_come_is_none(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    """The block was cancelled between them: the first page is no result."""
    async with memory_cluster() as cluster, cluster.store() as store:
        async with store.pipeline() as batch:
            for number in range(1500):
                batch.put(b"%05d" % number, b"v")
        cluster.fabric.delay(0.01, 0.01)
        with trio.move_on_after(0.03) as scope:  # in the second round trip
            async with store.pipeline() as batch:
                scans = [batch.scan(limit=1500), batch.scan(limit=1200), batch.scan(limit=10)]
        assert scope.cancelled_caught
        for scan in scans[:2]:
            with pytest.raises(Unavailable):
                scan.get()
        assert len(scans[2].get()) == 10


async def test_a_read_does_not_see_the_writes_behind_it(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        cluster.fabric.delay(0.001, 0.003)
        for consistency in (STRONG, CAUSAL):
            async with store.pipeline() as batch:
                batch.put(b"k", b"before", consistency=consistency)
                reads = [batch.get(b"k"), batch.get(b"k", consistency=CAUSAL)]
                rows = [batch.scan(b"j", b"l"), batch.scan(b"j", b"l", consistency=CAUSAL)]
                batch.put(b"k", b"behind", consistency=consistency)
            assert [read.get() for read in reads] == [b"before"] * 2
            assert [found.get() for found in rows] == [[(b"k", b"before")]] * 2


async def test_a_session_lost_on_the_way_fails_what_it_carried_and_no_more(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.driver() as driver:
        store = Store(LiveSessions(driver), 5.0)
        await store.put(b"before", b"v")
        number = next(iter(driver.client.sessions))

        async def lose() -> None:
            await trio.testing.wait_all_tasks_blocked()
            driver.client.step(1, [m.RecordAck(1, 1, [], [], [], [[number, EXPIRED]])], driver.now())
            driver.wake()
            cluster.fabric.unclog("client0", "r0")

        cluster.fabric.clog("client0", "r0")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lose)
            async with store.pipeline() as batch:
                results = [batch.put(b"%d" % place, b"v") for place in range(1100)]
        with pytest.raises(Unknown, match="expired"):
            results[0].get()
        assert results[-1].get() is None
        assert await store.get(b"before") == b"v"


async def test_a_command_behind_the_block_is_an_error_and_not_lost_in_silence(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        async with store.pipeline() as batch:
            batch.put(b"k", b"1")
        with pytest.raises(RuntimeError, match="the pipeline's block has ended: nothing is sent any more"):
            batch.put(b"late", b"1")
        with pytest.raises(ZeroDivisionError):
            async with store.pipeline() as batch:
                raise ZeroDivisionError
        with pytest.raises(RuntimeError, match="block has ended"):
            batch.put(b"", b"1")
