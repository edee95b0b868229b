from __future__ import annotations

import pytest

from loadgen.checkers.exactly_once import check_exactly_once
from loadgen.checkers.pairing import BEFORE, paired
from loadgen.checkers.sources import sources_of
from loadgen.checkers.verdict import NO, YES, Verdict
from tests.loadgen.checkers.scripts import events, history


def check(text: str) -> Verdict:
    made = history(text)
    return check_exactly_once(made, sources_of(made))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("effect of a failed command", "a put x 1 fail\nb get x = 1"),
        ("effect of a failed command", "a put x 1\nb cas x 0 2 refused\nc causal get x = 2"),
        ("two versions of one write", "a put x 1\nb get x = 1 @3\nc get x = 1 @8"),
        ("two versions of one write", "a put x 1\nb get x = 1 @3\nc scan a z 9 = x:1:8"),
        ("two writes of one version", "a put x 1\na put x 2\nb get x = 1 @3\nc get x = 2 @3"),
        ("one value replaced twice", "a put x 1\nb cas x 1 2\nc cas x 1 3"),
        ("one value replaced twice", "a put x 1\nb get x = 1 @4\nb cas x @4 2\nc cas x 1 3"),
        ("one value replaced twice", "b cas x - 2\nc cas x - 3"),
        ("one value replaced twice", "a put x 1\nb cas x 1 2 unknown\nc cas x 1 3\nd causal get x = 2"),
        ("a cas that replaced what nobody wrote", "a cas x @4 1 ok"),
        ("a cas that replaced what nobody wrote", "a put x 1\nb get x = 1 @4\nb cas x @3 2 ok\na get x = 2 @5"),
        ("a cas that replaced what nobody wrote", "a cas x @4 1 unknown\nb get x = 1"),
        ("a cas that replaced what nobody wrote", "a put x 1 fail\na delete x\na cas x @4 2\na put x 3"),  # a delete leaves no version
        ("a cas that took effect before what it replaced", "a put x 1\nb cas x 1 2\nc causal get x = 2 @3\nd causal get x = 1 @5"),
    ],
)
def test_what_took_effect_twice_or_although_it_failed_is_found(pattern: str, text: str) -> None:
    verdict = check(text)
    assert verdict.answer == NO
    assert verdict.counterexample is not None
    assert verdict.counterexample.pattern == pattern


@pytest.mark.parametrize(
    "text",
    [
        "a put x 1\nb get x = 1 @3\nb get x = 1\nc get x = 1 @3",  # a version need not be told
        "a put x 1 unknown\nb get x = 1 @3",
        "a put x 1 fail\na put x 1\nb get x = 1",  # tried again
        "a put x 1\nb cas x 1 2\nc cas x 1 3 refused\nd cas x 2 4",
        "b cas x - 2\nc delete x\nc cas x - 3",
        "a cas x 1 2 unknown\na cas x 1 3 unknown",
        "a put x 1\nb get x = 1 @4\nb cas x @4 2 ok",
        "a put x 1 unknown\nb put y 1\nb cas x @4 2 ok\nb get x = 2 @5",  # it was that put
        "a put x 1\nb get x = 1 @4\nc cas x 1 3 unknown\nb cas x @3 2 ok",
        "b cas x @3 2 unknown\nb cas x @3 4 refused",  # nothing says that it swapped
    ],
)
def test_what_happened_once_is_let_go(text: str) -> None:
    assert check(text).answer == YES


def test_what_was_there_before_may_have_any_version() -> None:
    made = paired([BEFORE, *events("a cas x @4 1 ok")])
    assert check_exactly_once(made, sources_of(made)).answer == YES
