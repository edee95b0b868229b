"""Recoveries while members come and go: whose witness counts, and for how much."""

from __future__ import annotations

import pytest

from replica.core.configuration import Configuration
from replica.core.messages import Entry, SpecReply, TakeOver
from statemachine.command import NOOP
from tests.replica.core.lone import CLIENT, accept
from tests.replica.core.successor import A, B, Successor, Told

FIRST = Configuration(1, (0, 1, 2))
FOUR = FIRST.with_learner(3, "").with_voter(3)
FIVE = FOUR.with_learner(4, "").with_voter(4)


def under(configuration: Configuration, *supporters: int, holds: str = "") -> Successor:
    """Replica 1 wins view 2 with an uncommitted change in its log."""
    successor = Successor()
    successor.logs(0, 1, "", system=[configuration.command("ho")])
    if holds:
        successor.holds(A, 1, holds)
    successor.link(3, 4)
    successor.now += 2
    successor.remember(successor.win(*supporters))
    assert successor.replica.recovery is not None
    return successor


def test_voters_of_the_latest_configuration_are_asked_and_learners_are_not() -> None:
    assert sorted(under(FOUR, 2, 3).rounds) == [0, 2, 3]
    assert sorted(under(FIRST.with_learner(3, ""), 2).rounds) == [0, 2]


def test_a_majority_of_it_is_heard() -> None:
    successor = under(FIVE, 2, 3)
    successor.hears(2)
    assert successor.role == "recovering"
    successor.hears(4)
    assert successor.new_entries() != []


def test_what_nobody_asked_tells_counts_for_nothing() -> None:
    successor = under(FIRST.with_learner(3, ""), 2)
    successor.rounds[3] = 1
    successor.hears(3, Told(A, "s", anchored=1))
    assert (successor.role, successor.recovered()) == ("recovering", [])


@pytest.mark.parametrize(("telling", "recovered"), [((2,), []), ((2, 3), [(A, 1)])])
def test_how_many_must_hold_a_command_depends_on_how_many_vote(telling: tuple[int, ...], recovered: list[tuple[int, int]]) -> None:
    """Two of three heard, where three of four accept what completes fast; of three voters, all three heard would have to hold it."""
    successor = under(FOUR, 2, 3)
    for peer in (2, 3):
        successor.hears(peer, *([Told(A, "s", anchored=1)] if peer in telling else []))
    assert successor.recovered() == recovered


def test_the_witness_of_who_leads_only_to_leave_is_not_counted() -> None:
    """Two of two voters accepted what completed; what one of them and who leaves accepted did not."""
    successor = under(FIRST.without(1), 0, 2, holds="s")
    successor.hears(2, Told(A, "s", anchored=1))
    assert successor.role == "recovering", "one of two voters is heard"
    successor.hears(0)
    entry = successor.new_entries()[0]
    assert (entry.system, entry.sessions) == ([[NOOP]], [A]), "nothing is recovered; what it holds is appended like a new command"


def test_what_it_holds_of_acknowledged_causal_writes_is_recovered() -> None:
    successor = under(FIRST.without(1), 0, 2, holds="c")
    successor.hears(2)
    successor.hears(0)
    assert successor.recovered() == [(A, 1)]


def test_who_leads_only_to_leave_speculates_on_nothing_commits_its_removal_and_hands_over() -> None:
    successor = under(FIRST.without(1), 0, 2)
    successor.hears(2)
    successor.hears(0)
    successor.acknowledged(2)
    assert successor.replica.node.commit_index < successor.replica.node.log.last_index
    sent = successor.acknowledged(0)
    assert successor.replica.node.commit_index == successor.replica.node.log.last_index
    successor.holds(B, 1, "s")
    assert not any(isinstance(section, SpecReply) for section in successor.replies.get(CLIENT, []))
    for peer in (0, 2):
        sent += successor.acknowledged(peer)
    sent += successor.turn()
    orders = [peer for peer, section in sent if isinstance(section, TakeOver)]
    assert orders in ([0], [2])


def test_a_change_that_the_new_leader_lacks_does_not_count_for_it() -> None:
    successor = Successor()
    successor.logs(0, 1, "", system=[FOUR.command("ho")])
    log = successor.replica.node.log
    noop = Entry(log.last_index, 2, log.get(log.last_index).base, [[NOOP]], [], [], [], [], b"", [], [])
    successor.tell(2, accept(2, (1, noop.index - 1), noop, commit=1))
    assert successor.replica.node.configuration == FIRST
    successor.now += 2
    successor.rounds.clear()
    successor.remember(successor.win(2))
    assert sorted(successor.rounds) == [0, 2]
