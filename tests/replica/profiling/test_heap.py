from __future__ import annotations

import tracemalloc

import pytest
import trio

from replica.profiling.heap import TracingBusy, trace_heap
from replica.profiling.pprof import pieces
from tests.replica.profiling.test_pprof import Read

KEPT: list[bytes] = []


async def allocate(kept: int) -> None:
    KEPT.extend(b"x%d" % number * 100 for number in range(kept))
    for number in range(kept):
        bytes(number)


async def test_what_is_kept_is_told_by_the_line_that_allocated_it() -> None:
    KEPT.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(allocate, 500)
        recording = await trace_heap(0.05)
    ours = [row for row in recording.stacks if recording.frames[row[0][-1]].file.endswith("test_heap.py")]
    assert sum(blocks for _, blocks, _ in ours) >= 500
    assert sum(size for _, _, size in ours) > 500 * 200
    assert recording.peak_bytes >= recording.kept_bytes > 0
    assert 0.04 < recording.seconds < 5
    assert not tracemalloc.is_tracing()
    KEPT.clear()


async def test_it_ends_before_its_time_when_it_has_become_much() -> None:
    with trio.fail_after(30):
        recording = await trace_heap(1000.0, table_bytes_max=0)
    assert recording.seconds < 30


async def test_a_trace_of_somebody_else_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracemalloc, "is_tracing", lambda: True)
    with pytest.raises(TracingBusy):
        await trace_heap(1.0)


async def test_tracing_ends_with_who_asked_for_it() -> None:
    with trio.move_on_after(0.02):
        await trace_heap(1000.0)
    assert not tracemalloc.is_tracing()


async def test_viewers_read_it() -> None:
    recording = await trace_heap(0.02)
    read = Read(b"".join(pieces(recording.profile())))
    assert read.kinds == [("inuse_objects", "count"), ("inuse_space", "bytes")]
    assert sum(values[1] for _, values in read.samples) == recording.kept_bytes
    assert sum(int(line.rpartition(b" ")[2]) for line in recording.collapsed().splitlines()) == recording.kept_bytes
