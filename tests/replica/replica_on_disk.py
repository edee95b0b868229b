"""A real core whose journal goes to a data folder on a disk that can crash; its clients and peers are played by hand."""

from __future__ import annotations

import copy
import math
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import trio
from trio.testing import MockClock

from replica.core.config import CoreConfig
from replica.core.effects import LinkUp, Persisted, Received
from replica.core.messages import AcceptAck, Entry, Record
from replica.core.replica import Replica
from replica.persistence import Persistence, load
from replica.storage.folder import DataFolder
from replica.storage.log import DurableLog
from statemachine.command import CAUSAL, NOOP, OPEN
from statemachine.sessions import EXPIRED_MAX
from tests.replica.core.lone import CLIENT, accept
from tests.replica.storage.crashing_disk import CrashingDisk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from replica.core.journal import Durable
    from replica.core.messages import Message

A, B = 1, 2
SEGMENT_BYTES = 1 << 13


class WatchedDisk(CrashingDisk):
    """Tells before each operation; a copy tells nobody."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self.watch: Callable[[str], None] | None = None

    def maybe_fail(self, operation: str) -> None:
        if self.watch is not None:
            self.watch(operation)
        super().maybe_fail(operation)

    def crashed(self, seed: int) -> WatchedDisk:
        """Return what is left if power fails now."""
        other = self._copied()
        other.crash(Random(seed))
        return other

    def killed(self) -> WatchedDisk:
        """Return what is left if the process ends now."""
        other = self._copied()
        other.kill()
        return other

    def _copied(self) -> WatchedDisk:
        watch, self.watch = self.watch, None
        other = copy.deepcopy(self)
        self.watch = watch
        return other


@contextmanager
def small_segments(size_bytes: int = SEGMENT_BYTES) -> Iterator[None]:
    """Let new segments of a log be small."""
    defaults = vars(DurableLog)["open"].__func__.__kwdefaults__
    before, defaults["segment_bytes"] = defaults["segment_bytes"], size_bytes
    try:
        yield
    finally:
        defaults["segment_bytes"] = before


class ReplicaOnDisk:
    """Replica 1 of 3, from an opening of its folder to its end.

    Attributes:
        told: the batches that ``on_persisted`` told, in order.
    """

    def __init__(self, disk: WatchedDisk | None = None) -> None:
        self.disk = disk or WatchedDisk(Random(0))
        self.folder = DataFolder.open_disk(self.disk, cluster_id="c", replica_id=1, entropy=Random(1).randbytes)
        self.durable: Durable | None
        open_log = partial(DurableLog.open, segment_bytes=SEGMENT_BYTES, clock=lambda: 0.0)  # no sync is slow because the machine is busy
        log, self.durable = load(self.folder, EXPIRED_MAX, open_log)
        self.log = log
        self.persistence = Persistence(self.folder, log)
        self.config = CoreConfig(id=1, voters=(0, 1, 2), durable=True, election_seconds=math.inf)
        self.replica = Replica(self.config, self.durable)
        self.persistence.node, self.persistence.checkpoint = self.replica.node, self.replica.checkpoint
        self.persistence.on_persisted = self._on_persisted
        self.told: list[int] = []
        self.sent: list[tuple[int, Message]] = []
        self.replica.step(LinkUp(CLIENT, peer=False), 0.0)
        self.turn()

    def _on_persisted(self, batch: int) -> None:
        self.told.append(batch)
        self.replica.step(Persisted(batch), 0.0)

    def tell(self, source: object, *messages: Message) -> list[tuple[int, Message]]:
        """Give it a frame and end its turn; returns what it sends to peers then."""
        self.replica.step(Received(source, list(messages)), 0.0)
        return self.turn()

    def turn(self) -> list[tuple[int, Message]]:
        core = self.replica
        while True:
            while core.apply(1 << 30):
                pass
            batch, records = core.take_persist(0.0)
            if not records or not self.persistence.write(batch, records):
                break
            core.step(Persisted(batch), 0.0)
        effects = core.take_effects(0.0)
        core.check_invariants()
        core.node.witness.check_invariants()
        return [(peer, section) for peer, sections in effects.sends for section in sections]

    def snapshots(self) -> None:
        """It writes a snapshot, with nothing else going on."""
        self._do(self.persistence.snapshot)

    def shortens(self) -> None:
        """Its log has grown enough: it writes a snapshot if there is room."""
        self._do(self.persistence.shorten)

    def _do(self, what: Callable[[], Awaitable[object]]) -> None:
        async def beside_its_syncs() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.persistence.run)
                await what()
                nursery.cancel_scope.cancel()

        trio.run(beside_its_syncs, clock=MockClock(autojump_threshold=0))

    # -------------------------------------------------------------------------------------------------------------------- a small world

    def opens(self) -> None:
        """The leader of view 1 opens sessions ``A`` and ``B``."""
        self.tell(0, accept(1, (0, 0), Entry(1, 1, 0, [[OPEN, b"a", 30.0], [OPEN, b"b", 30.0]], [], [], [], [], b"", [], []), commit=1))

    def holds(self, session: int, *keys: bytes, causal: bool = False, value: bytes = b"v") -> None:
        """A client brings a session's next commands."""
        chain = self.replica.node.witness.chains[session]
        kinds = bytes([CAUSAL if causal else 0] * len(keys))
        self.tell(CLIENT, Record([session], [chain.held + 1], [len(keys)], [chain.held], [1], kinds, list(keys), [value] * len(keys)))

    def logs(self, session: int, count: int, *, commit: bool = False, value: bytes = b"w") -> None:
        """The leader's log brings a session's next commands; none of a session that has commands in the log already that are not applied."""
        log = self.replica.node.log
        first = self._logged(session) + 1
        keys = [b"%d-%d" % (session, number) for number in range(first, first + count)]
        entry = Entry(log.last_index + 1, self.view, log.last_position, [], [session], [first], [count], [1], bytes(count), keys, [value] * count)
        self.tell(self.leader, accept(self.view, (log.last_view, log.last_index), entry, commit=entry.index if commit else 0))

    def _logged(self, session: int) -> int:
        log, node = self.replica.node.log, self.replica.node
        number = node.sessions.table[session].applied
        for index in range(node.applied_index + 1, log.last_index + 1):
            entry = log.get(index)
            number += sum(count for other, count in zip(entry.sessions, entry.counts, strict=True) if other == session)
        return number

    def commits(self) -> None:
        """The leader says that the whole log is committed."""
        log = self.replica.node.log
        self.tell(self.leader, accept(self.view, (log.last_view, log.last_index), commit=log.last_index))

    def follows(self) -> None:
        """Another replica leads the next view; what is not committed here gives way to an entry of its own."""
        node = self.replica.node
        index, view = node.commit_index, node.view + 1
        before = node.log.view_at(index) or 0
        position = node.applied_position
        entry = Entry(index + 1, view, position, [[NOOP]], [], [], [], [], b"", [], [])
        self.tell(view % 2 * 2, accept(view, (before, index), entry))

    @property
    def view(self) -> int:
        """The present view."""
        return self.replica.node.view

    @property
    def leader(self) -> int:
        """Who leads it."""
        return max(self.replica.node.leader, 0)


def looks(replica: Replica) -> dict[str, object]:
    """Everything of a core that its disk must tell."""
    node = replica.node
    chains = {
        session: (
            chain.committed, chain.anchored, chain.accepted, chain.held,
            [(run.first + place, key, value) for run in chain.runs for place, (key, value) in enumerate(zip(run.keys, run.values, strict=True))],
        )
        for session, chain in node.witness.chains.items()
    }  # fmt: skip
    log = [node.log.get(index) for index in range(node.applied_index + 1, node.log.last_index + 1)]
    return {
        "voted": (node.view, node.voted_for), "log": log, "last": (node.log.last_index, node.log.last_view, node.log.last_position),
        "commit": node.commit_index, "store": node.store.freeze(), "sessions": node.sessions.freeze(), "chains": chains,
        "anchored": dict(node.witness.anchored), "commands": node.witness.commands,
    }  # fmt: skip


def reborn(live: ReplicaOnDisk, seed: int) -> ReplicaOnDisk:
    """Let power fail, and start with what the disk holds; a commit that nothing was written with is told again."""
    other = ReplicaOnDisk(live.disk.crashed(seed))
    node = other.replica.node
    node.commit(max(node.commit_index, min(live.replica.node.commit_index, node.log.last_index)))
    other.turn()
    return other


def acked(sent: list[tuple[int, Message]]) -> list[int]:
    """Return how far the acks to the leader reach."""
    return [section.match_index for _, section in sent if isinstance(section, AcceptAck)]
