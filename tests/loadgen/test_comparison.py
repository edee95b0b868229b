"""Ratios say how sure they are, and what was not measured alike is said."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from loadgen.comparison import compare, rows_of
from loadgen.measured import RUNS, SWEEP, Point, Side
from replica.config import SettingError

MACHINE = {"processor": "p", "cores": 2, "system": "s", "python": "3"}
RATE = "throughput_per_second"


def point(name: str, rates: list[float], **flags: Any) -> Point:
    return Point(name, flags, [{RATE: rate, "strong_p50_ms": 1000 / rate, "failed": 0, "unknown": 0} for rate in rates])


def side(name: str, *points: Point, kind: str = RUNS, **changes: Any) -> Side:
    made = Side(name=name, kind=kind, machine=MACHINE, commit="c", version="1", partial=False, points=points)
    return attrs.evolve(made, **changes)


def test_a_ratio_has_an_interval_over_the_runs_of_both_sides() -> None:
    found = compare(side("a", point("x", [100, 101, 102, 103, 104])), side("b", point("y", [200, 202, 204, 206, 208])))
    assert (found["schema"], found["method"], found["warning"]) == ("triskele.comparison/1", "bootstrap over runs", "")
    (one,) = found["points"]
    assert (one["name"], one["runs"], one["lost"]) == ("x / y", [5, 5], [0, 0])
    rate, latency = one["figures"][RATE], one["figures"]["strong_p50_ms"]
    assert (rate["a"], rate["b"], rate["ratio"]) == (102, 204, 2.0)
    assert 200 / 104 <= rate["low"] < 2.0 < rate["high"] <= 208 / 100
    assert rate["differs"]
    assert latency["ratio"] == pytest.approx(0.5)
    assert latency["differs"]
    assert found == compare(side("a", point("x", [100, 101, 102, 103, 104])), side("b", point("y", [200, 202, 204, 206, 208])))


def test_what_may_be_chance_is_not_marked() -> None:
    found = compare(side("a", point("x", [100, 150, 50])), side("b", point("x", [110, 60, 140])))
    assert not found["points"][0]["figures"][RATE]["differs"]
    heads, rows = rows_of(found)
    assert heads == ["point", "figure", "A", "B", "B/A", "95 %", ""]
    assert rows[0][:5] == ["x", "commands/s", "100", "110", "1.10"]
    assert rows[0][6] == ""


def test_single_runs_are_compared_by_their_seconds_and_only_their_rate() -> None:
    before = Point("x", {}, [{RATE: 100.0, "strong_p50_ms": 1.0}], [99.0, 101.0, 100.0, 98.0])
    after = Point("x", {}, [{RATE: 120.0, "strong_p50_ms": 2.0}], [119.0, 121.0, 120.0, 118.0])
    found = compare(side("a", before), side("b", after))
    assert found["method"] == "bootstrap over the seconds of single runs"
    rate, latency = found["points"][0]["figures"][RATE], found["points"][0]["figures"]["strong_p50_ms"]
    assert rate["ratio"] == 1.2
    assert 1.15 < rate["low"] < 1.2 < rate["high"] < 1.25
    assert rate["differs"]
    assert (latency["ratio"], latency["low"], latency["differs"]) == (2.0, None, False)
    assert [row[5] for row in rows_of(found)[1]][1] == ""


def test_a_single_run_that_stood_still_is_marked_slower() -> None:
    """Its interval is of what its rate is: the mean of its seconds."""
    steady = [100.0, 101.0, 99.0, 100.0, 102.0, 98.0, 100.0, 101.0, 99.0, 100.0] * 2
    stalled = [*steady[:8], *[0.0] * 5, *steady[13:]]
    before, after = (Point("x", {}, [{RATE: sum(seconds) / 20}], seconds) for seconds in (steady, stalled))
    rate = compare(side("a", before), side("b", after))["points"][0]["figures"][RATE]
    assert rate["ratio"] == pytest.approx(0.75, abs=0.01)
    assert rate["low"] < rate["ratio"] < rate["high"] < 1
    assert rate["differs"]


def test_every_point_says_where_its_intervals_come_from() -> None:
    runs, two = point("runs", [100, 101, 102], threads=1), point("two", [100, 101], threads=2)
    seconds, short = (attrs.evolve(point(f"{count} s", [100], threads=count), series=[100.0] * count) for count in (4, 2))
    short = attrs.evolve(short, flags={"threads": 5})

    def methods(*points: Point) -> tuple[list[str | None], str]:
        found = compare(side("a", *points), side("b", *points))
        for one in found["points"]:
            assert (one["method"] is None) == (one["figures"][RATE]["low"] is None)
        return [one["method"] for one in found["points"]], found["method"]

    assert methods(runs, two) == (["runs", None], "bootstrap over runs")
    assert methods(seconds, short) == (["seconds", None], "bootstrap over the seconds of single runs")
    assert methods(seconds, runs) == (["seconds", "runs"], "bootstrap over runs and bootstrap over the seconds of single runs")
    assert methods(two, short) == ([None, None], "")
    assert compare(side("a", runs), side("b", seconds))["method"] == ""


def test_points_are_matched_by_their_flags_else_by_their_names() -> None:
    before = side("a", point("old name", [1.0], threads=2), point("same", [2.0], threads=4), point("gone", [3.0], threads=8))
    after = side("b", point("same", [20.0], threads=5), point("new name", [10.0], threads=2), point("new", [30.0], threads=9))
    found = compare(before, after)
    assert [(one["name"], one["figures"][RATE]["ratio"]) for one in found["points"]] == [("old name / new name", 10.0), ("same", 10.0)]
    assert found["unmatched"] == {"a": ["gone"], "b": ["new"]}
    assert found["warning"] == "not measured alike: threads 4 and 5"


def test_what_was_not_measured_alike_is_one_line() -> None:
    before = side("a", point("x", [1.0], threads=2, durability="disk", seed=1), partial=True)
    after = side(
        "b",
        point("x", [1.0], threads=2, durability="memory", seed=2, batching="turn"),
        machine=MACHINE | {"cores": 64, "load_average": 3.0},
        commit="d",
        version="2",
    )
    assert compare(before, after)["warning"] == (
        "not measured alike: cores 2 and 64; version 1 and 2; commit c and d; durability disk and memory; batching None and turn; a is partial"
    )


def test_lost_commands_are_told() -> None:
    lossy = attrs.evolve(point("x", [1.0]), runs=[{RATE: 1.0, "failed": 1, "unknown": 2}, {RATE: 1.0, "failed": 0, "unknown": 1}])
    found = compare(side("a", point("x", [1.0])), side("b", lossy))
    assert found["points"][0]["lost"] == [0, 4]
    assert rows_of(found)[1][-1][:4] == ["x", "failed + unknown", "0", "4"]


def test_a_figure_that_one_side_lacks_or_is_nothing_is_no_ratio() -> None:
    before, after = Point("x", {}, [{RATE: 0.0, "fast_share": 0.5}]), Point("x", {}, [{RATE: 5.0, "fast_share": None}])
    found = compare(side("a", before), side("b", after))
    figures = found["points"][0]["figures"]
    assert set(figures) == {RATE}
    assert figures[RATE]["ratio"] is None
    assert not figures[RATE]["differs"]
    assert rows_of(found)[1][0][4:] == ["-", "", ""]


def test_results_of_different_kinds_cannot_be_compared() -> None:
    with pytest.raises(SettingError, match=r"^b: is a result of another kind \(sweep\) than a \(runs\)$") as error:
        compare(side("a", point("x", [1.0])), side("b", point("x", [1.0]), kind=SWEEP))
    assert error.value.exit_status == 2


def test_sides_without_a_common_point_cannot_be_compared() -> None:
    with pytest.raises(SettingError, match=r"^b: no point of it has the flags or the name of one of a$"):
        compare(side("a", point("x", [1.0], threads=1), point("y", [1.0], threads=2)), side("b", point("z", [1.0], threads=3)))


def test_runs_of_one_side_that_differ_among_themselves_are_said() -> None:
    mixed = side("b", point("x", [100]), mixture=["its runs are of several commits: c, d"])
    assert compare(side("a", point("x", [100])), mixed)["warning"] == "not measured alike: b: its runs are of several commits: c, d"
