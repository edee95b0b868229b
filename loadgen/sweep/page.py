"""The report of a sweep as one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from loadgen.chart import PALETTE, Bar, Dot, Line, Whisker, bars, chart, cloud, legend
from loadgen.figures import RATE, SHOWN
from loadgen.latency import PERCENTILES
from loadgen.markup import document, table, wide
from loadgen.sweep.grid import ALLOWED
from loadgen.sweep.tables import against_of, intervals_line, measured_on, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loadgen.sweep.report import Report

KINDS: Final = {"strong": "#1f77c9", "causal": "#c2571a"}
SERIES_POINTS_MAX: Final = 150
"""Seconds of a run that are drawn each for itself; longer runs are drawn in means."""
_NUMBERS_MIN: Final = 2
_STREAMS: Final = ("clients", "threads")
_WIDE_RANGE: Final = 8
"""An axis whose largest value is so many times its smallest is drawn logarithmically."""

Series = dict[str, list[list[list[float]]]]
"""``{point: [throughput_series of each run]}``."""
Point = dict[str, Any]


def page(report: Report, series: Series) -> str:
    """Return the page."""
    points = [point for point in report["points"] if RATE in point["figures"]]
    title = f"Triskele sweep: {report['name']}{' (partial)' if report['partial'] else ''}"
    parts = [f"<h1>{escape(title)}</h1>"]
    if report["about"]:
        parts.append(f"<p>{escape(report['about'])}</p>")
    parts.append(f"<p class=muted>{escape(measured_on(report))}. {escape(intervals_line(report))}</p>")
    parts += [f"<p class=bad>{escape(warning)}</p>" for warning in _warnings(report)]
    heads, rows = table_of(report, tuple(SHOWN))
    parts.append(wide(table(heads, [[f"{number}. {row[0]}", *row[1:]] for number, row in enumerate(rows, 1)])))
    parts += _against(report)
    parts += ["<h2>Throughput</h2>", wide(bars([_bar(point, RATE) for point in points], SHOWN[RATE].label))]
    parts += _scaling(points)
    parts += ["<h2>Throughput against latency</h2>", _LATENCY_NOTE, wide(cloud(list(_dots(report["points"])), "commands/s", "ms"))]
    parts += _percentiles(points)
    parts += _batches(points)
    parts += _over_time(points, series)
    parts += ["<h2>The sweep's file</h2>", wide(f"<pre>{escape(report['file'])}</pre>")]
    return document(title, parts)


_LATENCY_NOTE: Final = (
    f"<p class=legend><span><i style='background:{KINDS['strong']}'></i>strong</span> "
    f"<span><i style='background:{KINDS['causal']}'></i>causal</span> a dot is p50, a ring p99; the number is the point's in the table</p>"
)


def _warnings(report: Report) -> Iterator[str]:
    if report["partial"]:
        done = sum(len(point["runs"]) for point in report["points"])
        yield f"Partial: {done} of {len(report['points']) * report['repeats']} runs are here."
    yield from report["warnings"]
    for failure in report["failures"]:
        yield f"Failed: {failure['point']} ({failure['run']}): {failure['why']}"


def _against(report: Report) -> list[str]:
    if not any(point["against"] for point in report["points"]):
        return []
    note = "<p class=muted>Medians of the ratios of the runs of one repeat; in brackets as above.</p>"
    return ["<h2>Against the baseline</h2>", note, wide(table(*against_of(report)))]


def _bar(point: Point, name: str) -> Bar:
    found, shown = point["figures"][name], SHOWN[name]
    low, high = (None if found[end] is None else found[end] * shown.scale for end in ("low", "high"))
    return Bar(point["name"], found["median"] * shown.scale, low, high, shown.text(found["median"]))


def _dots(points: Sequence[Point]) -> Iterator[Dot]:
    for number, point in enumerate(points, 1):
        for kind, colour in KINDS.items():
            for percentile in ("p50", "p99"):
                found = point["figures"].get(f"{kind}_{percentile}_ms")
                if found and RATE in point["figures"]:
                    rate = point["figures"][RATE]["median"]
                    told = f"{point['name']}: {kind} {percentile} {found['median']:.2f} ms at {rate:,.0f}/s"
                    yield Dot(rate, found["median"], str(number), told, colour, filled=percentile == "p50")


# ---------------------------------------------------------------------------------------------------------------------- scaling


def _scaling(points: Sequence[Point]) -> list[str]:
    """Return a chart for each number that moves: the rate over it, a line for each combination of everything else that moves."""
    parts: list[str] = []
    for name in numbers_of(points):
        lines, whiskers = scaling_lines(points, name)
        xs = sorted({x for _, _, own in lines for x, _ in own})
        scale = "x" if xs[0] > 0 and xs[-1] >= _WIDE_RANGE * xs[0] else ""
        ticks = [(x, f"{x:g}") for x in xs]
        drawn = chart(lines, "", SHOWN[RATE].label, ticks=ticks, whiskers=whiskers, logarithmic=scale, named=False)
        parts += [f"<h2>Throughput over {escape(name.replace('_', ' '))}</h2>", wide(drawn), legend(lines)]
    return parts


def moving(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return of each point the flags that differ between points; streams stand for the client processes and threads that make them."""
    names = dict.fromkeys(name for point in points for name in point["flags"])
    every = [{name: point["flags"].get(name, ALLOWED[name].default) for name in names} for point in points]
    if names.keys() & set(_STREAMS):
        for flags in every:
            clients, threads = (int(flags.pop(name, ALLOWED[name].default)) for name in _STREAMS)
            flags["streams"] = clients * threads
    fixed = {name for name in every[0] if len({str(flags[name]) for flags in every}) == 1} if every else set()
    return [{name: value for name, value in flags.items() if name not in fixed} for flags in every]


def numbers_of(points: Sequence[Point]) -> list[str]:
    """Return the names of numeric flags that have at least two values where everything else is equal."""
    every = moving(points)
    found = []
    for name in every[0] if every else ():
        numeric = all(isinstance(flags[name], int | float) and not isinstance(flags[name], bool) for flags in every)
        if numeric and any(len({x for x, _ in own}) >= _NUMBERS_MIN for _, _, own in scaling_lines(points, name)[0]):
            found.append(name)
    return found


def scaling_lines(points: Sequence[Point], name: str) -> tuple[list[Line], list[Whisker]]:
    """Return the rate over a flag: a line for each combination of the other flags that move, and the intervals as whiskers."""
    groups: dict[str, list[tuple[float, dict[str, Any]]]] = {}
    for point, flags in zip(points, moving(points), strict=True):
        others = ", ".join(f"{flag.replace('_', ' ')} {value}" for flag, value in flags.items() if flag != name)
        groups.setdefault(others or "all", []).append((float(flags[name]), point["figures"][RATE]))
    lines: list[Line] = []
    whiskers: list[Whisker] = []
    for number, (others, own) in enumerate(groups.items()):
        colour = PALETTE[number % len(PALETTE)]
        lines.append((others, colour, sorted((x, found["median"]) for x, found in own)))
        whiskers += [(colour, x, found["low"], found["high"]) for x, found in own if found["low"] is not None]
    return lines, whiskers


# ------------------------------------------------------------------------------------------------------------------ other charts


def _percentiles(points: Sequence[Point]) -> list[str]:
    """Return how latency is distributed, a line for each point."""
    names = [*PERCENTILES, "max"]
    parts: list[str] = []
    for kind in KINDS:
        lines: list[Line] = []
        for number, point in enumerate(points):
            values = [point["figures"].get(f"{kind}_{name}_ms") for name in names]
            own = [(float(place), float(value["median"])) for place, value in enumerate(values) if value and value["median"] > 0]
            if own:
                lines.append((point["name"], PALETTE[number % len(PALETTE)], own))
        if lines:
            drawn = chart(lines, "", "ms", labels=[name.replace("_", ".") for name in names], logarithmic="y", named=False)
            parts += [f"<h3>{kind}</h3>", wide(drawn), legend(lines)]
    return ["<h2>How latency is distributed</h2>", *parts] if parts else []


def _batches(points: Sequence[Point]) -> list[str]:
    parts: list[str] = []
    for name in ("commands_per_frame", "frames_per_send"):
        shown = [point for point in points if name in point["figures"]]
        if shown:
            parts.append(wide(bars([_bar(point, name) for point in shown], SHOWN[name].label)))
    return ["<h2>Batches</h2><p class=muted>Of the leader.</p>", *parts] if parts else []


def _over_time(points: Sequence[Point], series: Mapping[str, list[list[list[float]]]]) -> list[str]:
    """Return the rate of every run over its time, a chart for each point."""
    parts: list[str] = []
    for point in points:
        runs = [run for run in series.get(point["name"], []) if len(run) > 1]
        lines: list[Line] = [(f"run {number}", PALETTE[(number - 1) % len(PALETTE)], thinned(run)) for number, run in enumerate(runs, 1)]
        if lines:
            parts += [f"<h3>{escape(point['name'])}</h3>", wide(chart(lines, "s", SHOWN[RATE].label, named=False)), legend(lines)]
    return ["<h2>Throughput over time</h2>", *parts] if parts else []


def thinned(run: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return a run's rate over time, means of so many seconds that it can be drawn."""
    size = -(-len(run) // SERIES_POINTS_MAX)
    return [(float(part[0][0]), sum(row[1] for row in part) / len(part)) for start in range(0, len(run), size) if (part := run[start : start + size])]
