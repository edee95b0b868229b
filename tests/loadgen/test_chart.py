"""Charts are well formed, keep what they draw inside, and escape what they are told."""

from __future__ import annotations

import re

import pytest

from loadgen.chart import Bar, Dot, bars, chart, cloud, legend, nice
from tests.loadgen.balance import parsed

LINES = [("a", "#000", [(1.0, 5.0), (64.0, 900.0)]), ("<b>", "#111", [(8.0, 0.02)])]


def test_a_chart_keeps_its_points_inside() -> None:
    drawn = chart([("a", "#000", [(0.0, 0.0), (1.0, 7.0), (2.0, 9.9)]), ("b", "#111", [(0.0, 3.0), (2.0, 1.0)])], "s", "things")
    parsed(drawn)
    places = [tuple(map(float, pair.split(","))) for line in re.findall(r"points='([^']*)'", drawn) for pair in line.split()]
    assert len(places) == 5
    assert all(0 <= x <= 720 and 0 <= y <= 220 for x, y in places)
    assert min(y for _, y in places) == pytest.approx(18, abs=3)  # 9.9 of 10 is at the top


def test_a_single_point_is_a_dot_and_nothing_says_so() -> None:
    assert "<circle" in chart([("a", "#000", [(0.0, 5.0)])], "s", "things")
    assert "nothing measured" in chart([("a", "#000", [])], "s", "things")


@pytest.mark.parametrize(("value", "expected"), [(0.0, 1.0), (0.07, 0.1), (1.0, 1.0), (1.1, 2.0), (2.2, 2.5), (2.6, 5.0), (9.9, 10.0), (1.2e5, 2e5)])
def test_round_numbers(value: float, expected: float) -> None:
    assert nice(value) == pytest.approx(expected)


def test_whiskers_and_both_logarithmic_axes_stay_inside() -> None:
    drawn = chart(LINES, "s", "things", ticks=[(1.0, "1"), (64.0, "64")], whiskers=[("#000", 64.0, 1.0, 4000.0)], logarithmic="xy", named=False)
    words = parsed(drawn)
    assert {"1", "64", "<b>"} <= set(words)
    found = [float(value) for value in re.findall(r"\b(?:y1|y2|cy)='?([-0-9.]+)", drawn)]
    assert found
    assert all(17 <= y <= 220 for y in found)


def test_a_logarithmic_axis_gives_equal_room_to_equal_ratios() -> None:
    drawn = chart([("a", "#000", [(1.0, 1.0), (8.0, 1.0), (64.0, 1.0)])], "", "", logarithmic="x")
    (path,) = re.findall(r"points='([^']*)'", drawn)
    first, middle, last = (float(pair.split(",")[0]) for pair in path.split())
    assert middle - first == pytest.approx(last - middle, abs=0.2)


def test_values_of_nothing_do_not_break_a_logarithmic_axis() -> None:
    parsed(chart([("a", "#000", [(0.0, 0.0), (5.0, 0.0)])], "s", "ms", logarithmic="xy"))
    assert "nothing measured" in cloud([Dot(1.0, 0.0, "1", "told", "#000")], "x", "y")


def test_bars_have_whiskers_where_there_is_an_interval_and_their_names_are_text() -> None:
    drawn = bars([Bar("<x>", 10.0, 8.0, 30.0, "10"), Bar("y", 5.0, None, None, "5")], "things")
    assert {"<x>", "y", "10", "5"} <= set(parsed(drawn))
    assert drawn.count("class=whisker") == 3
    assert all(float(x) <= 720 for x in re.findall(r"x2=([0-9.]+)", drawn))
    assert "nothing measured" in bars([], "things")


def test_a_cloud_numbers_its_dots_and_tells_what_they_are() -> None:
    drawn = cloud([Dot(10.0, 0.5, "1", "a & b", "#000"), Dot(20.0, 80.0, "2", "c", "#000", filled=False)], "commands/s", "ms")
    words = parsed(drawn)
    assert {"1", "2", "a & b", "c", "ms"} <= set(words)
    assert drawn.count("fill=none") == 1


def test_a_legend_names_several_lines() -> None:
    assert parsed(legend(LINES))[0] == "a"
    assert legend(LINES[:1]) == ""
