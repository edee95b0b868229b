"""What goes wrong, and when: each kind of fault comes at random gaps until the world calms down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.reconfiguration import ChangeRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sim.actors import ReplicaActor
    from tests.sim.network import Direction, Link
    from tests.sim.world import World

NOTICE_SECONDS = 0.02
"""An end of a broken link notices within this time."""
LEADER_SHARE = 0.5
"""Crashes that strike whoever leads."""


@attrs.define(eq=False)
class Saboteur:
    """Breaks things in one world, by its randomness."""

    world: World

    def start(self) -> None:
        """Plan the first fault of each kind."""
        world, faults = self.world, self.world.options.faults
        network = world.network
        network.loss, network.duplication, network.reordering = faults.loss, faults.duplication, faults.reordering
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
        link, world = self._link(), self.world
        if link.up:
            world.tell("fault", f"link {link.a.name}-{link.b.name} breaks")
            world.network.cut(link, NOTICE_SECONDS)
            world.at(world.now + NOTICE_SECONDS + self._duration(), lambda: world.reconnect(link))

    def _partition(self) -> None:
        """Cut a group off, in both directions or in one, without anybody noticing."""
        world, rng = self.world, self.world.rng
        places = [*world.places]
        group = rng.sample(places, rng.randint(1, len(places) - 1))
        inward, outward = rng.choice(((True, True), (True, False), (False, True)))
        struck: list[Direction] = []
        for (sender, receiver), link in world.network.links.items():
            crossing = (sender in group) != (receiver in group)
            if crossing and (outward if sender in group else inward) and not link.ways[sender].blocked:
                link.ways[sender].blocked = True
                struck.append(link.ways[sender])
        world.network.count("partitions")
        world.tell("fault", f"partition of {group} inward {inward} outward {outward}")

        def heal() -> None:
            for way in struck:
                way.blocked = False
            world.tell("fault", f"partition of {group} heals")

        world.at(world.now + self._duration(), heal)

    def _clog(self) -> None:
        world = self.world
        link = self._link()
        way = world.rng.choice(list(link.ways.values()))
        way.slower = world.rng.choice((5.0, 50.0))
        world.network.count("links clogged")

        def clear() -> None:
            way.slower = 1.0

        world.at(world.now + self._duration(), clear)

    def _pause(self) -> None:
        world = self.world
        actor = world.rng.choice(world.replicas)
        if actor.alive and not actor.paused:
            actor.paused = True
            world.network.count("pauses")
            world.tell("fault", f"{actor.name} stands still")
            world.at(world.now + self._duration(), actor.resume)

    def _crash(self) -> None:
        """Kill a replica; it comes back with what its disk holds: without a durable log that is its vote, and most must know more than that."""
        world = self.world
        durable = world.options.core.durable
        sound = [actor for actor in world.replicas if actor.alive and not actor.core.node.muted and (actor.core.node.votes or durable)]
        if sound and (durable or len(sound) > world.options.replicas // 2 + 1):
            leaders = [actor for actor in sound if actor.core.leader is not None]
            self._crash_one((world.rng.choice(leaders) if leaders and world.rng.random() < LEADER_SHARE else world.rng.choice(sound)).name)

    def _blackout(self) -> None:
        """All replicas lose power at once."""
        for actor in self.world.replicas:
            self._crash_one(actor.name)

    def _crash_one(self, name: str) -> None:
        world = self.world
        actor = next(actor for actor in world.replicas if actor.name == name)
        if not actor.alive:
            return
        actor.crash()
        self._kill(name)
        when = world.now + self._duration()
        if when < world.calm_at:
            world.at(when, lambda: self._restart(actor))

    def _restart(self, actor: ReplicaActor) -> None:
        if not actor.alive:
            self.world.tell("fault", f"{actor.name} comes back")
            actor.restart()
            self._reconnect(actor.name)

    def _reconnect(self, name: str) -> None:
        for (sender, _), link in self.world.network.links.items():
            if sender == name:
                self.world.at(self.world.now + self.world.rng.uniform(1.0, 3.0) * NOTICE_SECONDS, lambda link=link: self.world.reconnect(link))  # type: ignore[misc]

    def _change(self, joiner: int) -> None:
        """Ask whoever leads to change the members; who is refused tries again."""
        world, rng = self.world, self.world.rng
        leading = [actor for actor in world.replicas if actor.alive and not actor.paused and actor.core.leader is not None]
        if leading:
            actor = rng.choice(leading)
            reconfiguration = actor.core.reconfiguration
            assert reconfiguration is not None
            voters = actor.core.node.configuration.voters
            what = rng.choice(("add", "replace", "replace", "remove"))
            try:
                if what == "remove":
                    reconfiguration.remove(rng.choice(voters))
                else:
                    reconfiguration.add(joiner, f"r{joiner}", rng.choice(voters) if what == "replace" else -1)
            except ChangeRefused as refused:
                world.tell("fault", f"{actor.name} refuses to {what}: {refused}")
            else:
                world.network.count("changes")
                world.tell("fault", f"{actor.name} begins to {what}: {reconfiguration.wanted}")
                actor.wake()
                return
        when = world.now + self._duration()
        if when < world.calm_at:
            world.at(when, lambda: self._change(joiner))

    def _death(self) -> None:
        world = self.world
        if len(world.clients) > 1:
            client = world.rng.choice(world.clients)
            for program in client.programs:
                program.track.dead = True
            self._kill(client.name)

    def _kill(self, name: str) -> None:
        world = self.world
        victim = world.places[name]
        if victim.alive or name[0] == "r":
            victim.alive = False
            world.network.count("crashes" if name[0] == "r" else "client deaths")
            world.tell("fault", f"{name} dies")
            for (sender, _), link in world.network.links.items():
                if sender == name and link.up:
                    world.network.cut(link, NOTICE_SECONDS)
