from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.checkers.pairing import paired
from loadgen.checkers.search import is_linearizable
from loadgen.checkers.shrinking import Shrinking, beginning, closure
from loadgen.checkers.steps import groups_of, steps_of
from tests.loadgen.checkers.scripts import history

SECONDS = 30.0
LONG = float("inf")


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


def test_an_append_goes_with_all_whose_value_contains_it() -> None:
    [group] = groups_of(history("a put x 1\na append x 2\nb get x = 12\nb append x 3\nc get x = 123\nc get x = 1\nd get x = -"))
    assert closure(group, group[1:2], {}) == {1, 2, 4}
    assert closure(group, group[3:4], {}) == {3, 4}


def test_a_put_goes_with_all_whose_value_begins_with_it_where_values_grow() -> None:
    [group] = groups_of(history("a put x 1\nb append x 2\nb get x = 12\nc get x = 21\nc cas x 12 3\nc get x = 32\nd get x = -"))
    assert closure(group, group[:1], {}) == {0, 2, 4, 5}


def test_what_empties_a_value_that_grows_stays_and_so_does_what_a_refusal_may_need() -> None:
    [group] = groups_of(history("a append x 1\nb delete x\nb get x = -"))
    assert closure(group, group[1:2], {}) == set()
    assert closure(group, group[2:], {}) == {2}
    [group] = groups_of(history("a append x 1\nb append x 2\nc cas x 1 3 refused"))
    assert closure(group, group[1:2], {}) == set()


def test_a_lost_append_is_shown_without_the_others() -> None:
    """The reader sees neither what was appended before it nor what came of it; much else was appended, before and behind."""
    noise = [f"a append x n{number}." for number in range(20)]
    text = "\n".join([*noise, "a put x 1", "a append x 2", "b get x = 1", *noise, "c put x 7", *noise])
    assert small(text) == ["put x 1", "append x 2", "get x"]


@st.composite
def truthful(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to eight overlapping operations on one key whose value grows, each of which took effect when it was invoked, and says so."""
    events: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    value: str | None = None
    for number in range(draw(st.integers(3, 8))):
        event: dict[str, Any] = {"type": "invoke", "process": number, "id": number, "key": "x"}
        event["op"] = op = draw(st.sampled_from(["get", "get", "put", "append", "append", "cas", "delete"]))
        if op in {"put", "append", "cas"}:
            event["value"] = draw(st.sampled_from(["1", "2", "12"]))
        if op == "cas":
            event["expected"] = draw(st.sampled_from([value, "1"]))
        answer = event | {"type": draw(st.sampled_from(["ok", "ok", "ok", "unknown"]))}
        if op == "get":
            answer |= {"type": "ok", "value": value}
        elif op == "cas" and event["expected"] != value:
            answer |= {"type": "fail", "swapped": False}
        elif op == "append":
            value = (value or "") + event["value"]
        else:
            value = event.get("value")
        events.append(event)
        waiting.append(answer)
        while len(waiting) > 0 and draw(st.booleans()):
            events.append(waiting.pop(draw(st.integers(0, len(waiting) - 1))))
    return events + waiting


@settings(max_examples=300, deadline=None)
@given(truthful())
def test_leaving_out_makes_no_violation_where_values_grow(events: list[dict[str, Any]]) -> None:
    [group] = groups_of(paired(events)) or [[]]
    assert is_linearizable(steps_of(group, {}), LONG)
    for operation in group:
        gone = closure(group, [operation], {})
        assert is_linearizable(steps_of([each for each in group if each.place not in gone], {}), LONG), (operation, gone)


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
