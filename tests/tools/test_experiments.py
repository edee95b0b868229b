"""The experiments' table: medians, ranges, and dashes for what a run does not tell."""

from __future__ import annotations

from tools.experiments import FIGURES, streams, table


def result(rate: float, **changes: object) -> dict[str, object]:
    latency = {"strong": {"p50": 0.5, "p99": 2.0}, "causal": {"p50": 0.25}}
    replicas = [{"role": "leader", "syscalls_per_operation": 0.2}, {"role": "follower", "syscalls_per_operation": 0.1}]
    plain = {"throughput_per_second": rate, "failed": 0, "unknown": 0, "latency_ms": latency, "paths": {"fast": 0.97}, "replicas": replicas}
    return {**plain, "floors": None, "commit": "abc", "machine": {"cores": 2}, **changes}


def test_a_row_is_the_median_of_the_runs_with_their_range() -> None:
    text = table({"4 x 15": [result(100.0), result(300.0), result(200_000.0)]})
    assert text.splitlines()[-1] == "| 4 x 15 | 300 (100-200,000) | 0.50 ms | 2.00 ms | 0.25 ms | 97.0% | 0.200 | 0 |"


def test_the_commit_and_the_machine_stand_above() -> None:
    assert table({"4 x 15": [result(1.0)]}).startswith('commit abc, machine {"cores": 2}\n')


def test_lost_commands_are_added_up() -> None:
    text = table({"x": [result(1.0, failed=1), result(1.0, unknown=2)]})
    assert text.splitlines()[-1].endswith("| 3 |")


def test_a_figure_that_a_run_lacks_is_a_dash() -> None:
    text = table({"x": [result(1.0, latency_ms={"strong": {}, "causal": None}, paths={})]})
    assert text.splitlines()[-1] == "| x | 1 (1-1) | - ms | - ms | - ms | - | 0.200 | 0 |"


def test_the_workload_names_streams_and_commands_in_flight() -> None:
    assert streams(2, 8, 15) == ["--clients", "2", "--threads", "8", "--pendings", "15"]
    assert FIGURES["16 x 15"] == streams(2, 8, 15)
