"""Strong reads of a session one of whose commands is blocked, because its outcome rests on what is not committed, or never comes."""

from __future__ import annotations

from replica.core.messages import RecordAck
from replica.core.node import EXPIRED
from statemachine.command import CAS_VALUE, CAUSAL, EXPIRE
from tests.replica.core.seat import OTHER
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


def test_reads_that_wait_for_a_command_end_with_their_session() -> None:
    """What they wait for never comes: they must not take the room of others' reads, nor leave their client without a word."""
    desk = Desk(reads_waiting_max=2)
    assert desk.ask(1, b"x", link=OTHER) == []
    assert desk.ask(1, b"y", link=OTHER) == []
    desk.leader.draft.system.append([EXPIRE, desk.one])
    desk.commit()
    assert desk.replies(OTHER) == [RecordAck(1, 1, [], [], [], [[desk.one, EXPIRED]])]
    assert (desk.reads.count, desk.reads.awaiting) == (0, {})
    assert desk.ask(1, b"z", session=desk.two) == []
    assert desk.reads.count == 1, "there is room"
