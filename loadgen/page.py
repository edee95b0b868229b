"""The report as one HTML file that needs nothing else: figures, tables, and charts as inline SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from loadgen.chart import chart
from loadgen.latency import PERCENTILES
from loadgen.markup import document, table
from loadgen.report import CHECKED, CLOCK_SECONDS, late_lines, without_counters
from loadgen.window import STEPS_PER_SECOND

if TYPE_CHECKING:
    from loadgen.chart import Line
    from loadgen.report import Result

_COLOURS: Final = {"strong": "#1f5fa8", "causal": "#c2571a", "fast": "#2c7a4b", "slow": "#b03a48"}


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
        _throughput(result),
        "<h2>Latency</h2>",
        _latency_table(result),
        *(f"<p>{escape(line)}</p>" for line in late_lines(result)),
        chart(_latency_lines(result), "percentile", "ms", labels=["mean", *(name.replace("_", ".") for name in PERCENTILES)]),
        "<h2>Paths of logged strong commands</h2>",
        *_paths(result),
        "<h2>Processes</h2>",
        _process_table(result),
        *_floors(result),
        "<h2>Settings</h2>",
        table(["setting", "value"], [[name, str(value)] for name, value in settings.items()]),
    ]
    return document(title, parts)


def _machine(machine: dict[str, Any]) -> str:
    return f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, {machine['python']}"


def _failures(result: Result) -> list[str]:
    if not result["reasons"]:
        return []
    return ["<h2>What failed</h2>", table(["reason", "operations"], [[reason, f"{count:,}"] for reason, count in result["reasons"].items()])]


def _throughput(result: Result) -> str:
    seconds = [(float(second), float(count)) for second, count in result["throughput_series"]]
    if not seconds:
        return "<p class=muted>the window was shorter than a second</p>"
    return chart([("operations", _COLOURS["strong"], seconds)], "s", "operations/s")


def _check(result: Result) -> list[str]:
    check = result["check"]
    if not check:
        return []
    rows = [[name.replace("_", " "), check[name]] for name in CHECKED]
    parts = ["<h2>Check of the history</h2>", table(["promise", "holds"], rows)]
    parts.append(f"<p class=muted>{check['operations_checked']:,} operations, the warm-up's among them, in {check['seconds']:.1f} s</p>")
    parts += [f"<p>The check is vacuous: {escape(check['vacuous'])}.</p>"] if check["vacuous"] else []
    parts += [f"<p>{escape(name.replace('_', ' '))}: {escape(reason)}</p>" for name, reason in check["reasons"].items()]
    for name, found in check["counterexamples"].items():
        parts.append(f"<h3>{escape(name.replace('_', ' '))}: {escape(found['pattern'])}</h3><p>{escape(found['why'])}</p>")
        operations = [[str(operation["line"]), operation["text"]] for operation in found["operations"]]
        parts.append(table(["line", f"operation in {check['history']}"], operations))
    return parts


def _latency_table(result: Result) -> str:
    names = ("mean", *PERCENTILES, "max")
    rows = [
        [group.replace("_", " "), f"{figures['count']:,}", *(f"{figures[name]:.3f}" for name in names)]
        for group, figures in result["latency_ms"].items()
        if figures["count"]
    ]
    return table(["ms", "count", *(name.replace("_", ".") for name in names)], rows)


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
    whole = int(result["duration_seconds"] * STEPS_PER_SECOND + CLOCK_SECONDS)  # the last row may be of less than a tenth: no rate
    series = result["paths_series"][:whole]
    lines: list[Line] = [
        ("fast", _COLOURS["fast"], [(row[0], STEPS_PER_SECOND * row[1]) for row in series]),
        ("slow", _COLOURS["slow"], [(row[0], STEPS_PER_SECOND * row[2]) for row in series]),
    ]
    return [f"<p>{result['paths']['fast']:.2%} by the fast path</p>", chart(lines, "s", "commands/s")]


def _process_table(result: Result) -> str:
    seconds = result["duration_seconds"] or 1.0
    heads = ["process", "role", "cpu", "MiB", "calls/operation", "frames/send", "commands/frame", "MB sent"]
    heads += ["longest turn, ms", "CPU of a turn at most, ms"]
    rows = []
    for replica in result["replicas"]:
        if replica["cpu_seconds"] is None:
            rows.append([f"replica {replica['id']}", f"no counters: {without_counters(replica)}", *[""] * 8])
            continue
        ratios = [_number(replica[name]) for name in ("syscalls_per_operation", "frames_per_send", "commands_per_frame")]
        cpu, memory = f"{replica['cpu_seconds'] / seconds:.0%}", f"{(replica['rss_bytes'] or 0) / 2**20:.1f}"
        turns = [_number(replica[name], 1000.0) for name in ("turn_seconds_max", "turn_cpu_seconds_max")]
        rows.append([f"replica {replica['id']}", str(replica["role"]), cpu, memory, *ratios, f"{replica['bytes_sent'] / 1e6:.1f}", *turns])
    for number, client in enumerate(result["clients"]):
        cells = [f"client {number}", "", f"{client['cpu_seconds'] / seconds:.0%}", f"{client['rss_bytes'] / 2**20:.1f}"]
        rows.append([*cells, *[""] * 6])
    return table(heads, rows)


def _number(value: float | None, scale: float = 1.0) -> str:
    return "" if value is None else f"{value * scale:.3g}"


def _floors(result: Result) -> list[str]:
    if not result["floors"]:
        return []
    rate = result["throughput_per_second"]
    rows = [[name.removesuffix("_per_second"), f"{value:,.0f}", f"{rate / value:.1%}" if value else ""] for name, value in result["floors"].items()]
    return ["<h2>Floors</h2>", table(["floor", "operations/s", "the run's share"], rows)]
