"""Tallies: answers that count for nobody (what they add up to: test_session, test_client)."""

from __future__ import annotations

from replica.core import messages as m
from replica.core.client import Client, ClientConfig
from replica.core.configuration import Configuration
from replica.core.flights import ReadFlight


def test_answers_for_sessions_that_are_gone_count_for_nobody() -> None:
    client = Client(ClientConfig(voters=(0, 1, 2)))
    client.link_up(0, 0.0)
    answers: list[m.Message] = [
        m.Leader(1, 1, 0),
        m.RecordAck(1, 1, [9], [1], [1], [[9, 1]]),
        m.SpecReply(1, 1, 0, [9], [1], [1], [[0, 1]]),
        m.AnchorAck(1, 1, [9], [1], [1]),
        m.StrongReadReply(1, 1, False, 0, [9], [1], [1], [b"v"], [1]),
        m.CausalReadReply(5, 0, [9], [1], [1], [0], [b"v"], [1], [[9, 2, 1]]),
        m.Applied(1, 1, True, 5, [9], [1], [[9, 1, 1]]),
    ]
    client.step(0, answers, 1.0)
    assert client.take_completions(1.0) == []
    assert client.freeze() == client.clone().freeze()


def test_a_leader_that_is_no_voter_completes_nothing_fast_and_confirms_no_read() -> None:
    """It was removed, and is no witness of what it says: one voter more must confirm that it leads."""
    client = Client(ClientConfig(voters=(1, 2, 3)))
    client.members.linked[0] = None
    client.step(0, [m.Members(1, True, Configuration(2, (1, 2, 3)).items())], 0.0)
    session = client.open_session(b"t", None)
    flight = ReadFlight(1, 1, [b"x"], None, 0, 0.0)
    session.confirmed[0] = 1
    assert client.leader == 0
    assert client.tallies.fast_level([9, 9, 9]) == 0
    assert not client.tallies.reads_confirmed(session, flight)
    session.confirmed[1] = 1
    assert client.tallies.reads_confirmed(session, flight)


def test_who_decides_alone_needs_no_witness() -> None:
    client = Client(ClientConfig(voters=(0,)))
    client.step(0, [m.Leader(1, 1, 0)], 0.0)
    assert client.tallies.fast_level([0]) > 1 << 60
