from __future__ import annotations

from replica.core import messages as m
from replica.core.client import Client, ClientConfig
from replica.core.settled import Settled


def test_the_words_of_later_views_wait_until_those_count() -> None:
    settled = Settled()
    settled.hear(5, 2, present=2)
    settled.hear(9, 4, present=2)
    settled.hear(7, 3, present=2)
    assert settled.upto == 5
    settled.enter(3)
    assert settled.upto == 5  # it is not kept which of the words is whose
    settled.enter(4)
    assert settled.upto == 9
    settled.hear(8, 4, present=4)
    assert settled.upto == 9


def reading_client() -> Client:
    """A client of three replicas in view 2 of leader 1, with a strong put and a strong read of another key behind it, and one confirmation of two."""
    client = Client(ClientConfig(voters=(0, 1, 2), mode="ho"))
    for replica in range(3):
        client.link_up(replica, 0.0)
    client.step(1, [m.Leader(1, 2, 1)], 0.0)
    session = client.open_session(b"t", "session")
    client.take_sends()
    client.step(1, [m.SessionOpened([b"t"], [3])], 0.0)
    session.record(b"\x00", [b"x"], [b"1"], "put", 0.0)
    session.strong_read([b"y"], "read", 0.0)
    client.step(1, [m.StrongReadReply(1, 2, False, 0, [3], [1], [1], [None], [0])], 0.0)
    client.step(2, [m.AnchorAck(1, 2, [3], [1], [1])], 0.0)
    assert [done.handle for done in client.take_completions(0.0)] == ["session"]
    return client


def applied(view: int, *, leads: bool = False) -> m.Applied:
    return m.Applied(1, view, leads, 9, [3], [1], [])


def test_a_read_completes_by_authority_when_what_it_follows_is_committed_in_its_view() -> None:
    client = reading_client()
    client.step(0, [applied(2)], 0.0)
    assert [done.handle for done in client.take_completions(0.0)] == ["put", "read"]


def test_a_commit_by_a_later_leader_does_not_let_a_read_of_an_earlier_one_complete() -> None:
    """The later leader may have put what others wrote to ``y`` before the put; the read has not seen that."""
    client = reading_client()
    client.step(0, [applied(3)], 0.0)
    assert [done.handle for done in client.take_completions(0.0)] == ["put"]
    client.step(2, [m.Leader(1, 3, 2)], 0.0)
    assert client.take_completions(0.0) == []
    client.step(2, [m.StrongReadReply(1, 3, False, 0, [3], [1], [1], [b"seen"], [8])], 0.0)
    client.step(0, [m.AnchorAck(1, 3, [3], [1], [0])], 0.0)  # a majority; what the word said before counts now
    assert [(done.handle, done.values) for done in client.take_completions(0.0)] == [("read", [b"seen"])]
