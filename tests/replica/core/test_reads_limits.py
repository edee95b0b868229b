"""Strong reads that wait: how many, and what becomes of them when their link or their session ends."""

from __future__ import annotations

from replica.core.flights import CompletionKind
from replica.core.leader import Leader
from replica.core.messages import ReadIndex, RecordAck, StrongRead
from replica.core.node import EXPIRED
from statemachine.command import EXPIRE
from tests.replica.core.seat import CLIENT, OTHER
from tests.replica.core.test_reads import Desk
from tests.scenarios.cluster import Cluster


def test_reads_beyond_the_limit_are_dropped_and_the_client_asks_again() -> None:
    desk = Desk(reads_waiting_max=2)
    desk.puts(desk.two, b"x")
    desk.ask(0, b"x")
    desk.ask(9, b"y", first=2)
    assert desk.reads.count == 2
    desk.ask(0, b"x", first=3)
    desk.ask(9, b"y", first=4)
    desk.index(0, b"y")
    assert desk.reads.count == 2
    desk.commit()
    assert [reply.firsts for reply in desk.answers()] == [[1]]
    assert desk.reads.count == 1


def test_reads_that_wait_are_counted_each_and_one_run_is_taken_whole() -> None:
    desk = Desk(reads_waiting_max=3)
    desk.ask(9, b"x", b"y")
    desk.ask(9, b"x", b"y", session=desk.two)
    assert desk.reads.count == 2
    desk.index(0, b"x", b"y", session=desk.two)
    desk.index(0, b"x", session=desk.two)
    assert desk.reads.count == 3
    desk.reads.forget_link(CLIENT)
    assert desk.reads.count == 0
    desk.puts(desk.two, b"x")
    desk.ask(0, *[b"x"] * 5, [b"", None, 9], session=desk.one)
    assert desk.reads.count == 3, "each of a run that meets the tail waits by itself"
    desk.commit()
    desk.ask(9, *[b"x"] * 5)
    assert desk.reads.count == 5
    desk.puts(desk.one, *[b"z"] * 9)
    desk.reads.on_appended([desk.one])
    desk.commit()
    assert desk.reads.count == 0


def test_a_link_that_is_gone_takes_its_waiting_reads_with_it() -> None:
    desk = Desk()
    desk.puts(desk.two, b"x")
    for link in (CLIENT, OTHER):
        desk.ask(0, b"x", link=link)
        desk.ask(7, b"x", link=link)
    desk.index(0, b"x")
    desk.reads.forget_link(CLIENT)
    assert desk.reads.count == 2
    desk.commit()
    assert (len(desk.answers()), len(desk.answers(OTHER))) == (0, 1)


def test_reads_of_a_session_that_ended_are_refused_by_name() -> None:
    """They would wait for a dependency that nobody will ever log."""
    desk = Desk()
    desk.leader.draft.system.append([EXPIRE, desk.one])
    desk.commit()
    refusal = RecordAck(1, 1, [], [], [], [[desk.one, EXPIRED]])
    desk.reads.on_strong_read(CLIENT, StrongRead([desk.one], [1], [1], [3], [b"x"]))
    assert desk.replies(CLIENT) == [refusal]
    desk.reads.on_read_index(CLIENT, ReadIndex([desk.one], [1], [1], [3], [b"x"]))
    assert desk.replies(CLIENT) == [refusal]
    assert desk.reads.count == 0


def test_reads_of_a_session_that_is_not_open_yet_wait() -> None:
    desk = Desk()
    assert desk.ask(0, b"x", session=99) == []
    assert desk.index(0, b"x", session=99) == []
    assert desk.replies(CLIENT) == []


def test_a_session_that_only_reads_learns_that_it_ended() -> None:
    cluster = Cluster()
    (session,) = cluster.open("s")
    leader = cluster.replicas[0].leader
    assert isinstance(leader, Leader)
    leader.draft.system.append([EXPIRE, session.id])
    cluster.turn(0)
    cluster.run(0.1)
    cluster.strong_read(session, b"x", handle="r")
    cluster.run(0.1)
    assert [(c.kind, c.reason) for c in cluster.answers("r")] == [(CompletionKind.FAILED, "expired")]
