"""The figures of README and docs/performance.md: a grid of ``triskele load`` runs, repeats interleaved, medians in one Markdown table.

Interleaved, because a machine's mood changes over minutes: each setting meets each mood. Every run's JSON stays in the output folder.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

SEED_WORKLOAD = ["--causal-percent", "50", "--write-percent", "10", "--causal-write-percent", "10"]
SEED_WORKLOAD += ["--value-bytes", "100", "--key-space", "1000000", "--zipf", "0.9"]


def streams(clients: int, threads: int, pendings: int) -> list[str]:
    """Return the flags of ``clients x threads`` streams with ``pendings`` commands in flight each."""
    return ["--clients", str(clients), "--threads", str(threads), "--pendings", str(pendings)]


FIGURES: dict[str, list[str]] = {
    "4 x 15": streams(2, 2, 15),
    "16 x 15": streams(2, 8, 15),
    "64 x 15": streams(2, 32, 15),
    "4 x 128": streams(2, 2, 128),
    "16 x 15, a link per stream": [*streams(2, 8, 15), "--links", "per-stream"],
    "16 x 15, all strong, half writes": [*streams(2, 8, 15), "--causal-percent", "0", "--write-percent", "50"],
    "16 x 15, WebSocket": [*streams(2, 8, 15), "--transport", "websocket"],
    "16 x 15, 5 replicas": [*streams(2, 8, 15), "--local", "5"],
    "1 x 1": streams(1, 1, 1),
    "4 x 15, disk": [*streams(2, 2, 15), "--durability", "disk"],
    "16 x 15, disk": [*streams(2, 8, 15), "--durability", "disk"],
}

COLUMNS = (
    "streams x in flight",
    "commands/s (range)",
    "strong p50",
    "strong p99",
    "causal p50",
    "fast",
    "leader's calls/command",
    "failed + unknown",
)


def run(name: str, flags: list[str], seconds: float, result_file: Path) -> bool:
    """Run one load with a cluster of its own; later flags win over earlier ones. Return whether it passed."""
    print(f"── {name}", flush=True)
    command = [sys.executable, "-m", "triskele", "load", "--local", "3", "--durability", "memory", *SEED_WORKLOAD]
    command += ["--seconds", str(seconds), *flags, "--quiet", "--json", str(result_file)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0


def median(results: list[dict[str, object]], *path: str) -> float | None:
    """Return the median over the runs of the number at ``path``; None where a run has none."""
    numbers: list[float] = []
    for result in results:
        place: object = result
        for name in path:
            place = place.get(name) if isinstance(place, dict) else None
        if not isinstance(place, int | float):
            return None
        numbers.append(float(place))
    return statistics.median(numbers) if numbers else None


def leader_calls(results: list[dict[str, object]]) -> float | None:
    """Return the median of the leader's system calls per command."""
    replicas = [replica for result in results if isinstance(found := result.get("replicas"), list) for replica in found]
    numbers = [float(replica["syscalls_per_operation"]) for replica in replicas if replica.get("role") == "leader"]
    return statistics.median(numbers) if numbers else None


def cell(number: float | None, form: str) -> str:
    """Format a number, or a dash for none."""
    return "-" if number is None else format(number, form)


def row(name: str, results: list[dict[str, object]]) -> str:
    """Format one line of the table."""
    rates = [float(str(result["throughput_per_second"])) for result in results]
    rate = statistics.median(rates)
    lost = sum(int(str(result["failed"])) + int(str(result["unknown"])) for result in results)
    cells = [
        name,
        f"{rate:,.0f} ({min(rates):,.0f}-{max(rates):,.0f})",
        cell(median(results, "latency_ms", "strong", "p50"), ".2f") + " ms",
        cell(median(results, "latency_ms", "strong", "p99"), ".2f") + " ms",
        cell(median(results, "latency_ms", "causal", "p50"), ".2f") + " ms",
        cell(median(results, "paths", "fast"), ".1%"),
        cell(leader_calls(results), ".3f"),
        str(lost),
    ]
    return "| " + " | ".join(cells) + " |"


def table(runs: dict[str, list[dict[str, object]]]) -> str:
    """Format the Markdown table, with the machine and the commit of the runs above it."""
    first = next((results[0] for results in runs.values() if results), {})
    head = f"commit {first.get('commit')}, machine {json.dumps(first.get('machine'))}"
    lines = [head, "", "| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    lines += [row(name, results) for name, results in runs.items() if results]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the experiments; return 1 if any run failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="measured seconds of each run")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each setting")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a setting by its name; may be repeated")
    options = parser.parse_args()
    chosen = {name: flags for name, flags in FIGURES.items() if not options.only or name in options.only}
    if not chosen:
        parser.error(f"--only: no such setting; there are: {'; '.join(FIGURES)}")
    options.output.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[dict[str, object]]] = {name: [] for name in chosen}
    failed: list[str] = []
    for repeat in range(options.repeats):
        for name, flags in chosen.items():
            result_file = options.output / f"{name.replace(', ', '-').replace(' ', '-')}-{repeat + 1}.json"
            result_file.unlink(missing_ok=True)
            if not run(name, flags, options.seconds, result_file):
                failed.append(f"{name} (run {repeat + 1})")
            if result_file.exists():
                runs[name].append(json.loads(result_file.read_text()))
    text = table(runs)
    (options.output / "figures.md").write_text(text)
    print(f"\n{text}\nresults in {options.output}/")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
