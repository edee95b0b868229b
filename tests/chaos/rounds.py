"""The rounds of a run that kills replicas: whom, how long until all is well again, and what is looked at then.

What must not live here: what a promise is (``ledger``), what users noticed (``figures``), processes' lives (``triskele.cluster``).
"""

from __future__ import annotations

import gc
import random
from typing import TYPE_CHECKING, Literal

import attrs
import trio

from tests.chaos.figures import AROUND_SECONDS, Figures, Kill, figures_of, line
from tests.chaos.ledger import Outcome
from tests.chaos.load import Load, Shape
from triskele.admin_client import AdminUnreachable, get
from triskele.agreement import compare_states
from triskele.client import Unavailable
from triskele.cluster_status import gather_status
from triskele.leadership import find_leader

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.cluster_file import ClusterFile
    from replica.config import Settings
    from triskele.cluster import LocalCluster

Victim = Literal["leader", "follower", "all", "mix"]

STEADY_SECONDS = 2.0
"""Of load before the first kill."""
READS_AT_ONCE = 64
READY_ASK_SECONDS = 0.5


class Stuck(Exception):
    """The cluster did not come back in time; the message is one line."""


@attrs.frozen(kw_only=True)
class Plan:
    """What is done.

    Attributes:
        rounds: Kills.
        victim: Of whom.
        between_seconds: Mean time between a recovery and the next kill.
        restart_seconds: The supervisor's pause before it starts a dead replica.
        back_seconds: Time for strong commands to complete again, and for each replica to be ready.
        replicas, settings, shape: The cluster and the load.
        seed: Of victims and pauses.
    """

    rounds: int
    victim: Victim
    settings: Settings
    replicas: int = 3
    between_seconds: float = 3.0
    restart_seconds: float = 1.0
    back_seconds: float = 20.0
    shape: Shape = attrs.Factory(Shape)
    seed: int = 1

    def refusal(self) -> str:
        """Say why this cannot be done; nothing if it can."""
        spare = (self.replicas - 1) // 2
        if self.settings.durability == "memory" and (self.victim in ("all", "mix") or self.rounds > spare):
            return f"with memory durability the dead stay dead: of {self.replicas} replicas {spare} can be killed, one a round, leader or follower"
        return ""


class Run:
    """One run: the cluster, the load, the rounds."""

    def __init__(self, plan: Plan, cluster: LocalCluster, load: Load, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._cluster = cluster
        self._load = load
        self._ledger = load.ledger
        self._say = say
        self._chance = random.Random(plan.seed)
        self.rows: list[Figures] = []

    async def go(self) -> None:
        """Run all rounds; stop at the first after which a promise is broken.

        Raises:
            Stuck: The cluster did not come back.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._load.run)
            await trio.sleep(STEADY_SECONDS)
            self._say(f"sessions by home: {dict(sorted(self._load.homes().items()))}")
            for number in range(1, self._plan.rounds + 1):
                await self._round(number)
                if self._ledger.breaks:
                    break
            await self._check(still=True)
            nursery.cancel_scope.cancel()

    async def _round(self, number: int) -> None:
        """Kill once, wait until all is well again, and work the figures out."""
        plan, cluster, ledger = self._plan, self._cluster, self._ledger
        victim = self._chance.choice(("leader", "follower", "all")) if plan.victim == "mix" else plan.victim
        killed = await self._choose(victim)
        old = {replica: cluster.keepers[replica].child for replica in killed}
        mark, in_flight = len(ledger.commands), self._load.in_flight
        first = next((place for place in range(mark - 1, -1, -1) if ledger.commands[place].invoked < trio.current_time() - 2 * AROUND_SECONDS), 0)
        at = trio.current_time()
        for replica in killed:
            cluster.kill(replica)
        started = ready = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._served, mark, at)
            if plan.settings.durability == "disk":
                times = [await self._returned(replica, old[replica], at) for replica in killed]
                started, ready = max(times)
        back = trio.current_time()
        if victim == "all":
            await self._check()
        await trio.sleep(max(AROUND_SECONDS, plan.between_seconds * (0.5 + self._chance.random())))
        kill = Kill(
            number=number, victim=victim, killed=killed, at=at, back=back, until=trio.current_time(), first_command=first,
            in_flight=in_flight, started=started, ready=ready,
        )  # fmt: skip
        self.rows.append(figures_of(kill, ledger.commands, self._load.stalls))
        self._say(line(self.rows[-1]))
        gc.freeze()  # the ledger only grows: a collection that walks through all of it holds this process up for a second

    # ------------------------------------------------------------------------------------------------------------------ victims

    async def _choose(self, victim: str) -> tuple[int, ...]:
        """Return whom to kill, in the order to do it in."""
        if victim == "all":
            ids = [place.id for place in self._cluster.file.replicas]
            self._chance.shuffle(ids)
            return tuple(ids)
        leader = await self._leader()
        if victim == "leader":
            return (leader,)
        return (self._chance.choice([replica for replica in sorted(self._cluster.alive) if replica != leader]),)

    async def _leader(self) -> int:
        with trio.move_on_after(self._plan.back_seconds):
            while True:
                leading = find_leader(self._cluster.file, await gather_status(self._cluster.file, 2.0))
                if leading is not None:
                    return leading.id
                await trio.sleep(0.05)
        raise Stuck(f"nobody led for {self._plan.back_seconds:g} s")

    # ------------------------------------------------------------------------------------------------------------------ coming back

    async def _served(self, mark: int, at: float) -> None:
        """Wait until a strong command is done that was invoked after the kill."""
        commands = self._ledger.commands
        with trio.move_on_after(self._plan.back_seconds):
            while True:
                if any(command.strong and command.outcome is Outcome.DONE and command.invoked >= at for command in commands[mark:]):
                    return
                await trio.sleep(0.02)
        raise Stuck(f"no strong command was done within {self._plan.back_seconds:g} s of the kill")

    async def _returned(self, replica: int, old: object, at: float) -> tuple[float, float]:
        """Wait until a killed replica is ready; return the seconds from the kill to its new process, and from there on."""
        with trio.move_on_after(self._plan.restart_seconds + self._plan.back_seconds):
            while True:  # asking a port whose process is about to die may take the whole time an answer may
                if self._cluster.keepers[replica].child is not old:
                    break
                await trio.sleep(0.005)
            started = trio.current_time()
            await self._ready(replica)
            return started - at, trio.current_time() - started
        raise Stuck(f"replica {replica} was not ready {self._plan.back_seconds:g} s after its start")

    async def _ready(self, replica: int) -> None:
        admin = self._cluster.file.replica(replica).admin
        while True:
            try:
                if (await get(admin, "/readyz", timeout=READY_ASK_SECONDS)).status == 200:
                    return
            except AdminUnreachable:
                pass
            await trio.sleep(0.02)

    # ------------------------------------------------------------------------------------------------------------------ checks

    async def _check(self, *, still: bool = False) -> None:
        """Hold the load and compare the whole store with the ledger, and the replicas with each other.

        Args:
            still: Leave the load held.
        """
        ledger = self._ledger
        await self._load.hold()
        limit = trio.CapacityLimiter(READS_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for key in [*ledger.registers, *ledger.counters]:
                nursery.start_soon(self._check_key, key, limit)
        agreement = await compare_states(self._living())
        if agreement.verdict != "equal":
            ledger.broken(f"the replicas do not converge: {agreement.verdict} {agreement.why} {agreement.hashes}")
        if not still:
            self._load.go_on()

    async def _check_key(self, key: bytes, limit: trio.CapacityLimiter) -> None:
        async with limit:
            try:
                value, version = await self._load.checker.get(key, with_version=True, timeout=self._plan.back_seconds)
            except Unavailable as error:
                self._ledger.broken(f"{key!r} could not be read at a check: {error}")
                return
        if key in self._ledger.registers:
            self._ledger.judge_register(self._ledger.registers[key], value, version)
        else:
            self._ledger.judge_counter(self._ledger.counters[key], value)

    def _living(self) -> ClusterFile:
        """Return the cluster without those that stay dead."""
        file = self._cluster.file
        return attrs.evolve(file, replicas=tuple(place for place in file.replicas if place.id in self._cluster.alive))
