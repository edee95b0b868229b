"""A local cluster: one operating system process per replica, watched from a nursery.

For ``triskele up``, for the load generator's own cluster, and for scripts that break replicas on purpose.

This module knows who lives and who leads, and keeps the ready file true.  Ports are ``cluster_ports``' matter, what is on disk is
``cluster_folder``'s, when a dead replica is started again is ``supervision``'s.
"""

from __future__ import annotations

import json
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from replica.address import AddressError
from replica.cluster_file import ClusterFile, ReplicaPlace, write_ready_file
from replica.config import SettingError, Settings
from triskele.admin_client import AdminUnreachable, get, get_status
from triskele.child import REPLICA_PROGRAM, Child, start_child
from triskele.cluster_folder import open_folder
from triskele.cluster_ports import reserve_ports
from triskele.lines import Lines
from triskele.memory_loss import MemoryLoss, lost
from triskele.present_members import place_told, present_members
from triskele.supervision import NO_RESTART, RESTARTS, Keeper, RestartPolicy, stop_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

GRACE_SECONDS = 4.0
READY_SECONDS = 20.0
"""Time for the leader of a new cluster to serve; replicas of a resumed one may have long logs to read."""
_LEADING_POLL_SECONDS = 1.0
_LEADERLESS_POLL_SECONDS = 0.2
_START_POLL_SECONDS = 0.05
_MEMBERS_SECONDS = 1.0
"""For an answer to who belongs to the cluster."""


class ClusterFailed(Exception):
    """A local cluster did not come up, or fell apart; the message is one line."""

    exit_status = 1


@attrs.define(eq=False)
class LocalCluster:
    """A running local cluster.

    Attributes:
        file: Who is where now: pids (None: dead) and the leader. The ready file has the same, but for who came or left by ``triskele members``:
            ``present``.
        keepers: ``{replica id: what keeps it running}``; one that was removed from the cluster is kept running too, and says that it was.
    """

    file: ClusterFile
    keepers: dict[int, Keeper]
    _needed: int  # replicas that listen before the cluster is ready
    _ready_file: Path | None
    _say: Callable[[str], None]
    _ready: bool = False
    _written: ClusterFile | None = None  # what the ready file says
    _members: tuple[ReplicaPlace, ...] | None = None  # as a leader told last; None: as it began
    _statuses: dict[int, dict[str, Any]] = attrs.field(factory=dict)  # {replica: what it said of itself when a leader was looked for}
    _loss: MemoryLoss = attrs.field(factory=MemoryLoss)
    _stopping: bool = False
    _news: trio.Event = attrs.field(factory=trio.Event)  # set, and replaced, when anything here changes

    @property
    def children(self) -> dict[int, Child]:
        """``{replica id: process}``, the last one of a dead replica."""
        return {replica_id: keeper.child for replica_id, keeper in self.keepers.items() if keeper.child is not None}

    @property
    def alive(self) -> list[int]:
        """Ids of the replicas whose process lives."""
        return [replica_id for replica_id, keeper in self.keepers.items() if keeper.alive]

    @property
    def present(self) -> ClusterFile:
        """The cluster's members: those of our replicas that were not removed, and those of others that came, whose processes are not ours."""
        if self._members is None:
            return self.file
        own = {place.id: place for place in self.file.replicas}
        return attrs.evolve(self.file, replicas=tuple(own.get(place.id, place) for place in self._members))

    # ------------------------------------------------------------------------------------------------------------------ for scripts

    def kill(self, replica_id: int, *, restart: bool = True) -> None:
        """Kill a replica (SIGKILL); without ``restart`` it is left dead, else the cluster's policy decides."""
        self.keepers[replica_id].kill(restart=restart)

    async def restart(self, replica_id: int) -> Child:
        """Start a replica that is dead, or was killed just now, without a pause; return its process when it listens.

        Raises:
            LeftDead: It refused to run too many times.
        """
        self.keepers[replica_id].restart()
        return await self.restarted(replica_id)

    async def restarted(self, replica_id: int) -> Child:
        """Wait until a replica has a process that listens, after ``kill`` another one than before; return it.

        Raises:
            LeftDead: It will not be started again.
        """
        return await self.keepers[replica_id].listening()

    async def wait_over(self) -> str:
        """Wait until the cluster cannot serve any more, whatever comes; return why, in words."""
        while not (self._loss.verdict or all(keeper.left_dead for keeper in self.keepers.values())):
            await self._news.wait()
        return self._loss.verdict or "no replica is left"

    async def wait_ready(self, timeout: float, *, patient: bool = False) -> None:
        """Wait until a leader serves and as many replicas listen as must.

        Args:
            timeout: Seconds.
            patient: When they are over, only say so, and wait on.

        Raises:
            ClusterFailed: So many replicas are left dead that it never will be, or the time did not suffice.
        """
        with trio.move_on_after(timeout):
            await self._until_ready()
            return
        if not patient:
            listening = sum(keeper.listens for keeper in self.keepers.values())
            raise ClusterFailed(f"no leader served within {timeout:g} s; {listening} of {len(self.keepers)} replicas listened")
        self._say(f"no leader serves after {timeout:g} s; replicas may be reading long logs")
        await self._until_ready()

    async def _until_ready(self) -> None:
        while not self._ready:
            dead = [keeper for keeper in self.keepers.values() if keeper.left_dead]
            if len(self.keepers) - len(dead) < self._needed:
                raise ClusterFailed(f"replica {dead[0].replica_id} {dead[0].ending} before a leader served")
            await self._news.wait()

    # ------------------------------------------------------------------------------------------------------------------ what happens

    def changed(self, line: str) -> None:
        """Take note that a process started or ended, and tell the user a line if there is one."""
        if self._stopping:
            return
        if line:
            self._say(f"{line}{self._outlook()}")
        self._tell(self.file.leader)

    def _outlook(self) -> str:
        """Say what is left after a death; nothing before the cluster was ready."""
        alive, total = len(self.alive), len(self.keepers)
        if not self._ready:
            return ""
        if alive > total // 2:
            return f", {alive} of {total} go on"
        return f", {alive} of {total} are no majority: nothing commits"

    def _tell(self, leader: int | None) -> None:
        """Bring ``file`` and the ready file up to date, and wake who waits for a change."""
        alive = {replica_id: self.children[replica_id].pid for replica_id in self.alive}
        places = tuple(attrs.evolve(place, pid=alive.get(place.id)) for place in self.file.replicas)
        self.file = attrs.evolve(self.file, replicas=places, leader=leader if leader in self._admins() else None)
        if self._ready and self.present != self._written:
            self._write(self.present)
        news, self._news = self._news, trio.Event()
        news.set()

    def _write(self, file: ClusterFile) -> None:
        self._written = file
        if self._ready_file is None:
            return
        try:
            write_ready_file(file, self._ready_file)
        except OSError as error:  # its folder is gone, or the disk is full: the cluster does not depend on it
            self._say(f"cannot write {self._ready_file}: {error.strerror}")

    async def stop(self) -> None:
        """End all replicas: asked first, killed after the grace."""
        self._stopping = True
        await stop_all(self.keepers.values(), GRACE_SECONDS)
        self._tell(None)

    # ------------------------------------------------------------------------------------------------------------------ who leads

    async def follow_leader(self) -> None:
        """Ask the replicas who leads, again and again, and keep the ready file true.

        While one leads, it alone is asked, who belongs to the cluster too, which costs it nothing: ``/status`` brings its state hash up to date.
        """
        while True:
            if self.file.leader is None or not await self._still_leads(self.file.leader):
                await self._look_for_members()
                self._lead(await self._serving_leader())
                self._look_for_loss()
            if self.file.leader is not None:
                await trio.sleep(_LEADING_POLL_SECONDS)
            else:
                await trio.sleep(_LEADERLESS_POLL_SECONDS if self._ready else _START_POLL_SECONDS)

    def _admins(self) -> dict[int, str]:
        """Return ``{id: admin address}`` of the replicas that may lead: those of ours that live, and members that are not ours."""
        ours = {replica_id: self.file.replica(replica_id).admin for replica_id in self.alive}
        return {place.id: place.admin for place in self._members or () if place.id not in self.keepers and place.admin} | ours

    async def _look_for_members(self) -> None:
        """Ask everybody who belongs to the cluster: one that came may lead now, before the leader that let it in was asked again."""
        found = await present_members(self.present, _MEMBERS_SECONDS) if self._ready else None
        if found is not None and found.told is not None:
            self._members = found.members.replicas

    async def _still_leads(self, replica_id: int) -> bool:
        try:
            answer = await get(self._admins().get(replica_id, ""), "/members")
            told = json.loads(answer.body) if answer.status == 200 else {}  # noqa: PLR2004 - HTTP
        except (AdminUnreachable, AddressError, ValueError):
            return False
        if told.get("leader") != replica_id:
            return False
        if not told["pending"]:
            members = tuple(sorted((place_told(row) for row in told["members"]), key=lambda place: place.id))
            if members != self._members:
                self._members = members
                self._tell(replica_id)
        return True

    def _lead(self, leader: int | None) -> None:
        """Take note of who leads now, if it has not died since it said so."""
        leader = leader if leader in self._admins() else None
        if not self._ready:
            self._ready = leader is not None and sum(keeper.listens for keeper in self.keepers.values()) >= self._needed
            if not self._ready:
                return
        elif leader == self.file.leader:
            return
        elif leader is not None:
            self._say(f"replica {leader} leads")
        self._tell(leader)

    def _look_for_loss(self) -> None:
        """Find out whether nobody can lead any more, because too many forgot what they had in memory."""
        if not self._ready or self.file.durability != "memory" or self._loss.verdict:
            return
        dead = [replica_id for replica_id in self.keepers if replica_id not in self.alive]
        suspected = lost(self._statuses, dead, self.keepers) if self.file.leader is None else ""
        if self._loss.look(suspected, trio.current_time()):
            self._tell(None)

    async def _serving_leader(self) -> int | None:
        """Return the id of the replica that leads the highest view and says it can serve."""
        found: list[tuple[int, int]] = []  # (view, id)
        self._statuses = {}

        async def ask(replica_id: int, admin: str) -> None:
            try:
                status = self._statuses[replica_id] = await get_status(admin)
                if status.get("role") == "leader" and (await get(admin, "/readyz")).status == 200:  # noqa: PLR2004 - HTTP
                    found.append((int(status.get("view", 0)), replica_id))
            except AdminUnreachable:
                pass  # starting, stopped or dead: not a leader that serves

        async with trio.open_nursery() as nursery:
            for replica_id, admin in self._admins().items():
                nursery.start_soon(ask, replica_id, admin)
        return max(found)[1] if found else None


@asynccontextmanager
async def local_cluster(
    replicas: int | None,
    settings: Settings,
    *,
    port: int | None = 0,
    data_dir: Path | None = None,
    ready_file: Path | None = None,
    ready_seconds: float | None = None,
    restarts: RestartPolicy | None = RESTARTS,
    program: Sequence[str] = REPLICA_PROGRAM,
    say: Callable[[str], None] | None = None,
    seen_by: Callable[[ClusterFile], Awaitable[Mapping[int, Path]]] | None = None,
) -> AsyncIterator[LocalCluster]:
    """Run a cluster on this machine for the length of the block; inside it a leader serves.

    Of a new cluster all replicas listen by then; of one that is resumed at least a majority.

    Args:
        replicas: 1, 3, 5, 7 or 9; None: as many as the folder's cluster has, or 3.
        settings: Of all replicas. Addresses are bases: replica i listens at the port plus i (0: any free port).
        port: Base port on loopback, 0 for free ports; None to take ``settings.listen`` and its neighbours.
        data_dir: Folder of the cluster, made if missing; the cluster in it is resumed. None for a temporary one.
        ready_file: Written when a leader serves and whenever a pid or the leader changes; an old one is removed first.
        ready_seconds: Time for a leader to serve; None: 20 for a new cluster, any for one that is resumed.
        restarts: When dead replicas are started again; None: never. Whatever it says, one that has forgotten what it acknowledged stays dead.
        program: What runs a replica; takes the flags of ``triskele replica``.
        say: Takes each line for the user: what happens here, and what replicas write, their id in front. None: standard error.
        seen_by: Makes the cluster file that each replica is given, before the first one starts: ``{replica id: file}``. None: one file for all.

    Raises:
        SettingError: Wrong number, address or folder, or one that contradicts the folder's cluster.
        ListenError: A port is taken.
        ClusterFailed: No leader served in time, or too many replicas ended before that.
    """
    say = say or Lines()
    if ready_file is not None:
        _remove_old(ready_file)
    with open_folder(data_dir) as folder:
        replicas, settings = folder.agree(replicas, settings)
        with reserve_ports(replicas, settings, port) as ports:
            file = folder.write(replicas, settings, ports)
            files = dict.fromkeys(range(replicas), folder.file) if seen_by is None else await seen_by(file)
            cluster = LocalCluster(file, {}, replicas if folder.held is None else replicas // 2 + 1, ready_file, say)

            async def start(replica_id: int) -> Child:
                flags = ["--cluster", str(files[replica_id]), *settings.as_flags()]
                return await start_child(program, replica_id, flags, ports.listen(replica_id), say)

            # One that is alone and kept its data in memory would wait for ever for somebody who knows what it forgot.
            hopeless = settings.durability == "memory" and replicas == 1
            policy = restarts if restarts is not None and not hopeless else NO_RESTART
            cluster.keepers |= {number: Keeper(number, start, policy, say, cluster.changed) for number in range(replicas)}
            async with _running(cluster):
                await cluster.wait_ready(ready_seconds or READY_SECONDS, patient=folder.held is not None and ready_seconds is None)
                yield cluster


@asynccontextmanager
async def _running(cluster: LocalCluster) -> AsyncIterator[None]:
    """Run a cluster's replicas for the length of the block."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            for keeper in cluster.keepers.values():
                nursery.start_soon(keeper.run)
            nursery.start_soon(cluster.follow_leader)
            yield
        except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as error:  # noqa: BLE001 - raised again below: a nursery wraps it
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
