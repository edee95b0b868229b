"""Recordings made by hand, for tests of what is made of them."""

from __future__ import annotations

import attrs

from replica.profiling.collector import CollectorStatistics
from replica.profiling.recording import Frame, Recording, Stack
from replica.profiling.usage import Usage

USAGE = Usage(
    wall_seconds=10.0,
    cpu_seconds=4.0,
    user_seconds=3.0,
    system_seconds=1.0,
    waiting_seconds=2.0,
    voluntary_switches=100,
    involuntary_switches=50,
    rss_bytes=10 << 20,
    blocks=1000,
    collector=CollectorStatistics(2, 0.02, 0.015, 7, (1, 1, 0)),
)


def python(function: str, file: str, line: int, first_line: int = 1) -> Frame:
    return Frame(function, file, line, first_line)


def native(function: str, file: str, line: int) -> Frame:
    return Frame(function, file, line, 0, native=True)


def record(*stacks: tuple[tuple[Frame, ...], int, int], usage: Usage = USAGE) -> Recording:
    """Make a recording: for each stack its frames from the outermost in, its samples, its milliseconds."""
    frames: dict[Frame, int] = {}
    made = [Stack(tuple(frames.setdefault(frame, len(frames)) for frame in stack), samples, ms * 1_000_000) for stack, samples, ms in stacks]
    return Recording(started_ns=1_700_000_000_000_000_000, hz=100.0, sampling_seconds=0.004, usage=usage, frames=list(frames), stacks=made)


MAIN = python("main", "replica/__main__.py", 8)
FLUSH = python("TcpLink.flush", "transport/tcp.py", 120, 110)
SEND = native("send", "transport/tcp.py", 136)
STEP = python("Replica.step", "replica/core/replica.py", 111, 100)
APPLY = python("Store.apply", "statemachine/store.py", 40, 30)

SMALL = record(((MAIN, FLUSH, SEND), 30, 300), ((MAIN, STEP), 50, 500), ((MAIN, STEP, APPLY), 20, 200))
"""A second of processor time: a send, the protocol, the state machine."""


def with_usage(recording: Recording, **changes: object) -> Recording:
    return attrs.evolve(recording, usage=attrs.evolve(recording.usage, **changes))  # type: ignore[arg-type]
