from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

import triskele
from triskele.testing import cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock


async def test_stalled_sends_are_late_and_not_lost(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c, c.store() as store:
        await store.put(b"k", b"before")
        c.stall_send(0)
        with pytest.raises(triskele.Unknown):
            await store.put(b"k", b"stalled", timeout=0.2)
        links = {link: link.queued_bytes for link in c.servers[0].mesh.links}
        assert min(links.values()) > 0, "it has sent to everybody, and it is on its way"
        c.fabric.heal()
        await trio.sleep(0.01)
        assert {link: link.queued_bytes for link in c.servers[0].mesh.links} == dict.fromkeys(links, 0), "all of it came, on the same links"
        await store.flush()
        assert await store.get(b"k") == b"stalled"


async def test_a_partition_lets_the_majority_go_on(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3, seed=2) as c, c.store() as store:
        c.fabric.partition(["r0"], ["r1", "r2", "client0"])
        await store.put(b"k", b"v", timeout=10)
        assert c.leader in {1, 2}
        c.fabric.heal()
        await c.ready()
        assert await store.get(b"k") == b"v"


async def test_a_clock_that_jumps_lets_everything_seem_overdue_and_nothing_break(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c, c.store() as store:
        await store.put(b"k", b"v")
        for replica in c.alive:
            c.jump_clock(replica, 1000.0 * (replica + 1))
        assert [server.driver._clock() - trio.current_time() for server in c.servers.values()] == pytest.approx([1000.0, 2000.0, 3000.0])
        await trio.sleep(5)
        await c.ready()
        assert await store.get(b"k", timeout=10) == b"v"
        with pytest.raises(ValueError, match="never goes back"):
            c.jump_clock(0, -1)


async def test_plans_that_make_no_sense_are_refused(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(1) as c:
        with pytest.raises(ValueError, match="no fault point 'nonsense'"):
            c.fail_at("nonsense", replica=0, exception=ValueError)
        with pytest.raises(ValueError, match="one of replica and client"):
            c.fail_at("turn.end", exception=ValueError)
        with pytest.raises(ValueError, match="nothing would happen at time 0"):
            c.fail_at("turn.end", replica=0, exception=ValueError, nth=0)
        with pytest.raises(ValueError, match="checkpoint -1 is past"):
            c.cancel("turns", replica=0, checkpoint=-1)
        with pytest.raises(ValueError, match="no client -1"):
            c.fail_at("turn.end", client=-1, exception=ValueError)


async def test_a_cluster_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="replicas 0: a cluster has one at least"):
        async with cluster(0):
            pytest.fail("it runs")


async def test_faults_about_nobody_are_refused(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    """They would strike nobody, and the test that asked for them would show nothing."""
    async with cluster(2) as c:
        for left, right in (([0], [1]), (["nope"], ["r1"]), (["r0"], ["r2"])):
            with pytest.raises(ValueError, match="nobody in the fabric has the name"):
                c.fabric.partition(left, right)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="names are r0, r1"):
            c.stall_send(0, to="r9")
        c.fabric.partition(["r0"], ["client0"])  # who may still come
        about: list[Callable[[], object]] = [
            lambda: c.kill(9), lambda: c.stop(9), lambda: c.exited(9), lambda: c.pause(9), lambda: c.resume(9), lambda: c.jump_clock(9, 1.0),
            lambda: c.slow_disk(9, 1.0), lambda: c.status(9), lambda: c.fail_at("turn.end", replica=9, exception=ValueError),
            lambda: c.cancel("turns", replica=9), lambda: c.stall_send(9),
        ]  # fmt: skip
        for fault in about:
            with pytest.raises(ValueError, match="there is no replica 9; ids are 0, 1"):
                fault()
        for waits in (c.restart, c.wait_exited):
            with pytest.raises(ValueError, match="there is no replica 9"):
                await waits(9)
        await c.kill(1)
        with pytest.raises(LookupError, match="replica 1 is dead"):
            c.status(1)


async def test_a_disk_that_could_not_be_slow_is_refused(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c:
        with pytest.raises(ValueError, match="the cluster keeps its log in memory: replica 1 waits for no disk; give durability='disk'"):
            c.slow_disk(1, 0.5)
    with pytest.raises(ValueError, match=r"sync_seconds 0\.5: the log is in memory and waits for no disk"):
        await cluster(3, sync_seconds=0.5).__aenter__()
    async with cluster(3, durability="disk") as c:
        for seconds in (-1.0, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=f"a sync cannot take {seconds} s"):
                c.slow_disk(1, seconds)


async def test_a_client_that_fails_is_its_owner_s_matter(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    with pytest.raises(ExceptionGroup) as caught:
        async with cluster(3) as c:
            plan = c.fail_at("client.before_send", client=0, exception=ValueError("planted"), nth=3)
            async with c.store() as store:
                for _ in range(10):
                    await store.put(b"k", b"v")
    assert plan.struck
    assert caught.group_contains(ValueError, match="planted")


async def test_a_replica_can_be_asked_to_stop_in_the_midst_of_its_turn(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c, c.store() as store:
        leader = c.leader
        assert leader is not None
        plan = c.at("turn.after_replies", lambda: c.stop(leader), replica=leader, when=lambda: c.leader == leader)
        await store.put(b"k", b"v")
        assert await c.wait_exited(leader) is None
        assert plan.struck
        assert await store.get(b"k") == b"v"


async def test_a_disk_that_is_slow_holds_up_what_it_must_and_no_more(autojump_clock: MockClock) -> None:
    async with cluster(3, durability="disk") as c, c.store() as store:
        await store.put(b"k", b"v")
        for replica in c.alive:
            c.slow_disk(replica, 0.5)
        await store.put(b"k", b"u", timeout=10)  # now the replicas know how slow their disks are
        begun = autojump_clock.current_time()
        await store.put(b"k", b"w", timeout=10)
        assert autojump_clock.current_time() - begun >= 0.5
        begun = autojump_clock.current_time()
        assert await store.get(b"other", consistency=triskele.CAUSAL) is None
        assert autojump_clock.current_time() - begun < 0.1


async def test_points_are_counted(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c, c.store() as store:
        before = c.reached("turn.end")
        await store.put(b"k", b"v")
        assert c.reached("turn.end") > before > 0
