from __future__ import annotations

from loadgen.checkers.verdict import NO, YES, Counterexample, judged
from tests.loadgen.checkers.scripts import history


def test_a_counterexample_is_told_with_a_letter_for_each_operation() -> None:
    put, get = history("a put x 1\nb get x = -").operations
    found = Counterexample("stale", "because", [get, put], [(put, get, "had returned before it began")])
    assert found.lines() == [
        "stale: because",
        "  a  a put x 1 ok",
        "  b  b get x = nothing",
        "  a before b: had returned before it began",
    ]
    assert found.as_json()["operations"] == [
        {"line": 1, "process": "a", "text": "a put x 1 ok"},
        {"line": 3, "process": "b", "text": "b get x = nothing"},
    ]
    assert found.as_json()["order"] == [[1, 3, "had returned before it began"]]


def test_times_are_shown_where_they_are_known() -> None:
    [put] = history("a put x 1 unknown").operations
    put.invoked_at = 1_500_000
    assert Counterexample("p", "w", [put]).lines()[1].endswith("[from 1.500 ms]")
    put.returned, put.returned_at = 9, 2_000_000
    assert Counterexample("p", "w", [put]).lines()[1].endswith("[1.500 to 2.000 ms]")


def test_a_story_too_long_is_cut() -> None:
    operations = history("\n".join(f"a put x {number}" for number in range(45))).operations
    told = Counterexample("p", "w", operations).lines()
    assert (len(told), told[-1]) == (42, "  … and 5 more: there was no time to leave out what can be left out")


def test_letters_go_on_after_z() -> None:
    operations = history("\n".join(f"a put x {number}" for number in range(28))).operations
    assert [*Counterexample("p", "w", operations).names().values()][-3:] == ["z", "aa", "ab"]


def test_what_found_something_says_no() -> None:
    found = Counterexample("p", "w", [])
    assert (judged("causal", 3, found).answer, judged("causal", 3, None).answer) == (NO, YES)
