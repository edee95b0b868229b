"""Runs a cluster in memory for the length of a block: begins it, and tells at its end what nobody asked for."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from replica.cluster_file import ClusterFile
from replica.config import Settings
from transport.fabric import Fabric
from triskele.testing.cluster import Cluster
from triskele.testing.members import Members, place_of
from triskele.testing.place import listen_to_fault_points
from triskele.testing.schedule import seed_schedule
from triskele.testing.seat import Seat
from triskele.testing.tasks import TaskWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from replica.config import Durability, Mode
    from replica.server import Server
    from replica.storage.disk import Disk

SYNCED_AT_ONCE = Path("/dev/shm")  # noqa: S108 - only folders that tempfile makes are made there
"""Where temporary folders are made if there is such a place: what is lost with the power cannot be shown in one process, so syncs need not wait."""


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
        ValueError: no replica at all; or syncs take time, and the log is in memory: no disk would be slow.
    """
    if replicas < 1:
        raise ValueError(f"replicas {replicas}: a cluster has one at least")
    if sync_seconds and durability != "disk":
        raise ValueError(f"sync_seconds {sync_seconds}: the log is in memory and waits for no disk; give durability='disk'")
    seed_schedule(seed)
    listen_to_fault_points()
    settings = (settings or Settings()).changed("cluster", mode=mode, durability=durability)
    with ExitStack() as stack:
        folder = Path(data_dir or "memory" if disk is not None else data_dir or stack.enter_context(_temporary_folder()))
        places = tuple(place_of(number, folder) for number in range(replicas))
        file = ClusterFile(cluster_id="testing", mode=mode, durability=durability, replicas=places)
        fabric = Fabric(seed, guests="client")
        watch = TaskWatch()
        trio.lowlevel.add_instrument(watch)
        stack.callback(trio.lowlevel.remove_instrument, watch)
        async with _alive(file, fabric, watch, seed) as running:

            def seat_of(number: int, known: ClusterFile) -> Seat:
                own = disk(number) if disk is not None else None
                return Seat(number, known, settings, fabric, seed, disk=own, sync_seconds=sync_seconds, on_start=partial(on_start, running))

            running.members = Members(running, seat_of, folder, replicas - 1)
            running.seats.update({number: seat_of(number, file) for number in range(replicas)})
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
    unseen = [seat.exit for seat in (*running.seats.values(), *running.members.left) if seat.exit is not None and not seat.exit_was_seen]
    if failure is not None:
        for end in unseen:
            failure.add_note(f"a replica ended: {end!r}")
        raise failure
    if unseen:
        raise BaseExceptionGroup("replicas ended, and nobody asked why", unseen)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="triskele-", dir=SYNCED_AT_ONCE if os.access(SYNCED_AT_ONCE, os.W_OK) else None)
