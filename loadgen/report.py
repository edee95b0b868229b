"""The result of a run: schema ``triskele.load/1`` (docs/performance.md), the table for a terminal, and a line of CSV. Pure.

Histograms of all client processes are merged before percentiles are taken. ``throughput_series`` has whole seconds only (none of a window
shorter than one); ``paths_series`` a row for every tenth, and the last for what is left. ``latency_ms.strong`` and ``causal`` are their reads and
writes together.

Who is the bottleneck: *clients* if every client process kept a core at least 90 % busy, or if all cores together were and the clients took more
of them than the replicas; *replicas* if one of them kept a core 90 % busy, or if all cores were busy otherwise; *none* if there was processor
time left: then latency, the number of commands in flight or the open loop's rate sets the pace.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

from loadgen.latency import PERCENTILES, decode, merge, summary
from loadgen.window import MEASURED, STEPS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA: Final = "triskele.load/1"
BUSY: Final = 0.9
CLOCK_SECONDS: Final = 1e-6
"""What the difference of two moments may lack of a whole second."""
GROUPS: Final = {
    "strong": ("strong_read", "strong_write"),
    "causal": ("causal_read", "causal_write"),
    "strong_read": ("strong_read",),
    "strong_write": ("strong_write",),
    "causal_read": ("causal_read",),
    "causal_write": ("causal_write",),
}

CHECKED: Final = ("linearizable", "sessions", "causal", "hybrid", "exactly_once")
"""What a checked history was checked for."""

Result = dict[str, Any]


def build(
    *,
    settings: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    replicas: Sequence[Mapping[str, Any]],
    machine: Mapping[str, Any],
    version: str,
    commit: str | None,
    floors: Mapping[str, float] | None = None,
) -> Result:
    """Put a result together.

    Args:
        settings: every flag.
        results: of the client processes, as they told them.
        replicas: as ``Observer.report`` gives them.
        machine: as ``loadgen.machine.machine`` gives it; its ``cores`` decide the bottleneck.
        version: of the program.
        commit: the program's, if known.
        floors: measured beside the run, if asked for.
    """
    operations = sum(result["operations"] for result in results)
    duration = max(result["end"] for result in results) - min(result["start"] for result in results)
    rows = added([result["rows"] for result in results])
    fast, slow = sum(row[1] for row in rows), sum(row[2] for row in rows)
    clients = [{name: result[name] for name in ("cpu_seconds", "rss_bytes", "operations")} for result in results]
    reasons: dict[str, int] = {}
    for result in results:
        for reason, count in result["reasons"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    return {
        "schema": SCHEMA,
        "version": version,
        "commit": commit,
        "machine": dict(machine),
        "settings": dict(settings),
        "operations": operations,
        "failed": sum(result["failed"] for result in results),
        "unknown": sum(result["unknown"] for result in results),
        "reasons": reasons,
        "drained": drained(results),
        "duration_seconds": round(duration, 6),
        "throughput_per_second": round(operations / duration, 1) if duration > 0 else 0.0,
        "throughput_series": by_second(rows, duration),
        "latency_ms": latencies(results),
        "paths": {"fast": round(fast / (fast + slow), 6), "slow": round(slow / (fast + slow), 6)} if fast + slow else {"fast": None, "slow": None},
        "paths_series": [[round(step / STEPS_PER_SECOND, 1), row[1], row[2]] for step, row in enumerate(rows)],
        "replicas": [dict(replica) for replica in replicas],
        "clients": clients,
        "bottleneck": bottleneck(
            [client["cpu_seconds"] for client in clients], [replica["cpu_seconds"] for replica in replicas], duration, int(machine["cores"])
        ),
        "backlog": {name: sum(result[f"backlog_{name}"] for result in results) for name in ("max", "end")} if "backlog_max" in results[0] else None,
        "floors": dict(floors) if floors else None,
        "check": None,
    }


def added(series: Sequence[Sequence[Sequence[int]]]) -> list[list[int]]:
    """Return the sum of the processes' rows; one that ended earlier adds nothing to the rest."""
    rows = [[0, 0, 0] for _ in range(max(map(len, series)))]
    for process in series:
        for row, own in zip(rows, process, strict=False):
            for place, count in enumerate(own):
                row[place] += count
    return rows


def drained(results: Sequence[Mapping[str, Any]]) -> dict[str, float | int | None]:
    """Return how many operations the window's end found in flight that completed later, and the slowest: no other figure has them."""
    operations = sum(result["drained"]["operations"] for result in results)
    slowest = max(result["drained"]["us_max"] for result in results) / 1000
    return {"operations": operations, "latency_ms_max": slowest if operations else None}


def by_second(rows: Sequence[Sequence[int]], duration: float) -> list[list[int]]:
    """Return ``[second, operations]`` for each whole second of the window; the last row may be of less than a tenth, so rows alone do not tell."""
    whole = int(duration + CLOCK_SECONDS)
    return [[second, sum(row[0] for row in rows[second * STEPS_PER_SECOND : (second + 1) * STEPS_PER_SECOND])] for second in range(whole)]


def latencies(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | int | None]]:
    """Return count, mean, percentiles and maximum of each group of classes, in milliseconds, all processes together."""
    merged = {name: merge(decode(result["latencies"][name]) for result in results) for name in MEASURED}
    totals = {name: sum(result["latency_us"][name] for result in results) for name in MEASURED}
    return {group: summary(merge(merged[name] for name in names), sum(totals[name] for name in names)) for group, names in GROUPS.items()}


def bottleneck(clients: Sequence[float], replicas: Sequence[float | None], duration: float, cores: int) -> str:
    """Return ``clients``, ``replicas`` or ``none`` by the rule above.

    Args:
        clients: processor seconds of each client process in the window.
        replicas: of each replica, None where not known (on another machine, perhaps).
        duration: of the window, seconds.
        cores: that all of them share.
    """
    if duration <= 0:
        return "none"
    known = [seconds for seconds in replicas if seconds is not None]
    all_busy = sum(clients) + sum(known) >= BUSY * cores * duration
    if min(clients) >= BUSY * duration or (all_busy and sum(clients) > sum(known)):
        return "clients"
    if all_busy or any(seconds >= BUSY * duration for seconds in known):
        return "replicas"
    return "none"


def table(result: Result) -> str:
    """Return the result for a terminal."""
    seconds = result["duration_seconds"]
    rate, failed = result["throughput_per_second"], f"failed {result['failed']}, unknown {result['unknown']}"
    names = "".join(f"{name.replace('_', '.'):>9}" for name in PERCENTILES)
    lines = [
        f"{result['operations']:,} operations in {seconds:.2f} s: {rate:,.0f} a second; {failed}",
        "",
        f"{'latency, ms':<14}{'count':>11}{'mean':>9}{names}{'max':>9}",
    ]
    for name, figures in result["latency_ms"].items():
        if figures["count"]:
            cells = "".join(f"{figures[key]:>9.3f}" for key in ("mean", *PERCENTILES, "max"))
            lines.append(f"{name.replace('_', ' '):<14}{figures['count']:>11,}{cells}")
    lines += late_lines(result)
    if result["paths"]["fast"] is not None:
        lines += ["", f"logged strong commands: {result['paths']['fast']:.1%} by the fast path"]
    heads = f"{'calls/op':>10}{'frames/send':>13}{'cmds/frame':>12}{'MB sent':>9}{'turn max, ms':>14}"
    lines += ["", f"{'process':<12}{'role':<10}{'cpu':>7}{'MiB':>8}{heads}"]
    lines += [_replica_line(replica, seconds) for replica in result["replicas"]]
    for number, client in enumerate(result["clients"]):
        lines.append(f"{f'client {number}':<12}{'':<10}{client['cpu_seconds'] / seconds:>7.0%}{client['rss_bytes'] / 2**20:>8.1f}")
    lines += ["", f"bottleneck: {result['bottleneck']}"]
    if result["floors"]:
        lines.append(floors_line(result))
    if result["check"]:
        lines.append(check_line(result["check"]))
    return "\n".join(lines)


def late_lines(result: Result) -> list[str]:
    """Tell of operations that no latency shows: what waited to be submitted; what was in flight at the end and took longer than all that counts."""
    lines, drain = [], result["drained"]
    if result["backlog"]:
        lines.append(f"open loop: {result['backlog']['max']:,} operations late at most, {result['backlog']['end']:,} at the end")
    counted = [figures["max"] for figures in result["latency_ms"].values() if figures["count"]]
    if drain["operations"] and drain["latency_ms_max"] > max(counted, default=0.0):
        lines.append(
            f"in flight at the end, and in no figure: {drain['operations']:,} operations, the slowest took {drain['latency_ms_max']:,.3f} ms"
        )
    return lines


def floors_line(result: Result) -> str:
    """Return the floors and the run's share of each."""
    rate = result["throughput_per_second"]
    parts = [f"{name.removesuffix('_per_second')} {value:,.0f}/s (the run: {rate / value:.0%})" for name, value in result["floors"].items() if value]
    return "floors: " + ", ".join(parts)


def check_passed(check: Mapping[str, Any]) -> bool:
    """Whether every verdict is yes and means something; one that is unknown is none."""
    return all(check[name] == "yes" for name in CHECKED) and not check["vacuous"]


def check_line(check: Mapping[str, Any]) -> str:
    """Return the verdicts on a run's history."""
    verdicts = ", ".join(f"{name.replace('_', ' ')} {check[name]}" for name in CHECKED)
    reasons = "".join(f"; {reason}" for reason in check["reasons"].values())
    vacuous = f"vacuous ({check['vacuous']}); " if check["vacuous"] else ""
    return f"checked {check['operations_checked']:,} operations in {check['seconds']:.1f} s: {vacuous}{verdicts}{reasons}"


def problems(result: Result) -> list[str]:
    """Say why a run is no success, a line each."""
    found = []
    if not result["operations"]:
        found.append("no operation completed in the measured window: nothing was measured")
    if result["reasons"]:
        told = ", ".join(f"{count} {reason}" for reason, count in result["reasons"].items())
        found.append(f"{result['failed']} operations failed, {result['unknown']} have an unknown outcome: {told}")
    check = result["check"]
    if check and not check_passed(check):
        wrong = [f"{name.replace('_', ' ')} {check[name]}" for name in CHECKED if check[name] != "yes"]
        found.append(f"the check is vacuous: {check['vacuous']}" if check["vacuous"] else f"the check did not pass: {', '.join(wrong)}")
    return found


def without_counters(replica: Mapping[str, Any]) -> str:
    """Say why a replica has no counters."""
    return "it was restarted meanwhile" if replica.get("restarted") else "its admin address did not answer"


def _replica_line(replica: Mapping[str, Any], seconds: float) -> str:
    name = f"replica {replica['id']}"
    if replica["cpu_seconds"] is None:
        return f"{name:<12}(no counters: {without_counters(replica)})"
    cells = [
        f"{replica['cpu_seconds'] / seconds:>7.0%}",
        f"{(replica['rss_bytes'] or 0) / 2**20:>8.1f}",
        *(
            f"{'-' if replica[key] is None else format(replica[key], '.2f'):>{width}}"
            for key, width in (("syscalls_per_operation", 10), ("frames_per_send", 13), ("commands_per_frame", 12))
        ),
        f"{replica['bytes_sent'] / 1e6:>9.1f}",
        f"{'-' if replica['turn_seconds_max'] is None else format(replica['turn_seconds_max'] * 1000, '.2f'):>14}",
    ]
    return f"{name:<12}{replica['role'] or '-':<10}{''.join(cells)}"


def to_csv(result: Result) -> str:
    """Return a header and one line: settings, rate, failures, latencies, paths, bottleneck, floors, and each replica's main figures."""
    cells: dict[str, Any] = {name: result[name] for name in ("version", "commit")}
    cells |= {name: result[name] for name in ("operations", "failed", "unknown", "duration_seconds", "throughput_per_second", "bottleneck")}
    for group, figures in result["latency_ms"].items():
        cells |= {f"{group}_{name}": value for name, value in figures.items()}
    cells |= {f"drained_{name}": value for name, value in result["drained"].items()}
    cells |= {f"path_{name}": value for name, value in result["paths"].items()}
    cells |= {f"floor_{name}": value for name, value in (result["floors"] or {}).items()}
    cells |= {f"check_{name}": (result["check"] or {}).get(name) for name in CHECKED}
    for replica in result["replicas"]:
        for name in ("role", "cpu_seconds", "rss_bytes", "syscalls_per_operation", "frames_per_send", "commands_per_frame", "bytes_sent"):
            cells[f"replica_{replica['id']}_{name}"] = replica[name]
    for number, client in enumerate(result["clients"]):
        cells |= {f"client_{number}_{name}": value for name, value in client.items()}
    cells |= {f"setting_{name}": value for name, value in result["settings"].items()}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(cells)
    writer.writerow(cells.values())
    return text.getvalue()
