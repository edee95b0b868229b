"""A cluster in one nursery: real replicas and real clients; only sockets, threads and processes are missing."""

from __future__ import annotations

import os
import tempfile
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import attrs
import trio

from replica.client_driver import ClientSettings, open_client
from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.config import Settings
from replica.surroundings import Surroundings
from transport.fabric import Fabric
from triskele.calls import on_completions
from triskele.client import Store, open_store
from triskele.testing.place import Fault, Place, always, here, listen_to_fault_points, raising
from triskele.testing.points import POINTS
from triskele.testing.schedule import seed_schedule
from triskele.testing.seat import Seat
from triskele.testing.tasks import TASKS, Cancellation, TaskWatch, task_names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator

    from replica.client_driver import ClientDriver, OnCompletions
    from replica.config import Durability, Mode
    from replica.server import Server
    from replica.storage.disk import Disk

SYNCED_AT_ONCE = Path("/dev/shm")  # noqa: S108 - only folders that tempfile makes are made there
"""Where temporary folders are made if there is such a place: what is lost with the power cannot be shown in one process, so syncs need not wait."""
LOOK_SECONDS = 0.02
"""How often a wait looks again; virtual time costs nothing."""


@attrs.frozen
class Ending:
    """The end of a replica that was killed; may be awaited."""

    _ended: trio.Event

    def __await__(self) -> Generator[object, object, None]:
        """Wait until it is dead."""
        return self._ended.wait().__await__()


class Cluster:
    """A running cluster; made by ``cluster``.

    Replicas are called by their ids, 0 to n - 1; in the fabric they are ``r0``, ``r1``, …, and clients ``client0``, ``client1``, … in the order
    in which they connected.

    Attributes:
        fabric: the network, with its faults.
        file: the cluster as a cluster file has it.
        seats: where the replicas live.
    """

    def __init__(self, file: ClusterFile, fabric: Fabric, nursery: trio.Nursery, watch: TaskWatch, seed: int) -> None:
        self.file = file
        self.fabric = fabric
        self.seats: dict[int, Seat] = {}
        self._nursery = nursery
        self._watch = watch
        self._seed = seed
        self._clients: list[Place] = []
        self._connected = 0

    # ------------------------------------------------------------------------------------------------------------------- who is there

    @property
    def alive(self) -> list[int]:
        """Ids of the replicas that live."""
        return [replica for replica, seat in self.seats.items() if seat.server is not None]

    @property
    def leader(self) -> int | None:
        """Who leads the highest view, as its replica believes itself; None if nobody does."""
        leading = [(server.core.node.view, replica) for replica, server in self.servers.items() if server.core.node.leads]
        return max(leading)[1] if leading else None

    @property
    def servers(self) -> dict[int, Server]:
        """The replicas that live, as they are: for looking inside."""
        return {replica: seat.server for replica, seat in self.seats.items() if seat.server is not None}

    @property
    def tasks(self) -> dict[str, list[str]]:
        """Names of the live tasks of each replica and client."""
        places = [seat.place for seat in self.seats.values()] + self._clients
        return {place.name: self._watch.of(place) for place in places}

    def status(self, replica: int) -> dict[str, object]:
        """Return what ``/status`` of a replica that lives tells."""
        return self.servers[replica].status()

    async def ready(self, timeout: float = 60.0) -> None:
        """Wait until one replica leads and all that live can serve.

        Raises:
            trio.TooSlowError: after so many seconds of virtual time; a note says why.
        """
        reasons: dict[int, list[str]] = {}
        try:
            with trio.fail_after(timeout):
                while True:
                    reasons = {replica: server.ready() for replica, server in self.servers.items()}
                    if reasons and not any(reasons.values()):
                        break
                    await trio.sleep(LOOK_SECONDS)
        except trio.TooSlowError as error:
            error.add_note(f"not ready: {reasons}")
            raise

    # -------------------------------------------------------------------------------------------------------------------- life and death

    def kill(self, replica: int) -> Ending:
        """End a replica at once, as SIGKILL would; await what is returned to see it dead. A disk keeps what it was given."""
        self.seats[replica].kill()
        return Ending(self.seats[replica].ended)

    def stop(self, replica: int) -> Ending:
        """Ask a replica to stop in order, as SIGTERM does; await what is returned to see it gone."""
        server = self.seats[replica].server
        if server is not None:
            server.stop()
        return Ending(self.seats[replica].ended)

    async def restart(self, replica: int) -> None:
        """Start a replica anew, killed first if it lives; it listens when this comes back, unless it ended at once (see ``exited``)."""
        seat = self.seats[replica]
        await self.kill(replica)
        seat.begin()
        with here(seat.place):
            self._nursery.start_soon(seat.live)
        await seat.settled.wait()

    def exited(self, replica: int) -> BaseException | None:
        """Return what ended a replica's last life; None if it lives, was killed, or stopped in order.

        An exit that nobody asks for by the end of the cluster's block is raised there.
        """
        seat = self.seats[replica]
        seat.exit_was_seen = True
        return seat.exit

    async def wait_exited(self, replica: int) -> BaseException | None:
        """Wait until a replica is dead; return as ``exited``."""
        await self.seats[replica].ended.wait()
        return self.exited(replica)

    def pause(self, replica: int) -> None:
        """Let a replica stand still, as SIGSTOP does: none of its tasks takes a step, while time and the network go on."""
        self.seats[replica].place.gate.closed = True

    def resume(self, replica: int) -> None:
        """Let it go on."""
        self.seats[replica].place.gate.open()

    # ------------------------------------------------------------------------------------------------------------------------- faults

    def stall_send(self, replica: int, to: str | None = None) -> None:
        """Let nothing that a replica sends get through, and nothing be lost, until ``fabric.unclog`` or ``fabric.heal``: its queues grow.

        Args:
            replica: whose sends.
            to: to which end of the fabric only (``r1``, ``client0``); None: to all there are now.
        """
        name = f"r{replica}"
        everybody = [seat.place.name for seat in self.seats.values()] + [place.name for place in self._clients]
        for other in everybody if to is None else [to]:
            if other != name:
                self.fabric.clog(name, other)

    def jump_clock(self, replica: int, seconds: float) -> None:
        """Let a replica's clock jump ahead; it never goes back, as the one of a process does not."""
        if seconds < 0:
            raise ValueError(f"a clock that counts since some start never goes back ({seconds:g} s)")
        self.seats[replica].place.jumped += seconds

    def slow_disk(self, replica: int, sync_seconds: float) -> None:
        """Let a replica's syncs take so long (virtual seconds) from now on; beyond 2 ms they run beside the turns."""
        self.seats[replica].sync_clock.sync_seconds = sync_seconds

    def cancel(self, task_name: str, *, replica: int | None = None, client: int | None = None, checkpoint: int = 0) -> Cancellation:
        """Cancel the nursery that a task of a replica or a client runs in, at a checkpoint of that task.

        Args:
            task_name: one of ``task_names()``; if several have the name, whichever comes first to the checkpoint.
            replica: whose.
            client: or which client's, as in ``at``; a client has only some of the tasks.
            checkpoint: which one from now on, from 1; 0: the task is cancelled where it waits.

        Raises:
            ValueError: no such name, or not one of ``replica`` and ``client``.
            LookupError: it is to be cancelled now, and there is no such task.
        """
        if task_name not in TASKS.values():
            raise ValueError(f"no task has the name {task_name!r}; names are {', '.join(task_names())}")
        place = self._place(replica, client)
        planned = Cancellation(task_name, checkpoint)
        if checkpoint > 0:
            place.cancellations.append(planned)
        elif self._watch.cancel_now(place, task_name):
            planned.happened.set()
        else:
            raise LookupError(f"{place.name} has no task {task_name} now")
        return planned

    def fail_at(
        self, point: str, *, replica: int | None = None, client: int | None = None, exception: BaseException | type[BaseException], nth: int = 1
    ) -> Fault:
        """Raise an exception at a fault point; else as ``at``."""
        return self.at(point, raising(exception() if isinstance(exception, type) else exception), replica=replica, client=client, nth=nth)

    def at(
        self,
        point: str,
        do: Callable[[], object],
        *,
        replica: int | None = None,
        client: int | None = None,
        nth: int = 1,
        when: Callable[[], bool] = always,
    ) -> Fault:
        """Call a function at a fault point, in the midst of what the code does there: ``c.at("turn.before_send", lambda: c.kill(0), replica=0)``.

        Args:
            point: one of ``fault_points()``.
            do: what is called; what it raises, the point raises.
            replica: who is to reach it, in this life or a later one.
            client: or which client, from 0 in the order of connecting; it may connect later.
            nth: at which time from now on, from 1.
            when: times at which this is false do not count.

        Returns:
            What tells whether it has ``struck``.

        Raises:
            ValueError: no such point, or not one of ``replica`` and ``client``.
        """
        if point not in POINTS:
            raise ValueError(f"there is no fault point {point!r}; fault_points() names them")
        planned = Fault(point, do, nth, when)
        self._place(replica, client).faults.append(planned)
        return planned

    def reached(self, point: str) -> int:
        """Tell how often a fault point was reached so far, by anybody."""
        return sum(place.reached.get(point, 0) for place in [seat.place for seat in self.seats.values()] + self._clients)

    # ------------------------------------------------------------------------------------------------------------------------ clients

    def _place(self, replica: int | None, client: int | None) -> Place:
        if (replica is None) == (client is None):
            raise ValueError("give one of replica and client")
        return self._client(client) if client is not None else self.seats[replica or 0].place

    def _client(self, number: int) -> Place:
        while len(self._clients) <= number:
            self._clients.append(Place(f"client{len(self._clients)}"))
        return self._clients[number]

    def _next_client(self, number: int | None) -> tuple[Place, Surroundings]:
        number = self._connected if number is None else number
        self._connected = max(self._connected, number + 1)
        place = self._client(number)
        random = Random(f"{self._seed} {place.name}")
        return place, Surroundings(clock=place.clock, draw=random.random, entropy=random.randbytes, fabric=self.fabric, fabric_name=place.name)

    @property
    def addresses(self) -> list[str]:
        """Where clients connect."""
        return self.file.addresses()

    @asynccontextmanager
    async def connect(self, *, timeout: float = 5.0, number: int | None = None) -> AsyncIterator[Store]:
        """Connect a client and open a session, as ``triskele.connect`` does.

        Args:
            timeout: seconds each command may take if it does not say otherwise.
            number: which client this is; None: the next.
        """
        place, surroundings = self._next_client(number)
        async with AsyncExitStack() as stack:
            with here(place):
                store = await stack.enter_async_context(open_store(self.addresses, timeout, surroundings))
            yield store

    store = connect

    @asynccontextmanager
    async def driver(
        self, on_completed: OnCompletions = on_completions, settings: ClientSettings | None = None, *, number: int | None = None
    ) -> AsyncIterator[ClientDriver]:
        """Connect a client without a session, for tests of what is below ``Store``."""
        place, surroundings = self._next_client(number)
        async with AsyncExitStack() as stack:
            with here(place):
                opening = open_client(self.addresses, settings=settings, on_completions=on_completed, surroundings=surroundings)
                driver = await stack.enter_async_context(opening)
            yield driver


@asynccontextmanager
async def cluster(
    replicas: int = 3,
    *,
    seed: int = 0,
    mode: Mode = "ho",
    durability: Durability = "memory",
    settings: Settings | None = None,
    data_dir: Path | None = None,
    disk: Callable[[int], Disk] | None = None,
    sync_seconds: float = 0.0,
    on_start: Callable[[Cluster, Server], None] = lambda _cluster, _server: None,
) -> AsyncIterator[Cluster]:
    """Run a cluster for the length of the block; inside it a leader serves.

    The same seed and the same calls give the same run, to the last frame (``fabric.digest``), if time is virtual: with pytest-trio's fixture
    ``autojump_clock``, or in ``triskele.testing.run``.

    Args:
        replicas: how many.
        seed: decides chance, faults of the network, and from here on the order of Trio's tasks.
        mode: of the cluster.
        durability: with ``disk`` a replica that comes back has what it acknowledged; with ``memory`` the others bring it up to date.
        settings: of all replicas; mode and durability are the arguments'.
        data_dir: holds the replicas' data folders; None: a temporary one.
        disk: gives each replica's disk instead.
        sync_seconds: virtual seconds that a sync takes; beyond 2 ms they run beside the turns.
        on_start: told the cluster and the replica of each life before it runs, for looking inside.

    Raises:
        BaseExceptionGroup: what ended replicas, if nobody asked for it with ``exited``; unless the block raises itself.
    """
    seed_schedule(seed)
    listen_to_fault_points()
    settings = (settings or Settings()).changed("cluster", mode=mode, durability=durability)
    with ExitStack() as stack:
        folder = Path(data_dir or "memory" if disk is not None else data_dir or stack.enter_context(_temporary_folder()))
        places = tuple(ReplicaPlace(id=number, address=f"memory:r{number}", data_dir=str(folder / f"replica-{number}")) for number in range(replicas))
        file = ClusterFile(cluster_id="testing", mode=mode, durability=durability, replicas=places)
        fabric = Fabric(seed)
        watch = TaskWatch()
        trio.lowlevel.add_instrument(watch)
        stack.callback(trio.lowlevel.remove_instrument, watch)
        async with _alive(file, fabric, watch, seed) as running:
            for number in range(replicas):
                own = disk(number) if disk is not None else None
                running.seats[number] = Seat(
                    number, file, settings, fabric, seed, disk=own, sync_seconds=sync_seconds, on_start=partial(on_start, running)
                )
            for number in running.seats:
                await running.restart(number)
            await running.ready()
            yield running


@asynccontextmanager
async def _alive(file: ClusterFile, fabric: Fabric, watch: TaskWatch, seed: int) -> AsyncIterator[Cluster]:
    """Give a cluster a nursery for the length of the block, and tell at its end what nobody asked for."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        running = Cluster(file, fabric, nursery, watch, seed)
        try:
            yield running
        except trio.Cancelled:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again below: the nursery would wrap it in a group
            failure = error
        finally:
            for seat in running.seats.values():
                seat.kill()
            nursery.cancel_scope.cancel()
    unseen = [seat.exit for seat in running.seats.values() if seat.exit is not None and not seat.exit_was_seen]
    if failure is not None:
        for end in unseen:
            failure.add_note(f"a replica ended: {end!r}")
        raise failure
    if unseen:
        raise BaseExceptionGroup("replicas ended, and nobody asked why", unseen)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="triskele-", dir=SYNCED_AT_ONCE if os.access(SYNCED_AT_ONCE, os.W_OK) else None)
