from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from replica.config import Settings
from replica.core import messages as m
from replica.core.node import EXPIRED, NOSESSION
from statemachine.command import PUT
from triskele.calls import CAUSAL, STRONG
from triskele.errors import Unavailable, Unknown
from triskele.live_session import LiveSession, command_bytes
from triskele.testing import cluster as memory_cluster

if TYPE_CHECKING:
    from trio.testing import MockClock

    from replica.client_driver import ClientDriver


def lose(driver: ClientDriver, reason: int = EXPIRED) -> None:
    """Let a replica say that the only session is no more."""
    (number,) = driver.client.sessions
    driver.client.step(0, [m.RecordAck(1, 1, [], [], [], [[number, reason]])], driver.now())
    driver.wake()


@pytest.mark.parametrize("reason", [EXPIRED, NOSESSION])
async def test_a_lost_session_is_replaced_by_one_that_keeps_its_floor(autojump_clock: MockClock, reason: int) -> None:  # noqa: ARG001
    async with memory_cluster() as cluster, cluster.driver() as driver:
        live = LiveSession(driver)
        session = await live.ready()
        await live.submit_record(session, bytes([PUT]), [b"k"], [b"v"]).done.wait()
        await live.read([b"k"], STRONG)
        session.floor = 1_000_000  # something only this session has seen
        lose(driver, reason)
        again = await live.open()
        assert again is not session
        assert again.id != session.id
        assert again.floor == 1_000_000


async def test_reads_go_over_to_the_next_session(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.driver() as driver:
        live = LiveSession(driver)
        await live.open()
        cluster.fabric.clog("client0", "r0")
        found = []

        async def read() -> None:
            found.append((await live.read([b"k"], STRONG)).values)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            lose(driver)
            cluster.fabric.unclog("client0", "r0")
        assert found == [[None]]
        assert live.room.commands == 0


async def test_writes_of_a_lost_session_have_failed_and_give_their_room_back(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster(settings=Settings(election_seconds=60.0)) as cluster, cluster.driver() as driver:
        live = LiveSession(driver)
        cluster.fabric.delay(1, 1)
        call = live.submit_record(await live.ready(), bytes([PUT, PUT]), [b"a", b"b"], [b"v", b"v"])
        assert (live.room.commands, live.room.bytes) == (2, 4)
        lose(driver)
        await call.done.wait()
        assert (live.room.commands, live.room.bytes) == (0, 0)
        with pytest.raises(Unknown, match="expired"):
            call.result(0, 1.0)
        with pytest.raises(Unknown, match="expired"):
            await live.flush()


async def test_flush_says_once_that_writes_of_an_earlier_session_may_be_lost(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.driver() as driver:
        live = LiveSession(driver)
        await live.flush()
        call = live.submit_record(await live.ready(), bytes([PUT | 0x80]), [b"a"], [b"v"])
        lose(driver)
        await call.done.wait()
        await live.open()
        with pytest.raises(Unknown, match="expired"):
            await live.flush()
        await live.flush()


async def test_every_task_that_wrote_hears_once_that_the_session_was_lost(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.driver() as driver:
        live, ready, heard, lost = LiveSession(driver), list[str](), list[str](), trio.Event()
        await live.open()
        cluster.fabric.partition({"client0"}, {"r0", "r1", "r2"})

        async def write_and_flush(name: str, *, writes: bool) -> None:
            if writes:
                live.submit_record(await live.ready(), bytes([PUT | 0x80]), [name.encode()], [b"v"])
            ready.append(name)
            await lost.wait()
            for _ in range(2):
                try:
                    await live.flush()
                except Unknown:
                    heard.append(name)

        async with trio.open_nursery() as nursery:
            for name in ("a", "b", "c"):
                nursery.start_soon(partial(write_and_flush, name, writes=True))
            nursery.start_soon(partial(write_and_flush, "reader", writes=False))
            while len(ready) < 4:
                await trio.lowlevel.checkpoint()
            lose(driver)
            cluster.fabric.heal()
            await live.open()
            lost.set()
        assert [heard.count(name) for name in ("a", "b", "c")] == [1, 1, 1]
        assert heard.count("reader") <= 1, "it may have been the first that asked"


async def test_who_gives_up_leaves_the_opening_to_the_next(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.driver() as driver:
        live = LiveSession(driver)
        cluster.fabric.partition({"client0"}, {"r0"})
        for _ in range(5):
            with trio.move_on_after(0.5) as scope:
                await live.ready()
            assert scope.cancelled_caught
        assert live.room.commands == 0
        assert len(driver.client.openings.waiting) == 1
        cluster.fabric.heal()
        await live.read([b"k"], CAUSAL)
        assert cluster.servers[0].core.status()["sessions"] == 1


async def test_many_tasks_open_one_session_and_keep_within_its_room(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.driver() as driver:
        live = LiveSession(driver)
        live.room.commands_max = 10
        most = 0

        async def write(number: int) -> None:
            nonlocal most
            call = live.submit_record(await live.ready(), bytes([PUT]), [b"%d" % number], [b"v"])
            most = max(most, driver.client.sessions[call_session].in_flight)
            await call.done.wait()

        call_session = (await live.open()).id
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(write, number)
        assert most == 10
        assert live.room.commands == 0
        assert cluster.servers[0].core.status()["sessions"] == 1


async def test_a_closed_session_takes_no_more(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.driver() as driver:
        live = LiveSession(driver)
        await live.open()
        live.close()
        with pytest.raises(Unavailable, match="closed"):
            await live.ready()
        assert live.room.commands == 0


async def test_a_home_whose_disk_stalls_is_left_and_what_waited_for_it_is_forgotten(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster(durability="disk") as cluster, cluster.driver() as driver:
        live = LiveSession(driver)
        session = await live.open()
        home = session.home = 1 if cluster.leader != 1 else 2
        cluster.slow_disk(home, 1e6)
        value = bytes(1 << 18)  # what it has not stored is held back beyond 8 MiB
        for _ in range(16):
            for _ in range(10):
                await live.submit_record(await live.ready(), bytes([PUT]), [b"k"], [value]).done.wait()
            await trio.sleep(0.5)
        assert session.home != home
        assert (await live.read([b"k"], CAUSAL)).values == [value]
        assert not session.own.order, "a client keeps its writes until its home has applied them"


async def test_who_gives_up_flushing_again_and_again_leaves_nothing_behind(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.driver() as driver:
        live = LiveSession(driver)
        session = await live.ready()
        cluster.fabric.partition(["client0"], ["r0", "r1", "r2"])
        live.submit_record(session, bytes([PUT]), [b"k"], [b"v"])
        for _ in range(100):
            with trio.move_on_after(0.01):
                await live.flush()
        assert len(session.flushes) == 1
        live.submit_record(await live.ready(), bytes([PUT]), [b"k"], [b"w"])
        cluster.fabric.heal()
        await live.flush()
        assert (session.committed, len(session.flushes)) == (2, 0)


async def test_who_was_away_for_longer_than_a_lease_begins_anew_before_it_writes(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    """A machine that was suspended: its first command came back as unknown, however late it was."""
    async with memory_cluster() as cluster, cluster.driver() as driver:
        live = LiveSession(driver)
        session = await live.open()
        cluster.fabric.partition(["client0"], ["r0", "r1", "r2"])
        await trio.sleep(60)
        cluster.fabric.heal()
        await trio.sleep(5)
        assert session.lost == "expired"
        call = live.submit_record(await live.ready(), bytes([PUT]), [b"k"], [b"v"])
        await call.done.wait()
        assert not call.failed


def test_bytes_of_commands() -> None:
    assert command_bytes(b"key", b"value") == 8
    assert command_bytes(b"key", None) == 3
    assert command_bytes(b"key", [b"old", b"new"]) == 9
    assert command_bytes(b"key", [7, b"new"]) == 6
