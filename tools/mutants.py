"""How strong the tests are: small mistakes are planted into a copy of the sources, one at a time, and the tests must find them.

Each mutant of ``tools/mutants_list.py`` climbs a ladder of test commands, the cheapest first, until one of them fails: it is *killed*.  A command
that does not end in its time kills as well, and is marked.  Who comes to the top *survived*: a test is missing, or the change changes nothing.
Nothing is believed before the sources without any mutant pass the whole ladder, in the same copy.  The checkout itself is never changed.

    python tools/mutants.py --output mutants-report
    python tools/mutants.py --only votes-twice acks-unsynced
    python tools/mutants.py --again            those that survived, once more

A run that was interrupted goes on where it was: results are kept by the text of the mutated file, in ``mutants.json``.

Source: mutation testing (DeMillo, Lipton & Sayward, *Hints on Test Data Selection*, 1978), with mutants written by hand.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.mutants_list import MUTANTS, Mutant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("triskele", "replica", "transport", "statemachine", "loadgen", "tests", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".hypothesis", "corpus")
REPORT = "mutants.json"
TABLE = "mutants.md"
EVIDENCE_CHARACTERS_MAX = 160
PATIENCE = 10
"""How much longer than its processor time a rung may take by the clock."""
CONTROL = Mutant("none", "", "", "", "", "")
"""Nothing planted: it must survive."""


class NoMutantError(Exception):
    """A mutant of the list has no place in the sources, or is no program: the list is to blame."""


class BadLadderError(Exception):
    """A rung could not be run, or fails without any mutant: nothing can be said of the tests."""


@dataclass(frozen=True)
class Rung:
    """A test command.

    Attributes:
        name: in tables.
        command: behind ``python -m``.
        seconds_max: what takes more processor time hangs; and what waits ten times as long.
        sees: beginnings of the paths of what it runs; other mutants it cannot find.
    """

    name: str
    command: tuple[str, ...]
    seconds_max: float
    sees: tuple[str, ...] = ("",)


PYTEST = ("pytest", "-q", "-x", "-p", "no:cacheprovider")
CORE = ("replica/core/", "statemachine/")
STORMS = {"storm": 6, "outage": 4, "schism": 6, "churn": 4, "upheaval": 4}
"""Seeds of each kind of world (tests/sim/storms.py)."""
LADDER = (
    Rung("core", (*PYTEST, "tests/scenarios", "tests/replica/core"), 200.0, CORE),
    Rung("storage", (*PYTEST, "tests/replica/storage"), 120.0, ("replica/storage/",)),
    Rung("state machine", (*PYTEST, "tests/statemachine"), 90.0, ("statemachine/",)),
    Rung(
        "on disk",
        (
            *PYTEST,
            "tests/replica/test_persistence.py",
            "tests/replica/test_persistence_segments.py",
            "tests/replica/test_persistence_snapshots.py",
            "tests/replica/test_restored_folder.py",
        ),
        90.0,
    ),
    Rung("simulator", ("tests.sim", "--seeds", "16", "--shrink-seconds", "0"), 150.0, CORE),
    *(Rung(name, ("tests.sim", "--planted", name, "--seeds", str(seeds), "--shrink-seconds", "0"), 90.0, CORE) for name, seeds in STORMS.items()),
    Rung("scopes", ("tests.scopes",), 240.0, CORE),
)
"""Behind a mutant's own first rung, the tests of the file it is in."""


@dataclass
class Result:
    """What became of one mutant.

    Attributes:
        name: its name.
        text: checksum of the mutated file.
        killed_by: name of the rung; empty for a survivor.
        hung: that rung did not end in its time.
        evidence: what it said first.
        seconds: of each rung that was climbed.
    """

    name: str
    text: str
    killed_by: str = ""
    hung: bool = False
    evidence: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


# ---------------------------------------------------------------------------------------------------------------------------- one mutant


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """Return the text of the mutant's file with the mutant in it.

    Raises:
        NoMutantError: there is not just one place for it, or what comes out is no Python.
    """
    path = root / mutant.file
    text = path.read_text() if path.is_file() else ""
    places = text.count(mutant.old)
    if places != 1:
        raise NoMutantError(f"{mutant.name}: {mutant.file} has its text {places} times: plant the same mistake in what stands there now")
    found = text.replace(mutant.old, mutant.new)
    try:
        compile(found, mutant.file, "exec")
    except SyntaxError as error:
        raise NoMutantError(f"{mutant.name}: {error}") from error
    if found == text:
        raise NoMutantError(f"{mutant.name}: nothing is changed")
    return found


def own_tests(file: str, root: Path = ROOT) -> list[str]:
    """Return the test modules that mirror a source file, as paths from the root: ``test_<module>.py`` and its aspects."""
    source = Path(file)
    folder = root / "tests" / source.parent
    found = [*folder.glob(f"test_{source.stem}.py"), *folder.glob(f"test_{source.stem}_*.py")]
    return sorted(path.relative_to(root).as_posix() for path in found)


def rungs(mutant: Mutant, root: Path = ROOT) -> list[Rung]:
    """Return the rungs that can see a mutant, in order; all of them without one."""
    if mutant is CONTROL:
        return list(LADDER)
    own = Rung("its own", (*PYTEST, *own_tests(mutant.file, root)), 120.0)
    return [own, *(rung for rung in LADDER if mutant.file.startswith(rung.sees))]


def copy_sources(source: Path, target: Path) -> None:
    """Copy what the rungs need."""
    target.mkdir(parents=True)
    for name in COPIED:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=LEFT_OUT)
        else:
            shutil.copy2(source / name, target / name)


def judge(mutant: Mutant, base: Path, ladder: Sequence[Rung] | None = None) -> Result:
    """Plant a mutant into a copy of its own of the sources in ``base`` and let it climb.

    Raises:
        NoMutantError: it has no place there, or what comes out cannot be imported.
        BadLadderError: a rung could not be run.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
        copy = Path(scratch) / "triskele"
        copy_sources(base, copy)
        result = Result(mutant.name, "")
        if mutant is not CONTROL:
            text = mutated(mutant, base)
            (copy / mutant.file).write_text(text)
            result.text = checksum(text)
            _import(mutant, copy)
        for rung in ladder if ladder is not None else rungs(mutant, base):
            began = time.monotonic()
            status, output = run(rung, copy)
            result.seconds[rung.name] = round(time.monotonic() - began, 1)
            if status in {4, 5} and rung.command[0] == "pytest":
                raise BadLadderError(f"{mutant.name}: {rung.name}: pytest found nothing to run\n{output[-2000:]}")
            if status != 0:
                result.killed_by, result.hung, result.evidence = rung.name, status is None, evidence(output)
                break
        return result


def checksum(text: str) -> str:
    """Return a short checksum of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _import(mutant: Mutant, copy: Path) -> None:
    """See that the copy is what the tests will run, and that the mutant is no mistake that any import finds."""
    module = mutant.file.removesuffix(".py").replace("/", ".")
    status, output = run(Rung("import", (module,), 30.0), copy, ("-c", f"import {module} as it; print(it.__file__)"))
    if status != 0 or str(copy / mutant.file) not in output:
        raise NoMutantError(f"{mutant.name}: {module} cannot be imported from the copy\n{output[-2000:]}")


def run(rung: Rung, copy: Path, arguments: Sequence[str] | None = None) -> tuple[int | None, str]:
    """Run a rung's command in a copy, in a process group of its own, which ends with it.

    Returns:
        (exit status, None if it did not end in its time; its output).
    """
    limited = ("/bin/sh", "-c", 'ulimit -t "$0" && exec "$@"', f"{math.ceil(rung.seconds_max)}")  # on a busy machine the clock says little
    command = [*limited, sys.executable, *(arguments if arguments is not None else ("-m", *rung.command))]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONHASHSEED": "0", "CI": "true"}  # CI: Hypothesis draws the same examples every time
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(command, cwd=copy, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        try:
            status: int | None = process.wait(rung.seconds_max * PATIENCE)
            status = None if status in {-signal.SIGXCPU, -signal.SIGKILL} else status
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if process.returncode is None:  # with all its children
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return status, output.read()


def evidence(output: str) -> str:
    """Return what a failed rung said first: the failed test, the seed that failed, the scope that broke; else its last line."""
    lines = [line.strip() for line in output.replace("\r", "\n").splitlines() if line.strip()]
    marks = ("FAILED", "ERROR", "Timeout")
    said = [line for line in lines if line.startswith(marks) or line.endswith("BROKEN")]
    return (said or lines[-1:] or [""])[0].removeprefix("FAILED").strip()[:EVIDENCE_CHARACTERS_MAX]


# ------------------------------------------------------------------------------------------------------------------------------- a table


def table(results: dict[str, Result], mutants: Sequence[Mutant] = MUTANTS) -> str:
    """Return a page: how many were killed, by area, and what became of each. Those with a remark survived at first."""
    known = [mutant for mutant in mutants if mutant.name in results]
    killed = [mutant for mutant in known if results[mutant.name].killed_by]
    at_first = [mutant for mutant in killed if not mutant.remark]
    seconds = sum(sum(results[mutant.name].seconds.values()) for mutant in known)
    how = f"planted one at a time (`python tools/mutants.py`, {seconds / 60:.0f} minutes of tests)"
    lines = [
        "# Mutants", "",
        f"{len(known)} small mistakes, {how}: {len(at_first)} were found at first, {len(killed)} are found now.",
        "[Testing](testing.md#mutants) says how they were chosen, and what they climb.",
        "The time is what it took until the first test failed, on a busy machine.", "",
        "| area | mutants | found at first | found now |", "| --- | --- | --- | --- |",
        *(
            f"| {area} | {sum(m.area == area for m in known)} | {sum(m.area == area for m in at_first)} | {sum(m.area == area for m in killed)} |"
            for area in dict.fromkeys(mutant.area for mutant in known)
        ), "",
    ]  # fmt: skip
    for area in dict.fromkeys(mutant.area for mutant in known):
        lines += [f"## {area.capitalize()}", "", "| mutant | the promise it breaks | found by | after |", "| --- | --- | --- | --- |"]
        lines += [_row(mutant, results[mutant.name]) for mutant in known if mutant.area == area]
        lines.append("")
    remarked = [mutant for mutant in known if mutant.remark]
    if remarked:
        lines += ["## Survivors of the first run", "", *(f"- `{mutant.name}` ({mutant.file}): {mutant.remark}" for mutant in remarked), ""]
    return "\n".join(lines)


def _row(mutant: Mutant, result: Result) -> str:
    found = f"{result.killed_by}{' (hung)' if result.hung else ''}" if result.killed_by else "**nothing**"
    return f"| `{mutant.name}` | {mutant.promise} | {found} | {sum(result.seconds.values()):.0f} s |"


# -------------------------------------------------------------------------------------------------------------------------------- a run


def load(output: Path) -> dict[str, Result]:
    """Return the results of earlier runs by name; none if there were none."""
    path = output / REPORT
    rows: list[dict[str, Any]] = json.loads(path.read_text())["results"] if path.exists() else []
    return {row["name"]: Result(**row) for row in rows}


def save(output: Path, results: dict[str, Result]) -> None:
    """Keep results, in the order of the list."""
    output.mkdir(parents=True, exist_ok=True)
    order = [CONTROL.name, *(mutant.name for mutant in MUTANTS)]
    rows = [asdict(results[name]) for name in order if name in results]
    (output / REPORT).write_text(json.dumps({"schema": "triskele.mutants/1", "results": rows}, indent=1) + "\n")
    (output / TABLE).write_text(table(results))


def due(mutants: Iterable[Mutant], results: dict[str, Result], base: Path, *, again: bool) -> list[Mutant]:
    """Return the mutants without a result for the present text of their file; ``again``: and those that survived."""
    found = []
    for mutant in mutants:
        known = results.get(mutant.name)
        if known is None or known.text != checksum(mutated(mutant, base)) or (again and not known.killed_by):
            found.append(mutant)
    return found


def check_control(base: Path, results: dict[str, Result]) -> None:
    """Let the sources without a mutant climb the whole ladder.

    Raises:
        BadLadderError: they do not come to the top.
    """
    control = results[CONTROL.name] = judge(CONTROL, base)
    print(f"{CONTROL.name:<34} {'survived' if not control.killed_by else control.killed_by} in {sum(control.seconds.values()):.0f} s", flush=True)
    if control.killed_by:
        raise BadLadderError(f"without any mutant {control.killed_by} fails: {control.evidence}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge mutants from the command line; exit status 1 if one survived, 2 if nothing could be judged."""
    parser = argparse.ArgumentParser(prog="tools/mutants.py", description="Plant small mistakes and see whether the tests find them.")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="these alone")
    parser.add_argument("--again", action="store_true", help="also those that survived before")
    parser.add_argument("--no-control", action="store_true", help="trust that the ladder holds without a mutant")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time (default 1)")
    parser.add_argument("--source", type=Path, default=ROOT, metavar="DIR", help="the checkout that is judged, or a copy of one (default: this one)")
    parser.add_argument("--output", type=Path, default=ROOT / "mutants-report", metavar="DIR", help="where results are kept (default mutants-report)")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.only) - {mutant.name for mutant in MUTANTS})
    if unknown:
        parser.error(f"no such mutant: {', '.join(unknown)}")
    chosen = [mutant for mutant in MUTANTS if not given.only or mutant.name in given.only]
    results = load(given.output)
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        base = Path(scratch) / "base"  # of one moment: the checkout may change meanwhile
        copy_sources(given.source, base)
        try:
            wanted = due(chosen, results, base, again=given.again)
            if wanted and not given.no_control:
                check_control(base, results)
            with ThreadPoolExecutor(given.jobs) as pool:
                for result in pool.map(lambda mutant: judge(mutant, base), wanted):
                    results[result.name] = result
                    verdict = f"killed by {result.killed_by}{' (hung)' if result.hung else ''}" if result.killed_by else "SURVIVED"
                    print(f"{result.name:<34} {verdict} in {sum(result.seconds.values()):.0f} s  {result.evidence}", flush=True)
                    save(given.output, results)
        except (NoMutantError, BadLadderError) as error:
            print(error, file=sys.stderr)
            return 2
    save(given.output, results)
    survivors = [mutant.name for mutant in chosen if not results[mutant.name].killed_by]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} killed; survivors: {', '.join(survivors) or 'none'}; see {given.output / TABLE}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
