"""The report of a sweep: schema ``triskele.sweep/1`` (docs/experiments.md), and a line of CSV for each run. Pure.

Figures are ``loadgen.figures``', medians and intervals ``loadgen.intervals``'. A run that failed and has a result all the same counts: its rate has
no failed command in it, and the point tells of it. With a baseline each point is compared with its own, repeat by repeat: only runs of one repeat,
which met the same minutes, make a pair.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

import attrs

from loadgen.figures import Figures, figures_of
from loadgen.intervals import median_of, paired_ratio_of
from loadgen.machine import commit, machine, package_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from loadgen.sweep.folder import Outcome
    from loadgen.sweep.grid import Point
    from loadgen.sweep.plan import Plan

SCHEMA: Final = "triskele.sweep/1"

Report = dict[str, Any]


def build(plan: Plan, outcomes: Sequence[Outcome], *, started: str, finished: str) -> Report:
    """Put the report together; it is partial where runs are missing.

    Args:
        plan: The sweep.
        outcomes: Of the runs that are done.
        started: When it began, ISO 8601.
        finished: When it ended, or was interrupted.
    """
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    known = results[0] if results else {"machine": machine(), "commit": commit(), "version": package_version()}
    measured = {point.number: [figures_by_repeat(outcome) for outcome in outcomes if outcome.run.point == point] for point in plan.points}
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "about": plan.about,
        "version": known["version"],
        "commit": known["commit"],
        "machine": known["machine"],
        "started": started,
        "finished": finished,
        "partial": len(outcomes) < len(plan.runs()),
        "repeats": plan.repeats,
        "changes": plan.changes.words(),
        "file": plan.text,
        "axes": {axis.name: [step.name for step in axis.steps] for axis in plan.axes},
        "failures": [{"run": outcome.run.file, "point": outcome.run.point.name, "why": outcome.failure} for outcome in outcomes if outcome.failure],
        "warnings": list(mixture(results)),
        "points": [
            _point(plan, point, [outcome for outcome in outcomes if outcome.run.point == point], measured) for point in plan.points
        ],
    }  # fmt: skip


Measured = tuple[int, Figures]
"""A repeat and what it measured; no figures where it has no result."""


def figures_by_repeat(outcome: Outcome) -> Measured:
    """Return what a run measured."""
    return outcome.run.repeat, {} if outcome.result is None else figures_of(outcome.result)


def mixture(results: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Tell what makes the runs of one sweep, or of one folder, hard to compare."""
    for what, seen in (
        ("commits", {str(result["commit"]) for result in results}),
        ("versions", {str(result["version"]) for result in results}),
        ("machines", {str({name: value for name, value in result["machine"].items() if name != "load_average"}) for result in results}),
    ):
        if len(seen) > 1:
            yield f"its runs are of several {what}: {', '.join(sorted(seen))}"


def _point(plan: Plan, point: Point, outcomes: Sequence[Outcome], measured: dict[int, list[Measured]]) -> dict[str, Any]:
    own = measured[point.number]
    baseline = plan.baseline_of(point)
    return {
        "name": point.name,
        "flags": point.flags,
        "steps": dict(point.steps),
        "runs": [
            {"file": f"runs/{outcome.run.file}", "repeat": repeat, "failure": outcome.failure or None, "figures": figures}
            for outcome, (repeat, figures) in zip(outcomes, own, strict=True)
        ],
        "figures": medians([figures for _, figures in own]),
        "failed": sum(int(figures.get("failed") or 0) for _, figures in own),
        "unknown": sum(int(figures.get("unknown") or 0) for _, figures in own),
        "against": None if baseline is None else {"point": baseline.name, "figures": ratios(measured[baseline.number], own)},
    }


def medians(runs: Sequence[Figures]) -> dict[str, dict[str, float | int | None]]:
    """Return ``{figure: its median, interval and range}``; a figure that no run tells is left out."""
    found: dict[str, dict[str, float | int | None]] = {}
    for name in dict.fromkeys(name for figures in runs for name in figures):
        values = [value for figures in runs if (value := figures.get(name)) is not None]
        if values:
            found[name] = attrs.asdict(median_of(values))
    return found


def ratios(baseline: Sequence[Measured], own: Sequence[Measured]) -> dict[str, dict[str, float | None]]:
    """Return ``{figure: median of the ratios to the baseline, with its interval}``, over the repeats that both have."""
    theirs = dict(baseline)
    pairs = [(theirs[repeat], figures) for repeat, figures in own if repeat in theirs]
    found: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys(name for _, figures in pairs for name in figures):
        both = [(below, above) for one, other in pairs if (below := one.get(name)) is not None and (above := other.get(name)) is not None]
        ratio = paired_ratio_of([below for below, _ in both], [above for _, above in both])
        if ratio is not None:
            found[name] = attrs.asdict(ratio)
    return found


def to_csv(report: Report) -> str:
    """Return a header and one line for each run: point, repeat, failure, flags, figures."""
    points = report["points"]
    flags = list(dict.fromkeys(name for point in points for name in point["flags"]))
    names = list(dict.fromkeys(name for point in points for run in point["runs"] for name in run["figures"]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["point", "repeat", "failure", *(f"flag_{name}" for name in flags), *names])
    for point in points:
        for run in point["runs"]:
            cells = [*(point["flags"].get(name) for name in flags), *(run["figures"].get(name) for name in names)]
            writer.writerow([point["name"], run["repeat"], run["failure"], *cells])
    return text.getvalue()
