"""A place: what belongs to one replica or one client of a cluster in memory, whichever life it is in."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import attrs
import trio

from transport import fault_points

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from triskele.testing.tasks import Cancellation

HERE: ContextVar[Place | None] = ContextVar("HERE", default=None)
"""Whose task runs; inherited by the tasks it starts."""


def always() -> bool:
    """Return True: no time is the wrong one."""
    return True


def raising(exception: BaseException) -> Callable[[], None]:
    """Make a function that raises an exception."""

    def fail() -> None:
        raise exception

    return fail


@attrs.define(eq=False)
class Fault:
    """Something that is to happen at a fault point.

    Attributes:
        point: where.
        act: what is called; what it raises, the point raises.
        nth: at which time from now on that the place is reached there, from 1.
        when: times at which this is false do not count.
        happened: set when it was called.
    """

    point: str
    act: Callable[[], object]
    nth: int = 1
    when: Callable[[], bool] = always
    happened: trio.Event = attrs.Factory(trio.Event)

    @property
    def struck(self) -> bool:
        """Whether it has happened."""
        return self.happened.is_set()

    def withdraw(self) -> None:
        """Let it not happen any more."""
        self.nth = 0

    def step(self) -> bool:
        """Count one time that the point was reached; return whether it is the one."""
        self.nth -= 1
        if self.nth == 0:
            self.happened.set()
        return self.nth == 0


class Gate:
    """Stops tasks while it is closed."""

    def __init__(self) -> None:
        self.closed = False
        self._waiting: list[trio.lowlevel.Task] = []

    def wait(self) -> Generator[Any, Any, Any]:
        """Wait, in the place of a task's step, until the gate opens; cancellation waits too."""
        self._waiting.append(trio.lowlevel.current_task())
        return trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED).__await__()  # noqa: ASYNC105 - its caller yields from it

    def open(self) -> None:
        """Let them go on."""
        self.closed = False
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            trio.lowlevel.reschedule(task)


@attrs.define(eq=False)
class Place:
    """See the module.

    Attributes:
        name: in the fabric.
        replica: the replica's id; None for a client.
        jumped: seconds that its clock is ahead of Trio's.
        reached: how often each fault point was.
    """

    name: str
    replica: int | None = None
    jumped: float = 0.0
    gate: Gate = attrs.Factory(Gate)
    faults: list[Fault] = attrs.Factory(list)
    cancellations: list[Cancellation] = attrs.Factory(list)
    reached: dict[str, int] = attrs.Factory(dict)

    def clock(self) -> float:
        """Return the time as this place sees it, seconds."""
        return trio.current_time() + self.jumped

    def reach(self, point: str) -> None:
        """Count a fault point, and let happen what is to happen there."""
        self.reached[point] = self.reached.get(point, 0) + 1
        if self.faults:
            struck = [fault for fault in self.faults if fault.point == point and fault.when() and fault.step()]
            self.faults = [fault for fault in self.faults if fault.nth > 0]
            for fault in struck:
                fault.act()


@contextmanager
def here(place: Place) -> Iterator[None]:
    """Let the tasks that are started in this block belong to a place."""
    token = HERE.set(place)
    try:
        yield
    finally:
        HERE.reset(token)


def _reach(point: str) -> None:
    place = HERE.get()
    if place is not None:
        place.reach(point)


def listen_to_fault_points() -> None:
    """Let fault points tell the place whose task reaches them; from now on, in every cluster."""
    fault_points.listener = _reach
