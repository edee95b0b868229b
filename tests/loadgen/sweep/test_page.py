"""The page is well formed, needs nothing else, escapes what users wrote, and draws what there is."""

from __future__ import annotations

from statistics import mean
from typing import Any

import pytest

from loadgen.sweep.page import numbers_of, page, scaling_lines, thinned
from loadgen.sweep.report import build
from loadgen.sweep.run import series_of
from tests.loadgen.balance import parsed
from tests.loadgen.sweep.stand import TEXT, outcomes, plan

TIMES = {"started": "2026-01-01", "finished": "2026-01-02"}


def shown(text: str, rate: Any, *, keep: int = 1000) -> tuple[dict[str, Any], str]:
    swept = plan(text, repeats=2)
    found = outcomes(swept, rate)[:keep]
    report = build(swept, found, **TIMES)
    return report, page(report, series_of(found))


def test_the_page_is_well_formed_needs_nothing_else_and_escapes_what_users_wrote() -> None:
    text = TEXT.replace('"few"', '"<script>few"').replace("a try", "<b>about</b>").replace("two by two", "<i>name</i>") + "# <u>note</u>\n"
    report, drawn = shown(text, lambda run: 1000.0 * run.repeat)
    words = parsed(drawn)
    assert "http" not in drawn
    assert not any(tag in drawn for tag in ("<script", "<b>about", "<i>name", "<u>note"))
    assert {"Throughput", "Throughput over pendings", "Throughput over streams", "Against the baseline", "Throughput against latency"} <= set(words)
    assert {"How latency is distributed", "Batches", "Throughput over time", "The sweep's file", "<b>about</b>"} <= set(words)
    assert any(report["file"] in word for word in words)


def test_failures_and_missing_runs_stand_above_everything() -> None:
    _, drawn = shown(TEXT, lambda run: None if run.point.number == 0 else 1.0, keep=7)
    words = parsed(drawn)
    assert "Triskele sweep: two by two (partial)" in words
    assert "Partial: 7 of 8 runs are here." in words
    assert any(word.startswith("Failed: pendings 5, few (001-") for word in words)


def test_a_sweep_without_any_result_has_a_page() -> None:
    for keep in (0, 1000):
        _, drawn = shown(TEXT, lambda _run: None, keep=keep)
        assert "nothing measured" in parsed(drawn)


def test_a_number_that_moves_is_an_axis_and_streams_stand_for_what_makes_them() -> None:
    report, _ = shown(TEXT, lambda _run: 1000.0)
    assert set(numbers_of(report["points"])) == {"pendings", "streams"}
    lines, whiskers = scaling_lines(report["points"], "streams")
    assert [(name, [x for x, _ in own]) for name, _, own in lines] == [("pendings 5", [2.0, 16.0]), ("pendings 15", [2.0, 16.0])]
    assert len(whiskers) == 4


def test_a_flag_that_only_some_points_say_has_its_default_elsewhere() -> None:
    report, _ = shown("[[point]]\nname = 'a'\npendings = 5\n[[point]]\nname = 'b'\n", lambda _run: 1000.0)
    ((name, _, own),), _ = scaling_lines(report["points"], "pendings")
    assert (name, [x for x, _ in own]) == ("all", [5.0, 15.0])


def test_words_are_no_axis_and_neither_are_points_that_differ_in_everything() -> None:
    report, _ = shown("[[point]]\nmode = 'ho'\npendings = 5\n[[point]]\nmode = 'ht'\npendings = 15\n", lambda _run: 1000.0)
    assert numbers_of(report["points"]) == []


@pytest.mark.parametrize(("seconds", "each"), [(1, 1), (150, 1), (151, 2), (1500, 10), (1501, 11)])
def test_long_runs_are_drawn_in_means(seconds: int, each: int) -> None:
    rates = [float(second * second % 97) for second in range(seconds)]
    found = thinned([[float(second), rate] for second, rate in enumerate(rates)])
    assert [second for second, _ in found] == list(range(0, seconds, each))
    assert [rate for _, rate in found] == [pytest.approx(mean(rates[start : start + each])) for start in range(0, seconds, each)]
