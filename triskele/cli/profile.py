"""``triskele profile``: what replicas and clients spend their time on, measured; and what moved between two such profiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from triskele.cli.arguments import DEFAULT_CLUSTER, seconds, whole
from triskele.cli.framework import complain
from triskele.cli.load import needing_extra

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    'triskele profile --cluster ready.json --seconds 30 --load="--threads 8" --output profile    # under load of our own',
    "triskele profile --compare profile-before profile-after                                     # what moved",
)

SECONDS, HZ = 30.0, 100
SECONDS_MAX, HZ_MAX = 300, 1000


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument(
        "--cluster", metavar="ADDRESS,…|FILE", default=None,
        help=f"addresses, a ready file or a cluster TOML; or TRISKELE_CLUSTER (default {DEFAULT_CLUSTER})",
    )  # fmt: skip
    parser.add_argument(
        "--local", metavar="N", type=whole(1, 9), default=None, help="a cluster of our own of N replicas, under load, stopped at the end"
    )
    parser.add_argument(
        "--seconds", metavar="S", type=seconds(), default=SECONDS, help=f"how long to sample, {SECONDS_MAX} at most (default {SECONDS:g})"
    )
    parser.add_argument(
        "--hz", metavar="N", type=whole(1, HZ_MAX), default=HZ,
        help=f"samples in a second of processor time (default {HZ}); the kernel's clock tick, often 250, is the most there is",
    )  # fmt: skip
    parser.add_argument(
        "--load", metavar="FLAGS", nargs="?", const="", default=None,
        help="put load on the cluster meanwhile, with these flags of triskele load, and sample its client processes too",
    )  # fmt: skip
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=None, help="folder for report.md, report.html, profile.json and each process's samples"
    )
    parser.add_argument(
        "--compare", metavar="DIR", nargs=2, type=Path, default=None, help="tell what moved from one profile to another; nothing else"
    )


def run(arguments: Namespace) -> int:
    """Run the command.

    Returns:
        0 done; 130 after Ctrl-C; 1 if a replica could not be sampled, operations failed or none completed, or a file could not be written.
    """
    with needing_extra():
        return _compare(*arguments.compare) if arguments.compare else _profile(arguments)


def _compare(old: Path, new: Path) -> int:
    from triskele.profile.comparison import comparable, compare
    from triskele.profile.document import plain
    from triskele.profile.folder import read_folder

    before, after = (comparable(read_folder(folder, "--compare"), folder, "--compare") for folder in (old, new))
    print(plain(compare(before, after, (str(old), str(new)))), end="")
    return 0


def _profile(arguments: Namespace) -> int:
    import trio

    from loadgen.report import problems
    from loadgen.stopping import EXIT_SIGNAL, until_signal
    from replica.config import SettingError
    from triskele.profile.folder import check_folder, write_folder
    from triskele.profile.run import ProfileSettings, load_of, profile
    from triskele.profile.verdicts import key_findings

    if arguments.output is None:
        raise SettingError("--output", "", "missing: name the folder for the reports")
    if arguments.seconds > SECONDS_MAX:
        raise SettingError("--seconds", arguments.seconds, f"must be {SECONDS_MAX} at most")
    load = arguments.load
    if arguments.local:
        if arguments.cluster and "cluster" not in arguments.written:  # elsewhere it says where clusters usually are
            raise SettingError("--local", arguments.local, f"--cluster {arguments.cluster} says where a cluster is: give one of them")
        load = f"--local {arguments.local} {load or ''}"
    cluster = "" if arguments.local else arguments.cluster or DEFAULT_CLUSTER
    settings = ProfileSettings(cluster=cluster, seconds=arguments.seconds, hz=arguments.hz, load=load)
    if load is not None:
        load_of(settings)  # wrong flags are told before a folder is made
    check_folder(arguments.output, "--output")
    profiled, stopped = trio.run(until_signal, profile, settings)
    if stopped is not None:
        complain(f"profile: stopped by {stopped.name}, nothing is reported")
        return EXIT_SIGNAL + stopped
    unwritten = write_folder(arguments.output, profiled.result, profiled.recordings, profiled.flames)
    for line in key_findings(profiled.result):
        print(line.replace("**", ""))
    samples = f"{arguments.output}/*.pprof, *.speedscope.json, *.collapsed"
    print(f"\n{'partial ' if profiled.result['partial'] else ''}report: {arguments.output / 'report.html'} and report.md; samples: {samples}")
    told = profiled.result["load"]
    wrong = [f"replica {number} is missing: {why}" for number, why in sorted(profiled.result["missing"].items())]
    wrong += [f"the load: {problem}" for problem in problems(told)] if told is not None else []
    for line in [*unwritten, *(f"profile: {words}" for words in wrong)]:
        complain(line)
    return 1 if unwritten or wrong else 0
