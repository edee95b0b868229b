"""Faults that happen at once: to processes, clocks, disks and links."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from tests.runtime.run import Run


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
    await run.stop(run.pick())
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


async def stop_paused(run: Run) -> bool:
    """SIGTERM to one that stands still; it obeys when it goes on."""
    replica = run.pick()
    run.cluster.pause(replica)
    await trio.sleep(run.rng.choice((0.0, 0.05, 0.5)))
    run.ask_to_stop(replica)
    await trio.sleep(run.rng.choice((0.05, 0.5)))
    run.cluster.resume(replica)
    await run.await_stops()
    return True


async def stop_all(run: Run) -> bool:
    """SIGTERM to all, one just behind the other: there is soon nobody to hand over to."""
    if not run.durable:
        return False
    for replica in run.rng.sample(run.cluster.alive, len(run.cluster.alive)):
        run.ask_to_stop(replica)
        await trio.sleep(run.rng.choice((0.0, 0.0, 0.002, 0.02)))
    await run.await_stops()
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


async def slow_disk(run: Run) -> bool:
    """A disk takes long for what it is given, and for the rest of the while it may be stuck."""
    if not run.durable:
        return False
    run.cluster.slow_disk(run.pick(), run.rng.choice((0.01, 0.1, 1.0)))
    await trio.sleep(run.rng.choice((0.1, 0.5, 1.5)))
    return True
