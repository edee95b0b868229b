"""Faults as they strike: each at its time, on whom the schedule says, and lifted again.

A strike that is cut short, because the run ends, is lifted too: a stopped process could not even be asked to end.
"""

from __future__ import annotations

import random
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import attrs
import trio

from triskele.chaos.disks import broken, empty, fill, slowed
from triskele.chaos.nemeses import ENDING, NEMESES, effects, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from triskele.chaos.network import Network
    from triskele.chaos.schedule import Fault
    from triskele.child import Child
    from triskele.cluster import LocalCluster

_FILL_SECONDS = 0.02
_FELT_SECONDS = 2.0
_ENDING_SECONDS = 0.05
_BLAME_SECONDS = 2.0
"""A process may end so long after a fault that ended it was lifted."""


@attrs.define(kw_only=True)
class Strike:
    """What became of a fault; times are seconds after the load began.

    Attributes:
        hit: Replicas it hit.
        touched: What felt it: processes, or pieces of data and connections; 0: it proved nothing.
    """

    fault: Fault
    hit: tuple[int, ...] = ()
    began: float = 0.0
    ended: float = 0.0
    touched: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it for the report."""
        return {**attrs.asdict(self, filter=attrs.filters.exclude("fault")), "fault": self.fault.as_json(), "hit": list(self.hit)}


@attrs.frozen(kw_only=True)
class Ending:
    """The end of a replica's process: when (seconds after the load began), how in words, and whether a fault explains it."""

    replica: int
    at: float
    words: str
    expected: bool


class Striker:
    """Strikes by a schedule.

    Args:
        cluster: Whose processes.
        network: Between them and their clients.
        schedule: The faults.
        seed: Of what the schedule leaves open.
        say: Takes a line for the user.

    Attributes:
        strikes: Those that began, in this order.
        endings: Of processes.
    """

    def __init__(self, cluster: LocalCluster, network: Network, schedule: Sequence[Fault], seed: int, say: Callable[[str], None]) -> None:
        self.strikes: list[Strike] = []
        self.endings: list[Ending] = []
        self._cluster = cluster
        self._network = network
        self._schedule = schedule
        self._chance = random.Random(f"strikes/{seed}")
        self._say = say
        self._replicas = [place.id for place in cluster.file.replicas]
        self._start = 0.0

    async def run(self) -> None:
        """Strike with every fault; returns when the last one is lifted."""
        self._start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for fault in self._schedule:
                nursery.start_soon(self._strike, fault)

    async def watch(self, replica: int) -> None:
        """Take note of every end of a replica's process, until cancelled."""
        known: object = None
        while True:
            child = self._cluster.keepers[replica].child
            if child is None or child is known:
                await trio.sleep(_ENDING_SECONDS)
                continue
            await child.ended.wait()
            known = child
            at = self._now()
            self.endings.append(Ending(replica=replica, at=round(at, 3), words=child.ending(), expected=self._explained(replica, at)))

    def _explained(self, replica: int, at: float) -> bool:
        """Whether a fault that ends processes was on a replica just now, the last such one; a full disk ends it more than once."""
        fatal = [strike for strike in self.strikes if strike.fault.nemesis in ENDING and replica in strike.hit]
        for strike in reversed(fatal):
            if strike.began <= at <= (strike.ended or at) + _BLAME_SECONDS:
                if NEMESES[strike.fault.nemesis].where == "disk":
                    strike.touched += 1
                return True
        return False

    # ------------------------------------------------------------------------------------------------------------------ one fault

    async def _strike(self, fault: Fault) -> None:
        await trio.sleep_until(self._start + fault.at)
        strike = Strike(fault=fault, hit=self._whom(fault.target), began=round(self._now(), 3))
        self.strikes.append(strike)
        self._say(f"{strike.began:6.1f} s  {fault.words()}, for {fault.lasts:.1f} s: replica {', '.join(map(str, strike.hit))}")
        lasting = {
            "kill": self._kill, "pause": self._pause, "slow-disk": self._slow_disk, "disk-error": self._disk_error, "disk-full": self._disk_full,
            "flaky": self._flaky, "reorder": self._reorder,
        }.get(fault.nemesis, self._alter)  # fmt: skip
        try:
            with trio.move_on_at(self._start + fault.ends):
                await lasting(strike)
        finally:
            strike.ended = round(self._now(), 3)
            if NEMESES[fault.nemesis].where == "network":
                self._network.lift(fault.number)
                strike.touched = self._network.touched[fault.number]

    def _whom(self, target: str) -> tuple[int, ...]:
        if target == "all":
            return tuple(self._replicas)
        leader = self._cluster.file.leader
        if target == "follower":
            return (self._chance.choice([replica for replica in self._replicas if replica != leader]),)
        if target == "leader":
            return (self._chance.choice(self._replicas) if leader is None else leader,)
        return tuple(map(int, target.split(",")))

    async def _kill(self, strike: Strike) -> None:
        keepers = [self._cluster.keepers[replica] for replica in strike.hit]
        for keeper in keepers:
            strike.touched += keeper.alive
            keeper.kill(restart=False)
        try:
            await trio.sleep_forever()
        finally:
            for keeper in keepers:
                keeper.restart()

    async def _pause(self, strike: Strike) -> None:
        processes = [child.process for child in self._alive(strike.hit)]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        strike.touched = len(processes)
        try:
            await trio.sleep_forever()
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)

    async def _slow_disk(self, strike: Strike) -> None:
        children = self._alive(strike.hit)
        async with AsyncExitStack() as stack:
            if children:
                await stack.enter_async_context(slowed([child.pid for child in children], strike.fault.strength))
                strike.touched = len(children)
            await trio.sleep_forever()

    async def _disk_error(self, strike: Strike) -> None:
        """Break the disks under the processes there are; what is started meanwhile finds them mended.

        A fault may be shorter than strace takes to attach on a busy machine: it lasts until its processes have felt it.
        """
        children = self._alive(strike.hit)
        with trio.move_on_after(_FELT_SECONDS, shield=True):
            async with AsyncExitStack() as stack:
                if children:
                    await stack.enter_async_context(broken([child.pid for child in children]))
                for child in children:
                    await child.ended.wait()
        try:
            await trio.sleep_forever()
        finally:
            for replica in strike.hit:
                self._cluster.keepers[replica].restart()

    async def _disk_full(self, strike: Strike) -> None:
        """Fill the disks, also those of processes that are started meanwhile."""
        try:
            while True:
                for child in self._alive(strike.hit):
                    fill(child.pid)
                await trio.sleep(_FILL_SECONDS)
        finally:
            for child in self._alive(strike.hit):
                empty(child.pid)
            for replica in strike.hit:
                self._cluster.keepers[replica].restart()

    def _alive(self, replicas: Sequence[int]) -> list[Child]:
        return [self._cluster.children[replica] for replica in replicas if self._cluster.keepers[replica].alive]

    async def _alter(self, strike: Strike) -> None:
        fault = strike.fault
        self._network.put(fault.number, effects(fault.nemesis, strike.hit, self._replicas, fault.strength, outgoing=fault.outgoing))
        await trio.sleep_forever()

    async def _flaky(self, strike: Strike) -> None:
        ways = lines_of(strike.hit, self._replicas)
        while True:
            self._network.cut(strike.fault.number, [way for way in ways if self._chance.random() < 0.5])  # noqa: PLR2004
            await trio.sleep(strike.fault.strength * self._chance.uniform(0.5, 1.5))

    async def _reorder(self, strike: Strike) -> None:
        fault = strike.fault
        self._network.put(fault.number, effects(fault.nemesis, strike.hit, self._replicas, fault.strength, outgoing=True))
        ways = sorted(lines_of(strike.hit, self._replicas))
        while True:
            await trio.sleep(fault.strength * self._chance.uniform(1.0, 4.0))
            self._network.strand(fault.number, [self._chance.choice(ways)], lambda: self._chance.random() < 0.5)  # noqa: PLR2004

    def _now(self) -> float:
        return trio.current_time() - self._start
