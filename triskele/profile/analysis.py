"""Works out what one process, or several of a kind, spent their processor time on. Pure: recordings and counters in, JSON values out.

Everything is in shares of the processor time and in microseconds per operation; rates move with the machine and with what else it does, shares and
their ratios hardly.  A share of a sampled profile is an estimate: of ``n`` samples, its standard error is ``sqrt(share * (1 - share) / n)``.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from triskele.profile.areas import AREAS, area_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from replica.profiling.recording import Frame, Recording

SYSCALLS = ("send", "receive", "poll", "sync", "other")
Table = dict[str, Any]


@attrs.frozen(kw_only=True)
class Subject:
    """What is analysed.

    Attributes:
        name: ``replica-0``, ``clients``.
        role: ``leader``, ``follower``, ``client``.
        recordings: of its processes; one for a replica.
        operations: that clients completed meanwhile; 0 if nobody knows.
        before: running totals of a replica's ``/counters`` at the beginning.
        after: at the end; both empty for clients.
    """

    name: str
    role: str
    recordings: tuple[Recording, ...]
    operations: float
    before: Mapping[str, Any] = attrs.field(factory=dict)
    after: Mapping[str, Any] = attrs.field(factory=dict)


def analyse(subject: Subject, recording: Recording) -> Table:
    """Return everything that the reports tell of a subject.

    Args:
        subject: Whose.
        recording: Its recordings, merged.
    """
    usages = [own.usage for own in subject.recordings]
    cpu = sum(used.cpu_seconds for used in usages)
    wall = max(used.wall_seconds for used in usages)
    waiting = [used.waiting_seconds for used in usages if used.waiting_seconds is not None]
    calls = call_counts(subject)
    commands = subject.after.get("commands", 0) - subject.before.get("commands", 0)
    operations = subject.operations or commands
    return {
        "name": subject.name,
        "role": subject.role,
        "processes": len(usages),
        "operations": operations,
        "operations_are": "completed by clients" if subject.operations else "commands received",
        "wall_seconds": round(wall, 4),
        "cpu_seconds": round(cpu, 4),
        "user_seconds": round(sum(used.user_seconds for used in usages), 4),
        "system_seconds": round(sum(used.system_seconds for used in usages), 4),
        "waiting_seconds": round(sum(waiting), 4) if len(waiting) == len(usages) else None,
        "switches": {
            "voluntary": sum(used.voluntary_switches for used in usages),
            "involuntary": sum(used.involuntary_switches for used in usages),
        },
        "samples": recording.samples,
        "sampling_seconds": round(recording.sampling_seconds, 5),
        "cpu_us_per_operation": ratio(cpu * 1e6, operations),
        "areas": areas(recording),
        "functions": functions(recording),
        "calls": calls,
        "calls_per_operation": {kind: ratio(count, operations) for kind, count in calls.items()},
        "memory": {
            "rss_bytes": sum(used.rss_bytes for used in usages),
            "blocks": sum(used.blocks for used in usages),
            "blocks_per_operation": ratio(sum(used.blocks for used in usages), operations),
        },
        "collector": {
            "collections": sum(used.collector.collections for used in usages),
            "seconds": sum(used.collector.seconds for used in usages),
            "pause_seconds_max": max(used.collector.pause_seconds_max for used in usages),
            "freed": sum(used.collector.freed for used in usages),
        },
    }


def call_counts(subject: Subject) -> dict[str, int]:
    """Return a replica's system calls by kind; nothing for processes that do not count them."""
    before, after = subject.before.get("syscalls", {}), subject.after.get("syscalls", {})
    return {kind: after[kind] - before.get(kind, 0) for kind in SYSCALLS if kind in after}


def areas(recording: Recording) -> dict[str, float]:
    """Return each area's share; they add up to 1 where there is anything."""
    sums: Counter[str] = Counter()
    for stack in recording.stacks:
        sums[area_of(recording, stack)] += stack.cpu_ns
    whole = recording.cpu_ns or 1
    return {area: sums[area] / whole for area in AREAS}


Key = tuple[str, str, int]
"""Function, file, first line; of native code the name, the file that calls it, and 0."""


def functions(recording: Recording) -> list[Table]:
    """Return every function with its shares, the largest own share first.

    Returns:
        ``{"name", "file", "line" (its first), "native", "own", "total" (shares), "samples" (own), "area" (of most of its own time),
        "hottest" (``file:line`` of most of its own time)}``.
    """
    keys = [key_of(frame) for frame in recording.frames]
    own: Counter[Key] = Counter()
    total: Counter[Key] = Counter()
    samples: Counter[Key] = Counter()
    lines: dict[Key, Counter[str]] = {}
    own_areas: dict[Key, Counter[str]] = {}
    for stack in recording.stacks:
        for key in {keys[place] for place in stack.frames}:
            total[key] += stack.cpu_ns
        if not stack.frames:
            continue
        inner = recording.frames[stack.frames[-1]]
        key = key_of(inner)
        own[key] += stack.cpu_ns
        samples[key] += stack.samples
        own_areas.setdefault(key, Counter())[area_of(recording, stack)] += stack.cpu_ns
        if inner.file:
            lines.setdefault(key, Counter())[f"{inner.file}:{inner.line}"] += stack.cpu_ns
    whole = recording.cpu_ns or 1
    rows = [
        {
            "name": name,
            "file": file,
            "line": line,
            "native": not line,
            "own": own[name, file, line] / whole,
            "total": nanoseconds / whole,
            "samples": samples[name, file, line],
            "area": _most(own_areas.get((name, file, line))),
            "hottest": _most(lines.get((name, file, line))),
        }
        for (name, file, line), nanoseconds in total.items()
    ]
    return sorted(rows, key=lambda row: (-row["own"], -row["total"], row["name"]))


def key_of(frame: Frame) -> Key:
    """Return what a frame is added up under."""
    return (frame.function, frame.file, 0 if frame.native else frame.first_line)


def _most(counts: Counter[str] | None) -> str:
    return max(counts, key=lambda name: counts[name]) if counts else ""


def error_of(share: float, samples: int) -> float:
    """Return the standard error of a share that was estimated from so many samples."""
    return math.sqrt(max(share * (1 - share), 0.0) / samples) if samples else 1.0


def ratio(part: float, whole: float) -> float | None:
    """Return a quotient, None where there is nothing to divide by."""
    return part / whole if whole else None
