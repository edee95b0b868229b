from __future__ import annotations

from triskele.chaos.timeline import Completions, within


def done() -> Completions:
    return Completions(strong=[0.5, 1.0, 4.0, 4.2], causal=[0.05, 0.06, 2.0])


def test_completions_are_taken_from_a_history() -> None:
    events = [
        {"type": "invoke", "time": 1, "consistency": "strong"},
        {"type": "ok", "time": 2_500_000_000, "consistency": "strong"},
        {"type": "ok", "time": 1_500_000_000, "consistency": "causal"},
        {"type": "unknown", "time": 2_600_000_000, "consistency": "strong"},
    ]
    assert Completions.of(events, 1_000_000_000) == Completions([1.5], [0.5])


def test_the_series_has_a_rate_for_each_tenth_of_a_second() -> None:
    rows = done().series(1.2)
    assert len(rows) == 12
    assert rows[0] == [0.0, 0, 20]
    assert rows[5] == [0.5, 10, 0]
    assert sum(row[1] for row in rows) == 20


def test_rates_count_both_kinds() -> None:
    assert done().rate(0.0, 2.0) == 2.0
    assert done().rate(2.0, 2.0) == 0.0
    assert within([1.0, 2.0, 3.0], 1.0, 3.0) == 2


def test_again_is_the_first_strong_completion_behind_a_moment() -> None:
    assert done().again(1.5) == 2.5
    assert done().again(4.0) == 0.0
    assert done().again(4.3) is None


def test_a_silence_is_the_longest_gap_that_touches_a_span() -> None:
    assert done().silence(1.5, 1.6) == 3.0
    assert done().silence(4.1, 9.0) == 4.8
    assert Completions([], []).silence(2.0, 5.0) == 3.0
