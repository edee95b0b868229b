from __future__ import annotations

import errno
import threading
from random import Random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from replica.core.journal import Durable, Installed, Voted
from replica.journal_codec import encode_metadata, encode_record, snapshot_chunks
from replica.persistence import VOTED, Persistence, load
from replica.storage import snapshots
from replica.storage.errors import Corrupt, DiskFailed
from replica.storage.folder import DataFolder
from replica.storage.sync_thread import SyncThread
from replica.storage.syncing import SyncPolicy
from statemachine.sessions import EXPIRED_MAX, Sessions
from statemachine.store import Store
from tests.replica.core.lone import accept, noop, vote
from tests.replica.core.transfer import parts_of
from tests.replica.replica_on_disk import A, B, ReplicaOnDisk, WatchedDisk, acked, looks, reborn, small_segments
from tests.replica.thread_gate import Gate

# ----------------------------------------------------------------------------------------------------------------------------- load


def test_a_new_folder_tells_nothing_and_one_that_was_opened_before_tells_that() -> None:
    disk = WatchedDisk(Random(0))
    assert ReplicaOnDisk(disk).durable is None
    disk.kill()
    durable = ReplicaOnDisk(disk).durable
    assert durable is not None
    assert (durable.voted, durable.entries, durable.chains) == (Voted(0, -1), [], {})


STEPS = st.lists(st.tuples(st.sampled_from(("hold", "hold", "causal", "log", "log", "commit", "follow", "vote", "crash", "snapshot", "end")),
                           st.integers(0, 29)), max_size=25)  # fmt: skip


def do(replica: ReplicaOnDisk, step: str, choice: int) -> ReplicaOnDisk:
    session = (A, B)[choice % 2]
    match step:
        case "hold" | "causal":
            keys = [b"k%d" % ((choice + place) // 2 % 4) for place in range(1 + choice // 10)]
            replica.holds(session, *keys, causal=step == "causal", value=b"v" * (300 * (choice % 3)))
        case "log":
            replica.logs(session, 1 + choice // 15, commit=choice % 3 == 0)
        case "commit":
            replica.commits()
        case "follow":
            replica.follows()
        case "vote":
            replica.tell(2, vote(replica.view + 1, (99, 99), forced=True))
        case "crash":
            return reborn(replica, choice)
        case "snapshot":
            replica.snapshots()
        case _:
            replica.log.roll()
    return replica


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 9))
def test_after_a_crash_anywhere_in_a_history_a_replica_is_what_it_was(steps: list[tuple[str, int]], seed: int) -> None:
    replica = ReplicaOnDisk()
    replica.opens()
    for step, choice in steps:
        replica = do(replica, step, choice)
    assert looks(reborn(replica, seed).replica) == looks(replica.replica)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("hold", "log", "follow", "sync")), st.integers(0, 29)), min_size=3, max_size=15), st.integers(0, 9))
def test_after_a_crash_before_its_syncs_a_replica_is_what_it_was_at_a_batch_s_end(steps: list[tuple[str, int]], seed: int) -> None:
    """And at none before the last one that was said to be safe."""
    replica = ReplicaOnDisk()
    replica.opens()
    replica.persistence.policy.threaded = True
    moments = [looks(replica.replica)]
    for step, choice in steps:
        if step == "sync":
            replica.log.sync()
            del moments[:-1]
        else:
            do(replica, step, choice if step != "log" else choice // 3 * 3 + 1)  # nothing is committed
            moments.append(looks(replica.replica))
    assert looks(reborn(replica, seed).replica) in moments


def write_by_hand(disk: WatchedDisk, *records: object, snapshot: int = 0, view: int = 1) -> None:
    """Give a folder these records, and a snapshot of an empty store."""
    folder = DataFolder.open_disk(disk, cluster_id="c", replica_id=1)
    with small_segments():
        log, _ = load(folder, EXPIRED_MAX)
    for record in records:
        log.append(*encode_record(record))  # type: ignore[arg-type]
        log.write()
    log.sync()
    log.close()
    if snapshot:
        table = Sessions().snapshot()
        writer = snapshots.SnapshotWriter(disk, snapshot, encode_metadata(snapshot, view, snapshot, len(table)))
        for chunk in snapshot_chunks(Store().snapshot(), table):
            writer.write(chunk)
        writer.commit()
    disk.kill()


def loaded(disk: WatchedDisk) -> Durable:
    folder = DataFolder.open_disk(disk, cluster_id="c", replica_id=1)
    with small_segments():
        log, durable = load(folder, EXPIRED_MAX)
    log.close()
    disk.kill()
    assert durable is not None
    return durable


def test_what_follows_a_snapshot_that_never_came_to_disk_counts_for_nothing_now_and_later() -> None:
    """It was promised to nobody; and what is written after that start must count at the next."""
    disk = WatchedDisk(Random(0))
    write_by_hand(disk, Voted(1, 0), noop(1, 1), noop(2, 1), Installed(9, 1, 9), noop(10, 1), Voted(5, 2))
    for _ in range(2):
        durable = loaded(disk)
        assert (durable.voted, [entry.index for entry in durable.entries]) == (Voted(1, 0), [1, 2])
    write_by_hand(disk, noop(3, 1), Voted(2, 1))
    durable = loaded(disk)
    assert (durable.voted, [entry.index for entry in durable.entries]) == (Voted(2, 1), [1, 2, 3])


def test_what_follows_a_snapshot_that_is_on_disk_counts() -> None:
    disk = WatchedDisk(Random(0))
    write_by_hand(disk, Voted(1, 0), noop(1, 1), noop(2, 1), Installed(9, 1, 9), noop(10, 1), Voted(5, 2), snapshot=9)
    durable = loaded(disk)
    assert durable.applied is not None
    assert (durable.voted, [entry.index for entry in durable.entries], durable.applied.index) == (Voted(5, 2), [10], 9)


@pytest.mark.parametrize("seed", range(5))
def test_dropping_what_counts_for_nothing_may_be_cut_short(seed: int) -> None:
    disk = WatchedDisk(Random(0))
    write_by_hand(disk, Voted(1, 0), noop(1, 1), Installed(9, 1, 9), Voted(5, 2))
    left: list[WatchedDisk] = []
    disk.watch = lambda _: left.append(disk.crashed(seed))
    loaded(disk)
    disk.watch = None
    for other in left:
        durable = loaded(other)
        assert (durable.voted, [entry.index for entry in durable.entries]) == (Voted(1, 0), [1])


def test_a_log_with_a_hole_above_the_snapshot_is_refused() -> None:
    disk = WatchedDisk(Random(0))
    write_by_hand(disk, noop(7, 1), snapshot=5)
    with pytest.raises(Corrupt, match="entry 7 follows entry 5: a snapshot or a segment of the log is missing"):
        loaded(disk)


def test_a_record_of_another_version_is_refused_with_its_place() -> None:
    disk = WatchedDisk(Random(0))
    write_by_hand(disk, Voted(1, 0))
    folder = DataFolder.open_disk(disk, cluster_id="c", replica_id=1)
    with small_segments():
        log, _ = load(folder, EXPIRED_MAX)
    log.append(200, b"")
    log.write()
    log.sync()
    disk.kill()
    with pytest.raises(Corrupt, match=r"memory: record 2.*no record has the kind 200"):
        loaded(disk)


def test_a_log_that_is_gone_is_not_begun_anew() -> None:
    disk = WatchedDisk(Random(0))
    write_by_hand(disk, Voted(1, 0))
    for name in [name for name in disk.names() if name.startswith("log-")]:
        disk.remove(name)
    with pytest.raises(Corrupt, match="there was one"):
        loaded(disk)


def test_a_snapshot_that_was_not_finished_is_removed() -> None:
    disk = WatchedDisk(Random(0))
    write_by_hand(disk, Voted(1, 0))
    snapshots.SnapshotWriter(disk, 3, b"")
    loaded(disk)
    assert not [name for name in disk.names() if name.startswith("snapshot")]


# ------------------------------------------------------------------------------------------------------------------- batches and syncs


def test_a_short_sync_is_done_before_write_returns() -> None:
    replica = ReplicaOnDisk()
    assert replica.persistence.write(1, [Voted(3, 1)])
    assert (replica.log.synced, replica.persistence.syncs, replica.told) == (1, 1, [])


@pytest.fixture
def replica() -> ReplicaOnDisk:
    return ReplicaOnDisk()


async def test_long_syncs_run_beside_the_turns_and_their_batches_are_told_in_order(
    nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    replica.persistence.policy.threaded = True
    nursery.start_soon(replica.persistence.run)
    replica.tell(0, accept(1, (0, 0), noop(1, 1)))
    await gate.waits.wait()
    replica.tell(0, accept(1, (1, 1), noop(2, 1)))
    replica.tell(0, accept(1, (1, 2), noop(3, 1)))
    assert (replica.told, replica.log.synced) == ([], 0)
    gate.let_go(closed=True)
    await gate.waits.wait()
    assert (replica.told, replica.log.synced, replica.replica.node.journal.durable_index) == ([1], 1, 1)
    gate.let_go()
    await wait_all_tasks_blocked()
    assert (replica.told, replica.replica.node.journal.durable_index, replica.persistence.syncs) == ([1, 3], 3, 2)


async def test_a_sync_that_turns_out_to_be_long_does_not_hold_its_turn_up(
    nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing told beforehand that it would be."""
    monkeypatch.setattr("replica.persistence.PATIENCE_SECONDS", 0.001)
    device, runner = threading.Event(), SyncThread()
    replica.disk.watch = lambda operation: None if operation != "sync" else assert_in_time(device)
    replica.persistence.runner = runner
    assert not replica.persistence.policy.threaded
    nursery.start_soon(replica.persistence.run)
    sent = replica.tell(0, accept(1, (0, 0), noop(1, 1)))
    sent += replica.tell(0, accept(1, (1, 1), noop(2, 1)))  # turns go on
    assert (replica.told, replica.log.synced, max(acked(sent), default=0)) == ([], 0, 0)
    device.set()
    with trio.fail_after(5):
        while replica.told != [1, 2]:
            await trio.lowlevel.checkpoint()
    assert (acked(replica.turn()), replica.log.synced) == ([2], 2)
    replica.disk.watch = None
    replica.persistence.policy = SyncPolicy()
    monkeypatch.setattr("replica.persistence.PATIENCE_SECONDS", 5.0)
    assert replica.persistence.write(3, [Voted(3, 1)]), "it is short again, and the turn waits for it"
    runner.close()


def assert_in_time(event: threading.Event) -> None:
    assert event.wait(5.0)


async def test_nothing_is_acknowledged_before_its_sync_ended(nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    replica.persistence.policy.threaded = True
    nursery.start_soon(replica.persistence.run)
    sent = replica.tell(0, accept(1, (0, 0), noop(1, 1)))
    await gate.waits.wait()
    assert max(acked(sent + replica.turn()), default=0) == 0
    gate.let_go()
    await wait_all_tasks_blocked()
    assert acked(replica.turn()) == [1]


async def test_syncs_that_became_short_are_inline_again_when_none_is_under_way(
    nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    persistence = replica.persistence
    persistence.policy.threaded = True
    nursery.start_soon(persistence.run)
    assert not persistence.write(1, [Voted(1, 0)])
    await gate.waits.wait()
    persistence.policy.threaded = False
    assert not persistence.write(2, [Voted(2, 0)]), "one is under way"
    replica.replica.node.journal.batch = 3
    gate.let_go()
    await wait_all_tasks_blocked()
    assert replica.told == [1, 2]
    persistence.policy.threaded = False
    assert persistence.write(3, [Voted(3, 0)])


async def test_a_real_thread_syncs_too(nursery: trio.Nursery, replica: ReplicaOnDisk) -> None:
    told = trio.Event()
    replica.persistence.policy.threaded = True
    replica.persistence.on_persisted = lambda _: told.set()
    nursery.start_soon(replica.persistence.run)
    assert not replica.persistence.write(1, [Voted(1, 0)])
    await told.wait()
    assert replica.log.synced == 1


async def test_the_next_segment_is_made_ahead(nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    Gate(monkeypatch, closed=False)
    nursery.start_soon(replica.persistence.run)
    replica.opens()
    replica.holds(A, *[b"k%d" % number for number in range(5)], value=b"v" * 1000)
    await wait_all_tasks_blocked()
    assert len([name for name in replica.disk.names() if name.startswith("log-")]) == 2
    assert not replica.log.prepare_wanted


@pytest.mark.parametrize(("operation", "number"), [("write", errno.ENOSPC), ("sync", errno.EIO)])
def test_a_disk_that_refuses_in_a_turn_ends_the_turn_and_every_later_one(replica: ReplicaOnDisk, operation: str, number: int) -> None:
    replica.disk.fail_next(number, operation)
    with pytest.raises(DiskFailed, match="log-"):
        replica.persistence.write(1, [Voted(3, 1)])
    with pytest.raises(DiskFailed, match="log-"):
        replica.persistence.write(2, [Voted(4, 1)])


@pytest.mark.parametrize("what", ["sync", "a leader's snapshot"])
async def test_a_disk_that_refuses_in_a_thread_ends_the_task_and_nothing_is_told(
    replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    Gate(monkeypatch, closed=False)
    replica.persistence.policy.threaded = True
    if what == "sync":
        replica.tell(0, accept(1, (0, 0), noop(1, 1)))
        replica.disk.fail_next(errno.EIO, "sync")
    else:
        for part in parts_of(5, 1, 1):
            replica.tell(0, part)
        replica.disk.fail_next(errno.EIO, "rename", after=1)  # the segment is made, the snapshot is not
    with pytest.raises(BaseExceptionGroup) as caught:
        await replica.persistence.run()
    assert caught.group_contains(DiskFailed, match="Input/output")
    assert replica.told == []


# --------------------------------------------------------------------------------------------------------------------- without a log


async def test_with_memory_durability_views_and_votes_are_facts_of_the_folder_and_nothing_else_is_written() -> None:
    disk = WatchedDisk(Random(0))
    folder = DataFolder.open_disk(disk, cluster_id="c", replica_id=1)
    persistence = Persistence(folder, None)
    assert persistence.write(1, [Voted(2, -1), Voted(3, 1)])
    await persistence.run()
    assert (persistence.syncs, persistence.log_bytes) == (1, 0)
    assert not [name for name in disk.names() if name.startswith(("log-", "snapshot-"))]
    other = DataFolder.open_disk(disk.crashed(1), cluster_id="c", replica_id=1)
    assert other.recall(VOTED) == [3, 1]
    persistence.close()


def test_without_a_folder_nothing_is_kept() -> None:
    persistence = Persistence(None, None)
    assert persistence.write(1, [Voted(2, -1)])
    persistence.close()


def test_closing_gives_everything_back(replica: ReplicaOnDisk) -> None:
    replica.opens()
    replica.persistence.close()
    assert replica.disk.open_files == 0
    with pytest.raises(DiskFailed, match="closed"):
        replica.persistence.write(9, [Voted(2, -1)])
