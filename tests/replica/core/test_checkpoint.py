from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from replica.core.journal import Applied, Began, Committed, Durable, Levels, Voted
from replica.core.messages import Entry, Record
from replica.core.replica import Replica
from statemachine.sessions import Sessions
from statemachine.store import Store
from tests.replica.core.lone import CLIENT, Lone, silent, vote
from tests.replica.core.successor import A, Successor
from tests.replica.core.test_journal_model import STEPS, do, looks
from tests.scenarios.cluster import Cluster

if TYPE_CHECKING:
    from replica.core.config import Mode
    from replica.core.journal import JournalRecord
    from replica.core.session import Session


def snapshot_of(replica: Replica) -> Applied:
    """Take the applied state by the way of a snapshot."""
    node = replica.node
    view = node.log.view_at(node.applied_index)
    assert view is not None
    store, sessions = Store.restore(node.store.snapshot()), Sessions.restore(node.sessions.snapshot(), node.sessions.expired_max)
    return Applied(store, sessions, node.applied_index, view, node.applied_position)


def begun_with(replica: Replica, applied: Applied, records: list[JournalRecord]) -> Replica:
    durable = Durable(applied)
    assert durable.replay(records)
    other = Replica(replica.node.config, durable)
    while other.apply(1 << 30):
        pass
    other.node.witness.check_invariants()
    return other


def beyond_snapshots(replica: Replica) -> dict[str, object]:
    """Everything a disk must tell, but for entries that are applied: a snapshot stands for them."""
    found, node = looks(replica), replica.node
    found["log"] = [node.log.get(index) for index in range(node.applied_index + 1, node.log.last_index + 1)]
    return found


def test_it_begins_anew_then_tells_view_and_vote_the_log_the_commit_and_chains() -> None:
    lone = Successor()
    lone.holds(A, 1, "sc")
    lone.logs(A, 1, "s")
    records = lone.replica.checkpoint()
    assert [type(record) for record in records] == [Began, Voted, Entry, Committed, Record, Levels]
    assert records[:2] == [Began(1), Voted(1, -1)]
    assert records[3] == Committed(1)
    assert records[5] == Levels([A], [2], [1])


def test_a_vote_is_told() -> None:
    lone = silent()
    lone.tell(2, vote(7))
    assert lone.replica.checkpoint()[1] == Voted(7, 2)


def test_what_is_applied_is_left_to_the_snapshot() -> None:
    lone = Successor()
    assert [record for record in lone.replica.checkpoint() if isinstance(record, Entry)] == []


def test_sessions_that_hold_nothing_are_not_told() -> None:
    assert Levels([], [], []) in Successor().replica.checkpoint()


@pytest.mark.parametrize("mode", ["ho", "ht", "curp"])
def test_a_snapshot_and_a_checkpoint_are_as_good_as_the_whole_journal(mode: Mode) -> None:
    @settings(max_examples=30, deadline=None)
    @given(STEPS)
    def check(steps: list[tuple[str, int]]) -> None:
        cluster = Cluster(3, mode, durable=True, election_seconds=0.5)
        sessions: list[Session] = [*cluster.open("a", "b")]
        for step, choice in steps:
            do(cluster, step, choice, sessions)
        for replica in cluster.replicas.values():
            other = begun_with(replica, snapshot_of(replica), replica.checkpoint())
            assert beyond_snapshots(other) == beyond_snapshots(replica)

    check()


@settings(max_examples=30, deadline=None)
@given(STEPS, STEPS)
def test_a_journal_goes_on_behind_a_checkpoint(before: list[tuple[str, int]], after: list[tuple[str, int]]) -> None:
    """As it does on disk: older records, the checkpoint, and what came later, over the snapshot."""
    cluster = Cluster(3, "ho", durable=True, election_seconds=0.5)
    sessions: list[Session] = [*cluster.open("a", "b")]
    for step, choice in before:
        do(cluster, step, choice, sessions)
    applied = {place: snapshot_of(replica) for place, replica in cluster.replicas.items()}
    for place, replica in cluster.replicas.items():
        cluster.disks[place].records += replica.checkpoint()
    for step, choice in after:
        do(cluster, step, choice, sessions)
    for place, replica in cluster.replicas.items():
        other = begun_with(replica, applied[place], cluster.disks[place].records + replica.node.journal.records)
        assert beyond_snapshots(other) == beyond_snapshots(replica)


def test_the_model_can_fail() -> None:
    lone = Lone(1)
    lone.link_client()
    successor = Successor()
    successor.holds(A, 1, "s")
    assert CLIENT in successor.replica.node.clients
    records = successor.replica.checkpoint()
    del records[-2:]
    other = begun_with(successor.replica, snapshot_of(successor.replica), records)
    assert beyond_snapshots(other) != beyond_snapshots(successor.replica)
