"""``python -m loadgen.bench``: the store beside its two floors, at several numbers of streams, repeats interleaved, medians in one table.

Interleaved, because a machine's mood changes over minutes: each setting, and each floor, meets each mood. Every repeat has a fresh cluster.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loadgen.cli import measure
from loadgen.files import check_writable, write_or_tell
from loadgen.runner import LoadFailed
from loadgen.settings import LoadSettings
from loadgen.stopping import EXIT_SIGNAL, until_signal
from replica.config import SettingError, Settings
from triskele.cli.arguments import seconds, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.report import Result

POINTS: Final = {"4 x 15": (2, 2, 15), "16 x 15": (2, 8, 15), "4 x 128": (2, 2, 128)}
"""Client processes, streams of each, operations in flight of each stream."""
REPEATS_MAX: Final = 1000
MEMORY: Final = Settings().changed("--durability", durability="memory")
"""Floors have no disk either."""


@attrs.frozen
class Row:
    """Medians of one point."""

    name: str
    per_second: float
    wire_per_second: float
    codec_per_second: float
    lowest: float
    highest: float


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit status: 1 if a run failed or the results could not be written, 2 for a wrong flag, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m loadgen.bench", description="The store beside the wire floor and the codec floor.")
    parser.add_argument("--seconds", type=seconds(), default=5.0, help="of each measured run (default 5)")
    parser.add_argument("--repeats", type=whole(1, REPEATS_MAX), default=3, help="of each point (default 3)")
    parser.add_argument("--points", default=",".join(POINTS), help=f"which of {', '.join(POINTS)} (default all)")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--transport", choices=("native", "websocket"), default="native")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="every run's result, as a list")
    arguments = parser.parse_args(words)
    points = [name.strip() for name in arguments.points.split(",")]
    unknown = [name for name in points if name not in POINTS]
    if unknown:
        parser.error(f"--points {unknown[0]}: must be one of {', '.join(POINTS)}")
    results: dict[str, list[Result]] = {name: [] for name in points}
    try:
        settings = {name: settings_of(name, arguments.seconds, arguments.replicas, arguments.transport) for name in points}
        if arguments.json:
            check_writable("--json", str(arguments.json))
    except SettingError as error:
        parser.error(str(error))
    try:
        for repeat in range(arguments.repeats):
            for name in points:
                print(f"repeat {repeat + 1} of {arguments.repeats}: {name}", file=sys.stderr, flush=True)
                result, stopped = trio.run(until_signal, measure, settings[name], MEMORY)
                if stopped is not None:
                    print(f"bench: stopped by {stopped.name}, nothing is reported", file=sys.stderr)
                    return EXIT_SIGNAL + stopped
                results[name].append(result)
    except LoadFailed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(table([row(name, runs) for name, runs in results.items()]))
    if not arguments.json:
        return 0
    text = json.dumps([run for runs in results.values() for run in runs]) + "\n"
    unwritten = write_or_tell("--json", arguments.json, partial(arguments.json.write_text, text, encoding="utf-8"))
    for line in unwritten:
        print(f"bench: {line}", file=sys.stderr)
    return 1 if unwritten else 0


def settings_of(name: str, seconds: float, replicas: int, transport: str) -> LoadSettings:
    """Return the settings of a point's run."""
    clients, threads, pendings = POINTS[name]
    return LoadSettings(
        local=replicas, clients=clients, threads=threads, pendings=pendings, seconds=seconds, transport=transport, floor=True, quiet=True
    )


def row(name: str, runs: Sequence[Result]) -> Row:
    """Return the medians of a point's runs."""
    rates = [run["throughput_per_second"] for run in runs]
    floors = {kind: statistics.median(run["floors"][kind] for run in runs) for kind in ("wire_per_second", "codec_per_second")}
    return Row(name, statistics.median(rates), floors["wire_per_second"], floors["codec_per_second"], min(rates), max(rates))


def table(rows: Sequence[Row]) -> str:
    """Return the table."""
    heads = f"{'streams x in flight':<20}{'store/s':>10}{'lowest':>10}{'highest':>10}"
    lines = [f"{heads}{'wire floor/s':>14}{'share':>8}{'codec floor/s':>15}{'share':>8}"]
    for found in rows:
        wire, codec = (found.per_second / floor if floor else 0.0 for floor in (found.wire_per_second, found.codec_per_second))
        cells = f"{found.per_second:>10,.0f}{found.lowest:>10,.0f}{found.highest:>10,.0f}"
        lines.append(f"{found.name:<20}{cells}{found.wire_per_second:>14,.0f}{wire:>8.0%}{found.codec_per_second:>15,.0f}{codec:>8.0%}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
