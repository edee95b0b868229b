"""A cluster in one nursery as the simulator's checks want to see a world: histories, replicas, clients, and every turn looked at."""

from __future__ import annotations

import math
import random
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from replica.core.flights import Completion, CompletionKind
from tests.sim.history import History, Submission, Violation
from tests.sim.observer import Observer
from tests.sim.workload import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from replica.client_driver import ClientDriver
    from replica.core.effects import Effects
    from replica.core.replica import Replica
    from replica.server import Server
    from tests.sim.options import Options
    from triskele.testing import Cluster

STORY_EVENTS = 300
SNAPSHOT_BYTES = 6_000
ENTRIES_KEPT_MAX = 20
"""A short run sees snapshots, and followers that need one."""
SHORT_LOG_BYTES = 512


class WatchedCore:
    """A core whose turns an observer looks at before their effects leave."""

    def __init__(self, core: Replica, actor: ReplicaView, observer: Observer) -> None:
        self._core = core
        self._actor = actor
        self._observer = observer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def take_effects(self, now: float) -> Effects:
        effects = self._core.take_effects(now)
        self._observer.on_turn(self._actor, effects)  # type: ignore[arg-type]
        return effects


@attrs.define(eq=False)
class ReplicaView:
    """One replica as the checks see it; a dead one as it was when it died."""

    id: int
    name: str
    core: Replica
    server: Server
    cluster: Cluster
    lives: int = 0

    @property
    def alive(self) -> bool:
        """Whether it lives."""
        return self.cluster.servers.get(self.id) is self.server


@attrs.define(eq=False)
class ClientRun:
    """One client with its sessions' programs."""

    index: int
    stage: Stage
    programs: list[Program]
    alive: bool = True
    driver: ClientDriver | None = None
    planned: Exception | None = None
    cancelled: bool = False
    failure: BaseException | None = None
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    news: trio.Event = attrs.Factory(trio.Event)

    async def run(self, cluster: Cluster) -> None:
        """Submit until it is to leave, or until a fault strikes this client."""
        try:
            with self.scope:
                await self._submit(cluster)
        except Exception as error:  # noqa: BLE001 - judged by who planned it
            self.failure = error
        finally:
            self.alive = False
            for program in self.programs:
                program.track.dead = True

    async def _submit(self, cluster: Cluster) -> None:
        async with cluster.driver(self._on_completions, number=self.index) as self.driver:
            for program in self.programs:
                program.session = self.driver.client.open_session(program.track.token, program)
            self.driver.wake()
            while True:
                wanted = min(program.run(trio.current_time()) for program in self.programs)
                self.driver.wake()
                with trio.move_on_at(wanted):
                    await self.news.wait()
                self.news = trio.Event()

    def _on_completions(self, completions: list[Completion], now: float) -> None:
        for completion in completions:
            self._complete(completion, now)
        self.news.set()

    def _complete(self, completion: Completion, now: float) -> None:
        stage, handle = self.stage, completion.handle
        if completion.kind is CompletionKind.OPENED:
            assert isinstance(handle, Program)
            handle.opened = True
            stage.observer.registry.on_opened(handle.track, completion.session.id)
            return
        if completion.kind is CompletionKind.FLUSHED:
            assert isinstance(handle, tuple)
            stage.observer.on_flushed(*handle)
            return
        assert self.driver is not None
        operations = stage.history.complete(completion, stage.stamp(), now)
        for operation in operations:
            stage.tell(f"c{self.index}", operation)
        stage.observer.on_completed(operations, self.driver.client)
        if operations and isinstance(handle, Submission):
            next(program for program in self.programs if program.track is handle.track).learn(operations)


class Stage:
    """Stands in for ``tests.sim.world.World``."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.rng = random.Random(options.seed)
        self.history = History(causal_mode=options.mode in {"ho", "ht"})
        self.keys = [b"k%d" % number for number in range(options.keys)]
        self.story: deque[str] = deque(maxlen=STORY_EVENTS)
        self.values = 0
        self.calm_at = math.inf
        self._stamp = 0
        self._views: dict[int, ReplicaView] = {}
        self.clients: list[ClientRun] = []
        self.observer = Observer(self)  # type: ignore[arg-type]

    @property
    def now(self) -> float:
        """Virtual time, seconds."""
        return trio.current_time()

    @property
    def replicas(self) -> list[ReplicaView]:
        return [view for _, view in sorted(self._views.items())]

    def on_start(self, cluster: Cluster, server: Server) -> None:
        """Look at a replica from its first turn on."""
        view = self._views.get(server.id)
        if view is None:
            view = self._views[server.id] = ReplicaView(server.id, f"r{server.id}", server.core, server, cluster)
        else:
            self.observer.on_restart(view)  # type: ignore[arg-type]
        view.core, view.server = server.core, server
        view.lives += 1
        server.driver.core = WatchedCore(server.core, view, self.observer)  # type: ignore[assignment]
        # Below what a setting may be: in so short a run nothing else would ever be dropped.
        object.__setattr__(server.settings, "log_on_disk_bytes_max", SNAPSHOT_BYTES)
        object.__setattr__(server.core.node.config, "entries_kept_max", ENTRIES_KEPT_MAX)

    @contextmanager
    def short_logs(self, cluster: Cluster) -> Iterator[None]:
        """Let those that live keep next to nothing of their logs for a while: who is not there falls behind."""
        configs = [server.core.node.config for server in cluster.servers.values()]
        kept = [config.log_bytes_max for config in configs]
        for config in configs:
            object.__setattr__(config, "log_bytes_max", SHORT_LOG_BYTES)
        try:
            yield
        finally:
            for config, size in zip(configs, kept, strict=True):
                object.__setattr__(config, "log_bytes_max", size)

    def add_client(self, sessions: int, commands: int) -> ClientRun:
        """Make a client and its sessions' programs; ``run`` it."""
        client = ClientRun(len(self.clients), self, [])
        for _ in range(sessions):
            track = self.history.begin(client.index, len(self.history.tracks))
            weights = self.rng.choice(((4, 4, 2, 4), (4, 0, 4, 0), (0, 3, 0, 3), (1, 4, 4, 1)))
            client.programs.append(Program(self, track, weights, left=commands))  # type: ignore[arg-type]
        self.clients.append(client)
        return client

    # ------------------------------------------------------------------------------------------------------- as the simulator's world

    def stamp(self) -> int:
        self._stamp += 1
        return self._stamp

    def tell(self, who: str, what: object) -> None:
        self.story.append(f"{trio.current_time() * 1000:12.4f} ms  {who:9} {what}")

    def deep(self) -> None:
        """Look closely at every live replica, and for frames that somebody could not read."""
        self.observer.deep()
        for view in self.replicas:
            if view.alive and view.server.driver.statistics.drops:
                raise Violation(f"{view.name} refused an honest sender: {view.server.driver.statistics.drops}")
