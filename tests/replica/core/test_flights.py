"""Flights: what of a submission is new, and what of it is known."""

from __future__ import annotations

from replica.core.flights import Flight, ReadFlight
from replica.core.witness import Run
from statemachine.command import CAS_VALUE, PUT


def reads(count: int) -> ReadFlight:
    return ReadFlight(1, count, [b"k"] * count, None, 0, 0.0, left=count)


def test_a_read_answered_twice_is_new_once() -> None:
    flight = reads(4)
    assert flight.fresh([(1, [b"b", b"c"], [2, 3])]) == [(1, [b"b", b"c"], [2, 3])]
    assert flight.fresh([(0, [b"a", b"b", b"c", b"d"], [1, 2, 3, 4])]) == [(0, [b"a"], [1]), (3, [b"d"], [4])]
    assert flight.fresh([(0, [b"a"], [1])]) == []


def test_what_is_missing_of_a_submission_are_the_runs_without_an_answer() -> None:
    flight = reads(6)
    assert flight.missing() == [(0, 6)]
    flight.fresh([(1, [b"b", b"c"], [2, 3])])
    assert flight.missing() == [(0, 1), (3, 3)]
    flight.fresh([(5, [b"f"], [6]), (0, [b"a"], [1])])
    assert flight.missing() == [(3, 2)]
    flight.fresh([(3, [b"d", b"e"], [4, 5])])
    assert flight.missing() == []


def test_a_cas_is_known_by_its_committed_outcome_or_on_the_fast_path_by_its_speculated_one() -> None:
    run = Run(5, 8, bytes([PUT, CAS_VALUE, PUT, CAS_VALUE]), [b"k"] * 4, [b"v", [None, b"w"]] * 2, 1)
    flight = Flight(run, None, causal=False, blind=False, done=4, sent_at=0.0)
    assert flight.known_upto(8, 0, {}, {6: True, 8: True}) == 5
    assert flight.known_upto(8, 6, {}, {6: True, 8: True}) == 7
    assert flight.known_upto(8, 0, {6: True}, {8: True}) == 7
    assert flight.known_upto(8, 8, {6: True}, {8: False}) == 8
