from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.config import CoreConfig
from replica.core.journal import Applied, Voted
from replica.core.replica import Replica
from replica.folder_check import check_folder
from replica.persistence import load
from replica.restored_folder import make_restored_folder
from replica.storage.errors import Corrupt, ForeignFolder
from replica.storage.folder import DataFolder
from replica.storage.snapshots import snapshot_name
from statemachine.sessions import EXPIRED_MAX, Sessions
from statemachine.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from replica.core.journal import Durable


def applied() -> Applied:
    store, sessions = Store(), Sessions()
    store.apply(bytes(3), [b"a", b"b", b"c"], [b"1", b"2", b"3"], 10)
    sessions.open(2, b"token", 30.0)
    return Applied(store, sessions, index=7, view=5, position=12)


def started(path: Path, replica_id: int = 0) -> Durable:
    """Start as a replica does; return what it finds."""
    folder = DataFolder.open(path, cluster_id="new", replica_id=replica_id)
    log, durable = load(folder, EXPIRED_MAX)
    log.close()
    folder.close()
    assert durable is not None
    return durable


def test_its_replica_finds_the_state_and_has_a_life_before(tmp_path: Path) -> None:
    make_restored_folder(tmp_path / "r", cluster_id="new", replica_id=0, applied=applied())
    assert check_folder(tmp_path / "r").problems == []
    durable = started(tmp_path / "r")
    assert durable.applied is not None
    assert durable.applied.store.freeze() == applied().store.freeze()
    assert (durable.applied.index, durable.applied.view, durable.applied.position) == (7, 5, 12)
    assert (durable.voted, durable.entries, durable.committed, durable.chains) == (Voted(5, -1), [], 7, {})


def test_a_replica_does_not_begin_without_the_state_that_was_restored(tmp_path: Path) -> None:
    make_restored_folder(tmp_path / "r", cluster_id="new", replica_id=0, applied=applied())
    (tmp_path / "r" / snapshot_name(7)).unlink()
    assert len(check_folder(tmp_path / "r").problems) == 1
    with pytest.raises(Corrupt, match="the log begins beside a snapshot of entry 7"):
        started(tmp_path / "r")


def test_sessions_are_not_restored(tmp_path: Path) -> None:
    make_restored_folder(tmp_path / "r", cluster_id="new", replica_id=0, applied=applied())
    found = started(tmp_path / "r").applied
    assert found is not None
    assert found.sessions.freeze() == Sessions().freeze()


def test_every_replica_begins_with_the_same(tmp_path: Path) -> None:
    for number in (0, 1):
        make_restored_folder(tmp_path / str(number), cluster_id="new", replica_id=number, applied=applied())
    one, other = ((tmp_path / str(number) / snapshot_name(7)).read_bytes() for number in (0, 1))
    assert one == other


def test_its_log_goes_on_behind_the_snapshot_in_a_higher_view(tmp_path: Path) -> None:
    """An election compares the views of last entries: one of the new cluster must not seem older than the snapshot's."""
    make_restored_folder(tmp_path / "r", cluster_id="new", replica_id=0, applied=applied())
    replica = Replica(CoreConfig(id=0, voters=(0,), durable=True), started(tmp_path / "r"))
    assert (replica.node.view, replica.node.leader, replica.node.log.last_view) == (5, -1, 5)
    replica.expire(replica.deadline())
    assert replica.roles.name == "leader"
    replica.take_persist(10.0)
    entry = replica.node.log.entries[0]
    assert (entry.index, entry.view, entry.base) == (8, 6, 12)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    make_restored_folder(tmp_path / "r", cluster_id="old", replica_id=0, applied=applied())
    with pytest.raises(ForeignFolder):
        make_restored_folder(tmp_path / "r", cluster_id="new", replica_id=0, applied=applied())
