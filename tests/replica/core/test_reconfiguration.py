from __future__ import annotations

import pytest

from replica.core.catchup import begin
from replica.core.configuration import configuration_of
from replica.core.messages import TakeOver
from replica.core.reconfiguration import CAUGHT_UP_ENTRIES, MEMBERS_MAX, ChangeRefused
from tests.replica.core.cabinet import NEW, Cabinet
from tests.replica.core.seat import Seat

# ------------------------------------------------------------------------------------------------------------------------- refusals


def test_an_id_is_used_once() -> None:
    cabinet = Cabinet(4)
    assert cabinet.refusal("add", -1, 2) == "replica 2 is a member already"
    cabinet.remove(2)
    cabinet.pass_turns()
    assert "replica 2 was removed" in cabinet.refusal("add", -1, 2)


def test_only_a_voter_is_replaced_and_once() -> None:
    cabinet = Cabinet()
    assert "replica 9 is no voter" in cabinet.refusal("add", 9)
    cabinet.add(replaces=2)
    cabinet.pass_turns(1, 2)
    assert "is being replaced already" in cabinet.refusal("add", 2, 8)


def test_there_is_a_limit_and_a_replacement_is_not_one_more() -> None:
    cabinet = Cabinet(MEMBERS_MAX)
    assert "no more than" in cabinet.refusal("add", -1, 99)
    cabinet.add(replaces=3, member=99)
    assert cabinet.leader.reconfiguration.wanted is not None


def test_who_is_no_member_and_who_is_the_last_voter_cannot_leave() -> None:
    assert Cabinet().refusal("remove", 9) == "replica 9 is no member"
    assert Cabinet(1).refusal("remove", 0) == "replica 0 is the last voter"


def test_a_silent_learner_may_always_leave() -> None:
    cabinet = Cabinet()
    cabinet.learn()
    for peer in (1, 2, NEW):
        cabinet.leader.link_down(peer)
    cabinet.remove(NEW)
    wanted = cabinet.leader.reconfiguration.wanted
    assert wanted is not None
    assert (wanted.learners, wanted.removed) == ((), (NEW,))


def test_an_address_that_is_too_long_is_refused_and_not_cut() -> None:
    cabinet = Cabinet()
    with pytest.raises(ChangeRefused, match=r"^the address of replica 7 has 257 characters: no more than 256$"):
        cabinet.leader.reconfiguration.add(NEW, "h" * 257)
    assert cabinet.leader.reconfiguration.wanted is None


def test_there_is_one_change_at_a_time() -> None:
    cabinet = Cabinet()
    cabinet.puts(cabinet.session, b"x")
    cabinet.add()
    assert "another change is under way" in cabinet.refusal("add", -1, 8), "it waits for the fast path"
    cabinet.turn()
    cabinet.ack(1, 2)
    cabinet.turn()
    assert cabinet.told.number == 2
    assert "another change is under way" in cabinet.refusal("add", -1, 8), "it is logged, and not committed"
    cabinet.ack(1, 2)
    cabinet.apply()
    cabinet.add(member=8)


def test_nothing_changes_before_an_entry_of_the_view_is_committed() -> None:
    """Ongaro 2015: the change of an older leader, which this one knows nothing of, may be committed until then."""
    seat = Seat(opened=False)
    with pytest.raises(ChangeRefused, match="view 1 is not open yet"):
        seat.leader.reconfiguration.add(NEW, "")
    seat.leader.serving = False
    seat.commit()
    assert "not open" in seat.leader.reconfiguration.obstacle(), "it recovers still"


def test_nothing_changes_while_the_leader_hands_over() -> None:
    cabinet = Cabinet()
    assert cabinet.leader.hand_over(1)
    assert "hands over" in cabinet.refusal("add")


# ------------------------------------------------------------------------------------------------------------------------ one change


def test_a_change_waits_until_what_was_speculated_on_is_committed() -> None:
    cabinet = Cabinet()
    assert cabinet.puts(cabinet.session, b"x").sessions == [cabinet.session]
    cabinet.add()
    assert cabinet.puts(cabinet.session, b"y").sessions == [], "from now on nothing is"
    cabinet.turn()
    cabinet.turn()
    assert cabinet.told.number == 1
    cabinet.ack(1)
    cabinet.turn()
    assert cabinet.shape() == ((0, 1, 2), (NEW,))
    assert cabinet.told.address(NEW) == f"host:{NEW}"


def test_the_fast_path_is_back_when_the_change_is_committed_under_its_number() -> None:
    cabinet = Cabinet()
    cabinet.add()
    cabinet.turn()
    cabinet.turn()
    assert cabinet.told.number == 2
    assert cabinet.puts(cabinet.session, b"x").sessions == []
    cabinet.turn()
    cabinet.ack(1)
    cabinet.apply()
    speculation = cabinet.puts(cabinet.session, b"y")
    assert speculation.reply(cabinet.node).config == 2
    assert speculation.firsts == [2]


def test_a_change_has_an_entry_of_its_own_behind_the_commands_of_its_turn() -> None:
    cabinet = Cabinet()
    before = cabinet.node.log.last_index
    cabinet.add()
    cabinet.puts(cabinet.session, b"x")
    cabinet.turn()
    one, two = cabinet.node.log.since(before + 1, 1 << 20)
    assert (configuration_of(one), one.keys) == (None, [b"x"])
    assert (configuration_of(two), two.keys) == (cabinet.told, [])


def test_a_replica_alone_changes_at_once() -> None:
    cabinet = Cabinet(1)
    cabinet.add()
    cabinet.turn()
    cabinet.turn()
    assert cabinet.node.commit_index == cabinet.node.log.last_index == cabinet.node.configurations.index


def test_a_change_counts_from_the_moment_it_is_logged() -> None:
    cabinet = Cabinet(4)
    cabinet.remove(3)
    cabinet.turn()
    cabinet.turn()
    assert cabinet.told.voters == (0, 1, 2)
    assert list(cabinet.leader.progress) == [1, 2]
    cabinet.ack(1)
    assert cabinet.node.commit_index == cabinet.node.configurations.index, "two of three; of four that were too few"


# --------------------------------------------------------------------------------------------------------------------------- learners


def test_a_learner_votes_as_soon_as_it_has_caught_up() -> None:
    cabinet = Cabinet()
    cabinet.learn()
    assert cabinet.shape() == ((0, 1, 2), (NEW,))
    cabinet.pass_turns()
    assert cabinet.shape() == ((0, 1, 2, NEW), ())
    assert cabinet.node.commit_index == cabinet.node.configurations.index


@pytest.mark.parametrize(("lacks", "votes"), [(CAUGHT_UP_ENTRIES, True), (CAUGHT_UP_ENTRIES + 1, False)])
def test_a_learner_may_lack_what_is_on_its_way(lacks: int, votes: bool) -> None:
    cabinet = Cabinet()
    cabinet.learn()
    reached = cabinet.node.log.last_index
    for _ in range(lacks):
        cabinet.puts(cabinet.session, b"x")
        cabinet.leader.close_turn()
    cabinet.ack(1, 2)
    cabinet.ack(NEW, match=reached)
    cabinet.apply()
    cabinet.turn()
    assert (cabinet.leader.reconfiguration.wanted is not None) == votes


@pytest.mark.parametrize("missing", ["its log", "its link", "its snapshot"])
def test_who_has_not_caught_up_does_not_vote(missing: str) -> None:
    cabinet = Cabinet()
    cabinet.learn()
    progress = cabinet.leader.progress[NEW]
    progress.match = 0 if missing == "its log" else cabinet.node.log.last_index
    progress.linked = missing != "its link"
    progress.sending = begin(cabinet.node, NEW) if missing == "its snapshot" else None
    cabinet.pass_turns(1, 2)
    assert cabinet.shape() == ((0, 1, 2), (NEW,))


def test_a_learner_that_could_not_be_followed_to_a_majority_goes_on_learning() -> None:
    cabinet = Cabinet()
    cabinet.learn()
    cabinet.leader.link_down(1)
    cabinet.leader.link_down(2)
    cabinet.pass_turns(NEW)
    assert cabinet.shape() == ((0, 1, 2), (NEW,)), "two of four would be no majority"


def test_learners_become_voters_one_after_the_other() -> None:
    cabinet = Cabinet()
    cabinet.learn(7)
    cabinet.learn(8)
    cabinet.pass_turns()
    cabinet.pass_turns()
    assert cabinet.shape() == ((0, 1, 2, 7, 8), ())
    assert cabinet.told.number == 5


# ------------------------------------------------------------------------------------------------------------------------ replacement


def replacing(voters: int, replaced: int, *dead: int) -> tuple[Cabinet, list[tuple[int, ...]]]:
    """A cabinet in which somebody is replaced while others are dead; returns the voters of each configuration on the way."""
    cabinet = Cabinet(voters)
    cabinet.add(replaces=replaced)
    cabinet.leader.link_up(NEW)
    for peer in dead:
        cabinet.leader.link_down(peer)
    seen = [cabinet.told.voters]
    for _ in range(12):
        cabinet.turn()
        cabinet.ack(*(peer for peer in cabinet.leader.progress if peer not in dead))
        cabinet.apply()
        if cabinet.told.voters != seen[-1]:
            seen.append(cabinet.told.voters)
    assert not cabinet.told.replacing
    assert not cabinet.told.learners
    return cabinet, seen


def test_who_is_replaced_leaves_first_when_the_learner_has_caught_up() -> None:
    """A dead voter would be one of four otherwise."""
    cabinet, seen = replacing(3, 2, 2)
    assert seen == [(0, 1, 2), (0, 1), (0, 1, NEW)]
    assert cabinet.told.removed == (2,)


def test_unless_the_others_are_no_majority_without_it() -> None:
    _, seen = replacing(3, 2, 1)
    assert seen == [(0, 1, 2), (0, 1, 2, NEW), (0, 1, NEW)]


def test_nobody_leaves_for_a_learner_that_has_not_caught_up() -> None:
    cabinet = Cabinet()
    cabinet.add(replaces=2)
    cabinet.pass_turns(1, 2)
    assert cabinet.shape() == ((0, 1, 2), (NEW,))


# ------------------------------------------------------------------------------------------------------------- the leader itself leaves


def orders(seat: Seat) -> list[int]:
    """Take what was sent to peers; returns who is told to take over."""
    sends, seat.node.peer_sends = seat.node.peer_sends, []
    return [peer for peer, sections in sends for section in sections if isinstance(section, TakeOver)]


def test_a_leader_that_leaves_counts_the_others_only_and_hands_over_when_that_is_committed() -> None:
    cabinet = Cabinet()
    cabinet.remove(0)
    cabinet.turn()
    cabinet.turn()
    assert (cabinet.told.voters, cabinet.leader.alone) == ((1, 2), False)
    cabinet.ack(2)
    assert cabinet.node.commit_index < cabinet.node.configurations.index, "one of two, and its own log does not count"
    assert orders(cabinet) == []
    cabinet.ack(1)
    assert cabinet.node.commit_index == cabinet.node.configurations.index
    cabinet.turn()
    assert orders(cabinet) in ([1], [2])
    assert cabinet.leader.busy()


def test_a_change_that_is_under_way_waits_while_the_leader_hands_over() -> None:
    """Its entry would make the log of who is to take over too short."""
    cabinet = Cabinet()
    cabinet.puts(cabinet.session, b"x")
    cabinet.remove(2)
    cabinet.turn()
    assert cabinet.leader.hand_over(1)
    last = cabinet.node.log.last_index
    cabinet.ack()
    cabinet.apply()
    cabinet.turn()
    assert orders(cabinet) == [1]
    assert (cabinet.node.log.last_index, cabinet.told.voters) == (last, (0, 1, 2))
    cabinet.leader.handing_over = None
    cabinet.turn()
    assert cabinet.told.voters == (0, 1)


def test_a_leader_that_leaves_speculates_no_more() -> None:
    cabinet = Cabinet(4)
    cabinet.remove(0)
    cabinet.pass_turns()
    assert cabinet.node.applied_index >= cabinet.node.configurations.index
    assert cabinet.puts(cabinet.session, b"x").sessions == []


def test_it_hands_over_again_when_nobody_took_over_and_to_another_if_that_one_hangs() -> None:
    for hangs, chosen in ((False, 1), (True, 2)):
        cabinet = Cabinet(5)
        cabinet.remove(0)
        cabinet.pass_turns()
        assert orders(cabinet) == [1]
        cabinet.now = cabinet.node.now = 2 * cabinet.node.config.election_seconds
        cabinet.ack(*range(1 + hangs, 5))
        cabinet.turn()
        cabinet.turn()
        cabinet.turn()
        assert orders(cabinet) == [chosen]
