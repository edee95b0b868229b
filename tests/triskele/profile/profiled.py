"""Results of ``triskele profile`` made by hand, for tests of what is told of them."""

from __future__ import annotations

from typing import Any

import attrs

from replica.profiling.recording import Recording, merge
from tests.replica.profiling.recorded import APPLY, MAIN, SMALL, STEP, USAGE, record
from triskele.profile.analysis import Subject, analyse
from triskele.profile.folder import SCHEMA

MACHINE = {"processor": "a processor", "cores": 2, "memory_bytes": 1 << 34, "system": "Linux 6", "python": "CPython 3.11", "load_average": 0.1}
BEFORE = {"role": "leader", "commands": 0, "syscalls": {"send": 10, "receive": 10, "poll": 10, "sync": 0, "other": 0}}
AFTER = {"role": "leader", "commands": 5000, "syscalls": {"send": 110, "receive": 60, "poll": 40, "sync": 0, "other": 10}}
LOAD = {
    "settings": {"clients": 2, "threads": 8, "pendings": 15, "workload": "mix", "seed": 1}, "operations": 2_000_000, "failed": 0, "unknown": 0,
    "duration_seconds": 10.5, "throughput_per_second": 100_000.0, "latency_ms": {"strong": {"p50": 3.0}, "causal": {"p50": 2.0}},
}  # fmt: skip


def process(name: str = "replica-0", role: str = "leader", recording: Recording = SMALL, operations: float = 1_000_000) -> dict[str, Any]:
    counters = {"before": BEFORE, "after": AFTER} if name.startswith("replica") else {}
    return analyse(Subject(name=name, role=role, recordings=(recording,), operations=operations, **counters), merge([recording]))


def result(*processes: dict[str, Any], idle: float = 0.3, load: dict[str, Any] | None = LOAD) -> dict[str, Any]:
    """A result; without processes that of a leader, a follower and the clients."""
    follower = record(((MAIN, STEP), 60, 600), ((MAIN, STEP, APPLY), 40, 400), usage=attrs.evolve(USAGE, cpu_seconds=2.0))
    everyone = processes or (process(), process("replica-1", "follower", follower), process("clients", "client"))
    return {
        "schema": SCHEMA, "version": "0.1.0", "commit": "abc", "machine": MACHINE, "seconds": 10.0, "hz": 100.0, "load_flags": "", "load": load,
        "machine_idle": idle, "partial": False, "missing": {}, "processes": list(everyone),
    }  # fmt: skip
