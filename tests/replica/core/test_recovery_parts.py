"""What a witness holds may be more than a link's queue takes: a new leader is told of it in parts, a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replica.core.messages import Collect, Entry, Record, WitnessState
from replica.core.recovery import PARTS_AHEAD
from statemachine.command import NOOP, PUT
from tests.replica.core.lone import CLIENT, accept
from tests.replica.core.successor import A, B, Successor

if TYPE_CHECKING:
    from replica.core.messages import Message

COMMANDS = 7
PARTS = 1 + COMMANDS


def witness_of() -> Successor:
    """A follower that holds some commands of a session; its levels are a part, and so is each command."""
    witness = Successor(collect_bytes_max=1)
    for number in range(1, COMMANDS + 1):
        witness.holds(A, number, "s")
    return witness


def parts_in(sent: list[tuple[int, Message]]) -> list[tuple[int, int]]:
    """Return (round, part) of the answers among what was sent."""
    return [(section.round, section.part) for _, section in sent if isinstance(section, WitnessState)]


def test_a_witness_tells_a_few_parts_and_one_more_whenever_it_is_asked_again() -> None:
    witness = witness_of()
    told = parts_in(witness.tell(2, Collect(1, 2, 5)))
    assert told == [(5, part) for part in range(PARTS_AHEAD)]
    for part in range(PARTS_AHEAD, PARTS):
        assert parts_in(witness.tell(2, Collect(1, 2, 5))) == [(5, part)]
    assert parts_in(witness.tell(2, Collect(1, 2, 5))) == [], "that is all"


def test_all_parts_tell_of_the_moment_of_the_first() -> None:
    """What is taken meanwhile is no part of it, and what it tells is not moved from one part to another."""
    witness = witness_of()
    sections = [section for _, section in witness.tell(2, Collect(1, 2, 5)) if isinstance(section, WitnessState)]
    witness.holds(A, COMMANDS + 1, "s")
    witness.tell(CLIENT, Record([B], [1], [1], [0], [1], bytes([PUT]), [b"other"], [b"v"]))
    while len(sections) < PARTS:
        sections += [section for _, section in witness.tell(2, Collect(1, 2, 5)) if isinstance(section, WitnessState)]
    assert [(section.sessions, section.firsts) for section in sections] == [([], []), *[([A], [number]) for number in range(1, COMMANDS + 1)]]
    assert [row for section in sections for row in section.levels] == [[A, 0, COMMANDS, COMMANDS]]


def test_another_question_is_answered_anew() -> None:
    witness = witness_of()
    witness.tell(2, Collect(1, 2, 5))
    assert parts_in(witness.tell(2, Collect(1, 2, 6))) == [(6, part) for part in range(PARTS_AHEAD)]


def test_a_witness_keeps_nothing_for_a_leader_that_serves() -> None:
    witness = witness_of()
    witness.tell(2, Collect(1, 2, 5))
    witness.tell(2, accept(2, (1, 1)))
    assert len(witness.replica.roles.telling.rest) == PARTS - PARTS_AHEAD, "one that recovers says that it leads"
    witness.tell(2, accept(2, (1, 1), Entry(2, 2, 2, [[NOOP]], [], [], [], [], b"", [], [])))
    assert not witness.replica.roles.telling.rest


def test_a_witness_keeps_nothing_for_the_leader_of_an_older_view() -> None:
    witness = witness_of()
    witness.tell(2, Collect(1, 2, 5))
    witness.tell(0, accept(3, (1, 1)))
    assert not witness.replica.roles.telling.rest


def test_a_new_leader_asks_until_it_has_all() -> None:
    """It waits for no timer."""
    successor, witness = Successor(), witness_of()
    successor.holds(A, 1, "s" * COMMANDS)
    sent = [section for peer, section in successor.takes_over() if peer == 2]
    told = []
    while successor.role == "recovering":
        answers = [section for message in sent for _, section in witness.tell(2, message) if isinstance(section, WitnessState)]
        assert answers
        told += [section.part for section in answers]
        sent = [section for answer in answers for peer, section in successor.tell(2, answer) if peer == 2 and isinstance(section, Collect)]
    assert told == list(range(PARTS))
    assert successor.recovered() == [(A, number) for number in range(1, COMMANDS + 1)]


def test_parts_of_before_and_after_a_break_of_the_link_are_not_put_together() -> None:
    """The witness may have been started again, and its parts be of another moment, though the question was the same."""
    successor, witness = Successor(), witness_of()
    question = next(section for peer, section in successor.takes_over() if peer == 2 and isinstance(section, Collect))
    answers = [section for _, section in witness.tell(2, question) if isinstance(section, WitnessState)]
    for answer in answers:
        successor.tell(2, answer)
    successor.unlink(2)
    successor.link(2)
    late = [section for _, section in witness.tell(2, question) if isinstance(section, WitnessState)]
    for answer in late:
        successor.tell(2, answer)
    assert successor.role == "recovering"
    again = [section for peer, section in successor.wait(1.0) if peer == 2 and isinstance(section, Collect)]
    assert [section.round > question.round for section in again] == [True]
