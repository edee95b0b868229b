from __future__ import annotations

import math

import pytest

from replica.core.config import CoreConfig
from replica.core.configuration import Configuration
from replica.core.node import Node
from replica.core.progress import Tracker
from tests.replica.core.transfer import FOLLOWER, Transfer, small_chunks


def tracker(voters: tuple[int, ...], learners: tuple[int, ...] = (), *, durable_index: int = 9, now: float = 4.0) -> Tracker:
    """Replica 0 tracks the others; its own log is on disk up to ``durable_index``."""
    node = Node(CoreConfig(id=0, voters=voters or (0,)), now=now)
    node.configuration = Configuration(1, voters, learners)
    node.journal.durable_index = durable_index
    made = Tracker(node)
    made.configure()
    return made


def reconfigure(made: Tracker, voters: tuple[int, ...], learners: tuple[int, ...] = ()) -> None:
    made.node.configuration = Configuration(made.told.number + 1, voters, learners)
    made.configure()


# -------------------------------------------------------------------------------------------------------------------------- commits


@pytest.mark.parametrize(
    ("voters", "learners", "matches", "stored"),
    [
        ((0,), (), {}, 9),
        ((0, 1), (), {1: 4}, 4),
        ((0, 1, 2), (), {1: 4, 2: 7}, 7),
        ((0, 1, 2), (), {1: 12, 2: 11}, 11),
        ((0, 1, 2, 3), (), {1: 4, 2: 7, 3: 5}, 5),
        ((0, 1, 2, 3, 4), (), {1: 1, 2: 7, 3: 5, 4: 2}, 5),
        ((0,), (5, 6), {5: 2, 6: 1}, 9),
        ((0, 1, 2), (5, 6), {1: 4, 2: 3, 5: 9, 6: 9}, 4),
    ],
)
def test_a_majority_of_voters_the_leader_s_disk_included_has_what_is_stored(
    voters: tuple[int, ...], learners: tuple[int, ...], matches: dict[int, int], stored: int
) -> None:
    made = tracker(voters, learners)
    for member, match in matches.items():
        made.progress[member].match = match
    assert made.stored() == stored


@pytest.mark.parametrize(("voters", "matches", "stored"), [((1,), {1: 3}, 3), ((1, 2), {1: 3, 2: 5}, 3), ((1, 2, 3), {1: 3, 2: 5, 3: 6}, 5)])
def test_the_log_of_a_leader_that_leaves_does_not_count(voters: tuple[int, ...], matches: dict[int, int], stored: int) -> None:
    made = tracker(voters)
    for member, match in matches.items():
        made.progress[member].match = match
    assert (made.stored(), made.others) == (stored, len(voters) // 2 + 1)


# --------------------------------------------------------------------------------------------------------------------- rounds, hearing


def test_a_round_is_confirmed_by_voters_alone() -> None:
    made = tracker((0, 1, 2), (5, 6))
    for member, acknowledged in {1: 3, 2: 1, 5: 8, 6: 8}.items():
        made.progress[member].round = acknowledged
        made.progress[member].heard_at = float(acknowledged)
    assert (made.confirmed(9), made.heard_at()) == (3, 3.0)


def test_a_leader_that_leaves_needs_a_majority_of_those_who_stay() -> None:
    made = tracker((1, 2, 3))
    for member in (1, 2, 3):
        made.progress[member].round = member
        made.progress[member].heard_at = float(member)
    assert (made.confirmed(9), made.heard_at()) == (2, 2.0)


def test_who_decides_alone_needs_nobody() -> None:
    made = tracker((0,), (5,))
    assert (made.confirmed(9), made.heard_at(), made.others) == (9, math.inf, 0)


# ------------------------------------------------------------------------------------------------------------------- another configuration


def test_who_stays_is_known_still_and_who_comes_begins_at_the_end_of_the_log() -> None:
    made = tracker((0, 1, 2))
    made.progress[1].match = made.progress[2].match = 5
    kept = made.progress[1]
    made.link_up(7)
    reconfigure(made, (0, 1), (7, 8))
    assert list(made.progress) == [1, 7, 8]
    assert made.progress[1] is kept
    assert (made.voting, made.others) == ([kept], 1)
    new = made.progress[7]
    assert (new.match, new.next, new.linked, new.heard_at) == (0, 1, True, 4.0)
    assert not made.progress[8].linked


def test_who_left_and_is_linked_is_sent_to_when_it_comes_again() -> None:
    """A change may be cut off the log; links stay."""
    made = tracker((0, 1, 2))
    made.link_up(2)
    reconfigure(made, (0, 1))
    made.link_down(1)
    made.link_up(1)
    reconfigure(made, (0, 1, 2))
    assert (made.progress[2].linked, made.progress[1].linked) == (True, True)


# -------------------------------------------------------------------------------------------------------------------------------- links


def test_links_of_who_is_no_member_change_nobody_s_progress() -> None:
    made = tracker((0, 1))
    made.link_up(9)
    made.link_down(9)
    assert (list(made.progress), made.links) == ([1], {})


def test_a_fresh_link_is_sent_again_what_was_not_acknowledged() -> None:
    made = tracker((0, 1, 2))
    made.progress[1].match, made.progress[1].next, made.progress[2].next = 3, 8, 5
    made.link_up(1)
    made.link_up(2)
    assert (made.progress[1].next, made.progress[2].next) == (4, 5), "who has acknowledged nothing says itself where it is"
    made.link_down(1)
    assert not made.progress[1].linked


def test_parts_of_a_snapshot_keep_their_pace_after_the_first_window_however_fast_they_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    transfer = Transfer(keys=20, window=3, pace=0.008)
    assert transfer.begin() == [0, 1, 2]
    assert transfer.ack_parts(3) == []
    due = transfer.leader.deadline()
    assert transfer.now < due <= transfer.now + 0.008
    assert transfer.passes(due - transfer.now) == [3]
    assert transfer.ack_parts(4) == []
    assert transfer.passes(0.004) == []
    assert transfer.passes(0.004) == [4]
    assert transfer.ack_parts(5) == []
    assert transfer.passes(0.008) == [5]


def test_time_in_which_a_follower_took_no_parts_is_worth_one_window_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    transfer = Transfer(keys=30, window=3, pace=0.008)
    assert transfer.begin() == [0, 1, 2]
    assert transfer.passes(0.4) == [], "a window is in flight"
    assert transfer.ack_parts(3) == [3, 4, 5]
    assert transfer.ack_parts(6) == []


def test_a_link_that_breaks_while_the_pace_lets_nothing_go_does_not_end_the_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    transfer = Transfer(keys=20, window=3, pace=0.008)
    transfer.begin()
    assert transfer.ack_parts(3) == [], "nothing is in flight: no ack will come"
    transfer.leader.link_down(FOLLOWER)
    assert transfer.passes(0.008) == []
    transfer.leader.link_up(FOLLOWER)
    assert transfer.passes(0.0) == [3]


def test_a_follower_that_has_more_than_was_sent_since_an_old_answer_gets_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old answer looks like that of one who lost what it had; all is begun anew, and it must not wait for it to get as far again."""
    small_chunks(monkeypatch)
    undisturbed, transfer = Transfer(window=2), Transfer(window=2)
    for each in (undisturbed, transfer):
        each.begin()
        for upto in range(1, 5):
            each.ack_parts(upto)
    assert transfer.ack_parts(1) == [0, 1], "begun anew"
    assert (transfer.ack_parts(5), undisturbed.ack_parts(5)) == ([5, 6], [6])
    assert transfer.parts[-2:] == undisturbed.parts[-2:]
    assert [transfer.ack_parts(6), transfer.ack_parts(7)] == [[], []]
    assert transfer.leader.progress[FOLLOWER].sending is None
