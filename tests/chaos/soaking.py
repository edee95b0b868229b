"""A soak as it runs: cycles with one fault each, parts of several cycles between which all is still and the whole store is looked at.

In each cycle the workers of a ledger and the bulk of the load go on, a fault strikes and is over, and near its end the ledger's workers are held
and all their keys are read.  At the end of a part the bulk is held, too: then all replicas must be alike, every session is shown every key,
and the ledger forgets what is behind, so that this process stays as small as the others.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

import attrs
import trio

from loadgen.runner import LoadFailed
from replica.config import Settings
from tests.chaos.bulk import Bulk, Counted, Tally, run_bulk
from tests.chaos.checks import check_agreement, check_keys, show_all
from tests.chaos.faults import DECK, Cycle, draw
from tests.chaos.figures import silence
from tests.chaos.ledger import Outcome
from tests.chaos.load import Shape
from tests.chaos.memory import OURSELVES, Sample, bytes_of, take
from triskele.admin_client import AdminUnreachable, get

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.ledger import Command
    from tests.chaos.load import Load
    from triskele.chaos.network import Network
    from triskele.cluster import LocalCluster

CLOSES = 0.9
"""Of a cycle, when its load is held."""
PEAK_OF_CYCLE = 0.08
"""Of a cycle, in which the peak is measured at most: no fault strikes then."""
BULK_START_SECONDS = 2.0
"""What client processes take to start."""
SAMPLES_OF_CYCLE = 6
POLL_SECONDS = 0.1


def settings_of_soak() -> Settings:
    """Return the usual settings with bounds that are reached within minutes: what is bounded at 256 MiB would still grow after an hour."""
    return Settings().changed("soak", durability="disk", log_bytes_max=16 << 20, log_on_disk_bytes_max=16 << 20, log_level="warning")


@attrs.frozen(kw_only=True)
class Plan:
    """What is done.

    Attributes:
        seconds: Of load and faults.
        every: From one fault to the next.
        seed: Of faults and commands.
        replicas, settings, shape, bulk: The cluster and its load.
        kinds: Of faults, as ``DECK`` has them.
        share: Of the peak, that the bulk is.
        peak_seconds: How long the peak is measured, before all and then for each part: the machine is not alone with us.
        part: Cycles between two moments in which all is still.
        back_seconds: After a fault, until strong commands complete.
    """

    seconds: float = 3600.0
    every: float = 60.0
    seed: int = 1
    replicas: int = 3
    settings: Settings = attrs.Factory(settings_of_soak)
    shape: Shape = attrs.Factory(lambda: Shape(pause_seconds=1.0, probe_seconds=0.05, probes=128))
    bulk: Bulk = attrs.Factory(Bulk)
    kinds: tuple[tuple[str, str], ...] = DECK
    share: float = 0.5
    peak_seconds: float = 5.0
    part: int = 5
    back_seconds: float = 15.0

    @property
    def cycles(self) -> int:
        """How many faults."""
        return int(self.seconds // self.every)


@attrs.frozen(kw_only=True)
class Row:
    """A cycle.

    Attributes:
        number: From 1.
        at: When it ended, seconds after the load began.
        fault: In words, with why a leader did not hand over.
        kind: Of the fault, with whom it was drawn for.
        hit: Replicas it hit.
        lasted: Seconds.
        touched: What felt it; 0: nothing did.
        silence: The longest time without a strong completion among the ledger's commands.
        silence_at: When that began, seconds after the fault did.
        again: From the fault's end to the first completion of a strong command that was invoked after it; None if there was none.
        stall: The longest that this process was late: no silence here is told better than that.
        bulk: What came of the bulk's commands.
        bulk_rate: Its completions a second.
        bulk_ordered: What was ordered.
        ledger: ``{outcome: commands of the ledger}``.
        looked: Seconds that the looking took.
        processes: Of each replica that lives, and of this process.
        disk: Bytes of each replica's folder.
    """

    number: int
    at: float
    fault: str
    kind: str
    hit: tuple[int, ...]
    lasted: float
    touched: int
    silence: float
    silence_at: float
    again: float | None
    stall: float
    bulk: Counted
    bulk_rate: float
    bulk_ordered: float
    ledger: dict[str, int]
    looked: float
    processes: tuple[Sample, ...]
    disk: tuple[int, ...]

    def line(self) -> str:
        """Tell it."""
        again = "-" if self.again is None else f"{self.again * 1e3:.0f} ms"
        taken = "  ".join(
            f"{'self' if one.replica == OURSELVES else one.replica} {one.rss / 2**20:.0f} MiB/{one.age:.0f} s/{one.files} files"
            for one in self.processes
        )
        disk = "+".join(f"{size / 2**20:.0f}" for size in self.disk)
        return (
            f"{self.number:3} {self.at:6.0f} s  {self.fault}, {self.lasted:.1f} s, replica {','.join(map(str, self.hit)) or '-'}, felt {self.touched}"
            f" | silence {self.silence * 1e3:.0f} ms from {self.silence_at:+.1f} s, again after {again}, own stall {self.stall * 1e3:.0f} ms"
            f" | bulk {self.bulk_rate:,.0f} of {self.bulk_ordered:,.0f}/s, failed {self.bulk.failed}, unknown {self.bulk.unknown}"
            f" | ledger {', '.join(f'{count} {name}' for name, count in self.ledger.items())}, looked {self.looked:.1f} s | {taken} | disk {disk} MiB"
        )


class Soak:
    """One run's cycles.

    Attributes:
        rows: Of the cycles that are over.
        samples: Of memory.
        bulk: What came of the bulk in the parts that are over.
        peaks: Commands a second, measured at the beginning of each part.
    """

    def __init__(self, plan: Plan, cluster: LocalCluster, network: Network, load: Load, folder: Path) -> None:
        """Begin nothing yet.

        Args:
            plan: What to do.
            cluster: Whose.
            network: Between its replicas, and between them and the ledger's workers.
            load: With the ledger.
            folder: With the cluster's folders in ``cluster``.
        """
        self.rows: list[Row] = []
        self.samples: list[Sample] = []
        self.bulk = Counted()
        self.peaks: list[float] = []
        self._plan, self._cluster, self._network, self._load, self._folder = plan, cluster, network, load, folder
        self._faults = draw(plan.seed, plan.cycles, plan.every, plan.kinds)
        self._ledger = load.ledger
        self._start = self._began = trio.current_time()
        self._tally = Tally(plan.bulk.clients)
        self._told = Counted()  # of the part's bulk, in the rows so far

    async def go(self, took: Callable[[Row], None]) -> None:
        """Run all cycles; stop at the first after which a promise is broken. The ledger's workers run already.

        Args:
            took: Takes each row.
        """
        self._start = trio.current_time()
        plan = self._plan
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sample)
            for first in range(1, plan.cycles + 1, plan.part):
                await self._part(first, min(first + plan.part - 1, plan.cycles), took)
                if self._ledger.breaks:
                    break
            nursery.cancel_scope.cancel()

    async def _part(self, first: int, last: int, took: Callable[[Row], None]) -> None:
        """Run some cycles under one run of the bulk."""
        every = self._plan.every
        ended = trio.Event()
        seconds = (last - first + CLOSES) * every
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._bulk, trio.current_time() + seconds, first, ended)
            for number in range(first, last + 1):
                begin = trio.current_time()
                await self._cycle(number, ended if number == last else None, took)
                if self._ledger.breaks:
                    nursery.cancel_scope.cancel()
                    return
                await trio.sleep_until(begin + every)

    async def _bulk(self, until: float, number: int, ended: trio.Event) -> None:
        """Measure the peak, then send a share of it until a time, about."""
        plan, file = self._plan, self._cluster.file
        self._tally, self._told = Tally(plan.bulk.clients), Counted()
        seed = plan.seed * 1000 + number
        try:
            fastest = plan.bulk.settings(min(plan.peak_seconds, PEAK_OF_CYCLE * plan.every), rate=0.0, preload=False, seed=seed)
            self.peaks.append(await run_bulk(fastest, file, Tally(plan.bulk.clients), self._folder))
            seconds = max(1.0, until - trio.current_time() - BULK_START_SECONDS)
            ordered = plan.bulk.settings(seconds, rate=round(self.peaks[-1] * plan.share, 1), preload=False, seed=seed)
            await run_bulk(ordered, file, self._tally, self._folder)
        except LoadFailed as error:
            self._ledger.broken(f"the bulk of the load ended: {error}")
        self.bulk = self.bulk.plus(self._tally.counted)
        ended.set()

    # ------------------------------------------------------------------------------------------------------------------ a cycle

    async def _cycle(self, number: int, bulk_ended: trio.Event | None, took: Callable[[Row], None]) -> None:
        """Let a fault strike, then hold the ledger's workers and look at everything; ``bulk_ended``: the cycle ends its part."""
        plan, load, ledger = self._plan, self._load, self._ledger
        begin, before = trio.current_time(), {outcome: ledger.count(outcome) for outcome in Outcome if outcome is not Outcome.OPEN}
        cycle = Cycle(self._cluster, self._network, self._faults[number - 1], plan.seed * 1000 + number)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cycle.run)
            await trio.sleep_until(begin + CLOSES * plan.every)
            again, close = await self._served(cycle), trio.current_time()
            noticed = self._noticed(cycle, begin, close, again)
            await self._all_ready()
            await load.hold()
            if bulk_ended is not None:
                await bulk_ended.wait()
            await check_keys(load, plan.back_seconds)
            if bulk_ended is not None:
                await check_agreement(ledger, self._cluster.file)
                await show_all(load)
            nursery.cancel_scope.cancel()
        for words in cycle.unexplained():
            ledger.broken(words)
        row = Row(
            number=number, at=round(close - self._start, 1), looked=round(trio.current_time() - close, 2), **noticed, **self._counts(close - begin),
            ledger={outcome.value: ledger.count(outcome) - count for outcome, count in before.items()},
        )  # fmt: skip
        self.rows.append(row)
        took(row)
        if not ledger.breaks:
            ledger.forget(session.seen for session in load.sessions)
            if bulk_ended is not None:
                tidy()
        if number < plan.cycles:
            load.go_on()

    def _counts(self, seconds: float) -> dict[str, Any]:
        """Return what a row has of the bulk in a cycle's seconds, and of processes and folders."""
        bulk, told = self._tally.counted, self._told
        fresh = Counted(bulk.done - told.done, bulk.failed - told.failed, bulk.unknown - told.unknown)
        self._told = attrs.evolve(bulk)
        folders = [path for path in sorted((self._folder / "cluster").iterdir()) if path.is_dir()]
        return {
            "bulk": fresh, "bulk_rate": round(fresh.done / seconds, 1), "bulk_ordered": round(self.peaks[-1] * self._plan.share, 1),
            "processes": tuple(self._processes()), "disk": tuple(map(bytes_of, folders)),
        }  # fmt: skip

    async def _served(self, cycle: Cycle) -> float | None:
        """Wait until a strong command is done that was invoked after the fault; return how long after it, None if it took too long."""
        with trio.move_on_after(self._plan.back_seconds):
            await cycle.over.wait()
            assert cycle.strike is not None
            over = cycle.began + cycle.strike.ended
            while True:
                after = [command.returned for command in self._done(over) if command.invoked >= over]
                if after:
                    return min(after) - over
                await trio.sleep(POLL_SECONDS)
        return None

    def _done(self, since: float) -> list[Command]:
        """Return the ledger's strong commands that were done since a time."""
        return [command for command in self._ledger.commands if command.strong and command.outcome is Outcome.DONE and command.returned > since]

    def _noticed(self, cycle: Cycle, begin: float, close: float, again: float | None) -> dict[str, Any]:
        """Return what a cycle's fault was, and what the ledger's strong commands say of it."""
        longest, since = silence([begin, *sorted(command.returned for command in self._done(begin)), close], begin, close)
        late = max((late for when, late in self._load.stalls if when > begin), default=0.0)
        self._load.stalls.clear()
        strike = cycle.strike
        assert strike is not None
        if again is None or again > self._plan.back_seconds:
            took = "not at all" if again is None else f"only after {again:.1f} s"
            self._ledger.broken(f"not served: {strike.fault.words()}, over at {cycle.began + strike.ended:.6f}, strong commands again {took}")
        kind = f"{strike.fault.nemesis} of {strike.fault.target}"
        return {
            "fault": strike.fault.words() + (f" ({cycle.refusal})" if cycle.refusal else ""), "kind": kind, "hit": strike.hit,
            "lasted": strike.ended - strike.began, "touched": strike.touched, "again": again, "stall": late,
            "silence": longest, "silence_at": since - cycle.began - strike.began,
        }  # fmt: skip

    async def _all_ready(self) -> None:
        """Every replica must serve, long after the fault."""
        for place in self._cluster.file.replicas:
            with trio.move_on_after(self._plan.back_seconds) as waiting:
                while not await _is_ready(place.admin):  # noqa: ASYNC110 - another process
                    await trio.sleep(POLL_SECONDS)
            if waiting.cancelled_caught:
                self._ledger.broken(f"replica {place.id} is not ready {self._plan.back_seconds:g} s after a cycle's end")

    # ------------------------------------------------------------------------------------------------------------------ memory

    async def _sample(self) -> None:
        while True:
            await trio.sleep(self._plan.every / SAMPLES_OF_CYCLE)
            self.samples += self._processes()

    def _processes(self) -> list[Sample]:
        """Take a sample of every process that serves, and of this one."""
        now = trio.current_time() - self._start
        serving = [keeper.child for keeper in self._cluster.keepers.values() if keeper.listens and keeper.child is not None]
        found = [take(now, child.replica_id, child.pid, child.served_seconds()) for child in serving]
        found.append(take(now, OURSELVES, os.getpid(), trio.current_time() - self._began))
        return [sample for sample in found if sample is not None]


def tidy() -> None:
    """Let the collector walk now, while all is still, and not through what is left again before the next time."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def _is_ready(admin: str) -> bool:
    try:
        return (await get(admin, "/readyz")).status == 200
    except AdminUnreachable:
        return False
