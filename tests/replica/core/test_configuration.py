from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replica.core.configuration import Configuration, Configurations, configuration_of
from replica.core.messages import Entry
from replica.core.quorum import majority
from statemachine.command import CONFIG, NOOP
from tests.replica.core.lone import noop

FIRST = Configuration(1, (0, 1, 2))
WITH_LEARNER = FIRST.with_learner(3, "host:7003")


def change(index: int, configuration: Configuration, view: int = 1) -> Entry:
    return Entry(index, view, index - 1, [configuration.command("ho")], [], [], [], [], b"", [], [])


# -------------------------------------------------------------------------------------------------------------------------- changes


def test_a_learner_gets_the_log_and_does_not_vote() -> None:
    assert (WITH_LEARNER.number, WITH_LEARNER.voters, WITH_LEARNER.learners, WITH_LEARNER.members) == (2, (0, 1, 2), (3,), (0, 1, 2, 3))
    assert (WITH_LEARNER.majority, WITH_LEARNER.replacing) == (2, ())


def test_a_learner_becomes_a_voter_and_keeps_its_address() -> None:
    after = WITH_LEARNER.with_voter(3)
    assert (after.number, after.voters, after.learners, after.majority) == (3, (0, 1, 2, 3), (), 3)
    assert (after.address(3), after.address(0)) == ("host:7003", "")


def test_who_leaves_is_never_forgotten_and_its_address_is() -> None:
    after = WITH_LEARNER.with_voter(3).without(3)
    assert (after.number, after.voters, after.removed, after.addresses) == (4, (0, 1, 2), (3,), ())
    assert WITH_LEARNER.without(3).learners == (), "a learner may leave too"


def test_a_replacement_is_told_until_one_of_the_two_has_left() -> None:
    replacing = FIRST.with_learner(3, "", replaces=1)
    assert replacing.replacing == ((3, 1),)
    assert replacing.with_voter(3).replacing == ((3, 1),)
    assert replacing.without(1).replacing == replacing.without(3).replacing == ()
    assert replacing.without(0).replacing == ((3, 1),)


STEPS = st.lists(st.tuples(st.sampled_from(["learner", "replacement", "vote", "leave"]), st.integers(0, 9)), max_size=12)


@given(STEPS)
def test_majorities_of_neighbours_intersect_and_members_are_counted_once(steps: list[tuple[str, int]]) -> None:
    now = FIRST
    for place, (step, choice) in enumerate(steps):
        before = now
        if step == "vote" and now.learners:
            now = now.with_voter(now.learners[choice % len(now.learners)])
        elif step == "leave" and len(now.voters) > 1:
            now = now.without(now.members[choice % len(now.members)])
        elif step in {"learner", "replacement"}:
            now = now.with_learner(3 + place, "h:1", now.voters[choice % len(now.voters)] if step == "replacement" else -1)
        both = set(before.voters) | set(now.voters)
        assert before.majority + now.majority > len(both)
        assert now.majority == majority(len(now.voters))
        assert len(set(now.members) | set(now.removed)) == len(now.members) + len(now.removed)
        assert Configuration.from_items(now.items()) == now


# ------------------------------------------------------------------------------------------------------------------ in log and snapshot


def test_a_configuration_comes_back_from_the_log_as_it_went_in() -> None:
    told = FIRST.with_learner(3, "höst:7003", replaces=1).without(2)
    entry = change(7, told)
    assert entry.system[0][:3] == [CONFIG, "ho", 3]
    assert configuration_of(entry) == told
    assert configuration_of(noop(1, 1)) is None
    both = Entry(1, 1, 0, [FIRST.command("ho"), [NOOP]], [], [], [], [], b"", [], [])
    assert configuration_of(both) == FIRST, "a cluster's first entry brings it beside something else"


@pytest.mark.parametrize(
    "items",
    [
        [],
        7,
        None,
        [1, [0], [], [], []],
        [1, [0], [], [], [], [], []],
        [-1, [0], [], [], [], []],
        [True, [0], [], [], [], []],
        [1 << 63, [0], [], [], [], []],
        [1.0, [0], [], [], [], []],
        [1, ["0"], [], [], [], []],
        [1, 0, [], [], [], []],
        [1, [0], [b"1"], [], [], []],
        [1, [0], [], [1], [], []],
        [1, [0], [], [[1]], [], []],
        [1, [0], [], [[1, 2, 3]], [], []],
        [1, [0], [], [[1, -1]], [], []],
        [1, [0], [], [], [None], []],
        [1, [0], [], [], [], [[]]],
        [1, [0], [], [], [], [[1]]],
        [1, [0], [], [], [], [[1, "text"]]],
        [1, [0], [], [], [], [[1, b"\xff"]]],
        [1, [0], [], [], [], [["1", b""]]],
        [1, [0], [], [], [], [[]] * 2],
    ],
    ids=repr,
)
def test_what_is_no_configuration_is_refused(items: Any) -> None:
    with pytest.raises(ValueError, match=r"^no configuration: "):
        Configuration.from_items(items)


# -------------------------------------------------------------------------------------------------------------- one replica's log


def configurations(*entries: Entry) -> Configurations:
    told = Configurations([(0, FIRST)])
    told.add_all(entries)
    return told


SECOND = FIRST.with_learner(3, "")
THIRD = SECOND.with_voter(3)


def test_the_newest_counts_from_the_moment_it_is_in_the_log() -> None:
    told = configurations(noop(1, 1), change(2, SECOND))
    assert (told.latest, told.index) == (SECOND, 2)
    assert told.add(change(3, THIRD))
    assert not told.add(noop(4, 1))
    assert (told.latest, told.index) == (THIRD, 3)


@pytest.mark.parametrize(("index", "latest"), [(9, THIRD), (3, THIRD), (2, SECOND), (1, FIRST), (0, FIRST)])
def test_what_is_cut_off_counts_no_longer(index: int, latest: Configuration) -> None:
    told = configurations(noop(1, 1), change(2, SECOND), change(3, THIRD))
    assert told.cut(index) == (latest != THIRD)
    assert told.latest == latest


def test_what_was_known_before_the_log_is_never_cut_off() -> None:
    told = configurations()
    assert not told.cut(0)
    assert (told.latest, told.index) == (FIRST, 0)


@pytest.mark.parametrize(("index", "there"), [(0, FIRST), (1, FIRST), (2, SECOND), (4, SECOND), (5, THIRD), (6, THIRD)])
def test_each_index_has_the_configuration_of_its_moment(index: int, there: Configuration) -> None:
    assert configurations(change(2, SECOND), change(5, THIRD)).at(index) == there


def test_what_a_snapshot_was_asked_for_is_kept_and_older_ones_are_forgotten() -> None:
    told = configurations(change(2, SECOND), change(5, THIRD))
    told.at(4)
    assert told.told == [(2, SECOND), (5, THIRD)]
    assert told.cut(4)
    assert told.latest == SECOND
