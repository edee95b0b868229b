"""The batch policies against each other inside one run: all replicas change theirs together, some times a second, while the load goes on.

    python tools/batching.py --output DIR                      every load, two minutes each
    python tools/batching.py --output DIR --loads "4 x 15" --seconds 30

Whole runs of a shared machine differ by a third from minute to minute, and by where their sessions happen to be at home; policies differ by a few
percent.  So each policy has its slot in every round of slots (``tools/batching_replica.py``), and the rounds are what is compared: ratios of sums
of the commands that replicas took, with the 95 % interval of a bootstrap over whole rounds.  In a closed loop the mean latency goes as the inverse of
the rate, so the ratio at 1 x 1 is that of its latencies.

Results: ``batching.md`` and ``batching.json`` in DIR; a load that failed is one line and the others go on; an interrupted run keeps the loads before.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections import defaultdict
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import trio

from loadgen.cli import measure_once
from loadgen.distance import apart
from loadgen.intervals import RESAMPLES, SEED, Ratio
from loadgen.machine import commit, machine
from loadgen.progress import Progress
from loadgen.runner import LoadFailed
from loadgen.settings import LoadSettings
from loadgen.sweep.tables import markdown_table
from replica.config import Settings
from tools.batching_replica import POLICIES
from triskele.cluster import ClusterFailed, local_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from replica.cluster_file import ClusterFile

SCHEMA: Final = "triskele.batching/1"
JUDGED: Final = "adaptive"
REPLICAS: Final = 3
SLOT_SECONDS: Final = 0.25
EDGE_ROUNDS: Final = 2
"""Left out at both ends: clients come and go."""


@attrs.frozen
class Load:
    """A load: what ``triskele load`` is told, and where the replicas keep what they acknowledge."""

    clients: int
    threads: int
    pendings: int
    durability: str = "memory"
    delay_ms: float = 0.0


LOADS: Final = {
    "1 x 1": Load(1, 1, 1),
    "4 x 15": Load(2, 2, 15),
    "16 x 15": Load(2, 8, 15),
    "4 x 128": Load(2, 2, 128),
    "16 x 15 disk": Load(2, 8, 15, "disk"),
    "4 x 15 1 ms away": Load(2, 2, 15, delay_ms=1.0),
}


def main(words: Sequence[str] | None = None) -> int:
    """Measure and write the reports; return 0, 1 if a load failed, or 130 if it was interrupted: the loads that were whole are kept."""
    arguments = read_arguments(words)
    rows: list[dict[str, Any]] = []
    status = 0
    for name in arguments.loads:
        print(f"{name}: {arguments.seconds:g} s", file=sys.stderr, flush=True)
        try:
            rows.append(row(name, measured(LOADS[name], arguments.seconds, arguments.slot_seconds)))
        except (LoadFailed, ClusterFailed) as error:
            status = 1
            print(f"batching: {name}: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            status = 130
            print(f"batching: interrupted during {name}", file=sys.stderr)
            break
    report = {"schema": SCHEMA, "machine": machine(), "commit": commit(), "seconds": arguments.seconds, "slot_seconds": arguments.slot_seconds}
    report |= {"partial": bool(status), "rows": rows}
    (arguments.output / "batching.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (arguments.output / "batching.md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report), end="")
    return status


def read_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Return checked arguments; ends the program with one clear line where they are wrong."""
    parser = argparse.ArgumentParser(prog="tools/batching.py", description="The batch policies against each other inside one run.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for batching.json and batching.md")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each load (default 120)")
    parser.add_argument("--slot-seconds", type=float, default=SLOT_SECONDS, help=f"how long a policy has its turn (default {SLOT_SECONDS:g})")
    parser.add_argument("--loads", default=",".join(LOADS), help=f"of {', '.join(LOADS)} (default all)")
    arguments = parser.parse_args(words)
    arguments.loads = list(dict.fromkeys(word.strip() for word in arguments.loads.split(",")))
    unknown = [name for name in arguments.loads if name not in LOADS]
    if unknown:
        parser.error(f"--loads {unknown[0]}: must be one of {', '.join(LOADS)}")
    if not (math.isfinite(arguments.slot_seconds) and 0.02 <= arguments.slot_seconds <= 10):  # noqa: PLR2004 - turns and timers take milliseconds
        parser.error(f"--slot-seconds {arguments.slot_seconds:g}: must be from 0.02 to 10")
    least = (2 * EDGE_ROUNDS + 3) * len(POLICIES) * arguments.slot_seconds
    if not (math.isfinite(arguments.seconds) and least <= arguments.seconds <= 3600):  # noqa: PLR2004 - an hour
        parser.error(f"--seconds {arguments.seconds:g}: must be from {least:g} (seven rounds) to 3600")
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "batching.md").touch()
    except OSError as error:
        parser.error(f"--output {arguments.output}: cannot be written: {error.strerror}")
    return arguments


def measured(load: Load, seconds: float, slot_seconds: float) -> list[dict[str, float]]:
    """Put a load on a cluster of its own, and return the rounds that it filled: ``{policy: commands a second}``."""
    given = {"clients": load.clients, "threads": load.threads, "pendings": load.pendings, "delay_ms": load.delay_ms}
    settings = LoadSettings(local=REPLICAS, seconds=seconds, preload="no", quiet=True, **given)  # type: ignore[arg-type] # each of its own kind
    with tempfile.TemporaryDirectory(prefix="triskele-batching-") as folder:
        trio.run(run, settings, load.durability, slot_seconds, Path(folder))
        told = [json.loads(line) for file in Path(folder).glob("*.jsonl") for line in file.read_text(encoding="utf-8").splitlines()]
    return rounds(told)


async def run(settings: LoadSettings, durability: str, slot_seconds: float, folder: Path) -> None:
    """Run the load once; the replicas leave what they counted in the folder."""
    progress = Progress(settings.clients, 0.0, 0, None)
    async with cluster_of(settings, durability, slot_seconds, folder) as cluster:
        await measure_once(settings, cluster, progress, folder)


@asynccontextmanager
async def cluster_of(settings: LoadSettings, durability: str, slot_seconds: float, folder: Path) -> AsyncIterator[ClusterFile]:
    """Run replicas that change their policies for the length of the block."""
    program = (sys.executable, "-P", "-m", "tools.batching_replica", str(folder), str(slot_seconds))
    shared = Settings().changed("tools/batching.py", durability=durability, log_level="warning")
    if not settings.delay_ms:
        async with local_cluster(REPLICAS, shared, program=program, say=_silent) as cluster:
            yield cluster.file
        return
    async with (
        apart(settings.delay_ms / 1000, REPLICAS) as proxies,
        local_cluster(REPLICAS, shared, program=program, say=_silent, seen_by=proxies.seen_by),
    ):
        yield proxies.clients


def _silent(line: str) -> None:
    """Say nothing of what goes well."""


def rounds(told: Iterable[dict[str, Any]]) -> list[dict[str, float]]:
    """Put together what replicas counted, slot by slot.

    Returns:
        The rounds in which all replicas counted every slot and commands came in every one, the first and the last few left out.
    """
    slots: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for line in told:
        slots[line["slot"]].append(line)
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for slot, lines in sorted(slots.items()):
        if len(lines) == REPLICAS and any(line["commands"] for line in lines):
            found[slot // len(POLICIES)][lines[0]["policy"]] = sum(line["commands"] / line["seconds"] for line in lines)
    whole = [policies for policies in found.values() if len(policies) == len(POLICIES)]
    return whole[EDGE_ROUNDS:-EDGE_ROUNDS]


def row(name: str, found: list[dict[str, float]]) -> dict[str, Any]:
    """Judge a load's rounds.

    Raises:
        LoadFailed: there are too few.
    """
    if len(found) < 3:  # noqa: PLR2004 - fewer tell nothing of their spread
        raise LoadFailed(f"only {len(found)} whole rounds")
    rates = {policy: sum(each[policy] for each in found) / len(found) for policy in POLICIES}
    best = max((policy for policy in POLICIES if policy != JUDGED), key=lambda policy: rates[policy])
    ratios = {policy: attrs.asdict(over([each[policy] for each in found], [each[JUDGED] for each in found])) for policy in POLICIES}
    return {"load": name, "rounds": len(found), "rates": rates, "best_other": best, "judged_over": ratios}


def over(below: Sequence[float], above: Sequence[float]) -> Ratio:
    """Return the ratio of two sums of the same rounds, with the interval of a bootstrap over them."""
    draw = np.random.default_rng(SEED)
    chosen = draw.integers(0, len(below), (RESAMPLES, len(below)))
    resampled = np.asarray(above)[chosen].sum(axis=1) / np.asarray(below)[chosen].sum(axis=1)
    low, high = map(float, np.percentile(resampled, [2.5, 97.5]))
    return Ratio(sum(above) / sum(below), low, high, 0.95)


def markdown(report: dict[str, Any]) -> str:
    """Return the table, and how it was measured."""
    computer = report["machine"]
    measured_by = (
        f"{'Partial: ' if report['partial'] else ''}{report['seconds']:g} s of each load, slots of {report['slot_seconds']:g} s; commands a second "
        f"that all replicas took, 95 % intervals by bootstrap over rounds; commit {report['commit'] or 'unknown'}; {computer['processor']}, "
        f"{computer['cores']} cores, load average {computer['load_average']}, {computer['system']}, {computer['python']}."
    )
    heads = ["streams x in flight", "rounds", *POLICIES, f"{JUDGED} over turn", f"{JUDGED} over the best other"]
    rows = []
    for told in report["rows"]:
        best = told["best_other"]
        cells = [f"{told['rates'][policy]:,.0f}" for policy in POLICIES]
        rows.append([told["load"], str(told["rounds"]), *cells, shown(told["judged_over"]["turn"]), f"{shown(told['judged_over'][best])}, {best}"])
    return f"{measured_by}\n\n{markdown_table((heads, rows))}\n"


def shown(ratio: dict[str, float]) -> str:
    """Return a ratio with its interval."""
    return f"{ratio['ratio']:.3f} ({ratio['low']:.3f}-{ratio['high']:.3f})"


if __name__ == "__main__":
    sys.exit(main())
