"""A cluster in one nursery: real cores, drivers, meshes and client library over the in-memory fabric; only sockets and processes are missing.

Time is Trio's, so that a test with the ``autojump_clock`` fixture waits for nothing.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from replica.client_driver import ClientSettings, open_client
from replica.core.config import CoreConfig
from replica.core.replica import Replica
from replica.driver import ReplicaDriver
from replica.hello import Hello, decode_hello, encode_hello, encode_refusal, judge
from replica.persistence import Persistence
from replica.surroundings import Surroundings
from transport.fabric import Fabric
from transport.handshake import Identity
from transport.mesh import Mesh
from triskele.calls import on_completions
from triskele.client import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from replica.client_driver import ClientDriver, OnCompletions
    from replica.core.config import Mode


class MemoryReplica:
    """One replica: a core, its driver and its mesh."""

    def __init__(self, fabric: Fabric, config: CoreConfig) -> None:
        self.config = config
        self.core = Replica(config, now=trio.current_time())
        self.driver = ReplicaDriver(self.core, incarnation=1, persistence=Persistence(None, None), clock=trio.current_time)
        self.hello = Hello(cluster_id="memory", mode=config.mode, role="replica", id=config.id, incarnation=1, config=1, voters=config.voters)
        self.mesh = Mesh(
            self.driver.turns, encode_hello(self.hello), self._judge, on_link_up=self.driver.on_link_up, on_link_down=self.driver.on_link_down,
            on_frames=self.driver.on_frames, fabric=fabric, fabric_name=f"r{config.id}", refusal=encode_refusal,
        )  # fmt: skip
        self.scope = trio.CancelScope()
        self.clients = 0

    def _judge(self, payload: bytes) -> Identity:
        theirs = decode_hello(payload)
        judge(self.hello, theirs)
        if theirs.role == "client":
            self.clients += 1
            return Identity(f"client {self.clients}", exclusive=False)
        return Identity(theirs.id, exclusive=True)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled or broken."""
        with self.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.driver.turns.run)
                nursery.start_soon(self.driver.run_timers)
                await nursery.start(self.mesh.listen, f"memory:r{self.config.id}")
                for peer in self.config.voters:
                    if peer < self.config.id:
                        nursery.start_soon(self.mesh.dial, Identity(peer, exclusive=True), f"memory:r{peer}")
                self.driver.turns.wake()
                task_status.started()


@attrs.define(eq=False)
class MemoryCluster:
    """A running cluster."""

    fabric: Fabric
    replicas: dict[int, MemoryReplica]

    @property
    def addresses(self) -> list[str]:
        return [f"memory:r{replica}" for replica in self.replicas]

    def kill(self, replica: int) -> None:
        """End a replica at once; it tells nobody more than its links' ends."""
        self.replicas[replica].scope.cancel()

    @asynccontextmanager
    async def client(self, on_completed: OnCompletions = on_completions, settings: ClientSettings | None = None) -> AsyncIterator[ClientDriver]:
        """Connect a client to all replicas."""
        async with open_client(
            self.addresses,
            settings=settings,
            on_completions=on_completed,
            surroundings=Surroundings(clock=trio.current_time, fabric=self.fabric, fabric_name="client"),
        ) as driver:
            alive = [replica for replica in self.replicas.values() if not replica.scope.cancel_called]
            with trio.fail_after(10):
                while len(driver.mesh.links) < len(alive):  # noqa: ASYNC110 - the mesh tells its driver, nobody else
                    await trio.sleep(0.001)
            yield driver

    @asynccontextmanager
    async def store(self, timeout: float = 5.0) -> AsyncIterator[Store]:
        """Connect and open a session."""
        async with self.client() as driver:
            store = Store(driver, timeout)
            await store.open()
            try:
                yield store
            finally:
                store.close()
                driver.end_turn()


@asynccontextmanager
async def memory_cluster(count: int = 3, *, mode: Mode = "ho", seed: int = 0, **changes: Any) -> AsyncIterator[MemoryCluster]:
    """Run a cluster for the length of the block; what breaks a replica breaks the block."""
    fabric = Fabric(seed)
    voters = tuple(range(count))
    replicas = {replica: MemoryReplica(fabric, attrs.evolve(CoreConfig(id=replica, voters=voters, mode=mode), **changes)) for replica in voters}
    async with trio.open_nursery() as nursery:
        for replica in replicas.values():
            await nursery.start(replica.run)
        yield MemoryCluster(fabric, replicas)
        nursery.cancel_scope.cancel()
