"""The strong order and the causal order together: histories that every other checker lets go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from loadgen.checkers.causal import check_causal
from loadgen.checkers.causality import Causality
from loadgen.checkers.hybrid import check_hybrid
from loadgen.checkers.linearizable import check_linearizable
from loadgen.checkers.pairing import paired
from loadgen.checkers.sessions import check_sessions
from loadgen.checkers.sources import sources_of
from loadgen.checkers.verdict import NO, YES
from tests.loadgen.checkers.orders import histories, is_hybrid
from tests.loadgen.checkers.scripts import causality, history

ANCHORS = """
    y> a causal put y 1
    x> b causal put x 1
    y<
    x<
    one> a get x
    two> b get y
    one< = -
    two< = -
"""
"""Each session's strong read misses the other's causal write, which comes before a strong read of its own session."""

OVERTAKEN = """
    one> a put x 1
    two> a put x 2
    one<
    two<
    b get x = 1
"""
"""Two commands of a session in flight together: a later strong read sees the first, although the second comes after it."""

CAUSAL_BEHIND = """
    a causal put x 1
    a put y 1
    b get y = 1
    c get x = -
"""
"""Real time goes from the second read to the third, and carries the causal write along."""


LATER_CAUSAL = """
    a put x 2
    b causal put x 1
    b get x = 2
"""
"""A causal write takes effect after its invocation: behind a strong write that was over by then, and so its session must not see that any more."""


@pytest.mark.parametrize("text", [ANCHORS, OVERTAKEN, CAUSAL_BEHIND, LATER_CAUSAL])
def test_only_the_common_order_is_missing(text: str) -> None:
    made = causality(text)
    assert check_linearizable(history(text), 30.0).answer == YES
    assert (check_sessions(made).answer, check_causal(made).answer) == (YES, YES)
    verdict = check_hybrid(made)
    assert verdict.answer == NO
    assert verdict.counterexample is not None
    assert verdict.counterexample.pattern == "no common order"


def test_a_circle_of_many_steps_is_found_too() -> None:
    """Each round of consequences takes the order of one key more or two: there is no number of rounds after which to give up."""
    length = 201
    writes = [f"k{key}" for key in reversed(range(length))]
    lines = [f"z> p causal put k{length} w{length}"]
    lines += [f"{key}> p causal put {key} o{key[1:]}" for key in [f"k{length}", *writes]]
    lines += ["last> p get k0"]
    for key in range(length):
        lines += [f"w{key}> q{key} causal put k{key} w{key}", f"r{key}> q{key} get k{key + 1}"]
    lines += ["z<", *(f"{key}<" for key in [f"k{length}", *writes]), "last< = w0"]
    for key in range(length):
        lines += [f"w{key}<", f"r{key}< = w{key + 1}"]
    assert check_hybrid(causality("\n".join(lines))).answer == NO


def test_a_cycle_is_told_step_by_step() -> None:
    found = check_hybrid(causality(ANCHORS)).counterexample
    assert found is not None
    assert [f"{a.what} -> {b.what}: {why}" for a, b, why in found.arrows] == [
        "put y 1 -> get x: same session",
        "get x -> put x 1: did not see it yet",
        "put x 1 -> get y: same session",
        "get y -> put y 1: did not see it yet",
    ]


def test_versions_that_contradict_real_time_are_a_violation() -> None:
    assert check_hybrid(causality("a put x 1\nb put x 2\nc causal get x = 1 @9\nd causal get x = 2 @4")).answer == NO


@pytest.mark.parametrize(
    "text",
    [
        "early> a cas y 1 2\na put x 1\nlate> b cas x 1 3\nb put y 1\nearly<\nlate<",
        "a put x 1\na get x = -",
        "a put x 1\na get x = nobody's",
        "a get x = 1\na put x 1",
    ],
)
def test_what_is_not_even_causal_is_not_hybrid(text: str) -> None:
    assert check_hybrid(causality(text)).answer == NO


@pytest.mark.parametrize(
    "text",
    [
        "a causal put x 1\nb get x = -\nb get x = 1\nc causal get x = -",
        "a put x 1\nb causal get x = -\nb put y 1\nc get y = 1",
        "a put x 1\nb delete x\nc get x = -",
        "a put x 1\nb delete x unknown\nc get x = -",
        "a put x 1\nb cas x 1 2\nc cas x 1 3 refused\nc get x = 2 @8\nc causal get x = 2",
        "a put x 1 unknown\nb get x = -\nb get x = 1",
    ],
)
def test_what_is_hybrid_is_let_go(text: str) -> None:
    assert check_hybrid(causality(text)).answer == YES


@settings(max_examples=150, deadline=None)
@given(histories(operations_max=7))
def test_the_verdict_is_that_of_trying_all_orders(events: list[dict[str, Any]]) -> None:
    made = paired(events)
    order = Causality(made, sources_of(made))
    assert (check_hybrid(order).answer == YES) == is_hybrid(order)
