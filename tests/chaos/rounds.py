"""The rounds of a run that kills replicas: whom, how long until all is well again, and what is looked at then.

What must not live here: what a promise is (``ledger``), what users noticed (``figures``), processes' lives (``triskele.cluster``).
"""

from __future__ import annotations

import gc
import random
from typing import TYPE_CHECKING, Literal

import attrs
import trio

from tests.chaos.checks import check_agreement, check_keys
from tests.chaos.figures import AROUND_SECONDS, Figures, Kill, figures_of, line
from tests.chaos.ledger import Outcome
from tests.chaos.load import Load, Shape
from triskele.admin_client import AdminUnreachable, get, get_status
from triskele.cluster_status import gather_status
from triskele.leadership import Leading, find_leader

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.config import Settings
    from triskele.cluster import LocalCluster

Victim = Literal["leader", "follower", "all", "mix"]

MIX: tuple[Victim, ...] = ("leader", "follower", "all")
READY_ASK_SECONDS = 0.5


class Stuck(Exception):
    """The cluster did not come back in time; the message is one line."""


@attrs.frozen(kw_only=True)
class Plan:
    """What is done.

    Attributes:
        rounds: Kills.
        victim: Of whom.
        order: Whom in which round, instead of ``victim``.
        between_seconds: Mean time between a recovery and the next kill.
        after_seconds: Least time of load between them, which the rates after it are taken from.
        steady_seconds: Of load before the first kill.
        restart_seconds: The supervisor's pause before it starts a dead replica.
        back_seconds: Time for strong commands to complete again, and for each replica to be ready.
        replicas, settings, shape: The cluster and the load.
        seed: Of victims and pauses.
    """

    rounds: int
    victim: Victim
    settings: Settings
    order: tuple[Victim, ...] = ()
    replicas: int = 3
    between_seconds: float = 3.0
    after_seconds: float = AROUND_SECONDS
    steady_seconds: float = AROUND_SECONDS
    restart_seconds: float = 1.0
    back_seconds: float = 20.0
    shape: Shape = attrs.Factory(Shape)
    seed: int = 1

    def refusal(self) -> str:
        """Say why this cannot be done; nothing if it can."""
        if self.settings.durability == "memory" and self.victim in ("all", "mix"):
            return "with memory durability nothing outlives the death of all: kill leaders or followers"
        if self.replicas < 3:
            return f"of {self.replicas} replicas none can be missed"
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
            await trio.sleep(self._plan.steady_seconds)
            self._say(f"sessions by home: {dict(sorted(self._load.homes().items()))}")
            for number in range(1, self._plan.rounds + 1):
                await self._round(number)
                if self._ledger.breaks:
                    break
            await self._check()
            nursery.cancel_scope.cancel()

    async def _round(self, number: int) -> None:
        """Kill once, wait until all is well again, and work the figures out."""
        plan, cluster, ledger = self._plan, self._cluster, self._ledger
        victim = plan.order[number - 1] if plan.order else plan.victim
        if victim == "mix":
            victim = self._chance.choice(MIX)
        killed, view = await self._choose(victim)
        old = {replica: cluster.keepers[replica].child for replica in killed}
        mark, in_flight = len(ledger.commands), self._load.in_flight
        first = next((place for place in range(mark - 1, -1, -1) if ledger.commands[place].invoked < trio.current_time() - 2 * AROUND_SECONDS), 0)
        at = trio.current_time()
        for replica in killed:
            cluster.kill(replica)
        times: list[tuple[float, float]] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._served, mark, at)
            for replica in killed:
                nursery.start_soon(self._returned, replica, old[replica], view, times)
        back = trio.current_time()
        if victim == "all":
            await self._check()
            self._load.go_on()
        await trio.sleep(max(plan.after_seconds, plan.between_seconds * (0.5 + self._chance.random())))
        kill = Kill(
            number=number, victim=victim, killed=killed, at=at, back=back, until=trio.current_time(), first_command=first,
            in_flight=in_flight, started=max(started for started, _ in times) - at, ready=max(ready - started for started, ready in times),
        )  # fmt: skip
        self.rows.append(figures_of(kill, ledger.commands, self._load.stalls))
        self._say(line(self.rows[-1]))
        gc.freeze()  # the ledger only grows: a collection that walks through all of it holds this process up for a second

    # ------------------------------------------------------------------------------------------------------------------ victims

    async def _choose(self, victim: str) -> tuple[tuple[int, ...], int]:
        """Return whom to kill, in the order to do it in, and the view that they leave."""
        leading = await self._leader()
        if victim == "leader":
            return (leading.id,), leading.view
        ids = [place.id for place in self._cluster.file.replicas]
        self._chance.shuffle(ids)
        if victim == "all":
            return tuple(ids), leading.view
        return (next(replica for replica in ids if replica != leading.id),), leading.view

    async def _leader(self) -> Leading:
        with trio.move_on_after(self._plan.back_seconds):
            while True:
                leading = find_leader(self._cluster.file, await gather_status(self._cluster.file, 2.0))
                if leading is not None:
                    return leading
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

    async def _returned(self, replica: int, old: object, view: int, times: list[tuple[float, float]]) -> None:
        """Wait until a killed replica is what it was; note when it had a new process, and when it was ready."""
        with trio.move_on_after(self._plan.restart_seconds + self._plan.back_seconds):
            while True:  # asking a port whose process is about to die may take the whole time an answer may
                if self._cluster.keepers[replica].child is not old:
                    break
                await trio.sleep(0.005)
            started = trio.current_time()
            await self._ready(replica)
            times.append((started, trio.current_time()))
            if self._plan.settings.durability == "memory":
                await self._counts_again(replica, view)
            return
        raise Stuck(f"replica {replica} was not ready {self._plan.back_seconds:g} s after its start")

    async def _counts_again(self, replica: int, view: int) -> None:
        """Wait until a replica that forgot what it had acknowledged votes and acknowledges again.

        That is so when it has applied something of a higher view than the one it died in; until then another death would be one too many, and
        ``/readyz`` does not tell.
        """
        upto = -1
        while upto < 0 or await self._applied(replica) <= upto:
            leading = await self._leader()
            if upto < 0 and leading.view > view:
                await self._ready(leading.id)  # the view is open: what comes behind is its own
                upto = await self._applied(leading.id)
            await trio.sleep(0.05)

    async def _applied(self, replica: int) -> int:
        try:
            return int((await get_status(self._cluster.file.replica(replica).admin))["applied"])
        except AdminUnreachable:
            return -1

    async def _ready(self, replica: int) -> None:
        admin = self._cluster.file.replica(replica).admin
        while True:
            try:
                if (await get(admin, "/readyz", timeout=READY_ASK_SECONDS)).status == 200:
                    return
            except AdminUnreachable:
                pass  # not up yet
            await trio.sleep(0.02)

    async def _check(self) -> None:
        """Hold the load and compare the whole store with the ledger, and the replicas with each other."""
        await self._load.hold()
        await check_keys(self._load, self._plan.back_seconds)
        await check_agreement(self._ledger, self._cluster.file)
