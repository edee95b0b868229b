from __future__ import annotations

import pytest

from loadgen.figures import RATE, SHOWN, figures_of
from tests.loadgen.results import built, client_result


def test_figures_are_taken_from_a_result() -> None:
    result = built([client_result([(100, 9, 1)] * 10, cpu_seconds=0.5)] * 2, floors={"wire_per_second": 8000.0, "codec_per_second": 4000.0})
    del result["replicas"][2:]  # those without counters
    figures = figures_of(result)
    assert figures[RATE] == 2000.0
    assert figures["strong_p50_ms"] == pytest.approx(2.0, rel=0.01)
    assert figures["causal_write_p99_9_ms"] == pytest.approx(2.0, rel=0.01)
    assert figures["fast_share"] == 0.9
    assert figures["syscalls_per_operation"] == 0.02
    assert figures["leader_cpu_us_per_operation"] == pytest.approx(500.0)
    assert figures["client_cpu_us_per_operation"] == pytest.approx(500.0)
    assert figures["cpu_us_per_operation"] == pytest.approx(1500.0)  # two replicas of 1 s, two clients of 0.5 s, 2,000 commands
    assert (figures["turn_seconds_max"], figures["turn_cpu_seconds_max"]) == (0.004, 0.003)
    assert (figures["failed"], figures["unknown"]) == (0, 0)
    assert (figures["wire_floor_share"], figures["codec_floor_share"]) == (0.25, 0.5)


def test_what_a_run_does_not_tell_is_none() -> None:
    result = built([client_result([(0, 0, 0)] * 10)])
    figures = figures_of(result)
    assert figures["cpu_us_per_operation"] is None  # a replica's time is not known, and nothing was done
    assert figures["strong_p50_ms"] is None
    assert figures["codec_floor_share"] is None
    result["replicas"] = []
    assert figures_of(result)["turn_seconds_max"] is None
    assert figures_of(result)["syscalls_per_operation"] is None


def test_everything_that_is_shown_is_a_figure() -> None:
    figures = figures_of(built([client_result([(100, 9, 1)] * 10)]))
    assert set(SHOWN) <= set(figures)
    assert SHOWN["turn_seconds_max"].text(0.0123) == "12.3"
    assert SHOWN[RATE].text(None) == "-"
