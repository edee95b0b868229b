"""Faults that are planned for a moment: a point in the code, a checkpoint of a task, a state. Each waits for it, and sees to it that it comes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from tests.runtime.provoking import ELECTIONS, provoke, provoke_client, provoke_state
from tests.runtime.states import STATES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.runtime.run import Run
    from triskele.testing.place import Fault
    from triskele.testing.tasks import Cancellation

ATTEMPTS = 10
ATTEMPT_SECONDS = 0.12
"""Virtual time that a fault is waited for before it is provoked again."""
ELECTION_SECONDS = 0.5
MOST_HITS = 4
"""A fault at a point that is often reached strikes at the 1st to 4th time."""
RARE = (
    "start.",
    "stop.",
    "hash.",
    "snapshot.",
    "disk.r",
    "disk.c",
    "disk.sync_",
    "handshake.",
    "link.",
    "peering.",
    "guard.",
    "fabric.",
    "client.link",
)
"""Points that a short run reaches a few times."""
MOST_CHECKPOINTS = {
    "persistence": 1, "hub": 1, "install": 2, "hash": 2, "peering": 2, "accepted": 2, "discovery": 1, "segments": 2, "listen": 3, "dial": 3,
    "guard": 3, "snapshot": 4, "sync": 4, "timers": 5,
}  # fmt: skip
"""{task: to how many checkpoints it comes within a short run}; others to many."""
MANY_CHECKPOINTS = 20
WAITING_SHARE = 0.2
"""Of cancellations: those that strike a task where it waits."""


class Planted(Exception):
    """What is raised at fault points."""


async def strikes(run: Run, plan: Fault | Cancellation, provoking: Callable[[int], Awaitable[None]]) -> bool:
    """Wait until a plan has struck, and provoke it as often as needed; return whether it has."""
    run.plan = plan
    for attempt in range(ATTEMPTS):
        run.busy()
        await provoking(attempt)
        with trio.move_on_after(ATTEMPT_SECONDS):
            await plan.happened.wait()
        if plan.struck:
            break
    plan.withdraw()
    return plan.struck


def draw_nth(run: Run, point: str) -> int:
    """Draw at which time that a point is reached something happens there."""
    return 1 if point.startswith(RARE) else run.rng.randint(1, MOST_HITS)


async def raise_at(run: Run, point: str) -> bool:
    """Raise at a point of a replica; it ends, and with this."""
    exception: Exception = OSError(5, "planted") if point.startswith("disk.") and run.rng.random() < 0.5 else Planted(point)
    replica = run.pick(point)
    run.expected[replica] = exception
    plan = run.cluster.fail_at(point, replica=replica, exception=exception, nth=draw_nth(run, point))
    return await strikes(run, plan, partial(provoke, run, point, replica))


async def raise_in_client_at(run: Run, point: str) -> bool:
    """Raise at a point of a client; it ends, and with this."""
    client, exception = run.latest_client, Planted(point)
    client.planned = exception
    plan = run.cluster.fail_at(point, client=client.index, exception=exception, nth=draw_nth(run, point))
    return await strikes(run, plan, partial(provoke_client, run, point))


async def stop_at(run: Run, point: str) -> bool:
    """SIGTERM in the midst of what a replica does; it is gone within its own limits."""
    replica = run.pick(point)
    plan = run.cluster.at(point, partial(run.ask_to_stop, replica), replica=replica, nth=draw_nth(run, point))
    struck = await strikes(run, plan, partial(provoke, run, point, replica))
    await run.await_stops()
    return struck


async def stop_while(run: Run, state: str) -> bool:
    """SIGTERM to whoever comes first into a state."""
    first = trio.Event()

    def is_due(replica: int) -> bool:
        server = run.cluster.servers.get(replica)
        return server is not None and not first.is_set() and STATES[state](server)

    def stop(replica: int) -> None:
        first.set()
        run.ask_to_stop(replica)

    plans = [run.cluster.at("turn.end", partial(stop, replica), replica=replica, when=partial(is_due, replica)) for replica in run.cluster.alive]
    replica = run.pick(state)
    for attempt in range(ATTEMPTS):
        run.busy()
        await provoke_state(run, state, replica, attempt)
        with trio.move_on_after(ELECTION_SECONDS if state in ELECTIONS else ATTEMPT_SECONDS):
            await first.wait()
        if first.is_set():
            break
    for plan in plans:
        plan.withdraw()
    await run.await_stops()
    return first.is_set()


def draw_checkpoint(run: Run, task: str) -> int:
    """Draw at which checkpoint from now on a task is cancelled; 0: where it waits."""
    return 0 if run.rng.random() < WAITING_SHARE else run.rng.randint(1, MOST_CHECKPOINTS.get(task, MANY_CHECKPOINTS))


async def cancel_at(run: Run, task: str) -> bool:
    """Cancel a task of a replica at one of its checkpoints; its replica ends, or goes on as if nothing had been."""
    replica, checkpoint = run.pick(task), draw_checkpoint(run, task)
    run.expected[replica] = None
    if checkpoint == 0 and task in run.cluster.tasks[f"r{replica}"]:
        return run.cluster.cancel(task, replica=replica).struck
    plan = run.cluster.cancel(task, replica=replica, checkpoint=max(checkpoint, 1))
    return await strikes(run, plan, partial(provoke, run, task, replica))


async def cancel_client_at(run: Run, task: str) -> bool:
    """Cancel a task of a client at one of its checkpoints; the client ends and says so, or goes on as if nothing had been."""
    checkpoint = draw_checkpoint(run, task)
    if task in {"hub", "discovery", "dial"} and checkpoint > 0:  # they come to few checkpoints after their first ones
        run.begin_client()
    client = run.latest_client
    client.cancelled = True
    if checkpoint == 0 and task in run.cluster.tasks[f"client{client.index}"]:
        return run.cluster.cancel(task, client=client.index).struck
    plan = run.cluster.cancel(task, client=client.index, checkpoint=max(checkpoint, 1))
    return await strikes(run, plan, partial(provoke_client, run, task))
