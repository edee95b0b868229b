"""A point has medians and intervals of its runs, and is compared with its baseline repeat by repeat."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from loadgen.sweep.folder import Outcome
from loadgen.sweep.report import SCHEMA, build, to_csv
from tests.loadgen.sweep.stand import outcomes, plan, result

TIMES = {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T01:00:00+00:00"}


def built(rate: Any, repeats: int = 5) -> dict[str, Any]:
    swept = plan(repeats=repeats)
    return build(swept, outcomes(swept, rate), **TIMES)


def test_the_report_says_what_was_measured() -> None:
    report = built(lambda run: 100.0 * run.repeat)
    assert report["schema"] == SCHEMA
    assert (report["name"], report["about"], report["partial"], report["repeats"]) == ("two by two", "a try", False, 5)
    assert report["file"].startswith("\nname = ")
    assert report["axes"] == {"pendings": ["pendings 5", "pendings 15"], "point": ["few", "many"]}
    assert (report["version"], report["machine"]["processor"]) == ("1.2.3", "a <processor>")
    assert (report["started"], report["finished"]) == (TIMES["started"], TIMES["finished"])
    assert report["warnings"] == []
    assert json.loads(json.dumps(report)) == report


def test_a_point_has_medians_intervals_and_its_runs() -> None:
    point = built(lambda run: 100.0 * run.repeat)["points"][0]
    assert point["flags"] == {"local": 3, "seconds": 1.0, "warmup_seconds": 0.0, "pendings": 5, "threads": 1}
    assert point["figures"]["throughput_per_second"] == {
        "median": 300.0, "low": 100.0, "high": 500.0, "coverage": 0.9375, "least": 100.0, "most": 500.0, "runs": 5,
    }  # fmt: skip
    assert {"strong_p50_ms", "causal_read_p99_9_ms", "syscalls_per_operation", "fast_share", "turn_seconds_max"} <= set(point["figures"])
    assert "codec_floor_share" not in point["figures"]
    assert [run["repeat"] for run in point["runs"]] == [1, 2, 3, 4, 5]
    assert (point["failed"], point["unknown"]) == (0, 0)


def test_the_baseline_is_met_within_the_repeat() -> None:
    """The machine is ten times as fast in the fifth repeat; the ratio does not see it."""
    points = built(lambda run: (1000.0 if run.repeat == 5 else 100.0) * (2 if run.point.steps["point"] == "many" else 1))["points"]
    assert points[0]["against"] is None
    assert points[1]["against"]["point"] == "pendings 5, few"
    assert points[1]["against"]["figures"]["throughput_per_second"] == {"ratio": 2.0, "low": 2.0, "high": 2.0, "coverage": 0.9375}


def test_failed_runs_have_a_reason_and_no_pair() -> None:
    report = built(lambda run: None if run.point.number == 0 and run.repeat > 2 else 100.0)
    assert len(report["failures"]) == 3
    assert report["failures"][0] == {"run": "001-pendings-5-few-3.json", "point": "pendings 5, few", "why": "ended with status 1: why"}
    assert report["points"][0]["figures"]["throughput_per_second"]["runs"] == 2
    assert report["points"][1]["against"]["figures"]["throughput_per_second"]["coverage"] == 0.5
    assert not report["partial"]


def test_lost_commands_of_all_runs_are_added_up() -> None:
    swept = plan(repeats=2)
    found = [Outcome(run, result() | {"failed": 1, "unknown": 2}) for run in swept.runs()]
    assert {(point["failed"], point["unknown"]) for point in build(swept, found, **TIMES)["points"]} == {(2, 4)}


def test_missing_runs_make_it_partial_and_none_at_all_is_no_error() -> None:
    swept = plan(repeats=2)
    found = outcomes(swept, lambda _run: 100.0)
    assert build(swept, found[:-1], **TIMES)["partial"]
    nothing = build(swept, [], **TIMES)
    assert nothing["partial"]
    assert [point["figures"] for point in nothing["points"]] == [{}] * 4


def test_runs_of_several_commits_are_warned_of() -> None:
    swept = plan(repeats=2)
    found = outcomes(swept, lambda _run: 100.0)
    assert found[0].result is not None
    found[0].result["commit"] = "abc"
    found[1].result["machine"]["cores"] = 64  # type: ignore[index]
    commits, machines = build(swept, found, **TIMES)["warnings"]
    assert commits == "its runs are of several commits: None, abc"
    assert machines.startswith("its runs are of several machines: ")


def test_the_csv_has_a_line_for_each_run() -> None:
    report = built(lambda run: None if run.point.number == 0 and run.repeat == 1 else 100.0, repeats=2)
    rows = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert len(rows) == 8
    assert (rows[0]["point"], rows[0]["repeat"], rows[0]["failure"], rows[0]["throughput_per_second"]) == (
        "pendings 5, few", "1", "ended with status 1: why", "",
    )  # fmt: skip
    assert (rows[1]["flag_pendings"], float(rows[1]["throughput_per_second"])) == ("5", 100.0)
    assert float(rows[1]["strong_p50_ms"]) == pytest.approx(2.0, rel=0.01)
