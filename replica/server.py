"""A replica process: one nursery of tasks around one core.

Tasks: listeners (native, WebSocket, admin), dials to peers, the hub (all native links), the broadcast task (ends turns that others ask for), the
timers, the signals.  Readers and turns never await, so there is no lock; see docs/architecture.md for the picture.
"""

from __future__ import annotations

import logging
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import attrs
import trio

from replica.admin import AdminServer, Page, admin_routes, json_page
from replica.cluster_file import settings_for
from replica.collecting import spare, tune
from replica.core.config import CoreConfig
from replica.core.replica import Replica
from replica.driver import ReplicaDriver
from replica.guard import Guard
from replica.hello import Hello, HelloError, decode_hello, encode_hello, encode_refusal
from replica.home_folder import HomeFolder
from replica.listening import bound_address, open_sockets
from replica.operations import Operations
from replica.peering import Peering
from replica.profiling.collector import COLLECTOR
from replica.profiling.pages import Profiling
from replica.reading import read_folder
from replica.standing import Standing
from replica.statistics import process_statistics, render_prometheus
from replica.stop_limit import ended_after
from replica.stop_signals import open_stop_signals
from replica.storage.sync_thread import SyncThread
from replica.surroundings import PROCESS, Surroundings
from replica.upkeep import look_after_log
from replica.whereabouts import Whereabouts
from transport.adaptive import policy_named
from transport.errors import EndedEarly, HandshakeRefused
from transport.fault_points import reach
from transport.handshake import Identity
from transport.hub import Hub
from transport.limits import Limits
from transport.mesh import Mesh

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence

    from replica.cluster_file import ClusterFile
    from replica.config import Settings
    from transport.link import Link

logger = logging.getLogger("triskele.replica")

HAND_OVER_SECONDS_MAX = 1.0
"""How long a stopping leader waits for another to lead."""
DRAIN_SECONDS_MAX = 2.0
"""How long a stopping replica waits for held commands to be committed."""
STOP_SECONDS_MAX = 5.0
"""How long all of a stop may take."""
FOLD_KEYS = 1000
"""Keys hashed at a time for the state hash, about 2 ms."""


class Server:
    """One replica, from its first task to its last: a process's (``run``), or one of several in a nursery (``run_in_memory``).

    Args:
        settings: resolved.
        cluster: who is in the cluster.
        replica_id: who we are.
        surroundings: time, chance, threads, disks, and a network in memory.
        home: its folder, if it is open already.
    """

    def __init__(
        self, settings: Settings, cluster: ClusterFile, replica_id: int, surroundings: Surroundings = PROCESS, home: HomeFolder | None = None
    ) -> None:
        self.settings = settings
        self.cluster = cluster
        self.id = replica_id
        voters = tuple(place.id for place in cluster.replicas)
        self.home = home or HomeFolder(settings, cluster, replica_id, surroundings)
        self.incarnation = self.home.incarnation
        config = CoreConfig(
            id=replica_id, voters=voters, joins=self.home.joins, mode=settings.mode, leader=min(voters), durable=settings.durability == "disk",
            heartbeat_seconds=settings.heartbeat, election_seconds=settings.election_seconds,
            read_wait_seconds=settings.read_wait_seconds, forward_seconds=settings.forward_seconds,
            commands_in_flight_max=settings.commands_in_flight_max, witness_bytes_max=settings.witness_bytes_max,
            witness_commands_max=settings.witness_commands_max, sessions_max=settings.sessions_max, log_bytes_max=settings.log_bytes_max,
        )  # fmt: skip
        self.persistence, durable = self.home.load(config)
        self.core = Replica(config, durable, surroundings.draw, now=surroundings.clock())
        self.driver = ReplicaDriver(
            self.core, self.incarnation, persistence=self.persistence, frame_bytes_max=settings.frame_bytes_max, clock=surroundings.clock
        )
        self.persistence.node, self.persistence.checkpoint = self.core.node, self.core.checkpoint
        self.turns = self.driver.turns
        self.hub = Hub(self.turns)
        hello = Hello(
            cluster_id=cluster.cluster_id, mode=settings.mode, role="replica", id=replica_id, incarnation=self.incarnation, config=1, voters=voters
        )
        self.peering = Peering(self.core.node, cluster, hello, Standing(self.core, self.home, hello))
        self.driver.on_configured, self.driver.on_refused = self.peering.on_configured, self.peering.on_refused
        self.whereabouts = Whereabouts(self.core, cluster)
        self._strangers = 0
        limits = Limits(
            frame_bytes_max=settings.frame_bytes_max, out_queue_bytes_max=settings.out_queue_bytes_max,
            connections_max=settings.connections_max, handshake_seconds=settings.handshake_seconds,
        )  # fmt: skip
        self.mesh = Mesh(
            self.turns, encode_hello(self.peering.hello), self._judge, on_link_up=self._on_link_up, on_link_down=self.driver.on_link_down,
            on_frames=self.driver.on_frames, hub=self.hub, limits=limits, policy=policy_named(settings.batching, settings.batch_delay_us * 1e-6),
            refusal=encode_refusal, jitter=surroundings.draw,
            fabric=surroundings.fabric, fabric_name=surroundings.fabric_name,
        )  # fmt: skip
        self.peering.mesh = self.mesh
        self.stopping = ""
        self._stop_asked = trio.Event()
        self._admin: AdminServer | None = None
        self._hash_wanted = trio.Event()
        self.guard = Guard(self.core.divergence, self.home.folder if self.home.durable else None, self.turns.wake, self._silence)

    def _judge(self, payload: bytes) -> Identity:
        """Say who is at the other end, or refuse by name."""
        reach("handshake.judge")
        try:
            theirs = decode_hello(payload)
            self.peering.judge(theirs)
        except HelloError as error:
            raise HandshakeRefused(error.reason, error.detail, told=error.told, expected=error.reason == "removed") from None
        if theirs.role == "client":
            self._strangers += 1
            return Identity(f"client {self._strangers}", exclusive=False)
        if theirs.id == self.id:
            raise HandshakeRefused("own_id", f"replica {theirs.id} runs already")
        self.home.judge_peer(theirs.id, theirs.incarnation)
        return Identity(theirs.id, exclusive=True)

    def _on_link_up(self, identity: Identity, link: Link) -> None:
        self.driver.on_link_up(identity, link)
        if identity.exclusive and self.whereabouts.own:
            self.peering.introduce(link, self.whereabouts.own)

    # ------------------------------------------------------------------------------------------------------------------ what is shown

    def ready(self) -> list[str]:
        """Return why this replica cannot serve; nothing if it can."""
        node, reasons = self.core.node, []
        if self.stopping:
            reasons.append(f"stopping: {self.stopping}")
        if self.guard.verdict:
            return [*reasons, f"out of service: {self.guard.verdict}"]
        if self.driver.broken:
            reasons.append("broken: an invariant failed")
        if node.muted:
            reasons.append("it forgot what it had acknowledged, and waits for a view of its own to commit")
        if self.peering.gone:
            return [*reasons, self.peering.gone]
        if not node.votes:
            reasons.append(f"a learner: it catches up with the log, at position {node.applied_position}")
        if node.leader < 0:
            reasons.append(f"nobody is known to lead view {node.view}")
        elif node.leads and self.core.leader is not None and not self.core.leader.open:
            reasons.append(f"view {node.view} is not open: no majority has joined it")
        elif not node.leads and self.mesh.link_to(node.leader) is None:
            reasons.append(f"no link to the leader, replica {node.leader}")
        return reasons

    def status(self) -> dict[str, object]:
        """Return ``/status``: the core's state and the counters the load generator reads."""
        hashed = not self.core.node.store.fold(FOLD_KEYS)
        if not hashed:
            self._hash_wanted.set()
        status = self.core.status()
        status["state_hash"] = f"{self.core.node.store.state_hash():016x}" if hashed else None
        if self.peering.gone:
            status["role"] = "removed"
        status |= self.hub.longest_turns()
        status["out_of_service"] = self.guard.verdict
        status["counters"] = self.counters()
        return status

    def counters(self) -> dict[str, object]:
        """Return running totals since the start."""
        process, hub, driver = process_statistics(), self.hub.statistics(), self.driver.statistics
        calls = hub.syscalls
        return {
            "cpu_seconds": process.cpu_seconds,
            "rss_bytes": process.rss_bytes,
            "rss_peak_bytes": process.rss_peak_bytes,
            "syscalls": {"send": calls.send, "receive": calls.receive, "poll": calls.poll, "sync": self.persistence.syncs, "other": calls.other},
            "frames_out": hub.links.frames_out,
            "frames_in": driver.frames_in,
            "sends": calls.send,
            "commands": driver.commands_in,
            "applied_commands": driver.applied,
            "bytes_sent": hub.links.bytes_out,
            "bytes_received": hub.links.bytes_in,
            "turns": hub.turns,
            **self.hub.longest_turns(),
            "batch_delay_seconds": self.hub.batch_delay_seconds,
            "frames_per_send": list(hub.links.frames_per_send),
            "collector": COLLECTOR.counters(),
            "drops": dict(driver.drops),
            "links_closed": dict(self.mesh.statistics().reasons),
        }

    def metrics(self) -> str:
        """Return ``/metrics``."""
        status = {name: value for name, value in self.core.status().items() if isinstance(value, int | float)}
        admin = attrs.asdict(self._admin.statistics()) if self._admin is not None else {}
        return render_prometheus({**status, **self.counters(), "admin": admin}, labels={"replica": str(self.id)})

    # ------------------------------------------------------------------------------------------------------------------ running

    async def run(self, listening: Callable[[dict[str, str]], None], sockets: dict[str, socket.socket]) -> None:
        """Serve until a signal stops the process in order.

        Args:
            listening: told the bound addresses.
            sockets: from ``open_sockets``.
        """
        if self.persistence.log is not None:
            self.persistence.runner = SyncThread()
            self.hub.gathers = True  # a turn ends with a sync
        with ExitStack() as limit:
            try:
                addresses = {name: bound_address(opened) for name, opened in sockets.items()}
                self.whereabouts.own = (addresses["listen"], addresses["websocket"], addresses["admin"])
                listeners = [(addresses["listen"], sockets["listen"]), ("ws://" + addresses["websocket"] + "/", sockets["websocket"])]
                with open_stop_signals() as signals:
                    async with trio.open_nursery() as nursery:
                        await self._begin(nursery, listeners)
                        await nursery.start(self._serve_admin, sockets["admin"])
                        tune()
                        nursery.start_soon(self._keep, spare, lambda: self.core.node.store, name=spare)
                        urls = {"websocket": "ws://" + addresses["websocket"], "admin": "http://" + addresses["admin"]}
                        listening({"address": addresses["listen"], **urls})
                        async for number in signals:
                            limit.enter_context(ended_after(STOP_SECONDS_MAX))
                            await self._stop(signal.Signals(number).name)
                            break
                        nursery.cancel_scope.cancel()
                self._judge_end()
                self.guard.judge_end()
            finally:
                self.close()

    async def run_in_memory(self, listening: Callable[[], None]) -> None:
        """Serve over the surroundings' fabric, at our address in the cluster file, until ``stop``; no sockets, no signals, no admin listener.

        Args:
            listening: called when it listens.

        Raises:
            EndedEarly: it ended, and nobody asked it to.
        """
        try:
            async with trio.open_nursery() as nursery:
                await self._begin(nursery, [(self.cluster.replica(self.id).address, None)])
                listening()
                await self._stop_asked.wait()
                await self._stop("asked")
                nursery.cancel_scope.cancel()
            self._judge_end()
            self.guard.judge_end()
        finally:
            self.close()

    def stop(self) -> None:
        """Ask ``run_in_memory`` to stop in order."""
        self._stop_asked.set()

    def close(self) -> None:
        """Close the links and give the folder back; both ways to run do it at their end."""
        try:
            self.hub.close()
        finally:
            self.persistence.close()

    async def _begin(self, nursery: trio.Nursery, listeners: Sequence[tuple[str, socket.socket | None]]) -> None:
        """Start the tasks that every replica has; it listens when this comes back."""
        for task in (self.turns.run, self.hub.run, self.driver.run_timers, self._hash, self.guard.run):
            nursery.start_soon(self._keep, task, name=task)
        if self.persistence.log is not None:
            nursery.start_soon(self._keep, self.persistence.run, name=self.persistence.run)
            nursery.start_soon(self._keep, look_after_log, self.persistence, self.settings.log_on_disk_bytes_max, name=look_after_log)
        for address, opened in listeners:
            await nursery.start(self._listen, address, opened)
        nursery.start_soon(self._keep, self.peering.run, name=self.peering.run)
        reach("start.listening")
        self.turns.wake()

    async def _keep(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task that lives as long as its replica: without it the replica would go on half alive."""
        await task(*args)
        self._judge_end(getattr(task, "__qualname__", ""))

    def _judge_end(self, task: str = "") -> None:
        if not self.stopping and not self.guard.verdict:  # out of service nothing listens any more, and the process stays to be looked at
            raise EndedEarly(f"the task {task} ended by itself" if task else "all tasks were cancelled")

    async def _listen(self, address: str, opened: socket.socket | None, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        await self.mesh.listen(address, listening=opened, task_status=task_status)
        self._judge_end("Mesh.listen")

    async def _serve_admin(self, opened: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        routes = admin_routes(status=self.status, ready=self.ready, metrics=self.metrics)
        routes["/counters"] = lambda _query: self._counters_page()
        operations = Operations(self.core, self.hand_over, self.turns.wake, self.whereabouts)
        profiling = Profiling(f"replica {self.id}", self._counters_and_role)
        actions = operations.actions | {"/counters/mark": lambda _query: self._counters_page(mark=True)}
        taken = operations.parameters | profiling.parameters | {"/counters/mark": frozenset()}
        self._admin = AdminServer(routes | operations.routes | profiling.routes, actions, parameters=taken)
        await self._admin.serve([trio.SocketListener(trio.socket.from_stdlib_socket(opened))], task_status=task_status)

    def _counters_page(self, *, mark: bool = False) -> Page:
        if mark:
            self.hub.mark_turns()
        return json_page(self._counters_and_role())

    def _counters_and_role(self) -> dict[str, object]:
        role = "leader" if self.core.node.leads else "follower"
        return {"role": role, "incarnation": f"{self.incarnation:016x}", **self.counters(), **self.hub.turns_since_mark()}

    async def _hash(self) -> None:
        """Bring the state hash up to date in slices when somebody asked for it."""
        while True:
            await self._hash_wanted.wait()
            self._hash_wanted = trio.Event()
            reach("hash.begin")
            while self.core.node.store.fold(FOLD_KEYS):  # noqa: ASYNC110 - a slice of work each time, nothing to wait for
                await trio.sleep(0.01)

    def hand_over(self, peer: int = -1) -> bool:
        """Let another replica lead; returns whether there is one that can."""
        begun = self.core.hand_over(peer)
        self.turns.wake()
        return begun

    def _silence(self) -> None:
        """Hear and say nothing more, except on the admin listener."""
        self.driver.broken = True
        self.mesh.close_all("diverged")

    async def _stop(self, why: str) -> None:
        """Stop in order: accept nothing new, let what is held be committed, say goodbye."""
        self.stopping = why
        if self.guard.verdict:
            return  # there is nobody to say anything to
        reach("stop.begin")
        logger.info("stopping on %s", why)
        self.mesh.stop_accepting()
        if self.hand_over():
            with trio.move_on_after(HAND_OVER_SECONDS_MAX):
                while self.core.node.leads:  # noqa: ASYNC110 - the core is told, it tells nobody
                    await trio.sleep(0.005)
        reach("stop.handed_over")
        self.core.node.draining = True
        with trio.move_on_after(DRAIN_SECONDS_MAX):
            while self.core.node.witness.commands:  # noqa: ASYNC110 - the core is told, it tells nobody
                await trio.sleep(0.01)
        self.turns.wake()
        await trio.sleep(0.02)
        reach("stop.before_close")
        self.mesh.close_all("shutdown")


async def serve(settings: Settings, cluster: ClusterFile, replica_id: int, *, listening: Callable[[dict[str, str]], None] = lambda _: None) -> None:
    """Run one replica until a signal stops it (``open_stop_signals``).

    Args:
        settings: resolved settings; what the cluster file says is filled in.
        cluster: who is in the cluster.
        replica_id: who we are.
        listening: told the bound addresses when all ports are open.

    Raises:
        SettingError: settings and cluster contradict each other.
        ListenError: a port is taken.
        Diverged: it was out of service when it stopped.
    """
    settings = settings_for(settings, cluster, replica_id)
    with ExitStack() as closing:
        sockets = open_sockets(settings)
        for opened in sockets.values():
            closing.enter_context(opened)
        home = HomeFolder(settings, cluster, replica_id)
        await read_folder(home, sockets["admin"])
        await Server(settings, cluster, replica_id, home=home).run(listening, sockets)
