"""A cluster in one nursery: real replicas and real clients; only sockets, threads and processes are missing. ``running`` begins and ends it."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import trio

from replica.client_driver import ClientSettings, open_client
from replica.surroundings import Surroundings
from triskele.calls import on_completions
from triskele.client import Store, open_store
from triskele.testing.disk import checked_seconds
from triskele.testing.place import Fault, Place, always, here, raising
from triskele.testing.points import POINTS
from triskele.testing.seat import Ending, Seat
from triskele.testing.tasks import TASKS, Cancellation, TaskWatch, task_names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from replica.client_driver import ClientDriver, OnCompletions
    from replica.cluster_file import ClusterFile
    from replica.server import Server
    from transport.fabric import Fabric
    from triskele.testing.members import Members

LOOK_SECONDS = 0.02
"""How often a wait looks again; virtual time costs nothing."""


class Cluster:
    """A running cluster; made by ``triskele.testing.cluster``.

    Replicas are called by their ids, 0 to n - 1; in the fabric they are ``r0``, ``r1``, …, and clients ``client0``, ``client1``, … in the order
    in which they connected.

    An id that no member has is a ``ValueError`` wherever one is taken.

    Attributes:
        fabric: the network, with its faults.
        file: the cluster as a cluster file has it.
        seats: where the replicas live.
        members: changes who belongs to it.
    """

    members: Members

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
        return {place.name: self._watch.of(place) for place in self._places}

    def _seat(self, replica: int) -> Seat:
        """Return a member's seat.

        Raises:
            ValueError: there is no such member.
        """
        if replica in self.seats:
            return self.seats[replica]
        gone = any(seat.place.replica == replica for seat in self.members.left)
        why = f"replica {replica} does not belong to the cluster any more" if gone else f"there is no replica {replica!r}"
        raise ValueError(f"{why}; ids are {', '.join(map(str, self.seats))}")

    @property
    def _places(self) -> list[Place]:
        return [seat.place for seat in (*self.seats.values(), *self.members.left)] + self._clients

    def status(self, replica: int) -> dict[str, object]:
        """Return what ``/status`` of a replica that lives tells."""
        server = self._seat(replica).server
        if server is None:
            raise LookupError(f"replica {replica} is dead: it tells nothing")
        return server.status()

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
        self._seat(replica).kill()
        return Ending(self._seat(replica).ended)

    def stop(self, replica: int) -> Ending:
        """Ask a replica to stop in order, as SIGTERM does; await what is returned to see it gone."""
        server = self._seat(replica).server
        if server is not None:
            server.stop()
        return Ending(self._seat(replica).ended)

    async def restart(self, replica: int) -> None:
        """Start a replica anew, killed first if it lives; it listens when this comes back, unless it ended at once (see ``exited``)."""
        seat = self._seat(replica)
        await self.kill(replica)
        seat.begin()
        with here(seat.place):
            self._nursery.start_soon(seat.live)
        await seat.settled.wait()

    def exited(self, replica: int) -> BaseException | None:
        """Return what ended a replica's last life; None if it lives, was killed, or stopped in order.

        An exit that nobody asks for by the end of the cluster's block is raised there.
        """
        seat = self._seat(replica)
        seat.exit_was_seen = True
        return seat.exit

    async def wait_exited(self, replica: int) -> BaseException | None:
        """Wait until a replica is dead; return as ``exited``."""
        await self._seat(replica).ended.wait()
        return self.exited(replica)

    def pause(self, replica: int) -> None:
        """Let a replica stand still, as SIGSTOP does: none of its tasks takes a step, while time and the network go on."""
        self._seat(replica).place.gate.closed = True

    def resume(self, replica: int) -> None:
        """Let it go on."""
        self._seat(replica).place.gate.open()

    # ------------------------------------------------------------------------------------------------------------------------ members

    async def add_replica(self, *, replaces: int | None = None) -> int:
        """Add a replica, as ``triskele members add`` and its start do: a learner, which votes when it has caught up; ``ready`` waits for that.

        Args:
            replaces: the voter that leaves for it as soon as it can vote; see ``replace_replica``, which waits for that.

        Returns:
            Its id, the next that was never used; in the fabric it is ``r3`` and so on.

        Raises:
            ChangeRefused: it cannot be, as the message says.
            trio.TooSlowError: the change is not committed after 60 s of virtual time; so for all changes.
        """
        return await self.members.add(replaces)

    async def replace_replica(self, replica: int) -> int:
        """Let a new replica take the place of a voter, dead or alive; return its id when it votes and the other is gone."""
        return await self.members.replace(replica)

    async def remove_replica(self, replica: int) -> None:
        """Remove a replica for ever; it is gone, and another leads, when this comes back."""
        await self.members.remove(replica)

    # ------------------------------------------------------------------------------------------------------------------------- faults

    def stall_send(self, replica: int, to: str | None = None) -> None:
        """Let nothing that a replica sends get through, and nothing be lost, until ``fabric.unclog`` or ``fabric.heal``: its queues grow.

        Args:
            replica: whose sends.
            to: to which end of the fabric only (``r1``, ``client0``); None: to all there are now.
        """
        name = self._seat(replica).place.name
        for other in [place.name for place in self._places] if to is None else [to]:
            if other != name:
                self.fabric.clog(name, other)

    def jump_clock(self, replica: int, seconds: float) -> None:
        """Let a replica's clock jump ahead; it never goes back, as the one of a process does not."""
        if seconds < 0:
            raise ValueError(f"a clock that counts since some start never goes back ({seconds:g} s)")
        self._seat(replica).place.jumped += seconds

    def slow_disk(self, replica: int, sync_seconds: float) -> None:
        """Let a replica's syncs take so long (virtual seconds) from now on; beyond 2 ms they run beside the turns.

        Raises:
            ValueError: no such replica or time, or it has no log on a disk that could be slow.
        """
        seat = self._seat(replica)
        if sync_seconds and self.file.durability != "disk":
            raise ValueError(f"the cluster keeps its log in memory: replica {replica} waits for no disk; give durability='disk'")
        seat.sync_clock.sync_seconds = checked_seconds(sync_seconds)

    def cancel(self, task_name: str, *, replica: int | None = None, client: int | None = None, checkpoint: int = 0) -> Cancellation:
        """Cancel the nursery that a task of a replica or a client runs in, at a checkpoint of that task.

        Args:
            task_name: one of ``task_names()``; if several have the name, whichever comes first to the checkpoint.
            replica: whose.
            client: or which client's, as in ``at``; a client has only some of the tasks.
            checkpoint: which one from now on, from 1; 0: the task is cancelled where it waits.

        Raises:
            ValueError: no such name, replica or checkpoint, or not one of ``replica`` and ``client``.
            LookupError: it is to be cancelled now, and there is no such task.
        """
        if task_name not in TASKS.values():
            raise ValueError(f"no task has the name {task_name!r}; names are {', '.join(task_names())}")
        if checkpoint < 0:
            raise ValueError(f"checkpoint {checkpoint} is past: they are counted from 1, and 0 is now")
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
            ValueError: no such point, replica or time, or not one of ``replica`` and ``client``.
        """
        if point not in POINTS:
            raise ValueError(f"there is no fault point {point!r}; fault_points() names them")
        if nth < 1:
            raise ValueError(f"times are counted from 1: nothing would happen at time {nth}")
        planned = Fault(point, do, nth, when)
        self._place(replica, client).faults.append(planned)
        return planned

    def reached(self, point: str) -> int:
        """Tell how often a fault point was reached so far, by anybody."""
        return sum(place.reached.get(point, 0) for place in self._places)

    # ------------------------------------------------------------------------------------------------------------------------ clients

    def _place(self, replica: int | None, client: int | None) -> Place:
        if (replica is None) == (client is None):
            raise ValueError("give one of replica and client")
        return self._client(client) if client is not None else self._seat(replica or 0).place

    def _client(self, number: int) -> Place:
        if number < 0:
            raise ValueError(f"clients are numbered from 0: there is no client {number}")
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
