from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replica.core.flights import CompletionKind, ReadFlight
from replica.core.messages import Applied, CausalRead, ReadIndex
from replica.core.own_writes import overlay_rows
from tests.replica.core.caller import SESSION, Caller, brief, values_of

if TYPE_CHECKING:
    from replica.core.messages import Value

SCAN: list[object] = [b"", None, 10]


def answers_of(caller: Caller, *queries: bytes, position: int, applied: int = 0) -> list[Value]:
    """Read causally and have the home answer that it has nothing."""
    caller.causal_read(*queries)
    (section,) = caller.sections(CausalRead, 1)
    done = caller.causal_values(section.firsts[0], *[(None, 0)] * len(queries), position=position, applied=applied)
    return values_of([completion for completion in done if completion.kind is CompletionKind.READ])


def floor_of(caller: Caller) -> int:
    """The floor that the next causal read asks for."""
    caller.causal_read(b"probe")
    (section,) = caller.sections(CausalRead, 1)
    caller.causal_values(section.firsts[-1], (None, 0), position=1 << 40)
    return int(section.floors[-1])


# ----------------------------------------------------------------------------------------------------------------------- strong reads


@pytest.mark.parametrize(("voters", "needed"), [(1, 0), (3, 2), (5, 3), (7, 5)])
def test_a_strong_read_needs_the_leaders_value_and_anchors_of_a_fast_quorum(voters: int, needed: int) -> None:
    caller = Caller(voters, home=0)
    caller.put(b"x")
    caller.strong_read(b"x", handle="r")
    done = caller.strong_values(1, (b"vx", 0))
    for replica in range(1, needed + 1):
        assert done == []
        done = caller.confirm(replica, 1, 1)
    assert (brief(done), done[0].values, done[0].versions) == ([("r", 0, 1, False)], [b"vx"], [0])


def test_confirmations_may_come_before_the_value() -> None:
    caller = Caller()
    caller.strong_read(b"x", handle="r")
    caller.confirm(1, 1, 0)
    caller.confirm(2, 1, 0)
    assert values_of(caller.strong_values(1, (b"v", 7))) == [b"v"]


def test_a_confirmation_of_an_earlier_read_confirms_nothing_later() -> None:
    caller = Caller()
    caller.strong_read(b"x", b"y")
    caller.strong_read(b"z")
    caller.confirm(1, 2, 0)
    assert caller.confirm(2, 2, 0) == []
    assert caller.strong_values(3, (b"v", 7)) == []


def test_when_the_dependency_is_committed_a_majority_is_enough() -> None:
    """Only the leader's authority is in question then."""
    caller = Caller(5)
    caller.put(b"x")
    caller.strong_read(b"x", handle="r")
    caller.strong_values(1, (b"vx", 0))
    caller.confirm(1, 1, 0)
    assert caller.confirm(2, 1, 0) == []
    assert ("r", 0, 1, False) in brief(caller.applied(0, 1))


def test_in_paxos_the_leaders_value_waits_for_commits_anyway() -> None:
    caller = Caller(mode="paxos")
    caller.put(b"x")
    caller.strong_read(b"x", handle="r")
    caller.strong_values(1, (b"vx", 0))
    assert brief(caller.confirm(2, 1, 0)) == [("r", 0, 1, False)]


def test_confirmations_and_values_of_different_views_are_never_counted_together() -> None:
    caller = Caller()
    caller.strong_read(b"x")
    caller.confirm(1, 1, 0)
    caller.strong_values(1, (b"old", 1))
    assert caller.confirm(2, 1, 0, view=2) == []
    assert caller.confirm(1, 1, 0) == []
    assert caller.confirm(1, 1, 0, view=2) == [], "the value was the old leader's"
    assert caller.strong_values(1, (b"old", 1)) == []


def test_the_leader_is_not_among_those_who_confirm() -> None:
    caller = Caller()
    caller.strong_read(b"x")
    caller.strong_values(1, (b"v", 1))
    caller.confirm(0, 1, 0)
    assert caller.confirm(1, 1, 0) != [] or caller.session.in_flight == 0, "no dependency: one more of three is a majority"
    caller = Caller(5)
    caller.strong_read(b"x")
    caller.strong_values(1, (b"v", 1))
    caller.confirm(0, 1, 0)
    assert caller.confirm(1, 1, 0) == []


def test_answers_may_come_in_parts() -> None:
    caller = Caller()
    caller.strong_read(b"a", b"b", b"c", handle="r")
    caller.confirm(1, 3, 0)
    assert brief(caller.strong_values(2, (b"B", 5))) == [("r", 1, 1, False)]
    done = caller.strong_values(1, (b"A", 5), (b"B", 6), (b"C", 5))
    assert [(c.first, c.values) for c in done] == [(0, [b"A"]), (2, [b"C"])]
    assert caller.strong_values(1, (b"A", 5)) == []
    assert caller.session.idle


def test_reads_that_nothing_confirms_go_the_long_way_and_need_no_confirmation_there() -> None:
    caller = Caller()
    caller.put(b"x")
    caller.strong_read(b"x", handle="r")
    caller.sent()
    caller.wait(0.3)
    (section,) = caller.sections(ReadIndex, 0)
    assert (section.sessions, section.firsts, section.counts, section.dependencies, section.queries) == ([SESSION], [1], [1], [1], [b"x"])
    assert brief(caller.strong_values(1, (b"vx", 5), indexed=True)) == [("r", 0, 1, False)]


def test_a_read_with_versions_goes_the_long_way_at_once() -> None:
    caller = Caller()
    caller.put(b"x")
    caller.session.strong_read([b"x"], "r", 0.0, versioned=True)
    assert [type(message).__name__ for message in caller.sent()[0]] == ["Record", "ReadIndex"]
    done = caller.strong_values(1, (b"vx", 5), indexed=True)
    assert done[0].versions == [5]


# ----------------------------------------------------------------------------------------------------------------- what causal reads see


def test_a_causal_read_sees_own_writes_that_its_home_has_not_applied() -> None:
    """D19."""
    caller = Caller()
    caller.put(b"x", causal=True)
    caller.put(b"y")
    assert answers_of(caller, b"x", b"y", b"z", position=50) == [b"vx", b"vy", None]
    caller.delete(b"x", causal=True)
    assert answers_of(caller, b"x", position=50) == [None]


def test_what_the_home_has_applied_is_not_laid_over_any_more() -> None:
    caller = Caller()
    caller.put(b"x", causal=True)
    caller.applied(1, 1, position=20)
    assert answers_of(caller, b"x", position=50, applied=1) == [None], "somebody else may have written since"


def test_an_answer_that_has_seen_a_write_is_taken_as_it_is() -> None:
    """The note that the home applied it may come later than the answer."""
    caller = Caller()
    caller.put(b"x", causal=True)
    assert answers_of(caller, b"x", position=50, applied=1) == [None]
    assert floor_of(caller) == 50


def test_an_own_write_shows_no_version() -> None:
    caller = Caller()
    caller.put(b"x", causal=True)
    caller.causal_read(b"x", b"y")
    (done,) = caller.causal_values(1, (b"other", 30), (b"o", 31))
    assert (done.values, done.versions) == ([b"vx", b"o"], [0, 31])


def test_a_scan_sees_own_writes_key_by_key() -> None:
    caller = Caller()
    caller.put(b"b", causal=True)
    caller.delete(b"c", causal=True)
    caller.causal_read(SCAN)
    caller.put(b"a", causal=True)
    rows: Value = [[[b"c", b"1", 5], [b"d", b"2", 6]], False]
    assert values_of(caller.causal_values(1, (rows, 40))) == [[[[b"b", b"vb", 0], [b"d", b"2", 6]], False]], "a was written after the scan"


def test_a_read_behind_an_own_cas_waits_for_its_outcome() -> None:
    """What the cas found, the read must have seen; and it may have written."""
    caller = Caller()
    caller.cas(b"x", handle="c")
    caller.causal_read(b"x", b"y", handle="r")
    caller.sent()
    assert caller.causal_values(1, (b"old", 5), (None, 0), position=20) == []
    assert caller.sections(CausalRead) == [], "there is nothing to ask before the outcome"
    caller.applied(0, 1, [1, 1], position=33)
    (section,) = caller.sections(CausalRead, 1)
    assert section.floors == [33]
    assert values_of(caller.causal_values(1, (b"old", 5), (b"new", 30), position=33)) == [b"new x", b"new"]


def test_an_earlier_outcome_is_waited_for_also_when_a_later_cas_is_on_its_way() -> None:
    caller = Caller()
    caller.cas(b"x")
    caller.causal_read(b"x", handle="r")
    caller.cas(b"x")
    caller.sent()
    assert caller.causal_values(1, (b"old", 5), position=20) == []
    caller.applied(0, 1, [1, 1], position=21)
    assert values_of(caller.causal_values(1, (b"old", 5), position=21)) == [b"new x"]


def test_a_cas_issued_after_a_read_delays_it_not() -> None:
    caller = Caller()
    caller.causal_read(b"x", handle="r")
    caller.cas(b"x")
    assert values_of(caller.causal_values(1, (b"old", 5))) == [b"old"]


def test_a_failed_cas_writes_nothing_and_was_a_read() -> None:
    caller = Caller()
    caller.cas(b"x")
    for replica in (1, 2):
        caller.ack(replica, 1)
    caller.speculate(1, 1, [1, 0], position=44)
    caller.causal_read(b"x")
    (section,) = caller.sections(CausalRead, 1)
    assert section.floors == [44], "what it found was applied at the leader"
    assert values_of(caller.causal_values(1, (b"v", 30), position=44)) == [b"v"]


def test_large_answers_may_come_in_parts() -> None:
    caller = Caller()
    caller.put(b"b", causal=True)
    caller.causal_read(b"a", b"b", b"c", handle="r")
    assert [(c.first, c.values) for c in caller.causal_values(2, (None, 0), (b"C", 9))] == [(1, [b"vb", b"C"])]
    assert [(c.first, c.values) for c in caller.causal_values(1, (b"A", 9))] == [(0, [b"A"])]
    assert caller.session.in_flight == 1
    assert caller.causal_values(1, (b"A", 9)) == []


# ----------------------------------------------------------------------------------------------------------------------------- floors


def test_the_first_floor_is_the_sessions_own_opening() -> None:
    assert floor_of(Caller()) == SESSION


def test_versions_that_were_read_raise_the_floor_and_lower_ones_do_not() -> None:
    """D21, D34: monotonic reads, across keys and replicas."""
    caller = Caller()
    caller.causal_read(b"x", b"y")
    caller.causal_values(1, (b"v", 30), (None, 40))
    assert floor_of(caller) == 40
    caller.causal_read(b"x")
    caller.causal_values(4, (b"v", 30), position=60)
    assert floor_of(caller) == 40
    caller.strong_read(b"z")
    caller.strong_values(6, (b"v", 55))
    assert floor_of(caller) == 55


def test_dropped_tombstones_raise_the_floor() -> None:
    """An absent key may be one whose tombstone was dropped: the answer says from when on that may be."""
    caller = Caller()
    caller.causal_read(b"x")
    caller.causal_values(1, (None, 0), horizon=25)
    assert floor_of(caller) == 25
    caller.strong_read(b"x")
    caller.strong_values(3, (None, 0), horizon=35)
    assert floor_of(caller) == 35


def test_own_writes_that_leave_pending_raise_the_floor() -> None:
    caller = Caller()
    caller.put(b"x", causal=True)
    caller.applied(2, 1, position=70)
    assert floor_of(caller) == SESSION, "not the home: the write is still pending"
    caller.applied(1, 1, position=80)
    assert floor_of(caller) == 80


def test_an_answer_below_the_floor_is_asked_for_again() -> None:
    """It was asked for before the session knew better: its own write was pending then, and is not any more."""
    caller = Caller()
    caller.put(b"x", causal=True)
    caller.causal_read(b"x", handle="r")
    caller.sent()
    caller.applied(1, 1, position=50)
    assert caller.causal_values(1, (None, 0), position=20, replica=2) == []
    (section,) = caller.sections(CausalRead, 1)
    assert section.floors == [50]
    assert values_of(caller.causal_values(1, (b"vx", 45), position=50, applied=1)) == [b"vx"]


def test_a_read_that_was_answered_meanwhile_is_not_asked_again() -> None:
    caller = Caller()
    caller.cas(b"x")
    caller.causal_read(b"y", handle="r")
    caller.sent()
    caller.causal_values(1, (None, 0), position=20)
    caller.client.step(0, [Applied(1, 1, True, 30, [SESSION], [1], [[SESSION, 1, 1]])], 0.0)
    caller.session.complete_strong(0.0)
    assert values_of([c for c in caller.causal_values(1, (b"v", 25), position=30) if c.handle == "r"]) == [b"v"]
    assert caller.sections(CausalRead) == []


def test_a_read_that_moves_with_its_session_sees_what_the_old_home_had_applied() -> None:
    caller = Caller()
    caller.put(b"x", causal=True)
    caller.causal_read(b"x", handle="r")
    caller.sent()
    caller.applied(1, 1, position=50)
    caller.client.link_down(1, caller.now)
    home = caller.session.home
    assert home != 1
    (section,) = caller.sections(CausalRead, home)
    done = caller.causal_values(1, (None, 0), position=20, replica=home)
    if section.floors[0] < 50:
        assert done == []
        (section,) = caller.sections(CausalRead, home)
    assert section.floors == [50]
    assert values_of(caller.causal_values(1, (b"vx", 45), position=50, applied=1, replica=home)) == [b"vx"]


def test_a_lagging_home_sends_the_read_to_the_leader() -> None:
    caller = Caller()
    caller.causal_read(b"x", b"y", handle="r")
    caller.sent()
    caller.lagging(1, 2)
    assert caller.sections(CausalRead) == []
    caller.wait(caller.client.config.refused_seconds)
    (section,) = caller.sections(CausalRead, 0)
    assert (section.firsts, section.counts, section.queries) == ([1], [2], [b"x", b"y"])
    assert brief(caller.causal_values(1, (None, 0), (None, 0), replica=0)) == [("r", 0, 2, False)]


def test_a_home_without_a_leader_beside_it_is_asked_again_by_and_by() -> None:
    caller = Caller()
    caller.client.link_down(0, 0.0)
    caller.causal_read(b"x")
    caller.sent()
    caller.lagging(1, 1)
    assert caller.sections(CausalRead) == []
    caller.wait(0.3)
    assert len(caller.sections(CausalRead, 1)) == 1


# ------------------------------------------------------------------------------------------------------------------- pages of a scan

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"])


@given(
    st.dictionaries(KEYS, st.sampled_from([b"1", b"2"])),
    st.dictionaries(KEYS, st.sampled_from([b"8", b"9", None])),
    st.integers(1, 4),
    KEYS,
    st.one_of(st.none(), KEYS),
)
def test_pages_with_own_writes_laid_over_make_the_merged_map(
    theirs: dict[bytes, bytes], mine: dict[bytes, bytes | None], limit: int, start: bytes, end: bytes | None
) -> None:
    """Reading page after page yields each key of the merged interval once, in order."""
    own = {key: (7, value) for key, value in mine.items()}
    merged = {**theirs, **mine}
    expected = [(key, value) for key, value in sorted(merged.items()) if value is not None and start <= key and (end is None or key < end)]
    found, at = [], start
    for _ in range(20):
        within = [[key, value, 1] for key, value in sorted(theirs.items()) if at <= key and (end is None or key < end)]
        page = overlay_rows([within[:limit], len(within) > limit], [at, end, limit], own)
        assert isinstance(page, list)
        rows, more = page
        assert isinstance(rows, list)
        assert len(rows) <= limit
        found += [(row[0], row[1]) for row in rows]
        if not more:
            break
        at = more if isinstance(more, bytes) else rows[-1][0] + b"\0"
    assert found == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=8))
def test_parts_that_overlap_complete_each_read_once(parts: list[tuple[int, int]]) -> None:
    flight, seen = ReadFlight(1, 6, [b"k"] * 6, None, 0, 0.0, left=6), set[int]()
    for place, length in parts:
        count = min(length, 6 - place)
        kept = flight.fresh([(place, [b"%d" % at for at in range(place, place + count)], list(range(place, place + count)))])
        fresh = [at for start, values, _ in kept for at in range(start, start + len(values))]
        assert fresh == [at for at in range(place, place + count) if at not in seen]
        assert [value for _, values, _ in kept for value in values] == [b"%d" % at for at in fresh]
        assert [version for _, _, versions in kept for version in versions] == fresh
        seen |= set(fresh)
