"""``triskele chaos``: faults in a cluster of its own, by a schedule from a seed, under load whose history is checked."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from triskele.chaos.kinds import KINDS
from triskele.cli.arguments import whole
from triskele.cli.framework import argument_type, complain
from triskele.cli.load import needing_extra

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele chaos --seconds 60 --seed 7 --output chaos                              # every kind of fault; report in chaos/",
    'triskele chaos --nemesis kill,partition --load="--rate 3000" --output chaos      # two kinds, more load',
)

_REPLICAS, _SECONDS, _SEED = 3, 60.0, 1
_SECONDS_MIN, _SECONDS_MAX = 6.0, 86_400.0


def _count(text: str) -> int:
    """Read a number of replicas of which a minority can be missed."""
    if text not in {"3", "5", "7", "9"}:
        raise ValueError(text)
    return int(text)


_REPLICAS_TYPE = argument_type(_count, "must be one of 3, 5, 7, 9")


def _length(text: str) -> float:
    """Read a number of seconds in which there is time for a fault."""
    number = float(text)
    if not _SECONDS_MIN <= number <= _SECONDS_MAX:
        raise ValueError(text)
    return number


_SECONDS_TYPE = argument_type(_length, f"must be {_SECONDS_MIN:g} seconds at least, or there is no time for a fault, and {_SECONDS_MAX:,.0f} at most")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("--replicas", metavar="N", type=_REPLICAS_TYPE, default=_REPLICAS, help=f"of the cluster: 3, 5, 7 or 9 (default {_REPLICAS})")
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=_SECONDS_TYPE,
        default=_SECONDS,
        help=f"of load, faults and calm, {_SECONDS_MIN:g} at least (default {_SECONDS:g})",
    )
    parser.add_argument("--seed", metavar="N", type=whole(0, (1 << 63) - 1), default=_SEED, help=f"of the schedule and the load (default {_SEED})")
    parser.add_argument("--nemesis", metavar="NAME,…", default="", help="kinds of fault to draw from, see below (default: all that can be had)")
    width = max(map(len, KINDS))
    parser.add_argument_group(
        "kinds of fault, for --nemesis (partition: all that begin so)", "\n".join(f"{name:<{width}}  {says}" for name, says in KINDS.items())
    )
    parser.add_argument("--load", metavar="FLAGS", default="", help="flags of triskele load, instead of ours; --durability is among them")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=None, help="folder for report.md, report.html, chaos.json, history.jsonl and replicas.log"
    )


def run(arguments: Namespace) -> int:
    """Run the command: 0 if every promise held and every fault was felt, 130 after Ctrl-C, else 1."""
    from replica.config import SettingError

    if arguments.output is None:
        raise SettingError("--output", "", "missing: name the folder for the reports")
    with needing_extra():
        from loadgen.stopping import EXIT_SIGNAL
        from triskele.chaos.report import check_folder, write_folder
        from triskele.chaos.run import chaos
        from triskele.chaos.settings import ChaosSettings, kinds_of, load_of

    names = tuple(name.strip() for name in arguments.nemesis.split(",") if name.strip())
    settings = ChaosSettings(
        replicas=arguments.replicas, seconds=arguments.seconds, seed=arguments.seed, output=arguments.output, nemeses=names, load=arguments.load
    )
    kinds_of(settings, durable=load_of(settings)[1].durability == "disk")  # wrong flags are told before a folder is made
    check_folder(settings.output)
    result = chaos(settings, lambda line: print(line, file=sys.stderr, flush=True))
    unwritten = [*result.pop("unwritten"), *write_folder(settings.output, result)]
    for line in unwritten:
        complain(line)
    for problem in result["problems"]:
        print(f"NOT AS IT SHOULD BE: {problem}")
    verdict = "partial" if result["partial"] else "passed" if result["passed"] else "not passed"
    print(
        f"{verdict}: {result['operations']:,} commands, {len(result['faults'])} faults, at most "
        f"{result['longest_strong_silence_seconds']:.2f} s without a strong completion; {settings.output / 'report.html'} and report.md"
    )
    if result["stopped"]:
        return EXIT_SIGNAL + signal.Signals[result["stopped"]]
    return 0 if result["passed"] and not unwritten else 1
