"""A seat: where one replica of a cluster in memory lives, dies and comes back; what would end its process ends its life here, and nothing else."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import attrs
import trio

from replica.server import Server
from replica.storage.folder import DataFolder
from replica.storage.log import DurableLog
from replica.surroundings import Surroundings
from transport.fault_points import reach
from triskele.testing.disk import PointedDisk, SyncClock
from triskele.testing.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from replica.cluster_file import ClusterFile
    from replica.config import Settings
    from replica.storage.disk import Disk
    from transport.fabric import Fabric

SEGMENT_BYTES = 1 << 14
"""Small segments of the log: made quickly, and a short run sees several."""


@attrs.frozen
class Ending:
    """The end of a replica that was killed; may be awaited."""

    _ended: trio.Event

    def __await__(self) -> Generator[object, object, None]:
        """Wait until it is dead."""
        return self._ended.wait().__await__()


class Mortal(Server):
    """A replica that may be killed: then it must not get its log into order at its end, as one that stops or fails does."""

    killed = False

    def close(self) -> None:
        """See ``Server``."""
        disk = self.home.folder.disk if self.home.folder is not None else None
        if self.killed and isinstance(disk, PointedDisk):
            disk.cut = True
        super().close()


class Seat:
    """One replica's seat.

    Args:
        replica_id: whose.
        file: the cluster.
        settings: of the replica.
        fabric: the network.
        seed: with the id and the life it decides the replica's chance.
        disk: the disk of its data folder; None: the folder that the cluster file names.
        sync_seconds: how long a sync takes.
        on_start: told the replica of each life before it runs.

    Attributes:
        server: the replica; None while it is dead.
        lives: how often it was started.
        exit: what ended its last life; None if it lives, was killed, or stopped in order.
        exit_was_seen: somebody asked for it.
        ended: set while it is dead.
        settled: set when it listens, or is dead.
        sync_clock: says how long a sync takes.
    """

    def __init__(
        self,
        replica_id: int,
        file: ClusterFile,
        settings: Settings,
        fabric: Fabric,
        seed: int,
        *,
        disk: Disk | None,
        sync_seconds: float,
        on_start: Callable[[Server], None],
    ) -> None:
        self.place = Place(f"r{replica_id}", replica_id)
        fabric.endpoints.add(self.place.name)
        self.server: Mortal | None = None
        self.lives = 0
        self.exit: BaseException | None = None
        self.exit_was_seen = True
        self.ended = trio.Event()
        self.ended.set()
        self.settled = trio.Event()
        self._file = file
        self._settings = settings
        self._fabric = fabric
        self._seed = seed
        self._disk = disk
        self._on_start = on_start
        self.sync_clock = SyncClock(sync_seconds)
        self._random = Random()
        self._scope = trio.CancelScope()

    def begin(self) -> None:
        """Take note that a life begins: its tasks come next."""
        self.lives += 1
        self.ended, self.settled = trio.Event(), trio.Event()
        self.exit, self.exit_was_seen = None, True
        self._scope = trio.CancelScope()
        self._random = Random(f"{self._seed} {self.place.name} {self.lives}")

    async def live(self) -> None:
        """Live from start to end."""
        try:
            with self._scope:
                assert self.place.replica is not None
                self.server = Mortal(self._settings, self._file, self.place.replica, self._surroundings())
                self._on_start(self.server)
                await self.server.run_in_memory(self.settled.set)
        except trio.Cancelled:
            raise
        except BaseExceptionGroup as group:
            cancelled, rest = group.split(trio.Cancelled)
            self._exit(rest)
            if cancelled is not None:
                raise cancelled from None
        except BaseException as error:  # noqa: BLE001 - as at the end of a process: told, and no reason for others to end
            self._exit(error)
        finally:
            self.server = None
            self.ended.set()
            self.settled.set()

    def _exit(self, error: BaseException | None) -> None:
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        self.exit, self.exit_was_seen = error, error is None

    def kill(self) -> None:
        """End the life at once."""
        if self.server is not None:
            self.server.killed = True
        self._scope.cancel()
        self.place.gate.open()

    # ------------------------------------------------------------------------------------------------------------------ surroundings

    def _surroundings(self) -> Surroundings:
        random = self._random
        return Surroundings(
            clock=self.place.clock, draw=random.random, entropy=random.randbytes, open_folder=self._open_folder,
            open_log=partial(DurableLog.open, segment_bytes=SEGMENT_BYTES, entropy=random.randbytes, clock=self.sync_clock),
            in_thread=self._in_thread, fabric=self._fabric, fabric_name=self.place.name,
        )  # fmt: skip

    def _open_folder(self, path: str, *, cluster_id: str, replica_id: int, facts: Mapping[str, Any]) -> DataFolder:
        told: dict[str, Any] = {"cluster_id": cluster_id, "replica_id": replica_id, "facts": facts, "entropy": self._random.randbytes}
        if self._disk is not None:
            return DataFolder.open_disk(PointedDisk(self._disk, self.sync_clock), **told)
        folder = DataFolder.open(path, **told)
        folder.disk = PointedDisk(folder.disk, self.sync_clock)
        return folder

    async def _in_thread(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Stand in for a thread: real ones and virtual time do not go together."""
        await trio.sleep(self.sync_clock.sync_seconds)
        reach("disk.thread")
        return function(*arguments)
