"""Replicas compare their states in the background, as a process's guard has them do; and a replica's state may rot.

Rot strikes a key that nobody but the first session writes, once, and nobody reads: what a state that differs does to answers is no promise, that
it is found out and leaves service is. I-SAME: nobody whose state is sound leaves, or is named; where a majority is sound, rot does not serve for
long; and the others go on, for as long as a difference may stay open and longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.divergence import PATIENCE_SECONDS
from tests.sim.history import Violation

if TYPE_CHECKING:
    from tests.sim.actors import ReplicaActor
    from tests.sim.world import World

ROT_KEY = b"z"
"""Above all keys that rotting worlds read."""
LINGER_SECONDS = PATIENCE_SECONDS + 1.0


@attrs.define(eq=False)
class Guards:
    """The guards of all replicas of one world, if it has any."""

    world: World
    rotten: dict[int, str] = attrs.Factory(dict)
    # {replica whose state was altered: how}
    until: float = 0.0
    """The world lingers until then; 0: not yet known."""

    def start(self, actor: ReplicaActor) -> None:
        """Begin to guard a replica that starts."""
        options = self.world.options
        if options.guard_seconds:
            actor.core.divergence.every = options.hash_every
            life = actor.lives
            self.world.at(self.world.now + options.guard_seconds, lambda: self._look(actor, life))

    def _look(self, actor: ReplicaActor, life: int) -> None:
        if not actor.alive or actor.lives != life:
            return
        world, divergence = self.world, actor.core.divergence
        if not actor.paused:
            actor.core.node.now = actor.clock.now()
            if divergence.work(world.options.hash_keys):
                actor.wake()
            self._judge(actor)
            if divergence.verdict:
                actor.leave_service(divergence.verdict, for_good=divergence.certain)
                return
        world.at(world.now + world.options.guard_seconds, lambda: self._look(actor, life))

    def _judge(self, actor: ReplicaActor) -> None:
        """I-SAME: verdicts are about replicas whose state was altered, and about no others."""
        divergence = actor.core.divergence
        if divergence.verdict and actor.id not in self.rotten:
            raise Violation(f"I-SAME: {actor.name} is sound and leaves service: {divergence.verdict}")
        for replica in divergence.divergent:
            if replica not in self.rotten:
                raise Violation(f"I-SAME: {actor.name} names r{replica}, whose state is sound")

    def alter(self, actor: ReplicaActor, how: str) -> bool:
        """Alter one entry of a replica's state, without anybody noticing; returns whether it was there."""
        entries = actor.core.node.store.entries
        value, version = entries.get(ROT_KEY, (None, 0))
        if not version:
            return False
        match how:
            case "value":
                entries.put(ROT_KEY, (b"rotten %d" % actor.id, version))
            case "version":
                entries.put(ROT_KEY, (value, version + 1 + actor.id))
            case _:
                entries.remove(ROT_KEY)
        self.rotten[actor.id] = how
        return True

    def _serves_rot(self, actor: ReplicaActor) -> bool:
        """Whether a replica serves from a state that is not the log's; a restart may have healed it."""
        if not actor.alive or actor.id not in self.rotten:
            return False
        sound = next(other for other in self.world.replicas if other.alive and other.id not in self.rotten)
        return actor.core.node.store.get_entry(ROT_KEY) != sound.core.node.store.get_entry(ROT_KEY)

    def what_is_left(self) -> str:
        """Say what keeps the world from being over; empty when nothing does."""
        world = self.world
        for actor in world.replicas:
            if self._serves_rot(actor):
                return f"{actor.name} serves from a state whose {self.rotten[actor.id]} was altered"
        if self.rotten and not self.until:
            self.until = world.now + LINGER_SECONDS
        return "the world lingers" if world.now < self.until else ""
