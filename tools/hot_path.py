"""What a command costs: processor time of leader, follower and clients for each command, and how that compares with another checkout.

    python tools/hot_path.py                                  this tree
    python tools/hot_path.py --profile leader                 where the leader's time goes
    python tools/hot_path.py --against ../before              this tree over another one, in pairs
    python tools/hot_path.py --against ../before --digest     ... and whether both say the same bytes

Figures like 8 µs are no help on a busy machine: the same code differs by 20 % from minute to minute.  So two trees are measured in *pairs*: two
processes (``tools/hot_path_worker.py``, which says what is measured and what is not), one of each tree, take turns of 3,000 operations; neighbours
met the same minute, and the median of their ratios is the pair's.  Two processes of one tree still differ by some percent, because memory and
hashes lie differently; so there are several pairs, each with a hash seed of its own, who starts first changes places, and the median of the pairs
comes with their range.

Rejected: whole runs one after the other (the machine's mood is most of what they show), and counting instructions (misses of the caches are
what some changes are about).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

from loadgen.intervals import median_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.intervals import Median

ROOT = Path(__file__).resolve().parent.parent
WORKER = Path(__file__).resolve().with_name("hot_path_worker.py")
SLICE_OPERATIONS = 3000
ROLES = {"leader": "leader", "follower": "follower", "client": "clients"}
"""{role: heading}; a figure of clients is of both together."""
KEY_SPACE = 1_000_000
"""Of the workload's default: no more keys can be put into the store before."""
PACKAGES = ("loadgen", "replica", "statemachine", "transport")
"""A tree has all of them; one that it lacked would be imported from where the interpreter finds it."""


class HotPathError(Exception):
    """A tree could not be measured; the message is one line and names it."""


class TreeProcess:
    """A worker of one tree; a context manager that ends it.

    Args:
        tree: the checkout.
        settings: the worker's, but for the tree.
        hash_seed: of Python, at least 1.

    Raises:
        HotPathError: the tree is none, or its internals are others than the worker knows. Also from ``run`` and ``finish``.
    """

    def __init__(self, tree: Path, settings: dict[str, Any], hash_seed: int) -> None:
        self.tree = tree
        missing = [name for name in PACKAGES if not (tree / name / "__init__.py").is_file()]
        if missing:
            raise HotPathError(f"{tree} is no checkout of Triskele: it has no {missing[0]}/__init__.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), json.dumps({"tree": str(tree), **settings})],
            env={**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": str(hash_seed)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self._answer()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes the pipes and waits
            self._process.kill()

    def run(self, operations: int) -> dict[str, Any]:
        """Let so many operations more complete; returns the worker's account of them."""
        assert self._process.stdin is not None
        print(operations, file=self._process.stdin, flush=True)
        return self._answer()

    def finish(self) -> dict[str, Any]:
        """Let everything in flight complete; returns the digest, the state and the profile."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        said = [stripped for text in self._process.stderr if (stripped := text.strip(" |+-\n"))]
        last = said[-1] if said else f"the worker ended with status {self._process.wait()}"
        hint = f" (what a tree must have for this, {WORKER.name} says at its top)" if "Error:" in last else ""
        raise HotPathError(f"{self.tree} cannot be measured: {last}{hint}")


def slices(operations: int) -> list[int]:
    """Cut operations into slices; only the last is smaller."""
    return [min(SLICE_OPERATIONS, operations - begun) for begun in range(0, operations, SLICE_OPERATIONS)]


# ----------------------------------------------------------------------------------------------------------------------------- one tree


def alone(options: argparse.Namespace) -> list[str]:
    """Measure this tree; returns what to print."""
    with TreeProcess(ROOT, worker_settings(options), 1) as process:
        answers = [process.run(count) for count in slices(options.operations)]
        end = process.finish()
    operations = sum(answer["operations"] for answer in answers)
    lines = [f"{operations:,} commands after {options.warm_up:,}, {what(options)}"]
    if end["profile"]:
        lines += ["", end["profile"]]
    else:
        for role, heading in ROLES.items():
            microseconds = sum(answer["nanoseconds"][role] for answer in answers) / operations / 1000
            turns = sum(answer["turns"][role] for answer in answers)
            lines.append(f"{heading:9} {microseconds:8.3f} µs a command, {operations / turns:7.1f} commands a turn")
    return lines + ([digest_line(end)] if options.digest else [])


def what(options: argparse.Namespace) -> str:
    """Say in a few words what the operations were."""
    return (
        f"{2 * options.threads} x {options.pendings}, {options.keys:,} keys before, {options.causal_percent:g} % causal, "
        f"writes {options.write_percent:g} % of the strong and {options.causal_write_percent:g} % of the causal"
    )


def digest_line(end: dict[str, Any]) -> str:
    """Say what was exchanged, and what came of it."""
    return f"digest of all bytes {end['digest']}, state {end['state']}"


# ----------------------------------------------------------------------------------------------------------------------------- two trees


def pair(before: Path, after: Path, options: argparse.Namespace, number: int) -> tuple[dict[str, float], dict[str, Any], dict[str, Any]]:
    """Measure two trees side by side.

    Args:
        before: one tree.
        after: the other; even pairs start it first.
        options: of the command.
        number: of the pair, from 1.

    Returns:
        {role: the median of ``after`` over ``before`` of neighbouring slices}, and what each ended with.
    """
    settings, trees = worker_settings(options), [before, after]
    first = (number - 1) % 2
    with TreeProcess(trees[first], settings, number) as one, TreeProcess(trees[1 - first], settings, number) as other:
        old, new = (one, other) if first == 0 else (other, one)
        ratios: dict[str, list[float]] = {role: [] for role in ROLES}
        for place, operations in enumerate(slices(options.operations)):
            answers = {process: process.run(operations) for process in ((old, new) if place % 2 == 0 else (new, old))}
            for role, found in ratios.items():
                was, is_now = (answers[process]["nanoseconds"][role] / answers[process]["operations"] for process in (old, new))
                found.append(is_now / was)
        return {role: median(found) for role, found in ratios.items()}, old.finish(), new.finish()


def compare(options: argparse.Namespace) -> tuple[list[str], bool]:
    """Measure all pairs; returns what to print, and whether both trees said the same bytes."""
    before = Path(options.against).resolve()
    pairs: list[dict[str, float]] = []
    was = is_now = {"digest": "", "state": ""}
    for number in range(1, options.pairs + 1):
        ratios, was, is_now = pair(before, ROOT, options, number)
        pairs.append(ratios)
        told = ", ".join(f"{heading} {percent(ratios[role])} %" for role, heading in ROLES.items())
        print(f"pair {number} of {options.pairs}: {told}", file=sys.stderr, flush=True)
    same, outcome = was["digest"] == is_now["digest"], "the same state" if was["state"] == is_now["state"] else "different states"
    cells = [cell(median_of([ratios[role] for ratios in pairs])) for role in ROLES]
    lines = [
        f"| this tree over `{before.name}` | pairs | {' | '.join(ROLES.values())} |",
        "| --- | --- | --- | --- | --- |",
        f"| {what(options)} | {len(pairs)} | {' | '.join(cells)} |",
        "",
        f"The trees said {'the same' if same else 'different'} bytes and came to {outcome}.",
    ]
    if options.digest:
        lines += [f"{before}: {digest_line(was)}", f"{ROOT}: {digest_line(is_now)}"]
    return lines, same


def percent(ratio: float) -> str:
    """Return a ratio as a change, without the sign of percent."""
    return f"{100 * (ratio - 1):+.1f}"


def cell(ratio: Median) -> str:
    """Return the median of pairs, and their range where there are several."""
    spread = f" ({percent(ratio.least)} to {percent(ratio.most)})" if ratio.runs > 1 else ""
    return f"{percent(ratio.median)} %{spread}"


# ----------------------------------------------------------------------------------------------------------------------- the command line


def worker_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the worker is told, but for the tree."""
    names = ("seed", "threads", "pendings", "keys", "write_percent", "causal_write_percent", "causal_percent", "warm_up", "profile")
    return {name: getattr(options, name) for name in names}


def whole(least: int, most: int) -> Any:
    """Return a reader of whole numbers in a range, for argparse."""

    def read(text: str) -> int:
        if not (text.isdecimal() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least:,} to {most:,}")
        return int(text)

    return read


def share(text: str) -> float:
    """Read a percentage, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:  # noqa: PLR2004 - percent
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 100")
    return value


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    made = argparse.ArgumentParser(prog="hot_path", description=(__doc__ or "").partition("\n")[0])
    add = made.add_argument
    add("--against", metavar="TREE", help="another checkout: this tree over that one, in pairs")
    add("--pairs", type=whole(1, 1000), default=8, help="how many pairs of processes (8)")
    add("--operations", type=whole(1, 100_000_000), default=60_000, help="commands that count, of each process (60,000)")
    add("--warm-up", type=whole(0, 100_000_000), default=20_000, help="commands before (20,000)")
    add("--threads", type=whole(1, 1000), default=8, help="streams of each of the two clients (8)")
    add("--pendings", type=whole(1, 4096), default=15, help="commands in flight of each stream (15)")
    add("--keys", type=whole(0, KEY_SPACE), default=0, help="put into the store before, the hottest first (0)")
    add("--write-percent", type=share, default=10.0, help="writes among the strong commands (10)")
    add("--causal-write-percent", type=share, default=10.0, help="writes among the causal commands (10)")
    add("--causal-percent", type=share, default=50.0, help="causal commands (50)")
    add("--seed", type=whole(0, 1 << 31), default=7, help="of the workload and of who has the next turn (7)")
    add("--profile", choices=[*ROLES], default="", help="where this role's time goes, instead of how much it is")
    add("--digest", action="store_true", help="tell the digest of all bytes exchanged and the state; with --against: status 1 if they differ")
    return made


def main(words: Sequence[str] | None = None) -> int:
    """Measure; return 2 if a tree could not be measured, 1 if ``--digest`` found different bytes."""
    options = parser().parse_args(words)
    if options.against and options.profile:
        parser().error("--profile looks at this tree alone, without --against")
    try:
        lines, same = compare(options) if options.against else (alone(options), True)
    except HotPathError as error:
        print(f"hot_path: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 1 if options.digest and not same else 0


if __name__ == "__main__":
    sys.exit(main())
