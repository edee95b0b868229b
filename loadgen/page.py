"""The report as one HTML file that needs nothing else: figures, tables, and charts as inline SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from loadgen.latency import PERCENTILES
from loadgen.report import CHECKED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.report import Result

_WIDTH: Final = 720
_HEIGHT: Final = 220
_LEFT: Final = 64
_BOTTOM: Final = 28
_COLOURS: Final = {"strong": "#1f5fa8", "causal": "#c2571a", "fast": "#2c7a4b", "slow": "#b03a48"}
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2330;background:#fff}
h1{font-size:1.5rem;margin-bottom:.2rem} h2{font-size:1.1rem;margin:2rem 0 .4rem;border-bottom:1px solid #d5dae3}
table{border-collapse:collapse;font-variant-numeric:tabular-nums} th,td{padding:.15rem .7rem;text-align:right;border-bottom:1px solid #e6e9ef}
th:first-child,td:first-child{text-align:left} th{font-weight:600;color:#4a5568} .big{font-size:1.15rem} .muted{color:#5b6472}
svg{max-width:100%;height:auto} svg text{font:11px system-ui,sans-serif;fill:#5b6472}
@media(prefers-color-scheme:dark){body{color:#e3e7ee;background:#14181f} th,.muted,svg text{color:#9aa5b5;fill:#9aa5b5} th,td{border-color:#2b323d}}
"""

Line = tuple[str, str, list[tuple[float, float]]]
"""A chart's line: name, colour, points."""


def page(result: Result) -> str:
    """Return the report of a result."""
    settings = result["settings"]
    title = f"{result['throughput_per_second']:,.0f} operations a second"
    streams = f"{settings['clients']} x {settings['threads']} streams x {settings['pendings']} in flight"
    done = f"{result['operations']:,} operations in {result['duration_seconds']:.2f} s; failed {result['failed']}, unknown {result['unknown']}"
    version = f"version {result['version']}, commit {result['commit'] or 'unknown'}"
    parts = [
        f"<h1>Triskele load: {escape(title)}</h1>",
        f"<p class=muted>{escape(streams)}, workload {escape(settings['workload'])}; {escape(version)}; {escape(_machine(result['machine']))}</p>",
        f"<p class=big>{done}; bottleneck: {escape(result['bottleneck'])}</p>",
        *_failures(result),
        *_check(result),
        "<h2>Throughput</h2>",
        chart([("operations", _COLOURS["strong"], [(second, count) for second, count in result["throughput_series"]])], "s", "operations/s"),
        "<h2>Latency</h2>",
        _latency_table(result),
        chart(_latency_lines(result), "percentile", "ms", labels=["mean", *(name.replace("_", ".") for name in PERCENTILES)]),
        "<h2>Paths of logged strong commands</h2>",
        *_paths(result),
        "<h2>Processes</h2>",
        _process_table(result),
        *_floors(result),
        "<h2>Settings</h2>",
        _table(["setting", "value"], [[name, str(value)] for name, value in settings.items()]),
    ]
    head = f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(title)}</title>"
    return f"{head}<style>{_STYLE}</style>{''.join(parts)}</html>\n"


def chart(lines: Sequence[Line], x_unit: str, y_unit: str, *, labels: Sequence[str] = ()) -> str:
    """Return a line chart from zero as SVG.

    Args:
        lines: at least one; a line of one point is drawn as a dot.
        x_unit: named at the right end.
        y_unit: named at the top.
        labels: for x = 0, 1, …; without them x is a number.
    """
    points = [point for _, _, own in lines for point in own]
    if not points:
        return "<p class=muted>nothing measured</p>"
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    top = nice(max(y for _, y in points))
    width, height = _WIDTH - _LEFT - 12, _HEIGHT - _BOTTOM - 18

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        return round(_LEFT + across * width, 1), round(18 + height * (1 - y / top), 1)

    parts = [f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role=img>", f"<text x={_LEFT} y=11>{escape(y_unit)}</text>"]
    for step in range(5):
        y = place(x_low, top * step / 4)[1]
        parts.append(f"<line x1={_LEFT} y1={y} x2={_WIDTH - 12} y2={y} stroke='#8884'></line>")
        parts.append(f"<text x={_LEFT - 6} y={y + 4} text-anchor=end>{top * step / 4:,.6g}</text>")
    ticks = [(float(number), label) for number, label in enumerate(labels)] or [(x_low, f"{x_low:g}"), (x_high, f"{x_high:g} {x_unit}")]
    for x, label in ticks:
        parts.append(f"<text x={place(x, 0)[0]} y={_HEIGHT - 10} text-anchor=middle>{escape(label)}</text>")
    for number, (name, colour, own) in enumerate(lines):
        places = [place(x, y) for x, y in own]
        path = " ".join(f"{x},{y}" for x, y in places)
        dots = len(places) == 1
        drawn = f"<circle cx={places[0][0]} cy={places[0][1]} r=3 fill='{colour}'></circle>" if dots else ""
        parts.append(drawn or f"<polyline points='{path}' fill=none stroke='{colour}' stroke-width=2></polyline>")
        if len(lines) > 1:
            parts.append(f"<text x={_LEFT + 110 + 90 * number} y=11 style='fill:{colour}'>{escape(name)}</text>")
    return "".join([*parts, "</svg>"])


def nice(value: float) -> float:
    """Return a round number at or above a value: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= value)


def _machine(machine: dict[str, Any]) -> str:
    return f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, {machine['python']}"


def _failures(result: Result) -> list[str]:
    if not result["reasons"]:
        return []
    return ["<h2>What failed</h2>", _table(["reason", "operations"], [[reason, f"{count:,}"] for reason, count in result["reasons"].items()])]


def _check(result: Result) -> list[str]:
    check = result["check"]
    if not check:
        return []
    rows = [[name.replace("_", " "), check[name]] for name in CHECKED]
    parts = ["<h2>Check of the history</h2>", _table(["promise", "holds"], rows)]
    parts.append(f"<p class=muted>{check['operations_checked']:,} operations, the warm-up's among them, in {check['seconds']:.1f} s</p>")
    parts += [f"<p>{escape(name.replace('_', ' '))}: {escape(reason)}</p>" for name, reason in check["reasons"].items()]
    for name, found in check["counterexamples"].items():
        parts.append(f"<h3>{escape(name.replace('_', ' '))}: {escape(found['pattern'])}</h3><p>{escape(found['why'])}</p>")
        operations = [[str(operation["line"]), operation["text"]] for operation in found["operations"]]
        parts.append(_table(["line", f"operation in {check['history']}"], operations))
    return parts


def _latency_table(result: Result) -> str:
    names = ("mean", *PERCENTILES, "max")
    rows = [
        [group.replace("_", " "), f"{figures['count']:,}", *(f"{figures[name]:.3f}" for name in names)]
        for group, figures in result["latency_ms"].items()
        if figures["count"]
    ]
    return _table(["ms", "count", *(name.replace("_", ".") for name in names)], rows)


def _latency_lines(result: Result) -> list[Line]:
    lines: list[Line] = []
    for group in ("strong", "causal"):
        figures = result["latency_ms"][group]
        if figures["count"]:
            lines.append((group, _COLOURS[group], [(float(place), figures[name]) for place, name in enumerate(("mean", *PERCENTILES))]))
    return lines


def _paths(result: Result) -> list[str]:
    if result["paths"]["fast"] is None:
        return ["<p class=muted>none in this run</p>"]
    series = result["paths_series"]
    lines: list[Line] = [
        ("fast", _COLOURS["fast"], [(row[0], 10 * row[1]) for row in series]),
        ("slow", _COLOURS["slow"], [(row[0], 10 * row[2]) for row in series]),
    ]
    return [f"<p>{result['paths']['fast']:.2%} by the fast path</p>", chart(lines, "s", "commands/s")]


def _process_table(result: Result) -> str:
    seconds = result["duration_seconds"] or 1.0
    heads = ["process", "role", "cpu", "MiB", "calls/operation", "frames/send", "commands/frame", "MB sent", "longest turn, ms"]
    rows = []
    for replica in result["replicas"]:
        if replica["cpu_seconds"] is None:
            rows.append([f"replica {replica['id']}", "no counters", *[""] * 7])
            continue
        ratios = [_number(replica[name]) for name in ("syscalls_per_operation", "frames_per_send", "commands_per_frame")]
        cpu, memory = f"{replica['cpu_seconds'] / seconds:.0%}", f"{(replica['rss_bytes'] or 0) / 2**20:.1f}"
        longest = _number((replica["turn_seconds_max"] or 0) * 1000)
        rows.append([f"replica {replica['id']}", str(replica["role"]), cpu, memory, *ratios, f"{replica['bytes_sent'] / 1e6:.1f}", longest])
    for number, client in enumerate(result["clients"]):
        cells = [f"client {number}", "", f"{client['cpu_seconds'] / seconds:.0%}", f"{client['rss_bytes'] / 2**20:.1f}"]
        rows.append([*cells, *[""] * 5])
    return _table(heads, rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _floors(result: Result) -> list[str]:
    if not result["floors"]:
        return []
    rate = result["throughput_per_second"]
    rows = [[name.removesuffix("_per_second"), f"{value:,.0f}", f"{rate / value:.1%}" if value else ""] for name, value in result["floors"].items()]
    return ["<h2>Floors</h2>", _table(["floor", "operations/s", "the run's share"], rows)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
