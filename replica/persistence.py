"""Takes a core's journal to its data folder, and tells the driver when a batch is safe.

One sync covers whatever was written when it began.  While syncs are short the turn waits for it; when they are long (``SyncPolicy`` measures), or
this one turns out to be (``PATIENCE_SECONDS``), turns go on: heartbeats and causal reads never wait for a disk.  Nor does a turn wait for the next
segment of the log: what has no room in this one is written, and safe, later.  With ``memory`` durability there
is no log, and the few views and votes go into the folder's facts.

Whatever the disk refuses ends the process: ``DiskFailed`` leaves the turn, the driver is broken, nothing more is said to anybody. Only a snapshot
that finds no room does not, unless a leader sent it: it promises nothing, and the log that it was to replace is whole.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import trio

from replica.core.journal import Durable, Installed, JournalError, Voted
from replica.journal_codec import decode_record, encode_metadata, encode_record, restore, snapshot_chunks
from replica.reading import Progress
from replica.storage import snapshots
from replica.storage.errors import Corrupt, DiskFull
from replica.storage.log import DurableLog
from replica.storage.records import BATCH_BYTES_MAX, batch_bytes
from replica.storage.sync_thread import InPlace
from replica.storage.syncing import SyncPolicy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from replica.core.journal import JournalRecord
    from replica.core.node import Node
    from replica.storage.folder import DataFolder
    from replica.storage.jobs import SyncJob
    from replica.storage.records import Record
    from replica.storage.sync_thread import JobRunner

logger = logging.getLogger("triskele.replica")

VOTED, DURABILITY = "voted", "durability"
"""Facts of the data folder: the view and the vote with ``memory`` durability; what kind of durability the folder was made for."""
PATIENCE_SECONDS = 0.005
"""How long a turn waits for its sync; one that takes longer is left to itself, and the turn goes on."""
POLL_SECONDS = 0.01
"""How often a snapshot that is written looks whether the log's checkpoint is safe too."""


def recall(folder: DataFolder) -> Durable | None:
    """Tell what a replica of ``memory`` durability finds: its view and vote, and that the rest is forgotten; None in a new folder."""
    view, voted_for = folder.recall(VOTED, [0, -1])
    return None if folder.created else Durable(voted=Voted(view, voted_for), forgotten=True)


def load(
    folder: DataFolder,
    tombstone_sessions_max: int,
    open_log: Callable[..., tuple[DurableLog, list[Record]]] = DurableLog.open,
    progress: Progress | None = None,
) -> tuple[DurableLog, Durable | None]:
    """Read a folder of ``disk`` durability: the newest snapshot, and the log above it.

    Args:
        folder: the folder.
        tombstone_sessions_max: see ``CoreConfig``.
        open_log: see ``Surroundings``.
        progress: is told how far the reading is.

    Returns:
        (the log, ready to be written; what it tells, None in a new folder).

    Raises:
        StorageError: the folder cannot be used; nothing was changed.
    """
    snapshots.remove_unfinished(folder.disk)
    durable, progress = Durable(), progress or Progress()
    index = snapshots.latest(folder.disk)
    if index is not None:
        reader = snapshots.SnapshotReader(folder.disk, index)
        chunks = progress.count("the snapshot", iter(reader), reader.chunks)
        durable.applied = restore(reader.metadata, chunks, tombstone_sessions_max, f"{folder.disk.path}/{snapshots.snapshot_name(index)}")
        reader.close()
        progress.told.append(f"a snapshot of {reader.content_bytes} bytes up to entry {index}")
    log, records = open_log(folder.disk, create=folder.created or not folder.recall("log", default=False))
    if not folder.recall("log", default=False):
        folder.remember("log", value=True)
    try:
        told = (
            decode_record(record.kind, record.payload, f"{folder.disk.path}: record {record.position}")
            for record in progress.count("the log", records, len(records))
        )
        whole = durable.replay(told, whole=not records or records[0].position == 1)
        if records:
            progress.told.append(f"{len(records)} records of a log of {log.size_bytes()} bytes")
    except JournalError as error:
        raise Corrupt(folder.disk.path, 0, f"{error}: a snapshot or a segment of the log is missing") from None
    if not whole:
        _begin_anew(log, durable)
    return log, None if folder.created else durable


def _begin_anew(log: DurableLog, durable: Durable) -> None:
    """Drop what was written behind a snapshot that never came to disk, so that the next start does not meet it."""
    segment = log.begin_anew([encode_record(record) for record in durable.records()])
    log.sync()
    log.discard_below(segment)


async def _in_thread(call: Callable[..., Any], *arguments: object) -> Any:
    return await trio.to_thread.run_sync(call, *arguments)


class Persistence:
    """Writes batches and syncs them.

    Args:
        folder: the replica's; None for one that can never come back.
        log: its log; None with ``memory`` durability.
        in_thread: calls a function that waits for the disk; see ``Surroundings``.

    Attributes:
        node: whose state snapshots tell; given with ``checkpoint`` before the first batch.
        checkpoint: tells everything that a journal must tell beyond the node's applied state at the moment.
        on_persisted: told the number of a batch that became safe outside of a turn; it may raise what a turn may raise.
        policy: where the next sync runs.
        runner: runs those syncs that a turn waits for; a process gives one that lets the turn go on when it takes too long.
        syncs: how many there were, views and votes of ``memory`` durability included.
    """

    def __init__(self, folder: DataFolder | None, log: DurableLog | None, in_thread: Callable[..., Awaitable[Any]] = _in_thread) -> None:
        self.in_thread = in_thread
        self.folder = folder
        self.log = log
        self.on_persisted: Callable[[int], None] = lambda _batch: None
        self.node: Node | None = None
        self.checkpoint: Callable[[], list[JournalRecord]] = list
        self._installing = False  # a leader's snapshot replaced the state and is not on disk yet: no batch is safe
        self._install_wanted = trio.Event()
        self._snapshots = trio.Lock()
        self.policy = SyncPolicy()
        self.runner: JobRunner = InPlace()
        self._batches: deque[tuple[int, int]] = deque()  # (position of a batch's last record, its number), not safe yet
        self._job: SyncJob | None = None
        self._making_segments = False  # there is a task that makes them: no turn has to
        self._sync_wanted = trio.Event()
        self._segment_wanted = trio.Event()
        self._votes = 0
        self._snapshot_begun_at = 0  # bytes of the log that a snapshot already stands for; a start counts all it found

    @property
    def syncs(self) -> int:
        """Syncs that ended well."""
        return self._votes + (self.log.syncs if self.log is not None else 0)

    def write(self, batch: int, records: list[JournalRecord]) -> bool:
        """Write a batch.

        Returns:
            Whether it is safe by now; else ``on_persisted`` will tell.

        Raises:
            DiskFailed: the disk refused.
        """
        log = self.log
        if log is None:
            self._remember(records)
            return True
        position = 0
        for record in records:
            position = log.append(*encode_record(record))
        written = log.write(waits=not self._making_segments)
        if log.prepare_wanted:
            self._segment_wanted.set()
        self._batches.append((position, batch))
        if any(isinstance(record, Installed) for record in records):
            self._installing = True
            self._install_wanted.set()
        if self._installing or not written:
            return False
        if self._job is not None or self.policy.threaded:
            self._sync_wanted.set()
            return False
        job = log.begin_sync()
        if not self.runner.run(job, PATIENCE_SECONDS):
            self._job = job
            self._sync_wanted.set()
            return False
        log.finish_sync(job)
        self.policy.measured(job.seconds)
        self._batches.clear()
        return True

    def _remember(self, records: list[JournalRecord]) -> None:
        voted = next((record for record in reversed(records) if isinstance(record, Voted)), None)
        assert voted is not None
        if self.folder is not None:
            self.folder.remember(VOTED, [voted.view, voted.voted_for])
        self._votes += 1

    async def run(self) -> None:
        """Do in threads what takes long: syncs, and making the next segment ahead; runs until cancelled.

        Raises:
            DiskFailed: the disk refused.
        """
        if self.log is None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sync, self.log)
            nursery.start_soon(self._make_segments, self.log)
            nursery.start_soon(self._install)

    async def _install(self) -> None:
        """Bring a leader's snapshot, which is applied already, to disk; only then is anything safe that was written behind it."""
        while True:
            await self._install_wanted.wait()
            self._install_wanted = trio.Event()
            await self.snapshot()
            if not self._install_wanted.is_set():
                self._installing = False
                self._sync_wanted.set()

    async def _make_segments(self, log: DurableLog) -> None:
        """Make the next segment ahead; what turns could not write for want of it is written here."""
        self._making_segments = True
        try:
            while True:
                await self._segment_wanted.wait()
                self._segment_wanted = trio.Event()
                while log.prepare_wanted:
                    await self._make_segment(log)
        finally:
            self._making_segments = False

    async def _make_segment(self, log: DurableLog) -> None:
        preparation = log.prepare()
        await self.in_thread(preparation.run)
        if log.written < log.appended:
            log.write(waits=preparation.failure is not None)  # raises it, if what waits has no room without that segment
            self._sync_wanted.set()

    async def _sync(self, log: DurableLog) -> None:
        while True:
            await self._sync_wanted.wait()
            self._sync_wanted = trio.Event()
            while self._job is not None or log.sync_wanted or (self._batches and self._batches[0][0] <= log.written and not self._installing):
                job = self._job
                if job is not None:  # a turn could not wait for it
                    await self.in_thread(self.runner.wait)
                else:
                    job = self._job = log.begin_sync()
                    await self.in_thread(job.run)
                upto = log.finish_sync(job)
                self._job = None
                self.policy.measured(job.seconds)
                batch = 0
                while not self._installing and self._batches and self._batches[0][0] <= upto:
                    batch = self._batches.popleft()[1]
                if batch:
                    self.on_persisted(batch)

    # ---------------------------------------------------------------------------------------------------------------------- snapshots

    @property
    def log_bytes(self) -> int:
        """Bytes of the log since the last snapshot was begun."""
        return self.log.size_bytes() - self._snapshot_begun_at if self.log is not None else 0

    async def shorten(self) -> None:
        """Replace the log by a snapshot. Nothing rests on one, so if there is no room for it the log is kept, until it has grown once more.

        Raises:
            DiskFailed: the disk refused otherwise.
        """
        log, began = self.log, trio.current_time()
        assert log is not None
        try:
            index = await self.snapshot()
        except DiskFull as error:
            logger.warning("no snapshot, and the log is kept: %s: %s; make room", error.file, error.why)
            self._snapshot_begun_at = log.size_bytes()
            log.forget_failed_preparation()  # the snapshot may have taken the room for the next segment
            if log.prepare_wanted:
                self._segment_wanted.set()
        else:
            logger.info("snapshot up to entry %d, %.1f s", index, trio.current_time() - began)

    async def snapshot(self) -> int:
        """Write the applied state of one moment to disk, in slices between turns, and drop the log that it makes needless.

        Returns:
            The index of the last entry in it.

        Raises:
            DiskFull: there is no room. What counts is what counted before.
            DiskFailed: the disk refused otherwise.
        """
        async with self._snapshots:
            return await self._write_snapshot()

    async def _write_snapshot(self) -> int:
        log, folder, node = self.log, self.folder, self.node
        assert log is not None
        assert folder is not None
        assert node is not None
        records = await self._encode_checkpoint(log, folder.disk.path)
        index, position = node.applied_index, node.applied_position
        view = node.log.view_at(index)
        assert view is not None
        sessions = node.sessions.snapshot()
        metadata = encode_metadata(index, view, position, len(sessions), node.configurations.at(index))
        chunks = snapshot_chunks(node.store.snapshot(), sessions)
        segment = log.begin_anew(records)
        needed, self._snapshot_begun_at = log.appended, log.size_bytes()
        writer = await self.in_thread(snapshots.SnapshotWriter, folder.disk, index, metadata)
        try:
            while chunk := next(chunks, b""):
                await self.in_thread(writer.write, chunk)
            while log.synced < needed:  # a snapshot without the log's new beginning would lack what the log says of newer entries
                self._sync_wanted.set()
                await trio.sleep(POLL_SECONDS)
            await self.in_thread(writer.commit)
        except BaseException:
            writer.abort()
            raise
        await self._discard(folder, log, segment, index)
        return index

    async def _encode_checkpoint(self, log: DurableLog, path: str) -> list[tuple[int, bytes]]:
        """Tell the moment of its return as records, for which the log has a segment ready: none is made while a turn waits."""
        room_bytes = 0
        while True:
            preparation = log.prepare(room_bytes)
            await self.in_thread(preparation.run)
            if preparation.failure is not None and not log.ready(room_bytes):
                raise preparation.failure
            if log.written < log.appended:  # waits for a segment: the checkpoint needs another one
                log.write(waits=False)
                self._sync_wanted.set()
            records = [encode_record(record) for record in self.checkpoint()]
            wanted = batch_bytes(payload for _, payload in records)
            if wanted > BATCH_BYTES_MAX:
                raise DiskFull(path, f"the log cannot begin anew with {wanted} bytes, {BATCH_BYTES_MAX} is most")
            if log.ready(wanted):
                return records
            room_bytes = wanted + wanted // 4  # it grows while the segment is made

    async def _discard(self, folder: DataFolder, log: DurableLog, segment: int, index: int) -> None:
        """Remove what the snapshot makes needless."""
        before = log.size_bytes()
        job = log.begin_discard(segment)
        await self.in_thread(job.run)
        log.finish_discard(job)
        self._snapshot_begun_at -= before - log.size_bytes()
        await self.in_thread(snapshots.discard_below, folder.disk, index)

    def close(self) -> None:
        """Close the log and give the folder back."""
        self.runner.close()
        if self.log is not None:
            self.log.close()
        if self.folder is not None:
            self.folder.close()
