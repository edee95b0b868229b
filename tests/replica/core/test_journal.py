from __future__ import annotations

import pytest

from replica.core.journal import Applied, Began, Committed, Cut, Durable, Forgotten, Journal, JournalError, Levels, Voted
from replica.core.messages import Entry, Record
from replica.core.witness import Chain, Run
from statemachine.command import CAUSAL
from statemachine.sessions import Sessions
from statemachine.store import Store
from tests.replica.core.lone import noop


def run(first: int, last: int, kind: int = 0) -> Run:
    count = last + 1 - first
    return Run(first, last, bytes([kind] * count), [b"k%d" % number for number in range(first, last + 1)], [b"v"] * count, 1)


def held(session: int, first: int, last: int) -> Record:
    """What the journal says of commands that were held."""
    of = run(first, last)
    return Record([session], [first], [last + 1 - first], [0], [1], of.kinds, of.keys, of.values)


def replayed(*records: Record | Entry | Voted | Cut | Committed | Levels | Forgotten | Began, base: int = 0) -> Durable:
    durable = Durable(Applied(Store(), Sessions(10), base, 1, base)) if base else Durable()
    durable.replay(records)
    return durable


def shape(durable: Durable) -> tuple[list[tuple[int, int]], dict[int, tuple[list[tuple[int, int]], int, int]], Voted, int]:
    chains = {
        session: ([(part.first, part.last) for part in chain.runs], chain.accepted, chain.anchored) for session, chain in durable.chains.items()
    }
    return [(entry.index, entry.view) for entry in durable.entries], chains, durable.voted, durable.committed


# ----------------------------------------------------------------------------------------------------------------------------- batches


def test_a_batch_is_closed_when_something_in_it_is_waited_for() -> None:
    journal = Journal(durable=True)
    assert journal.take() == []
    journal.on_voted(2, 1)
    assert journal.take() == [Voted(2, 1)]
    assert (journal.batch, journal.take()) == (2, [])


def test_a_commit_alone_is_not_worth_a_sync_and_goes_with_the_next_batch() -> None:
    journal = Journal(durable=True)
    journal.on_committed(4)
    assert journal.take() == []
    journal.on_cut(9)
    assert journal.take() == [Committed(4), Cut(9)]


def test_levels_of_a_batch_are_told_once_as_they_are_at_its_end_behind_what_they_rest_on() -> None:
    journal = Journal(durable=True)
    chain = Chain(7)
    for last in (1, 2):
        journal.on_held(7, run(last, last))
        chain.accepted = chain.anchored = last
        journal.on_level(chain)
    joined = Record([7, 7], [1, 2], [1, 1], [0, 0], [1, 1], bytes(2), [b"k1", b"k2"], [b"v", b"v"])
    assert journal.take() == [joined, Levels([7], [2], [2])]


def test_batches_are_persisted_in_their_order() -> None:
    journal = Journal(durable=True)
    for view in (2, 3):
        journal.on_voted(view, -1)
        journal.take()
    journal.on_persisted(2)
    assert journal.persisted == 2
    for wrong in (1, 3):
        with pytest.raises(AssertionError):
            journal.on_persisted(wrong)


def test_it_is_clear_when_nothing_that_was_recorded_waits() -> None:
    journal = Journal(durable=True)
    seen = [journal.clear]
    journal.on_voted(2, 1)
    seen.append(journal.clear)
    journal.take()
    seen.append(journal.clear)
    journal.on_persisted(1)
    seen.append(journal.clear)
    assert seen == [True, False, False, True]


def test_the_view_is_safe_when_its_record_is_on_disk() -> None:
    journal = Journal(durable=True)
    seen = [journal.view_safe]
    journal.on_voted(2, 1)
    journal.take()
    journal.on_held(7, run(1, 1))
    seen.append(journal.view_safe)
    journal.on_persisted(1)
    seen.append(journal.view_safe)
    assert seen == [True, False, True], "what was recorded later does not matter"


# ------------------------------------------------------------------------------------------------------------------ what is on disk


def test_entries_are_safe_batch_by_batch() -> None:
    journal = Journal(durable=True)
    for indices in ((1, 2), (3,)):
        for index in indices:
            journal.on_entry(noop(index, 1))
        journal.take()
    assert journal.durable_index == 0
    journal.on_persisted(1)
    assert journal.durable_index == 2
    journal.on_persisted(2)
    assert (journal.durable_index, len(journal.marks)) == (3, 0)


def test_what_was_cut_is_not_on_disk_any_more_whenever_it_was_written() -> None:
    journal = Journal(durable=True)
    for index in (1, 2, 3):
        journal.on_entry(noop(index, 1))
    journal.take()
    journal.on_entry(noop(4, 1))
    journal.take()
    journal.on_persisted(1)
    journal.on_cut(2)
    assert journal.durable_index == 2
    journal.on_entry(noop(3, 2))
    journal.take()
    journal.on_persisted(2)
    assert journal.durable_index == 2, "entry 3 of the old view was persisted, that of the new one was not"
    journal.on_persisted(3)
    assert journal.durable_index == 3


def test_a_cut_within_its_batch_counts_too() -> None:
    journal = Journal(durable=True)
    for index in (1, 2, 3):
        journal.on_entry(noop(index, 1))
    journal.on_cut(1)
    journal.on_entry(noop(2, 2))
    assert journal.take() == [noop(1, 1), noop(2, 1), noop(3, 1), Cut(1), noop(2, 2)]
    journal.on_persisted(1)
    assert journal.durable_index == 2


def test_with_memory_durability_only_views_and_votes_are_recorded() -> None:
    journal = Journal(durable=False)
    journal.on_entry(noop(1, 1))
    assert journal.durable_index == 1, "in the log is all there is"
    journal.on_cut(0)
    assert journal.durable_index == 0
    journal.on_held(7, run(1, 1))
    journal.on_level(Chain(7))
    journal.on_forgotten(7, 1)
    journal.on_committed(1)
    assert (journal.take(), journal.clear) == ([], True)
    journal.on_voted(2, 1)
    assert journal.take() == [Voted(2, 1)]


# ------------------------------------------------------------------------------------------------------------------------------ replay


def test_a_replay_tells_the_last_view_and_vote() -> None:
    assert replayed(Voted(2, 1), Voted(3, -1)).voted == Voted(3, -1)
    assert replayed().voted == Voted(0, -1)


def test_a_replay_keeps_each_session_s_commands_in_runs_and_its_highest_levels() -> None:
    durable = replayed(held(7, 1, 3), held(8, 1, 1), Levels([7, 8], [2, 1], [1, 0]), held(7, 4, 4), Levels([7], [4], [1]))
    assert shape(durable)[1] == {7: ([(1, 3), (4, 4)], 4, 1), 8: ([(1, 1)], 1, 0)}


def test_a_record_of_many_sessions_is_taken_apart() -> None:
    record = Record([7, 8], [1, 5], [2, 1], [0, 4], [1, 3], bytes([0, CAUSAL, 1]), [b"a", b"b", b"c"], [b"1", b"2", None])
    chains = replayed(record).chains
    assert [(part.first, part.last, part.kinds, part.keys, part.values, part.incomplete) for chain in chains.values() for part in chain.runs] == [
        (1, 2, bytes([0, CAUSAL]), [b"a", b"b"], [b"1", b"2"], 1),
        (5, 5, bytes([1]), [b"c"], [None], 3),
    ]


def test_what_was_forgotten_lowers_levels_and_shortens_runs() -> None:
    durable = replayed(held(7, 1, 3), held(7, 4, 6), Levels([7], [6], [5]), Forgotten(7, 2), held(7, 3, 3))
    assert shape(durable)[1] == {7: ([(1, 2), (3, 3)], 2, 2)}


def test_a_cut_drops_entries_and_others_take_their_place() -> None:
    durable = replayed(noop(1, 1), noop(2, 1), noop(3, 1), Cut(1), noop(2, 2), Committed(2))
    assert (shape(durable)[0], durable.committed) == ([(1, 1), (2, 2)], 2)


def test_an_entry_of_another_view_replaces_what_stood_there_and_all_behind_it() -> None:
    """As a snapshot's checkpoint does that is laid over records of older segments."""
    assert shape(replayed(noop(1, 1), noop(2, 1), noop(3, 1), noop(2, 2)))[0] == [(1, 1), (2, 2)]


def test_entries_below_the_snapshot_are_nothing_new() -> None:
    assert shape(replayed(noop(4, 1), noop(5, 1), noop(6, 1), noop(7, 1), Cut(6), base=5))[0] == [(6, 1)]
    assert shape(replayed(noop(6, 1), Cut(3), base=5))[0] == []


def test_a_journal_that_began_anew_is_read_from_there_whatever_is_left_of_what_came_before() -> None:
    """Older segments go one by one: a crash meanwhile leaves the end of what they told."""
    rest = (noop(8, 1), held(7, 3, 4), Levels([7], [4], [4]))
    assert shape(replayed(*rest, Began(6), Voted(2, -1), noop(7, 2), Committed(7), held(7, 4, 4), Levels([7], [4], [0]), base=6)) == (
        [(7, 2)], {7: ([(4, 4)], 4, 0)}, Voted(2, -1), 7,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("records", "whole", "base"),
    [
        ([Began(6), Voted(2, -1), Committed(6), Levels([], [], [])], False, 0),
        ([Began(6), Voted(2, -1), Committed(6), Levels([], [], [])], True, 5),
        ([Voted(2, -1), Committed(6)], False, 5),
        ([Voted(2, -1), Began(6), Committed(6)], False, 5),
    ],
    ids=["all went", "there never was more", "nothing stands for it", "the newest is too old"],
)
def test_a_journal_that_lacks_its_first_records_is_an_error_without_the_snapshot_that_stood_for_them(
    records: list[Began | Voted | Committed | Levels], base: int, *, whole: bool
) -> None:
    """Nothing need be missing in what is left: an empty state would be taken for the replica's own."""
    durable = Durable(Applied(Store(), Sessions(10), base, 1, base))
    with pytest.raises(JournalError, match=r"of entry 6, which is not there|no snapshot that is there"):
        durable.replay(records, whole=whole)
    there = Durable(Applied(Store(), Sessions(10), 6, 1, 6))
    if any(isinstance(record, Began) for record in records):
        assert there.replay(records, whole=whole)


def test_a_log_with_a_hole_is_an_error() -> None:
    with pytest.raises(JournalError, match="entry 3 follows entry 1"):
        replayed(noop(1, 1), noop(3, 1))


STORY = (
    noop(1, 1), held(7, 1, 3), Levels([7], [3], [3]), noop(2, 1), noop(3, 1), Voted(2, 0), Cut(1), noop(2, 2), Committed(2),
    held(8, 1, 2), Levels([8], [2], [0]), Forgotten(7, 1), held(7, 2, 2), Levels([7], [2], [2]), Voted(3, -1),
)  # fmt: skip


def test_a_record_that_is_laid_twice_changes_nothing() -> None:
    expected = shape(replayed(*STORY))
    assert shape(replayed(*(record for record in STORY for _ in range(2)))) == expected
    assert shape(replayed(*STORY, *STORY)) == expected


def test_any_beginning_of_a_journal_can_be_replayed_and_continued() -> None:
    """A torn tail: what is read again behind it is what was written."""
    expected = shape(replayed(*STORY))
    for length in range(len(STORY)):
        durable = replayed(*STORY[:length])
        durable.replay(STORY[length:])
        assert shape(durable) == expected
