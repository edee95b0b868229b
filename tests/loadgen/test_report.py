"""The result: every field of the schema, and figures that add up."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from loadgen.report import CHECKED, SCHEMA, bottleneck, build, check_line, check_passed, floors_line, problems, table, to_csv
from loadgen.settings import LOAD_SETTINGS
from tests.loadgen.results import built, client_result

ROWS = [(100, 9, 1)] * 25


def test_the_schema_is_complete() -> None:
    """The names of the contract; scripts of others read them."""
    result = built([client_result(ROWS), client_result(ROWS)])
    assert result["schema"] == SCHEMA == "triskele.load/1"
    fields = [
        "schema",
        "version",
        "commit",
        "machine",
        "settings",
        "operations",
        "failed",
        "unknown",
        "duration_seconds",
        "throughput_per_second",
        "throughput_series",
        "latency_ms",
        "paths",
        "paths_series",
        "replicas",
        "clients",
        "bottleneck",
        "floors",
        "check",
    ]
    assert set(fields) <= set(result)
    assert set(result["settings"]) == set(LOAD_SETTINGS)
    assert list(result["latency_ms"]) == ["strong", "causal", "strong_read", "strong_write", "causal_read", "causal_write"]
    for figures in result["latency_ms"].values():
        assert list(figures) == ["count", "mean", "p50", "p90", "p99", "p99_9", "p99_99", "max"]
    replica = [
        "id",
        "role",
        "cpu_seconds",
        "rss_bytes",
        "rss_peak_bytes",
        "syscalls",
        "syscalls_per_operation",
        "frames_per_send",
        "commands_per_frame",
        "bytes_sent",
        "batch_delay_seconds",
        "turn_seconds_max",
        "turn_cpu_seconds_max",
        "restarted",
        "rss_series",
    ]
    for found in result["replicas"]:
        assert set(replica) == set(found)
    assert [set(client) for client in result["clients"]] == [{"cpu_seconds", "rss_bytes", "operations"}] * 2
    assert (result["floors"], result["check"]) == (None, None)
    json.dumps(result, allow_nan=False)


def test_processes_are_added_up() -> None:
    result = built([client_result(ROWS), client_result(ROWS[:20], milliseconds=4)])
    assert (result["operations"], result["duration_seconds"], result["throughput_per_second"]) == (4500, 2.5, 1800.0)
    assert result["throughput_series"] == [[0, 2000], [1, 2000]]  # the half second at the end is no second
    assert result["paths"] == {"fast": 0.9, "slow": 0.1}
    assert (result["paths_series"][0], result["paths_series"][24]) == ([0.0, 18, 2], [2.4, 9, 1])
    latency = result["latency_ms"]
    assert (latency["strong"]["count"], latency["strong_read"]["count"]) == (2 * (625 + 500), 625 + 500)
    assert latency["strong"]["p50"] == pytest.approx(2, rel=2e-3)
    assert latency["strong"]["p99"] == pytest.approx(4, rel=2e-3)


@pytest.mark.parametrize(
    ("rows", "seconds", "series"),
    [
        ([100] * 19 + [50], 1.95, [[0, 1000]]),  # twenty rows, and the last is half of one
        ([100] * 20, 2.0, [[0, 1000], [1, 1000]]),
        ([100] * 20, 2.0 - 1e-9, [[0, 1000], [1, 1000]]),  # what a clock's numbers leave of two seconds
        ([100] * 20 + [50], 2.05, [[0, 1000], [1, 1000]]),
        ([100] * 5, 0.5, []),
    ],
)
def test_the_series_has_whole_seconds_only(rows: list[int], seconds: float, series: list[list[int]]) -> None:
    """Whatever else stood there would be a rate of less than a second on an axis of operations a second."""
    process = client_result([(operations, 0, 0) for operations in rows])
    process["end"] = process["start"] + seconds
    assert built([process])["throughput_series"] == series


def test_without_logged_strong_commands_there_are_no_paths() -> None:
    assert built([client_result([(10, 0, 0)] * 10)])["paths"] == {"fast": None, "slow": None}


def test_failures_are_counted_with_their_reasons_and_never_in_the_rate() -> None:
    one, other = client_result(ROWS), client_result(ROWS)
    one |= {"failed": 3, "reasons": {"busy": 3}}
    other |= {"failed": 1, "unknown": 2, "reasons": {"busy": 1, "expired": 2}}
    result = built([one, other])
    assert (result["failed"], result["unknown"], result["reasons"], result["operations"]) == (4, 2, {"busy": 4, "expired": 2}, 5000)


def test_what_was_in_flight_at_the_end_is_told_where_it_took_longer_than_all_that_counts() -> None:
    parts = [
        client_result(ROWS) | {"drained": {"operations": 7, "us_max": 1900}},
        client_result(ROWS) | {"drained": {"operations": 5, "us_max": 1200}},
    ]
    result = built(parts)
    assert result["drained"] == {"operations": 12, "latency_ms_max": 1.9}
    assert "in flight at the end" not in table(result)
    parts[0]["drained"]["us_max"] = 1_234_567
    assert "in flight at the end, and in no figure: 12 operations, the slowest took 1,234.567 ms" in table(built(parts))
    assert built([client_result(ROWS)])["drained"] == {"operations": 0, "latency_ms_max": None}


def test_an_open_loop_tells_its_backlog() -> None:
    result = built([client_result(ROWS) | {"backlog_max": 7, "backlog_end": 1}, client_result(ROWS) | {"backlog_max": 3, "backlog_end": 0}])
    assert result["backlog"] == {"max": 10, "end": 1}
    assert "open loop: 10 operations late at most, 1 at the end" in table(result)


@pytest.mark.parametrize(
    ("clients", "replicas", "cores", "expected"),
    [
        ([9.1, 9.5], [5.0], 8, "clients"),  # each keeps a core busy
        ([9.1, 8.0], [5.0], 8, "none"),
        ([7.0, 6.0], [3.0, 2.5], 2, "clients"),  # all cores busy, most of it theirs
        ([4.0, 4.0], [6.0, 2.5, 2.5], 2, "replicas"),
        ([4.0, 4.0], [9.5, 2.0, 2.0], 8, "replicas"),  # the leader keeps a core busy
        ([4.0, 4.0], [None, None], 8, "none"),
        ([0.1], [0.2, 0.1, 0.1], 2, "none"),
    ],
)
def test_who_is_the_bottleneck(clients: list[float], replicas: list[float | None], cores: int, expected: str) -> None:
    assert bottleneck(clients, replicas, 10.0, cores) == expected


def test_the_table_shows_rate_latencies_and_processes() -> None:
    lines = table(built([client_result(ROWS), client_result(ROWS)])).splitlines()
    assert lines[0] == "5,000 operations in 2.50 s: 2,000 a second; failed 0, unknown 0"
    assert any(line.startswith("strong read") and "2.00" in line for line in lines)
    assert any(line.startswith("replica 0") and "leader" in line and "40%" in line for line in lines)
    assert any(line.startswith("replica 2") and "did not answer" in line for line in lines)
    assert "replica 3   (no counters: it was restarted meanwhile)" in lines
    assert "logged strong commands: 90.0% by the fast path" in lines
    assert lines[-1] == "bottleneck: none"


def test_a_longest_turn_that_is_not_known_is_a_dash_in_the_table() -> None:
    result = built([client_result(ROWS)])
    result["replicas"][0]["turn_seconds_max"] = None
    lines = table(result).splitlines()
    assert [line.split()[-1] for line in lines if line.startswith(("replica 0", "replica 1"))] == ["-", "4.00"]


def test_floors_are_told_with_the_share_of_the_run() -> None:
    result = built([client_result(ROWS)], floors={"wire_per_second": 10_000.0, "codec_per_second": 4000.0})
    assert floors_line(result) == "floors: wire 10,000/s (the run: 10%), codec 4,000/s (the run: 25%)"
    assert table(result).endswith(floors_line(result))


def test_csv_is_a_header_and_a_line() -> None:
    header, line = csv.reader(io.StringIO(to_csv(built([client_result(ROWS)]))))
    cells = dict(zip(header, line, strict=True))
    assert len(cells) == len(header)
    assert (cells["operations"], cells["strong_count"], cells["path_fast"], cells["replica_0_role"]) == ("2500", "1250", "0.9", "leader")
    assert [cells[f"replica_3_{name}"] for name in ("cpu_seconds", "syscalls_per_operation", "bytes_sent")] == [""] * 3
    assert (cells["replica_2_role"], cells["setting_threads"], cells["client_0_operations"]) == ("", "8", "2500")


def test_a_window_of_no_length_has_no_rate() -> None:
    """A run that was over before it began is a result all the same."""
    result = client_result([(0, 0, 0)])
    result["end"] = result["start"]
    found = build(settings={}, results=[result], replicas=[], machine={"cores": 1}, version="", commit=None)
    assert (found["throughput_per_second"], found["bottleneck"]) == (0.0, "none")


def test_the_verdicts_on_the_history_are_in_the_table_and_in_csv() -> None:
    result = built([client_result([(100, 9, 1)] * 10)])
    check: dict[str, Any] = dict.fromkeys(CHECKED, "yes") | {"operations_checked": 1200, "seconds": 0.25, "reasons": {}, "vacuous": None}
    result["check"] = check
    assert table(result).splitlines()[-1] == (
        "checked 1,200 operations in 0.2 s: linearizable yes, sessions yes, causal yes, hybrid yes, exactly once yes"
    )
    assert check_passed(check)
    assert ",check_linearizable," in to_csv(result).splitlines()[0]
    unknown = check | {"linearizable": "unknown", "reasons": {"linearizable": "key x: too hard"}}
    assert not check_passed(unknown)
    assert check_line(unknown).endswith("; key x: too hard")


def test_a_check_that_means_nothing_has_not_passed() -> None:
    check = dict.fromkeys(CHECKED, "yes") | {"operations_checked": 1, "seconds": 0.0, "reasons": {}, "vacuous": "1 operations were answered"}
    assert not check_passed(check)
    assert check_line(check).startswith("checked 1 operations in 0.0 s: vacuous (1 operations were answered); linearizable yes")


def test_what_makes_a_run_no_success_is_said() -> None:
    result = built([client_result([(100, 9, 1)] * 10)])
    assert problems(result) == []
    result |= {"operations": 0, "failed": 1, "unknown": 2, "reasons": {"busy": 3}, "check": dict.fromkeys(CHECKED, "no") | {"vacuous": None}}
    assert problems(result) == [
        "no operation completed in the measured window: nothing was measured",
        "1 operations failed, 2 have an unknown outcome: 3 busy",
        "the check did not pass: linearizable no, sessions no, causal no, hybrid no, exactly once no",
    ]
