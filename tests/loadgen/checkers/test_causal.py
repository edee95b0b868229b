"""Every bad pattern is found and named; on tiny histories the verdict is that of the definition, all orders tried."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from loadgen.checkers.causal import check_causal
from loadgen.checkers.causality import Causality
from loadgen.checkers.pairing import paired
from loadgen.checkers.sources import sources_of
from loadgen.checkers.verdict import NO, YES
from tests.loadgen.checkers.orders import histories, is_convergent
from tests.loadgen.checkers.scripts import causality

CYCLIC_CF = """
    a causal put x 1
    b causal put x 2
    c causal get x = 1
    c causal get x = 2
    d causal get x = 2
    d causal get x = 1
"""
"""Two sessions saw two writes in opposite orders."""


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("CyclicCO", "early> a cas y 1 2\na put x 1\nlate> b cas x 1 3\nb put y 1\nearly<\nlate<"),
        ("ThinAirRead", "a causal get x = 1"),
        ("ThinAirRead", "a causal get x = 1\nb put x 1"),
        ("ThinAirRead", "a put y 1\nb causal get x = 1"),
        ("WriteCOInitRead", "a put x 1\na causal get x = -"),
        ("WriteCOInitRead", "a put x 1\nb causal get x = 1\nb put y 1\nc causal get y = 1\nc put z 1\nd causal get z = 1\nd causal get x = -"),
        ("WriteCORead", "a put x 1\na put x 2\na causal get x = 1"),
        ("WriteCORead", "a put x 1\nb causal get x = 1\nb put x 2\nb put y 1\nc causal get y = 1\nc causal get x = 1"),
        ("WriteCORead", "a put x 1\na put x 2\nb causal scan a z 9 = x:1\na put y 1\nc causal get y = 1\nc causal scan a z 9 = x:1 y:1"),
        ("CyclicCF", CYCLIC_CF),
    ],
)
def test_each_bad_pattern_is_named(pattern: str, text: str) -> None:
    verdict = check_causal(causality(text))
    assert verdict.answer == NO
    assert verdict.counterexample is not None
    assert verdict.counterexample.pattern == pattern


@pytest.mark.parametrize(
    "text",
    [
        "a put x 1\nb causal get x = -\nb causal get x = 1",
        "a causal put x 1\nb causal put x 2\na causal get x = 1\nb causal get x = 2\na causal get x = 2",
        "one> a put x 1\na causal get x = 1\none< unknown",
        "a put x 1\na delete x\na causal get x = -",
        "a put x 1\nb delete x unknown\na causal get x = -",
        "a put x 1\nb delete x\nc causal get x = 1\nc causal get x = -",
        "a put x 1 unknown\na put x 2\nb causal get x = 2\nb causal get x = 2",
        "a put x 1\nb cas x 1 2\nc cas x 2 3\na causal get x = 3",
        "a put x 1\nb put y 1\nc causal scan a z 9 = x:1\nc causal scan a z 9 = x:1 y:1",
    ],
)
def test_what_is_convergent_is_let_go(text: str) -> None:
    assert check_causal(causality(text)).answer == YES


def test_a_delete_explains_an_absence_only_until_something_comes_after_it() -> None:
    assert check_causal(causality("a delete x\na put x 1\na causal get x = -")).answer == NO


def test_the_counterexample_is_the_shortest_story() -> None:
    """The newer write is known to the reader on two ways; the shorter one is told."""
    text = """
        a put x 1
        a put x 2
        b causal get x = 2
        b put y 1
        c causal get y = 1
        c causal get x = 2
        c causal get x = 1
    """
    found = check_causal(causality(text)).counterexample
    assert found is not None
    assert [str(operation) for operation in found.operations] == [
        "a put x 1 ok", "a put x 2 ok", "c causal get x = 2", "c causal get x = 1",
    ]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(histories())
def test_the_verdict_is_that_of_the_definition(events: list[dict[str, Any]]) -> None:
    made = paired(events)
    order = Causality(made, sources_of(made))
    assert (check_causal(order).answer == YES) == is_convergent(order)
