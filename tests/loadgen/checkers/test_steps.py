from __future__ import annotations

from loadgen.checkers.operation import NEVER
from loadgen.checkers.sources import values_by_version
from loadgen.checkers.steps import groups_of, steps_of
from tests.loadgen.checkers.scripts import history


def steps(text: str) -> list[tuple[int, bool, bool]]:
    """Return (place, whether it may never have happened, whether it ends) of the steps of all groups."""
    made = history(text)
    found = [step for group in groups_of(made) for step in steps_of(group, values_by_version(made))]
    return sorted((step.operation.place, step.optional, step.returned != NEVER) for step in found)


def test_keys_are_judged_apart_small_groups_first() -> None:
    groups = groups_of(history("a put x 1\na put x 2\nb put y 1\na causal get x = 2"))
    assert [[operation.place for operation in group] for group in groups] == [[2], [0, 1]]


def test_a_scan_ties_the_keys_together_that_it_covers() -> None:
    groups = groups_of(history("a put a 1\nb put b 1\nc put c 1\nd put d 1\ne scan b d 9 = b:1 c:1"))
    assert [[operation.key for operation in group] for group in groups] == [[b"a"], [b"d"], [b"b", b"c", b"b"]]


def test_a_page_that_was_cut_ties_nothing_behind_its_end() -> None:
    groups = groups_of(history("b put b 1\nc put c 1\ne scan b - 1 = b:1"))
    assert sorted(len(group) for group in groups) == [1, 2]


def test_a_scan_of_nothing_stands_alone() -> None:
    assert steps("a put x 1\nb scan a b 9 = -") == [(0, False, True), (1, False, True)]


def test_a_causal_write_that_was_read_has_ended_by_then() -> None:
    assert steps("a causal put x 1\nb get x = 1") == [(0, False, True), (1, False, True)]


def test_a_causal_or_unknown_write_that_nobody_read_may_as_well_not_have_been() -> None:
    assert steps("a causal put x 1\nb put x 2 unknown\nc get x = -") == [(2, False, True)]


def test_but_not_where_a_cas_may_have_been_refused_because_of_it() -> None:
    assert steps("a causal put x 1\nc cas x - 2 refused") == [(0, True, False), (1, False, True)]


def test_a_value_that_several_may_have_written_closes_none_of_them() -> None:
    assert steps("a causal put x 1\nb causal put x 1\nc get x = 1") == [(0, True, False), (1, True, False), (2, False, True)]


def test_what_a_read_cas_read_has_ended_too() -> None:
    assert steps("a causal put x 1\nb cas x 1 2 unknown\nc get x = 2") == [(0, False, True), (1, False, True), (2, False, True)]


def test_a_refusal_by_a_version_that_nobody_knows_says_nothing() -> None:
    assert steps("a cas x @7 2 refused\nb cas x @8 3") == [(1, False, True)]
    assert steps("a get x = 1 @7\na cas x @7 2 refused") == [(0, False, True), (1, False, True)]


def test_nor_does_a_refusal_by_a_version_whose_value_may_have_been_there_with_another() -> None:
    assert [place for place, _, _ in steps("a get x = 1 @7\na put x 1\na cas x @7 2 refused")] == [0, 1, 2]
    assert [place for place, _, _ in steps("a get x = 1 @7\na put x 1\na put x 1\na cas x @7 2 refused")] == [0, 1, 2]
    assert [place for place, _, _ in steps("a get x = 1 @7\na put x 1\na put x 1 fail\na cas x @7 2 refused")] == [0, 1, 3]


def test_where_values_grow_nothing_is_closed_and_nothing_left_out() -> None:
    assert steps("a put x 12 unknown\nb append x 2\nc put x 1 unknown\nc get x = 12") == [
        (0, True, False), (1, False, True), (2, True, False), (3, False, True),
    ]  # fmt: skip


def test_reads_without_an_answer_and_failed_commands_are_no_steps() -> None:
    assert steps("a get x unknown\na get x fail\na put x 1 fail") == []
