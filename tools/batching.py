"""The batch policies side by side: ``triskele load`` with each, paired and interleaved, and how adaptive compares with the best other one.

A repeat runs every policy once, one right after the other and in an order drawn anew, so that the machine's mood of those minutes meets them
all; only runs of one repeat are compared.  The best other policy is the one with the highest median; the interval is of the median of the
paired ratios, 95 %, by bootstrap.  With few repeats it is wide: that is what it is for.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import trio

from tools.experiments import SEED_WORKLOAD, run, streams

Figures = dict[str, list[dict[str, float]]]
"""``{policy: [figures of each repeat]}``; figures: ``rate`` (commands/s), ``p50`` (strong, ms), ``cpu`` (all processes, us a command)."""

ADAPTIVE = "adaptive"
POLICIES = {"turn": ("turn", 0), "fixed 50": ("fixed", 50), "fixed 75": ("fixed", 75), "fixed 150": ("fixed", 150), ADAPTIVE: ("adaptive", 0)}
"""``{name: (batching, batch_delay_us)}``."""

SETTINGS: dict[str, list[str]] = {
    "1 x 1": streams(1, 1, 1),
    "4 x 15": streams(2, 2, 15),
    "16 x 15": streams(2, 8, 15),
    "4 x 128": streams(2, 2, 128),
    "16 x 15, disk": [*streams(2, 8, 15), "--durability", "disk"],
    "16 x 1, a link per stream": [*streams(2, 8, 1), "--links", "per-stream"],
    "4 x 15, 1 ms away": streams(2, 2, 15),
}
FAR_SECONDS = {"4 x 15, 1 ms away": 0.001}
"""Settings whose replicas, and clients but for their home, are this far apart, one way."""

RESAMPLES = 2000


def figures(result: dict[str, Any]) -> dict[str, float]:
    """Take from a run's result what is compared."""
    seconds = sum(process.get("cpu_seconds") or 0.0 for process in [*result["replicas"], *result["clients"]])
    return {
        "rate": float(result["throughput_per_second"]),
        "p50": float(result["latency_ms"]["strong"]["p50"]),
        "cpu": 1e6 * seconds / result["operations"],
    }


def interval(ratios: list[float], seed: int = 1) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the median."""
    draw = random.Random(seed)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return medians[RESAMPLES * 25 // 1000], medians[RESAMPLES * 975 // 1000 - 1]


def best_other(runs: Figures) -> str:
    """Return the policy, adaptive apart, with the highest median rate."""
    return max((policy for policy in runs if policy != ADAPTIVE), key=lambda policy: statistics.median(one["rate"] for one in runs[policy]))


def paired(runs: Figures, other: str, what: str) -> list[float]:
    """Return adaptive over another policy, repeat by repeat."""
    return [mine[what] / theirs[what] for mine, theirs in zip(runs[ADAPTIVE], runs[other], strict=True)]


def cell(ratios: list[float]) -> str:
    """Format a median with its interval."""
    low, high = interval(ratios)
    return f"{statistics.median(ratios):.2f} ({low:.2f}-{high:.2f})"


def table(found: dict[str, Figures]) -> str:
    """Format the Markdown table: median rate of each policy, and adaptive's ratios."""
    heads = ["streams x in flight", *POLICIES, "best other", "rate over best other", "rate over turn", "strong p50 over turn", "CPU over turn"]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for name, runs in found.items():
        other = best_other(runs)
        rates = [f"{statistics.median(one['rate'] for one in runs[policy]):,.0f}" for policy in POLICIES]
        ratios = [cell(paired(runs, other, "rate")), *(cell(paired(runs, "turn", what)) for what in ("rate", "p50", "cpu"))]
        lines.append("| " + " | ".join([name, *rates, other, *ratios]) + " |")
    return "\n".join(lines) + "\n"


def measure(name: str, policy: str, seconds: float, result_file: Path) -> dict[str, float] | None:
    """Run one load with a policy; None if it failed."""
    batching, delay_us = POLICIES[policy]
    flags = [*SETTINGS[name], "--warmup-seconds", "1"]
    if name not in FAR_SECONDS:
        passed = run(f"{name}: {policy}", [*flags, "--batching", batching, "--batch-delay-us", str(delay_us)], seconds, result_file)
        return figures(json.loads(result_file.read_text())) if passed else None
    from tests.chaos.wan import measure as measure_far

    print(f"── {name}: {policy}", flush=True)
    os.environ |= {"TRISKELE_BATCHING": batching, "TRISKELE_BATCH_DELAY_US": str(delay_us)}  # the replicas' processes read them
    result: dict[str, Any] | None = None
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = trio.run(measure_far, FAR_SECONDS[name], [*SEED_WORKLOAD, *flags, "--seconds", str(seconds), "--quiet"], Path(folder))
        except* RuntimeError as failed:
            print(failed.exceptions[0], file=sys.stderr)
    if result is None:
        return None
    result_file.write_text(json.dumps(result))
    return figures(result)


def main() -> int:
    """Run the comparison; return 1 if a run failed. A repeat with a failed run counts for no policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="measured seconds of each run (default 4)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each policy and setting (default 5)")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a setting by its name; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the runs (default 1)")
    options = parser.parse_args()
    chosen = [name for name in SETTINGS if not options.only or name in options.only]
    if not chosen:
        parser.error(f"--only: no such setting; there are: {'; '.join(SETTINGS)}")
    options.output.mkdir(parents=True, exist_ok=True)
    draw = random.Random(options.seed)
    found: dict[str, Figures] = {name: {policy: [] for policy in POLICIES} for name in chosen}
    failed = 0
    for repeat in range(options.repeats):
        for name in chosen:
            measured: dict[str, dict[str, float] | None] = {}
            for policy in draw.sample(list(POLICIES), len(POLICIES)):
                file = options.output / f"{name} {policy} {repeat + 1}.json".replace(",", "").replace(" ", "-")
                measured[policy] = measure(name, policy, options.seconds, file)
            complete = {policy: one for policy, one in measured.items() if one is not None}
            failed += len(measured) - len(complete)
            if len(complete) == len(measured):
                for policy, one in complete.items():
                    found[name][policy].append(one)
    text = table({name: runs for name, runs in found.items() if runs[ADAPTIVE]})
    (options.output / "batching.md").write_text(text)
    print(f"\n{text}\n{failed} failed runs; results in {options.output}/")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
