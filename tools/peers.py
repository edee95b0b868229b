"""Triskele beside other replicated stores on one machine in one run, repeats interleaved: rates, latencies, and what the answers are worth.

    python tools/peers.py --seconds 2 --repeats 3 --output DIR

Three nodes each on loopback, the same points and workload for all (docs/performance.md, "Beside others", says how near each comes to it). The peers
are no dependencies of ours: who is not installed is told in one line and left out. Results: ``peers.json`` and ``peers.md`` in DIR.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadgen.figures import RATE, SHOWN
from loadgen.machine import commit, machine, package_version
from loadgen.sweep.report import medians
from loadgen.sweep.tables import markdown_table, median_text, with_interval
from tools.peers_systems import POINTS, SYSTEMS, Run
from tools.peers_wires import PeerError

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA: Final = "triskele.peers/1"
FIGURES: Final = ("strong_p50_ms", "strong_p99_ms", "causal_p50_ms", "syscalls_per_operation", "codec_floor_share", "wire_floor_share")
CLIENT_CPU: Final = "client_cpu_us_per_operation"
ALL: Final = "all"
DEFAULT_POINTS: Final = "4 x 15,16 x 15"


def main(words: Sequence[str] | None = None) -> int:
    """Measure and write the reports; return 0, 1 if a run failed, 2 for bad input, 128 and the signal's number if interrupted."""
    arguments = read_arguments(words)
    names = [name for name in arguments.systems if not told_missing(name, arguments.pysyncobj)]
    if not names:
        print("peers: nothing to measure", file=sys.stderr)
        return 2
    runs: list[dict[str, Any]] = []
    interrupted = 0
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        measure_all(arguments, names, runs)
    except KeyboardInterrupt:
        interrupted = 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGTERM, before)
        report = build(arguments, names, runs)
        (arguments.output / "peers.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (arguments.output / "peers.md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report), end="")
    return interrupted or int(any(run["failure"] for run in runs))


def read_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Return checked arguments; ends the program with one clear line where they are wrong."""
    parser = argparse.ArgumentParser(prog="tools/peers.py", description="Triskele beside other replicated stores, in one run.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for peers.json and peers.md")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measured window (default 5)")
    parser.add_argument("--repeats", type=int, default=3, help="of each point and system (default 3)")
    parser.add_argument("--points", default=DEFAULT_POINTS, help=f"streams x in flight, of {', '.join(POINTS)}, or {ALL} (default {DEFAULT_POINTS})")
    parser.add_argument("--systems", default=ALL, help=f"of {', '.join(SYSTEMS)} (default all of them)")
    parser.add_argument("--pysyncobj", type=Path, metavar="FOLDER", help="where pip installed PySyncObj (default DIR/pysyncobj)")
    arguments = parser.parse_args(words)
    for name, known in (("points", POINTS), ("systems", SYSTEMS)):
        given = getattr(arguments, name)
        chosen = list(known) if given == ALL else list(dict.fromkeys(word.strip() for word in given.split(",")))
        unknown = [word for word in chosen if word not in known]
        if unknown:
            parser.error(f"--{name} {unknown[0]}: must be one of {', '.join(known)}")
        setattr(arguments, name, chosen)
    if not (math.isfinite(arguments.seconds) and 0 < arguments.seconds <= 3600):  # noqa: PLR2004 - an hour
        parser.error(f"--seconds {arguments.seconds:g}: must be more than 0 and at most 3600")
    if not 1 <= arguments.repeats <= 1000:  # noqa: PLR2004 - more would run for days
        parser.error(f"--repeats {arguments.repeats}: must be 1 to 1000")
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "peers.md").touch()
    except OSError as error:
        parser.error(f"--output {arguments.output}: cannot be written: {error.strerror}")
    arguments.pysyncobj = arguments.pysyncobj or arguments.output / "pysyncobj"
    return arguments


def told_missing(name: str, pysyncobj: Path) -> bool:
    """Whether a system cannot run here; if so, say how to get it."""
    system = SYSTEMS[name]
    if missing := system.missing(pysyncobj):
        print(f"peers: {system.name} is left out: {system.program} is missing; {system.install.format(folder=pysyncobj)}", file=sys.stderr)
    return missing


def at(point: str, names: Sequence[str]) -> list[str]:
    """Return who is measured at a point."""
    return [name for name in names if point in (SYSTEMS[name].only or POINTS)]


def measure_all(arguments: argparse.Namespace, names: Sequence[str], runs: list[dict[str, Any]]) -> None:
    """Add a run for each repeat, point and system to ``runs``; a failure is one line, and the others go on."""
    for repeat in range(1, arguments.repeats + 1):
        for point in arguments.points:
            for name in at(point, names):
                with tempfile.TemporaryDirectory(prefix="triskele-peers-") as folder:
                    failure, figures = "", {}
                    try:
                        figures = SYSTEMS[name].measure(Run(point, arguments.seconds, Path(folder), arguments.pysyncobj))
                    except (PeerError, OSError) as error:
                        failure = str(error)
                        logs = arguments.output / "failed" / f"{name}-{point.replace(' ', '')}-{repeat}"
                        logs.mkdir(parents=True, exist_ok=True)
                        for log in Path(folder).glob("*.log"):
                            shutil.copy(log, logs)
                runs.append({"system": name, "point": point, "repeat": repeat, "failure": failure, "figures": figures})
                told = f"failed: {failure}" if failure else f"{figures[RATE]:,.0f} commands/s"
                print(f"repeat {repeat} of {arguments.repeats}, {point}, {SYSTEMS[name].name}: {told}", file=sys.stderr, flush=True)


def build(arguments: argparse.Namespace, names: Sequence[str], runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Put the report together: every run, and medians of each point and system."""
    rows = []
    for point in arguments.points:
        for name in at(point, names):
            own = [run["figures"] for run in runs if (run["system"], run["point"]) == (name, point) and run["figures"]]
            failed = sum(int(figures["failed"] + figures["unknown"]) for figures in own)
            rows.append({"point": point, "system": name, "figures": medians(own), "failed": failed})
    worth = ("name", "strong", "causal", "linearizable", "durable", "exactly_once")
    return {
        "schema": SCHEMA,
        "machine": machine(),
        "commit": commit(),
        "version": package_version(),
        "seconds": arguments.seconds,
        "repeats": arguments.repeats,
        "partial": len(runs) < arguments.repeats * len(rows),
        "systems": {
            name: {"version": version_of(name, arguments.pysyncobj), **{key: getattr(SYSTEMS[name], key) for key in worth}}
            for name in names
            if any(row["system"] == name for row in rows)
        },
        "runs": list(runs),
        "rows": rows,
    }


def version_of(name: str, pysyncobj: Path) -> str:
    """Return a system's version in its own words."""
    program = SYSTEMS[name].program
    if not program:
        return package_version()
    if program == "pysyncobj":
        return next((found.version for found in distributions(name=program, path=[str(pysyncobj), *sys.path])), "unknown")
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.partition("\n")[0].strip()


def markdown(report: dict[str, Any]) -> str:
    """Return both tables: figures, and what they are worth."""
    systems = report["systems"]
    heads = [
        "streams x in flight",
        "system",
        "commands/s (range)",
        *(SHOWN[name].label for name in FIGURES),
        "clients' CPU, us/command",
        "failed + unknown",
    ]
    rows = []
    for row in report["rows"]:
        figures = row["figures"]
        cpu = f"{figures[CLIENT_CPU]['median']:.1f}" if CLIENT_CPU in figures else "-"
        cells = [with_interval(figures.get(RATE), RATE), *(median_text(figures.get(name), name) for name in FIGURES), cpu, str(row["failed"])]
        rows.append([row["point"], systems[row["system"]]["name"], *cells])
    worth = [[told[key] for key in ("name", "strong", "causal", "linearizable", "durable", "exactly_once", "version")] for told in systems.values()]
    computer = report["machine"]
    measured = (
        f"{'Partial: ' if report['partial'] else ''}Medians of {report['repeats']} interleaved runs of {report['seconds']:g} s; "
        f"commit {report['commit'] or 'unknown'}; {computer['processor']}, {computer['cores']} cores, load average {computer['load_average']}, "
        f"{computer['system']}, {computer['python']}."
    )
    failures = [
        f"failed: repeat {run['repeat']}, {run['point']}, {systems[run['system']]['name']}: {run['failure']}"
        for run in report["runs"]
        if run["failure"]
    ]
    guarantees = ["system", "its strong commands", "its causal commands", "linearizable", "durable", "exactly once", "version"]
    return "\n\n".join([measured, *failures, markdown_table((heads, rows)), markdown_table((guarantees, worth))]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
