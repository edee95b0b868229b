"""Replicas are killed under load, again and again, and nothing that was acknowledged may be missing afterwards.

``python -m tests.chaos.kills --rounds 20 --victim leader``: real processes on real disks, hundreds of clients' workers, SIGKILL of the leader, of a
follower, of all, or a mix; with disk durability the dead come back.  Every command is in a ledger (``ledger``), which judges each read as it
comes; after each kill of all, and at the end, the load is held and the whole store compared with what was promised.  What the users noticed
is worked out of the ledger afterwards (``figures``).

Exit status 1 when a promise broke; the data folder is kept then, with the ledger and what the replicas wrote beside it.

SIGKILL takes a process and leaves the operating system's page cache: what a loss of power does is the simulator's matter.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import attrs
import trio

from replica.config import SettingError, add_settings_flags, settings_from
from tests.chaos.figures import Figures, table
from tests.chaos.ledger import Ledger, Outcome
from tests.chaos.load import Shape, open_load
from tests.chaos.rounds import Plan, Run, Stuck, Victim
from triskele.cluster import ClusterFailed, local_cluster
from triskele.supervision import RestartPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

ENDED = re.compile(r"^replica \d+ (?:was killed by (?!SIGKILL)|ended with status|cannot be started)|Traceback|AssertionError")
"""What a replica's supervisor, or the replica, says when it ended without us."""
SHOWN_MAX = 20
"""Broken promises printed; all are in the ledger's file."""


@attrs.frozen
class Result:
    """What came of a run."""

    rows: list[Figures]
    ledger: Ledger

    def as_json(self) -> dict[str, object]:
        """Return the whole for a file."""
        counts = {outcome.value: self.ledger.count(outcome) for outcome in Outcome}
        return {"commands": counts, "breaks": self.ledger.breaks, "rounds": [attrs.asdict(row) for row in self.rows]}


async def run(plan: Plan, folder: Path, say: Callable[[str], None] = print) -> Result:
    """Run a cluster in a folder and kill its replicas by the plan.

    Args:
        plan: What to do.
        folder: For the cluster's data and, in ``replicas.log``, for what its replicas and their supervisor say, with the ledger's times.
        say: Takes a line for each round.

    Returns:
        What came of it. ``ledger.breaks`` are the promises that broke; a cluster that did not come back is one, too.

    Raises:
        SettingError: The folder cannot be used.
        ClusterFailed: The cluster did not start.
    """
    ledger, restarts = Ledger(), RestartPolicy(first_seconds=plan.restart_seconds, most_seconds=plan.restart_seconds)
    rows: list[Figures] = []
    with (folder / "replicas.log").open("w") as log:

        def hear(words: str) -> None:
            log.write(f"{trio.current_time():.6f} {words}\n")
            if ENDED.search(words):
                ledger.broken(f"a replica ended by itself: {words}")

        async with local_cluster(plan.replicas, plan.settings, data_dir=folder / "cluster", restarts=restarts, say=hear) as cluster:
            addresses = ",".join(place.address for place in cluster.file.replicas)
            async with open_load(addresses, ledger, plan.shape, plan.seed) as load:
                running = Run(plan, cluster, load, say)
                rows = running.rows
                try:
                    await running.go()
                except* Stuck as stuck:
                    ledger.broken(f"not served: {_first(stuck)}")
    return Result(rows, ledger)


def _first(group: BaseExceptionGroup[Stuck]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def keep_ledger(ledger: Ledger, file: Path) -> None:
    """Write every command of a run, a JSON object a line, in the order of their invocation; the first line has the broken promises."""
    with file.open("w") as out:
        print(json.dumps({"breaks": ledger.breaks}), file=out)
        for command in ledger.commands:
            told = {
                "kind": command.kind,
                "session": command.session.name,
                "generation": command.generation,
                "home": command.home,
                "key": command.register.key.decode() if command.register is not None else None,
                "place": command.write.place if command.write is not None else None,
                "floor": command.floor,
                "invoked": command.invoked,
                "returned": command.returned,
                "outcome": command.outcome.value,
                "effect": command.write.outcome.value if command.write is not None else None,
            }
            print(json.dumps(told), file=out)


def report(plan: Plan, result: Result) -> list[str]:
    """Tell the whole run: the table, what was counted, what broke."""
    ledger = result.ledger
    counts = ", ".join(f"{ledger.count(outcome)} {outcome.value}" for outcome in Outcome)
    lost = sum(line.startswith("LOST") for line in ledger.breaks)
    lines = ["", f"times in milliseconds, rates in strong commands a second; seed {plan.seed}", *table(result.rows)]
    lines += [f"commands: {counts}", f"lost: {lost}; promises broken: {len(ledger.breaks)}"]
    lines += [f"BROKEN: {line}" for line in ledger.breaks[:SHOWN_MAX]]
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="kills (default 20)")
    parser.add_argument("--victim", choices=get_args(Victim), default="mix", help="whom (default mix)")
    parser.add_argument("--seconds-between", type=float, default=3.0, help="mean time between a recovery and the next kill, at least 2 (default 3)")
    parser.add_argument("--restart-seconds", type=float, default=1.0, help="from a death to the new process (default 1, as `triskele up`)")
    parser.add_argument("--back-seconds", type=float, default=20.0, help="the cluster must be back after (default 20)")
    parser.add_argument("--replicas", type=int, default=3, help="(default 3)")
    parser.add_argument("--workers", type=int, default=40, help="in each of 8 sessions (default 40)")
    parser.add_argument("--pause-ms", type=float, default=300.0, help="a worker's mean pause between commands (default 300; 0: as fast as they can)")
    parser.add_argument("--data-dir", type=Path, help="an empty folder; kept. Default: a temporary one, kept when a promise broke")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--seed", type=int, default=1, help="of victims, pauses and commands (default 1)")
    add_settings_flags(parser, without=frozenset({"listen", "websocket", "admin", "insecure"}))
    return parser


def main() -> int:
    """Run and judge."""
    parser = _parser()
    arguments = parser.parse_args()
    try:
        plan = Plan(
            rounds=arguments.rounds, victim=arguments.victim, settings=settings_from(arguments, os.environ), replicas=arguments.replicas,
            between_seconds=arguments.seconds_between, restart_seconds=arguments.restart_seconds, back_seconds=arguments.back_seconds,
            shape=Shape(workers=arguments.workers, pause_seconds=arguments.pause_ms / 1000), seed=arguments.seed,
        )  # fmt: skip
        if plan.refusal():
            parser.error(plan.refusal())
        folder: Path = arguments.data_dir or Path(tempfile.mkdtemp(prefix="triskele-kills-"))
        folder.mkdir(parents=True, exist_ok=True)
        result = trio.run(run, plan, folder)
    except (SettingError, ClusterFailed) as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print("\n".join(report(plan, result)))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result.as_json(), indent=1))
    if result.ledger.breaks:
        keep_ledger(result.ledger, folder / "ledger.jsonl")
        print(f"kept: {folder} (the cluster's data, replicas.log, ledger.jsonl)")
        return 1
    if arguments.data_dir is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
