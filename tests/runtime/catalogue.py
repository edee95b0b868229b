"""Everything that can go wrong in a nursery, by name, each as something that strikes a running cluster and says whether it did."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

from tests.runtime import changes, upsets
from tests.runtime.plans import cancel_at, cancel_client_at, raise_at, raise_in_client_at, stop_at, stop_while
from tests.runtime.states import STATES
from triskele.testing import fault_points, task_names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.runtime.run import Run

NEED_DISKS = ("disk", "write", "batch.", "snapshot", "persistence", "sync", "install", "segments", "power", "stop all", "members")
"""What strikes only where there are disks; members come and go where nobody forgets what it acknowledged."""
UPSETS = (
    upsets.kill, upsets.lose_power, upsets.stop, upsets.stop_in_the_making, upsets.stop_alone, upsets.stop_paused, upsets.stop_all, upsets.pause,
    upsets.kill_while_paused, upsets.jump_clock, upsets.partition, upsets.stall_send, upsets.slow_reader, upsets.half_open, upsets.rough_network,
    upsets.slow_disk,
    changes.members_replace, changes.members_add, changes.members_remove,
)  # fmt: skip

CATALOGUE: dict[str, Callable[[Run], Awaitable[bool]]] = {
    **{f"raise at {point}": partial(raise_at, point=point) for point in fault_points(client=False)},
    **{f"raise in a client at {point}": partial(raise_in_client_at, point=point) for point in fault_points(client=True)},
    **{f"stop at {point}": partial(stop_at, point=point) for point in fault_points(client=False)},
    **{f"stop while {state}": partial(stop_while, state=state) for state in STATES},
    **{f"cancel {task}": partial(cancel_at, task=task) for task in task_names()},
    **{f"cancel client {task}": partial(cancel_client_at, task=task) for task in task_names(client=True)},
    **{strike.__name__.replace("_", " "): strike for strike in UPSETS},
}
"""{name: what strikes}"""

GROUPS = {
    "exceptions raised in a replica": "raise at ",
    "exceptions raised in a client": "raise in a client at ",
    "stops at a point": "stop at ",
    "stops in a state": "stop while ",
    "tasks of clients cancelled": "cancel client ",
    "tasks of replicas cancelled": "cancel ",
    "members that come and go": "members ",
    "processes, clocks, disks and links": "",
}
"""{what a group of faults is: how their names begin}; the first that fits."""


def group_of(name: str) -> str:
    """Say to which group a fault belongs."""
    return next(group for group, prefix in GROUPS.items() if name.startswith(prefix))


def needs_disk(name: str) -> bool:
    """Whether a fault strikes only where there are disks."""
    return any(word in name for word in NEED_DISKS)


def deck(number: int) -> list[str]:
    """Return all names in the order of one round: those that need disks together, or hardly a run would have none; else as chance has it."""
    names = list(CATALOGUE)
    Random(f"deck {number}").shuffle(names)
    return sorted(names, key=needs_disk)


def names_for(seed: int, faults: int) -> list[str]:
    """Return the names of the faults that a seed tries: seeds that follow each other deal out one deck after the other."""
    places = range(seed * faults, (seed + 1) * faults)
    decks = {place // len(CATALOGUE): deck(place // len(CATALOGUE)) for place in (places[0], places[-1])}
    return [decks[place // len(CATALOGUE)][place % len(CATALOGUE)] for place in places]
