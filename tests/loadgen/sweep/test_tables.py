from __future__ import annotations

from typing import Any

from loadgen.sweep.report import build
from loadgen.sweep.tables import BRIEF, against_of, intervals_line, markdown, measured_on, table_of
from tests.loadgen.sweep.stand import TEXT, outcomes, plan

TIMES = {"started": "2026-01-01", "finished": "2026-01-02"}


def report(rate: Any, text: str = TEXT) -> dict[str, Any]:
    swept = plan(text, repeats=3)
    return build(swept, outcomes(swept, rate), **TIMES)


def test_a_row_has_medians_the_interval_of_the_rate_and_what_the_baseline_makes_of_it() -> None:
    heads, rows = table_of(report(lambda run: 1000.0 * run.repeat * (2 if run.point.steps["point"] == "many" else 1)), BRIEF)
    assert heads[:2] == ["point", "commands/s"]
    assert heads[-2:] == ["rate over the baseline", "failed + unknown"]
    assert rows[0][:3] == ["pendings 5, few", "2,000 (1,000-3,000)", "2.00"]
    assert [row[-2] for row in rows] == ["-", "2.00 (2.00-2.00)", "-", "2.00 (2.00-2.00)"]
    assert {row[-1] for row in rows} == {"0"}
    assert not any("floor" in head for head in heads)


def test_a_point_without_a_result_has_dashes() -> None:
    heads, rows = table_of(report(lambda run: None if run.point.number == 0 else 1000.0), BRIEF)
    assert rows[0] == ["pendings 5, few", *["-"] * (len(heads) - 2), "0"]
    assert rows[1][-2] == "-"


def test_floors_are_shown_where_they_were_measured() -> None:
    found = report(lambda _run: 1000.0)
    found["points"][0]["figures"]["codec_floor_share"] = {"median": 0.25, "low": None, "high": None}
    heads, rows = table_of(found, BRIEF)
    place = heads.index("of the codec floor, %")
    assert [row[place] for row in rows] == ["25.0", "-", "-", "-"]


def test_points_against_their_baseline_have_a_table_of_their_own() -> None:
    heads, rows = against_of(report(lambda run: 1000.0 * (2 if run.point.steps["point"] == "many" else 1)))
    assert heads == ["points", "commands/s", "strong p50", "causal p50"]  # what a command costs is not known: a replica did not answer
    assert rows[0] == ["pendings 5, many over pendings 5, few", "2.00 (2.00-2.00)", "1.00 (1.00-1.00)", "1.00 (1.00-1.00)"]


def test_what_the_brackets_hold_is_said() -> None:
    assert "3 runs: 75%" in intervals_line(report(lambda _run: 1.0))
    assert intervals_line(report(lambda run: 1.0 if run.repeat == 1 else None)) == "Single runs."


def test_the_markdown_has_the_machine_the_table_and_what_went_wrong() -> None:
    text = markdown(report(lambda run: None if run.point.number == 0 else 1000.0, TEXT.replace('"many"', '"a | b"').replace('"few"', '"f"')))
    assert text.startswith("# two by two\n\na try\n\n3 repeats, --repeats 3; commit unknown; a <processor>, Linux, CPython, 2 cores; 2026-01-01 to ")
    assert "failed: pendings 5, f: ended with status 1: why" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert "| pendings 5, a / b | 1,000 (1,000-1,000) |" in lines[3]
    assert len({line.count("|") for line in lines[:6]}) == 1


def test_a_partial_report_says_so() -> None:
    swept = plan(repeats=3)
    found = build(swept, outcomes(swept, lambda _run: 1.0)[:5], **TIMES)
    assert markdown(found).startswith("# two by two (partial)\n")
    assert measured_on(found).startswith("3 repeats, --repeats 3; commit unknown; ")
