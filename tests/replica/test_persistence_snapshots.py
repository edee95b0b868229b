from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from replica.storage import snapshots
from replica.storage.errors import Corrupt, DiskFailed
from replica.storage.segments import segment_numbers
from tests.replica.core.lone import accept, noop
from tests.replica.core.transfer import parts_of
from tests.replica.replica_on_disk import SEGMENT_BYTES, A, B, ReplicaOnDisk, WatchedDisk, acked, looks, reborn
from tests.replica.thread_gate import Gate


@pytest.fixture
def replica() -> ReplicaOnDisk:
    return ReplicaOnDisk()


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


# ------------------------------------------------------------------------------------------------------------- a leader's snapshot


async def test_nothing_is_safe_before_a_leader_s_snapshot_is_on_disk(
    nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bool] = []

    def nothing_is_told() -> None:
        if snapshots.latest(replica.disk) is None:
            looked.append(replica.told == [] and max(acked(replica.turn()), default=0) == 0)

    Gate(monkeypatch, closed=False).each = nothing_is_told
    nursery.start_soon(replica.persistence.run)
    for part in parts_of(5, 1, 1):
        replica.tell(0, part)
    replica.tell(0, accept(1, (1, 5), noop(6, 1)))
    await wait_all_tasks_blocked()
    assert len(looked) > 4
    assert all(looked)
    assert (replica.told, acked(replica.turn())) == ([2], [6])
    assert looks(reborn(replica, 1).replica) == looks(replica.replica)


async def test_the_second_snapshot_of_a_leader_comes_to_disk_too_before_anything_is_safe(
    nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    nursery.start_soon(replica.persistence.run)
    for part in parts_of(5, 1, 1):
        replica.tell(0, part)
    await gate.waits.wait()
    for part in parts_of(9, 1, 1):
        replica.tell(0, part)
    gate.let_go()
    await wait_all_tasks_blocked()
    assert (snapshots.snapshot_indexes(replica.disk), replica.told) == ([9], [2])


async def test_a_leader_s_snapshot_waits_for_one_that_is_being_written(
    nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica.opens()
    gate = Gate(monkeypatch)
    nursery.start_soon(replica.persistence.run)
    nursery.start_soon(replica.persistence.snapshot)
    await gate.waits.wait()
    gate.let_go(closed=True)
    await gate.waits.wait()
    for part in parts_of(9, 1, 1):
        replica.tell(0, part)
    gate.let_go()
    await wait_all_tasks_blocked()
    assert (snapshots.snapshot_indexes(replica.disk), replica.told) == ([9], [2])
    assert looks(reborn(replica, 2).replica) == looks(replica.replica)


@pytest.mark.parametrize("seed", range(3))
async def test_a_crash_before_a_leader_s_snapshot_is_on_disk_leaves_what_was_promised(
    nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    replica.opens()
    replica.holds(A, b"x", b"y")
    before, found = looks(replica.replica), list[object]()

    def crash() -> None:
        other = ReplicaOnDisk(replica.disk.crashed(seed))
        found.append(looks(other.replica) == before if snapshots.latest(other.disk) is None else other.replica.node.applied_index == 9)

    Gate(monkeypatch, closed=False).each = crash
    nursery.start_soon(replica.persistence.run)
    for part in parts_of(9, 1, 1):
        replica.tell(0, part)
    await wait_all_tasks_blocked()
    assert len(found) > 4
    assert all(found)


# ---------------------------------------------------------------------------------------------------------------------- snapshots


def test_a_snapshot_makes_older_segments_and_snapshots_needless() -> None:
    replica = busy()
    for _ in range(2):
        replica.log.roll()
        before = looks(replica.replica)
        replica.snapshots()
        assert snapshots.snapshot_indexes(replica.disk) == [replica.replica.node.applied_index]
        assert replica.log.oldest_segment == replica.log.segment
        assert looks(replica.replica) == before == looks(reborn(replica, 3).replica)
        replica.commits()


def test_log_bytes_count_from_the_last_snapshot() -> None:
    replica = busy()
    grown = replica.persistence.log_bytes
    replica.snapshots()
    assert replica.persistence.log_bytes == 0 < grown
    replica.holds(A, b"new", value=bytes(500))
    assert 500 < replica.persistence.log_bytes < 1000


async def test_turns_go_on_while_a_snapshot_is_written(nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    replica.opens()

    def turns() -> None:
        replica.holds(B, b"more")
        replica.logs(A, 1, commit=True)

    Gate(monkeypatch, closed=False).each = turns
    nursery.start_soon(replica.persistence.run)
    index = await replica.persistence.snapshot()
    await wait_all_tasks_blocked()
    assert snapshots.latest(replica.disk) == index < replica.replica.node.applied_index
    assert looks(reborn(replica, 5).replica) == looks(replica.replica)


def left_at_each_moment_of_a_snapshot(replica: ReplicaOnDisk, seed: int) -> list[WatchedDisk]:
    """Return what a crash before each operation of the disk leaves."""
    left: list[WatchedDisk] = []
    replica.disk.watch = lambda _: left.append(replica.disk.crashed(seed))
    replica.snapshots()
    replica.disk.watch = None
    assert len(left) > 10
    return left


@pytest.mark.parametrize("seed", range(3))
def test_a_crash_at_any_moment_of_a_snapshot_leaves_the_same_state(seed: int) -> None:
    replica = busy()
    before = looks(replica.replica)
    for other in left_at_each_moment_of_a_snapshot(replica, seed):
        assert looks(ReplicaOnDisk(other).replica) == before


@pytest.mark.parametrize("seed", range(3))
def test_entries_are_there_after_a_crash_between_the_removals_of_two_segments(seed: int) -> None:
    """Of a log whose beginning is gone already, only what the snapshot's own records say counts."""
    replica = ReplicaOnDisk()
    replica.opens()
    replica.logs(A, 1)
    replica.log.roll()
    replica.logs(A, 1)
    before = looks(replica.replica)
    for other in left_at_each_moment_of_a_snapshot(replica, seed):
        assert looks(ReplicaOnDisk(other).replica) == before


@pytest.mark.parametrize("seed", range(3))
def test_what_a_witness_promised_is_there_after_a_crash_between_the_removals_of_two_segments(seed: int) -> None:
    """Command 1 was acknowledged as accepted; whoever recovers must hear of it."""
    replica = ReplicaOnDisk()
    replica.opens()
    replica.holds(A, b"x")
    replica.log.roll()
    replica.holds(A, b"y")
    before = looks(replica.replica)
    for other in left_at_each_moment_of_a_snapshot(replica, seed):
        assert looks(ReplicaOnDisk(other).replica)["chains"] == before["chains"]


def full(*, snapshots_before: int) -> ReplicaOnDisk:
    """A replica whose checkpoint is three times as large as a segment; nothing is applied behind the last of its snapshots."""
    replica = ReplicaOnDisk()
    replica.opens()
    for _ in range(snapshots_before):
        replica.snapshots()
    for number in range(24):
        replica.holds(A, b"k%d" % number, causal=True, value=bytes(1000))
    return replica


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("snapshots_before", [0, 1])
def test_a_crash_at_any_moment_of_a_snapshot_with_a_large_checkpoint_leaves_the_same_state(seed: int, snapshots_before: int) -> None:
    replica = full(snapshots_before=snapshots_before)
    before = looks(replica.replica)
    for other in left_at_each_moment_of_a_snapshot(replica, seed):
        assert looks(ReplicaOnDisk(other).replica) == before


def test_a_kill_at_any_moment_of_a_snapshot_of_the_same_entry_as_the_one_before_leaves_the_same_state() -> None:
    """The log's new beginning counts there as soon as it is read: the snapshot that it is to stand beside is there already."""
    replica = full(snapshots_before=1)
    before, left = looks(replica.replica), list[WatchedDisk]()
    replica.disk.watch = lambda _: left.append(replica.disk.killed())
    replica.snapshots()
    replica.disk.watch = None
    assert len(left) > 10
    for other in left:
        assert looks(ReplicaOnDisk(other).replica) == before


def test_a_kill_at_any_moment_of_a_start_that_begins_the_log_anew_leaves_the_same_state() -> None:
    replica = full(snapshots_before=1)
    before, left = looks(replica.replica), list[WatchedDisk]()
    for part in parts_of(9, 1, 1):  # a leader's snapshot, which never comes to disk
        replica.tell(0, part)
    replica.disk.kill()
    replica.disk.watch = lambda _: left.append(replica.disk.killed())
    assert looks(ReplicaOnDisk(replica.disk).replica) == before
    replica.disk.watch = None
    assert len(left) > 10
    for other in left:
        assert looks(ReplicaOnDisk(other).replica) == before


@pytest.mark.parametrize("after", range(3))
def test_a_disk_that_is_full_at_any_file_of_a_snapshot_costs_no_state(after: int) -> None:
    replica = full(snapshots_before=1)
    before = looks(replica.replica)
    replica.disk.fail_next(errno.ENOSPC, "create", after)
    with pytest.raises(BaseExceptionGroup) as caught:
        replica.snapshots()
    assert caught.group_contains(DiskFailed)
    replica.disk.kill()
    assert looks(ReplicaOnDisk(replica.disk).replica) == before


NO_ROOM = [
    *[("log-", operation, after) for after in range(2) for operation in ("create", "write", "sync", "rename")],
    *[("snapshot-", operation, after) for operation, after in (("create", 2), ("write", 3), ("write", 4), ("write", 5), ("sync", 3), ("rename", 2))],
]
"""Operations of a snapshot: those of the segment that turns out too small, of the one that replaces it, of the snapshot's file; between them the
log is written and synced."""


@pytest.mark.parametrize(("file", "operation", "after"), NO_ROOM)
def test_a_replica_that_finds_no_room_for_a_snapshot_serves_on_with_the_log_that_it_has(
    file: str, operation: str, after: int, caplog: pytest.LogCaptureFixture
) -> None:
    replica = full(snapshots_before=1)
    replica.logs(B, 1, commit=True)
    replica.disk.fail_next(errno.ENOSPC, operation, after)
    replica.shortens()
    (line,) = caplog.messages
    assert line.startswith(f"no snapshot, and the log is kept: memory/{file}")
    assert replica.persistence.log_bytes == 0, "the next one comes when the log has grown again"
    replica.holds(B, b"more")
    assert looks(reborn(replica, after).replica) == looks(ReplicaOnDisk(replica.disk.killed()).replica) == looks(replica.replica)
    replica.shortens()
    assert snapshots.snapshot_indexes(replica.disk) == [replica.replica.node.applied_index]
    assert not any(name.endswith(".partial") for name in replica.disk.names())
    assert looks(reborn(replica, after).replica) == looks(replica.replica)


def test_a_disk_that_fails_otherwise_in_a_snapshot_is_no_want_of_room() -> None:
    replica = full(snapshots_before=1)
    replica.disk.fail_next(errno.EIO, "create", 1)
    with pytest.raises(BaseExceptionGroup) as caught:
        replica.shortens()
    assert caught.group_contains(DiskFailed, match="Input/output")


async def test_a_leader_s_snapshot_that_finds_no_room_ends_the_replica(replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows it can never be safe."""
    Gate(monkeypatch, closed=False)
    replica.opens()
    replica.disk.fail_next(errno.ENOSPC, "create", 1)  # behind that of the segment
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(replica.persistence.run)
            for part in parts_of(9, 1, 1):
                replica.tell(0, part)
    assert caught.group_contains(DiskFailed, match="snapshot-.*No space left")
    assert replica.told == []


async def test_a_snapshot_has_its_name_only_when_the_log_s_new_beginning_is_safe(
    nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the log could end, after a crash, with entries that newer ones in the snapshot have replaced."""
    replica.opens()
    looked: list[bool] = []
    Gate(monkeypatch, closed=False).each = lambda: looked.append(snapshots.latest(replica.disk) is None or replica.log.synced == replica.log.appended)
    nursery.start_soon(replica.persistence.run)
    await replica.persistence.snapshot()
    assert len(looked) > 4
    assert all(looked)


async def test_the_segment_of_a_large_checkpoint_is_made_beside_the_turns(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a segment that was made ahead is too small for it; one that a turn uses up meanwhile is made again."""
    replica = full(snapshots_before=0)
    gate = Gate(monkeypatch, closed=False)
    in_thread: list[bool] = []
    running = [False]

    def begin_or_end() -> None:
        running[0] = not running[0]
        if running[0] and len(in_thread) == 1:
            replica.holds(A, b"more", causal=True, value=bytes(SEGMENT_BYTES // 2))

    gate.each = begin_or_end
    replica.disk.watch = lambda operation: in_thread.append(running[0]) if operation == "create" else None
    nursery.start_soon(replica.persistence.run)
    await replica.persistence.snapshot()
    assert len(in_thread) > 2
    assert all(in_thread)


@pytest.mark.parametrize("removals", range(3))
def test_a_replica_whose_snapshot_is_gone_is_refused_even_if_its_log_has_no_hole(removals: int) -> None:
    """It would begin with nothing, and vote; also where older segments were being removed, one by one, when the process ended."""
    replica = ReplicaOnDisk()
    replica.opens()
    for _ in range(3):
        replica.log.roll()
        replica.follows()
    replica.commits()
    left: list[WatchedDisk] = []
    replica.disk.watch = lambda operation: left.append(replica.disk.killed()) if operation == "remove" else None
    replica.snapshots()
    replica.disk.watch = None
    replica.disk.kill()
    disk = [*left[-2:], replica.disk][removals]  # the last removal is that of the snapshot before, if any
    assert segment_numbers(disk)[0] > 1
    disk.remove(snapshots.snapshot_name(replica.replica.node.applied_index))
    with pytest.raises(Corrupt, match="a snapshot or a segment of the log is missing"):
        ReplicaOnDisk(disk)


@pytest.mark.parametrize("operation", ["create", "write", "sync", "rename", "remove"])
def test_a_snapshot_that_the_disk_refuses_is_raised_and_the_state_stays(operation: str) -> None:
    replica = busy()
    replica.log.prepare().run()
    before = looks(replica.replica)
    replica.disk.fail_next(errno.EIO, operation)
    with pytest.raises(BaseExceptionGroup) as caught:
        replica.snapshots()
    assert caught.group_contains(DiskFailed)
    assert looks(reborn(replica, 0).replica) == before
