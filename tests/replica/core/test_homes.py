"""Homes: measuring, choosing, moving, without a client."""

from __future__ import annotations

from replica.core.homes import MOVES_AFTER, PINGS_KEPT, PINGS_SILENT, Homes, Line


def measured(**trips: float) -> Homes:
    homes = Homes({int(name[1:]): Line() for name in trips})
    for name, trip in trips.items():
        homes.lines[int(name[1:])].trips.append(trip)
    return homes


def test_replicas_within_the_slack_of_the_best_are_equals() -> None:
    assert measured(r0=0.001, r1=0.00129, r2=0.0014).equals() == [0, 1]


def test_sessions_spread_over_equals_by_their_id() -> None:
    homes = measured(r0=0.001, r1=0.001, r2=0.001)
    assert [homes.choose(session, []) for session in (3, 4, 5)] == [0, 1, 2]


def test_with_nothing_linked_any_voter_will_do() -> None:
    assert Homes().choose(4, [0, 1, 2]) == 1


def test_a_home_must_measure_worse_several_times_in_a_row() -> None:
    homes = measured(r0=0.001, r1=0.050)
    assert [homes.is_worse(7, 1, 1, homes.equals()) for _ in range(MOVES_AFTER)] == [False] * (MOVES_AFTER - 1) + [True]
    homes.is_worse(7, 1, 1, homes.equals())
    assert not homes.is_worse(7, 0, 1, homes.equals())
    assert homes.worse == {}


def test_the_best_of_the_latest_trips_counts_and_old_ones_are_forgotten() -> None:
    homes = Homes({0: Line()})
    for trip in (0.5, 0.001, *[0.7] * (PINGS_KEPT - 1)):
        nonce = homes.ping(0, 10.0)
        assert homes.on_pong(0, nonce, 10.0 + trip)
    assert round(homes.lines[0].round_trip, 6) == 0.001
    homes.on_pong(0, homes.ping(0, 20.0), 20.7)
    assert round(homes.lines[0].round_trip, 6) == 0.7


def test_only_few_pings_are_waited_for_the_oldest_count_as_lost_and_answers_to_nothing_count_nothing() -> None:
    homes = Homes({0: Line()})
    nonces = [homes.ping(0, 0.0) for _ in range(PINGS_KEPT + 1)]
    assert list(homes.lines[0].pinged) == nonces[1:]
    assert homes.on_pong(0, nonces[0], 1.0) == 0
    assert homes.on_pong(0, 999, 1.0) == 0
    assert homes.on_pong(5, 1, 1.0) == 0


def test_a_home_that_answers_no_ping_is_left_at_once_and_is_nobody_s_choice() -> None:
    homes = measured(r0=0.001, r1=0.050)
    for _ in range(PINGS_SILENT - 1):
        homes.ping(0, 1.0)
    assert not homes.is_worse(7, 0, 1, homes.equals())
    homes.ping(0, 2.0)
    assert homes.is_worse(7, 0, 1, homes.equals())
    assert homes.choose(8, []) == 1


def test_of_replicas_that_all_answer_no_ping_the_best_is_home() -> None:
    homes = measured(r0=0.001, r1=0.050)
    for replica in [0, 1] * PINGS_SILENT:
        homes.ping(replica, 1.0)
    assert homes.equals() == [0]
    assert not homes.is_worse(7, 0, 1, homes.equals())


def test_one_answer_ends_the_silence_of_the_pings_before_it() -> None:
    homes = measured(r0=0.001, r1=0.050)
    nonces = [homes.ping(0, 1.0) for _ in range(PINGS_SILENT + 1)]
    assert homes.equals() == [1]
    homes.on_pong(0, nonces[-2], 1.001)
    assert homes.equals() == [0]
    assert list(homes.lines[0].pinged) == nonces[-1:]
