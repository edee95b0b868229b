"""The tasks of a cluster as a Trio instrument sees them: whose each is, what it is called, and its checkpoints.

A task belongs to the *place* (a replica or a client) in whose context it was started. The instrument counts its steps, cancels where it was told
to, and puts every replica's task behind a *gate*: while it is closed no step of theirs runs, as for a process that was sent SIGSTOP.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

import attrs
import trio

from triskele.testing.place import HERE, Place

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

TASKS = {
    "transport.turns.Turns.run": "turns",
    "transport.hub.Hub.run": "hub",
    "replica.driver.ReplicaDriver.run_timers": "timers",
    "replica.persistence.Persistence.run": "persistence",
    "replica.persistence.Persistence._sync": "sync",
    "replica.persistence.Persistence._make_segments": "segments",
    "replica.persistence.Persistence._install": "install",
    "replica.upkeep.look_after_log": "snapshot",
    "replica.server.Server._hash": "hash",
    "replica.server.Server._listen": "listen",
    "replica.peering.Peering.run": "peering",
    "replica.peering.Peering._dial": "dial",
    "replica.guard.Guard.run": "guard",
    "transport.mesh.Mesh._serve_accepted": "accepted",
    "transport.memory.MemoryLink.run": "link",
    "replica.client_driver.ClientDriver.run_timers": "timers",
    "replica.client_driver.ClientDriver.run_discovery": "discovery",
    "transport.mesh.Mesh.dial": "dial",
}
"""{what Trio calls a task: its name here}"""
CLIENT_TASKS = ("turns", "hub", "timers", "discovery", "dial", "link")


def task_names(*, client: bool = False) -> list[str]:
    """Name all tasks of a replica, or of a client, for ``Cluster.cancel``."""
    return list(CLIENT_TASKS) if client else [name for name in dict.fromkeys(TASKS.values()) if name != "discovery"]


@attrs.define(eq=False)
class Cancellation:
    """A cancellation that is to strike.

    Attributes:
        task: name of the task.
        checkpoint: which checkpoint of such a task from now on, from 1.
        happened: set when it has struck.
    """

    task: str
    checkpoint: int
    happened: trio.Event = attrs.Factory(trio.Event)

    @property
    def struck(self) -> bool:
        """Whether it has struck."""
        return self.happened.is_set()

    def withdraw(self) -> None:
        """Let it not strike any more."""
        self.checkpoint = 0

    def step(self) -> bool:
        """Count one checkpoint; return whether it is the one."""
        self.checkpoint -= 1
        if self.checkpoint == 0:
            self.happened.set()
        return self.checkpoint == 0


class TaskWatch(trio.abc.Instrument):
    """See the module; one for each cluster."""

    def __init__(self) -> None:
        self._tasks: dict[trio.lowlevel.Task, tuple[Place, str]] = {}  # those that live, in the order of their starts

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Take note of a task, and put a replica's behind its gate."""
        place = task.context.get(HERE)
        if place is not None:
            self._tasks[task] = place, TASKS.get(task.name, task.name)
            if place.replica is not None:
                task.coro = _behind_gate(task.coro, place)  # type: ignore[assignment]  # whatever coroutine: Trio only sends to it

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Forget a task."""
        self._tasks.pop(task, None)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count a checkpoint."""
        place, name = self._tasks.get(task, (None, ""))
        if place is not None and place.cancellations and task in self._tasks:
            struck = [cancellation for cancellation in place.cancellations if cancellation.task == name and cancellation.step()]
            place.cancellations = [cancellation for cancellation in place.cancellations if cancellation.checkpoint > 0]
            if struck:
                _cancel(task)

    def cancel_now(self, place: Place, name: str) -> bool:
        """Cancel the first task of this name; return whether there is one."""
        found = next((task for task, known in self._tasks.items() if known == (place, name)), None)
        if found is not None:
            _cancel(found)
        return found is not None

    def of(self, place: Place) -> list[str]:
        """Name the live tasks of a place."""
        return [name for where, name in self._tasks.values() if where is place]


def _cancel(task: trio.lowlevel.Task) -> None:
    """Cancel the nursery that a task runs in: Trio cancels scopes, and that is the nearest one that any task has."""
    if task.parent_nursery is not None:
        task.parent_nursery.cancel_scope.cancel()


async def _behind_gate(coroutine: Coroutine[Any, Any, object], place: Place) -> object:
    return await _gated(coroutine, place)


@types.coroutine
def _gated(coroutine: Coroutine[Any, Any, object], place: Place) -> Generator[Any, Any, object]:
    """Step a task's coroutine, each step only while the gate is open."""
    value = None
    while True:
        while place.gate.closed:
            yield from place.gate.wait()
        try:
            wanted = coroutine.send(value)
        except StopIteration as end:
            return end.value
        value = yield wanted
