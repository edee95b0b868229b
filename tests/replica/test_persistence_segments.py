"""Turns and the log's next segment: none waits for it, and nothing is safe that does."""

from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from replica.storage import snapshots
from replica.storage.errors import DiskFailed
from tests.replica.replica_on_disk import A, ReplicaOnDisk, looks, reborn
from tests.replica.thread_gate import Gate


@pytest.fixture
def replica() -> ReplicaOnDisk:
    return ReplicaOnDisk()


@pytest.mark.parametrize("size", [1000, 20_000])
async def test_turns_go_on_while_the_next_segment_is_being_made_and_what_waits_for_it_is_not_safe(
    nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    gate = Gate(monkeypatch)
    nursery.start_soon(replica.persistence.run)
    await wait_all_tasks_blocked()
    replica.opens()
    created = replica.disk.operations["create"]
    for number in range(24):
        replica.holds(A, b"k%d" % number, causal=True, value=bytes(size))
        await wait_all_tasks_blocked()
    assert replica.disk.operations["create"] == created
    assert replica.log.written < replica.log.appended
    persisted = replica.replica.node.journal.persisted
    assert (replica.told, persisted < replica.replica.node.journal.batch - 1) == ([], True)
    assert ReplicaOnDisk(replica.disk.killed()).replica.node.witness.commands < 24
    gate.let_go()
    await wait_all_tasks_blocked()
    assert replica.log.written == replica.log.synced == replica.log.appended
    assert replica.replica.node.journal.persisted == replica.replica.node.journal.batch - 1
    assert looks(reborn(replica, 1).replica) == looks(replica.replica)


async def test_a_snapshot_whose_log_waits_for_a_segment_comes_behind_what_waits(
    nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    nursery.start_soon(replica.persistence.run)
    nursery.start_soon(replica.persistence.snapshot)
    await wait_all_tasks_blocked()
    replica.opens()
    for number in range(24):
        replica.holds(A, b"k%d" % number, causal=True, value=bytes(1000))
    assert replica.log.written < replica.log.appended
    gate.let_go()
    await wait_all_tasks_blocked()
    assert replica.log.synced == replica.log.appended
    assert replica.replica.node.journal.persisted == replica.replica.node.journal.batch - 1
    assert snapshots.snapshot_indexes(replica.disk) == [1]
    assert looks(reborn(replica, 1).replica) == looks(replica.replica)


async def test_a_segment_that_cannot_be_made_ends_the_task_when_something_waits_for_it(
    replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(replica.persistence.run)
            await wait_all_tasks_blocked()
            replica.opens()
            replica.disk.fail_next(errno.ENOSPC, "create")
            for number in range(24):
                replica.holds(A, b"k%d" % number, causal=True, value=bytes(1000))
            gate.let_go()
    assert caught.group_contains(DiskFailed, match="log-.*No space left")
    assert replica.told == []
