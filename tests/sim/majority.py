"""I-ORDER: an entry is committed when a majority of the voters has it, not when somebody says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sim.history import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from replica.core.configuration import Configuration
    from tests.sim.actors import ReplicaActor
    from tests.sim.world import World


def check_committed(world: World, actor: ReplicaActor) -> None:
    """Look at the newest entry that a replica takes for committed, and that nobody did before.

    Everything before it is committed with it.  A replica that stood still, or died with a disk, has what it had.

    Raises:
        Violation: in no configuration that may count for that entry does a majority of the voters have it.
    """
    node = actor.core.node
    index, view = node.commit_index, node.log.view_at(node.commit_index)
    assert view is not None
    had = world.observer.had.get((index, view), set())
    having = {other.id for other in world.replicas if _has(other, index, view, had)}
    if not any(len(having.intersection(told.voters)) >= told.majority for told in _counting(actor, index)):
        raise Violation(f"I-ORDER: {actor.name} takes entry {index} of view {view} for committed, which only {sorted(having)} have")


def _counting(actor: ReplicaActor, index: int) -> Iterable[Configuration]:
    """The configuration that the log tells at an entry, and later ones: a change may have been logged since it was counted."""
    told = actor.core.node.configurations.told
    return [one for place, (_, one) in enumerate(told) if place + 1 == len(told) or told[place + 1][0] > index]


def _has(actor: ReplicaActor, index: int, view: int, had: set[int]) -> bool:
    node = actor.core.node
    if not node.config.durable and (not actor.alive or node.muted):
        return actor.id in had or index < node.log.first_index  # it had it when it said so, and is one of those that may lose everything
    if index < node.log.first_index:
        return node.applied_index >= index
    return node.journal.durable_index >= index and node.log.view_at(index) == view
