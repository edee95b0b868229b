"""Elections while members come and go: whose vote counts, and who may stand."""

from __future__ import annotations

from replica.core.configuration import Configuration
from replica.core.messages import Accept, Entry, TakeOver, VoteReply
from tests.replica.core.lone import LONG, Lone, accept, asked, granted, vote

FIRST = Configuration(1, (0, 1, 2))


def with_changes(*changes: Configuration, commit: int = 0, place: int = 1, joins: bool = False) -> Lone:
    """A replica whose log has these changes, from the leader of view 1, which is silent by now."""
    lone = Lone(place, joins=joins, jitter=0.0)
    for index, configuration in enumerate(changes, 1):
        entry = Entry(index, 1, index - 1, [configuration.command("ho")], [], [], [], [], b"", [], [])
        lone.tell(0, accept(1, (1 if index > 1 else 0, index - 1), entry, commit=min(commit, index)))
    lone.now += LONG
    return lone


def stands(lone: Lone) -> list[int]:
    """Let it have waited for its leader long enough; returns whom it asks."""
    lone.replica.election.at = lone.now
    return [peer for peer, *_ in asked(lone.turn())]


def vote_for(lone: Lone, *voters: int) -> str:
    """Let these vote for it, in the trial and in the election; returns its role then."""
    view = lone.replica.node.view
    for trial in (True, False):
        for voter in voters:
            lone.tell(voter, VoteReply(1, view, view + 1, trial, granted=True))
    return lone.role


# ----------------------------------------------------------------------------------------------------------------------- whose votes


def test_voters_of_the_log_s_latest_configuration_are_asked_committed_or_not() -> None:
    assert stands(with_changes(FIRST, FIRST.with_learner(3, "").with_voter(3))) == [0, 2, 3]
    assert stands(with_changes(FIRST, FIRST.with_learner(3, ""))) == [0, 2], "a learner is not"


def test_a_majority_is_one_of_that_configuration() -> None:
    lone = with_changes(FIRST, FIRST.with_learner(3, "").with_voter(3))
    stands(lone)
    assert vote_for(lone, 2) == "follower"
    lone = with_changes(FIRST, FIRST.with_learner(3, "").with_voter(3))
    stands(lone)
    assert vote_for(lone, 2, 3) == "recovering"


def test_the_vote_of_who_is_no_voter_does_not_count() -> None:
    """It was asked before the change that made it one was cut off."""
    lone = with_changes(FIRST, FIRST.with_learner(3, ""))
    stands(lone)
    assert vote_for(lone, 3, 7) == "follower"
    assert vote_for(lone, 2) == "recovering"


def test_whoever_asks_may_be_voted_for() -> None:
    """A voter may not have heard yet that it is one, nor that the candidate is."""
    lone = with_changes(place=5, joins=True)
    assert granted(lone.tell(7, vote(2, (1, 1))))


# ------------------------------------------------------------------------------------------------------------------------ who stands


def test_who_joins_and_who_learns_waits_for_others() -> None:
    assert stands(with_changes(place=5, joins=True)) == []
    lone = with_changes(FIRST, FIRST.with_learner(5, ""), place=5, joins=True)
    assert (stands(lone), lone.role) == ([], "learner")
    assert lone.replica.deadline() > lone.now


def test_who_was_removed_for_certain_waits_for_ever() -> None:
    lone = with_changes(FIRST, FIRST.without(1), commit=2)
    assert (stands(lone), lone.role) == ([], "removed")


def test_who_was_removed_by_a_change_that_may_be_in_no_other_log_stands_and_counts_the_others() -> None:
    """Who lacks the change cannot win without its vote, and does not get it (Raft dissertation, section 4.2.2)."""
    lone = with_changes(FIRST, FIRST.without(1), commit=1)
    assert stands(lone) == [0, 2]
    assert vote_for(lone, 2) == "removed"
    assert vote_for(lone, 2, 0) == "recovering"


def test_nobody_hands_over_to_who_does_not_vote() -> None:
    lone = with_changes(FIRST, FIRST.with_learner(5, ""), place=5, joins=True)
    assert asked(lone.tell(0, TakeOver(2, 1))) == []
    lone = with_changes(FIRST)
    assert [peer for peer, *_ in asked(lone.tell(0, TakeOver(1, 1)))] == [0, 2]


def test_who_decides_alone_names_its_view_to_a_learner_when_it_is_on_disk() -> None:
    """Nobody else votes, so after a crash it leads a view of that number again, where other commands may come: a learner would take the entries
    that it has for the new ones."""
    alone = Configuration(1, (0,))
    lone = Lone(0, 1, jitter=0.0)
    lone.disk += [
        Entry(1, 1, 0, [alone.command("ho")], [], [], [], [], b"", [], []),
        Entry(2, 1, 1, [alone.with_learner(1, "").command("ho")], [], [], [], [], b"", [], []),
    ]
    lone.restart()
    lone.link(1)
    lone.slow = True
    assert lone.wait(LONG) == []
    assert lone.role == "leader"
    assert lone.wait(LONG) == [], "and no heartbeat either"
    assert lone.replica.deadline() > lone.now, "it does not turn round and round until then"
    told = [section for _, section in lone.sync() if isinstance(section, Accept)]
    assert [(section.view, [entry.index for entry in section.entries]) for section in told] == [(2, [3])]
