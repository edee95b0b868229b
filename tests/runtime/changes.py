"""Members that come and go while something else goes wrong; the cluster has as many as before when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.runtime.run import Run

MISHAPS = ("nothing", "leader dies", "leader is cut off", "newcomer dies", "newcomer is cut off", "rough network")


async def members_replace(run: Run) -> bool:
    """A new replica takes the place of one, that lives or is dead already."""
    if not run.durable:
        return False
    leaves = run.pick()
    if run.rng.random() < 0.5:
        await run.kill(leaves)
    await _meanwhile(run, lambda: run.cluster.replace_replica(leaves))
    return True


async def members_add(run: Run) -> bool:
    """One more votes; the leader or another one leaves when it does."""
    if not run.durable:
        return False
    await _meanwhile(run, run.cluster.add_replica)
    await run.cluster.ready()
    await run.cluster.remove_replica(run.pick())
    return True


async def members_remove(run: Run) -> bool:
    """The leader or another one leaves, and one comes when it has."""
    if not run.durable:
        return False
    leaves = run.pick()
    await _meanwhile(run, lambda: run.cluster.remove_replica(leaves))
    await run.cluster.add_replica()
    return True


async def _meanwhile(run: Run, change: Callable[[], Awaitable[object]]) -> None:
    """Change the members while something goes wrong, which ends before the change has to."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        await trio.sleep(run.rng.choice((0.0, 0.001, 0.01, 0.03, 0.1)))
        await _mishap(run, run.rng.choice(MISHAPS))
        run.calm()
        for replica in [replica for replica in run.cluster.seats if replica in run.ended and replica not in run.cluster.alive]:
            await run.cluster.restart(replica)


async def _mishap(run: Run, what: str) -> None:
    cluster = run.cluster
    struck = cluster.leader if "leader" in what else max(cluster.seats)
    if what == "nothing" or struck is None:
        return
    if what == "rough network":
        cluster.fabric.drop(0.1)
        cluster.fabric.delay(0.0, 0.01)
    elif "dies" in what:
        await run.kill(struck)
    else:
        cluster.fabric.partition([f"r{struck}"], run.others(struck))
    await trio.sleep(run.rng.choice((0.05, 0.3, 1.5)))
