"""What ``make test`` runs: each step streams its output, all run whatever the others say, a summary a person can read ends it.

Exit status 0 only if every step passed. ``python tools/check.py lint types`` runs the named steps alone.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
PYTHON = sys.executable
SMOKE_OPERATIONS = 20_000
CORE_COVERAGE_MIN = 95
GRACE_SECONDS = 5.0

ANSI = re.compile(r"\x1b\[[0-9;]*m")
PYTEST_CLOSING = re.compile(r"^=* ?(\d+ (?:passed|failed|error|skipped|deselected|xfailed|xpassed|warning)[^=]* in [\d.]+s[^=]*?) ?=*$")


class CheckFailedError(Exception):
    """A step's commands succeeded, but what they wrote does not hold."""


@dataclass(frozen=True)
class Step:
    """Commands run one after the other; ``note`` reads the output lines (and files) into a remark for the summary."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    timeout_seconds: float
    note: Callable[[list[str]], str] = field(default=lambda _lines: "")


@dataclass(frozen=True)
class Outcome:
    """How a step ended."""

    name: str
    passed: bool
    seconds: float
    note: str


def pytest_closing_line(lines: list[str]) -> str:
    """Return pytest's own last line, without its rulers; empty if it never got that far."""
    found = [match.group(1) for line in lines if (match := PYTEST_CLOSING.match(line))]
    return found[-1] if found else ""


def coverage_total(lines: list[str]) -> str:
    """Return the total of a coverage report."""
    totals = [line.split()[-1] for line in lines if line.startswith("TOTAL")]
    return f"replica.core {totals[-1]} (at least {CORE_COVERAGE_MIN}%)" if totals else ""


def smoke_note(result_file: Path) -> Callable[[list[str]], str]:
    """Judge a load result: every operation done, none failed, none unknown."""

    def note(_lines: list[str]) -> str:
        try:
            result = json.loads(result_file.read_text())
            done, failed, unknown = (int(result[name]) for name in ("operations", "failed", "unknown"))
            rate = float(result["throughput_per_second"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckFailedError(f"no readable result in {result_file}: {error!r}") from error
        remark = f"{done:,} commands, {rate:,.0f}/s, {failed} failed, {unknown} unknown"
        if done < SMOKE_OPERATIONS or failed or unknown:
            raise CheckFailedError(f"{remark}; wanted {SMOKE_OPERATIONS:,} and no failures")
        return remark

    return note


def smoke(transport: str, durability: str) -> Step:
    """Three real replica processes and one client process over real sockets, a few seconds."""
    result_file = BUILD / f"smoke-{transport}.json"
    result_file.unlink(missing_ok=True)
    size = ("--operations", str(SMOKE_OPERATIONS), "--warmup-seconds", "0", "--clients", "1", "--threads", "4", "--pendings", "15")
    command = (PYTHON, "-m", "triskele", "load", "--local", "3", "--durability", durability, "--transport", transport, *size)
    return Step(f"smoke {transport}", ((*command, "--quiet", "--json", str(result_file)),), 120.0, smoke_note(result_file))


CORE_TESTS = ("tests/replica/core", "tests/scenarios")
"""What must take the branches of the core."""
PROOF_TESTS = (
    "tests/sim/test_planted.py", "tests/sim/test_shrink.py", "tests/scopes/test_scopes.py", "tests/chaos/test_soak.py", "tests/chaos/test_kills.py",
    "tests/chaos/test_wan.py", "tests/triskele/chaos/test_run.py",
)  # fmt: skip
"""Tests that take long, and are part of ``make prove``: planted bugs found again by their seeds, shrinking, small scopes,
short runs of the soak, of kills, of distance and of chaos."""


def all_steps() -> list[Step]:
    """Return the steps in their order: the quick ones first."""
    module = (PYTHON, "-m")
    layers = "tests/test_layers.py"
    others = [f"--ignore={path}" for path in (layers, *PROOF_TESTS, *CORE_TESTS)]
    core_report = (*module, "coverage", "report", "--include=replica/core/*", f"--fail-under={CORE_COVERAGE_MIN}")
    return [
        Step("lint", ((*module, "ruff", "check", "."), (*module, "ruff", "format", "--check", ".")), 120.0),
        Step("types", ((*module, "mypy"),), 400.0, lambda lines: lines[-1] if lines else ""),
        Step("layers", ((*module, "pytest", layers),), 120.0, pytest_closing_line),
        # Apart, because counting branches makes what runs the core for long, the simulator above all, several times slower.
        Step("core", ((*module, "coverage", "run", "--source=replica/core", "-m", "pytest", *CORE_TESTS),), 400.0, pytest_closing_line),
        Step("coverage", (core_report,), 60.0, coverage_total),
        Step("tests", ((*module, "pytest", "--durations=12", "--durations-min=2", *others),), 900.0, pytest_closing_line),
        smoke("native", "disk"),
        smoke("websocket", "memory"),
    ]


def stop(process: subprocess.Popen[str], first_signal: signal.Signals) -> None:
    """End a command and all its children: politely first, then for good."""
    for number, grace_seconds in ((first_signal, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
        try:
            os.killpg(process.pid, number)
            process.wait(grace_seconds)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def run_command(command: tuple[str, ...], timeout_seconds: float, lines: list[str]) -> bool:
    """Run one command in a process group of its own, copying its output to ours line by line and into ``lines``."""
    print(f"$ {' '.join('python' if word == PYTHON else word for word in command)}", flush=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if sys.stdout.isatty():
        environment["FORCE_COLOR"] = "1"
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + timeout_seconds
    signal.setitimer(signal.ITIMER_REAL, timeout_seconds)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(ANSI.sub("", line).rstrip())
        return process.wait(max(0.0, deadline - time.monotonic())) == 0
    except (TimeoutError, subprocess.TimeoutExpired):
        print(f"still running after {timeout_seconds:.0f} s: stopped", flush=True)
        lines.append(f"stopped after {timeout_seconds:.0f} s")
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        stop(process, signal.SIGTERM)
        process.stdout.close()


def run_step(step: Step) -> Outcome:
    """Run a step's commands (all of them) and judge what they wrote."""
    print(f"\n── {step.name} {'─' * (76 - len(step.name))}", flush=True)
    started = time.monotonic()
    lines: list[str] = []
    failures = [command for command in step.commands if not run_command(command, step.timeout_seconds, lines)]
    try:
        note, holds = step.note(lines), True
    except CheckFailedError as error:
        note, holds = str(error), False
    return Outcome(step.name, holds and not failures, time.monotonic() - started, note)


def summary(outcomes: list[Outcome]) -> str:
    """Format the closing table."""
    rows = [f"  {'passed' if o.passed else 'FAILED'}  {o.name:<16} {o.seconds:7.1f} s   {o.note}".rstrip() for o in outcomes]
    failed = [o.name for o in outcomes if not o.passed]
    total = sum(o.seconds for o in outcomes)
    verdict = f"FAILED: {', '.join(failed)}" if failed else f"all {len(outcomes)} steps passed"
    return "\n".join([f"\n══ make test {'═' * 65}", *rows, f"  {verdict}, {total:.1f} s in all"])


def on_alarm(_number: int, _frame: object) -> None:
    """Break a read that waits for a command which says nothing and does not end."""
    raise TimeoutError


def main(names: list[str]) -> int:
    """Run the named steps, or all."""
    steps = all_steps()
    unknown = [name for name in names if name not in {step.name.split()[0] for step in steps}]
    if unknown:
        print(f"no such step: {', '.join(unknown)}; there are: {', '.join(step.name for step in steps)}", file=sys.stderr)
        return 2
    BUILD.mkdir(exist_ok=True)
    signal.signal(signal.SIGALRM, on_alarm)
    outcomes: list[Outcome] = []
    chosen = [step for step in steps if not names or step.name.split()[0] in names]
    try:
        for step in chosen:
            outcomes.append(run_step(step))  # noqa: PERF401 - an interrupted run still shows what it has
    except KeyboardInterrupt:
        print("\ninterrupted")
        return 130
    finally:
        if outcomes:
            print(summary(outcomes), flush=True)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
