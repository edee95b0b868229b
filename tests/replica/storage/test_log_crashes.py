"""The log against a list: crashes, kills and failures at any moment, on a disk that takes back what it did not promise."""

from __future__ import annotations

import errno
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from replica.storage.errors import DiskFailed
from replica.storage.log import DurableLog
from tests.replica.storage.crashing_disk import CrashingDisk

if TYPE_CHECKING:
    from replica.storage.jobs import SyncJob
    from replica.storage.records import Record
    from replica.storage.segments import Preparation

OPERATIONS = st.sampled_from(["write", "sync", "create", "rename", "remove", "sync_folder", "open", "read"])


class LogAgainstList(RuleBasedStateMachine):
    """``records`` is what was appended, ``durable`` how many of them were promised, ``dropped`` how many may be gone from the front."""

    @initialize(seed=st.integers(0, 1 << 32))
    def begin(self, seed: int) -> None:
        self.rng = Random(seed)
        self.disk = CrashingDisk(self.rng)
        self.records: list[tuple[int, bytes]] = []
        self.durable = 0
        self.dropped = self.dropping = 0
        self.checkpoints: dict[int, int] = {}  # {segment: position of its first record}
        self.failed = False
        self.together: set[int] = set()  # how many records there may not be: some of a checkpoint, but not all
        self.reopen()

    def reopen(self) -> None:
        """Start as often as it takes; what is found is from then on promised."""
        while (opened := self.try_open()) is None:
            self.disk.kill()
        self.log, found = opened
        self.job: SyncJob | None = None
        self.preparation: Preparation | None = None
        self.failed = False
        first = found[0].position if found else len(self.records) + 1
        assert [record.position for record in found] == list(range(first, first + len(found)))
        last = found[-1].position if found else 0
        assert self.durable <= last <= len(self.records)
        assert last not in self.together, "some of a checkpoint is there"
        assert self.dropped < first <= self.dropping + 1 or not found
        assert [(record.kind, record.payload) for record in found] == self.records[first - 1 : last]
        del self.records[last:]
        self.together = {count for count in self.together if count < last}
        self.durable = last
        self.dropped = self.dropping = first - 1 if found else 0
        self.checkpoints = {}
        for record in found:
            self.checkpoints.setdefault(record.segment, record.position)
        assert self.log.appended == self.log.synced == last

    def try_open(self) -> tuple[DurableLog, list[Record]] | None:
        try:
            return DurableLog.open(self.disk, segment_bytes=1500, entropy=self.rng.randbytes, clock=lambda: 0.0)
        except DiskFailed:
            return None

    @rule(kind=st.integers(0, 255), size=st.one_of(st.integers(0, 60), st.integers(300, 1400), st.just(4000)), pieces=st.integers(0, 2))
    def append(self, kind: int, size: int, pieces: int) -> None:
        payload = self.rng.randbytes(size)
        cut = size // 3
        self.attempt(lambda: self.log.append(kind, [payload[:cut], payload[cut:]] if pieces else payload))
        if not self.failed:
            self.records.append((kind, payload))
            assert self.log.appended == len(self.records)

    @rule()
    def write(self) -> None:
        self.attempt(self.log.write)

    @rule()
    def write_without_waiting(self) -> None:
        self.attempt(lambda: self.log.write(waits=False))

    @precondition(lambda self: self.job is None)
    @rule()
    def begin_sync(self) -> None:
        self.attempt(self.take_job)

    def take_job(self) -> None:
        self.job = self.log.begin_sync()

    @precondition(lambda self: self.job is not None)
    @rule()
    def run_sync(self) -> None:
        assert self.job is not None
        if not self.job.done:
            self.job.run()

    @precondition(lambda self: self.job is not None and self.job.done)
    @rule()
    def finish_sync(self) -> None:
        job, self.job = self.job, None
        assert job is not None
        self.attempt(lambda: self.log.finish_sync(job))
        self.durable = max(self.durable, self.log.synced)

    @precondition(lambda self: self.job is None)
    @rule()
    def write_and_sync(self) -> None:
        self.attempt(self.log.write)
        self.attempt(self.log.sync)
        self.durable = max(self.durable, self.log.synced)

    @rule()
    def roll(self) -> None:
        self.attempt(self.log.roll)

    @rule(sizes=st.lists(st.integers(0, 900), min_size=1, max_size=6))
    def begin_anew(self, sizes: list[int]) -> None:
        checkpoint = [(7, self.rng.randbytes(size)) for size in sizes]
        before = len(self.records)
        self.attempt(lambda: self.log.begin_anew(checkpoint))
        if self.log.appended > before:  # if it failed, some of it may have been queued, and none is there
            self.records += checkpoint
            self.together.update(range(before + 1, before + len(sizes)))

    @rule()
    def seal(self) -> None:
        self.attempt(self.log.seal)

    @rule()
    def prepare(self) -> None:
        self.attempt(self.take_preparation)

    def take_preparation(self) -> None:
        self.preparation = self.log.prepare()

    @precondition(lambda self: self.preparation is not None)
    @rule()
    def run_preparation(self) -> None:
        assert self.preparation is not None
        self.preparation.run()

    @precondition(lambda self: not self.failed)
    @rule(which=st.integers(0, 5))
    def discard(self, which: int) -> None:
        kept = [segment for segment in self.log._row.segments if 0 < segment.first <= self.log.synced]
        if kept:
            segment = kept[min(which, len(kept) - 1)]
            self.dropping = max(self.dropping, segment.first - 1)
            self.attempt(lambda: self.log.discard_below(segment.number))
            if not self.failed:
                self.dropped = max(self.dropped, segment.first - 1)

    @rule(operation=OPERATIONS, number=st.sampled_from([errno.EIO, errno.ENOSPC]), after=st.integers(0, 4))
    def let_fail(self, operation: str, number: int, after: int) -> None:
        self.disk.fail_next(number, operation, after)

    @rule(fail=st.one_of(st.none(), OPERATIONS), after=st.integers(0, 6))
    def crash(self, fail: str | None, after: int) -> None:
        self.disk.crash(self.rng)
        if fail:
            self.disk.fail_next(errno.EIO, fail, after)
        self.reopen()

    @rule()
    def kill(self) -> None:
        self.disk.kill()
        self.reopen()

    @precondition(lambda self: self.job is None)
    @rule()
    def close(self) -> None:
        with suppress(DiskFailed):
            self.log.close()
        assert self.disk.open_files == 0
        self.disk.kill()
        self.reopen()

    def attempt(self, step: object) -> None:
        assert callable(step)
        try:
            step()
        except DiskFailed:
            self.failed = True
        else:
            assert not self.failed, "a failed log went on"

    @invariant()
    def the_order_holds(self) -> None:
        if hasattr(self, "log"):
            assert self.durable <= self.log.written <= self.log.appended


LogAgainstList.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestLogAgainstList = LogAgainstList.TestCase


def test_a_thousand_crashes_in_the_middle_of_a_batch() -> None:
    """Writes that were not synced are torn in every way; what is found is what was promised, and a prefix of the rest."""
    outcomes = set()
    for seed in range(1000):
        rng = Random(seed)
        disk = CrashingDisk(rng)
        log, _ = DurableLog.open(disk, segment_bytes=4096, entropy=rng.randbytes, clock=lambda: 0.0)
        wanted: list[bytes] = []
        synced = 0
        for _ in range(rng.randrange(1, 6)):
            for _ in range(rng.randrange(1, 5)):
                wanted.append(rng.randbytes(rng.randrange(900)))
                log.append(1, wanted[-1])
            log.write()
            if rng.random() < 0.4:
                log.sync()
                synced = len(wanted)
        disk.crash(rng)
        _, records = DurableLog.open(disk, segment_bytes=4096, entropy=rng.randbytes, clock=lambda: 0.0)
        assert [record.payload for record in records] == wanted[: len(records)]
        assert len(records) >= synced
        outcomes.add((len(records) > synced, len(records) < len(wanted)))
    assert len(outcomes) == 4
