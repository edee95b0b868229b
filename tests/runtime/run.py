"""One seed: a cluster under a workload, faults one after the other, and after each of them everything that must hold."""

from __future__ import annotations

import random
import traceback
from typing import TYPE_CHECKING

import attrs
import trio

from replica.core.client import ClientConfig
from replica.core.config import MODES, CoreConfig
from replica.storage.errors import StorageError
from tests.replica.storage.crashing_disk import CrashingDisk
from tests.runtime.catalogue import CATALOGUE, names_for, needs_disk
from tests.runtime.checkpoints import open_descriptors
from tests.runtime.stage import Stage
from tests.sim.certificate import Certificate
from tests.sim.graph import Graph
from tests.sim.history import Violation
from tests.sim.options import Options
from transport.errors import EndedEarly
from triskele.testing import cluster as memory_cluster
from triskele.testing import fault_points
from triskele.testing import run as run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.config import Durability
    from replica.storage.disk import Disk
    from tests.runtime.stage import ClientRun
    from triskele.testing import Cluster
    from triskele.testing.place import Fault
    from triskele.testing.tasks import Cancellation

FAULTS = 12
"""Of one run."""
COMMANDS = 12
"""Of each session, between two faults at most."""
CLIENTS_MAX = 3
QUIET_SECONDS = 120.0
"""Virtual time within which everything is complete when all is well again."""
STOP_SECONDS = 5.0
TASKS_MAX = 40
"""Of one replica: its own, and two for each link."""


@attrs.frozen
class Report:
    """What a run showed. Plain values: it travels between processes."""

    seed: int
    durability: str
    tried: tuple[str, ...] = ()
    struck: tuple[str, ...] = ()
    """Names of the faults that struck, in order."""
    failure: str = ""
    story: tuple[str, ...] = ()
    completed: int = 0
    digest: int = 0
    """Of all frames: equal for equal runs."""
    reached: tuple[tuple[str, int], ...] = ()
    """How often each fault point was passed."""


def draw(seed: int, names: Sequence[str]) -> Options:
    """Draw what a run is like; faults of disks need some, and a witness that holds commands a mode that has one."""
    rng = random.Random(f"runtime {seed}")
    mode = rng.choice(("ho", "curp") if any("holding" in name for name in names) else (*MODES, "ho", "ho"))
    durable = rng.random() < 0.4 or any(map(needs_disk, names))
    return Options(
        seed=seed, mode=mode, replicas=3, clients=rng.randint(1, 2), sessions=rng.randint(1, 2), keys=rng.randint(1, 4), commands=COMMANDS,
        depth=rng.choice((1, 4, 8)), burst=rng.choice((1, 3)), think_seconds=rng.choice((0.0, 0.002, 0.02)),
        sync_seconds=rng.choice((0.0, 0.001, 0.006)) if durable else 0.0,
        core=CoreConfig(id=0, voters=(0, 1, 2), mode=mode, durable=durable), client=ClientConfig(voters=(0, 1, 2), mode=mode),
    )  # fmt: skip


class Run:
    """A running run.

    Attributes:
        expected: {replica: the exception planned for it; None: it may end as by a cancellation}.
        plan: the latest, if the latest fault waits for its moment.
        struck: the latest fault did.
        ended: replicas that were killed or asked to stop.
        struck_dying: replicas that met the fault in a life that was being ended anyway.
    """

    def __init__(self, options: Options, cluster: Cluster, stage: Stage, disks: dict[int, CrashingDisk], nursery: trio.Nursery) -> None:
        self.options = options
        self.cluster = cluster
        self.stage = stage
        self.disks = disks
        self.rng = random.Random(f"faults {options.seed}")
        self.durable = options.core.durable
        self.expected: dict[int, Exception | None] = {}
        self.plan: Fault | Cancellation | None = None
        self.struck = False
        self._stopping: list[trio.Event] = []
        self.ended: set[int] = set()
        self.struck_dying: set[int] = set()
        self._nursery = nursery

    # --------------------------------------------------------------------------------------------------------------- for the faults

    def pick(self, what: str = "") -> int:
        """Choose whom it strikes: whoever leads, half of the times; the replica with the lowest id never dials."""
        alive = self.cluster.alive
        among = [replica for replica in alive if replica > min(self.cluster.seats)] if "dial" in what else alive
        leader = self.cluster.leader
        return leader if leader in among and self.rng.random() < 0.5 else self.rng.choice(among)

    def others(self, replica: int) -> list[str]:
        """Name all ends of the network but one replica's."""
        return [f"r{other}" for other in self.cluster.seats if other != replica] + [f"client{client.index}" for client in self.stage.clients]

    @property
    def latest_client(self) -> ClientRun:
        return self.stage.clients[-1]

    async def begin_anew(self, replica: int) -> None:
        """Kill a replica and start it again."""
        self.expected.setdefault(replica, None)
        await self.cluster.kill(replica)
        if self.plan is not None and self.plan.struck:
            self.struck_dying.add(replica)
        await self.cluster.restart(replica)

    async def kill(self, replica: int) -> None:
        """SIGKILL."""
        self.expected.setdefault(replica, None)
        self.ended.add(replica)
        await self.cluster.kill(replica)

    def ask_to_stop(self, replica: int) -> None:
        """SIGTERM; before it handles signals, that is as SIGKILL."""
        seat = self.cluster.seats[replica]
        self.ended.add(replica)
        self._stopping.append(seat.ended)
        if seat.server is None:
            self.cluster.kill(replica)
        else:
            self.cluster.stop(replica)

    async def await_stops(self) -> None:
        """Wait until those are gone that were asked to stop, within their own limits."""
        stopping, self._stopping = self._stopping, []
        with trio.move_on_after(STOP_SECONDS):
            for ended in stopping:
                await ended.wait()
            return
        raise Violation(f"a replica has not stopped within {STOP_SECONDS} s")

    async def stop(self, replica: int) -> None:
        """SIGTERM, and wait until it is gone."""
        self.ask_to_stop(replica)
        await self.await_stops()

    def busy(self) -> None:
        """Let programs that live have something to do."""
        for client in self.stage.clients:
            if client.alive:
                for program in client.programs:
                    program.left = max(program.left, self.rng.randint(2, COMMANDS))
                client.news.set()

    def calm(self) -> None:
        """End what the network and the disks do."""
        fabric = self.cluster.fabric
        fabric.heal()
        fabric.drop(0)
        fabric.duplicate(0)
        fabric.reorder(0)
        fabric.delay(0, 0)
        for replica in self.cluster.seats:
            self.cluster.slow_disk(replica, self.options.sync_seconds)

    def begin_client(self) -> None:
        """Let another client come, and the one that has been there for the longest time leave if they are too many."""
        alive = [client for client in self.stage.clients if client.alive]
        if len(alive) >= CLIENTS_MAX:
            alive[0].scope.cancel()
        client = self.stage.add_client(self.options.sessions, self.options.commands)
        self._nursery.start_soon(client.run, self.cluster)

    # -------------------------------------------------------------------------------------------------------------- after each fault

    async def settle(self) -> None:
        """Judge the ends of replicas and clients, end the fault, let the dead come back, and look at everything.

        Raises:
            Violation: a promise was broken.
        """
        await trio.sleep(self.rng.uniform(0, 0.2))
        self.calm()
        await self._need_what_failed()
        for replica in self.cluster.seats:
            self._judge_exit(replica)
        self._judge_clients()
        self.plan = None
        self.expected.clear()
        self.ended.clear()
        self.struck_dying.clear()
        for replica in self.cluster.seats:
            self.cluster.resume(replica)
            if replica not in self.cluster.alive:
                self._judge_leaks(replica)
                await self.cluster.restart(replica)
        try:
            await self.cluster.ready()
        except trio.TooSlowError as error:
            for replica in self.cluster.seats:
                self._judge_exit(replica)
            raise Violation(f"liveness: {error.__notes__}") from None
        if not self.latest_client.alive:
            self.begin_client()
        self.stage.deep()

    async def _need_what_failed(self) -> None:
        """A disk that refuses the next segment of a log, made ahead, ends its replica when the segment is needed: let it be."""
        for replica, server in self.cluster.servers.items():
            log, planned = server.persistence.log, self.expected.get(replica)
            preparation = log._row._preparation if log is not None else None
            failure = preparation.failure if preparation is not None else None
            if planned is not None and failure is not None and failure.__cause__ is planned:
                server.persistence._snapshot_begun_at -= 1 << 20  # a snapshot begins a segment
                with trio.move_on_after(STOP_SECONDS):
                    await self.cluster.wait_exited(replica)

    def _judge_exit(self, replica: int) -> None:
        """What ended a replica is what was planned, by whatever name the layers between gave it."""
        exit_ = self.cluster.exited(replica)
        planned = self.expected.get(replica)
        if exit_ is None:
            if planned is not None and self.struck and replica not in self.struck_dying:
                what = "lives on" if replica in self.cluster.alive else "ended as if nothing had been"
                raise Violation(f"replica {replica} {what} after {planned!r}")
            if replica not in self.cluster.alive and replica not in self.ended:
                raise Violation(f"replica {replica} is dead, and nobody killed it or asked it to stop")
            return
        self.stage.tell(f"r{replica}", f"ended: {exit_!r}")
        reasons = list(_causes(exit_))
        if planned in reasons or (isinstance(planned, OSError) and all(isinstance(one, StorageError) for one in _leaves(exit_))):
            return
        if replica in self.expected and isinstance(exit_, EndedEarly):
            return
        raise Violation(f"replica {replica} ended, planned was {planned!r}: " + "".join(traceback.format_exception(exit_)))

    def _judge_clients(self) -> None:
        tasks = self.cluster.tasks
        for client in self.stage.clients:
            failure, client.failure = client.failure, None
            reasons = list(_causes(failure))
            if failure is not None and client.planned not in reasons and not (client.cancelled and any(isinstance(it, EndedEarly) for it in reasons)):
                raise Violation(f"client {client.index} ended: " + "".join(traceback.format_exception(failure)))
            if client.alive and client.planned is not None and self.struck:
                raise Violation(f"client {client.index} lives on after {client.planned!r}")
            if not client.alive and (left := tasks.get(f"client{client.index}")):
                raise Violation(f"client {client.index} is gone and left tasks: {left}")
            client.planned, client.cancelled = None, False

    def _judge_leaks(self, replica: int) -> None:
        left = self.cluster.tasks[f"r{replica}"]
        if left:
            raise Violation(f"replica {replica} is dead and left tasks: {left}")

    # ------------------------------------------------------------------------------------------------------------------ at the end

    async def finish(self) -> None:
        """Let everything complete, and judge the whole history.

        Raises:
            Violation: a promise was broken.
        """
        left = "not looked at"
        with trio.move_on_after(QUIET_SECONDS):
            while left := self.stage.observer.what_is_left():  # noqa: ASYNC110 - the observer looks, nobody tells it
                await trio.sleep(0.02)
        if left:
            raise Violation(f"liveness: {left}")
        self.stage.deep()
        certificate = Certificate(self.stage)  # type: ignore[arg-type]
        certificate.check()
        Graph(certificate).check()
        for replica in self.cluster.alive:
            tasks = self.cluster.tasks[f"r{replica}"]
            if len(tasks) > TASKS_MAX:
                raise Violation(f"replica {replica} has {len(tasks)} tasks: {tasks}")


def _leaves(error: BaseException) -> list[BaseException]:
    """Return what is in a group, or what is none."""
    return [leaf for one in error.exceptions for leaf in _leaves(one)] if isinstance(error, BaseExceptionGroup) else [error]


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return an exception, those inside it and those before it."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__]
            if isinstance(one, BaseExceptionGroup):
                waiting += one.exceptions
    return found


def run(seed: int, names: Sequence[str] | None = None) -> Report:
    """Run one seed; never raises for what the cluster did.

    Args:
        seed: decides everything that is not given.
        names: of the faults to be tried; None: the seed's.
    """
    names = names_for(seed, FAULTS) if names is None else names
    options = draw(seed, names)
    stage = Stage(options)
    durability: Durability = "disk" if options.core.durable else "memory"
    struck: list[str] = []
    told = Report(seed, durability, tuple(names))
    descriptors = open_descriptors()

    async def main() -> None:
        nonlocal told
        disks: dict[int, CrashingDisk] = {}

        def disk(replica: int) -> Disk:
            return disks.setdefault(replica, CrashingDisk(random.Random(f"disk {seed} {replica}")))

        async with (
            memory_cluster(
                3, seed=seed, mode=options.mode, durability=durability, disk=disk, sync_seconds=options.sync_seconds, on_start=stage.on_start
            ) as cluster,
            trio.open_nursery() as nursery,
        ):
            running = Run(options, cluster, stage, disks, nursery)
            for _ in range(options.clients):
                running.begin_client()
            for name in names:
                stage.tell("world", name)
                running.busy()
                await trio.sleep(running.rng.uniform(0, 0.03))
                running.struck = await CATALOGUE[name](running)
                if running.struck:
                    struck.append(name)
                await running.settle()
            await running.finish()
            nursery.cancel_scope.cancel()
            passed = {point: cluster.reached(point) for point in fault_points()}
            told = attrs.evolve(told, digest=cluster.fabric.digest, reached=tuple(passed.items()))

    failure = "the run ended before it was over"
    try:
        run_in_virtual_time(main, seed=seed)
        if told.reached:
            failure = ""
        if (now := open_descriptors()) != descriptors:
            failure = f"descriptors leaked: {descriptors} before, {now} after"
    except BaseException as error:  # noqa: BLE001 - whatever leaves a run is its failure
        if any(isinstance(cause, KeyboardInterrupt) for cause in _causes(error)):
            raise KeyboardInterrupt from None
        failure = "".join(traceback.format_exception(error))
    return attrs.evolve(told, struck=tuple(struck), failure=failure, story=tuple(stage.story) if failure else (), completed=stage.history.completed)
