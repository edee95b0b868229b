"""The rule of recovery against counting by hand: every command, every witness, one after the other."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replica.core.quorum import fast_quorum, majority, recovery_threshold
from tests.replica.core.successor import A, B, Successor, Told

SESSIONS = (A, B)
VOTERS = (3, 5, 7)


@st.composite
def holdings(draw: st.DrawFn, letters: str, first: int) -> tuple[int, int]:
    """Draw how far a witness holds a chain that is not applied beyond ``first - 1``, and how far it is anchored there."""
    held = draw(st.integers(first - 1, len(letters)))
    return held, draw(st.integers(first - 1, held))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[int, dict[int, str], dict[int, int], dict[int, int], list[dict[int, tuple[int, int]]]]:
    """Draw (voters, what each session sent, what the new leader's log has, what its own witness got, what each other witness heard holds)."""
    voters = draw(st.sampled_from(VOTERS))
    sent = {session: draw(st.text("sc", min_size=1, max_size=7)) for session in SESSIONS}
    logged = {session: draw(st.integers(0, len(sent[session]))) for session in SESSIONS}
    own = {session: draw(st.integers(0, len(sent[session]))) for session in SESSIONS}
    others = [{session: draw(holdings(sent[session], 1)) for session in SESSIONS} for _ in range(majority(voters) - 1)]
    return voters, sent, logged, own, others


def anchored_by_own(letters: str) -> int:
    """A witness without conflicts anchors everything up to the last strong command."""
    return letters.rfind("s") + 1


def expected(letters: str, logged: int, own: int, others: list[tuple[int, int]], threshold: int) -> tuple[list[int], list[int]]:
    """Return what recovery must log of one session, and what of it as causal writes behind everything else, by the book."""
    levels = [(own, anchored_by_own(letters[:own])), *others]
    completed = [number for number in range(1, len(letters) + 1) if sum(level >= number for _, level in levels) >= threshold]
    first = [number for number in completed if number > logged]
    rest = []
    number = max([logged, *completed])
    while number < len(letters) and letters[number] == "c" and any(held > number for held, _ in levels):
        number += 1
        rest.append(number)
    return first, rest


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_recovery_logs_what_counting_says(
    world: tuple[int, dict[int, str], dict[int, int], dict[int, int], list[dict[int, tuple[int, int]]]],
) -> None:
    voters, sent, logged, own, others = world
    successor = Successor(voters)
    for session in SESSIONS:
        if logged[session]:
            successor.logs(session, 1, sent[session][: logged[session]])
        if own[session]:
            successor.holds(session, 1, sent[session][: own[session]])
    successor.takes_over()
    for peer, held in enumerate(others, 2):
        told = [Told(session, sent[session][:upto], anchored) for session, (upto, anchored) in held.items() if upto]
        successor.hears(peer, *told)
    threshold = recovery_threshold(voters, len(others) + 1)
    rules = {session: expected(sent[session], logged[session], own[session], [held[session] for held in others], threshold) for session in SESSIONS}
    recovered = successor.recovered()
    completed = [(session, number) for session in SESSIONS for number in rules[session][0]]
    causal = [(session, number) for session in SESSIONS for number in rules[session][1]]
    assert recovered[: len(completed)] == completed
    assert recovered[len(completed) : len(completed) + len(causal)] == causal
    behind = recovered[len(completed) + len(causal) :]
    in_log = {session: logged[session] + sum(map(len, rules[session])) for session in SESSIONS}
    assert behind == [(session, number) for session in SESSIONS for number in range(in_log[session] + 1, own[session] + 1)], "its own, like new ones"


@pytest.mark.parametrize("voters", [*VOTERS, 9])
def test_whoever_is_heard_what_completed_fast_reaches_the_threshold_and_no_rival_does(voters: int) -> None:
    """All sets of heard voters: a fast quorum leaves its mark on each, and what it leaves to a rival is less."""
    fast = set(range(fast_quorum(voters)))
    for heard_count in range(majority(voters), voters + 1):
        threshold = recovery_threshold(voters, heard_count)
        for heard in combinations(range(voters), heard_count):
            accepted = len(fast & set(heard))
            assert accepted >= threshold
            assert heard_count - accepted < threshold
        assert 2 * threshold > heard_count, "two recovered commands share a witness"
