"""Tallies: answers that count for nobody (what they add up to: test_session, test_client)."""

from __future__ import annotations

from replica.core import messages as m
from replica.core.client import Client, ClientConfig


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
