"""Adaptive is compared with the best other policy, repeat by repeat, and the interval tells how sure that is."""

from __future__ import annotations

import pytest

from tools.batching import FAR_SECONDS, POLICIES, SETTINGS, Figures, best_other, figures, interval, paired, table


def runs(**rates: list[float]) -> Figures:
    """Make runs whose latency is 1 ms and cost 10 us for everybody; underscores stand for spaces."""
    given: dict[str, list[float]] = {policy: [100.0, 100.0, 100.0] for policy in POLICIES}
    given |= {policy.replace("_", " "): values for policy, values in rates.items()}
    return {policy: [{"rate": rate, "p50": 1.0, "cpu": 10.0} for rate in values] for policy, values in given.items()}


def test_a_run_is_rate_latency_and_cost_of_all_processes() -> None:
    result = {
        "throughput_per_second": 2000.0,
        "operations": 1000,
        "latency_ms": {"strong": {"p50": 0.5}},
        "replicas": [{"cpu_seconds": 0.01}, {"cpu_seconds": None}],
        "clients": [{"cpu_seconds": 0.03}],
    }
    assert figures(result) == {"rate": 2000.0, "p50": 0.5, "cpu": pytest.approx(40.0)}


def test_the_best_other_policy_has_the_highest_median_and_is_never_adaptive() -> None:
    assert best_other(runs(adaptive=[900, 900, 900], fixed_75=[110, 120, 10], fixed_50=[10, 10, 800])) == "fixed 75"


def test_runs_are_compared_within_their_repeat() -> None:
    assert paired(runs(adaptive=[50, 200, 300], turn=[100, 100, 200]), "turn", "rate") == [0.5, 2.0, 1.5]


def test_the_interval_holds_the_median_and_is_narrow_where_runs_agree() -> None:
    assert interval([1.0] * 5) == (1.0, 1.0)
    low, high = interval([0.8, 0.9, 1.0, 1.1, 1.2])
    assert low <= 0.9
    assert high >= 1.1
    assert interval([0.8, 0.9, 1.0, 1.1, 1.2]) == (low, high), "the same figures give the same interval"


def test_a_row_has_every_policy_and_adaptive_over_the_best_other() -> None:
    last = table({"4 x 15": runs(adaptive=[120, 120, 120], fixed_150=[240, 240, 240])}).splitlines()[-1]
    assert last == (
        "| 4 x 15 | 100 | 100 | 100 | 240 | 120 | fixed 150 | 0.50 (0.50-0.50) | 1.20 (1.20-1.20) | 1.00 (1.00-1.00) | 1.00 (1.00-1.00) |"
    )


def test_every_far_setting_is_one_that_is_run() -> None:
    assert FAR_SECONDS.keys() <= SETTINGS.keys()
