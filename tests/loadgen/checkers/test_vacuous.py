"""A history that could not have shown a violation is called what it is."""

from __future__ import annotations

import pytest

from loadgen.checkers.prior import with_prior_state
from loadgen.checkers.vacuous import vacuous
from tests.loadgen.checkers.scripts import history


@pytest.mark.parametrize(
    "text",
    [
        "a put x 1\nb get x = 1",
        "a put x 1\nb get x = -",
        "a put x 1 unknown\nb get x = 1",
        "a put x 1\na cas x 1 2 refused",
        "a put y 1\nb scan x z 9 = y:1",
        "a put y 1\nb scan x z 9 =",
        "a get x = 1\na put x 1",
    ],
)
def test_a_key_that_one_wrote_and_another_read_is_enough(text: str) -> None:
    assert vacuous(history(text)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "a put x 1",
        "a get x = -\nb get x = -",
        "a put x 1\nb get y = -",
        "a put x 1\nb get x fail",
        "a cas x - 1 ok",
        "a put p 1\nb scan x z 9 =",
    ],
)
def test_without_one_no_promise_could_have_been_broken(text: str) -> None:
    assert vacuous(history(text)) == "no key was written by one operation and read by another"


def test_what_was_there_before_is_nobody_s_write() -> None:
    assert vacuous(with_prior_state(history("a get x = old\nb get x = old"))) == "no key was written by one operation and read by another"


def test_without_answers_there_is_nothing_to_judge_and_a_run_needs_enough_of_them() -> None:
    assert vacuous(history("a put x 1 unknown")) == "0 operations were answered"
    assert vacuous(history("a put x 1\nb get x = 1"), 100) == "2 operations were answered, fewer than 100"
