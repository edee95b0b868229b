from __future__ import annotations

import pytest

from replica.core.messages import VoteReply
from tests.replica.core.lone import ELECTION_SECONDS, LONG, Lone, accept, asked, granted, silent, vote, votes


def test_who_hears_no_leader_asks_for_votes_in_a_trial() -> None:
    lone = Lone()
    assert asked(lone.wait(ELECTION_SECONDS - 0.01)) == []
    assert asked(lone.wait(0.02)) == [(0, 2, True, False), (2, 2, True, False)]


def test_a_leader_that_speaks_is_not_stood_against() -> None:
    lone = Lone()
    for _ in range(10):
        lone.now += ELECTION_SECONDS - 0.01
        assert asked(lone.tell(0, accept(1))) == []


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_patience_is_one_to_two_election_timeouts_by_chance(jitter: float) -> None:
    assert Lone(jitter=jitter).replica.deadline() == pytest.approx(ELECTION_SECONDS * (1.0 + jitter))


def test_a_trial_changes_nothing_at_the_candidate() -> None:
    lone = Lone()
    before = lone.state()
    lone.wait(LONG)
    assert (lone.state(), lone.disk) == (before, [])


def test_a_trial_changes_nothing_at_the_voter() -> None:
    lone = silent()
    before = lone.state()
    assert votes(lone.tell(2, vote(9, trial=True))) == [(2, 9, True, True)]
    assert (lone.state(), lone.disk) == (before, [])


def test_a_trial_is_refused_while_a_leader_is_heard() -> None:
    lone = silent()
    lone.tell(0, accept(1))
    lone.now += ELECTION_SECONDS - 0.01
    assert not granted(lone.tell(2, vote(2, trial=True)))
    lone.now += 0.02
    assert granted(lone.tell(2, vote(2, trial=True)))


def test_a_leader_grants_no_trial() -> None:
    assert not granted(silent(0).tell(2, vote(2, (9, 9), trial=True)))


def test_a_trial_for_a_view_that_is_past_is_refused() -> None:
    assert not granted(silent().tell(2, vote(1, trial=True)))


def test_a_candidate_whose_trial_is_granted_asks_in_earnest() -> None:
    lone = Lone()
    lone.wait(LONG)
    sent = lone.tell(2, VoteReply(1, 1, 2, trial=True, granted=True))
    assert asked(sent) == [(0, 2, False, False), (2, 2, False, False)]
    assert lone.state() == (2, -1, 1)


def test_a_candidate_that_nobody_answers_keeps_asking_in_trials_only() -> None:
    lone = Lone()
    for _ in range(20):
        assert all(trial for _, _, trial, _ in asked(lone.wait(LONG)))
    assert lone.state() == (1, 0, -1)


def test_refusals_elect_nobody() -> None:
    lone = Lone()
    lone.wait(LONG)
    for peer in (0, 2):
        assert lone.tell(peer, VoteReply(1, 1, 2, trial=True, granted=False)) == []
    assert lone.role == "follower"


def test_the_same_voter_counts_once() -> None:
    lone = Lone(1, 5)
    lone.wait(LONG)
    for _ in range(3):
        assert asked(lone.tell(2, VoteReply(1, 1, 2, trial=True, granted=True))) == []
    assert asked(lone.tell(3, VoteReply(1, 1, 2, trial=True, granted=True)))


def test_answers_to_a_trial_are_no_votes_and_those_to_another_view_neither() -> None:
    lone = Lone(1, 5)
    lone.wait(LONG)
    for peer in (2, 3):
        lone.tell(peer, VoteReply(1, 1, 2, trial=True, granted=True))
    assert lone.state() == (2, -1, 1)
    for peer in (0, 2, 3, 4):
        lone.tell(peer, VoteReply(1, 1, 2, trial=True, granted=True))
        lone.tell(peer, VoteReply(1, 1, 1, trial=False, granted=True))
    assert lone.role == "candidate"
