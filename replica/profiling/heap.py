"""Traces what is allocated during some seconds and still there at their end, by the line that allocated it (``tracemalloc``).

Traced code runs at a half to a third of its speed, so nothing is traced unless somebody asks for it.  Reading the traces stops the process for
0.6 us each, so tracing ends before its time when their table has grown to ``TABLE_BYTES_MAX``: about 15 ms, less than a turn may take.  The result
tells how long it really was.  What was allocated before, and what was freed in between, does not show: CPython counts neither.
"""

from __future__ import annotations

import time
import tracemalloc
from typing import TYPE_CHECKING

import attrs
import trio

from replica.profiling.naming import Naming
from replica.profiling.pprof import Profile
from replica.profiling.recording import Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

TABLE_BYTES_MAX = 1 << 20
TRACE_FRAMES = 12
LOOK_SECONDS = 0.02
_SLICE_TRACES = 300


class TracingBusy(Exception):
    """Allocations are being traced already."""


@attrs.frozen(kw_only=True)
class HeapRecording:
    """What was allocated and kept.

    Attributes:
        started_ns: Unix time of the beginning.
        seconds: how long allocations were traced.
        peak_bytes: the most that was there at once, of what was allocated since the beginning.
        frames: lines, each once; ``tracemalloc`` does not know functions.
        stacks: for each its places in ``frames``, the outermost first, its blocks and bytes.
    """

    started_ns: int
    seconds: float
    peak_bytes: int
    frames: Sequence[Frame]
    stacks: Sequence[tuple[tuple[int, ...], int, int]]

    @property
    def kept_bytes(self) -> int:
        """Bytes of all stacks."""
        return sum(size for _, _, size in self.stacks)

    def profile(self) -> Profile:
        """Return this as pprof has it."""
        return Profile(
            kinds=[("inuse_objects", "count"), ("inuse_space", "bytes")],
            frames=self.frames,
            samples=((places, (blocks, size)) for places, blocks, size in self.stacks),
            started_ns=self.started_ns,
            duration_ns=int(self.seconds * 1e9),
            period=("space", "bytes", 1),
            comment=f"allocated within {self.seconds:.2f} s and still there",
        )

    def collapsed(self) -> bytes:
        """Return a line for each stack, and its bytes."""
        names = [frame.function for frame in self.frames]
        return "".join(f"{';'.join(names[place] for place in places)} {size}\n" for places, _, size in self.stacks).encode()


async def trace_heap(seconds: float, *, table_bytes_max: int = TABLE_BYTES_MAX) -> HeapRecording:
    """Trace allocations for so long, or until the table of traces is full.

    Raises:
        TracingBusy: The process is being traced already, by somebody else who would not like it to end.
    """
    if tracemalloc.is_tracing():
        raise TracingBusy("allocations of this process are being traced already")
    started_ns, began = time.time_ns(), trio.current_time()
    tracemalloc.start(TRACE_FRAMES)
    try:
        while trio.current_time() < began + seconds and tracemalloc.get_tracemalloc_memory() < table_bytes_max:  # noqa: ASYNC110 - nobody tells
            await trio.sleep(min(LOOK_SECONDS, began + seconds - trio.current_time()))
        traced = trio.current_time() - began
        _, peak = tracemalloc.get_traced_memory()
        snapshot = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    naming, sums = Naming(), dict[tuple[int, ...], list[int]]()
    for number, trace in enumerate(snapshot.traces, 1):
        places = tuple(_place(naming, entry.filename, entry.lineno) for entry in trace.traceback)
        cell = sums.setdefault(places, [0, 0])
        cell[0] += 1
        cell[1] += trace.size
        if number % _SLICE_TRACES == 0:
            await trio.lowlevel.checkpoint()
    stacks = [(places, blocks, size) for places, (blocks, size) in sums.items()]
    return HeapRecording(started_ns=started_ns, seconds=traced, peak_bytes=peak, frames=naming.frames(), stacks=stacks)


def _place(naming: Naming, file: str, line: int) -> int:
    short = naming.short(file)
    return naming.place_of(Frame(f"{short}:{line}", short, line, line))
