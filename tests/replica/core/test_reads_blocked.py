"""Strong reads of a session one of whose commands is blocked, because its outcome rests on what is not committed, or never comes."""

from __future__ import annotations

import pytest

from replica.core.messages import RecordAck, StrongRead, StrongReadReply
from replica.core.node import EXPIRED
from statemachine.command import CAS_VALUE, CAUSAL, EXPIRE, OPEN, PUT
from tests.replica.core.lone import CLIENT
from tests.replica.core.seat import OTHER
from tests.replica.core.stand import record
from tests.replica.core.successor import Successor
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


@pytest.mark.parametrize("dependency", [0, 1])
def test_a_read_that_a_new_leader_gets_before_the_session_is_open_there_is_answered_when_it_is(dependency: int) -> None:
    """The old leader told the client of the opening, and of nothing else; the client would ask again after a while only."""
    successor = Successor()
    successor.logs(0, 0, "", system=[[OPEN, b"c", 30.0]])
    successor.takes_over()
    successor.hears(2)
    if dependency:
        successor.tell(CLIENT, record(3, 1, (PUT, b"k")))
    successor.tell(CLIENT, StrongRead([3], [1], [1], [dependency], [b"x"]))
    answers = []
    for _ in range(2):  # first the opening, and what the client said before it was applied
        successor.acknowledged(2)
        answers += [section for section in successor.replies.get(CLIENT, []) if isinstance(section, StrongReadReply)]
    assert answers == [StrongReadReply(1, 2, False, 0, [3], [1], [1], [None], [0])]
    assert successor.replica.reads is not None
    assert successor.replica.reads.count == 0
