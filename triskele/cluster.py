"""A local cluster: one operating system process per replica, watched from a nursery.

For ``triskele up`` and for the load generator's own cluster.

Ports.  The parent opens every listening socket and hands them to the children as inherited descriptors.  So the cluster file is complete
before the first child starts, a port that is taken is one clear line and nothing is left to clean up, and free ports (``port=0``) cannot be
lost to another program between choosing and listening.  Once a child has its sockets the parent closes them: a dead replica refuses
connections, as a dead machine would, and does not let them rest in a queue.  Rejected: choosing ports and hoping (a race), and letting
children choose and tell (each must then wait for a second message with the others' addresses before it can dial).

Restarts.  A replica keeps everything in memory.  One that died has forgotten what it acknowledged, and must not come back under its id; so
it stays dead, and the rest go on while they are a majority.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from replica.address import inherited_descriptor, join_address, split_address
from replica.cluster_file import ClusterFile, ReplicaPlace, check_exposure, write_cluster_file, write_ready_file
from replica.config import SettingError, Settings
from replica.listening import bound_address, open_socket
from triskele.admin_client import AdminUnreachable, get, get_status
from triskele.child import REPLICA_PROGRAM, Child, end_children, start_child
from triskele.lines import Lines

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    Sockets = Mapping[int, dict[str, socket.socket]]  # {replica id: {setting name: listening socket}}

WEBSOCKET_OFFSET = 100
ADMIN_OFFSET = 200
"""Replica i of a cluster at port P: native P + i, WebSocket P + 100 + i, admin P + 200 + i."""

REPLICA_COUNTS = (1, 3, 5, 7, 9)
GRACE_SECONDS = 4.0
_START_POLL_SECONDS = 0.05
_POLL_SECONDS = 1.0


class ClusterFailed(Exception):
    """A local cluster did not come up, or fell apart; the message is one line."""

    exit_status = 1


@attrs.define(eq=False)
class LocalCluster:
    """A running local cluster.

    Attributes:
        file: Who is where now: pids (None: dead) and the leader, as the ready file has them.
        children: ``{replica id: process}``, dead ones too.
    """

    file: ClusterFile
    children: dict[int, Child]
    _ready_file: Path | None
    _say: Callable[[str], None]
    _ready: trio.Event = attrs.field(factory=trio.Event)
    _fewer: trio.Event = attrs.field(factory=trio.Event)  # set, and replaced, when a replica ends
    _stopping: bool = False

    @property
    def alive(self) -> list[int]:
        """Ids of the replicas whose process lives."""
        return [replica_id for replica_id, child in self.children.items() if child.alive]

    async def wait_ready(self, timeout: float) -> None:
        """Wait until a leader serves and every replica listens.

        Raises:
            ClusterFailed: A replica ended before that, or ``timeout`` seconds did not suffice.
        """
        with trio.move_on_after(timeout):
            while not self._ready.is_set():
                ended = [child for child in self.children.values() if child.ended.is_set()]
                if ended:
                    raise ClusterFailed(f"replica {ended[0].replica_id} {ended[0].ending()} before a leader served")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_then_cancel, self._ready, nursery.cancel_scope)
                    nursery.start_soon(_then_cancel, self._fewer, nursery.cancel_scope)
            return
        raise ClusterFailed(f"no leader served within {timeout:g} s")

    async def wait_all_ended(self) -> None:
        """Wait until no replica lives."""
        for child in self.children.values():
            await child.ended.wait()

    def kill(self, replica_id: int) -> None:
        """Kill a replica (SIGKILL)."""
        self.children[replica_id].process.kill()

    async def watch(self, child: Child) -> None:
        """Pass on what a child writes, and tell when it ends."""
        await child.listen(self._say)
        fewer, self._fewer = self._fewer, trio.Event()
        fewer.set()
        if not self._stopping:
            outlook = f"; {self._outlook()}" if self._ready.is_set() else ""
            self._say(f"replica {child.replica_id} {child.ending()}{outlook}")
            self._tell(self.file.leader if self.file.leader != child.replica_id else None)

    def _outlook(self) -> str:
        """Say what the death of a replica means."""
        alive, total = len(self.alive), len(self.children)
        stays = "it stays dead (what it acknowledged is forgotten, so it must not come back under its id)"
        if alive > total // 2:
            return f"{stays}, {alive} of {total} go on"
        return f"{stays}, {alive} of {total} are no majority: nothing commits any more"

    async def follow_leader(self) -> None:
        """Ask the replicas who leads, again and again, and keep the ready file true.

        While one leads, it alone is asked, and only for what costs it nothing: ``/status`` brings its state hash up to date.
        """
        while True:
            if self.file.leader is None or not await self._still_leads(self.file.leader):
                leader = await self._serving_leader()
                if leader != self.file.leader or not self._ready.is_set():
                    self._lead(leader)
            await trio.sleep(_POLL_SECONDS if self._ready.is_set() else _START_POLL_SECONDS)

    async def _still_leads(self, replica_id: int) -> bool:
        try:
            answer = await get(self.file.replica(replica_id).admin, "/counters")
        except AdminUnreachable:
            return False
        return answer.status == 200 and bool(json.loads(answer.body).get("role") == "leader")  # noqa: PLR2004 - HTTP

    def _lead(self, leader: int | None) -> None:
        if not self._ready.is_set():
            if leader is None or not all(child.alive and child.announced.is_set() for child in self.children.values()):
                return
            self._ready.set()
        elif leader is not None:
            self._say(f"replica {leader} leads")
        self._tell(leader)

    async def _serving_leader(self) -> int | None:
        """Return the id of the replica that leads the highest view and says it can serve."""
        found: list[tuple[int, int]] = []  # (view, id)

        async def ask(replica_id: int) -> None:
            admin = self.file.replica(replica_id).admin
            try:
                status = await get_status(admin)
                if status.get("role") == "leader" and (await get(admin, "/readyz")).status == 200:  # noqa: PLR2004 - HTTP
                    found.append((int(status.get("view", 0)), replica_id))
            except AdminUnreachable:
                pass  # starting, stopped or dead: not a leader that serves

        async with trio.open_nursery() as nursery:
            for replica_id in self.alive:
                nursery.start_soon(ask, replica_id)
        return max(found)[1] if found else None

    def _tell(self, leader: int | None) -> None:
        """Bring ``file`` and the ready file up to date."""
        alive = set(self.alive)
        places = [attrs.evolve(place, pid=self.children[place.id].pid if place.id in alive else None) for place in self.file.replicas]
        self.file = attrs.evolve(self.file, replicas=tuple(places), leader=leader)
        if self._ready_file is not None and self._ready.is_set():
            try:
                write_ready_file(self.file, self._ready_file)
            except OSError as error:  # its folder is gone, or the disk is full: the cluster does not depend on it
                self._say(f"cannot write {self._ready_file}: {error.strerror}")

    async def stop(self) -> None:
        """End all replicas: asked first, killed after the grace."""
        self._stopping = True
        await end_children([child for child in self.children.values() if child.alive], GRACE_SECONDS)
        for child in self.children.values():
            await child.ended.wait()
        self._tell(None)


async def _then_cancel(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


@asynccontextmanager
async def local_cluster(
    replicas: int,
    settings: Settings,
    *,
    port: int | None = 0,
    data_dir: Path | None = None,
    ready_file: Path | None = None,
    ready_seconds: float = 20.0,
    program: Sequence[str] = REPLICA_PROGRAM,
    say: Callable[[str], None] | None = None,
) -> AsyncIterator[LocalCluster]:
    """Run a cluster on this machine for the length of the block; inside it a leader serves.

    Args:
        replicas: 1, 3, 5, 7 or 9.
        settings: Of all replicas. Addresses are bases: replica i listens at the port plus i (0: any free port).
        port: Base port on loopback, 0 for free ports; None to take ``settings.listen`` and its neighbours.
        data_dir: Folder for the replicas' folders, made if missing; None for a temporary one.
        ready_file: Written when a leader serves and whenever a pid or the leader changes; an old one is removed first.
        ready_seconds: Time for a leader to serve.
        program: What runs a replica; takes the flags of ``triskele replica``.
        say: Takes each line for the user: what happens here, and what replicas write, their id in front. None: standard error.

    Raises:
        SettingError: Wrong number, address or folder.
        ListenError: A port is taken.
        ClusterFailed: No leader served in time, or a replica ended before that.
    """
    say = say or Lines()
    if ready_file is not None:
        _remove_old(ready_file)
    failure: Exception | None = None
    with ExitStack() as stack:
        sockets = stack.enter_context(open_sockets(replicas, settings, port))
        folder = stack.enter_context(_folder(data_dir))
        file = _write_files(sockets, settings, folder)
        cluster = LocalCluster(file, {}, ready_file, say)
        async with trio.open_nursery() as nursery:
            try:
                flags = ["--cluster", str(folder / "cluster.toml"), *settings.as_flags()]
                for replica_id, opened in sockets.items():
                    child = await start_child(program, replica_id, flags, opened, say)
                    cluster.children[replica_id] = child
                    nursery.start_soon(cluster.watch, child)
                nursery.start_soon(cluster.follow_leader)
                await cluster.wait_ready(ready_seconds)
                yield cluster
            except Exception as error:  # noqa: BLE001 - raised again below: the nursery would wrap it in a group
                failure = error
            finally:
                with trio.CancelScope(shield=True):
                    await cluster.stop()
                nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _remove_old(ready_file: Path) -> None:
    """Remove the ready file of an earlier cluster: who waits for one must not find that.

    Raises:
        SettingError: Its folder cannot be written.
    """
    try:
        ready_file.unlink(missing_ok=True)
        if not os.access(ready_file.parent, os.W_OK):
            raise SettingError("--ready-file", ready_file, "its folder is missing or cannot be written")
    except OSError as error:
        raise SettingError("--ready-file", ready_file, error.strerror or str(error)) from None


@contextmanager
def open_sockets(replicas: int, settings: Settings, port: int | None) -> Iterator[Sockets]:
    """Open the listening sockets of all replicas; those that nobody took are closed at the end.

    Raises:
        SettingError: Wrong number of replicas, or an address that other machines reach without ``insecure``.
        ListenError: A port is taken.
    """
    if replicas not in REPLICA_COUNTS:
        raise SettingError("--replicas", replicas, "must be one of " + ", ".join(map(str, REPLICA_COUNTS)))
    with ExitStack() as stack:
        bases = base_addresses(settings, port)
        yield {
            number: {name: stack.enter_context(open_socket(join_address(host, base + number if base else 0))) for name, (host, base) in bases.items()}
            for number in range(replicas)
        }


def base_addresses(settings: Settings, port: int | None) -> dict[str, tuple[str, int]]:
    """Return ``{setting name: (host, base port)}`` for the three listeners.

    Raises:
        SettingError: An address is wrong, its ports run out, or other machines reach it without ``insecure``.
    """
    check_exposure(settings)
    if port is None and not settings.listen:
        raise SettingError("--listen", "", "give an address or --port")
    for name in ("listen", "websocket", "admin"):
        if inherited_descriptor(getattr(settings, name)) is not None:
            raise SettingError(settings.written(name), getattr(settings, name), "a local cluster opens its own sockets: give HOST:PORT")
    host, base = ("127.0.0.1", port) if port is not None else split_address(settings.listen)
    websocket = split_address(settings.websocket) if settings.websocket else (host, base and base + WEBSOCKET_OFFSET)
    admin = split_address(settings.admin) if settings.admin else ("127.0.0.1", base and base + ADMIN_OFFSET)
    bases = {"listen": (host, base), "websocket": websocket, "admin": admin}
    for name, (_, number) in bases.items():
        if number + max(REPLICA_COUNTS) > 65_536:  # noqa: PLR2004 - ports are 16 bits
            raise SettingError("--port" if port is not None else settings.written(name), number, "leaves no room for a port per replica")
    return bases


@contextmanager
def _folder(data_dir: Path | None) -> Iterator[Path]:
    """Make the cluster's folder; a temporary one is removed at the end."""
    if data_dir is None:
        folder = Path(tempfile.mkdtemp(prefix="triskele-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        held = (data_dir / "cluster.toml").exists()
    except OSError as error:
        raise SettingError("--data-dir", data_dir, error.strerror or str(error)) from None
    if held:
        raise SettingError("--data-dir", data_dir, "holds an earlier cluster, which kept its data in memory; give an empty folder")
    yield data_dir.resolve()


def _write_files(sockets: Sockets, settings: Settings, folder: Path) -> ClusterFile:
    """Make the replicas' folders and write the cluster file that they read."""
    places = []
    for replica_id, opened in sockets.items():
        data_dir = folder / f"replica-{replica_id}"
        data_dir.mkdir(exist_ok=True)
        places.append(
            ReplicaPlace(
                id=replica_id,
                address=bound_address(opened["listen"]),
                websocket=f"ws://{bound_address(opened['websocket'])}",
                admin=f"http://{bound_address(opened['admin'])}",
                data_dir=str(data_dir),
            )
        )
    file = ClusterFile(cluster_id=secrets.token_hex(8), mode=settings.mode, durability=settings.durability, replicas=tuple(places))
    write_cluster_file(file, folder / "cluster.toml")
    return file
