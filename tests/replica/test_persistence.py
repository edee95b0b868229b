from __future__ import annotations

from random import Random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from replica.core.journal import Durable, Installed, Voted
from replica.journal_codec import encode_metadata, encode_record, snapshot_chunks
from replica.persistence import load
from replica.storage import snapshots
from replica.storage.errors import Corrupt
from replica.storage.folder import DataFolder
from statemachine.sessions import EXPIRED_MAX, Sessions
from statemachine.store import Store
from tests.replica.core.lone import noop, vote
from tests.replica.replica_on_disk import A, B, ReplicaOnDisk, WatchedDisk, looks, reborn, small_segments


def busy() -> ReplicaOnDisk:
    """A replica with applied entries, uncommitted ones, a vote, and held commands, some of them not accepted."""
    replica = ReplicaOnDisk()
    replica.opens()
    replica.holds(A, b"x", b"y")
    replica.logs(A, 2, commit=True)
    replica.holds(A, b"x", b"z")
    replica.holds(B, b"q", b"z", b"r")
    replica.follows()
    replica.logs(B, 1)
    return replica


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
            trio.run(replica.persistence.snapshot)
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
            replica = do(replica, step, choice)
            moments.append(looks(replica.replica))
    found = looks(reborn(replica, seed).replica)
    for moment in moments:
        moment["commit"] = found["commit"]
    assert any(found["log"] == moment["log"] and found["chains"] == moment["chains"] and found["voted"] == moment["voted"] for moment in moments)


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
    with pytest.raises(Corrupt, match="memory: record 2.*no record has the kind 200"):
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


async def test_long_syncs_run_beside_the_turns_and_their_batches_are_told_in_order(nursery: trio.Nursery) -> None:
    replica = ReplicaOnDisk()
    persistence, log = replica.persistence, replica.log
    persistence.policy.threaded = True
    told: list[tuple[int, int]] = []
    all_told = trio.Event()

    def on_persisted(batch: int) -> None:
        told.append((batch, log.synced))
        if batch == 3:
            all_told.set()

    persistence.on_persisted = on_persisted
    nursery.start_soon(persistence.run)
    assert not persistence.write(1, [Voted(1, 0), Voted(2, 0)])
    await trio.testing.wait_all_tasks_blocked() if False else None
    assert not persistence.write(2, [Voted(3, 0)])
    assert not persistence.write(3, [Voted(4, 0)])
    await all_told.wait()
    assert [batch for batch, _ in told] == sorted(batch for batch, _ in told)
    assert all(synced >= {1: 2, 2: 3, 3: 4}[batch] for batch, synced in told)
    nursery.cancel_scope.cancel()
