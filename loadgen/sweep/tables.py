"""A sweep's tables as text cells, for its page and for Markdown; and the Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadgen.figures import RATE, SHOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadgen.sweep.report import Report

Table = tuple[list[str], list[list[str]]]
"""Heads and rows."""

_FLOORS: Final = ("codec_floor_share", "wire_floor_share")
BRIEF: Final = (RATE, "strong_p50_ms", "strong_p99_ms", "causal_p50_ms", "fast_share", "syscalls_per_operation", *_FLOORS)
"""Figures of the table in Markdown and on a terminal."""
_AGAINST: Final = (RATE, "strong_p50_ms", "causal_p50_ms", "cpu_us_per_operation")


def table_of(report: Report, names: Sequence[str]) -> Table:
    """Return a row for each point: medians, the rate with its interval, what the baseline makes of it, what was lost.

    Args:
        report: Of a sweep.
        names: Figures to show; those that no run tells are left out where they are floors.
    """
    points = report["points"]
    names = [name for name in names if name not in _FLOORS or any(name in point["figures"] for point in points)]
    compared = any(point["against"] for point in points)
    heads = ["point", *(SHOWN[name].label for name in names), *(["rate over the baseline"] if compared else []), "failed + unknown"]
    rows = []
    for point in points:
        cells = [with_interval(point["figures"].get(name), name) if name == RATE else median_text(point["figures"].get(name), name) for name in names]
        against = [ratio_text((point["against"] or {}).get("figures", {}).get(RATE))] if compared else []
        rows.append([point["name"], *cells, *against, str(point["failed"] + point["unknown"])])
    return heads, rows


def against_of(report: Report) -> Table:
    """Return a row for each point that has a baseline: the ratios of rate, latency and cost."""
    names = [name for name in _AGAINST if any(name in (point["against"] or {}).get("figures", {}) for point in report["points"])]
    rows = [
        [f"{point['name']} over {point['against']['point']}", *(ratio_text(point["against"]["figures"].get(name)) for name in names)]
        for point in report["points"]
        if point["against"]
    ]
    return ["points", *(SHOWN[name].label.partition(",")[0] for name in names)], rows


def median_text(found: Mapping[str, Any] | None, name: str) -> str:
    """Return a median for people."""
    return SHOWN[name].text(found["median"] if found else None)


def with_interval(found: Mapping[str, Any] | None, name: str) -> str:
    """Return a median with its interval."""
    if found is None or found["low"] is None:
        return median_text(found, name)
    return f"{median_text(found, name)} ({SHOWN[name].text(found['low'])}-{SHOWN[name].text(found['high'])})"


def ratio_text(found: Mapping[str, Any] | None) -> str:
    """Return a ratio with its interval."""
    if found is None:
        return "-"
    ratio = f"{found['ratio']:.2f}"
    return ratio if found["low"] is None else f"{ratio} ({found['low']:.2f}-{found['high']:.2f})"


def intervals_line(report: Report) -> str:
    """Say what the brackets hold."""
    coverages = sorted({
        (found["runs"], found["coverage"]) for point in report["points"] if (found := point["figures"].get(RATE)) and found["coverage"] is not None
    })  # fmt: skip
    told = ", ".join(f"{runs} runs: {coverage:.0%}" for runs, coverage in coverages)
    return f"Medians; in brackets what holds the true median with 95 %, or as surely as the runs allow ({told})." if told else "Single runs."


def measured_on(report: Report) -> str:
    """Say what was measured, where and when."""
    machine = report["machine"]
    where = ", ".join(str(machine[name]) for name in ("processor", "system", "python") if name in machine)
    changes = f", {report['changes']}" if report["changes"] else ""
    commit = report["commit"] or "unknown"
    return (
        f"{report['repeats']} repeats{changes}; commit {commit}; {where}, {machine.get('cores')} cores; {report['started']} to {report['finished']}"
    )


def markdown(report: Report) -> str:
    """Return the report as Markdown: one table, and another one against the baseline if there is one."""
    partial = " (partial)" if report["partial"] else ""
    parts = [f"# {report['name']}{partial}", *([report["about"]] if report["about"] else []), measured_on(report), intervals_line(report)]
    parts += [f"**{warning}**" for warning in report["warnings"]]
    parts += [f"failed: {failure['point']}: {failure['why']}" for failure in report["failures"]]
    parts.append(markdown_table(table_of(report, BRIEF)))
    if any(point["against"] for point in report["points"]):
        parts.append(markdown_table(against_of(report)))
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """Return a table as Markdown."""
    heads, rows = table
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (heads, ["---"] * len(heads), *rows))
