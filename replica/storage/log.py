"""The durable log: records go in, get positions, and are there after a crash once a sync told so.

Three steps, because they cost differently and belong to different moments of a turn. ``append`` only queues. ``write`` hands everything
queued to the system in one gathered write, microseconds. A sync waits for the device, 0.03 to 20 ms, and everything written when it began is
durable when it came back: group commit, as old as DeWitt et al. (SIGMOD 1984). A sync may run in a thread while appends and writes go on:
``begin_sync`` and ``finish_sync`` do the bookkeeping in the log's thread, the job between them touches descriptors only.

The log is a row of segment files (``segments``), so that the past can be dropped without copying the present. Who uses it writes a checkpoint
to a new segment (``begin_anew``), whole or not at all, syncs, and drops what is older (``discard_below``). ``records`` has the format and says how a
torn tail is told from damage; ``recovery`` applies that to a row of segments.

After any failure of the disk every further call raises again: what the device holds is unknown until a new process has read it.

What must not live here: what a record means, when to sync (``syncing``), snapshots.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from replica.storage.disk import remove_partials
from replica.storage.errors import CorruptLog, DiskFailed, disk_errors, words
from replica.storage.jobs import DiscardJob, SyncJob
from replica.storage.records import (
    HEAD_BYTES,
    KIND_MAX,
    RECORD_BYTES_MAX,
    SEGMENT_BYTES_MIN,
    SEGMENT_HEADER_BYTES,
    Queued,
    Record,
    batch_bytes,
    count_fitting,
    encode_batch,
)
from replica.storage.recovery import remove_tail, survey
from replica.storage.segment_row import SegmentRow
from replica.storage.segments import SEGMENT_BYTES, SEGMENT_PREFIX, segment_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replica.storage.disk import Disk
    from replica.storage.segments import Preparation, Segment


class DurableLog:
    """See the module; made by ``open``. All methods belong to one thread; the jobs' ``run`` may be called in any.

    Whatever uses the disk raises ``DiskFailed`` if it refuses, and everything does if it did before.

    Attributes:
        appended: position of the last record; 0 if there never was one.
        written: position of the last record that was handed to the system.
        synced: position up to which everything is durable.
        queued_bytes: payload bytes that wait for ``write``, or for a segment. They have no limit here: every turn ends with a ``write``, and
            what waits for a segment was told to nobody, so the commands that may be in flight limit it.
        syncs: how many syncs ended well.
        sync_seconds: how long they took together.

    Invariant: ``synced <= written <= appended``.
    """

    def __init__(self, disk: Disk, row: SegmentRow, position: int, *, clock: Callable[[], float]) -> None:
        self._disk = disk
        self._row = row
        self._clock = clock
        self._queue: list[Queued] = []
        self._dirty: list[Segment] = []  # written since the last sync began, in order
        self._syncing: SyncJob | None = None
        self._discarding: DiscardJob | None = None
        self._failure: DiskFailed | None = None
        self._told = 0  # what the last batch says was synced
        self.appended = self.written = self.synced = position
        self.queued_bytes = 0
        self.syncs = 0
        self.sync_seconds = 0.0

    @classmethod
    def open(
        cls,
        disk: Disk,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        create: bool = True,
        entropy: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.perf_counter,
    ) -> tuple[DurableLog, list[Record]]:
        """Open the log of a folder, or begin one; what it returns is durable.

        A torn tail is cut, durably. Takes as long as reading all segments, and needs memory for all records and one segment.

        Args:
            disk: the folder; this process alone writes to it.
            segment_bytes: size of new segments in bytes.
            create: begin a log if there is none; False if the caller knows that there was one.
            entropy: so many random bytes; a simulation gives its own.
            clock: seconds, to measure syncs; likewise.

        Returns:
            The log, and its records from the oldest segment on.

        Raises:
            CorruptLog: it holds what no crash leaves behind. Nothing was changed.
            ForeignFolder: another format version wrote it. Nothing was changed.
            DiskFailed: the disk refused.
        """
        assert segment_bytes >= SEGMENT_BYTES_MIN
        found = survey(disk, settle=True)
        if not found.segments and not create:
            raise CorruptLog(f"{disk.path}/{segment_name(1)}", 0, "the folder has no log, but there was one")
        with disk_errors(disk.path):
            remove_partials(disk, SEGMENT_PREFIX)
        remove_tail(disk, found)
        row = SegmentRow(disk, found.segments, segment_bytes=segment_bytes, entropy=entropy)
        log = cls(disk, row, found.next_position - 1, clock=clock)
        if row.resume():
            log.seal()
            log.sync()
        return log, found.records

    # ------------------------------------------------------------------------------------------------------------------------ writing

    def append(self, kind: int, payload: bytes | Sequence[bytes]) -> int:
        """Queue a record.

        Args:
            kind: 0 to 255; the caller's.
            payload: its bytes, or pieces of them in order; not to be changed until they are written.

        Returns:
            Its position.
        """
        self._check()
        parts = (payload,) if isinstance(payload, bytes) else payload
        size = sum(map(len, parts))
        assert 0 <= kind <= KIND_MAX, f"kind {kind}"
        assert size <= RECORD_BYTES_MAX, f"a record of {size} bytes"
        self._queue.append(Queued(kind, parts, size))
        self.queued_bytes += size
        self.appended += 1
        return self.appended

    def write(self, *, waits: bool = True) -> bool:
        """Hand everything queued to the system: one write, or one per segment where one fills up. Durable only after a sync.

        Args:
            waits: for the next segment, if it is needed; else what does not fit stays queued while ``prepare_wanted`` says that it is wanted.

        Returns:
            Whether nothing is queued any more.
        """
        self._check()
        queue = self._queue
        while queue:
            count = count_fitting(queue, self._row.last.room_bytes)
            if count:
                records = queue[:count]
                self._write_batch(records)
                del queue[:count]
                self.written += count
            elif waits or self._row.ready(self._room_wanted):
                self._make_room(SEGMENT_HEADER_BYTES + self._room_wanted)
            else:
                break
        self.queued_bytes = sum(record.size_bytes for record in queue)
        return not queue

    @property
    def _room_wanted(self) -> int:
        """Bytes that the next segment must have room for: a batch of the first record that is queued; 0 if none is."""
        return SEGMENT_BYTES_MIN - SEGMENT_HEADER_BYTES + self._queue[0].size_bytes if self._queue else 0

    def _write_batch(self, records: list[Queued]) -> None:
        segment = self._row.last
        assert segment.file is not None
        buffers = encode_batch(segment.header.salt, self.written + 1, self.synced, records)
        try:
            segment.file.write(segment.end_bytes, buffers)
        except OSError as error:
            raise self._fail(DiskFailed(f"{self._disk.path}/{segment.name}", f"write failed: {words(error)}")) from error
        segment.end_bytes += sum(map(len, buffers))
        if records and not segment.first:
            segment.first = self.written + 1
        if not self._dirty or self._dirty[-1] is not segment:
            self._dirty.append(segment)
        self._told = self.synced

    def seal(self) -> None:
        """Write down what is durable, if nothing written later does: damage to the last records can then be told from a torn tail.

        To be called when the log rests; it need not be synced. Does nothing where the segment has no room: the next one's first batch tells.
        """
        self._check()
        if not self._queue and self._told < self.synced and self._row.last.room_bytes >= HEAD_BYTES:
            self._write_batch([])

    # ------------------------------------------------------------------------------------------------------------------------ syncing

    @property
    def sync_wanted(self) -> bool:
        """Whether a sync begun now would make records durable that no sync under way does."""
        return self.written > (self._syncing.upto if self._syncing else self.synced)

    def begin_sync(self) -> SyncJob:
        """Begin a sync of everything written so far; one at a time. Run the job anywhere, then finish it here."""
        self._check()
        assert self._syncing is None, "one sync at a time"
        self._syncing = SyncJob(self._disk.path, self._dirty, self.written, self._clock)
        self._dirty = []
        return self._syncing

    def finish_sync(self, job: SyncJob) -> int:
        """Take note of a sync whose ``run`` came back.

        Returns:
            The position up to which everything is durable.

        Raises:
            DiskFailed: the sync failed; nothing that it covered may be promised to anybody, now or later.
        """
        assert job is self._syncing
        assert job.done
        self._syncing = None
        if job.failure is not None:
            self._fail(job.failure)
        self._check()
        self.synced = job.upto
        self.syncs += 1
        self.sync_seconds += job.seconds
        for segment in job.segments:
            self._retire(segment)
        return self.synced

    def sync(self) -> float:
        """Make everything written durable, here and now.

        Returns:
            Seconds that it took.
        """
        job = self.begin_sync()
        job.run()
        self.finish_sync(job)
        return job.seconds

    # ----------------------------------------------------------------------------------------------------------------------- segments

    @property
    def segment(self) -> int:
        """Number of the segment that takes the writes."""
        return self._row.last.number

    @property
    def oldest_segment(self) -> int:
        """Number of the first segment."""
        return self._row.segments[0].number

    @property
    def prepare_wanted(self) -> bool:
        """Whether the next segment should be made: half of this one is full, or what is queued waits for it. Who is about to ``begin_anew`` prepares
        in any case."""
        return self._failure is None and (self._row.prepare_wanted or bool(self._queue))

    def prepare(self, room_bytes: int = 0) -> Preparation:
        """Begin to make the next segment ahead: run the job in a thread; there is nothing to finish. The same job until it is used.

        Args:
            room_bytes: that it must have at least, as for what is queued; one that was prepared with less is replaced.

        Raises:
            DiskFailed: the disk failed before. What goes wrong in the job is raised by whoever needs the segment.
        """
        self._check()
        return self._row.prepare(max(room_bytes, self._room_wanted))

    def forget_failed_preparation(self) -> None:
        """Let a next segment that could not be made be tried again, because there may be room now."""
        self._row.forget_failure()

    def ready(self, room_bytes: int) -> bool:
        """Whether ``begin_anew`` with a batch of so many bytes finds its segment made."""
        return self._row.ready(room_bytes)

    def begin_anew(self, records: Sequence[tuple[int, bytes]]) -> int:
        """Write records to the start of a new segment as one batch: after a crash all of them are there, or none. What is queued goes before.

        Takes as long as making a segment, unless one is ``ready``.

        Args:
            records: (kind, payload) of each, as for ``append``; ``BATCH_BYTES_MAX`` together.

        Returns:
            The segment's number.
        """
        self.roll(batch_bytes(payload for _, payload in records))
        for kind, payload in records:
            self.append(kind, payload)
        assert count_fitting(self._queue, self._row.last.room_bytes) == len(records)
        self.write()
        return self.segment

    def roll(self, room_bytes: int = 0) -> int:
        """Write what is queued, then let the next record begin a new segment; the one there is, if nothing was written to it.

        Args:
            room_bytes: that it must have at least.

        Returns:
            The segment's number.
        """
        self.write()
        if not self._row.last.empty:
            self._make_room(SEGMENT_HEADER_BYTES + room_bytes)
        if self._row.last.room_bytes < room_bytes:
            self._make_room(SEGMENT_HEADER_BYTES + room_bytes)
        return self.segment

    def _make_room(self, size_bytes_min: int) -> None:
        try:
            left = self._row.make_room(size_bytes_min)
        except DiskFailed as error:
            raise self._fail(error) from error
        if left is not None:
            self._retire(left)

    def _retire(self, segment: Segment) -> None:
        """Close a segment's file once nothing more is written to it or synced."""
        if segment is not self._row.last and segment not in self._dirty and (self._syncing is None or segment not in self._syncing.segments):
            segment.close()

    def begin_discard(self, segment: int) -> DiscardJob:
        """Begin to remove all segments before this one, whose first record must be durable; one removal at a time."""
        self._check()
        assert self._discarding is None, "one removal at a time"
        kept = [found for found in self._row.segments if found.number >= segment]
        assert kept, f"there is no segment {segment}"
        assert kept[0].number == self.oldest_segment or 0 < kept[0].first <= self.synced, f"segment {segment} holds nothing durable yet"
        gone = self._row.segments[: len(self._row.segments) - len(kept)]
        assert all(found.file is None for found in gone)
        self._discarding = DiscardJob(self._disk, [found.name for found in gone])
        self._row.segments = kept
        return self._discarding

    def finish_discard(self, job: DiscardJob) -> None:
        """Take note of a removal whose ``run`` came back.

        Raises:
            DiskFailed: a file could not be removed.
        """
        assert job is self._discarding
        assert job.done
        self._discarding = None
        if job.failure is not None:
            self._fail(job.failure)
        self._check()

    def discard_below(self, segment: int) -> None:
        """Remove all segments before this one, whose first record must be durable, here and now."""
        job = self.begin_discard(segment)
        job.run()
        self.finish_discard(job)

    def size_bytes(self, since: int = 0) -> int:
        """Tell how many bytes were written to the segments from number ``since`` on, their headers included."""
        return self._row.size_bytes(since)

    # ------------------------------------------------------------------------------------------------------------------------ the end

    def close(self) -> None:
        """Give the descriptors back; seals the log but syncs nothing. What is queued is gone. Waits for a preparation under way.

        Raises:
            DiskFailed: the seal could not be written; the log is closed all the same.
        """
        self._queue.clear()
        self.queued_bytes = 0
        try:
            if self._failure is None and self.written == self.synced:
                self.seal()
        finally:
            self._row.abandon()
            self._dirty = []
            for segment in self._row.segments:
                if self._syncing is None or segment not in self._syncing.segments:  # else its number could become another file's
                    segment.close()
            self._failure = self._failure or DiskFailed(self._disk.path, "the log is closed")

    def _check(self) -> None:
        if self._failure is not None:
            raise DiskFailed(self._failure.file, self._failure.why)

    def _fail(self, failure: DiskFailed) -> DiskFailed:
        """Remember the first failure: every further call raises it again."""
        self._failure = self._failure or failure
        return failure
