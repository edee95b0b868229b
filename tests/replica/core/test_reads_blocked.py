"""Strong reads of a session one of whose commands is blocked: not speculative, because its outcome rests on what is not committed."""

from __future__ import annotations

from statemachine.command import CAS_VALUE, CAUSAL
from tests.replica.core.test_reads import Desk


def test_a_read_behind_an_own_command_that_is_blocked_waits_for_its_commit() -> None:
    """Whatever its key: an order in which the command comes before the read is sure only then."""
    desk = Desk()
    desk.append(desk.two, bytes([CAUSAL]), b"x")
    desk.append(desk.one, bytes([CAS_VALUE]), b"x")
    assert desk.leader.logged[desk.one].blocked == 1
    assert desk.ask(1, b"y") == []
    desk.commit()
    assert desk.value(*desk.answers()) == ([None], [0])
