"""Reads of a session whose end is in the log and not applied yet: what it still says is never logged, so no read completes on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.flights import CompletionKind
from replica.core.messages import RecordAck
from replica.core.node import BUSY, EXPIRED
from statemachine.command import EXPIRE
from tests.scenarios.cluster import Cluster

if TYPE_CHECKING:
    from replica.core.config import Mode
    from replica.core.session import Session

LEASE = 3.0


def silent(mode: Mode = "ho") -> tuple[Cluster, Session]:
    """A session that was silent until the leader logged its end, which no follower has heard of."""
    cluster = Cluster(3, mode, client={"lease_seconds": LEASE, "ping_seconds": 1000.0, "resend_seconds": 0.05})
    (session,) = cluster.open("s")
    cluster.put(session, b"x", b"old", "before")
    cluster.run(0.05)
    cluster.advance(LEASE + 1.5)
    assert [command[0] for command in cluster.replicas[0].node.log.entries[-1].system] == [EXPIRE]
    assert cluster.replicas[0].node.commit_index < cluster.replicas[0].node.log.last_index
    return cluster, session


def clients_heard(cluster: Cluster) -> None:
    """Let frames move between the client and replicas only."""
    for _ in range(10):
        for one, other in [pair for pair in cluster.queues if "c" in pair]:
            cluster.deliver(one, other, len(cluster.queues[one, other]))


def outcomes(cluster: Cluster, handle: object) -> list[CompletionKind]:
    return [completion.kind for completion in cluster.answers(handle)]


@pytest.mark.parametrize("mode", ["ho", "ht"])
@pytest.mark.parametrize("index", [False, True])
def test_a_strong_read_does_not_complete_behind_a_write_that_the_sessions_end_in_the_log_shuts_out(mode: Mode, index: bool) -> None:
    cluster, session = silent(mode)
    cluster.put(session, b"x", b"new", "late", causal=True)
    clients_heard(cluster)
    cluster.strong_read(session, b"x", handle="read", versioned=index)
    clients_heard(cluster)
    assert not cluster.completed("read")
    cluster.run(1.0)
    assert session.lost == "expired"
    assert outcomes(cluster, "read") == [CompletionKind.FAILED]


def test_nor_where_a_new_leader_finds_the_end_in_its_log() -> None:
    cluster, session = silent()
    cluster.deliver(0, 1, len(cluster.queues[0, 1]))
    cluster.drop(0, 2)
    cluster.kill(0)
    cluster.put(session, b"x", b"new", "late", causal=True)
    cluster.settle()
    assert outcomes(cluster, "late") == [CompletionKind.RECORDED], "its home knows nothing of that"
    cluster.strong_read(session, b"x", handle="read")
    cluster.campaign(1)
    cluster.run(1.0)
    assert (session.lost, outcomes(cluster, "read")) == ("expired", [CompletionKind.FAILED])


def test_what_was_committed_before_is_still_read() -> None:
    cluster, session = silent()
    cluster.strong_read(session, b"x", handle="read")
    clients_heard(cluster)
    assert cluster.values("read") == [b"old"]


def test_a_leader_acknowledges_nothing_of_a_session_whose_end_it_has_logged() -> None:
    """In mode ``ht`` its word is that it has logged it; it would be the only one who holds it."""
    cluster, session = silent("ht")
    cluster.put(session, b"x", b"new", "late", causal=True)
    cluster.deliver("c", 0, len(cluster.queues["c", 0]))
    acks = [message for message in cluster.waiting(0, "c") if isinstance(message, RecordAck)]
    assert [ack.refusals for ack in acks] == [[[session.id, BUSY]]]
    assert cluster.replicas[0].node.witness.chains[session.id].held == 1
    cluster.run(1.0)
    assert outcomes(cluster, "late") == [CompletionKind.FAILED]


def test_a_session_whose_end_was_cut_off_goes_on() -> None:
    """An end that only a leader had who was left alone is no end."""
    cluster, session = silent()
    cluster.isolate(0)
    cluster.put(session, b"x", b"new", "late", causal=True)
    cluster.campaign(1)
    cluster.strong_read(session, b"x", handle="read")
    cluster.run(1.0)
    assert (session.lost, cluster.values("read")) == ("", [b"new"])
    cluster.rejoin(0)
    cluster.run(0.5)
    told = [sections for source, place, sections in cluster.journal if (source, place) == (0, "c")]
    assert told
    assert EXPIRED not in [refusal for sections in told for message in sections for _, refusal in getattr(message, "refusals", [])]
    assert {replica.node.store.get_entry(b"x")[0] for replica in cluster.replicas.values()} == {b"new"}
