"""What goes wrong, done: each kind of fault strikes, lasts, and ends. Who draws them is ``faults``; a plan (``plan``) names them.

How long a fault lasts is asked for when it has struck: a seed draws it then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.reconfiguration import ChangeRefused
from tests.sim.plan import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.core.configuration import Configuration
    from tests.sim.actors import ReplicaActor
    from tests.sim.network import Direction, Link, Place
    from tests.sim.world import World

DISKS_FAILED = "disks failed"
"""What is counted when a disk that fails has ended its process."""
NOTICE_SECONDS = 0.02
"""An end of a broken link notices within this time."""
START_SECONDS = 0.05
"""A process that ended because its disk is full is started again after this time, whether there is room or not."""
AGAIN_SECONDS = 0.05
"""A planned change that is refused is tried again after this time."""


@attrs.define(eq=False)
class Strikes:
    """Strikes one world."""

    world: World
    done: list[Fault] = attrs.Factory(list)
    """What struck."""

    def again(self, fault: Fault) -> None:
        """Let a planned fault strike, as far as it still can."""
        world = self.world

        def lasts() -> float:
            return fault.seconds

        match fault.kind:
            case "break":
                link = world.network.links.get((fault.whom[0], fault.whom[1]))
                if link is not None:
                    self.break_link(link, lasts)
            case "partition":
                self.partition(fault.whom, inward=bool(fault.how[0]), outward=bool(fault.how[1]), lasts=lasts)
            case "clog":
                link = world.network.links.get((fault.whom[0], fault.whom[1]))
                if link is not None:
                    self.clog(link, fault.whom[0], float(str(fault.how[0])), lasts)
            case "pause":
                self.pause(self.replica(fault.whom[0]), lasts)
            case "crash":
                if self.replica(fault.whom[0]) in self.expendable():
                    self.crash(fault.whom[0], lasts)
            case "disk":
                actor = self.replica(fault.whom[0])
                if actor in self.expendable():
                    self.fail_disk(actor, str(fault.how[0]), lasts)
            case "death":
                self.death(fault.whom[0])
            case "cut off":
                self.cut_off(fault.whom[0], fault.whom[1:], lasts)
            case "change":
                self._change_again(fault)
            case "rot":
                self.rot(self.replica(fault.whom[0]), str(fault.how[0]))
            case "hand over":
                any(self.hand_over(actor) for actor in self.leading())
            case _:
                raise AssertionError(fault)

    def _note(self, kind: str, whom: tuple[Place, ...], seconds: float = 0.0, how: tuple[object, ...] = ()) -> None:
        self.done.append(Fault(self.world.now, kind, whom, seconds, how))

    def replica(self, name: Place) -> ReplicaActor:
        """Return a replica by its name."""
        return next(actor for actor in self.world.replicas if actor.name == name)

    # ------------------------------------------------------------------------------------------------------------------------ links

    def break_link(self, link: Link, lasts: Callable[[], float]) -> None:
        """Break a link that is up."""
        world = self.world
        if link.up:
            world.tell("fault", f"link {link.a.name}-{link.b.name} breaks")
            world.network.cut(link, NOTICE_SECONDS)
            seconds = lasts()
            self._note("break", (link.a.name, link.b.name), seconds)
            world.at(world.now + NOTICE_SECONDS + seconds, lambda: world.reconnect(link))

    def partition(self, group: tuple[Place, ...], *, inward: bool, outward: bool, lasts: Callable[[], float]) -> None:
        """Cut a group off, in both directions or in one, without anybody noticing."""
        world = self.world
        struck: list[Direction] = []
        for (sender, receiver), link in world.network.links.items():
            crossing = (sender in group) != (receiver in group)
            if crossing and (outward if sender in group else inward) and not link.ways[sender].blocked:
                link.ways[sender].blocked = True
                struck.append(link.ways[sender])
        world.network.count("partitions")
        world.tell("fault", f"partition of {list(group)} inward {inward} outward {outward}")

        def heal() -> None:
            for way in struck:
                way.blocked = False
            world.tell("fault", f"partition of {list(group)} heals")

        seconds = lasts()
        self._note("partition", group, seconds, (inward, outward))
        world.at(world.now + seconds, heal)

    def cut_off(self, name: Place, others: tuple[Place, ...], lasts: Callable[[], float]) -> None:
        """Let nothing pass between a replica and some others, without anybody noticing."""
        world = self.world
        links = [world.network.links[name, other] for other in others]
        ways = [way for link in links for way in link.ways.values() if not way.blocked]
        world.tell("fault", f"{name} is cut off from {list(others)}")
        for way in ways:
            way.blocked = True

        def heal() -> None:
            for way in ways:
                way.blocked = False
            world.tell("fault", f"{name} is heard by {list(others)} again")

        seconds = lasts()
        self._note("cut off", (name, *others), seconds)
        world.at(world.now + seconds, heal)

    def clog(self, link: Link, sender: Place, factor: float, lasts: Callable[[], float]) -> None:
        """Make one way of a link slower for a while."""
        world, way = self.world, link.ways[sender]
        receiver = link.other(sender).name
        way.slower = factor
        world.network.count("links clogged")
        world.tell("fault", f"frames from {sender} to {receiver} take {factor:.0f} times as long")

        def clear() -> None:
            way.slower = 1.0
            world.tell("fault", f"frames from {sender} to {receiver} take as long as ever")

        seconds = lasts()
        self._note("clog", (sender, receiver), seconds, (factor,))
        world.at(world.now + seconds, clear)

    # --------------------------------------------------------------------------------------------------------------------- processes

    def pause(self, actor: ReplicaActor, lasts: Callable[[], float]) -> None:
        """Let a replica stand still for a while."""
        world = self.world
        if actor.alive and not actor.paused:
            actor.paused = True
            world.network.count("pauses")
            world.tell("fault", f"{actor.name} stands still")
            seconds = lasts()
            self._note("pause", (actor.name,), seconds)
            world.at(world.now + seconds, actor.resume)

    def expendable(self) -> list[ReplicaActor]:
        """Return the replicas of which one may die: without a durable log one comes back with its vote alone, and most must know more than that."""
        sound = self._sound()
        if self.world.options.core.durable:
            return sound
        told = self._told()
        return [actor for actor in sound if all(self._can_do_without(actor.id, after, sound) for after in told)]

    def _sound(self) -> list[ReplicaActor]:
        """Return who lives and has forgotten nothing that matters."""
        return [actor for actor in self.world.replicas if actor.alive and not actor.core.node.muted]

    @staticmethod
    def _can_do_without(member: int, after: Configuration, sound: list[ReplicaActor]) -> bool:
        return sum(actor.id in after.voters for actor in sound if actor.id != member) >= after.majority

    def _told(self) -> list[Configuration]:
        """Return the configurations that count or may count soon, as far as anybody alive knows: a leader notices only later that somebody died,
        and goes on with a replacement meanwhile.
        """
        found: list[Configuration] = []
        for actor in self.world.replicas:
            if actor.alive:
                change = actor.core.reconfiguration
                begun = [change.wanted] if change is not None and change.wanted is not None else []
                found += [told for _, told in actor.core.node.configurations.told if told.voters] + begun
        for told in found:  # which grows meanwhile
            steps = [told.with_voter(learner) for learner in told.learners] + [told.without(replaced) for _, replaced in told.replacing]
            found += [step for step in steps if step not in found]
        return found

    def crash(self, name: Place, lasts: Callable[[], float]) -> None:
        """Kill a replica; it comes back with what its disk holds."""
        world, actor = self.world, self.replica(name)
        if not actor.alive:
            return
        actor.crash()
        self._kill(name)
        seconds = lasts()
        self._note("crash", (name,), seconds)
        when = world.now + seconds
        if when < world.calm_at:
            world.at(when, lambda: self._restart(actor))

    def fail_disk(self, actor: ReplicaActor, how: str, lasts: Callable[[], float]) -> None:
        """Let a replica's disk refuse the next write or sync, or all writes for a while: the process that gives it something ends."""
        world, disk = self.world, actor.disk
        if disk.failing:
            return
        disk.failing, seconds = how, lasts()
        self._note("disk", (actor.name,), seconds, (how,))
        world.tell("fault", f"the disk of {actor.name} is about to fail: {how}")
        if how == "full":
            world.at(world.now + seconds, lambda: self._mend(actor))
        actor.down_seconds = START_SECONDS if how == "full" else seconds

    @staticmethod
    def _mend(actor: ReplicaActor) -> None:
        actor.disk.failing = ""

    def end_with_disk(self, actor: ReplicaActor, why: str) -> None:
        """End a replica whose disk refused something, in the midst of a turn that says nothing to anybody."""
        world = self.world
        world.network.count(DISKS_FAILED)
        world.tell("fault", f"{actor.name}: {why}")
        actor.crash()
        self._kill(actor.name)
        when = world.now + actor.down_seconds
        if when < world.calm_at:
            world.at(when, lambda: self._restart(actor))

    def _restart(self, actor: ReplicaActor) -> None:
        if not (actor.alive or actor.out_of_service):
            world = self.world
            world.tell("fault", f"{actor.name} comes back")
            actor.restart()
            for (sender, _), link in world.network.links.items():
                if sender == actor.name:
                    world.at(world.now + actor.rng.uniform(1.0, 3.0) * NOTICE_SECONDS, lambda link=link: world.reconnect(link))  # type: ignore[misc]

    def rot(self, actor: ReplicaActor, how: str) -> bool:
        """Alter what a replica that lives has in its store; returns whether there was anything."""
        struck = actor.alive and self.world.guards.alter(actor, how)
        if struck:
            self.world.network.count("states altered")
            self.world.tell("fault", f"the {how} of a key in the store of {actor.name} changes by itself")
            self._note("rot", (actor.name,), 0.0, (how,))
        return struck

    def death(self, name: Place) -> None:
        """Let a client process die for good."""
        for client in self.world.clients:
            if client.name == name:
                for program in client.programs:
                    program.track.dead = True
                self._kill(name)
                self._note("death", (name,))

    def _kill(self, name: Place) -> None:
        world = self.world
        victim = world.places[name]
        if victim.alive or name[0] == "r":
            victim.alive = False
            world.network.count("crashes" if name[0] == "r" else "client deaths")
            self.silence(name, f"{name} dies")

    def silence(self, name: Place, why: str) -> None:
        """Cut all links of one who is gone."""
        world = self.world
        world.tell("fault", why)
        for (sender, _), link in world.network.links.items():
            if sender == name and link.up:
                world.network.cut(link, NOTICE_SECONDS)

    # ----------------------------------------------------------------------------------------------------------------------- members

    def leading(self) -> list[ReplicaActor]:
        """Return who leads, as far as each knows, and could be asked."""
        return [actor for actor in self.world.replicas if actor.alive and not actor.paused and actor.core.leader is not None]

    def change(self, actor: ReplicaActor, what: str, joiner: int, voter: int) -> bool:
        """Ask a leader to change the members; returns whether it began.

        Args:
            actor: leads.
            what: "add", "replace" or "remove".
            joiner: id of who is added, or takes a place.
            voter: id of who is removed, or replaced.
        """
        world, reconfiguration = self.world, actor.core.reconfiguration
        assert reconfiguration is not None
        if what == "remove" and not world.options.core.durable:  # who forgot is gone for good, and the leader may not have noticed a death yet
            told = actor.core.node.configuration
            if voter not in told.voters or not self._can_do_without(-1, told.without(voter), self._sound()):
                return False
        try:
            if what == "remove":
                reconfiguration.remove(voter)
            else:
                reconfiguration.add(joiner, f"r{joiner}", voter if what == "replace" else -1)
        except ChangeRefused as refused:
            world.tell("fault", f"{actor.name} refuses to {what}: {refused}")
            return False
        world.network.count("changes")
        world.tell("fault", f"{actor.name} begins to {what}: {reconfiguration.wanted}")
        self._note("change", (actor.name,), 0.0, (what, joiner, voter))
        actor.wake()
        return True

    def hand_over(self, actor: ReplicaActor) -> bool:
        """Ask a leader to let another replica lead; returns whether there is one that can."""
        world = self.world
        began = actor.core.hand_over()
        if began:
            world.network.count("hand overs")
            world.tell("fault", f"{actor.name} hands over")
            self._note("hand over", (actor.name,))
            actor.wake()
        return began

    def _change_again(self, fault: Fault) -> None:
        world = self.world
        what, joiner, voter = fault.how
        assert isinstance(joiner, int)
        assert isinstance(voter, int)
        leading = sorted(self.leading(), key=lambda actor: actor.name != fault.whom[0])
        if not (leading and self.change(leading[0], str(what), joiner, voter)) and world.now + AGAIN_SECONDS < world.calm_at:
            world.at(world.now + AGAIN_SECONDS, lambda: self._change_again(fault))
