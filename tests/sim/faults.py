"""What goes wrong, and when, as a seed draws it: each kind of fault comes at random gaps until the world calms down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.sim.network import Link
    from tests.sim.strikes import Strikes
    from tests.sim.world import World

LEADER_SHARE = 0.5
"""Crashes that strike whoever leads."""
ROT_SECONDS = 0.05
"""Rot that finds nothing strikes again after this time."""
SUCCESSION_AT = 0.5
"""Part of the time in which faults strike after which another replica should have led."""
SUCCESSION_SECONDS = 0.3
"""It goes on trying for so long when the world is calm again."""


@attrs.define(eq=False)
class Saboteur:
    """Breaks things in one world, by its randomness."""

    world: World

    @property
    def strikes(self) -> Strikes:
        """What does it."""
        return self.world.strikes

    def start(self) -> None:
        """Plan the first fault of each kind."""
        world, faults = self.world, self.world.options.faults
        for gap, strike in (
            (faults.breaks_gap, self._break),
            (faults.partitions_gap, self._partition),
            (faults.clogs_gap, self._clog),
            (faults.pauses_gap, self._pause),
        ):
            if gap:
                self._plan(gap, strike)
        for _ in range(faults.crashes):
            world.at(world.rng.uniform(0.0, world.calm_at), self._crash)
        for _ in range(faults.blackouts):
            world.at(world.rng.uniform(0.0, world.calm_at), self._blackout)
        for _ in range(faults.deaths):
            world.at(world.rng.uniform(0.0, world.calm_at), self._death)
        for joiner in world.options.joiners:
            world.at(world.rng.uniform(0.0, world.calm_at), lambda joiner=joiner: self._change(joiner))  # type: ignore[misc]
        for _ in range(faults.rot):
            world.at(world.rng.uniform(0.2, 0.9) * world.calm_at, self._rot)
        if faults.disk_failures:
            rng = world.streams.apart("disks")
            for _ in range(faults.disk_failures):
                world.at(rng.uniform(0.0, world.calm_at), lambda: self._fail_disk(rng))
        if faults.succession:
            world.at(SUCCESSION_AT * world.calm_at, self._succeed)

    def _plan(self, gap: float, strike: Callable[[], None]) -> None:
        world = self.world
        when = world.now + world.rng.expovariate(1 / gap)

        def come() -> None:
            strike()
            self._plan(gap, strike)

        if when < world.calm_at:
            world.at(when, come)

    def _duration(self) -> float:
        """Draw how long something lasts: mostly short, sometimes until the world calms down."""
        return self.world.rng.choice((0.01, 0.05, 0.2, 0.5)) * self.world.rng.uniform(0.5, 1.5)

    def _link(self) -> Link:
        links = list(dict.fromkeys(self.world.network.links.values()))
        return self.world.rng.choice(links)

    def _break(self) -> None:
        self.strikes.break_link(self._link(), self._duration)

    def _partition(self) -> None:
        rng = self.world.rng
        places = [*self.world.places]
        group = rng.sample(places, rng.randint(1, len(places) - 1))
        inward, outward = rng.choice(((True, True), (True, False), (False, True)))
        self.strikes.partition(tuple(group), inward=inward, outward=outward, lasts=self._duration)

    def _clog(self) -> None:
        rng, link = self.world.rng, self._link()
        sender = rng.choice(list(link.ways))
        self.strikes.clog(link, sender, rng.choice((5.0, 50.0)), self._duration)

    def _pause(self) -> None:
        self.strikes.pause(self.world.rng.choice(self.world.replicas), self._duration)

    def _crash(self) -> None:
        """Kill a replica, half of the times whoever leads."""
        sound, rng = self.strikes.expendable(), self.world.rng
        if sound:
            leaders = [actor for actor in sound if actor.core.leader is not None]
            self.crash((rng.choice(leaders) if leaders and rng.random() < LEADER_SHARE else rng.choice(sound)).name)

    def _fail_disk(self, rng: random.Random) -> None:
        """Let a disk fail, half of the times that of whoever leads."""
        sound = self.strikes.expendable()
        if sound:
            leaders = [actor for actor in sound if actor.core.leader is not None]
            actor = rng.choice(leaders if leaders and rng.random() < LEADER_SHARE else sound)
            self.strikes.fail_disk(actor, rng.choice(("write", "sync", "full")), lambda: rng.choice((0.01, 0.05, 0.2, 0.5)))

    def _blackout(self) -> None:
        """All replicas lose power at once."""
        for actor in self.world.replicas:
            self.crash(actor.name)

    def crash(self, name: str) -> None:
        """Kill a replica that lives."""
        self.strikes.crash(name, self._duration)

    def _change(self, joiner: int) -> None:
        """Ask whoever leads to change the members; who is refused tries again."""
        world, rng = self.world, self.world.rng
        leading = self.strikes.leading()
        if leading:
            actor = rng.choice(leading)
            voters = actor.core.node.configuration.voters
            what = rng.choice(("add", "replace", "replace", "remove"))
            if self.strikes.change(actor, what, joiner, -1 if what == "add" else rng.choice(voters)):
                return
        when = world.now + self._duration()
        if when < world.calm_at:
            world.at(when, lambda: self._change(joiner))

    def _rot(self) -> None:
        """Alter the state of a replica that was sound so far; later, if nothing is there yet."""
        world, rng = self.world, self.world.rng
        sound = [actor for actor in world.replicas if actor.alive and actor.id not in world.guards.rotten]
        done = bool(sound) and self.strikes.rot(rng.choice(sound), rng.choice(("value", "version", "existence")))
        if not done and world.now + ROT_SECONDS < world.calm_at:
            world.at(world.now + ROT_SECONDS, self._rot)

    def _succeed(self) -> None:
        """Let whoever leads hand over, again and again, while nobody else ever led."""
        world = self.world
        if len(set(world.observer.leaders.values())) > 1:
            return
        any(self.strikes.hand_over(actor) for actor in self.strikes.leading())
        again = world.now + 2 * world.options.core.election_seconds
        if again < world.calm_at + SUCCESSION_SECONDS:
            world.at(again, self._succeed)

    def _death(self) -> None:
        if len(self.world.clients) > 1:
            self.strikes.death(self.world.rng.choice(self.world.clients).name)
