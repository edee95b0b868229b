"""What can be compared is read as points with the figures of their runs; what cannot is one line with the file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.measured import RUNS, SWEEP, read_side
from loadgen.sweep.report import build
from replica.config import SettingError
from tests.loadgen.sweep.stand import outcomes, plan, result

if TYPE_CHECKING:
    from pathlib import Path

TIMES = {"started": "2026-01-01", "finished": "2026-01-02"}


def written(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def with_settings(rate: float, **settings: Any) -> dict[str, Any]:
    found = result(rate)
    found["settings"] |= settings
    return found


def test_a_load_s_result_is_a_side_of_one_run_with_its_seconds(tmp_path: Path) -> None:
    side = read_side(written(tmp_path / "a.json", result(500.0, seconds=3)))
    assert (side.kind, side.version, side.commit, side.partial) == (RUNS, "1.2.3", None, False)
    (point,) = side.points
    assert point.name == "all runs"
    assert [run["throughput_per_second"] for run in point.runs] == [500.0]
    assert point.series == [2000.0, 2000.0, 2000.0]


def test_runs_of_a_folder_are_grouped_by_the_settings_that_decide(tmp_path: Path) -> None:
    for number, (rate, threads) in enumerate([(1.0, 2), (2.0, 4), (3.0, 2), (4.0, 4), (5.0, 2)]):
        written(tmp_path / f"{number}.json", with_settings(rate, threads=threads, seed=number, json=f"{number}.json"))
    written(tmp_path / "other.json", {"schema": "something/1"})
    side = read_side(tmp_path)
    assert {point.name: [run["throughput_per_second"] for run in point.runs] for point in side.points} == {
        "threads 2": [1.0, 3.0, 5.0],
        "threads 4": [2.0, 4.0],
    }
    assert all(not point.series for point in side.points)


def test_a_sweep_is_read_from_its_report_or_its_folder(tmp_path: Path) -> None:
    swept = plan(repeats=3)
    report = build(swept, outcomes(swept, lambda run: None if run.point.number == 0 else 10.0 * run.repeat), **TIMES)
    file = written(tmp_path / "report.json", report)
    side = read_side(file)
    assert side.kind == SWEEP
    assert [point.name for point in side.points] == ["pendings 5, many", "pendings 15, few", "pendings 15, many"]  # the first has no result
    assert sorted(run["throughput_per_second"] or 0 for run in side.points[0].runs) == [10.0, 20.0, 30.0]
    assert read_side(tmp_path).points == side.points


def test_a_folder_with_runs_is_read_from_them(tmp_path: Path) -> None:
    written(tmp_path / "runs" / "1.json", result(7.0))
    assert read_side(tmp_path).points[0].runs[0]["throughput_per_second"] == 7.0


SWEPT: dict[str, Any] = {"schema": "triskele.sweep/1", "machine": {}, "commit": None, "version": "1", "partial": False}


def swept(point: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return SWEPT | {"points": [{"name": "a", "flags": {}, "runs": []} | point]} | changes


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", result() | {"failed": "x"}, "a.json: is not what its schema says: failed is no number"),
        ("a.json", result() | {"paths": {"fast": "x"}}, "a.json: is not what its schema says: fast_share is no number"),
        ("a.json", result() | {"latency_ms": {"strong": {"p50": "x"}}}, "a.json: is not what its schema says: strong_p50_ms is no number"),
        ("a.json", result() | {"throughput_per_second": float("nan")}, "a.json: is not what its schema says: throughput_per_second is no number"),
        ("a.json", result() | {"throughput_series": [[0, 10**400]]}, "a.json: is not what its schema says: throughput_series is no number"),
        ("a.json", result() | {"throughput_series": [[0]]}, "a.json: is not what its schema says: IndexError"),
        ("a.json", result() | {"machine": None}, "a.json: is not what its schema says: machine is no table"),
        ("a.json", swept({"runs": [{"figures": {"failed": True}}]}), "a.json: is not what its schema says: failed is no number"),
        ("a.json", swept({"runs": [{"figures": [1]}]}), "a.json: is not what its schema says: figures is no table"),
        ("a.json", swept({"flags": [1]}), "a.json: is not what its schema says: flags is no table"),
        ("a.json", swept({"name": ["a"]}), "a.json: is not what its schema says: name is no text"),
        ("a.json", swept({"runs": [{"figures": {"failed": 1}}]}, machine=[]), "a.json: is not what its schema says: machine is no table"),
        ("none.json", None, "none.json: No such file or directory"),
        ("a.json", "{", "a.json: is no JSON"),
        ("a.json", "[" * 100_000, "a.json: is no JSON"),
        ("a.json", [], "a.json: is no JSON object"),
        ("a.json", {"schema": "triskele.profile/1"}, "a.json: has schema triskele.profile/1, neither triskele.load/1 nor triskele.sweep/1"),
        ("a.json", {"schema": "triskele.load/1"}, "a.json: is not what its schema says: KeyError"),
        ("a.json", {"schema": "triskele.sweep/1", "points": [{}]}, "a.json: is not what its schema says: KeyError"),
        ("a.json", {"schema": "triskele.sweep/1", "points": []}, "a.json: no run of it has a result"),
        ("empty", {}, "empty: holds no results of triskele load"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_file(name: str, content: Any, message: str, tmp_path: Path) -> None:
    if name == "empty":
        written(tmp_path / "empty" / "x.json", content)
    elif content is not None:
        written(tmp_path / name, content)
    with pytest.raises(SettingError) as error:
        read_side(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / message.partition(':')[0]}:{message.partition(':')[2]}")
    assert error.value.exit_status == 2


@pytest.mark.parametrize("fault", [TypeError, ValueError])
def test_a_fault_of_our_own_stays_the_cause_of_what_is_told_of_the_file(
    fault: type[Exception], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def faulty(*_: object) -> None:
        raise fault

    written(tmp_path / "a.json", result())
    monkeypatch.setattr("loadgen.measured.side_of_results", faulty)
    with pytest.raises(SettingError) as error:
        read_side(tmp_path / "a.json")
    assert type(error.value.__cause__) is fault


def test_a_mixture_of_commits_is_known_of_folders_and_of_sweeps(tmp_path: Path) -> None:
    for number, commit in enumerate(["aaa", "bbb"]):
        written(tmp_path / "results" / f"{number}.json", result() | {"commit": commit})
    assert read_side(tmp_path / "results").mixture == ["its runs are of several commits: aaa, bbb"]
    swept = outcomes(plan(repeats=2), lambda run: 10.0 * run.repeat)
    for number, outcome in enumerate(swept):
        if outcome.result is not None:
            outcome.result["version"] = f"1.{number % 2}"
    side = read_side(written(tmp_path / "report.json", build(plan(repeats=2), swept, **TIMES)))
    assert side.mixture == ["its runs are of several versions: 1.0, 1.1"]


def test_runs_that_wrote_a_history_are_a_point_of_their_own_whatever_its_name(tmp_path: Path) -> None:
    every: list[dict[str, Any]] = [{}, {"check": True}, {"history": "a"}, {"history": "b", "check": True}, {"floor": True}]
    for number, told in enumerate(every):
        written(tmp_path / f"{number}.json", with_settings(number + 1.0, **told))
    side = read_side(tmp_path)
    assert {point.name: [run["throughput_per_second"] for run in point.runs] for point in side.points} == {
        "recorded False": [1.0, 5.0],
        "recorded True": [2.0, 3.0, 4.0],
    }
