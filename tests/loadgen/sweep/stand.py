"""Sweeps, and outcomes of their runs, for tests of what is made of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from loadgen.sweep.folder import Outcome
from loadgen.sweep.plan import Changes, Plan, read_plan
from tests.loadgen.results import built, client_result

TEXT = """
name = "two by two"
about = "a try"
repeats = 2

[base]
seconds = 1
warmup-seconds = 0

[axes]
pendings = [5, 15]

[[point]]
name = "few"
threads = 1

[[point]]
name = "many"
threads = 8

[baseline]
point = "few"
"""


def plan(text: str = TEXT, *, repeats: int | None = None, seconds: float | None = None) -> Plan:
    """The sweep of a text."""
    return read_plan(text, "two.toml", Changes(repeats=repeats, seconds=seconds))


def result(rate: float = 1000.0, *, seconds: int = 3) -> dict[str, Any]:
    """A load's result with a rate."""
    found = built([client_result([(100, 9, 1)] * 10 * seconds)] * 2)
    found["throughput_per_second"] = rate
    found["machine"]["load_average"] = rate
    return found


def outcomes(swept: Plan, rate: Any) -> list[Outcome]:
    """Outcomes of all runs; ``rate`` takes a run and returns its rate, None for a failed one."""
    found = []
    for run in swept.runs():
        per_second = rate(run)
        found.append(Outcome(run, None, "ended with status 1: why") if per_second is None else Outcome(run, result(per_second)))
    return found


def fake_load(folder: Path) -> list[str]:
    """The command of a load that has its result at once."""
    recorded = folder / "recorded.json"
    recorded.write_text(json.dumps(result()), encoding="utf-8")
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("fake_load.py")), str(recorded)]
