"""What the operating system and the interpreter count for this process; a window is the difference of two readings."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from time import monotonic, process_time

import attrs

from replica.profiling.collector import COLLECTOR, CollectorStatistics
from replica.statistics import process_statistics

SCHEDULER = Path("/proc/self/schedstat")


@attrs.frozen
class Usage:
    """Running totals, or what was used between two readings."""

    wall_seconds: float
    cpu_seconds: float
    """Of all threads, user and system."""
    user_seconds: float
    system_seconds: float
    """The kernel splits them by its clock tick: good to a few percent."""
    waiting_seconds: float | None
    """The main thread was runnable and had no core; None where the kernel does not count it."""
    voluntary_switches: int
    """It went to sleep, or offered its core to others."""
    involuntary_switches: int
    """Its core was given to somebody else."""
    rss_bytes: int
    blocks: int
    """Blocks of memory that Python's allocator has handed out and not got back."""
    collector: CollectorStatistics

    def __sub__(self, earlier: Usage) -> Usage:
        """Return what was used since an earlier reading; the longest pause is the later reading's."""
        mine, theirs = self.collector, earlier.collector
        collector = CollectorStatistics(
            mine.collections - theirs.collections,
            mine.seconds - theirs.seconds,
            mine.pause_seconds_max,
            mine.freed - theirs.freed,
            tuple(a - b for a, b in zip(mine.by_generation, theirs.by_generation, strict=True)),
            tuple(a - b for a, b in zip(mine.pauses_us, theirs.pauses_us, strict=True)),
        )
        return Usage(
            self.wall_seconds - earlier.wall_seconds,
            self.cpu_seconds - earlier.cpu_seconds,
            self.user_seconds - earlier.user_seconds,
            self.system_seconds - earlier.system_seconds,
            None if self.waiting_seconds is None or earlier.waiting_seconds is None else self.waiting_seconds - earlier.waiting_seconds,
            self.voluntary_switches - earlier.voluntary_switches,
            self.involuntary_switches - earlier.involuntary_switches,
            self.rss_bytes - earlier.rss_bytes,
            self.blocks - earlier.blocks,
            collector,
        )


def usage() -> Usage:
    """Read the totals now."""
    told = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(
        wall_seconds=monotonic(),
        cpu_seconds=process_time(),
        user_seconds=told.ru_utime,
        system_seconds=told.ru_stime,
        waiting_seconds=_waiting_seconds(),
        voluntary_switches=told.ru_nvcsw,
        involuntary_switches=told.ru_nivcsw,
        rss_bytes=process_statistics().rss_bytes,
        blocks=sys.getallocatedblocks(),
        collector=COLLECTOR.statistics(),
    )


def _waiting_seconds() -> float | None:
    """Return how long the main thread has waited for a core; a kernel that does not count writes zeros."""
    try:
        ran, waited, _ = SCHEDULER.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return int(waited) * 1e-9 if int(ran) else None
