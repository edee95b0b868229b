"""Strong reads of a session one of whose commands is blocked: what no speculation tells does not hold up what was pinned."""

from __future__ import annotations

from statemachine.command import CAS_VALUE, CAUSAL
from tests.replica.core.test_reads import Desk


def test_a_read_behind_an_own_outcome_that_is_not_known_waits_if_it_is_of_that_key() -> None:
    """The session's other reads rest on a chain that is pinned: whatever the outcome will be, they do not tell it."""
    desk = Desk()
    desk.append(desk.two, bytes([CAUSAL]), b"x")
    desk.append(desk.one, bytes([CAS_VALUE]), b"x")
    assert desk.leader.logged[desk.one].blocked == 1
    assert desk.value(*desk.ask(1, b"y")) == ([None], [0])
    assert desk.node.witness.chains[desk.one].anchored == 1
    assert desk.ask(1, b"x", first=2) == []
    desk.commit()
    assert desk.value(*desk.answers()) == ([b"v"], [5]), "the cas fails: x is there"
