"""Zones find what the search finds, and two values are enough to show it."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest
from hypothesis import given, settings

from loadgen.checkers.pairing import paired
from loadgen.checkers.search import is_linearizable
from loadgen.checkers.steps import groups_of, steps_of
from loadgen.checkers.zones import suspects
from tests.loadgen.checkers.orders import histories
from tests.loadgen.checkers.scripts import history


def found(text: str) -> list[list[str]]:
    [group] = groups_of(history(text))
    return [[operation.what for operation in few] for few in suspects(steps_of(group, {}))]


@pytest.mark.parametrize(
    ("text", "few"),
    [
        ("a put x 1\nb put x 2\nc get x = 1\nd get x = 2", ["put x 1", "get x", "put x 2", "get x"]),  # forward zones that overlap
        ("a put x 1\nb put x 2\nc get x = 1", ["put x 1", "get x", "put x 2"]),  # a backward zone within a forward one
        ("a put x 1\nb get x = -", ["get x", "put x 1"]),  # what was there at the beginning
    ],
)
def test_two_values_show_it(text: str, few: list[str]) -> None:
    assert few in found(text)


@pytest.mark.parametrize("text", ["a put x 1\nb cas x 1 2\nc get x = 1", "a put x 1\nb delete x\nc get x = 1", "a put x 1\nb put x 1\nc get x = -"])
def test_what_compares_or_repeats_is_left_to_the_search(text: str) -> None:
    assert found(text) == []


@settings(max_examples=200, deadline=None)
@given(histories(writes_max=5, operations_max=10))
def test_zones_say_what_the_search_says(events: list[dict[str, Any]]) -> None:
    """But for what is read before it is written, which needs no zones."""
    for group in groups_of(paired(events)):
        steps = steps_of(group, {})
        writes = {step.writes: step for step in steps if step.writes}
        if all(need[1] is None or (need in writes and writes[need].invoked < step.operation.returned) for step in steps for need in step.needs):
            wrong = list(suspects(steps))
            assert bool(wrong) != is_linearizable(steps, monotonic() + 60)
            assert all(len(few) <= 6 for few in wrong)
