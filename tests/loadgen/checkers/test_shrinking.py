from __future__ import annotations

from loadgen.checkers.search import is_linearizable
from loadgen.checkers.shrinking import Shrinking, beginning, closure
from loadgen.checkers.steps import groups_of, steps_of
from tests.loadgen.checkers.scripts import history

SECONDS = 30.0


def small(text: str) -> list[str]:
    [group] = groups_of(history(text))
    return [operation.what for operation in Shrinking({}, SECONDS).shrink(group)]


def test_only_what_shows_the_violation_is_left() -> None:
    noise = [line for number in range(30) for line in (f"a put x n{number}", f"b get x = n{number}")]
    later = [f"c put x later{number}" for number in range(10)]
    assert small("\n".join([*noise, "a put x 1", "b get x = 1", "a put x 2", "b get x = 1", *later])) == ["put x 1", "put x 2", "get x"]


def test_nothing_is_left_out_that_would_make_a_violation() -> None:
    """A read of what nobody wrote is one: the write of a value that is still read stays."""
    assert small("a put x 1\nb put x 2\nc get x = 1") == ["put x 1", "put x 2", "get x"]


def test_writes_stay_where_a_refused_cas_may_need_them() -> None:
    [group] = groups_of(history("a put x 1\nb cas x - 2 refused\nc put x 3"))
    assert closure(group, group[:1], {}) == set()
    assert closure(group, group[:2], {}) == {0, 1}
    assert closure(group, group[1:2], {}) == {1}


def test_a_write_goes_with_all_that_saw_it() -> None:
    [group] = groups_of(history("a put x 1\nb cas x 1 2\nc get x = 2\nd put x 3"))
    assert closure(group, group[:1], {}) == {0, 1, 2}


def test_a_delete_goes_with_all_that_found_the_key_absent() -> None:
    [group] = groups_of(history("a put x 1\nb delete x\nc get x = -\nd put x 2"))
    assert closure(group, group[1:2], {}) == {1, 2}
    assert small("a delete x\nb put x 1\nc delete y\nd scan x z 9 = x:1\ne get x = 2") == ["get x"]


def test_what_grows_stays() -> None:
    [group] = groups_of(history("a append x 1\nb put x 2\nb get x = -"))
    assert closure(group, group[:1], {}) == set()
    assert closure(group, group[1:2], {}) == set()
    assert closure(group, group[2:], {}) == {2}


def test_writes_of_one_value_stay_where_a_refusal_by_version_needs_both() -> None:
    [group] = groups_of(history("a put x 1\nb get x = 1 @4\na put x 1\na cas x @4 2 refused"))
    assert closure(group, group[:1], {(b"x", 4): b"1"}) == set()


def test_a_beginning_forgets_answers_that_had_not_come() -> None:
    [group] = groups_of(history("one> a put x 1\nb get x = -\ntwo> c get x\none<\ntwo< = 1"))
    assert [(operation.place, operation.answered) for operation in beginning(group, 5)] == [(0, True), (1, True)]
    assert [(operation.place, operation.answered) for operation in beginning(group, 3)] == [(0, False), (1, True)]


def test_a_beginning_of_what_is_linearizable_is_linearizable() -> None:
    [group] = groups_of(history("one> a put x 1\nb get x = 1\nc cas x 1 2\none<\nd get x = 2"))
    assert all(is_linearizable(steps_of(beginning(group, moment), {}), float("inf")) for moment in range(12))
