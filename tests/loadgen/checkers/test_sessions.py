"""Each of the four guarantees has histories that break it and nothing simpler."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from loadgen.checkers.causal import check_causal
from loadgen.checkers.causality import Causality
from loadgen.checkers.pairing import paired
from loadgen.checkers.sessions import Guarantees, check_sessions
from loadgen.checkers.sources import sources_of
from loadgen.checkers.verdict import NO, YES
from tests.loadgen.checkers.orders import histories
from tests.loadgen.checkers.scripts import causality

BROKEN = [
    ("read your writes", "a causal put x 1\na causal get x = -"),
    ("read your writes", "a causal put x 1\na causal put x 2\na causal get x = 1"),
    ("read your writes", "one> a put x 1\na causal get x = -\none<"),
    ("read your writes", "a put x 1\na scan a z 9 = -"),
    ("read your writes", "a put x 1\na put x 2\na cas x 1 3"),
    ("monotonic reads", "a put x 1\nb causal get x = 1\nb causal get x = -"),
    ("monotonic reads", "a put x 1\na put x 2\nb causal get x = 2\nb causal get x = 1"),
    ("monotonic reads", "a put x 1\nb put x 2\nc get x = 1 @3\nc get x = 2 @4\nd get x = 2\nd causal get x = 1"),
    ("monotonic reads", "a put x 1\nb causal scan a z 9 = x:1\nb causal scan a z 9 = -"),
    ("monotonic writes", "a causal put x 1\na causal put y 1\nb causal get y = 1\nb causal get x = -"),
    ("monotonic writes", "a put x 1\na put x 2\na put y 1\nb causal get y = 1\nb causal get x = 1"),
    ("monotonic writes", "a put x 1\na put y 1\nb causal scan a z 9 = y:1"),
    ("monotonic writes", "a put x 1\na put x 2\nb get x = 1 @9\nb get x = 2 @4"),
    ("writes follow reads", "a put x 1\nb causal get x = 1\nb causal put y 1\nc causal get y = 1\nc causal get x = -"),
    ("writes follow reads", "a put x 1\na put x 2\nb get x = 2\nb put y 1\nc causal get y = 1\nc causal get x = 1"),
]


@pytest.mark.parametrize(("guarantee", "text"), BROKEN)
def test_a_broken_guarantee_is_named(guarantee: str, text: str) -> None:
    made = causality(text)
    found = [each.pattern for each in Guarantees(made).violations()]
    assert guarantee in found
    verdict = check_sessions(made)
    assert verdict.answer == NO
    assert verdict.counterexample is not None
    assert verdict.counterexample.arrows


@pytest.mark.parametrize(
    "text",
    [
        "a causal put x 1\na causal get x = 1\nb causal get x = -\nb causal get x = 1",
        "one> a causal get x\na causal put x 1\none< = -",  # the read was in flight
        "one> b causal get x\ntwo> b causal get x\na put x 1\none< = 1\ntwo< = -",  # both were
        "a put x 1\nb put x 2\nc causal get x = 2\na causal get x = 2\nc causal get x = 2",
        "a put x 1\na delete x\nb causal get x = 1\nb causal get x = -",
        "a put x 1\nb delete x\na causal get x = -",  # somebody deleted it
        "a put x 1\nb delete x unknown\na causal get x = -",  # somebody may have
        "a put x 1 fail\na causal get x = -",
        "a put x 1\na cas x 1 2\na causal get x = 2",
        "a put x 1\nb get x = 1 @4\nb put x 2\nc get x = 2 @5\nc get x = 2",
    ],
)
def test_what_is_allowed_is_allowed(text: str) -> None:
    assert check_sessions(causality(text)).answer == YES


def test_the_counterexample_tells_how_one_follows_from_the_other() -> None:
    found = check_sessions(causality("a put x 1\na put y 2\nb causal get y = 2\nb causal get x = -")).counterexample
    assert found is not None
    assert found.lines() == [
        "monotonic writes: nothing was read of key x, which is older than 1",
        "  a  a put x 1 ok",
        "  b  a put y 2 ok",
        "  c  b causal get y = 2",
        "  d  b causal get x = nothing",
        "  a before b: same session",
        "  b before c: saw it",
        "  c before d: same session",
    ]


def test_a_circle_breaks_them_all() -> None:
    """Each write is issued while the other session's read of it is in flight."""
    found = check_sessions(causality("r> a get y\nw> b put y 1\nr< = 1\na put x 1\nw<\nb get x = 1"))
    assert found.answer == YES
    found = check_sessions(causality(CIRCLE))
    assert found.answer == NO
    assert found.counterexample is not None
    assert found.counterexample.pattern == "CyclicCO"


CIRCLE = """
    early> a cas y 1 2
    a put x 1
    late> b cas x 1 3
    b put y 1
    early<
    late<
"""
"""Each session's cas saw what the other one wrote after its own."""


@settings(max_examples=100, deadline=None)
@given(histories(writes_max=5, operations_max=10))
def test_what_is_causally_convergent_keeps_every_guarantee(events: list[dict[str, Any]]) -> None:
    made = paired(events)
    order = Causality(made, sources_of(made))
    if check_causal(order).answer == YES:
        assert check_sessions(order).answer == YES
