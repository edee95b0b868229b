"""Everything that can go wrong in a nursery, by name, each as something that strikes a running cluster and says whether it did."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from triskele.testing import fault_points, task_names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.runtime.run import Run

STRIKE_SECONDS = 1.0
"""Virtual time that a planned fault is waited for."""
MOST_HITS = 4
"""A fault at a point that is often reached strikes at the 1st to 4th time."""
MOST_CHECKPOINTS = 20
FEW_CHECKPOINTS = 3
RARE = ("start.", "stop.", "hash.", "snapshot.", "disk.r", "disk.c", "disk.sync_", "handshake.", "link.", "fabric.", "client.link")
"""Points that a short run reaches a few times."""
AT_START = ("hub", "peering", "persistence", "listen", "install", "segments", "hash")
"""Tasks that come to few checkpoints after their first ones."""
SNAPSHOTS = ("disk.create", "disk.rename", "disk.remove", "disk.sync_folder", "disk.thread")
"""Points that a snapshot reaches."""
SELDOM = ("dial", "accepted", "guard", "snapshot", "segments", "sync", "timers")
"""Tasks that wake up now and then."""


class Planted(Exception):
    """What is raised at fault points."""


async def raise_at(run: Run, point: str) -> bool:
    """Raise at a point of a replica or a client; whose it is ends, and with this."""
    exception: Exception = OSError(5, "planted") if point.startswith("disk.") and run.rng.random() < 0.5 else Planted(point)
    nth = 1 if point.startswith(RARE) else run.rng.randint(1, MOST_HITS)
    if point.startswith("client."):
        client = run.latest_client
        plan = run.cluster.fail_at(point, client=client.index, exception=exception, nth=nth)
        client.planned = exception
        if point.startswith("client.link"):
            run.cluster.fabric.half_open(f"r{run.pick()}", f"client{client.index}")
    else:
        replica = run.pick()
        plan = run.cluster.fail_at(point, replica=replica, exception=exception, nth=nth)
        run.expected[replica] = exception
        await provoke(run, point, replica)
    with trio.move_on_after(STRIKE_SECONDS):
        await plan.happened.wait()
    plan.withdraw()
    return plan.struck


async def cancel_at(run: Run, task: str) -> bool:
    """Cancel a task of a replica at one of its checkpoints; its replica ends, or goes on as if nothing had been."""
    replica = run.pick()
    run.expected[replica] = None
    if run.rng.random() < 0.3:
        await trio.sleep(run.rng.uniform(0, 0.05))
        try:
            return run.cluster.cancel(task, replica=replica).struck
        except LookupError:  # there is none: no such task in memory, or no link
            return False
    most = 2 if task in AT_START else FEW_CHECKPOINTS if task in SELDOM else MOST_CHECKPOINTS
    plan = run.cluster.cancel(task, replica=replica, checkpoint=run.rng.randint(1, most))
    if task in AT_START:
        await run.begin_anew(replica)
    await provoke(run, task, replica)
    with trio.move_on_after(STRIKE_SECONDS):
        await plan.happened.wait()
    plan.withdraw()
    return plan.struck


async def provoke(run: Run, what: str, replica: int) -> None:
    """Let happen what reaches a fault point or wakes a task, if it does not happen by itself."""
    fabric, name = run.cluster.fabric, f"r{replica}"
    if what.startswith("stop."):
        run.ended.add(replica)
        run.cluster.stop(replica)
    elif what.startswith("start.") or run.rng.random() < 0.05:
        await run.begin_anew(replica)
    elif what.startswith("hash"):
        if replica in run.cluster.alive:
            run.cluster.servers[replica]._hash_wanted.set()
    elif what in {"handshake.judge", "link.up", "fabric.accept", "accepted"}:
        run.begin_client()
    elif what in {"fabric.dial", "dial", "link.down"}:
        for other in run.others(replica):
            fabric.half_open(other, name)
    elif what in SNAPSHOTS and replica in run.cluster.alive:
        run.cluster.servers[replica].persistence._snapshot_begun_at -= 1 << 20  # the next look finds that one is due
    elif what == "install":
        await run.kill(replica)
        await trio.sleep(0.3)
        await run.begin_anew(replica)


async def kill(run: Run) -> bool:
    """SIGKILL."""
    replica = run.pick()
    await run.kill(replica)
    return True


async def lose_power(run: Run) -> bool:
    """All replicas die at once; disks keep what was synced, and some of the rest."""
    if not run.durable:
        return False
    for replica in run.cluster.alive:
        run.ended.add(replica)
        run.cluster.kill(replica)
    for replica, seat in run.cluster.seats.items():
        await seat.ended.wait()
        run.disks[replica].crash(run.rng)
    return True


async def stop(run: Run) -> bool:
    """SIGTERM; it is gone within its own limits."""
    replica = run.pick()
    await run.stop(replica)
    return True


async def stop_in_the_making(run: Run) -> bool:
    """SIGTERM as soon as it listens, before it knows anybody."""
    replica = run.pick()
    await run.begin_anew(replica)
    await run.stop(replica)
    return True


async def stop_alone(run: Run) -> bool:
    """SIGTERM while nobody can be reached: nobody takes over, what is held is never committed."""
    replica = run.pick()
    run.cluster.fabric.partition([f"r{replica}"], run.others(replica))
    await trio.sleep(run.rng.uniform(0, 0.5))
    await run.stop(replica)
    return True


async def pause(run: Run) -> bool:
    """SIGSTOP, and SIGCONT after a while; perhaps others lead by then."""
    replica = run.pick()
    run.cluster.pause(replica)
    await trio.sleep(run.rng.choice((0.05, 0.5, 3.0)))
    run.cluster.resume(replica)
    return True


async def kill_while_paused(run: Run) -> bool:
    """SIGKILL to one that stands still."""
    replica = run.pick()
    run.cluster.pause(replica)
    await trio.sleep(run.rng.choice((0.05, 0.5)))
    await run.kill(replica)
    return True


async def jump_clock(run: Run) -> bool:
    """A clock jumps ahead: everything seems overdue at once, but for leases (a session that ends is no broken promise)."""
    run.cluster.jump_clock(run.pick(), run.rng.choice((0.5, 5.0, 20.0)))
    return True


async def partition(run: Run) -> bool:
    """A replica hears nobody and is heard by nobody."""
    replica = run.pick()
    run.cluster.fabric.partition([f"r{replica}"], run.others(replica))
    await trio.sleep(run.rng.choice((0.1, 1.0, 3.0)))
    run.cluster.fabric.heal()
    return True


async def stall_send(run: Run) -> bool:
    """Nothing that a replica sends gets through."""
    run.cluster.stall_send(run.pick())
    await trio.sleep(run.rng.choice((0.1, 1.0, 3.0)))
    run.cluster.fabric.heal()
    return True


async def slow_reader(run: Run) -> bool:
    """A client or a peer does not read what a replica sends it."""
    replica = run.pick()
    run.cluster.stall_send(replica, to=run.rng.choice(run.others(replica)))
    await trio.sleep(run.rng.choice((0.1, 1.0, 3.0)))
    run.cluster.fabric.heal()
    return True


async def half_open(run: Run) -> bool:
    """One end of a link is gone and the other does not know."""
    replica = run.pick()
    ends = [f"r{replica}", run.rng.choice(run.others(replica))]
    run.rng.shuffle(ends)
    run.cluster.fabric.half_open(*ends)
    return True


async def rough_network(run: Run) -> bool:
    """Frames are lost, come twice, late and in disorder."""
    fabric, rng = run.cluster.fabric, run.rng
    fabric.drop(rng.choice((0.0, 0.05, 0.3)))
    fabric.duplicate(rng.choice((0.0, 0.1)))
    fabric.reorder(rng.choice((0.0, 0.2)))
    fabric.delay(0.0, rng.choice((0.001, 0.02)))
    await trio.sleep(rng.choice((0.2, 1.0)))
    run.calm()
    return True


CATALOGUE: dict[str, Callable[[Run], Awaitable[bool]]] = {
    **{f"raise at {point}": partial(raise_at, point=point) for point in fault_points()},
    **{f"cancel {task}": partial(cancel_at, task=task) for task in task_names()},
    **{
        strike.__name__.replace("_", " "): strike
        for strike in (
            kill, lose_power, stop, stop_in_the_making, stop_alone, pause, kill_while_paused, jump_clock, partition, stall_send, slow_reader,
            half_open, rough_network,
        )
    },
}  # fmt: skip
"""{name: what strikes}"""
