from __future__ import annotations

from typing import TYPE_CHECKING

from replica.storage.errors import DiskFailed
from transport.errors import EndedEarly
from triskele.testing import cluster

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock


async def test_a_life_that_cannot_begin_says_why_and_the_others_go_on(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c:
        await c.kill(2)
        c.fail_at("start.listening", replica=2, exception=ValueError("no"))
        await c.restart(2)
        assert repr(c.exited(2)) == "ValueError('no')"
        async with c.store() as store:
            await store.put(b"k", b"v")
            assert await store.get(b"k") == b"v"


async def test_a_disk_that_refuses_ends_its_replica_by_the_name_of_the_file(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3, durability="disk") as c, c.store() as store:
        c.fail_at("disk.sync", replica=1, exception=OSError(5, "Input/output error"))
        await store.put(b"k", b"v")
        ended = await c.wait_exited(1)
        assert isinstance(ended, DiskFailed)
        assert "replica-1/log-" in str(ended)
        assert await store.get(b"k") == b"v"


async def test_a_cancelled_nursery_is_no_orderly_end(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c:
        c.cancel("timers", replica=1)
        assert isinstance(await c.wait_exited(1), EndedEarly)
        await c.restart(1)
        await c.ready()


async def test_a_replica_that_stops_in_order_or_is_killed_did_not_exit(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c:
        await c.stop(0)
        await c.kill(1)
        assert (c.exited(0), c.exited(1), c.alive) == (None, None, [2])


async def test_lives_differ_in_their_chance_and_runs_do_not(autojump_clock: MockClock) -> None:
    assert autojump_clock.autojump_threshold == 0
    incarnations = []
    for _ in range(2):
        async with cluster(3, seed=5) as c:
            first = c.servers[1].incarnation
            await c.restart(1)
            incarnations.append((first, c.servers[1].incarnation))
    assert incarnations[0] == incarnations[1]
    assert incarnations[0][0] != incarnations[0][1]


async def test_a_killed_replica_leaves_its_log_as_it_was_and_one_that_stops_seals_it(
    autojump_clock: MockClock,  # noqa: ARG001 - virtual time
    tmp_path: Path,
) -> None:
    def files(replica: int) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / f"replica-{replica}").glob("log-*")}

    async with cluster(3, durability="disk", data_dir=tmp_path) as c, c.store() as store:
        await store.put(b"k", b"v")
        await store.flush()
        before = {replica: files(replica) for replica in (1, 2)}
        await c.kill(1)
        await c.stop(2)
        assert files(1) == before[1]
        assert files(2) != before[2]
