"""For an hour at half of the peak, with a fault a minute: every promise holds, and neither memory nor disk grows.

``python -m tests.chaos.soak --output soak``: real replicas with disk durability behind proxies.  First the peak is measured (client processes of
``triskele load``, as fast as they can); then they send half of it by schedule, while the workers of a ledger hold the store to its promises
(``python -m tests.chaos.kills`` tells which) and faults strike: kills, pauses, partitions, slow and broken lines, slow and full disks, leaders
that hand over.  A line a minute tells what users noticed, the rates, and what processes and folders take.

Exit status 1 when a promise broke or something grows; the cluster's data is kept when a promise broke. Ctrl-C keeps what is known by then (130).
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import attrs
import trio

from loadgen.machine import commit, machine
from loadgen.runner import LoadFailed
from replica.config import SettingError
from tests.chaos.bulk import Counted, Tally, run_bulk
from tests.chaos.kills import SHOWN_MAX, keep_ledger
from tests.chaos.ledger import Ledger, Outcome
from tests.chaos.load import open_load
from tests.chaos.memory import Growth, Sample, comparisons
from tests.chaos.soaking import Plan, Row, Soak
from triskele.chaos.network import Network
from triskele.chaos.proxies import Proxies
from triskele.chaos.run import RESTARTS
from triskele.cluster import ClusterFailed, local_cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.load import Load
    from triskele.cluster import LocalCluster

CRASHED = re.compile(r"Traceback|AssertionError")
"""What a replica says that ended by a fault of its own; how processes end otherwise is the striker's to judge."""
EVERY_MIN = 10.0
TELLING_SECONDS = 1200.0
"""A shorter run does not tell whether anything grows: logs and caches still fill, and a few starts are a few chances."""


@attrs.define
class Result:
    """What came of a run.

    Attributes:
        plan: What was to be done.
        ledger: Every promise; ``breaks`` are those that broke.
        peak: Commands a second, when nothing else went on.
        peaks: Likewise at the beginning of each part, beside the ledger's workers; the bulk is a share of these.
        rows, samples, bulk: As ``Soak`` has them.
        partial: It was ended from outside.
    """

    plan: Plan
    ledger: Ledger
    peak: float = 0.0
    peaks: list[float] = attrs.Factory(list)
    rows: list[Row] = attrs.Factory(list)
    samples: list[Sample] = attrs.Factory(list)
    bulk: Counted = attrs.Factory(Counted)
    partial: bool = False

    def growths(self) -> list[Growth]:
        """Return what was compared in search of growth; nothing for a run that was too short to tell."""
        if not self.rows or self.rows[-1].at < TELLING_SECONDS:
            return []
        slack = 2.0 * self.plan.replicas * self.plan.settings.log_on_disk_bytes_max  # a log may be long or short, and a snapshot there or not yet
        return comparisons(self.samples, [(row.at, sum(row.disk)) for row in self.rows], self.rows[-1].at, slack)

    def as_json(self) -> dict[str, Any]:
        """Return the whole for a file."""
        plan = self.plan
        return {
            "partial": self.partial, "machine": machine(), "commit": commit(), "seconds": plan.seconds, "every": plan.every, "seed": plan.seed,
            "replicas": plan.replicas, "bulk_shape": attrs.asdict(plan.bulk), "peak": self.peak, "peaks": self.peaks,
            "breaks": self.ledger.breaks, "bulk": attrs.asdict(self.bulk),
            "ledger": {outcome.value: self.ledger.count(outcome) for outcome in Outcome},
            "growth": [{**attrs.asdict(growth), "grows": growth.grows} for growth in self.growths()],
            "rows": [attrs.asdict(row) for row in self.rows], "samples": [attrs.astuple(sample) for sample in self.samples],
        }  # fmt: skip


async def run(plan: Plan, folder: Path, say: Callable[[str], None], stop: trio.Event | None = None) -> Result:
    """Run once.

    Args:
        plan: What to do.
        folder: For the cluster's data and ``replicas.log``.
        say: Takes lines for the user.
        stop: When it is set, the run ends early and its result is partial.

    Raises:
        SettingError: The folder cannot be used.
        ClusterFailed: The cluster did not start.
        LoadFailed: The peak could not be measured.
    """
    result, network = Result(plan, Ledger()), Network()
    with (folder / "replicas.log").open("w", encoding="utf-8") as log:

        def hear(words: str) -> None:
            print(f"{trio.current_time():.3f} {words}", file=log, flush=True)
            if CRASHED.search(words):
                result.ledger.broken(f"a replica ended by itself: {words}")

        async with trio.open_nursery() as nursery:
            proxies = Proxies(network, nursery, folder, plan.seed)
            opened = local_cluster(plan.replicas, plan.settings, data_dir=folder / "cluster", restarts=RESTARTS, say=hear, seen_by=proxies.seen_by)
            async with opened as cluster:
                with trio.CancelScope() as scope:
                    if stop is not None:
                        nursery.start_soon(_cancel, scope, stop)
                    await _live(result, cluster, network, proxies.clients.addresses(), folder, say)
                result.partial = scope.cancelled_caught
            nursery.cancel_scope.cancel()
    return result


async def _cancel(scope: trio.CancelScope, stop: trio.Event) -> None:
    await stop.wait()
    scope.cancel()


async def _live(result: Result, cluster: LocalCluster, network: Network, addresses: list[str], folder: Path, say: Callable[[str], None]) -> None:
    """Measure the peak, then run the cycles."""
    plan = result.plan
    settings = plan.bulk.settings(plan.peak_seconds, rate=0.0, preload=True, seed=plan.seed)
    result.peak = round(await run_bulk(settings, cluster.file, Tally(plan.bulk.clients), folder), 1)
    say(f"peak {result.peak:,.0f} commands/s; {plan.cycles} faults, one every {plan.every:g} s; seed {plan.seed}")
    async with open_load(",".join(addresses), result.ledger, plan.shape, plan.seed) as load:
        await _cycles(result, Soak(plan, cluster, network, load, folder), load, say)


async def _cycles(result: Result, soak: Soak, load: Load, say: Callable[[str], None]) -> None:
    result.rows, result.samples, result.peaks = soak.rows, soak.samples, soak.peaks
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            await soak.go(lambda row: say(row.line()))
            nursery.cancel_scope.cancel()
    finally:
        result.bulk = soak.bulk


# ------------------------------------------------------------------------------------------------------------------------------ the report


def report(result: Result) -> list[str]:
    """Tell the whole run: what each kind of fault cost, what was counted, what grows, what broke."""
    rows, ledger = result.rows, result.ledger
    ended = "PARTIAL: ended from outside; " if result.partial else ""
    lines = [
        "",
        f"{ended}{len(rows)} of {result.plan.cycles} faults, peak {result.peak:,.0f}/s, later {', '.join(f'{peak:,.0f}' for peak in result.peaks)}/s",
    ]
    lines.append(f"{'milliseconds':28}{'faults':>7}{'silence p50':>13}{'most':>8}{'again p50':>11}{'most':>8}{'bulk/s p50':>12}{'felt by none':>14}")
    for kind in [*sorted({row.kind for row in rows}), "all"]:
        some = [row for row in rows if kind in (row.kind, "all")]
        if some:
            quiet, again = [row.silence * 1e3 for row in some], [row.again * 1e3 for row in some if row.again is not None] or [0.0]
            lines.append(
                f"{kind:28}{len(some):7}{median(quiet):13.0f}{max(quiet):8.0f}{median(again):11.0f}{max(again):8.0f}"
                f"{median(row.bulk_rate for row in some):12,.0f}{sum(not row.touched for row in some):14}"
            )
    bulk = result.bulk
    lines.append(f"bulk: {bulk.done:,} done, {bulk.failed:,} failed, {bulk.unknown:,} unknown {bulk.reasons or ''}")
    lines.append("ledger: " + ", ".join(f"{ledger.count(outcome):,} {outcome.value}" for outcome in Outcome))
    lines += [growth.line() for growth in result.growths()] or [f"too short to tell whether anything grows: less than {TELLING_SECONDS / 60:g} min"]
    lost = sum(line.startswith("LOST") for line in ledger.breaks)
    lines += [f"lost: {lost}; promises broken: {len(ledger.breaks)}", *(f"BROKEN: {line}" for line in ledger.breaks[:SHOWN_MAX])]
    return lines


def exit_status(result: Result) -> int:
    """Return 1 for a broken promise or growth, 130 for a run that was ended before its end, else 0."""
    if result.ledger.breaks or any(growth.grows for growth in result.growths()):
        return 1
    return 130 if result.partial else 0


def _parser() -> argparse.ArgumentParser:
    examples = """examples:
  python -m tests.chaos.soak --output soak                                       # the hour
  python -m tests.chaos.soak --seconds 180 --every 15 --seed 3 --output soak     # a look at it"""
    usual = Plan()
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__, epilog=examples)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seconds", type=float, default=usual.seconds, help=f"of load and faults (default {usual.seconds:g})")
    parser.add_argument(
        "--every", type=float, default=usual.every, help=f"seconds from one fault to the next, at least {EVERY_MIN:g} (default {usual.every:g})"
    )
    parser.add_argument("--seed", type=int, default=usual.seed, help=f"of faults and commands (default {usual.seed})")
    parser.add_argument("--replicas", type=int, choices=(3, 5, 7, 9), default=usual.replicas, help=f"(default {usual.replicas})")
    parser.add_argument(
        "--keys", type=int, default=usual.bulk.key_space, help=f"that the bulk writes to, all before it begins (default {usual.bulk.key_space})"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="a new or empty folder, for soak.txt, soak.json, replicas.log and the cluster's data"
    )
    return parser


def plan_of(parser: argparse.ArgumentParser, words: list[str] | None = None) -> tuple[Plan, Path]:
    """Read the flags; ends with status 2 and a line about what is wrong."""
    given = parser.parse_args(words)
    if not given.every >= EVERY_MIN:
        parser.error(f"--every {given.every:g}: must be at least {EVERY_MIN:g}")
    if not given.every <= given.seconds < float("inf"):
        parser.error(f"--seconds {given.seconds:g}: must be at least --every ({given.every:g}), or there is no time for a fault")
    if not given.keys > 0:
        parser.error(f"--keys {given.keys}: must be at least 1")
    if not Path("/proc/self/statm").exists():
        parser.error("memory of other processes is read from /proc, which this system does not have")
    output: Path = given.output
    try:
        output.mkdir(parents=True, exist_ok=True)
        if any(output.iterdir()):
            parser.error(f"--output {output}: is not empty")
    except OSError as error:
        parser.error(f"--output {output}: {error.strerror}")
    plan = Plan(seconds=given.seconds, every=given.every, seed=given.seed, replicas=given.replicas)
    return attrs.evolve(plan, bulk=attrs.evolve(plan.bulk, key_space=given.keys)), output


async def _until_signal(plan: Plan, output: Path, say: Callable[[str], None]) -> Result:
    """Run, and let Ctrl-C end it in order."""
    stop = trio.Event()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                async for _ in signals:
                    stop.set()

            nursery.start_soon(listen)
            result = await run(plan, output, say, stop)
            nursery.cancel_scope.cancel()
    return result


def main() -> int:
    """Run and judge."""
    plan, output = plan_of(_parser())
    with (output / "soak.txt").open("w", encoding="utf-8") as text:

        def say(line: str) -> None:
            print(line, flush=True)
            print(line, file=text, flush=True)

        failures: list[BaseException] = []
        result: Result | None = None
        try:
            result = trio.run(_until_signal, plan, output, say)
        except* (SettingError, ClusterFailed, LoadFailed) as group:
            failures.append(group)
        if result is None:
            failure = failures[0]
            while isinstance(failure, BaseExceptionGroup):
                failure = failure.exceptions[0]
            print(failure, file=sys.stderr)
            return 1
        for line in report(result):
            say(line)
        (output / "soak.json").write_text(json.dumps(result.as_json(), indent=1), encoding="utf-8")
        if result.ledger.breaks:
            keep_ledger(result.ledger, output / "ledger.jsonl")
            say(f"kept: {output} (the cluster's data, replicas.log, ledger.jsonl)")
        else:
            shutil.rmtree(output / "cluster")
    return exit_status(result)


if __name__ == "__main__":
    sys.exit(main())
