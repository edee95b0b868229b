from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest
import trio

from transport.errors import EndedEarly
from triskele.testing import cluster, task_names
from triskele.testing.place import HERE
from triskele.testing.tasks import TASKS

if TYPE_CHECKING:
    from trio.testing import MockClock


@pytest.mark.parametrize("name", TASKS)
def test_every_name_is_a_function_s(name: str) -> None:
    module, kind, function = name.rsplit(".", 2)
    assert callable(getattr(getattr(importlib.import_module(module), kind), function))


async def test_a_replica_with_a_disk_has_every_task_there_is(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3, durability="disk") as c, c.store():
        found = {name for replica in ("r0", "r1", "r2") for name in c.tasks[replica]}
        assert found == {*task_names(), "triskele.testing.seat.Seat.live"}


async def test_a_client_has_tasks_of_its_own(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c, c.store():
        assert set(c.tasks["client0"]) == {*task_names(client=True), "replica.client_driver.ClientDriver.run"}


@pytest.mark.parametrize("task", ["turns", "discovery"])
async def test_a_client_s_task_can_be_cancelled_and_ends_the_client(autojump_clock: MockClock, task: str) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c:
        with pytest.raises(EndedEarly):
            async with c.store() as store:
                c.cancel(task, client=0)
                await store.put(b"k", b"v")
        assert c.tasks["client0"] == []


async def test_a_cancelled_link_comes_back_and_nobody_ends(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c:
        await trio.sleep(1)
        links = set(c.servers[1].mesh.links)
        c.cancel("link", replica=1)
        await trio.sleep(1)
        await c.ready()
        assert c.alive == [0, 1, 2]
        assert len(links - set(c.servers[1].mesh.links)) == 1
        assert len(c.servers[1].mesh.links) == len(links)


async def test_a_cancellation_comes_at_its_checkpoint(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c:
        plan = c.cancel("timers", replica=1, checkpoint=5)
        steps = 0

        class Steps(trio.abc.Instrument):
            def after_task_step(self, task: trio.lowlevel.Task) -> None:
                nonlocal steps
                place = task.context.get(HERE)
                steps += place is not None and place.replica == 1 and task.name.endswith("ReplicaDriver.run_timers") and not plan.struck

        trio.lowlevel.add_instrument(watch := Steps())
        await c.wait_exited(1)
        trio.lowlevel.remove_instrument(watch)
        assert plan.struck
        assert steps == 4, "the fifth was its last"


async def test_a_task_that_is_not_there_cannot_be_cancelled(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c:
        with pytest.raises(LookupError, match="r0 has no task sync now"):
            c.cancel("sync", replica=0)
        with pytest.raises(ValueError, match="no task has the name 'nonsense'; names are turns, hub"):
            c.cancel("nonsense", replica=0)


async def test_a_paused_replica_takes_no_step_and_goes_on_where_it_stood(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c, c.store() as store:
        follower = next(replica for replica in c.alive if replica != c.leader)
        before = c.servers[follower].turns.ended
        c.pause(follower)
        await store.put(b"k", b"v")
        await trio.sleep(5)
        assert c.servers[follower].turns.ended == before
        c.resume(follower)
        await trio.sleep(1)
        await c.ready()
        assert len({server.core.node.applied_position for server in c.servers.values()}) == 1


async def test_a_paused_replica_can_be_killed(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c:
        c.pause(2)
        await c.kill(2)
        assert (c.alive, c.tasks["r2"]) == ([0, 1], [])
