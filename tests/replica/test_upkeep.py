from __future__ import annotations

from random import Random

import pytest
import trio

from replica.core.journal import Committed
from replica.journal_codec import encode_record
from replica.storage import snapshots
from replica.storage.errors import CorruptLog
from replica.storage.recovery import survey
from replica.storage.segments import segment_name
from replica.upkeep import LOOK_SECONDS, look_after_log
from tests.replica.replica_on_disk import A, ReplicaOnDisk
from tests.replica.thread_gate import Gate

pytestmark = pytest.mark.usefixtures("autojump_clock")
HUGE = 1 << 40


@pytest.fixture
def replica() -> ReplicaOnDisk:
    replica = ReplicaOnDisk()
    replica.opens()
    replica.holds(A, b"x", b"y")
    return replica


async def test_damage_to_the_last_writes_of_a_replica_that_rested_and_was_killed_is_refused(nursery: trio.Nursery, replica: ReplicaOnDisk) -> None:
    acknowledged, end = len(survey(replica.disk).records), replica.log.size_bytes()
    nursery.start_soon(look_after_log, replica.persistence, HUGE)
    await trio.sleep(2 * LOOK_SECONDS)
    replica.disk.kill()
    name = segment_name(replica.log.segment)
    whole = replica.disk.content(name)
    assert len(survey(replica.disk).records) == acknowledged
    for at in range(end - 20, end):
        replica.disk.alter(name, whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(CorruptLog, match="was durable"):
            ReplicaOnDisk(replica.disk)


async def test_a_log_that_goes_on_resting_is_sealed_once(nursery: trio.Nursery, replica: ReplicaOnDisk) -> None:
    nursery.start_soon(look_after_log, replica.persistence, HUGE)
    await trio.sleep(2 * LOOK_SECONDS)
    sealed, syncs = replica.log.size_bytes(), replica.log.syncs
    await trio.sleep(10 * LOOK_SECONDS)
    assert (replica.log.size_bytes(), replica.log.syncs) == (sealed, syncs)
    replica.holds(A, b"z")
    before = replica.log.size_bytes()
    await trio.sleep(2 * LOOK_SECONDS)
    assert replica.log.size_bytes() > before


async def test_a_log_that_waits_for_a_sync_is_not_sealed(nursery: trio.Nursery, replica: ReplicaOnDisk) -> None:
    replica.log.append(*encode_record(Committed(1)))
    replica.log.write()
    before = replica.log.size_bytes()
    nursery.start_soon(look_after_log, replica.persistence, HUGE)
    await trio.sleep(2 * LOOK_SECONDS)
    assert replica.log.size_bytes() == before


async def test_a_log_that_has_grown_is_replaced_by_a_snapshot(nursery: trio.Nursery, replica: ReplicaOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    Gate(monkeypatch, closed=False)
    nursery.start_soon(replica.persistence.run)
    nursery.start_soon(look_after_log, replica.persistence, replica.persistence.log_bytes + 500)
    await trio.sleep(2 * LOOK_SECONDS)
    assert snapshots.latest(replica.disk) is None
    replica.holds(A, b"z", value=Random(1).randbytes(600))
    await trio.sleep(10 * LOOK_SECONDS)
    assert snapshots.snapshot_indexes(replica.disk) == [replica.replica.node.applied_index]
    assert replica.log.oldest_segment == replica.log.segment > 1
